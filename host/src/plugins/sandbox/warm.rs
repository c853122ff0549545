//! Instances that are kept for the next call, for plugins whose author says that their start is expensive.
//!
//! Invariant: an instance only ever serves one person, by the version of the plugin and under the terms with which it was
//! made. It is put here only after a call that went well; an error, a deadline, a cancelled call, a reload or changed
//! terms end it.

mod pool;

use std::sync::{Arc, Weak};

use wasmtime::Store;
use wasmtime::component::Instance;

use self::pool::Pool;
use crate::plugins::imports::guest::Guest;
use crate::plugins::plugin::Plugin;
use crate::plugins::served::{Served, Terms};
use crate::principal::Principal;

/// The owner of an instance. It is good for as long as version and terms are in force.
pub(in crate::plugins) struct Owner {
    plugin: Weak<Plugin>,
    terms: Weak<Terms>,
    /// See [`Principal::person`].
    person: [u8; 32],
}

/// An instance that has done its last call well.
pub(in crate::plugins) struct WarmInstance {
    pub(in crate::plugins) store: Store<Guest>,
    pub(in crate::plugins) instance: Instance,
}

/// All instances that are kept. The longest unused makes room for the next.
#[derive(Clone)]
pub(in crate::plugins) struct Warm(Arc<Pool<Owner, WarmInstance>>);

impl Warm {
    /// Room for so many instances.
    pub(in crate::plugins) fn new(capacity: usize) -> Self {
        Self(Arc::new(Pool::new(capacity)))
    }

    /// An instance of this owner, the one that was used last.
    pub(in crate::plugins) fn take(&self, owner: &Owner) -> Option<WarmInstance> {
        self.0.take(|kept| kept.is(owner))
    }

    /// Keeps an instance for its owner's next call.
    pub(in crate::plugins) fn put(&self, owner: Owner, live: WarmInstance) {
        self.0.put(owner, live);
    }

    /// The number of instances that are kept.
    pub(in crate::plugins) fn len(&self) -> usize {
        self.0.len()
    }

    /// Frees instances that nobody can use any more, or has not used for long.
    pub(in crate::plugins) fn sweep(&self) {
        self.0.sweep(Owner::is_in_force);
    }

    /// Frees the instances of a person.
    pub(in crate::plugins) fn forget(&self, person: &[u8; 32]) {
        self.0.sweep(|owner| owner.person != *person && owner.is_in_force());
    }
}

impl Owner {
    /// The owner of a call's instance, if the plugin is kept warm.
    pub(in crate::plugins) fn of(served: &Served, caller: Option<&Principal>) -> Option<Self> {
        let caller = caller.filter(|_| served.plugin.keep_warm)?;
        let (plugin, terms) = (Arc::downgrade(&served.plugin), Arc::downgrade(&served.terms));
        Some(Self { plugin, terms, person: caller.person() })
    }

    fn is(&self, other: &Self) -> bool {
        self.person == other.person && self.plugin.ptr_eq(&other.plugin) && self.terms.ptr_eq(&other.terms)
    }

    fn is_in_force(&self) -> bool {
        self.plugin.strong_count() > 0 && self.terms.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::config::Config;
    use crate::plugins::Plugins;
    use crate::plugins::conversation::Conversation;
    use crate::plugins::imports::guest::Surroundings;
    use crate::plugins::rules::Rules;
    use crate::plugins::services::Services;
    use crate::plugins::types::docs::WIT_SECTION;
    use crate::plugins::types::docs::tests::component;

    const WIT: &str = "package test:test;\n/// @keep-warm\nworld test { export it: func(); }";

    #[tokio::test]
    async fn what_nobody_uses_is_freed_even_where_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("test.wasm"), component(&[(WIT_SECTION, WIT.as_bytes())])).unwrap();
        let mut config = Config::default();
        config.plugins.dir = dir.path().to_owned();
        config.plugins.rescan = "20ms".parse().unwrap();
        let (config, grants) = (watch::Sender::new(Arc::new(config)), watch::Sender::default());
        let rules = Rules::of(&config, &grants);
        let stop = CancellationToken::new();
        let _stopped = stop.clone().drop_guard();
        let plugins = Plugins::start(rules, Services::default(), None, &TaskTracker::new(), stop).unwrap();
        plugins.ready().await;
        let warm = &plugins.runtime.warm;
        warm.put(owner(&plugins), live(&plugins).await);
        warm.sweep();
        assert_eq!(warm.0.len(), 1);

        warm.0.age();
        let freed = async {
            while warm.0.len() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), freed).await.unwrap();
    }

    fn owner(plugins: &Plugins) -> Owner {
        Owner::of(&plugins.catalog().tools()[0].served, Some(&Principal::anonymous())).unwrap()
    }

    async fn live(plugins: &Plugins) -> WarmInstance {
        let served = plugins.catalog().tools()[0].served.clone();
        let surroundings = Surroundings {
            plugin: Arc::clone(&served.plugin.name),
            digest: served.plugin.digest,
            settings: Arc::clone(&served.terms.settings),
            announcements: plugins.runtime.announcements.clone(),
            grants: served.call_grants(None),
            services: Arc::default(),
        };
        let guest = Guest::new(surroundings, &served.terms.limits, Conversation::default());
        let mut store = Store::new(plugins.runtime.engine.wasm(), guest);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = served.plugin.pre.instantiate_async(&mut store).await.unwrap();
        WarmInstance { store, instance }
    }
}
