//! The observers of a server, from its configuration: the audit, the metrics, the spans; and what is watched for them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Failure;
use crate::audit::{Audit, Event, OnError, PEOPLE_PURPOSE, PeopleKeys, PeopleStyle, Settings, Target};
use crate::auth::Auth;
use crate::config::effective::EffectiveConfig;
use crate::config::keys;
use crate::config::names::{AuditOnError, AuditPeople};
use crate::config::telemetry::TelemetryHeaders;
use crate::config::{Config, Egress};
use crate::fetch::TelemetryHttp;
use crate::http::{self, metrics as scraping};
use crate::metrics::{Counted, Metrics, names, process};
use crate::plugins::Plugins;
use crate::plugins::catalog::PluginStatus;
use crate::plugins::observers::Observers;
use crate::redis::Redis;
use crate::replicas::{About, Replicas};
use crate::state::StateDir;
use crate::telemetry::{self, Otlp, Telemetry};
use crate::vault::Vault;

/// The observers, and what shows and sends what they see.
pub(super) struct Observing {
    pub(super) observers: Observers,
    telemetry: Arc<Telemetry>,
    listeners: Vec<TcpListener>,
}

impl Observing {
    /// Starts what the configuration asks for.
    pub(super) async fn start(
        config: &Config,
        egress: &Egress,
        headers: &TelemetryHeaders,
        state: &StateDir,
    ) -> Result<Self, Failure> {
        let addresses = config.metrics.listen.map(|listen| listen.addresses()).unwrap_or_default();
        let listeners = http::server::bind(&addresses).await.map_err(|(address, error)| {
            let message = format!("cannot listen on {address} for `metrics.listen`: {error}");
            Failure::at_start(anyhow::Error::new(error).context(message))
        })?;
        let otlp = match &config.telemetry.otlp {
            None => None,
            Some(endpoint) => Some(Otlp {
                endpoint: endpoint.clone(),
                way: TelemetryHttp::through(egress, &headers.0, Handle::current()).map_err(Failure::at_start)?,
                interval: config.telemetry.interval.duration(),
                traces: config.telemetry.traces,
            }),
        };
        let is_scraped = !listeners.is_empty();
        let telemetry = Telemetry::start(telemetry::Settings { is_scraped, otlp }).map_err(Failure::at_start)?;
        process::observe(&telemetry.metrics);
        let audit = audit(&config.audit, state, &telemetry.metrics)?;
        let observers = Observers { audit, metrics: telemetry.metrics.clone(), traces: telemetry.traces.clone() };
        Ok(Self { observers, telemetry: Arc::new(telemetry), listeners })
    }

    /// The audit of `tinymcp stdio`, in the file alone: standard output is the client's. Numbers are a server's.
    pub(super) fn of_stdio(config: &Config, state: &StateDir) -> Result<Self, Failure> {
        let settings = keys::Audit { stdout: false, ..config.audit.clone() };
        let audit = match audit(&settings, state, &Metrics::default()) {
            Ok(audit) => audit,
            // The file is a server's, most likely, and this is another user's.
            Err(Failure::Start(error) | Failure::Failed(error)) if settings.on_error == AuditOnError::Continue => {
                tracing::warn!("{error}; it goes on without");
                Audit::default()
            }
            Err(error) => return Err(error),
        };
        let observers = Observers { audit, ..Observers::default() };
        Ok(Self { observers, telemetry: Arc::default(), listeners: Vec::new() })
    }

