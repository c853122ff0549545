//! Micro-benchmarks of the plugin host, through its public face: what a call, a schema, a load and a new catalog cost.
//!
//! `cargo bench --package tinymcp-tests` runs them. They want what `tests/bench` and `tests/setup/guests` build:
//! `plugins/add.wasm`, `plugins/hello.wasm` and `tests/.guests/echo.wasm`.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tinymcp::config::{Config, Limits};
use tinymcp::grants::PluginGrants;
use tinymcp::plugins::Plugins;
use tinymcp::plugins::catalog::Tool;
use tinymcp::plugins::conversation::Conversation;
use tinymcp::plugins::loading::cache::Cache;
use tinymcp::plugins::loading::compile::Allowance;
use tinymcp::plugins::loading::loader::Loader;
use tinymcp::plugins::plugin::FunctionKind;
use tinymcp::plugins::rules::Rules;
use tinymcp::plugins::sandbox::engine::Cleaning;
use tinymcp::plugins::sandbox::runtime;
use tinymcp::plugins::services::Services;
use tinymcp::plugins::types::{codec, schema};
use tinymcp::principal::Principal;
use tinymcp::state::{Secrets, StateDir};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

criterion_group!(benches, calls, schemas_and_codec, loads, catalogs);
criterion_main!(benches);

/// A call as the server makes it: arguments decoded, a fresh instance, the guest's work, the result encoded.
fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let caller = Arc::new(Principal::anonymous());
    let mut group = criterion.benchmark_group("call");
    for (tool, arguments) in [("add", json!({ "a": 2.0, "b": 0.5 })), ("hello", json!({ "name": "bench" }))] {
        let plugins = plugins_of(&shipped(tool));
        let tool = tool_named(&plugins, tool);
        let arguments = object(arguments);
        group.bench_function(&tool.name, |bencher| {
            bencher.to_async(&runtime).iter(async || {
                plugins.call(&tool, &arguments, Conversation::with(&caller)).await.expect("the tool works")
            });
        });
    }
    let plugins = plugins_of(&guest("echo"));
    let tool = tool_named(&plugins, "echo_everything");
    let arguments = everything();
    group.bench_function("echo_everything", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(async || plugins.call(&tool, &arguments, Conversation::with(&caller)).await.expect("the tool works"));
    });
    group.finish();
}

/// Both faces of a type: its schema, which is made once for each load, and its codec, which runs in each call.
fn schemas_and_codec(criterion: &mut Criterion) {
    let plugins = plugins_of(&guest("echo"));
    let mut group = criterion.benchmark_group("codec");
    for (name, arguments) in
        [("echo_f64", object(json!({ "value": 0.5 }))), ("echo_record", person()), ("echo_everything", everything())]
    {
        let tool = tool_named(&plugins, name);
        let FunctionKind::Typed { signature, .. } = &tool.function().kind else { unreachable!("`add` is a function") };
        group.bench_function(BenchmarkId::new("schemas", name), |bencher| {
            bencher.iter(|| (schema::input_schema(black_box(signature)), schema::output_schema(black_box(signature))));
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| codec::decode_arguments(signature, black_box(&arguments)).expect("they fit"));
        });
        // An echo's result is what it was given.
        let values = codec::decode_arguments(signature, &arguments).expect("they fit");
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| codec::encode_result(signature, black_box(&values), u64::MAX).expect("it fits"));
        });
    }
    group.finish();
}

/// From the bytes of a file to a plugin, compiled or with its code from the cache.
fn loads(criterion: &mut Criterion) {
    let plugin_runtime =
        Arc::new(runtime::Runtime::new(1, 0, Cleaning::Whole, Services::default()).expect("the engine runs here"));
    let directory = tempfile::tempdir().expect("a directory can be made");
    let state = StateDir::open(directory.path(), &Secrets::default()).expect("a new directory can be opened");
    let cache = Cache::open(&state, &plugin_runtime.engine).expect("a new directory can be opened");
    let mut group = criterion.benchmark_group("load");
    for (name, file) in [("add", shipped("add")), ("hello", shipped("hello")), ("echo", guest("echo"))] {
        let bytes = read(&file);
        let allowance = Allowance::of(&Limits::default());
        let loader = |cache| Loader::new(Arc::clone(&plugin_runtime), cache).expect("threads can be started");
        let (cached, compiling) = (loader(Some(cache.clone())), loader(None));
        let load =
            |loader: &Loader| loader.load_and_wait(name, bytes.clone(), allowance).expect("the file is a plugin");
        load(&cached);
        group.bench_function(BenchmarkId::new("cached", name), |bencher| {
            bencher.iter(|| load(&cached));
        });
        group.sample_size(10).bench_function(BenchmarkId::new("compiled", name), |bencher| {
            bencher.iter(|| load(&compiling));
        });
        group.sample_size(100);
    }
    group.finish();
}

