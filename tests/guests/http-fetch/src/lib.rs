//! Tries an HTTP request, which nobody has granted.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

wit_bindgen::generate!({ world: "http-fetch", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct HttpFetch;

impl Guest for HttpFetch {
    fn fetch(authority: String, path: String) -> Result<u16, String> {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Https)).map_err(|()| "scheme refused")?;
        request.set_authority(Some(&authority)).map_err(|()| "authority refused")?;
        request.set_path_with_query(Some(&path)).map_err(|()| "path refused")?;

        let pending = outgoing_handler::handle(request, None).map_err(text)?;
        pending.subscribe().block();
        let response = pending
            .get()
            .expect("the response is there once its pollable is ready")
            .expect("a response is taken only once")
            .map_err(text)?;
        Ok(response.status())
    }
}

fn text(error: ErrorCode) -> String {
    error.to_string()
}

export!(HttpFetch);
