//! Snippets of configuration that connect clients to this server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde_json::{Value, json};

/// The name under which clients list this server.
const SERVER_NAME: &str = "tinymcp";

/// Clients whose configuration is known.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Client {
    /// `.cursor/mcp.json`.
    Cursor,
    /// A command that adds the server.
    ClaudeCode,
    /// `.vscode/mcp.json`.
    Vscode,
    /// `~/.codex/config.toml`.
    Codex,
    /// `~/.gemini/settings.json`.
    Gemini,
    /// Windsurf's own file.
    Windsurf,
    /// Zed's settings.
    Zed,
    /// Clients that start a command and know no URL.
    Stdio,
}

impl Client {
    /// The place of the snippet.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::Cursor => ".cursor/mcp.json",
            Self::ClaudeCode => "a terminal",
            Self::Vscode => ".vscode/mcp.json",
            Self::Codex => "~/.codex/config.toml",
            Self::Gemini => "~/.gemini/settings.json",
            Self::Windsurf => "~/.codeium/windsurf/mcp_config.json",
            Self::Zed => "~/.config/zed/settings.json",
            Self::Stdio => "the client's configuration",
        }
    }

    /// The text to paste there. Most clients open a browser by themselves if people have to log in.
    pub(crate) fn snippet(self, url: &str, has_login: bool) -> String {
        let servers = |key: &str, entry: Value| {
            serde_json::to_string_pretty(&json!({ key: { SERVER_NAME: entry } })).expect("values are JSON")
        };
        match self {
            Self::Cursor => servers("mcpServers", json!({ "url": url })),
            Self::ClaudeCode => {
                let add = format!("claude mcp add --transport http {SERVER_NAME} {url}");
                if has_login { format!("{add}\nclaude mcp login {SERVER_NAME}") } else { add }
            }
            Self::Vscode => servers("servers", json!({ "type": "http", "url": url })),
            Self::Codex => format!("[mcp_servers.{SERVER_NAME}]\nurl = \"{url}\""),
            Self::Gemini => servers("mcpServers", json!({ "httpUrl": url })),
            Self::Windsurf => servers("mcpServers", json!({ "serverUrl": url })),
            Self::Zed => servers("context_servers", json!({ "url": url })),
            Self::Stdio => servers("mcpServers", json!({ "command": "npx", "args": ["-y", "mcp-remote", url] })),
        }
    }
}

/// A link that adds the server to Cursor.
pub(crate) fn cursor_link(url: &str) -> String {
    let config = STANDARD.encode(json!({ "url": url }).to_string());
    let encoded: String = url::form_urlencoded::byte_serialize(config.as_bytes()).collect();
    format!("cursor://anysphere.cursor-deeplink/mcp/install?name={SERVER_NAME}&config={encoded}")
}

/// A link that adds the server to VS Code.
pub(crate) fn vscode_link(url: &str) -> String {
    let config = json!({ "name": SERVER_NAME, "type": "http", "url": url }).to_string();
    // Spaces are written as `%20`: the query is JSON, and no form.
    let encoded: String = url::form_urlencoded::byte_serialize(config.as_bytes()).collect();
    format!("vscode:mcp/install?{}", encoded.replace('+', "%20"))
}
