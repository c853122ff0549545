//! The places of clients' files, on each system.
//!
//! A place is written as people write it: `~` is the person's directory, `${NAME}` a variable, and `${NAME:-other}` has
//! something in its place where the variable is not set.

use std::path::PathBuf;

use super::setup::{ClientFile, Scope};

/// A system, as far as clients keep their files in places of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Linux,
    Macos,
    Windows,
}

impl System {
    /// The one that this program runs on.
    pub(crate) const fn of_this_machine() -> Self {
        if cfg!(target_os = "macos") {
            Self::Macos
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Linux
        }
    }

    const fn home(self) -> &'static str {
        match self {
            Self::Linux | Self::Macos => "HOME",
            Self::Windows => "USERPROFILE",
        }
    }
}

impl ClientFile {
    /// The file's places, by scope; the first of them that is there is meant, else the last. Empty if the client has none
    /// of this scope.
    ///
    /// # Errors
    /// The variable that is missing.
    pub(crate) fn places<'v>(
        &self,
        scope: Scope,
        system: System,
        variable: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Vec<PathBuf>, String> {
        let places = match (scope, system) {
            (Scope::Project, _) => &self.project,
            (Scope::User, System::Linux) => &self.linux,
            (Scope::User, System::Macos) => &self.macos,
            (Scope::User, System::Windows) => &self.windows,
        };
        places.iter().map(|place| expand(place, system, &variable).map(PathBuf::from)).collect()
    }
}

fn expand<'v>(place: &str, system: System, variable: &impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let missing = |name: &str| format!("the variable {name} is not set, which says where the file is");
    if let Some(rest) = place.strip_prefix("${") {
        let (inner, rest) = rest.split_once('}').unwrap_or((rest, ""));
        let (name, other) = inner.split_once(":-").map_or((inner, None), |(name, other)| (name, Some(other)));
        return match (set(name), other) {
            (Some(value), _) => Ok(format!("{value}{rest}")),
            (None, Some(other)) => Ok(format!("{}{rest}", expand(other, system, variable)?)),
            (None, None) => Err(missing(name)),
        };
    }
    match place.strip_prefix('~') {
        Some(rest) => {
            let home = set(system.home()).ok_or_else(|| missing(system.home()))?;
            Ok(format!("{}{rest}", home.trim_end_matches('/')))
        }
        None => Ok(place.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Client;

    fn places(
        client: Client,
        scope: Scope,
        system: System,
        variables: &[(&str, &'static str)],
    ) -> Result<Vec<String>, String> {
        let file = client.setup().file.as_ref().unwrap();
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let places = file.places(scope, system, variable)?;
        Ok(places.iter().map(|place| place.display().to_string()).collect())
    }

    #[test]
    fn files_are_found_on_every_system() {
        let home =
            [("HOME", "/home/ada"), ("USERPROFILE", "C:/Users/ada"), ("APPDATA", "C:/Users/ada/AppData/Roaming")];
        for (client, system, expected) in [
            (Client::Cursor, System::Linux, "/home/ada/.cursor/mcp.json"),
            (Client::Cursor, System::Windows, "C:/Users/ada/.cursor/mcp.json"),
            (Client::Vscode, System::Linux, "/home/ada/.config/Code/User/mcp.json"),
            (Client::Vscode, System::Macos, "/home/ada/Library/Application Support/Code/User/mcp.json"),
            (Client::Vscode, System::Windows, "C:/Users/ada/AppData/Roaming/Code/User/mcp.json"),
            (Client::Goose, System::Linux, "/home/ada/.config/goose/config.yaml"),
            (Client::Goose, System::Windows, "C:/Users/ada/AppData/Roaming/Block/goose/config/config.yaml"),
            (Client::Zed, System::Macos, "/home/ada/.config/zed/settings.json"),
            (Client::Codex, System::Linux, "/home/ada/.codex/config.toml"),
        ] {
            assert_eq!(places(client, Scope::User, system, &home).unwrap(), [expected], "{client:?} {system:?}");
        }
    }

    #[test]
    fn variables_move_them() {
        let moved =
            [("HOME", "/home/ada/"), ("XDG_CONFIG_HOME", "/cfg"), ("CODEX_HOME", "/codex"), ("COPILOT_HOME", "")];
        let user = |client| places(client, Scope::User, System::Linux, &moved).unwrap();
        assert_eq!(user(Client::Goose), ["/cfg/goose/config.yaml"]);
        assert_eq!(user(Client::Codex), ["/codex/config.toml"]);
        assert_eq!(user(Client::Copilot), ["/home/ada/.copilot/mcp-config.json"]);
        assert_eq!(user(Client::Opencode), ["/cfg/opencode/opencode.jsonc", "/cfg/opencode/opencode.json"]);
        let without = places(Client::Goose, Scope::User, System::Windows, &[]).unwrap_err();
        assert!(without.contains("APPDATA"), "{without}");
        assert_eq!(places(Client::Goose, Scope::Project, System::Linux, &[]).unwrap(), [""; 0]);
    }
}
