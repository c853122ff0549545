//! A value that a state directory keeps over restarts, as JSON, and that can be made again: a damaged file is an empty
//! one, with a warning.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{StateDir, StateUse};
use crate::atomic_file;

/// The file of one such value.
#[derive(Debug, Default)]
pub(crate) struct RecordFile {
    /// None to remember the value until the process ends. Commands beside a server write nothing.
    path: Option<PathBuf>,
}

impl RecordFile {
    /// Reads the value, which begins empty. `loss` says what a damaged file means.
    pub(crate) fn open<T: Default + DeserializeOwned>(state: Option<&StateDir>, name: &str, loss: &str) -> (Self, T) {
        let path = state.map(|state| state.path().join(name));
        let text = path.as_deref().and_then(|path| fs::read_to_string(path).ok());
        let path = path.filter(|_| state.is_some_and(|state| state.access() == StateUse::Own));
        let value = text.map(|text| serde_json::from_str(&text)).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "`{name}` in the state directory is damaged; {loss}");
            None
        });
        (Self { path }, value.unwrap_or_default())
    }

    /// Replaces the value. `failure` begins the warning if that fails.
    pub(crate) fn write<T: Serialize>(&self, value: &T, failure: &str) {
        let Some(path) = &self.path else { return };
        let text = serde_json::to_string_pretty(value).expect("records have texts as keys");
        if let Err(error) = atomic_file::replace_private(path, text.as_bytes()) {
            tracing::warn!(%error, "{failure} in the state directory");
        }
    }
}
