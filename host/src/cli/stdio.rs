//! `tinymcp stdio`: the same plugins for one client of this machine, which starts this command and speaks with it over
//! standard input and output.
//!
//! Nothing but messages is ever written to standard output: the log goes to standard error, and what guests print goes
//! into the log. The command ends when the client closes the input.

mod kept;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::kept::Kept;
use super::logging::{self, FrameStyle, LogLevel};
use super::observing::{LastRead, Observing};
use super::serve::{Signals, warn_of_unknown_plugins, warn_of_unknown_tools};
use super::{ConfigArguments, Failure, egress as way_out, load, plugin_loader, reload, runtime, shared};
use crate::config::{Environment, Invocation, Purpose, Setup};
use crate::folders::Folders;
use crate::kv::Kv;
use crate::mcp::{Endpoint, Parameters, Stdio};
use crate::plugins::Plugins;
use crate::plugins::rules::Rules;
use crate::plugins::services::Services;
use crate::principal::Principal;
use crate::state::{Secrets, StateDir};
use crate::supervisor::Supervisor;
use crate::supply::{self, Supply};
use crate::switches::Switches;
use crate::{config::Config, descriptors};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let invocation = arguments.config.invocation(Purpose::Look, Vec::new());
    let setup = load(&invocation)?;
    let log = logging::start(&setup.config.log, FrameStyle::Inline, None);
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(invocation, setup, log));
    // A read of standard input cannot be stopped, and is nobody's any more.
    runtime.shutdown_background();
    ended
}

async fn serve(invocation: Invocation, setup: Setup, log: LogLevel) -> Result<(), Failure> {
    let Setup { config, egress, grants, about, places, secrets, value_files, warnings, effective, .. } = setup;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    descriptors::raise_limit();
    let mut signals = Signals::listen().map_err(Failure::at_start)?;
    plugin_loader::require_directory(&config)?;
    let state = state(&config, &secrets, &invocation)?;
    let (tasks, draining, closed) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let config = Arc::new(config);
    let (config_sender, config_receiver) = watch::channel(Arc::clone(&config));
    let grants_sender = watch::Sender::new(Arc::new(grants));
    let switches = Switches::open(&state).map_err(Failure::at_start)?;
    let sources = watch::Sender::new(Arc::new(supply::at_hand(&config)));
    let records = shared::records_beside(&config, &state).await.map_err(Failure::at_start)?;
    let rules = Rules::of(&config_sender, &grants_sender).with(&switches).with_sources(&sources).with_records(records);
    let docker = Environment::read(invocation.directory()).docker_config();
    tasks.spawn(warn_of_unknown_plugins(config_receiver.clone(), draining.clone()));
    let observing = Observing::of_stdio(&config, &state)?;
    let last_read = LastRead::new(&observing.observers, effective);
    let way_out = way_out::start(&config, &egress, &config.server.listen.addresses());
    let kept = Kept::backend(&config.state, state.clone(), &tasks, closed.clone());
    let kv = Kv::elsewhere(kept);
    let (folders, observers) = (Folders::new(places, Some(&state)), observing.observers.clone());
    let services = Services { egress: Some(way_out), folders, kv: Some(kv), observers, ..Services::default() };
    let plugins = Plugins::start(rules, services, Some(&state), &tasks, draining.clone()).map_err(Failure::at_start)?;
    tasks.spawn(warn_of_unknown_tools(config_receiver.clone(), plugins.clone(), draining.clone()));
    let supply = Supply::new(config_receiver, (egress, docker), state.path(), sources, plugins.clone());
    tasks.spawn(supply.beside_another().run(draining.clone()));
    let keys = reload::Keys { state: state.clone(), switches };
    let about_sender = watch::Sender::new(Arc::new(about));
    let about = about_sender.subscribe();
    // Nobody logs in, so that there are none.
    let credentials = watch::Sender::default();
    let published =
        reload::Published { config: config_sender, grants: grants_sender, credentials, about: about_sender, keys };
    let watched = reload::Watched { provider: None, last_read };
    observing.reopen_when_asked(signals.reopen.asked(), &tasks, &closed);
    let asked = reload::Asked { reopen: signals.reopen.asked(), supervisor: Supervisor::default() };
    tasks.spawn(reload::watch(invocation, value_files, published, watched, log, asked, draining.clone()));
    // Nobody logs in, so that no rules of people change.
    let (_no_rules, no_rules) = watch::channel(());
    let endpoint = Endpoint::start(Parameters {
        plugins: plugins.clone(),
        rules: no_rules,
        state: &state,
        discovery_tools: config.server.discovery_tools,
        max_body_bytes: usize::try_from(config.server.body.bytes()).unwrap_or(usize::MAX),
        sessions_per_person: config.server.sessions_per_person.get(),
        connections: config.server.connections.get(),
        about,
        list_page: config.server.list_page.get(),
        shared: None,
        tracker: &tasks,
        draining: draining.clone(),
        closed: closed.clone(),
    });
    let announced = plugins.clone();
    let announce = async move {
        announced.ready().await;
        tracing::info!(tools = announced.catalog().tools().len(), "ready");
    };
    tasks.spawn(draining.clone().run_until_cancelled_owned(announce));
    let grace = config.server.grace.duration();
    let stdio = Stdio { endpoint: Arc::new(endpoint), principal: Arc::new(Principal::local()), grace };
    let serving = stdio.serve(tokio::io::stdin(), tokio::io::stdout(), closed.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            draining.cancel();
            closed.cancel();
            (&mut serving).await;
        }
    }
    draining.cancel();
    closed.cancel();
    tasks.close();
    tasks.wait().await;
    observing.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The state directory of the configuration; for a user to whom it does not belong, one in their cache.
fn state(config: &Config, secrets: &Secrets, invocation: &Invocation) -> Result<StateDir, Failure> {
    let path = &config.state.dir;
    match StateDir::open_existing(path, secrets).map_err(Failure::start)? {
        Some(state) if state.is_mine() => Ok(state),
        None => StateDir::open(path, secrets).map_err(Failure::at_start),
        Some(_) => {
            let cache = Environment::read(invocation.directory()).user_cache();
            let own = cache.and_then(|cache| StateDir::open_scratch(&cache.join(env!("CARGO_PKG_NAME"))));
            let own = own.ok_or_else(|| {
                Failure::start(format!("state directory `{}` belongs to another user", path.display()))
            })?;
            tracing::info!(
                "state directory `{}` belongs to another user; what plugins keep is in `{}`",
                path.display(),
                own.path().display()
            );
            Ok(own)
        }
    }
}
