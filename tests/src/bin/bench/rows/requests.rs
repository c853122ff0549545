//! The cost of a granted request: a plugin asks a service on loopback, within this process, beside hyper's own client that
//! asks the same service.
//!
//! What a request adds is the time of a call that makes one, less the time of a call of the same function that ends before
//! it makes any, less the time of hyper's client.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tinymcp::config::Config;
use tinymcp::egress::resolver::System;
use tinymcp::egress::{Egress, Settings};
use tinymcp::grants::credentials::Credentials;
use tinymcp::grants::rule::Rule;
use tinymcp::grants::{Grants, HttpGrant, PluginGrants};
use tinymcp::plugins::Plugins;
use tinymcp::plugins::conversation::Conversation;
use tinymcp::plugins::services::Services;
use tinymcp::principal::Principal;
use tinymcp_tests::guests::tests_dir;

use crate::Plan;
use crate::figures::{Figures, Goal, Unit};
use crate::table::Line;

/// Calls of a round; those of the first tenth are not counted.
const CALLS: usize = 3_000;

/// The answer of the service.
const ANSWER: &str = "{\"temperature\": 21.5, \"wind\": 3.2, \"sky\": \"clear\"}";

struct Round {
    asking: Figures,
    idle: Figures,
    client: Figures,
}

/// # Errors
/// When the guest was not built, the engine cannot run here, or a request fails.
pub(super) async fn measure(plan: Plan) -> anyhow::Result<Vec<Line>> {
    let place = serve()?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("fetch.wasm");
    let built = tests_dir().join(".guests/fetch.wasm");
    std::fs::copy(&built, &file)
        .with_context(|| format!("`{}` is missing: run `tests/run --setup-only`", built.display()))?;
    let rule = Rule::to(format!("http://{place}").parse()?);
    let http = vec![HttpGrant { rule, credentials: Credentials::default() }];
    let grants = PluginGrants::from_iter([("fetch".to_owned(), Grants { http, ..Grants::default() })]);
    let egress = Egress::new(Settings::default(), Arc::new(System));
    let services = Services { egress: Some(egress), ..Services::default() };
    let plugins = Plugins::of_file((&Config::default(), &grants), services, None, &file)?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(round(&plugins, place).await?);
    }
    let of_rounds = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Figures>();
    let added = |it: &Round, at: f64| it.asking.at(at) - it.idle.median() - it.client.median();
    Ok(vec![
        Line::new("a call with a request, p50", of_rounds(&|it| it.asking.median()), Unit::Microseconds),
        Line::new("a call that makes none, p50", of_rounds(&|it| it.idle.median()), Unit::Microseconds),
        Line::new("hyper's client, p50", of_rounds(&|it| it.client.median()), Unit::Microseconds),
        Line::new("what is added to a request, p50", of_rounds(&|it| added(it, 0.5)), Unit::Microseconds)
            .goal(Goal::AtMost(60e-6)),
        Line::new("what is added to a request, p99", of_rounds(&|it| added(it, 0.99)), Unit::Microseconds),
    ])
}

/// A service on a thread of its own, which ends with this process.
fn serve() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let place = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let routes = Router::new().route("/", get(async || ANSWER));
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => drop(axum::serve(listener, routes).await),
                Err(error) => eprintln!("the service of the benchmark does not listen: {error}"),
            }
        });
    });
    Ok(place)
}

async fn round(plugins: &Plugins, place: SocketAddr) -> anyhow::Result<Round> {
    let catalog = plugins.catalog();
    let tool = catalog.tool("fetch").context("the plugin has no tool `fetch`")?;
    let caller = Arc::new(Principal::anonymous());
    let call = async |url: &str| {
        let arguments = arguments(url);
        let began = Instant::now();
        let reply = plugins.call(tool, &arguments, Conversation::with(&caller)).await?;
        anyhow::Ok((began.elapsed(), reply))
    };
    let mut client = connect(place).await?;
    let url = format!("http://{place}/");
    let (mut asking, mut idle, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    // In turn, so that whatever slows the machine down slows all three.
    for number in 0..CALLS {
        let (with, reply) = call(&url).await?;
        anyhow::ensure!(format!("{reply:?}").contains("temperature"), "the service was not asked: {reply:?}");
        let (without, _) = call("no URL").await?;
        let alone = ask(&mut client, place).await?;
        if number >= CALLS / 10 {
            asking.push(with);
            idle.push(without);
            direct.push(alone);
        }
    }
    let figures = |durations: Vec<Duration>| durations.into_iter().collect();
    Ok(Round { asking: figures(asking), idle: figures(idle), client: figures(direct) })
}

fn arguments(url: &str) -> Map<String, Value> {
    Map::from_iter([
        ("method".to_owned(), json!("GET")),
        ("url".to_owned(), json!(url)),
        ("headers".to_owned(), json!([])),
    ])
}

async fn connect(place: SocketAddr) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(place).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn ask(client: &mut SendRequest<Empty<Bytes>>, place: SocketAddr) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let request = hyper::Request::get("/").header("host", place.to_string()).body(Empty::new())?;
    client.ready().await?;
    let answer = client.send_request(request).await?;
    black_box(answer.into_body().collect().await?.to_bytes());
    Ok(began.elapsed())
}
