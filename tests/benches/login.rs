//! The cost of logins for a request: finding the person of a bearer token, and a look into a store with 100,000 sessions.
//!
//! `cargo bench --package tinymcp-tests --bench login` runs it. The login is the real one, over HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tempfile::TempDir;
use tinymcp::audit::Audit;
use tinymcp::auth::clients::document::Documents;
use tinymcp::auth::upstream::Upstream;
use tinymcp::auth::upstream::local::Local;
use tinymcp::auth::{Auth, AuthorizationServer, LastToken, ServerParts};
use tinymcp::config::{Config, Egress};
use tinymcp::fetch::Strangers;
use tinymcp::grants::PluginGrants;
use tinymcp::http::limits::Limits;
use tinymcp::http::server;
use tinymcp::http::{App, RenderedPages, Routes};
use tinymcp::mcp::{self, Endpoint};
use tinymcp::peer::Peer;
use tinymcp::plugins::Plugins;
use tinymcp::plugins::services::Services;
use tinymcp::state::{Secrets, StateDir};
use tinymcp::store::{Committed, Key, Store, Table, Write};
use tinymcp::vault::Vault;
use tinymcp::view::View;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

criterion_group!(benches, tokens, sessions);
criterion_main!(benches);

/// As many as are promised to stay small.
const SESSIONS: u32 = 100_000;

/// The value of a session's row when the provider's tokens are JWTs of the usual size.
const SESSION_BYTES: usize = 1200;

/// A request's token: one that is good, one that was good once, and one that somebody made up.
fn tokens(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let directory = tempfile::tempdir().expect("a directory can be made");
    let (auth, address) = runtime.block_on(serve(&directory));
    let token = runtime.block_on(log_in(address));
    let peer = Peer { address: ([127, 0, 0, 1], 1).into() };
    let bearer = |token: &str| {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token is ASCII");
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    };
    let made_up = format!("{}{}", &token[..token.len() - 4], "AAAA");
    let mut group = criterion.benchmark_group("token");
    for (name, token, is_good) in [("good", token.as_str(), true), ("made up", &made_up, false)] {
        let (headers, last, view) = (bearer(token), LastToken::default(), View::default());
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(async || {
                let caller = auth.authenticate(&peer, black_box(&headers), &last, &view, || None).await;
                assert_eq!(caller.is_ok(), is_good);
            });
        });
    }
    group.finish();
}

/// A session that is not in memory: one read among 100,000.
fn sessions(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let directory = tempfile::tempdir().expect("a directory can be made");
    let state = StateDir::open(directory.path(), &Secrets::default()).expect("a new directory can be opened");
    let store = {
        let _entered = runtime.enter();
        Store::open(&state, &TaskTracker::new(), CancellationToken::new()).expect("a new store can be opened")
    };
    let before = resident_bytes();
    runtime.block_on(fill(&store));
    let file = fs::metadata(directory.path().join("store/store.db")).map_or(0, |file| file.len());
    eprintln!(
        "{SESSIONS} sessions: {:.0} MiB on the disk, {:.1} MiB of memory",
        file as f64 / f64::from(1 << 20),
        (resident_bytes() - before) / f64::from(1 << 20),
    );
    let mut number = 0;
    let mut group = criterion.benchmark_group("session");
    group.bench_function("read among 100,000", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            // Far from the last one, so that no page of the file is the same.
            number = (number + 40_507) % SESSIONS;
            let (store, key) = (store.clone(), key(number));
            async move { store.get(Table::Session, &key).await.expect("the store works").expect("the row is there") }
        });
    });
    group.finish();
}

async fn fill(store: &Store) {
    let expires = SystemTime::now() + Duration::from_secs(3600);
    let numbers: Vec<u32> = (0..SESSIONS).collect();
    for numbers in numbers.chunks(1000) {
        let write = |number: &u32| {
            // Text that does not compress, as tokens are.
            let value = noise(*number);
            Write::Insert { table: Table::Session, key: key(*number), value, expires }
        };
        let committed = store.commit(numbers.iter().map(write).collect()).await.expect("the store works");
        assert_eq!(committed, Committed::Done);
    }
}

fn key(number: u32) -> Key {
    Key::of(&number.to_le_bytes())
}

fn noise(number: u32) -> Vec<u8> {
    let mut state = u64::from(number) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..SESSION_BYTES).map(|_| next()).collect()
}

/// `VmRSS` of this process.
fn resident_bytes() -> f64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() * 1024.0
}

async fn log_in(address: SocketAddr) -> String {
    let base = format!("http://localhost:{}", address.port()).parse().expect("an address is part of a URL");
    let client = OAuthClient::register(&base, Kind::ClaudeCode).await;
    client.log_in(&mut Browser::of("alice")).await.access
}

/// A server in this process, with the built-in login and no plugins.
async fn serve(directory: &TempDir) -> (Auth, SocketAddr) {
    let listeners = server::bind(&[([127, 0, 0, 1], 0).into()]).await.expect("loopback can be listened on");
    let address = listeners[0].local_addr().expect("it listens");
    let state =
        StateDir::open(&directory.path().join("state"), &Secrets::default()).expect("a new directory can be opened");
    let mut config = Config::default();
    config.server.base_url = format!("http://localhost:{}", address.port()).parse().expect("it is a URL");
    config.plugins.dir = directory.path().join("plugins");
    fs::create_dir(&config.plugins.dir).expect("a new directory can be written to");
    let (tasks, never) = (TaskTracker::new(), CancellationToken::new());
    let plugins = Plugins::of_directory(
        (config.clone(), PluginGrants::default(), BTreeMap::new()),
        Services::default(),
        None,
        None,
        None,
        None,
    )
    .await
    .expect("the engine runs here");
    let endpoint = Endpoint::start(mcp::Parameters {
        discovery_tools: false,
        rules: watch::channel(()).1,
        about: watch::Sender::default().subscribe(),
        plugins: plugins.clone(),
        state: &state,
        max_body_bytes: 1 << 20,
        sessions_per_person: 8,
        connections: 64,
        list_page: 1000,
        shared: None,
        tracker: &tasks,
        draining: never.clone(),
        closed: never.clone(),
    });
    let local = Local::new(&config.server.base_url, Vault::of(&state, "bench"));
    let server_settings = config.server.clone();
    let config = watch::channel(Arc::new(config)).1;
    let authorization_server = Arc::new(AuthorizationServer::new(ServerParts {
        config: config.clone(),
        switched_off: watch::Sender::default().subscribe(),
        credentials: watch::Sender::default().subscribe(),
        egress: Egress::default(),
        audit: Audit::default(),
        upstream: Arc::new(Upstream::Local(local)),
        documents: Documents::new(Strangers::default()),
        state: &state,
        store: Store::open(&state, &tasks, never.clone()).expect("a new store can be opened"),
        tasks: &tasks,
        in_flight: &tasks,
    }));
    let routes = Routes::new(App {
        plugins,
        endpoint,
        auth: Auth::Login(Arc::clone(&authorization_server)),
        server: server_settings,
        about: watch::Sender::default().subscribe(),
        config,
        leaving: CancellationToken::new(),
        draining: never.clone(),
        replicas: tinymcp::replicas::Replicas::default(),
        pages: RenderedPages::default(),
    });
    let limits = Limits { connections: 16, header_timeout: Duration::from_secs(10), trusted_proxies: Vec::new() };
    tokio::spawn(server::serve(listeners, routes, limits, never.clone(), never));
    (Auth::Login(authorization_server), address)
}
