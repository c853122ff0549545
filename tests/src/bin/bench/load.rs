//! Many clients at once, each with one call under way at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::caller::{Caller, Protocol, Target};
use super::figures::Figures;

/// Calls under way, until they are told to end.
pub(crate) struct Load {
    clients: JoinSet<Tally>,
    stop: Arc<AtomicBool>,
    began: Instant,
}

/// The observations of one client, or of all of them.
#[derive(Default)]
pub(crate) struct Tally {
    /// The time of each right answer.
    latencies: Vec<Duration>,
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    elapsed: Duration,
}

impl Load {
    /// Connects that many clients, then lets all of them call.
    ///
    /// # Errors
    /// When one cannot connect or begin its session.
    pub(crate) async fn begin(target: &Target, protocol: Protocol, connections: usize) -> anyhow::Result<Self> {
        let mut callers = Vec::with_capacity(connections);
        for _ in 0..connections {
            callers.push(Caller::connect(target, protocol).await?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for (index, caller) in callers.into_iter().enumerate() {
            // Numbers of a million of its own, so that no client could take another's answer for its own.
            let first_id = 1_000_000 * (index as u64 + 1);
            clients.spawn(call(caller, target.clone(), protocol, first_id, Arc::clone(&stop)));
        }
        Ok(Self { clients, stop, began: Instant::now() })
    }

    /// Runs for that long and ends.
    ///
    /// # Errors
    /// As [`Load::begin`].
    pub(crate) async fn run(
        target: &Target,
        protocol: Protocol,
        connections: usize,
        length: Duration,
    ) -> anyhow::Result<Tally> {
        let load = Self::begin(target, protocol, connections).await?;
        tokio::time::sleep(length).await;
        Ok(load.end().await)
    }

    /// Lets the calls under way finish, and adds up.
    pub(crate) async fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let tallies = self.clients.join_all().await;
        let elapsed = self.began.elapsed();
        let mut all = Tally { elapsed, ..Tally::default() };
        for tally in tallies {
            all.latencies.extend(tally.latencies);
            all.failed += tally.failed;
            all.first_failure = all.first_failure.or(tally.first_failure);
        }
        all
    }
}

impl Tally {
    /// Right answers.
    pub(crate) fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// Right answers in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn latencies(&self) -> Figures {
        self.latencies.iter().copied().collect()
    }
}

async fn call(mut caller: Caller, target: Target, protocol: Protocol, first_id: u64, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    let mut id = first_id;
    while !stop.load(Ordering::Relaxed) {
        id += 1;
        let began = Instant::now();
        match caller.add(id).await {
            Ok(()) => tally.latencies.push(began.elapsed()),
            Err(error) => {
                tally.failed += 1;
                tally.first_failure.get_or_insert_with(|| format!("{error:#}"));
                // The connection may be broken, or in the middle of an answer.
                match Caller::connect(&target, protocol).await {
                    Ok(fresh) => caller = fresh,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
    }
    tally
}
