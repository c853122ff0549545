//! A plugin replaced again and again while it is called. Each replacement waits until the server says that it has
//! loaded the one before, so that there are as many as there are renames.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::time::timeout;

use super::CONNECTIONS;
use crate::caller::{Protocol, Target};
use crate::figures::{Figures, Goal, Unit};
use crate::load::Load;
use crate::site::{Workshop, variant};
use crate::table::Line;

const REPLACEMENTS: usize = 1000;

/// A replacement that takes longer was lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// # Errors
/// When a replacement is not loaded.
pub(super) async fn measure(workshop: &Workshop) -> anyhow::Result<Vec<Line>> {
    let site = workshop.site()?;
    let versions = [variant(&workshop.add, 0), variant(&workshop.add, 1)];
    let (server, _) = workshop.tinymcp(&site).await?;
    let mut loads = server.loads();
    let load = Load::begin(&Target::open(server.address), Protocol::USUAL, CONNECTIONS).await?;
    let mut delays = Vec::with_capacity(REPLACEMENTS);
    for version in versions.iter().cycle().take(REPLACEMENTS) {
        let before = *loads.borrow();
        let draft = site.draft("add.wasm", version)?;
        let began = Instant::now();
        draft.put()?;
        let loaded = timeout(PATIENCE, loads.wait_for(|loads| *loads > before));
        loaded.await.context("a replacement was not loaded in time")??;
        delays.push(began.elapsed());
    }
    let tally = load.end().await;
    server.end().await?;
    if tally.answered() == 0 {
        bail!("no call was answered");
    }
    if let Some(failure) = &tally.first_failure {
        eprintln!("the first of {} failed calls: {failure}", tally.failed);
    }
    let one = |count: usize| Figures::from_iter([count as f64]);
    let latencies = tally.latencies();
    Ok(vec![
        Line::new("failed calls", one(tally.failed), Unit::Count).goal(Goal::AtMost(0.0)),
        Line::new("calls answered meanwhile", one(tally.answered()), Unit::Count),
        Line::new("slowest call but for 1 in 1,000", Figures::from_iter([latencies.at(0.999)]), Unit::Milliseconds),
        Line::new("rename to loaded", Figures::from_iter(delays), Unit::Milliseconds),
    ])
}
