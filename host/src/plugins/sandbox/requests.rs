//! Requests to a plugin beside its tools: reading resources, filling in prompts, suggesting values.

use wasmtime::Store;
use wasmtime::component::Instance;

use super::call;
use super::instance::Work;
use super::runtime::Runtime;
use crate::metrics::Outcome;
use crate::plugins::catalog::Prompt;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::imports::guest::Guest;
use crate::plugins::questions;
use crate::plugins::served::Served;
use crate::plugins::types::codec::{of_block, of_contents, require_size};
use crate::plugins::wit::completions::{self, Suggestions, Target};
use crate::plugins::wit::content::Contents;
use crate::plugins::wit::input::Stop;
use crate::plugins::wit::{prompts, resources};

/// Values that a client of MCP gets at most.
const MAX_SUGGESTIONS: usize = 100;

/// An argument for which values are to be suggested.
#[derive(Debug)]
pub struct CompletionRequest {
    /// The prompt or template, as its plugin calls it.
    pub target: Target,
    /// The argument.
    pub argument: String,
    /// The value so far.
    pub typed: String,
    /// The arguments that have been filled in.
    pub others: Vec<(String, String)>,
}

/// The end of a visit that may ask something.
fn outcome_of<T>(output: &Result<T, Stop>) -> Outcome {
    match output {
        Ok(_) => Outcome::Ok,
        Err(Stop::InputRequired(_)) => Outcome::Asked,
        Err(Stop::Failed(_)) => Outcome::Failed,
        Err(Stop::Invalid(_)) => Outcome::Arguments,
    }
}

pub(in crate::plugins) async fn read_resource(
    runtime: &Runtime,
    of: &Served,
    uri: &str,
    conversation: Conversation,
) -> Result<Result<Vec<Contents>, Stop>, CallError> {
    struct Read(resources::GuestIndices, String);

    impl Work for Read {
        type Output = Result<Vec<Contents>, Stop>;

        async fn run(self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self::Output> {
            self.0.load(&mut *store, instance)?.call_read_resource(&mut *store, &self.1).await
        }

        fn outcome(output: &Self::Output) -> Outcome {
            outcome_of(output)
        }
    }

    let Some(resources) = of.plugin.interfaces.resources.clone() else { return Ok(Ok(Vec::new())) };
    let mut read =
        call::visit(runtime, of, ("a resource", "resources/read"), conversation, Read(resources, uri.to_owned()))
            .await?;
    questions::make_fit_if_asked(&mut read, &of.terms)?;
    if let Ok(contents) = &read {
        require_size(contents.iter().map(of_contents).sum(), of.terms.limits.result.bytes())?;
    }
    Ok(read)
}

pub(in crate::plugins) async fn get_prompt(
    runtime: &Runtime,
    prompt: &Prompt,
    arguments: Vec<(String, String)>,
    conversation: Conversation,
) -> Result<Result<prompts::Conversation, Stop>, CallError> {
    struct Get(prompts::GuestIndices, String, Vec<(String, String)>);

    impl Work for Get {
        type Output = Result<prompts::Conversation, Stop>;

        async fn run(self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self::Output> {
            self.0.load(&mut *store, instance)?.call_get_prompt(&mut *store, &self.1, &self.2).await
        }

        fn outcome(output: &Self::Output) -> Outcome {
            outcome_of(output)
        }
    }

    let plugin = &prompt.served.plugin;
    let Some(prompts) = plugin.interfaces.prompts.clone() else {
        return Err(CallError::Host("the plugin has lost its prompts".to_owned()));
    };
    let work = Get(prompts, prompt.prompt().prompt.name.clone(), arguments);
    let mut got = call::visit(runtime, &prompt.served, ("a prompt", "prompts/get"), conversation, work).await?;
    questions::make_fit_if_asked(&mut got, &prompt.served.terms)?;
    if let Ok(got) = &got {
        let size = got.messages.iter().map(|message| of_block(&message.content)).sum();
        require_size(size, prompt.served.terms.limits.result.bytes())?;
    }
    Ok(got)
}

pub(in crate::plugins) async fn complete(
    runtime: &Runtime,
    of: &Served,
    request: CompletionRequest,
    conversation: Conversation,
) -> Result<Suggestions, CallError> {
    struct Complete(completions::GuestIndices, CompletionRequest);

    impl Work for Complete {
        type Output = Suggestions;

        async fn run(self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self::Output> {
            let CompletionRequest { target, argument, typed, others } = self.1;
            let completions = self.0.load(&mut *store, instance)?;
            completions.call_complete(&mut *store, &target, &argument, &typed, &others).await
        }
    }

    let Some(completions) = of.plugin.interfaces.completions.clone() else {
        return Ok(Suggestions { values: Vec::new(), total: None, has_more: false });
    };
    let mut suggestions =
        call::visit(runtime, of, ("suggestions", "completion/complete"), conversation, Complete(completions, request))
            .await?;
    if suggestions.values.len() > MAX_SUGGESTIONS {
        suggestions.values.truncate(MAX_SUGGESTIONS);
        suggestions.has_more = true;
    }
    require_size(suggestions.values.iter().map(String::len).sum(), of.terms.limits.result.bytes())?;
    Ok(suggestions)
}
