//! Calls one after the other by several callers at once, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tinymcp_tests::client::Client;
use tokio::task::JoinSet;

/// The callers of each client.
pub(super) const CALLERS: usize = 3;

/// Calls under way.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    callers: JoinSet<Vec<String>>,
}

/// What became of them.
pub(super) struct Ended {
    /// The calls with a result.
    pub(super) done: usize,
    /// Why others had none.
    pub(super) failures: Vec<String>,
}

impl Load {
    /// Begins to call a tool, with each of these clients.
    pub(super) fn start(clients: &[Client], call: fn() -> (&'static str, Value)) -> Self {
        let (is_over, done, mut callers) = (Arc::default(), Arc::default(), JoinSet::new());
        for client in clients.iter().flat_map(|client| std::iter::repeat_n(client, CALLERS)) {
            callers.spawn(calls(client.clone(), call, Arc::clone(&is_over), Arc::clone(&done)));
        }
        Self { is_over, done, callers }
    }

    /// The calls with a result so far.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends it after the calls under way.
    pub(super) async fn stop(self) -> Ended {
        self.is_over.store(true, Ordering::Relaxed);
        let failures = self.callers.join_all().await.concat();
        Ended { done: self.done.load(Ordering::Relaxed), failures }
    }
}

async fn calls(
    client: Client,
    call: fn() -> (&'static str, Value),
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let (tool, arguments) = call();
        match client.try_call(tool, arguments).await {
            Ok(outcome) if !outcome.is_error => drop(done.fetch_add(1, Ordering::Relaxed)),
            Ok(outcome) => failures.push(outcome.text),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    failures
}
