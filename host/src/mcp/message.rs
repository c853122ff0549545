//! A look at a message, as far as is needed to know where it goes.

use std::borrow::Cow;

use rmcp::model::InitializeRequestParams;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::endpoint::unreadable::Unreadable;

/// The parts of a JSON-RPC message that decide how it is served.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
    uri: Option<String>,
    arguments: Option<Arguments>,
}

/// Those of the server's own tool `call_tool`, if they are that.
#[derive(Deserialize)]
struct Arguments {
    name: Option<Value>,
}

/// What a request is for, as far as it takes scopes.
pub(super) enum Wanted {
    /// A tool. The second name is that of the tool to call if the first is `call_tool`.
    Tool(String, Option<String>),
    Prompt(String),
    Resource(String),
}

/// Methods that are answered from what the plugins give.
const OF_PLUGINS: [&str; 5] = ["tools/", "prompts/", "resources/", "completion/", "skills/"];

/// Whether a message can only be answered once the plugins are known.
pub(super) fn needs_plugins(body: &[u8]) -> bool {
    let message: Option<Message<'_>> = serde_json::from_slice(body).ok();
    let method = message.and_then(|message| message.method).unwrap_or_default();
    OF_PLUGINS.iter().any(|prefix| method.starts_with(prefix))
}

/// What a request is for; nothing that takes scopes, of any other message.
pub(super) fn wanted(body: &[u8]) -> Option<Wanted> {
    let message: Message<'_> = serde_json::from_slice(body).ok()?;
    let named = || serde_json::from_str::<Named>(message.params?.get()).ok();
    match message.method.as_deref()? {
        "tools/call" => {
            let Named { name, arguments, .. } = named()?;
            let inner = arguments.and_then(|arguments| arguments.name?.as_str().map(str::to_owned));
            Some(Wanted::Tool(name?, inner))
        }
        "prompts/get" => Some(Wanted::Prompt(named()?.name?)),
        "resources/read" | "resources/subscribe" => Some(Wanted::Resource(named()?.uri?)),
        _ => None,
    }
}

impl<'a> Message<'a> {
    /// # Errors
    /// [`Unreadable`], for what cannot be a message; a message can still turn out to be none of the protocol's.
    pub(super) fn peek(body: &'a [u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(body).map_err(|_| Unreadable::of(body))
    }

    /// Whether this is the legacy handshake. A modern request for a method of that name has no handshake in it.
    pub(super) fn is_initialize(&self) -> bool {
        self.method.as_deref() == Some("initialize") && self.initialize().is_some()
    }

    /// The handshake's parameters.
    pub(super) fn initialize(&self) -> Option<InitializeRequestParams> {
        serde_json::from_str(self.params?.get()).ok()
    }

    /// Whether the message carries its protocol version itself (2026-07-28, basic: `_meta`).
    pub(super) fn is_modern(&self) -> bool {
        let params = self.params.and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
        params.and_then(|params| params.meta).is_some_and(|meta| meta.protocol_version.is_some())
    }
}
