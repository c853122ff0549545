//! Schemes of URIs. A scheme that one application has to itself may be used to call a client back.
//!
//! The known ones are data, in `host/schemes`: applications by name, schemes on which browsers or systems act, and
//! those that IANA has registered. Any other scheme belongs to some application, or to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    Known::read([
        include_str!("../schemes/applications.toml"),
        include_str!("../schemes/acted_on.toml"),
        include_str!("../schemes/registered.toml"),
    ])
    .expect("the shipped files are read by a test")
});

/// The nature of a scheme, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A browser or the system runs, opens or shows the content of the URI itself.
    Run,
    /// A browser or the system acts on it.
    ActedOn,
    /// IANA has registered it, for something else than one application's answers.
    Registered,
    /// It belongs to the application of this name.
    Application(&'static str),
    /// No known application has it: a domain's name in reverse (RFC 8252 §7.1), or any other name.
    Private,
}

impl Nature {
    /// The nature of a scheme in any case.
    pub(crate) fn of(scheme: &str) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let known = &*KNOWN;
        if known.run.has(&scheme) {
            return Self::Run;
        }
        if let Some(application) = known.applications.get(&scheme) {
            return Self::Application(application);
        }
        // A single letter is a drive, in systems that have them.
        if scheme.len() < 2 || known.acted_on.has(&scheme) {
            return Self::ActedOn;
        }
        if known.registered.contains(&scheme) { Self::Registered } else { Self::Private }
    }
}

/// The application that opens a URI, if its scheme is a known one's.
pub(crate) fn application(uri: &str) -> Option<&'static str> {
    match Nature::of(uri.split_once(':')?.0) {
        Nature::Application(name) => Some(name),
        Nature::Run | Nature::ActedOn | Nature::Registered | Nature::Private => None,
    }
}

/// True for a scheme (RFC 3986 §3.1) in lower case.
pub(crate) fn is_scheme(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(fits)
}

struct Known {
    applications: BTreeMap<String, String>,
    run: Names,
    acted_on: Names,
    registered: BTreeSet<String>,
}

/// Names, and beginnings of names.
#[derive(Default)]
struct Names {
    whole: BTreeSet<String>,
    beginnings: Vec<String>,
}

impl Names {
    fn add(&mut self, name: String) {
        match name.strip_suffix('*') {
            Some(beginning) => self.beginnings.push(beginning.to_owned()),
            None => {
                self.whole.insert(name);
            }
        }
    }

    fn has(&self, scheme: &str) -> bool {
        self.whole.contains(scheme) || self.beginnings.iter().any(|beginning| scheme.starts_with(beginning.as_str()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Applications {
    application: Vec<Application>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    name: String,
    schemes: Vec<String>,
    #[serde(rename = "sources")]
    _sources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActedOn {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "what")]
    _what: String,
    #[serde(default)]
    never: bool,
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    schemes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registered {
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "as_of")]
    _as_of: String,
    schemes: BTreeSet<String>,
}

impl Known {
    fn read([applications, acted_on, registered]: [&str; 3]) -> Result<Self, toml::de::Error> {
        let applications: Applications = toml::from_str(applications)?;
        let groups: ActedOn = toml::from_str(acted_on)?;
        let registered: Registered = toml::from_str(registered)?;
        let named = |application: Application| {
            application.schemes.into_iter().map(move |scheme| (scheme, application.name.clone()))
        };
        let (mut run, mut acted_on) = (Names::default(), Names::default());
        for group in groups.group {
            let names = if group.never { &mut run } else { &mut acted_on };
            group.schemes.into_iter().for_each(|scheme| names.add(scheme));
        }
        Ok(Self {
            applications: applications.application.into_iter().flat_map(named).collect(),
            run,
            acted_on,
            registered: registered.schemes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_files_are_read_and_do_not_contradict_each_other() {
        let known = &*KNOWN;
        let names = known.run.whole.iter().chain(&known.acted_on.whole).chain(&known.registered);
        for name in names.chain(known.applications.keys()) {
            assert!(is_scheme(name), "{name}");
        }
        for beginning in known.run.beginnings.iter().chain(&known.acted_on.beginnings) {
            assert!(is_scheme(beginning) && beginning.len() >= 3, "{beginning}");
        }
        for scheme in known.applications.keys() {
            assert!(!known.run.has(scheme) && !known.acted_on.has(scheme), "{scheme}");
        }
        assert!(known.registered.len() > 350 && known.applications.len() > 15);
    }

    #[test]
    fn schemes_are_told_apart_in_any_case() {
        for (schemes, expected) in [
            (
                "javascript JaVaScript data DATA file blob about view-source intent search-ms jar shell vbscript chrome",
                Nature::Run,
            ),
            (
                "ms-settings ms-anything x-apple.systempreferences x-apple-health itms itms-apps chrome-extension chrome-x \
                 moz-extension mailto tel sms ws wss ftp smb ssh git web+mcp c Z microsoft-edge googlechrome",
                Nature::ActedOn,
            ),
            ("spotify coap+tcp iris.beep z39.50r http https", Nature::Registered),
            ("com.example.app app.contextmcp myapp systemprompt notion msteam-x mozart-app", Nature::Private),
            ("Warp warp", Nature::Application("Warp")),
            ("raycast com.raycast", Nature::Application("Raycast")),
            ("vscodium", Nature::Application("VSCodium")),
            ("vscode", Nature::Application("Visual Studio Code")),
        ] {
            for scheme in schemes.split_whitespace() {
                assert_eq!(Nature::of(scheme), expected, "{scheme}");
            }
        }
    }

    #[test]
    fn an_application_is_found_by_the_uri() {
        assert_eq!(application("warp://mcp/oauth2callback"), Some("Warp"));
        assert_eq!(application("WARP://mcp"), Some("Warp"));
        assert_eq!(application("myapp://cb"), None);
        assert_eq!(application("warp"), None);
    }
}