    /// The addresses of `/metrics`, where no plugin is led.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// Serves `/metrics`, and watches for all observers until `stop`.
    pub(super) fn serve(
        &mut self,
        config: &Config,
        plugins: &Plugins,
        auth: &Auth,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let Observers { audit, metrics, .. } = &self.observers;
        plugins.show_in(metrics);
        if let Some(server) = auth.server().cloned() {
            metrics.observe(names::LOGIN_READY, move |reading| reading.value(u64::from(server.is_ready())));
        }
        for address in self.addresses() {
            tracing::info!(%address, "metrics at http://{address}/metrics");
        }
        if let Some(exposition) = self.telemetry.exposition.clone() {
            let listeners = std::mem::take(&mut self.listeners);
            scraping::serve(listeners, exposition, config.metrics.allowed_hosts.clone(), tasks, stop);
        }
        if audit.is_on() || metrics.is_on() {
            tasks.spawn(watch_plugins(plugins.clone(), audit.clone(), stop.clone()));
        }
    }

    /// Opens the file of the audit anew whenever somebody asks for it, as programs that move logs away do by SIGHUP.
    pub(super) fn reopen_when_asked(
        &self,
        mut asked: watch::Receiver<()>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let (audit, stop) = (self.observers.audit.clone(), stop.clone());
        tasks.spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(asked.changed()).await {
                audit.reopen();
            }
        });
    }

    /// Ends all of it, when nothing happens any more.
    pub(super) async fn close(self) {
        let Self { observers, telemetry, .. } = self;
        observers.audit.record(&Event::Server { what: "stopped", digest: None });
        let close = move || {
            observers.audit.close();
            telemetry.close();
        };
        // Only a panic would be an error, and the end goes on.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

/// The audit for one act of a command while no server runs. Standard output is the command's, and not the server's.
///
/// # Errors
/// The line cannot be written, and nothing is done without.
pub(super) fn audit_of_act(settings: &keys::Audit, state: &StateDir) -> Result<Audit, Failure> {
    let is_refused = settings.on_error == AuditOnError::Refuse;
    let Some((settings, place)) = audit_settings(settings, state) else { return Ok(Audit::default()) };
    let problem = match settings.target {
        Target::Stdout => "the audit goes to the server's standard output, and no server is running".to_owned(),
        Target::File(_) => match Audit::start_for_one(settings) {
            Ok(audit) => return Ok(audit),
            Err(error) => format!("cannot write the audit to {place}: {error}"),
        },
    };
    if is_refused {
        return Err(Failure::failed(format!(
            "not done: {problem}, and with `audit.on_error = \"refuse\"` nothing is done without its line"
        )));
    }
    super::output::warning(&format!("{problem}: this act has no line there"));
    Ok(Audit::default())
}

fn audit(settings: &keys::Audit, state: &StateDir, metrics: &Metrics) -> Result<Audit, Failure> {
    let Some((settings, place)) = audit_settings(settings, state) else { return Ok(Audit::off(metrics.clone())) };
    Audit::start(settings, metrics.clone()).map_err(|error| {
        let message = format!("cannot write the audit to {place}: {error}");
        Failure::at_start(anyhow::Error::new(error).context(message))
    })
}

/// The settings of the audit, and its place in words; none where it is off.
fn audit_settings(settings: &keys::Audit, state: &StateDir) -> Option<(Settings, String)> {
    let (target, place) = match (&settings.file, settings.stdout) {
        (Some(file), _) => (Target::File(file.clone()), format!("`{}` (`audit.file`)", file.display())),
        (None, true) => (Target::Stdout, "standard output".to_owned()),
        (None, false) => return None,
    };
    let on_error = match settings.on_error {
        AuditOnError::Continue => OnError::Continue,
        AuditOnError::Refuse => OnError::Refuse,
    };
    let people = match settings.people {
        AuditPeople::Clear => PeopleStyle::Clear,
        AuditPeople::Hash => PeopleStyle::Hash(PeopleKeys::new(Vault::of(state, PEOPLE_PURPOSE))),
    };
    Some((Settings { target, on_error, people }, place))
}

/// Tells the audit of every change of a plugin in the catalog.
async fn watch_plugins(plugins: Plugins, audit: Audit, stop: CancellationToken) {
    let mut changes = plugins.changes();
    let mut known = BTreeMap::new();
    loop {
        let catalog = Arc::clone(&changes.borrow_and_update());
        tell_changes(&audit, &mut known, catalog.plugins());
        if !matches!(stop.run_until_cancelled(changes.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

fn tell_changes(audit: &Audit, known: &mut BTreeMap<String, PluginStatus>, now: &[PluginStatus]) {
    let before = std::mem::take(known);
    for status in now {
        let (plugin, old) = (status.name.as_str(), before.get(&status.file));
        let digest = |status: &PluginStatus| status.serving.as_ref().map(|serving| serving.digest);
        let (new, served) = (digest(status), old.and_then(digest));
        let tell = |what, digest: Option<String>, reason| {
            audit.record(&Event::Plugin { plugin, what, digest: digest.as_deref(), reason });
        };
        match (served, new) {
            (None, Some(new)) => tell("loaded", Some(new.to_string()), None),
            (Some(served), Some(new)) if served != new => tell("replaced", Some(new.to_string()), None),
            (Some(served), None) if !status.disabled => tell("withdrawn", Some(served.to_string()), None),
            _ => {}
        }
        if status.disabled && !old.is_some_and(|old| old.disabled) {
            tell("disabled", served.map(|digest| digest.to_string()), None);
        }
        let is_told = |old: &PluginStatus| (&old.problem, &old.waiting) == (&status.problem, &status.waiting);
        if status.problem.is_some() && !old.is_some_and(is_told) {
            tell(status.kind.word(), None, status.problem.as_deref());
        }
        known.insert(status.file.clone(), status.clone());
    }
    for (file, old) in before.iter().filter(|(file, _)| !known.contains_key(*file)) {
        let digest = old.serving.as_ref().map(|serving| serving.digest.to_string());
        let (plugin, reason) = (old.name.as_str(), Some(file.as_str()));
        audit.record(&Event::Plugin { plugin, what: "removed", digest: digest.as_deref(), reason });
    }
}

/// The configuration as it was last read, for those who are told of its changes.
pub(super) struct LastRead {
    observers: Observers,
    effective: EffectiveConfig,
    digest: Arc<Mutex<String>>,
    replicas: Replicas,
}

impl LastRead {
    /// Begins with the one of the start.
    pub(super) fn new(observers: &Observers, effective: EffectiveConfig) -> Self {
        let digest = effective.digest();
        observers.audit.record(&Event::Server { what: "started", digest: Some(&digest) });
        let digest = Arc::new(Mutex::new(digest));
        let shown = Arc::clone(&digest);
        observers.metrics.observe(names::CONFIGURATION, move |reading| {
            let digest = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
            reading.labelled(1, &[("digest", &digest)]);
        });
        Self { observers: observers.clone(), effective, digest, replicas: Replicas::default() }
    }

    /// Joins the servers of a store, which are told of the configuration.
    pub(super) fn join(
        &mut self,
        redis: &Redis,
        state: &StateDir,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Replicas {
        let about = About {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: redis.format().latest().into(),
            settings: self.effective.shared(),
            rollout: None,
            lacks: None,
        };
        self.replicas = Replicas::join(redis.clone(), state, about, tracker, stop);
        self.replicas.clone()
    }

    /// Another one was taken over, but for keys that wait for a restart.
    pub(super) fn applied(&mut self, new: EffectiveConfig, waiting: &[String]) {
        let (digest, changed) = (new.digest(), new.changed_from(&self.effective));
        self.observers.audit.record(&Event::Configuration {
            digest: &digest,
            changed: changed.iter().map(String::as_str).collect(),
            waiting: waiting.iter().map(String::as_str).collect(),
        });
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = digest;
        self.replicas.configured(new.shared());
        self.effective = new;
    }

    /// One with problems was read, and is not in force.
    pub(super) fn refused(&self) {
        self.observers.metrics.count(Counted::Configuration, "refused");
    }
}
