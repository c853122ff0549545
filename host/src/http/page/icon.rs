//! The server's picture (`server.icon`): a file's bytes from here, or a URL of https that the page's policy lets in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::X_CONTENT_TYPE_OPTIONS;
use url::Url;

use super::super::App;
use super::assets;
use crate::config::about::Icon;

/// The picture for a page.
pub(super) struct Picture {
    /// The URL of the element.
    pub(super) url: String,
    /// What the policy has to let in for it; none for a picture from here.
    pub(super) source: Option<String>,
}

/// The server's picture, if it has one.
pub(super) fn of(app: &App) -> Option<Picture> {
    let about = Arc::clone(&app.about.borrow());
    let icon = about.server.icon.as_ref()?;
    match icon.media_type {
        Some(_) => Some(Picture { url: format!("/icon/{}", digest(icon)), source: None }),
        None => Some(Picture { url: icon.src.to_string(), source: Some(source(&icon.src)?) }),
    }
}

/// `GET /icon/{digest}`
pub(in crate::http) async fn icon(State(app): State<Arc<App>>, Path(wanted): Path<String>) -> Response {
    let about = Arc::clone(&app.about.borrow());
    let icon = about.server.icon.as_ref().filter(|icon| digest(icon) == wanted);
    let found = icon.and_then(|icon| Some((icon.media_type?, bytes(icon)?)));
    let Some((media_type, bytes)) = found else {
        return (StatusCode::NOT_FOUND, "the picture is another one by now: load the page again").into_response();
    };
    let mut response = assets::file(media_type, Body::from(bytes), "public, max-age=31536000, immutable");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    response
}

fn digest(icon: &Icon) -> String {
    blake3::hash(icon.src.as_bytes()).to_hex()[..16].to_owned()
}

/// The bytes in a `data:` URL, as the configuration has made it of a file.
fn bytes(icon: &Icon) -> Option<Vec<u8>> {
    let (_, encoded) = icon.src.split_once(";base64,")?;
    STANDARD.decode(encoded).ok()
}

/// The source that stands for one URL (Content Security Policy Level 3 §2.3.1): without its query, and without what would
/// end the source.
fn source(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let source = url.as_str().replace(';', "%3B").replace(',', "%2C").replace('\'', "%27");
    source.is_ascii().then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_says_one_picture_and_nothing_else_of_the_policy() {
        for (url, expected) in [
            ("https://acme.example/icon.png", Some("https://acme.example/icon.png")),
            ("https://acme.example:8443/a/b?x=1#y", Some("https://acme.example:8443/a/b")),
            ("https://acme.example/a;script-src *,b", Some("https://acme.example/a%3Bscript-src%20*%2Cb")),
            ("https://user:word@acme.example/'self'", Some("https://acme.example/%27self%27")),
            ("https://bücher.example/ä", Some("https://xn--bcher-kva.example/%C3%A4")),
            ("http://acme.example/icon.png", None),
            ("nonsense", None),
        ] {
            assert_eq!(source(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_file_is_what_was_read() {
        let icon = Icon { src: "data:image/gif;base64,R0lGODlh".into(), media_type: Some("image/gif") };
        assert_eq!(bytes(&icon).unwrap(), b"GIF89a");
    }
}
