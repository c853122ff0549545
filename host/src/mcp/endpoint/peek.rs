//! A look at a message, as far as is needed to know where it goes.

use std::borrow::Cow;

use rmcp::model::{CancelledNotificationParam, InitializeRequestParams, RequestId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a body is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the body cannot be read as JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("batches are not supported: send each message in a request of its own")]
    Batch,
    #[error("the body is not a JSON-RPC 2.0 message of this protocol")]
    NotARequest,
}

impl Unreadable {
    /// What is wrong with a body that could not be read as a message.
    ///
    /// It is read whole, to its last string and number: text that is not UTF-8, half a surrogate pair, a number that
    /// no double holds and nesting without end are all found by who reads them only.
    pub(super) fn of(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Err(error) => Self::NotJson(error),
            Ok(Value::Array(_)) => Self::Batch,
            Ok(_) => Self::NotARequest,
        }
    }
}

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

    /// The request that this notification cancels.
    pub(super) fn cancels(&self) -> Option<RequestId> {
        if self.method.as_deref() != Some("notifications/cancelled") {
            return None;
        }
        let params: CancelledNotificationParam = serde_json::from_str(self.params?.get()).ok()?;
        params.request_id
    }

    /// Whether the message carries its protocol version itself (2026-07-28, basic: `_meta`).
    pub(super) fn is_modern(&self) -> bool {
        let params = self.params.and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
        params.and_then(|params| params.meta).is_some_and(|meta| meta.protocol_version.is_some())
    }
}
