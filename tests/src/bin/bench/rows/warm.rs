//! The gain of `@keep-warm`: plugins in Python and JavaScript as they are shipped, and without the tag, in one server's
//! plugins within this process.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tinymcp::config::Config;
use tinymcp::grants::PluginGrants;
use tinymcp::plugins::Plugins;
use tinymcp::plugins::conversation::Conversation;
use tinymcp::plugins::rules::Rules;
use tinymcp::plugins::services::Services;
use tinymcp::plugins::types::codec::Reply;
use tinymcp::principal::Principal;
use tinymcp::state::{Secrets, StateDir};
use tinymcp_tests::guests::never_warm;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Plan;
use crate::figures::{Figures, Unit};
use crate::site::Workshop;
use crate::table::Line;

/// Calls of a round; those of the first tenth are not counted.
const CALLS: usize = 500;

/// A plugin with an expensive start.
struct Subject {
    language: &'static str,
    plugin: &'static str,
    function: &'static str,
    arguments: Map<String, Value>,
    /// The arguments of its calls.
    text: &'static str,
}

/// Calls of one round.
struct Round {
    fresh: Figures,
    warm: Figures,
}

impl Subject {
    fn all() -> [Self; 2] {
        [
            Self {
                language: "Python",
                plugin: "statistics",
                function: "fit_line",
                arguments: arguments(json!({ "points": [{ "x": 1, "y": 3 }, { "x": 2, "y": 5 }, { "x": 3, "y": 7 }] })),
                text: r#"{"slope":2.0,"intercept":1.0,"correlation":1.0}"#,
            },
            Self {
                language: "JavaScript",
                plugin: "text",
                function: "slugify",
                arguments: arguments(json!({ "title": "Crème brûlée!" })),
                text: "creme-brulee",
            },
        ]
    }
}

fn arguments(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(arguments) => arguments,
        _ => unreachable!("arguments are written as objects here"),
    }
}

/// # Errors
/// When a plugin was not built, the engine cannot run here, or a call fails.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let subjects = Subject::all();
    let directory = tempfile::tempdir()?;
    for subject in &subjects {
        let component = workshop.plugin(subject.plugin)?;
        std::fs::write(directory.path().join(format!("{}.wasm", subject.plugin)), &component)?;
        std::fs::write(directory.path().join(format!("fresh-{}.wasm", subject.plugin)), never_warm(&component))?;
    }
    let mut config = Config::default();
    config.plugins.dir = directory.path().to_owned();
    config.plugins.wait = Duration::from_secs(600).into();
    let config = watch::Sender::new(Arc::new(config));
    let grants = watch::Sender::new(Arc::new(PluginGrants::default()));
    // Compiling them takes most of a minute, and is kept.
    let state = StateDir::open(&workshop.kept_dir("warm-state")?, &Secrets::default())?;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let plugins =
        Plugins::start(Rules::of(&config, &grants), Services::default(), Some(&state), &TaskTracker::new(), stop)?;
    plugins.ready().await;

    let mut lines = Vec::new();
    for subject in &subjects {
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds {
            rounds.push(round(&plugins, subject).await.with_context(|| subject.plugin)?);
        }
        let of_rounds = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Figures>();
        let line = |what: &str, figures, unit| Line::new(format!("{}: {what}", subject.language), figures, unit);
        lines.extend([
            line("fresh, p50", of_rounds(&|it| it.fresh.median()), Unit::Microseconds),
            line("fresh, p99", of_rounds(&|it| it.fresh.at(0.99)), Unit::Microseconds),
            line("kept warm, p50", of_rounds(&|it| it.warm.median()), Unit::Microseconds),
            line("kept warm, p99", of_rounds(&|it| it.warm.at(0.99)), Unit::Microseconds),
            line("fresh / kept warm", of_rounds(&|it| it.fresh.median() / it.warm.median()), Unit::Ratio),
        ]);
    }
    Ok(lines)
}

async fn round(plugins: &Plugins, subject: &Subject) -> anyhow::Result<Round> {
    let caller = Arc::new(Principal::anonymous());
    let (mut fresh, mut warm) = (Vec::with_capacity(CALLS), Vec::with_capacity(CALLS));
    // In turn, so that whatever slows the machine down slows both.
    for number in 0..CALLS {
        for (prefix, durations) in [("fresh_", &mut fresh), ("", &mut warm)] {
            let tool = format!("{prefix}{}_{}", subject.plugin, subject.function);
            let duration = call(plugins, &tool, subject, &caller).await?;
            if number >= CALLS / 10 {
                durations.push(duration);
            }
        }
    }
    let figures = |durations: Vec<Duration>| durations.into_iter().collect();
    Ok(Round { fresh: figures(fresh), warm: figures(warm) })
}

async fn call(plugins: &Plugins, tool: &str, subject: &Subject, caller: &Arc<Principal>) -> anyhow::Result<Duration> {
    let catalog = plugins.catalog();
    let tool = catalog.tool(tool).with_context(|| format!("there is no tool `{tool}`"))?;
    let began = Instant::now();
    let reply = plugins.call(tool, black_box(&subject.arguments), Conversation::with(caller)).await?;
    let duration = began.elapsed();
    match reply {
        Reply::Structured(value) if value.text() == subject.text => Ok(duration),
        Reply::Text(text) if text == subject.text => Ok(duration),
        other => anyhow::bail!("unexpected reply {other:?}"),
    }
}
