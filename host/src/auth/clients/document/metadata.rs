//! The members of a metadata document that are used here.

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::DocumentError;
use crate::algorithms::ALGORITHMS;
use crate::jwks::Keys;

/// Size of a client id that is a URL.
const MAX_URL_BYTES: usize = 2048;

/// Redirect URIs of one client. Real ones have two or three.
const MAX_REDIRECT_URIS: usize = 50;

/// Size of a redirect URI: browsers and launchers cut longer ones.
const MAX_REDIRECT_URI_BYTES: usize = 2048;

/// Members that say that the document has a secret in it, and a document is public.
const SECRETS: [&str; 2] = ["client_secret", "client_secret_expires_at"];

/// An accepted metadata document.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) needs_assertion: bool,
    /// Algorithms of its assertions.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Option<KeyPlace>,
}

/// The place of a client's keys.
#[derive(Debug)]
pub(super) enum KeyPlace {
    Here(Keys),
    At(Url),
}

/// The URL of a metadata document, if a client id is one: https, a host name, a path beyond the root; no port, user name
/// or fragment, and spelled as URL parsers spell it, so that it has no dot segments and one document has one id. The
/// error is the rule that it breaks.
pub(super) fn document_url(client_id: &str) -> Result<Url, &'static str> {
    if client_id.len() > MAX_URL_BYTES {
        return Err("it is longer than 2048 bytes");
    }
    let url = Url::parse(client_id).map_err(|_| "it is no valid URL")?;
    let rules = [
        (url.scheme() == "https", "it does not begin with `https://`"),
        (url.username().is_empty() && url.password().is_none(), "it has a user name or a password"),
        (matches!(url.host(), Some(Host::Domain(_))), "its host is an address and not a name"),
        (url.port().is_none(), "it has a port"),
        (url.path() != "/", "it has no path"),
        (url.fragment().is_none(), "it has a fragment (`#`)"),
        (url.as_str() == client_id, "it is not in the normal form of a URL, as in `https://app.example/client.json`"),
    ];
    match rules.into_iter().find(|(is_kept, _)| !is_kept) {
        Some((_, broken)) => Err(broken),
        None => Ok(url),
    }
}

/// True for a client id that is meant to be the URL of a document, by any rules.
pub(super) fn is_web_url(client_id: &str) -> bool {
    let scheme = client_id.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)))
}

impl Metadata {
    /// Reads a document that was found at `client_id`. What is not known here is ignored, other grant types too.
    ///
    /// # Errors
    /// [`DocumentError::NotJson`] if this is something else, [`DocumentError::Invalid`] with the rule that it breaks.
    pub(super) fn read(client_id: &str, json: &[u8]) -> Result<Self, DocumentError> {
        let document: Map<String, Value> = serde_json::from_slice(json).map_err(|_| DocumentError::NotJson)?;
        if text(&document, "client_id") != Some(client_id) {
            return Err(DocumentError::Invalid("its `client_id` is not its URL"));
        }
        if SECRETS.iter().any(|name| document.get(*name).is_some_and(|value| !value.is_null())) {
            return Err(DocumentError::Invalid("it has a client secret, which is no secret in a public document"));
        }
        let keys = keys(&document);
        Ok(Self {
            needs_assertion: needs_assertion(&document, keys.is_some())?,
            redirect_uris: redirect_uris(&document)?,
            name: text(&document, "client_name").map(str::to_owned),
            algorithms: algorithms(&document),
            keys,
        })
    }
}

fn text<'a>(document: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    document.get(name).and_then(Value::as_str)
}

/// The URIs as they are. Whether one is acceptable as a redirect is decided when it is used; wildcards never are, as
/// nothing but the very same text matches a URI.
fn redirect_uris(document: &Map<String, Value>) -> Result<Vec<String>, DocumentError> {
    let uris = document.get("redirect_uris").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if uris.len() > MAX_REDIRECT_URIS {
        return Err(DocumentError::Invalid("it has too many `redirect_uris`"));
    }
    let usable = uris.iter().filter_map(Value::as_str);
    let usable = usable.filter(|uri| uri.len() <= MAX_REDIRECT_URI_BYTES && !uri.contains('*'));
    let usable: Vec<String> = usable.map(str::to_owned).collect();
    if usable.is_empty() { Err(DocumentError::Invalid("it has no usable `redirect_uris`")) } else { Ok(usable) }
}

/// True if the client always proves itself with its key. One that lists `none` besides may also come without.
fn needs_assertion(document: &Map<String, Value>, has_keys: bool) -> Result<bool, DocumentError> {
    let others = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let may_be_public = others.is_some_and(|others| others.iter().any(|method| method == "none"));
    match text(document, "token_endpoint_auth_method") {
        None | Some("none") => Ok(false),
        Some(_) if may_be_public => Ok(false),
        Some("private_key_jwt") if has_keys => Ok(true),
        Some("private_key_jwt") => Err(DocumentError::Invalid("it has no usable `jwks` or `jwks_uri`")),
        Some(_) => Err(DocumentError::Invalid("its `token_endpoint_auth_method` is not `none` or `private_key_jwt`")),
    }
}

fn algorithms(document: &Map<String, Value>) -> Vec<Algorithm> {
    match document.get("token_endpoint_auth_signing_alg") {
        None | Some(Value::Null) => ALGORITHMS.to_vec(),
        Some(name) => {
            let algorithm = name.as_str().and_then(|name| name.parse().ok());
            algorithm.filter(|algorithm| ALGORITHMS.contains(algorithm)).into_iter().collect()
        }
    }
}

fn keys(document: &Map<String, Value>) -> Option<KeyPlace> {
    let url = text(document, "jwks_uri").and_then(|url| Url::parse(url).ok()).filter(|url| url.scheme() == "https");
    url.map(KeyPlace::At).or_else(|| Keys::of(document.get("jwks")?).map(KeyPlace::Here))
}
