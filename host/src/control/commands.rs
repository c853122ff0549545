//! The commands that a server takes. A new one is a function, and a line in [`COMMANDS`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kv::{self, Kv};
use crate::operator::{self, Operator};
use crate::person_label;
use crate::plugins::approval::request::Approvals;

/// What commands work with.
pub struct Parts {
    /// The state of plugins.
    pub kv: Kv,
    /// People, sessions, plugins and keys.
    pub operator: Operator,
    /// What waits for approval.
    pub approvals: Approvals,
}

type Answer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// A command.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) run: fn(Arc<Parts>, Value) -> Answer,
}

/// Every command.
pub(super) const COMMANDS: [Command; 4] = [
    Command { name: "hello", run: hello },
    Command { name: "kv", run: kv },
    Command { name: "operator", run: operator },
    Command { name: "approve", run: approve },
];

/// Tells that a server is there, which, and by which names its log has people.
fn hello(_: Arc<Parts>, _: Value) -> Answer {
    let hello = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "person_label_key": person_label::shared_key(),
    });
    Box::pin(std::future::ready(Ok(hello)))
}

/// Does something with the state of plugins: a [`kv::Request`], answered by an answer or an error of it.
fn kv(parts: Arc<Parts>, arguments: Value) -> Answer {
    Box::pin(async move {
        let request: kv::Request = parsed(arguments)?;
        let answer = parts.kv.ask(request).await;
        serde_json::to_value(answer).map_err(|error| error.to_string())
    })
}

/// Does something with people, sessions, plugins or keys: an [`operator::Request`].
fn operator(parts: Arc<Parts>, arguments: Value) -> Answer {
    Box::pin(async move {
        let request: operator::Request = parsed(arguments)?;
        let answer = parts.operator.ask(request).await?;
        serde_json::to_value(answer).map_err(|error| error.to_string())
    })
}

/// Shows or approves what waits: an `ApprovalRequest`, answered by an `ApprovalAnswer`.
fn approve(parts: Arc<Parts>, arguments: Value) -> Answer {
    Box::pin(async move {
        let answer = parts.approvals.ask(parsed(arguments)?).await?;
        serde_json::to_value(answer).map_err(|error| error.to_string())
    })
}

fn parsed<T: DeserializeOwned>(arguments: Value) -> Result<T, String> {
    // The message may quote a text of the request, and nobody but its sender reads it.
    serde_json::from_value(arguments).map_err(|error| format!("the arguments do not fit the command: {error}"))
}
