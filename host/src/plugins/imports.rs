//! The imports that a component may have, and the host's side of each.
//!
//! Each interface of `tinymcp:plugin` is a module of the same shape: `link` puts it into the linker, and the rest does
//! its work. A new one is a module, and a line in [`CAPABILITIES`].

mod allowance;
mod caller;
mod changes;
mod config;
mod files;
pub(super) mod guest;
mod http;
mod input;
mod keyvalue;
mod kv;
mod log;
mod progress;
mod secrets;
mod settings;
mod sockets;
mod stdio;
mod wasi;

use wasmtime::component::Linker;

use self::guest::Guest;
use super::wit::VERSION;

/// The package whose interfaces mean something here.
pub(super) const OURS: &str = "tinymcp:plugin/";

/// An interface of that package which a plugin may import, beside the types.
struct Capability {
    name: &'static str,
    /// A call can reach its client by it before it is done.
    talks: bool,
    /// Puts it into the linker.
    link: fn(&mut Linker<Guest>) -> wasmtime::Result<()>,
}

const CAPABILITIES: [Capability; 8] = [
    Capability { name: "caller", talks: false, link: caller::link },
    Capability { name: "changes", talks: true, link: changes::link },
    Capability { name: "input", talks: true, link: input::link },
    Capability { name: "kv", talks: false, link: kv::link },
    Capability { name: "log", talks: true, link: log::link },
    Capability { name: "progress", talks: true, link: progress::link },
    Capability { name: "secrets", talks: false, link: secrets::link },
    Capability { name: "settings", talks: false, link: settings::link },
];

/// The interface of that package that has types alone.
const TYPES: &str = "content";

/// An import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The interface as the component names it.
    pub name: String,
    /// The host's side of it.
    pub behind: Provision,
}

/// The host's side of an import, going by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provision {
    /// Works, and shows nothing of the host but time and chance.
    Harmless,
    /// Standard output and error: lines of the log.
    Log,
    /// The variables of `env`. There are no arguments.
    Environment,
    /// Settings, and secrets that are said to be configuration.
    Config,
    /// Granted folders, and no others.
    Files,
    /// An interface of `tinymcp:plugin`.
    Plugin,
    /// Requests that the plugin was granted.
    Requests,
    /// Datagrams: all are denied.
    NoNetwork,
    /// State that this host keeps, where `kv` is granted.
    State,
    /// Connections to what is granted as `tcp`.
    Sockets,
    /// Types alone, behind which nothing has to stand.
    Types,
    /// The host does not know it, and loads no component that wants it.
    Unknown,
}

impl Provision {
    /// Sorts an import by its interface.
    pub(super) fn of(name: &str) -> Self {
        if name.starts_with(OURS) {
            let is_known = is_ours(name, TYPES) || capability(name).is_some();
            return match is_known {
                true if is_ours(name, "kv") => Self::State,
                true => Self::Plugin,
                false => Self::Unknown,
            };
        }
        if keyvalue::is_served(name) {
            return Self::State;
        }
        if config::is_served(name) {
            return Self::Config;
        }
        let interface = name.strip_prefix("wasi:").and_then(|rest| rest.split_once("@0.2."));
        let Some((package, interface)) = interface.and_then(|(path, _)| path.split_once('/')) else {
            return Self::Unknown;
        };
        match (package, interface) {
            ("cli", "stdout" | "stderr") => Self::Log,
            ("cli", "environment") => Self::Environment,
            ("cli" | "clocks" | "io" | "random", _) => Self::Harmless,
            ("filesystem", _) => Self::Files,
            ("http", _) => Self::Requests,
            ("sockets", "udp" | "udp-create-socket") => Self::NoNetwork,
            ("sockets", _) => Self::Sockets,
            _ => Self::Unknown,
        }
    }

    /// The same in words.
    pub fn what_is_behind(self) -> &'static str {
        match self {
            Self::Harmless => "provided",
            Self::Log => "goes to the log",
            Self::Environment => "the variables that `env` grants",
            Self::Config => "`settings`, and the secrets that are granted with `config = true`",
            Self::Files => "granted folders only (`dirs`)",
            Self::Plugin => "provided by this host",
            Self::Requests => "requests that `http` grants, and no others",
            Self::NoNetwork => "denied",
            Self::State => "kept by this host, if `kv` grants it",
            Self::Sockets => "connections that `tcp` grants, and no others",
            Self::Types => "types only",
            Self::Unknown => "unknown",
        }
    }
}

/// Tells whether an import or export is this interface of `tinymcp:plugin`, in the version of this host.
pub(super) fn is_ours(name: &str, interface: &str) -> bool {
    let rest = name.strip_prefix(OURS).and_then(|rest| rest.strip_prefix(interface));
    rest.and_then(|rest| rest.strip_prefix('@')) == Some(VERSION)
}

fn capability(import: &str) -> Option<&'static Capability> {
    CAPABILITIES.iter().find(|capability| is_ours(import, capability.name))
}

/// Tells whether a call can reach its client by this import before it is done.
pub(super) fn talks(import: &str) -> bool {
    capability(import).is_some_and(|capability| capability.talks)
}

/// Links everything that a component may import.
///
/// # Errors
/// When two interfaces claim one name, which a test would have met.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    config::link(&mut linker)?;
    http::link(&mut linker)?;
    keyvalue::link(&mut linker)?;
    sockets::link(&mut linker)?;
    CAPABILITIES.iter().try_for_each(|capability| (capability.link)(&mut linker))?;
    Ok(linker)
}

/// The same, for a component that does not fit: with functions as they were before a draft was changed under its version.
/// None where the component imports nothing of that kind.
pub(super) fn older(
    linker: &Linker<Guest>,
    mut imports: impl Iterator<Item = impl AsRef<str>>,
) -> Option<Linker<Guest>> {
    imports.any(|import| keyvalue::has_changed(import.as_ref())).then(|| keyvalue::before_last_change(linker).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sockets_and_no_datagrams() {
        assert_eq!(Provision::of("wasi:sockets/tcp@0.2.9"), Provision::Sockets);
        assert_eq!(Provision::of("wasi:sockets/ip-name-lookup@0.2.9"), Provision::Sockets);
        assert_eq!(Provision::of("wasi:sockets/udp@0.2.9"), Provision::NoNetwork);
        assert_eq!(Provision::of("wasi:sockets/udp-create-socket@0.2.9"), Provision::NoNetwork);
    }

    #[test]
    fn interfaces_of_wasi_0_2_are_provided() {
        let keyvalue = "wasi:keyvalue/store@0.2.0-draft2";
        let provided =
            ["wasi:cli/environment@0.2.9", "wasi:http/types@0.2.10", "wasi:config/store@0.2.0-rc.1", keyvalue];
        for provided in provided {
            assert_ne!(Provision::of(provided), Provision::Unknown, "{provided}");
        }
        for unknown in [
            "wasi:config/store@0.2.0",
            "wasi:keyvalue/store@0.2.0",
            "wasi:nn/tensor@0.2.0",
            "wasi:cli/environment@0.3.0",
            "acme:a/b",
            "wasi:cli",
        ] {
            assert_eq!(Provision::of(unknown), Provision::Unknown, "{unknown}");
        }
    }
}
