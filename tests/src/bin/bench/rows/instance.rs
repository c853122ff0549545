//! The cost of the sandbox in a call: `add` through the very path that the server uses, within this process, and the
//! same arguments through the codec alone.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Map, json};
use tinymcp::config::Config;
use tinymcp::grants::PluginGrants;
use tinymcp::plugins::Plugins;
use tinymcp::plugins::conversation::Conversation;
use tinymcp::plugins::plugin::FunctionKind;
use tinymcp::plugins::services::Services;
use tinymcp::plugins::types::codec;
use tinymcp::principal::Principal;

use crate::Plan;
use crate::figures::{Figures, Goal, Unit};
use crate::site::Workshop;
use crate::table::Line;

/// Calls of a round; those of the first tenth are not counted.
const CALLS: usize = 20_000;

/// Calls of one round.
struct Round {
    sandboxed: Figures,
    native: Figures,
}

/// # Errors
/// When the engine cannot run here, or a call fails.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("add.wasm");
    std::fs::write(&file, &workshop.add)?;
    let plugins = Plugins::of_file((&Config::default(), &PluginGrants::default()), Services::default(), None, &file)?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(round(&plugins).await?);
    }
    let of_rounds = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Figures>();
    Ok(vec![
        Line::new("a call, p50", of_rounds(&|it| it.sandboxed.median()), Unit::Microseconds),
        Line::new("the codec alone, p50", of_rounds(&|it| it.native.median()), Unit::Microseconds),
        Line::new(
            "what the instance adds, p50",
            of_rounds(&|it| it.sandboxed.median() - it.native.median()),
            Unit::Microseconds,
        )
        .goal(Goal::AtMost(25e-6)),
        Line::new(
            "what the instance adds, p99",
            of_rounds(&|it| it.sandboxed.at(0.99) - it.native.median()),
            Unit::Microseconds,
        ),
    ])
}

async fn round(plugins: &Plugins) -> anyhow::Result<Round> {
    let catalog = plugins.catalog();
    let tool = catalog.tool("add").context("the plugin has no tool `add`")?;
    let arguments = Map::from_iter([("a".to_owned(), json!(2.0)), ("b".to_owned(), json!(0.5))]);
    let FunctionKind::Typed { signature, .. } = &tool.function().kind else { unreachable!("`add` is a function") };
    let caller = Arc::new(Principal::anonymous());
    let (mut sandboxed, mut native) = (Vec::with_capacity(CALLS), Vec::with_capacity(CALLS));
    // In turn, so that whatever slows the machine down slows both.
    for number in 0..CALLS {
        let began = Instant::now();
        black_box(plugins.call(tool, black_box(&arguments), Conversation::with(&caller)).await?);
        let call = began.elapsed();
        let began = Instant::now();
        let values = codec::decode_arguments(signature, black_box(&arguments))?;
        black_box(codec::encode_result(signature, &values[..1], u64::MAX)?);
        let codec = began.elapsed();
        if number >= CALLS / 10 {
            sandboxed.push(call);
            native.push(codec);
        }
    }
    let figures = |durations: Vec<Duration>| durations.into_iter().collect();
    Ok(Round { sandboxed: figures(sandboxed), native: figures(native) })
}
