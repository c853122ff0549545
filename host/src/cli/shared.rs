//! The store that several servers share, for whoever starts one of them.

use std::fs;

use anyhow::Context as _;
use futures::FutureExt as _;

use crate::config::trust::Approve;
use crate::config::{Config, State};
use crate::plugins::registry::sharing::{SharedRecords, SharingError};
use crate::redis::{Address, Redis};
use crate::replicas::Replicas;
use crate::state::StateDir;
use crate::store::Store;
use crate::switches::{SwitchError, Switches};

/// Connects to the store that the configuration names, if it names one. The first server makes it.
pub(super) async fn connect(config: &State, state: &StateDir) -> anyhow::Result<Option<Redis>> {
    open(config, state, true).await
}

/// The same for a command: where no server has made a store, or it was emptied, there is nothing to look at.
pub(super) async fn find(config: &State, state: &StateDir) -> anyhow::Result<Option<Redis>> {
    open(config, state, false).await
}

async fn open(config: &State, state: &StateDir, may_make: bool) -> anyhow::Result<Option<Redis>> {
    let Some(address) = address(config)? else { return Ok(None) };
    let redis = Store::connect(&address, state, may_make).boxed().await?;
    tracing::info!(url = redis.shown(), prefix = address.prefix, "what servers share is in Redis");
    Ok(Some(redis))
}

/// The address of that store.
pub(super) fn address(config: &State) -> anyhow::Result<Option<Address>> {
    let Some(url) = config.url.clone() else { return Ok(None) };
    let authorities = config.ca_file.as_ref().map(|path| {
        fs::read(path)
            .with_context(|| format!("cannot read the certificates in `{}` (`state.ca_file`)", path.display()))
    });
    Ok(Some(Address { url, prefix: config.prefix.as_str().to_owned(), authorities: authorities.transpose()? }))
}

/// The same for a command that changes something, and the way to tell the servers of it.
pub(super) async fn find_to_change(config: &State, state: &StateDir) -> anyhow::Result<Option<(Redis, Replicas)>> {
    let Some(redis) = find(config, state).await? else { return Ok(None) };
    let replicas = Replicas::told_by_command(redis.clone(), state).await?;
    Ok(Some((redis, replicas)))
}

/// What is known of plugins together with other servers; nothing for a server alone.
pub(super) async fn records(
    redis: Option<&Redis>,
    state: &StateDir,
    is_server: bool,
) -> Result<Option<SharedRecords>, SharingError> {
    match redis {
        Some(redis) => SharedRecords::open(redis.clone(), state, is_server).boxed().await.map(Some),
        None => Ok(None),
    }
}

/// The same for a process beside servers. Where nothing has to be approved, it goes on without a store that is away.
pub(super) async fn records_beside(config: &Config, state: &StateDir) -> anyhow::Result<Option<SharedRecords>> {
    if config.state.url.is_none() {
        return Ok(None);
    }
    let found = async {
        let redis = find(&config.state, state).await?;
        Ok::<_, anyhow::Error>(records(redis.as_ref(), state, false).await?)
    };
    match found.boxed().await {
        Err(error) if !asks_for_approvals(config) => {
            tracing::warn!("what servers know of plugins is not known here: {error:#}");
            Ok(None)
        }
        found => found,
    }
}

/// True if any plugin has to be approved.
pub(super) fn asks_for_approvals(config: &Config) -> bool {
    let asks = |approve: Approve| approve != Approve::Off;
    asks(config.plugins.approve) || config.plugin.values().any(|plugin| plugin.approve.is_some_and(asks))
}

/// What is switched off: of all servers, or of the one that the state directory belongs to.
pub(super) async fn switches(redis: Option<&Redis>, state: &StateDir) -> Result<Switches, SwitchError> {
    match redis {
        Some(redis) => Switches::shared(redis.clone(), state).boxed().await,
        None => Switches::open(state),
    }
}
