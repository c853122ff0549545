//! The page's own files: script, style and icon, in the program itself.
//!
//! Their URLs name the digest of all of them, so that a browser keeps each for ever and still has those of its page: the
//! script's modules name each other by their place beside them.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};

/// One file, and its media type.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// Lists files of `host/assets`.
macro_rules! assets {
    ($($name:literal: $media_type:expr),* $(,)?) => {
        [$(Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("../../../assets/", $name)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: &[Asset] = &assets! {
    "page.css": "text/css; charset=utf-8",
    "page.js": SCRIPT,
    "call.js": SCRIPT,
    "dom.js": SCRIPT,
    "form.js": SCRIPT,
    "live.js": SCRIPT,
    "result.js": SCRIPT,
    "trial.js": SCRIPT,
};

const ICON: &[u8] = include_bytes!("../../../assets/favicon.ico");

/// The digest of all files.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in ASSETS {
        hasher.update(asset.name.as_bytes()).update(&(asset.bytes.len() as u64).to_le_bytes()).update(asset.bytes);
    }
    hasher.finalize().to_hex()[..16].to_owned()
});

/// The URL of a file.
pub(super) fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`
pub(in crate::http) async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    let asset = ASSETS.iter().find(|asset| version == *VERSION && asset.name == name);
    let Some(asset) = asset else {
        // Of another version of the program, whose page is still open somewhere.
        return (StatusCode::NOT_FOUND, "this file is of another version: load the page again").into_response();
    };
    file(asset.media_type, Body::from(asset.bytes), "public, max-age=31536000, immutable")
}

/// `GET /favicon.ico`
pub(in crate::http) async fn favicon() -> Response {
    let mut response = file("image/x-icon", Body::from(ICON), "public, max-age=86400");
    response.headers_mut().insert(ETAG, HeaderValue::from_static("\"1\""));
    response
}

pub(super) fn file(media_type: &'static str, body: Body, cache: &'static str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    // No page of another site includes them, and none is shown as a page of its own.
    let name = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(name, HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(asset: &Asset) -> &str {
        std::str::from_utf8(asset.bytes).unwrap()
    }

    #[test]
    fn every_file_that_a_module_imports_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.media_type == SCRIPT) {
            for line in text(asset).lines().filter(|line| line.starts_with("import ")) {
                let (_, from) = line.split_once(" from \"./").unwrap();
                let name = from.trim_end_matches("\";");
                assert!(ASSETS.iter().any(|other| other.name == name), "{}: {line}", asset.name);
            }
        }
    }

    #[test]
    fn the_script_has_no_way_to_make_markup_of_texts() {
        for asset in ASSETS.iter().filter(|asset| asset.media_type == SCRIPT) {
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text(asset).contains(sink), "{}: {sink}", asset.name);
            }
        }
    }
}
