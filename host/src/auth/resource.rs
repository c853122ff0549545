//! The resources that tokens are for: this server's MCP endpoint and its views, and no others (RFC 8707, RFC 9728).

use http::HeaderValue;
use http::uri::Authority;
use url::Url;

use super::errors::OAuthError;
use crate::config::address::BaseUrl;
use crate::loopback;
use crate::view::View;

/// The view that the `resource` parameters of a request name. Clients write its endpoint or the whole server, with and
/// without a slash at the end; none at all and the whole server say nothing about the view.
///
/// # Errors
/// `invalid_target` for anything else, and for more than one.
pub(super) fn named<'r>(
    base_url: &BaseUrl,
    resources: impl Iterator<Item = &'r str>,
) -> Result<Option<View>, OAuthError> {
    let mut resources = resources.filter(|resource| !resource.is_empty());
    let Some(resource) = resources.next() else { return Ok(None) };
    if resources.next().is_some() || !is_on_this_host(base_url, resource) {
        return Err(OAuthError::InvalidTarget);
    }
    match written_path(resource) {
        Some("" | "/") => Ok(None),
        path => match path.and_then(View::in_path) {
            Some(Some(name)) => Ok(Some(View::named(name))),
            Some(None) => Ok(Some(View::default())),
            None => Err(OAuthError::InvalidTarget),
        },
    }
}

fn is_on_this_host(base_url: &BaseUrl, resource: &str) -> bool {
    let Ok(url) = Url::parse(resource) else { return false };
    let is_bare = resource.bytes().all(|byte| byte.is_ascii_graphic())
        && url.query().is_none()
        && url.fragment().is_none()
        && !resource.contains(['#', '?', '@'])
        && url.username().is_empty();
    let is_host =
        url.host_str() == base_url.host_str() || (base_url.is_loopback() && url.host_str().is_some_and(is_alias));
    is_bare
        && is_host
        && url.scheme() == base_url.scheme()
        && url.port_or_known_default() == base_url.port_or_known_default()
}

/// The path as it is written: URL parsers make the same of many spellings.
fn written_path(url: &str) -> Option<&str> {
    let (_, after) = url.split_once("://")?;
    Some(after.find('/').map_or("", |at| &after[at..]))
}

/// The server's URL as the request's client spells it: on loopback the name that the client uses, since strict clients
/// compare; otherwise, and in everything else that is published, `base_url`.
pub(super) fn base_for(base_url: &BaseUrl, host: Option<&HeaderValue>) -> String {
    match alias(base_url, host) {
        Some(alias) => format!("{}://{alias}", base_url.scheme()),
        None => base_url.as_str().to_owned(),
    }
}

/// The host and port of a request that calls a loopback server by another name of this machine.
pub(super) fn alias(base_url: &BaseUrl, host: Option<&HeaderValue>) -> Option<String> {
    if !base_url.is_loopback() {
        return None;
    }
    let authority = Authority::try_from(host?.as_bytes()).ok()?;
    let host = authority.host().to_ascii_lowercase();
    let is_other = is_alias(&host) && Some(host.as_str()) != base_url.host_str();
    is_other.then(|| match base_url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

fn is_alias(host: &str) -> bool {
    loopback::HOSTS.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_server_is_a_target() {
        let public: BaseUrl = "https://mcp.example".parse().unwrap();
        let local: BaseUrl = "http://localhost:8000".parse().unwrap();
        for (base_url, resource, expected) in [
            (&public, "https://mcp.example", true),
            (&public, "https://mcp.example/", true),
            (&public, "https://mcp.example/mcp", true),
            (&public, "https://mcp.example/mcp/", true),
            (&public, "HTTPS://MCP.example:443/mcp", true),
            (&public, "http://mcp.example/mcp", false),
            (&public, "https://mcp.example/other", false),
            (&public, "https://mcp.example/mcp/../mcp", false),
            (&public, "https:\\\\mcp.example\\mcp", false),
            (&public, " https://mcp.example/mcp", false),
            (&public, "https://mcp.example/mcp#x", false),
            (&public, "https://mcp.example/mcp#", false),
            (&public, "https://mcp.example/mcp?x", false),
            (&public, "https://u@mcp.example/mcp", false),
            (&public, "https://mcp.example.evil/mcp", false),
            (&public, "https://mcp.example:8443/mcp", false),
            (&public, "https://localhost/mcp", false),
            (&public, "mcp", false),
            (&local, "http://localhost:8000/mcp", true),
            (&local, "http://127.0.0.1:8000/mcp", true),
            (&local, "http://[::1]:8000", true),
            (&local, "http://127.0.0.1:8001/mcp", false),
        ] {
            assert_eq!(named(base_url, std::iter::once(resource)).is_ok(), expected, "{base_url} {resource}");
        }
        assert!(named(&public, std::iter::empty()).is_ok());
        assert!(named(&public, ["https://mcp.example", "https://mcp.example"].into_iter()).is_err());
    }

    #[test]
    fn a_resource_is_one_view_or_says_nothing() {
        let public: BaseUrl = "https://mcp.example".parse().unwrap();
        let (main, ops) = (View::default(), View::named("ops"));
        for (path, expected) in [
            ("", Some(None)),
            ("/", Some(None)),
            ("/mcp", Some(Some(&main))),
            ("/mcp/", Some(Some(&main))),
            ("/mcp/ops", Some(Some(&ops))),
            ("/mcp/ops/", Some(Some(&ops))),
            ("/mcp/Ops", None),
            ("/mcp/%6fps", None),
            ("/mcp//ops", None),
            ("/mcp/ops/../ops", None),
            ("/mcp/ops?x", None),
            ("/mcp/ops#x", None),
            ("/ops", None),
        ] {
            let resource = format!("https://mcp.example{path}");
            let view = named(&public, std::iter::once(resource.as_str()));
            assert_eq!(view.as_ref().ok().map(Option::as_ref), expected, "{path}");
        }
    }

    #[test]
    fn a_loopback_server_answers_to_the_name_that_it_was_called_by() {
        let local: BaseUrl = "http://localhost:8000".parse().unwrap();
        let public: BaseUrl = "https://mcp.example".parse().unwrap();
        for (base_url, host, expected) in [
            (&local, "localhost:8000", "http://localhost:8000"),
            (&local, "127.0.0.1:8000", "http://127.0.0.1:8000"),
            (&local, "[::1]:8000", "http://[::1]:8000"),
            (&local, "extra.example", "http://localhost:8000"),
            (&public, "127.0.0.1", "https://mcp.example"),
        ] {
            assert_eq!(base_for(base_url, Some(&host.parse().unwrap())), expected);
        }
    }
}
