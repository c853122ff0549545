//! The clients of the page: what each needs to reach this server, with links that add it by themselves where a client
//! has one.

use crate::clients::{self, Client};

/// One client.
pub(super) struct ClientView {
    /// A name for the page's own elements.
    pub(super) id: String,
    pub(super) name: String,
    /// The place of the text.
    pub(super) place: String,
    pub(super) text: String,
    /// The client's own command that does the same.
    pub(super) command: Option<String>,
    /// What else to know.
    pub(super) notes: Vec<String>,
    /// A link that adds the server.
    pub(super) link: Option<String>,
}

/// Every client whose configuration is known.
pub(super) fn clients(endpoint: &str, has_login: bool) -> Vec<ClientView> {
    let known = [
        ("Claude Code", Client::ClaudeCode),
        ("Cursor", Client::Cursor),
        ("VS Code", Client::Vscode),
        ("Codex", Client::Codex),
        ("Gemini CLI", Client::Gemini),
        ("Windsurf", Client::Windsurf),
        ("Zed", Client::Zed),
        ("Anything that starts a command", Client::Stdio),
    ];
    let view = |(name, client): (&'static str, Client)| ClientView {
        id: name.to_lowercase().replace(' ', "-"),
        name: name.to_owned(),
        place: client.place().to_owned(),
        text: client.snippet(endpoint, has_login),
        command: None,
        notes: Vec::new(),
        link: match client {
            Client::Cursor => Some(clients::cursor_link(endpoint)),
            Client::Vscode => Some(clients::vscode_link(endpoint)),
            _ => None,
        },
    };
    known.into_iter().map(view).collect()
}
