//! What connects clients to this server: entries for their configuration, and commands of theirs that write them.
//!
//! Each client is a file of `host/clients/connect`, with its sources. [`setup`] reads them, [`place`] finds a client's
//! files on this machine, and [`edit`] puts an entry into one of them, or takes it out, and leaves everything else.

pub(crate) mod edit;
pub(crate) mod place;
pub(crate) mod setup;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde_json::json;

use self::setup::{Setup, Target, Way};

/// The name under which clients list this server, unless another is chosen.
pub(crate) const SERVER_NAME: &str = "tinymcp";

/// Clients whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Cursor
    Cursor,
    /// Claude Code
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// claude.ai in a browser
    ClaudeAi,
    /// ChatGPT
    Chatgpt,
    /// VS Code
    Vscode,
    /// GitHub Copilot CLI
    Copilot,
    /// Codex
    Codex,
    /// Gemini CLI
    Gemini,
    /// Qwen Code
    Qwen,
    /// opencode
    Opencode,
    /// Cline
    Cline,
    /// goose
    Goose,
    /// Windsurf
    Windsurf,
    /// Zed
    Zed,
    /// MCP Inspector
    Inspector,
    /// `.mcp.json` of a project, which several clients read
    McpJson,
    /// Clients that start a command and know no URL
    Stdio,
}

impl Client {
    /// What is known about it.
    pub(crate) fn setup(self) -> &'static Setup {
        static SETUPS: LazyLock<Vec<Setup>> = LazyLock::new(|| {
            let read = |client: &Client| toml::from_str(client.file()).expect("a test reads every file");
            Client::value_variants().iter().map(read).collect()
        });
        // In the order of the variants.
        &SETUPS[self as usize]
    }

    /// Its file.
    const fn file(self) -> &'static str {
        match self {
            Self::Cursor => include_str!("../clients/connect/cursor.toml"),
            Self::ClaudeCode => include_str!("../clients/connect/claude-code.toml"),
            Self::ClaudeDesktop => include_str!("../clients/connect/claude-desktop.toml"),
            Self::ClaudeAi => include_str!("../clients/connect/claude-ai.toml"),
            Self::Chatgpt => include_str!("../clients/connect/chatgpt.toml"),
            Self::Vscode => include_str!("../clients/connect/vscode.toml"),
            Self::Copilot => include_str!("../clients/connect/copilot.toml"),
            Self::Codex => include_str!("../clients/connect/codex.toml"),
            Self::Gemini => include_str!("../clients/connect/gemini.toml"),
            Self::Qwen => include_str!("../clients/connect/qwen.toml"),
            Self::Opencode => include_str!("../clients/connect/opencode.toml"),
            Self::Cline => include_str!("../clients/connect/cline.toml"),
            Self::Goose => include_str!("../clients/connect/goose.toml"),
            Self::Windsurf => include_str!("../clients/connect/windsurf.toml"),
            Self::Zed => include_str!("../clients/connect/zed.toml"),
            Self::Inspector => include_str!("../clients/connect/inspector.toml"),
            Self::McpJson => include_str!("../clients/connect/mcp-json.toml"),
            Self::Stdio => include_str!("../clients/connect/stdio.toml"),
        }
    }

    /// The place of the snippet.
    pub(crate) fn place(self) -> &'static str {
        &self.setup().place
    }

    /// The text to paste there. Most clients open a browser by themselves if people have to log in.
    pub(crate) fn snippet(self, url: &str, has_login: bool) -> String {
        let target = Target { name: SERVER_NAME.to_owned(), way: Way::Http(url.to_owned()) };
        self.setup().snippet(&target, has_login).unwrap_or_default()
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
