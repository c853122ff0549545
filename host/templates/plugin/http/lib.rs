//! The functions that `wit/world.wit` promises.

use wstd::http::{Body, Client, Request};

wit_bindgen::generate!({ world: "NAME", path: "wit", generate_all });

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

/// The service, which `wit/world.wit` declares (`@needs`) and the operator grants.
const SERVICE: &str = "https://api.example.com";

struct Plugin;

impl Guest for Plugin {
    fn FUNCTION(path: String) -> Result<String, String> {
        wstd::runtime::block_on(fetch(&path))
    }
}

async fn fetch(path: &str) -> Result<String, String> {
    let request = Request::get(format!("{SERVICE}/{path}")).body(Body::empty());
    let request = request.map_err(|error| format!("`{path}` is no path: {error}"))?;
    let response = Client::new().send(request).await;
    let response = response.map_err(|error| format!("{SERVICE} cannot be asked: {error}"))?;
    let (status, mut body) = (response.status(), response.into_body());
    if !status.is_success() {
        return Err(format!("{SERVICE} answers {status}"));
    }
    let text = body.str_contents().await.map_err(|error| format!("{SERVICE} gives no text: {error}"))?;
    Ok(text.to_owned())
}

export!(Plugin);
