//! One load: reading one state of one file, and making a plugin of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::LoadId;
use crate::config::ByteSize;
use crate::plugins::cache::Cache;
use crate::plugins::compilers::Compilers;
use crate::plugins::directory::{self, Found, ReadError, Stamp};
use crate::plugins::engine::Engine;
use crate::plugins::load::{self, Digest, LoadError, Plugin};

/// What a load came to.
pub(super) struct Loaded {
    pub(super) id: LoadId,
    pub(super) file: String,
    /// The state of the file that was read, if it could be read.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    pub(super) outcome: Result<Option<Plugin>, String>,
    /// The file may still be growing: see `SETTLE` in [`super`].
    pub(super) is_unsettled: bool,
    pub(super) elapsed: Duration,
}

/// Reading and loading one state of one file.
pub(super) struct Job {
    pub(super) id: LoadId,
    pub(super) found: Found,
    pub(super) name: String,
    pub(super) limit: ByteSize,
    /// What was last made of this file: the same bytes need no second look.
    pub(super) known: Option<Digest>,
    pub(super) is_settled: bool,
}

impl Job {
    /// Reads and loads, on the compilers' threads.
    pub(super) async fn run(self, engine: Arc<Engine>, cache: Option<Cache>, compilers: Arc<Compilers>) -> Loaded {
        let started = Instant::now();
        let Self { id, found, name, limit, known, is_settled } = self;
        let path = found.path.clone();
        let read = compilers
            .run(0, move || directory::read(&path, limit).map(|(bytes, stamp)| (Digest::of(&bytes), bytes, stamp)))
            .await;
        let mut loaded = Loaded {
            id,
            file: found.file,
            stamp: Some(found.stamp),
            digest: None,
            outcome: Ok(None),
            is_unsettled: !is_settled,
            elapsed: Duration::ZERO,
        };
        let (digest, bytes, stamp) = match read {
            Some(Ok(read)) => read,
            Some(Err(error)) => {
                // What changes under our eyes is not done; looking again is free of charge.
                loaded.is_unsettled |= matches!(error, ReadError::Changed);
                loaded.outcome = Err(error.to_string());
                return loaded;
            }
            None => {
                loaded.outcome = Err("the host failed while it read the file".to_owned());
                return loaded;
            }
        };
        loaded.stamp = Some(stamp);
        loaded.digest = Some(digest);
        if known == Some(digest) {
            return loaded;
        }
        let size = bytes.len();
        let outcome = compilers.run(size, move || load::load(&engine, cache.as_ref(), &name, &bytes)).await;
        loaded.outcome = match outcome {
            Some(outcome) => outcome.map(Some).map_err(|error: LoadError| error.to_string()),
            None => Err("the host failed while it compiled the file".to_owned()),
        };
        loaded.elapsed = started.elapsed();
        loaded
    }
}
