//! The tools `tickets_create`, `tickets_list` and `tickets_get`, for a service with a token that the host puts in.
//!
//! They need in `[plugin.tickets]`, for a service at `https://tickets.example.com/api`:
//!
//! ```toml
//! settings = { url = "https://tickets.example.com/api" }
//! http = [{ to = "https://tickets.example.com/api/", methods = ["GET", "POST"], headers = { Authorization = "Bearer ${TICKETS_TOKEN}" } }]
//! ```

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tinymcp::plugin::settings;
use wstd::http::{Body, Client, Request, StatusCode};

wit_bindgen::generate!({
    world: "tickets",
    path: "wit",
    generate_all,
    // The JSON of the service has the same fields.
    additional_derives: [serde::Deserialize],
});

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

#[derive(Serialize)]
struct NewTicket {
    title: String,
    text: String,
}

struct Tickets;

impl Guest for Tickets {
    fn create(title: String, text: String) -> Result<Ticket, String> {
        if title.trim().is_empty() {
            return Err("the title is empty: say in a line what the ticket is about".to_owned());
        }
        let body = Body::from_json(&NewTicket { title, text }).map_err(|error| error.to_string())?;
        send(Request::post(url("/tickets")?).header("content-type", "application/json").body(body))
    }

    fn list(status: Option<String>) -> Result<Vec<Ticket>, String> {
        let query = match status.as_deref() {
            None => "?limit=50",
            Some("open") => "?limit=50&status=open",
            Some("closed") => "?limit=50&status=closed",
            Some(other) => return Err(format!("`{other}` is no status: it is `open` or `closed`")),
        };
        send(Request::get(url(&format!("/tickets{query}"))?).body(Body::empty()))
    }

    fn get(id: String) -> Result<Ticket, String> {
        // An id is one segment of a path, and no way to another one.
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!("`{id}` is no id of a ticket: list the tickets to see which there are"));
        }
        send(Request::get(url(&format!("/tickets/{id}"))?).body(Body::empty()))
    }
}

fn url(path: &str) -> Result<String, String> {
    let service = settings::get("url").ok_or("no ticket service is set: ask the operator for one")?;
    Ok(service.trim_end_matches('/').to_owned() + path)
}

fn send<T: DeserializeOwned>(request: Result<Request<Body>, impl Display>) -> Result<T, String> {
    wstd::runtime::block_on(async {
        let request = request.map_err(|error| format!("the ticket service has no valid URL: {error}"))?;
        let response = Client::new().send(request).await;
        let response = response.map_err(|error| format!("the ticket service cannot be asked: {error}"))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => {
                return Err("there is no such ticket: list the tickets to see which there are".into());
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err("the ticket service refuses the token of this server: tell the operator".into());
            }
            status => return Err(format!("the ticket service answers {status}: try again later")),
        }
        let mut body = response.into_body();
        body.json().await.map_err(|error| format!("the ticket service does not answer as it did: {error}"))
    })
}

export!(Tickets);
