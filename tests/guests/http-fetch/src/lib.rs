//! Tries an HTTP request, which nobody has granted, and makes the host keep what is never sent.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

wit_bindgen::generate!({ world: "http-fetch", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

/// Requests that are held at once; each is up to three resources of the host.
const HOARD: usize = 1300;

const PIECE_BYTES: usize = 1024 * 1024;

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

    fn hoard_bodies() -> u64 {
        let bytes = vec![b'x'; PIECE_BYTES];
        let mut taken = 0;
        let mut held = Vec::new();
        for _ in 0..HOARD {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().expect("the body is taken only once");
            let stream = body.write().expect("the stream is taken only once");
            while let Ok(room @ 1..) = stream.check_write() {
                let piece = &bytes[..PIECE_BYTES.min(room as usize)];
                stream.write(piece).expect("there is room");
                taken += piece.len() as u64;
            }
            held.push((stream, body, request));
        }
        taken
    }

    fn hoard_headers(bytes: u32) -> u64 {
        let value = vec![b'x'; bytes as usize];
        let mut held = Vec::new();
        for _ in 0..HOARD {
            let fields = Fields::new();
            fields.append("x", &value).expect("a header is a header, whatever its size");
            held.push(fields);
        }
        held.len() as u64 * u64::from(bytes)
    }
}

fn text(error: ErrorCode) -> String {
    error.to_string()
}

export!(HttpFetch);
