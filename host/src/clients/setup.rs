//! What is known about one client, as data, and the texts that are made of it.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Map, Value, json};

use super::edit::{self, Format};

/// A file of `host/clients/connect`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The client's own name.
    pub(crate) title: String,
    /// The place of the snippet, for people.
    pub(crate) place: String,
    /// The snippet, where that is not the entry of the file.
    #[serde(default)]
    shows: Shown,
    /// The file with its servers.
    pub(crate) file: Option<ClientFile>,
    #[serde(default)]
    commands: Commands,
    #[serde(default)]
    words: Texts,
    #[serde(default)]
    notes: Texts,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shown {
    #[default]
    File,
    Command,
    Words,
}

/// The file in which a client lists its servers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFile {
    pub(crate) format: Format,
    /// The file that is meant where nobody says which.
    pub(crate) scope: Scope,
    /// Places in a project. Of several, one that is there, else the last.
    #[serde(default)]
    pub(crate) project: Vec<String>,
    /// Places for all projects of a person, by system.
    #[serde(default)]
    pub(crate) linux: Vec<String>,
    #[serde(default)]
    pub(crate) macos: Vec<String>,
    #[serde(default)]
    pub(crate) windows: Vec<String>,
    shapes: Vec<Shape>,
}

/// One of the two files that many clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The project in the working directory
    Project,
    /// All projects of this user
    User,
}

/// The form of an entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// The names of the tables around it.
    pub(crate) at: Vec<String>,
    /// It is for files that have these tables already.
    #[serde(default)]
    only_if_there: bool,
    #[serde(deserialize_with = "entry")]
    http: Map<String, Value>,
    #[serde(deserialize_with = "entry")]
    stdio: Map<String, Value>,
    /// Further members that say where the server is, and would contradict the entry.
    #[serde(default)]
    stale: Vec<String>,
}

/// Commands of the client, with `{…}` where something stands for the server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commands {
    http: Option<String>,
    stdio: Option<String>,
    login: Option<String>,
    remove: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    all: Option<String>,
    http: Option<String>,
    stdio: Option<String>,
}

/// The server, as a client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name in the client's list.
    pub(crate) name: String,
    pub(crate) way: Way,
}

/// The way to the server.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Its URL.
    Http(String),
    /// A program that the client starts, and its arguments.
    Stdio {
        /// Its path.
        command: String,
        arguments: Vec<String>,
    },
}

/// An entry is JSON in every file, whatever the format: it is the one that everybody can read.
fn entry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl Setup {
    /// True for an entry that is for clients of a kind, whose files are anywhere.
    pub(crate) fn is_any_client(&self) -> bool {
        self.file
            .as_ref()
            .is_some_and(|file| [&file.project, &file.linux, &file.macos, &file.windows].into_iter().all(Vec::is_empty))
    }

    /// The text to paste; `None` if the client has no such way.
    pub(crate) fn snippet(&self, target: &Target, has_login: bool) -> Option<String> {
        match self.shows {
            Shown::File => {
                let file = self.file.as_ref()?;
                let shape = file.shape(&Value::Null);
                Some(edit::alone(file.format, &shape.at, &target.name, &shape.entry(target)))
            }
            Shown::Command => {
                let login = self.login(target).filter(|_| has_login && matches!(target.way, Way::Http(_)));
                Some([self.command(target)?].into_iter().chain(login).collect::<Vec<_>>().join("\n"))
            }
            Shown::Words => Some(fill(self.words.of(target)?, target)),
        }
    }

    /// The client's own command that adds the server.
    pub(crate) fn command(&self, target: &Target) -> Option<String> {
        let command = match target.way {
            Way::Http(_) => &self.commands.http,
            Way::Stdio { .. } => &self.commands.stdio,
        };
        let json = || {
            let shape = self.file.as_ref()?.shape(&Value::Null);
            let mut entry = shape.entry(target);
            entry.shift_insert(0, "name".to_owned(), target.name.clone().into());
            Some(Value::Object(entry).to_string())
        };
        command_line(command.as_deref()?, target, json)
    }

    /// The client's own command that logs in.
    pub(crate) fn login(&self, target: &Target) -> Option<String> {
        command_line(self.commands.login.as_deref()?, target, || None)
    }

    /// The client's own command that removes the server.
    pub(crate) fn removal(&self, target: &Target) -> Option<String> {
        command_line(self.commands.remove.as_deref()?, target, || None)
    }

    /// True if the snippet is a command already.
    pub(crate) fn shows_command(&self) -> bool {
        self.shows == Shown::Command
    }

    /// What else to know.
    pub(crate) fn notes(&self, target: &Target) -> impl Iterator<Item = &str> {
        [self.notes.of(target), self.notes.all.as_deref()].into_iter().flatten()
    }
}

impl Texts {
    fn of(&self, target: &Target) -> Option<&str> {
        match target.way {
            Way::Http(_) => self.http.as_deref(),
            Way::Stdio { .. } => self.stdio.as_deref(),
        }
    }
}

