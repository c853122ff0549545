//! The commands that a server takes. A new one is a function, and a line in [`COMMANDS`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::recorded::{Act, Begun, USER};
use crate::audit::Audit;
use crate::auth::machines::operator::{self as tokens, OperatorTokens};
use crate::kv::{self, Kv};
use crate::operator::{self, Operator};
use crate::person_label;
use crate::plugins::approval::request::Approvals;

/// What commands work with.
pub struct Parts {
    /// The state of plugins.
    pub kv: Kv,
    /// Told of what operators do.
    pub audit: Audit,
    /// People, sessions, plugins and keys.
    pub operator: Operator,
    /// The tokens that operators make; none where nobody logs in.
    pub tokens: Option<OperatorTokens>,
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
pub(super) const COMMANDS: [Command; 5] = [
    Command { name: "hello", run: hello },
    Command { name: "kv", run: kv },
    Command { name: "operator", run: operator },
    Command { name: "token", run: token },
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
        let act = begun(&parts, Act::of_kv(&request))?;
        let answer = parts.kv.ask(request).await;
        told(act, answer.is_ok());
        serde_json::to_value(answer).map_err(|error| error.to_string())
    })
}

/// Does something with people, sessions, plugins or keys: an [`operator::Request`].
fn operator(parts: Arc<Parts>, arguments: Value) -> Answer {
    Box::pin(async move {
        let request: operator::Request = parsed(arguments)?;
        let act = begun(&parts, Act::of_operator(&request))?;
        let answer = parts.operator.ask(request).await;
        told(act, answer.is_ok());
        serde_json::to_value(answer?).map_err(|error| error.to_string())
    })
}

/// Does something with operators' tokens: a [`tokens::Request`], answered by an answer or an error of it.
fn token(parts: Arc<Parts>, arguments: Value) -> Answer {
    Box::pin(async move {
        let request: tokens::Request = parsed(arguments)?;
        let Some(tokens) = &parts.tokens else {
            return Err("with provider `none` nobody needs a token, and none means anything".to_owned());
        };
        let act = begun(&parts, Act::of_token(&request))?;
        let answer = tokens.ask(request).await;
        told(act, answer.is_ok());
        serde_json::to_value(answer).map_err(|error| error.to_string())
    })
}

/// Shows or approves what waits: an `ApprovalRequest`, answered by an `ApprovalAnswer`.
fn approve(parts: Arc<Parts>, arguments: Value) -> Answer {
    Box::pin(async move {
        let request = parsed(arguments)?;
        let act = begun(&parts, Act::of_approval(&request))?;
        let answer = parts.approvals.ask(request).await;
        told(act, answer.is_ok());
        serde_json::to_value(answer?).map_err(|error| error.to_string())
    })
}

/// Begins an act, unless its line could not be written and nothing goes without.
fn begun(parts: &Parts, act: Option<Act>) -> Result<Option<Begun>, String> {
    let begun = act.map(|act| act.begin(&parts.audit)).transpose();
    begun.map_err(|unwritable| format!("not done: {unwritable} (`audit.on_error`)"))
}

fn told(act: Option<Begun>, is_done: bool) {
    if let Some(act) = act {
        act.end(USER.try_with(|user| *user).unwrap_or_default(), is_done);
    }
}

fn parsed<T: DeserializeOwned>(arguments: Value) -> Result<T, String> {
    // The message may quote a text of the request, and nobody but its sender reads it.
    serde_json::from_value(arguments).map_err(|error| format!("the arguments do not fit the command: {error}"))
}
