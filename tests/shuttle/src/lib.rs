//! Files of the host, compiled with the primitives of shuttle in [`sync`], and with as much around them as they name.
//!
//! Each is in [`host`] as it is, and in [`races`] with a known race in it (`build.rs`). Tests hold the former to its
//! promises under many schedules, and expect that they find the latter.
#![cfg(test)]

mod changes;
mod gate;
mod pool;
mod publisher;
mod schedules;
mod sync;
mod turns;

macro_rules! included {
    ($($name:ident),*) => {
        $(pub(crate) mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        })*
    };
}

#[allow(dead_code, clippy::all, reason = "files of the host have more than what is tried here")]
mod host {
    included!(changes, gate, pool, publisher, turns);
}

#[allow(dead_code, unused_mut, clippy::all, reason = "as above")]
mod races {
    included!(
        changes_that_forget,
        gate_in_two_steps,
        gate_that_loses_places,
        pool_in_two_steps,
        publisher_that_settles_first,
        turns_that_end_for_all
    );
}

/// The limits that a gate reads.
#[allow(dead_code, reason = "the gates here have none")]
mod config {
    use std::num::NonZeroUsize;

    pub(crate) struct Limits {
        pub(crate) concurrency: NonZeroUsize,
        pub(crate) queue: NonZeroUsize,
    }
}

/// The plugins, as far as listeners know them.
mod plugins {
    use std::sync::Arc;

    use self::catalog::Catalog;
    use crate::sync::watch;

    pub(crate) mod catalog {
        /// The numbers of a catalog's lists.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct Revisions {
            pub(crate) tools: u64,
            pub(crate) prompts: u64,
            pub(crate) resources: u64,
        }

        #[derive(Debug, Default)]
        pub(crate) struct Catalog(pub(crate) Revisions);

        impl Catalog {
            pub(crate) fn revisions(&self) -> Revisions {
                self.0
            }
        }
    }

    #[derive(Clone)]
    pub(crate) struct Plugins {
        pub(crate) catalog: watch::Receiver<Arc<Catalog>>,
    }

    impl Plugins {
        pub(crate) fn changes(&self) -> watch::Receiver<Arc<Catalog>> {
            self.catalog.clone()
        }
    }
}