impl ClientFile {
    /// The form of an entry in a file with these contents.
    pub(crate) fn shape(&self, contents: &Value) -> &Shape {
        let is_there = |shape: &&Shape| {
            let at = shape.at.iter().try_fold(contents, |value, key| value.get(key));
            !shape.only_if_there || at.is_some_and(Value::is_object)
        };
        self.shapes.iter().find(is_there).unwrap_or(&self.shapes[self.shapes.len() - 1])
    }
}

impl Shape {
    /// The entry for a server.
    pub(crate) fn entry(&self, target: &Target) -> Map<String, Value> {
        let entry = match target.way {
            Way::Http(_) => &self.http,
            Way::Stdio { .. } => &self.stdio,
        };
        entry.iter().map(|(key, value)| (key.clone(), filled(value, target))).collect()
    }

    /// Members of an older entry that would contradict this one.
    pub(crate) fn stale(&self, entry: &Map<String, Value>) -> Vec<String> {
        let others = self.http.keys().chain(self.stdio.keys()).chain(&self.stale);
        others.filter(|key| !entry.contains_key(*key)).cloned().collect()
    }
}

fn filled(value: &Value, target: &Target) -> Value {
    match value {
        Value::String(text) => fill(text, target).into(),
        Value::Array(items) => {
            let items = items.iter().flat_map(|item| match (item.as_str(), &target.way) {
                (Some("{args}"), Way::Stdio { arguments, .. }) => arguments.iter().map(|it| json!(it)).collect(),
                _ => vec![filled(item, target)],
            });
            items.collect()
        }
        other => other.clone(),
    }
}

fn fill(text: &str, target: &Target) -> String {
    let (url, command) = match &target.way {
        Way::Http(url) => (url.as_str(), ""),
        Way::Stdio { command, .. } => ("", command.as_str()),
    };
    text.replace("{name}", &target.name).replace("{url}", url).replace("{command}", command)
}

/// A command, each word quoted for a shell where that needs it.
fn command_line(command: &str, target: &Target, json: impl Fn() -> Option<String>) -> Option<String> {
    let mut words = Vec::new();
    for word in command.split(' ') {
        match (word, &target.way) {
            ("{args}", Way::Stdio { arguments, .. }) => words.extend(arguments.iter().map(|it| quoted(it))),
            ("{json}", _) => words.push(quoted(&json()?)),
            _ => words.push(quoted(&fill(word, target))),
        }
    }
    Some(words.join(" "))
}

fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@%+=,".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::clients::Client;

    fn http() -> Target {
        Target { name: "tinymcp".to_owned(), way: Way::Http("https://mcp.example.com/mcp".to_owned()) }
    }

    fn stdio() -> Target {
        let arguments = ["stdio", "--config", "/srv/my site/tinymcp.toml"].map(str::to_owned).to_vec();
        Target { name: "tinymcp".to_owned(), way: Way::Stdio { command: "/opt/tinymcp".to_owned(), arguments } }
    }

    #[test]
    fn every_client_can_be_shown_the_url() {
        for client in Client::value_variants() {
            let setup = client.setup();
            let snippet = setup.snippet(&http(), true).unwrap();
            assert!(snippet.contains("https://mcp.example.com/mcp"), "{client:?}: {snippet}");
            let rest = setup.snippet(&stdio(), true).unwrap_or_default() + &setup.command(&stdio()).unwrap_or_default();
            for mark in ["{url}", "{command}", "{args}", "{name}", "{json}"] {
                assert!(!snippet.contains(mark) && !rest.contains(mark), "{client:?}: {snippet}\n{rest}");
            }
            if let Some(file) = &setup.file {
                let shape = file.shape(&Value::Null);
                assert!(!shape.only_if_there, "{client:?}");
                // Each way takes the other's members away, and none of its own.
                for target in [http(), stdio()] {
                    let entry = shape.entry(&target);
                    assert!(shape.stale(&entry).iter().all(|key| !entry.contains_key(key)), "{client:?}");
                }
            }
        }
    }

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let command = |client: Client, target: &Target| client.setup().command(target).unwrap();
        assert_eq!(
            command(Client::ClaudeCode, &http()),
            "claude mcp add --transport http tinymcp https://mcp.example.com/mcp"
        );
        assert_eq!(
            command(Client::Codex, &stdio()),
            "codex mcp add tinymcp -- /opt/tinymcp stdio --config '/srv/my site/tinymcp.toml'"
        );
        assert_eq!(
            command(Client::Vscode, &http()),
            r#"code --add-mcp '{"name":"tinymcp","type":"http","url":"https://mcp.example.com/mcp"}'"#
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_file_that_has_the_newer_form_keeps_it() {
        let file = Client::Opencode.setup().file.as_ref().unwrap();
        assert_eq!(file.shape(&json!({ "mcp": { "servers": {} } })).at, ["mcp", "servers"]);
        assert_eq!(file.shape(&json!({ "mcp": { "other": {} } })).at, ["mcp"]);
        let entry = file.shape(&Value::Null).entry(&stdio());
        assert_eq!(entry["command"], json!(["/opt/tinymcp", "stdio", "--config", "/srv/my site/tinymcp.toml"]));
    }
}
