//! What a component may import, and what stands behind it.

mod caller;
mod changes;
pub(super) mod guest;
mod input;
mod log;
mod progress;
mod settings;
mod stdio;

use super::wit::VERSION;

/// The package whose interfaces mean something here.
pub(super) const OURS: &str = "tinymcp:plugin/";

/// What a plugin may import of that package: its types, and what the host provides.
pub(super) const PLUGIN_IMPORTS: [&str; 7] = ["content", "input", "progress", "log", "caller", "settings", "changes"];

/// Interfaces by whose import a call can reach its client before it is done.
pub(super) const TALKING: [&str; 4] = ["progress", "log", "input", "changes"];

/// An import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The interface as the component names it.
    pub name: String,
    /// What stands behind it.
    pub behind: Import,
}

/// What stands behind an import, going by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// Works, and shows nothing of the host but time and chance.
    Harmless,
    /// Standard output and error: lines of the log.
    Log,
    /// There is no environment and there are no arguments.
    NoEnvironment,
    /// There are no directories.
    NoFiles,
    /// An interface of `tinymcp:plugin`.
    Plugin,
    /// Every connection is denied.
    NoNetwork,
    /// Types alone, behind which nothing has to stand.
    Types,
    /// The host does not know it, and loads no component that wants it.
    Unknown,
}

impl Import {
    /// Sorts an import by its interface.
    pub(super) fn of(name: &str) -> Self {
        if name.starts_with(OURS) {
            let is_known = PLUGIN_IMPORTS.iter().any(|interface| is_ours(name, interface));
            return if is_known { Self::Plugin } else { Self::Unknown };
        }
        let interface = name.strip_prefix("wasi:").and_then(|rest| rest.split_once("@0.2."));
        let Some((package, interface)) = interface.and_then(|(path, _)| path.split_once('/')) else {
            return Self::Unknown;
        };
        match (package, interface) {
            ("cli", "stdout" | "stderr") => Self::Log,
            ("cli", "environment") => Self::NoEnvironment,
            ("cli" | "clocks" | "io" | "random", _) => Self::Harmless,
            ("filesystem", _) => Self::NoFiles,
            ("http" | "sockets", _) => Self::NoNetwork,
            _ => Self::Unknown,
        }
    }

    /// The same in words.
    pub fn what_is_behind(self) -> &'static str {
        match self {
            Self::Harmless => "provided",
            Self::Log => "goes to the log",
            Self::NoEnvironment => "empty",
            Self::NoFiles => "not granted: no directories",
            Self::Plugin => "provided by this host",
            Self::NoNetwork => "not granted: every connection is denied",
            Self::Types => "types only",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether an import or export is this interface of `tinymcp:plugin`, in the version of this host.
pub(super) fn is_ours(name: &str, interface: &str) -> bool {
    let rest = name.strip_prefix(OURS).and_then(|rest| rest.strip_prefix(interface));
    rest.and_then(|rest| rest.strip_prefix('@')) == Some(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_wasi_0_2_are_provided() {
        for provided in ["wasi:cli/environment@0.2.9", "wasi:http/types@0.2.10"] {
            assert_ne!(Import::of(provided), Import::Unknown, "{provided}");
        }
        for unknown in ["wasi:nn/tensor@0.2.0", "wasi:cli/environment@0.3.0", "acme:a/b", "wasi:cli"] {
            assert_eq!(Import::of(unknown), Import::Unknown, "{unknown}");
        }
    }
}
