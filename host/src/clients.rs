//! How clients are told of this server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::ValueEnum;
use serde_json::{Value, json};

/// The name under which clients list this server.
const SERVER_NAME: &str = "tinymcp";

/// Clients whose configuration is known.
#[derive(Clone, Copy, ValueEnum)]
pub enum Client {
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
    /// What to paste, and where, on a line of its own each.
    pub fn snippet(self, url: &str) -> String {
        let pretty = |value: Value| serde_json::to_string_pretty(&value).expect("values are JSON");
        let servers = |key: &str, entry: Value| pretty(json!({ key: { SERVER_NAME: entry } }));
        match self {
            Self::Cursor => {
                format!("# .cursor/mcp.json (or ~/.cursor/mcp.json)\n{}", servers("mcpServers", json!({ "url": url })))
            }
            Self::ClaudeCode => format!("claude mcp add --transport http {SERVER_NAME} {url}"),
            Self::Vscode => {
                format!("# .vscode/mcp.json\n{}", servers("servers", json!({ "type": "http", "url": url })))
            }
            Self::Codex => format!("# ~/.codex/config.toml\n[mcp_servers.{SERVER_NAME}]\nurl = \"{url}\""),
            Self::Gemini => format!("# ~/.gemini/settings.json\n{}", servers("mcpServers", json!({ "httpUrl": url }))),
            Self::Windsurf => {
                format!("# ~/.codeium/windsurf/mcp_config.json\n{}", servers("mcpServers", json!({ "serverUrl": url })))
            }
            Self::Zed => {
                format!("# ~/.config/zed/settings.json\n{}", servers("context_servers", json!({ "url": url })))
            }
            Self::Stdio => {
                let command = json!({ "command": "npx", "args": ["-y", "mcp-remote", url] });
                servers("mcpServers", command)
            }
        }
    }
}

/// A link that adds the server to Cursor.
pub fn cursor_link(url: &str) -> String {
    let config = BASE64.encode(json!({ "url": url }).to_string());
    let encoded: String = url::form_urlencoded::byte_serialize(config.as_bytes()).collect();
    format!("cursor://anysphere.cursor-deeplink/mcp/install?name={SERVER_NAME}&config={encoded}")
}
