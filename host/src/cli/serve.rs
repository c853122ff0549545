//! `tinymcp serve`: from a configuration to a server, and its orderly shutdown.
//!
//! Start: read the configuration, open the state directory, listen, start the plugins, serve. End: stop accepting, let
//! calls finish within the grace period, then cut the rest.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::logging::{self, FrameStyle, LogLevel};
use super::login::Login;
use super::observing::{LastRead, Observing};
use super::{ConfigArguments, Failure, egress as way_out, load, plugin_loader, reload, runtime, shared};
use crate::auth::desk::Desk;
use crate::config::{Config, Environment, Invocation, Override, Purpose, Setup};
use crate::control;
use crate::descriptors::{self, FEWEST};
use crate::folders::Folders;
use crate::http::limits::Limits;
use crate::http::{self, App, RenderedPages, Routes};
use crate::kv::Kv;
use crate::mcp::{Endpoint, Parameters};
use crate::operator::{Operator, Running, Serving};
use crate::person_label;
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::plugins::rates::shared::SharedRates;
use crate::plugins::registry::unknown::{self, UnknownTable};
use crate::plugins::rules::Rules;
use crate::plugins::services::Services;
use crate::reopen::Reopen;
use crate::state::StateDir;
use crate::store::Store;
use crate::supervisor::Supervisor;
use crate::supply::{self, Supply};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The address to listen on, instead of `server.listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let overrides = listen_override(arguments.listen);
    let invocation = arguments.config.invocation(Purpose::Serve, overrides);
    let setup = load(&invocation)?;
    let log = logging::start(&setup.config.log, FrameStyle::Inline, None);
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let server = Server::start(invocation, setup, log).await?;
        server.run().await
    });
    // Look-ups of names, and of files on a disk that does not answer, cannot be stopped and are nobody's any more.
    runtime.shutdown_background();
    ended
}

pub(super) fn listen_override(listen: Option<String>) -> Vec<Override> {
    let listen = listen.map(|value| Override { key: "server.listen", value, argument: "--listen" });
    listen.into_iter().collect()
}

/// A server that listens and has begun to load its plugins.
pub(super) struct Server {
    pub(super) plugins: Plugins,
    pub(super) config: Arc<Config>,
    listeners: Vec<tokio::net::TcpListener>,
    routes: Routes,
    tasks: TaskTracker,
    in_flight: TaskTracker,
    /// Told to stop: it serves on for a while, and says that it is not ready.
    leaving: CancellationToken,
    draining: CancellationToken,
    closed: CancellationToken,
    signals: Signals,
    observing: Observing,
    supervisor: Supervisor,
}

impl Server {
    pub(super) async fn start(invocation: Invocation, setup: Setup, log: LogLevel) -> Result<Self, Failure> {
        let Setup {
            config,
            provider,
            credentials,
            egress,
            telemetry_headers,
            grants,
            about,
            places,
            secrets,
            value_files,
            warnings,
            effective,
        } = setup;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        require_descriptors(config.server.connections.get())?;
        let mut signals = Signals::listen().map_err(Failure::at_start)?;
        plugin_loader::require_directory(&config)?;
        let state = StateDir::open(&config.state.dir, &secrets).map_err(Failure::at_start)?;
        // It may have to be waited for.
        let redis = tokio::select! {
            redis = shared::connect(&config.state, &state) => redis.map_err(Failure::at_start)?,
            signal = signals.next() => {
                tracing::info!(signal, "stopped before the shared store was reached");
                return Err(Failure::Stopped);
            }
        };
        let switches = shared::switches(redis.as_ref(), &state).await.map_err(Failure::at_start)?;
        person_label::use_key_of(&state);
        let environment = Environment::read(invocation.directory());
        let supervisor = Supervisor::of(&environment);
        let listeners = http::server::bind(&config.server.listen.addresses()).await.map_err(|(address, error)| {
            let message = match error.kind() {
                io::ErrorKind::AddrInUse => format!("cannot listen on {address}: the port is in use: stop the program that has it, or choose another with `--listen` or `server.listen`"),
                _ => format!("cannot listen on {address}: {error}"),
            };
            Failure::at_start(anyhow::Error::new(error).context(message))
        })?;
        let mut config = config;
        if let Some(Ok(bound)) = listeners.first().map(tokio::net::TcpListener::local_addr) {
            config.server.base_url = config.server.base_url.with_bound_port(bound.port());
        }

        let mut observing = Observing::start(&config, &egress, &telemetry_headers, &state).await?;
        let mut last_read = LastRead::new(&observing.observers, effective);
        let (tasks, in_flight) = (TaskTracker::new(), TaskTracker::new());
        let (draining, closed) = (CancellationToken::new(), CancellationToken::new());
        let leaving = CancellationToken::new();
        let config = Arc::new(config);
        let (config_sender, config_receiver) = watch::channel(Arc::clone(&config));
        let grants_sender = watch::Sender::new(Arc::new(grants));
        let credentials_sender = watch::Sender::new(Arc::new(credentials));
        let sources = watch::Sender::new(Arc::new(supply::at_hand(&config)));
        let records = shared::records(redis.as_ref(), &state, true).await.map_err(Failure::at_start)?;
        let rules = Rules::of(&config_sender, &grants_sender).with(&switches).with_sources(&sources);
        let rules = rules.with_records(records.clone());
        tasks.spawn(warn_of_unknown_plugins(config_receiver.clone(), draining.clone()));
        let page_config = config_receiver.clone();
        let login_config = config_receiver;
        let bound = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        let bound: Vec<SocketAddr> = bound.chain(observing.addresses()).collect();
        let way_out = way_out::start(&config, &egress, &bound);
        let is_shared = redis.is_some();
        let kv = match &redis {
            Some(redis) => Kv::shared(redis.clone(), &state, &tasks, closed.clone()),
            None => Kv::of(&state, &tasks, closed.clone()),
        };
        let shared = redis.map(|redis| {
            let replicas = last_read.join(&redis, &state, &tasks, closed.clone());
            (redis, replicas)
        });
        let replicas = shared.as_ref().map(|(_, replicas)| replicas.clone()).unwrap_or_default();
        switches.follow(&replicas, &tasks);
        if let Some(records) = &records {
            records.follow(&replicas, &tasks);
        }
        let rates = shared.as_ref().map(|(redis, replicas)| SharedRates::new(redis.clone(), replicas.clone(), &state));
        let shared_store = shared.as_ref().map(|(redis, replicas)| {
            let store = Store::shared(redis.clone(), replicas, &state, config.state.stale.duration());
            store.counted_in(observing.observers.metrics.clone())
        });
        let way_to_registries = (egress.clone(), environment.docker_config());
        let login = Login {
            config: login_config,
            switches: &switches,
            provider: provider.clone(),
            egress,
            credentials: credentials_sender.subscribe(),
            state: &state,
            shared: shared_store.clone(),
            tasks: &tasks,
            in_flight: &in_flight,
            draining: draining.clone(),
            closed: closed.clone(),
            observers: &observing.observers,
        };
        let auth = login.start().map_err(Failure::at_start)?;
        if is_shared || config.plugin.values().any(|plugin| plugin.kv.is_some()) {
            let kv = kv.clone();
            // Only its error counts, which is logged: the server goes on without.
            tasks.spawn(async move { drop(kv.prepare().await) });
        }
        let folders = Folders::new(places, Some(&state));
        let observers = observing.observers.clone();
        let services = Services { egress: Some(way_out), folders, kv: Some(kv.clone()), observers, rates };
        let plugins =
            Plugins::start(rules, services, Some(&state), &tasks, draining.clone()).map_err(Failure::at_start)?;
        tasks.spawn(warn_of_unknown_tools(page_config.clone(), plugins.clone(), draining.clone()));
        let supply = Supply::new(page_config.clone(), way_to_registries, state.path(), sources, plugins.clone());
        let supply = supply.among(replicas.clone());
        tasks.spawn(supply.run(draining.clone()));
        let running = Running {
            invocation: invocation.clone(),
            config: page_config.clone(),
            grants: grants_sender.subscribe(),
            provider: provider.clone(),
        };
        let keys = reload::Keys { state: state.clone(), switches: switches.clone() };
        let about_sender = watch::Sender::new(Arc::new(about));
        let about = about_sender.subscribe();
        let published = reload::Published {
            config: config_sender,
            grants: grants_sender,
            credentials: credentials_sender,
            about: about_sender,
            keys,
        };
        let asked = reload::Asked { reopen: signals.reopen.asked(), supervisor: supervisor.clone() };
        let watched = reload::Watched { provider, last_read };
        tasks.spawn(reload::watch(invocation, value_files, published, watched, log, asked, draining.clone()));
        let endpoint = Endpoint::start(Parameters {
            plugins: plugins.clone(),
            rules: auth.rules(),
            state: &state,
            discovery_tools: config.server.discovery_tools,
            max_body_bytes: usize::try_from(config.server.body.bytes()).unwrap_or(usize::MAX),
            sessions_per_person: config.server.sessions_per_person.get(),
            connections: config.server.connections.get(),
            about: about.clone(),
            list_page: config.server.list_page.get(),
            shared: shared_store,
            tracker: &tasks,
            draining: draining.clone(),
            closed: closed.clone(),
        });
        observing.serve(&config, &plugins, &auth, &tasks, &closed);
        observing.reopen_when_asked(signals.reopen.asked(), &tasks, &closed);
        let tokens = auth.server().map(|server| server.operator_tokens().clone());
        let operator = Operator {
            desk: auth.server().map(|server| Desk::Serving(Arc::clone(server))),
            kv: Some(kv.clone()),
            switches,
            state: state.clone(),
            plugins_dir: config.plugins.dir.clone(),
            serving: Some(Serving { holdings: endpoint.holdings(), plugins: plugins.clone(), running }),
        };
        let parts = control::Parts {
            kv,
            operator,
            tokens,
            approvals: plugins.approvals(),
            audit: observing.observers.audit.clone(),
        };
        if let Err(error) = control::listen(&state, &config.state, parts, &tasks, closed.clone()) {
            tracing::warn!(%error, "no control socket: `tinymcp sessions`, `approve`, `kv` and others cannot reach this server");
        }
        let routes = Routes::new(App {
            plugins: plugins.clone(),
            endpoint,
            auth,
            server: config.server.clone(),
            config: page_config,
            about,
            leaving: leaving.clone(),
            draining: draining.clone(),
            replicas,
            pages: RenderedPages::default(),
        });
        Ok(Self {
            plugins,
            config,
            listeners,
            routes,
            tasks,
            in_flight,
            leaving,
            draining,
            closed,
            signals,
            supervisor,
            observing,
        })
    }

    /// Serves until a signal to stop, and through the grace period.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self {
            plugins,
            config,
            listeners,
            routes,
            tasks,
            in_flight,
            leaving,
            draining,
            closed,
            mut signals,
            supervisor,
            observing,
        } = self;
        for listener in &listeners {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, url = config.server.base_url.endpoint(), "listening on {address}");
            }
        }
        let announced = plugins.clone();
        let announce = async move {
            announced.ready().await;
            let catalog = announced.catalog();
            let (served, others): (Vec<_>, Vec<_>) =
                catalog.plugins().iter().partition(|plugin| plugin.serving.is_some());
            let not_loaded = others.iter().filter(|plugin| plugin.problem.is_some()).count();
            match not_loaded {
                0 => tracing::info!(plugins = served.len(), tools = catalog.tools().len(), "ready"),
                _ => tracing::info!(plugins = served.len(), not_loaded, tools = catalog.tools().len(), "ready"),
            }
        };
        let (told, alive) = (tell(supervisor.clone(), plugins), supervisor.clone());
        let (stop_telling, until_the_end) = (draining.clone(), closed.clone());
        tasks.spawn(async move { stop_telling.run_until_cancelled(told).await });
        tasks.spawn(async move { until_the_end.run_until_cancelled(alive.keep_alive()).await });
        let stop_announcing = draining.clone();
        tasks.spawn(async move { stop_announcing.run_until_cancelled(announce).await });
        let limits = Limits {
            connections: config.server.connections.get(),
            header_timeout: config.server.header_timeout.duration(),
            trusted_proxies: config.server.trusted_proxies.clone(),
        };
        let serving = tokio::spawn(http::server::serve(listeners, routes, limits, draining.clone(), closed.clone()));
        tokio::pin!(serving);
        let signal = tokio::select! {
            signal = signals.next() => signal,
            _ = &mut serving => return Err(Failure::failed("the server stopped serving")),
        };
        leaving.cancel();
        let drain = config.server.drain.duration();
        if !drain.is_zero() {
            tracing::info!(signal, "told to stop; requests are served for another {}", config.server.drain);
            supervisor.stopping("load balancers hear of it");
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                signal = signals.next() => tracing::warn!(signal, "told to stop again; nobody is waited for"),
                _ = &mut serving => return Err(Failure::failed("the server stopped serving")),
            }
        }
        let grace = config.server.grace.duration();
        tracing::info!(signal, "stopping; calls under way may take up to {}", config.server.grace);
        supervisor.stopping("calls under way end");
        draining.cancel();
        in_flight.close();
        let finished = async {
            let _ = (&mut serving).await;
            in_flight.wait().await;
        };
        tokio::select! {
            () = finished => {}
            () = tokio::time::sleep(grace) => tracing::warn!("the grace period is over; what is still under way is cut"),
            signal = signals.next() => tracing::warn!(signal, "told to stop at once; what is still under way is cut"),
        }
        closed.cancel();
        tasks.close();
        tasks.wait().await;
        observing.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Tells the supervisor that the server serves, once its first scan is done, and what it serves, at each change.
async fn tell(supervisor: Supervisor, plugins: Plugins) {
    if !supervisor.is_there() {
        return;
    }
    plugins.ready().await;
    let mut catalogs = plugins.changes();
    supervisor.ready(&status(&catalogs.borrow_and_update()));
    while catalogs.changed().await.is_ok() {
        supervisor.status(&status(&catalogs.borrow_and_update()));
    }
}

/// The state of the server in a line.
fn status(catalog: &Catalog) -> String {
    let plugins = catalog.plugins();
    let served = plugins.iter().filter(|plugin| plugin.serving.is_some()).count();
    let waiting = plugins.iter().filter(|plugin| plugin.waiting.is_some()).count();
    let faulty = plugins.iter().filter(|plugin| plugin.problem.is_some()).count().saturating_sub(waiting);
    let tools = catalog.tools().len();
    format!("serving {served} plugins with {tools} tools; {faulty} not loaded, {waiting} waiting for approval")
}

/// Warns of tables for plugins that do not exist, now and at every change of the configuration; of each once.
pub(super) async fn warn_of_unknown_plugins(mut config: watch::Receiver<Arc<Config>>, stop: CancellationToken) {
    let mut said = Vec::new();
    loop {
        let current = Arc::clone(&config.borrow_and_update());
        let looked = tokio::task::spawn_blocking(move || unknown::in_directory(&current));
        let Ok(found) = looked.await else { return };
        warn_of_new(&mut said, found);
        if !matches!(stop.run_until_cancelled(config.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// The same for tools of plugins that are served.
pub(super) async fn warn_of_unknown_tools(
    mut config: watch::Receiver<Arc<Config>>,
    plugins: Plugins,
    stop: CancellationToken,
) {
    let mut catalog = plugins.changes();
    let mut said = Vec::new();
    if stop.run_until_cancelled(plugins.ready()).await.is_none() {
        return;
    }
    loop {
        let (config_now, catalog_now) =
            (Arc::clone(&config.borrow_and_update()), Arc::clone(&catalog.borrow_and_update()));
        warn_of_new(&mut said, unknown::tools_in_catalog(&config_now, &catalog_now));
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = config.changed() => changed,
            changed = catalog.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn warn_of_new(said: &mut Vec<UnknownTable>, found: Vec<UnknownTable>) {
    found.iter().filter(|unknown| !said.contains(*unknown)).for_each(|unknown| tracing::warn!("{unknown}"));
    *said = found;
}

/// The signals that mean stop, and the one that means to look at everything anew.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    pub(super) reopen: Reopen,
    /// It was started in a terminal: the end of that is the end of the server.
    has_terminal: bool,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: Reopen::default(),
            has_terminal: io::stdin().is_terminal(),
        })
    }

    /// The next signal that means stop.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {}
            }
            // Of a terminal that was closed, its descriptor says that it is none any more.
            if self.has_terminal && !io::stdin().is_terminal() {
                return "SIGHUP";
            }
            tracing::info!(signal = "SIGHUP", "told to read the configuration anew, and to open files anew");
            self.reopen.ask();
        }
    }
}

/// Raises the limit of descriptors. Refuses to start with so few that no plugin could be compiled, and warns of fewer
/// than all connections take.
fn require_descriptors(connections: usize) -> Result<(), Failure> {
    let limit = descriptors::raise_limit();
    if limit < FEWEST {
        return Err(Failure::failed(format!(
            "this process may have {limit} descriptors, and the server needs {FEWEST} at least: raise the limit of open files (`ulimit -n 4096`; `LimitNOFILE=` of a unit)"
        )));
    }
    if limit < connections as u64 + FEWEST {
        tracing::warn!(
            limit,
            "this process may have {limit} descriptors, fewer than `server.connections` ({connections}) and {FEWEST} of its own: raise the limit of open files (`ulimit -n`), or lower `server.connections`"
        );
    }
    Ok(())
}
