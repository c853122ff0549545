//! The place that a person is sent back to, in words that the client cannot choose.

use url::Url;

use super::names::clean_name;
use crate::loopback::is_loopback_url;
use crate::schemes;

/// A redirect URI as it is shown.
pub(super) struct Destination {
    pub(super) place: Place,
    /// The whole URI, in ASCII.
    pub(super) uri: String,
}

/// The kind of place behind a redirect URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A web site: host, and port unless it is the scheme's own.
    Host(String),
    /// An application that listens on this computer.
    ThisComputer,
    /// An application that is known by its scheme.
    App(&'static str),
    /// An application that is not known by its scheme, with the scheme.
    OtherApp(String),
}

impl Destination {
    pub(super) fn of(redirect_uri: &str) -> Self {
        match Url::parse(redirect_uri) {
            Ok(url) => Self { place: Place::of(&url), uri: String::from(url) },
            // It was validated before, so that this is only what is left to do with a text.
            Err(_) => Self { place: Place::OtherApp(String::new()), uri: clean_name(redirect_uri) },
        }
    }
}

impl Place {
    /// Its name within a sentence.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Host(host) => host,
            Self::ThisComputer => "the application on this computer",
            Self::App(name) => name,
            Self::OtherApp(_) => "the application",
        }
    }

    /// Its name at the beginning of a sentence.
    pub(super) fn name_first(&self) -> &str {
        match self {
            Self::ThisComputer => "The application on this computer",
            Self::OtherApp(_) => "The application",
            Self::Host(_) | Self::App(_) => self.name(),
        }
    }

    /// The moment at which it learns the result of the login, as a clause after "as soon as".
    pub(super) fn when(&self) -> &'static str {
        match self {
            Self::Host(_) | Self::ThisComputer => "you follow the link",
            Self::App(_) | Self::OtherApp(_) => "it opens",
        }
    }

    fn of(url: &Url) -> Self {
        match (url.scheme(), url.host()) {
            ("http" | "https", Some(_)) if is_loopback_url(url) => Self::ThisComputer,
            ("http" | "https", Some(host)) => {
                // Without a user name, which could look like a host.
                Self::Host(url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")))
            }
            (scheme, _) => match schemes::application(url.as_str()) {
                Some(app) => Self::App(app),
                None => Self::OtherApp(scheme.to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_named_by_what_cannot_be_forged() {
        let check = |uri: &str, place: Place| assert_eq!(Destination::of(uri).place, place, "{uri}");
        check("http://localhost:3118/callback", Place::ThisComputer);
        check("http://127.0.0.1/", Place::ThisComputer);
        check("http://[::1]:1/", Place::ThisComputer);
        check("https://claude.ai/api/mcp/auth_callback", Place::Host("claude.ai".to_owned()));
        check("https://app.example.com:8443/x", Place::Host("app.example.com:8443".to_owned()));
        check("https://claude.ai@evil.example/x", Place::Host("evil.example".to_owned()));
        check("https://clаude.ai/x", Place::Host("xn--clude-5ve.ai".to_owned()));
        check("cursor://anysphere.cursor-mcp/oauth/callback", Place::App("Cursor"));
        check("warp://mcp/oauth2callback", Place::App("Warp"));
        check("com.example.app:/callback", Place::OtherApp("com.example.app".to_owned()));
    }

    #[test]
    fn all_of_it_is_shown_in_ascii() {
        let check = |uri: &str, shown: &str| assert_eq!(Destination::of(uri).uri, shown);
        check("https://bücher.example/\u{202e}x?q=é", "https://xn--bcher-kva.example/%E2%80%AEx?q=%C3%A9");
        check("cursor://anysphere.cursor-mcp/\u{202e}x", "cursor://anysphere.cursor-mcp/%E2%80%AEx");
    }
}