/// A new catalog, from a change of the configuration until the channel has it (the registry looks at its directory
/// meanwhile), and what a call does with the one that is there.
fn catalogs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("catalog");
    for count in [2, 200] {
        let server = RunningPlugins::start(count);
        group.sample_size(20).bench_function(BenchmarkId::new("swap", count), |bencher| {
            bencher.to_async(&server.runtime).iter_batched(
                || server.plugins.changes(),
                async |mut changes| {
                    server.config.send_modify(|_same| {});
                    changes.changed().await.expect("the registry runs");
                },
                BatchSize::PerIteration,
            );
        });
        let last = format!("hello_{:03}_hello", count - 1);
        group.sample_size(100).bench_function(BenchmarkId::new("find", count), |bencher| {
            bencher.iter(|| server.plugins.catalog().tool(black_box(&last)).map(Arc::clone).expect("it is there"));
        });
    }
    group.finish();
}

/// The plugins of a server without the server: a directory that is watched, on a runtime of its own.
struct RunningPlugins {
    plugins: Plugins,
    config: watch::Sender<Arc<Config>>,
    stop: CancellationToken,
    runtime: Runtime,
    _grants: watch::Sender<Arc<PluginGrants>>,
    _directory: TempDir,
}

impl RunningPlugins {
    /// Starts with that many variants of `hello`, and waits until they are loaded.
    fn start(count: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let hello = read(&shipped("hello"));
        let mut config = Config::default();
        config.plugins.dir = directory.path().join("plugins");
        fs::create_dir(&config.plugins.dir).expect("a new directory can be written to");
        for number in 0..count {
            let file = config.plugins.dir.join(format!("hello-{number:03}.wasm"));
            fs::write(file, &hello).expect("a new directory can be written to");
        }
        let state = StateDir::open(&directory.path().join("state"), &Secrets::default())
            .expect("a new directory can be opened");
        let runtime = Runtime::new().expect("threads can be started");
        let (config, grants) = (watch::Sender::new(Arc::new(config)), watch::Sender::default());
        let rules = Rules::of(&config, &grants);
        let stop = CancellationToken::new();
        let plugins = {
            let _entered = runtime.enter();
            Plugins::start(rules, Services::default(), Some(&state), &TaskTracker::new(), stop.clone())
                .expect("the engine runs here")
        };
        runtime.block_on(plugins.ready());
        Self { plugins, config, _grants: grants, stop, runtime, _directory: directory }
    }
}

impl Drop for RunningPlugins {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn plugins_of(file: &Path) -> Plugins {
    Plugins::of_file((&Config::default(), &PluginGrants::default()), Services::default(), None, file)
        .expect("the file is a plugin")
}

fn tool_named(plugins: &Plugins, name: &str) -> Arc<Tool> {
    plugins.catalog().tool(name).map(Arc::clone).expect("the plugin has the tool")
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("plugins").join(name).with_extension("wasm")
}

fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".guests").join(name).with_extension("wasm")
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|error| {
        panic!("`{}`: {error}: run `tests/bench` and `tests/setup/guests` first", file.display())
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn person() -> Map<String, Value> {
    object(json!({ "value": {
        "name": "Ada Lovelace",
        "age": 36,
        "home": { "street-name": "12 St James's Square", "postal-code": "SW1Y 4JH" },
        "nicknames": ["Ada", "the enchantress of numbers"],
        "type": "friend",
    } }))
}

/// Every type that has a form in JSON, nested; a kilobyte of it.
fn everything() -> Map<String, Value> {
    object(json!({ "value": {
        "truth": true, "tiny": -1, "octet": 2, "small": -3, "port": 4, "signed": -5, "count": 6, "long": -7,
        "size": 18_446_744_073_709_551_615_u64, "ratio": 0.5, "exact": 0.1, "letter": "é", "text": "text",
        "bytes": "AAECAwQFBgc=", "grid": [[1, 2, 3], [4, 5, 6]], "pair": [1, ["two", true]], "perhaps": 9,
        "holes": [null, "customer"], "kinds": ["supplier-abroad"], "permissions": [["read", "run-as-root"]],
        "shapes": [{ "dot": true }, { "circle": 1.5 }, { "polygon": [{ "x": 0.0, "y": 1.0 }, { "x": 2.0, "y": 3.0 }] }],
        "people": [person()["value"]],
        "outcomes": [{ "ok": "AAEC" }, { "err": { "too-large": 7 } }],
        "checks": [{ "ok": true }, { "err": true }],
    } }))
}
