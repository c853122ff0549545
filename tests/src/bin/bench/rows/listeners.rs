//! Ten thousand clients that listen and do nothing else: what each costs, and when the last of them hears of a change.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::listener::Listener;
use crate::Plan;
use crate::figures::{Figures, Goal, Unit};
use crate::site::{Workshop, variant};
use crate::table::Line;

/// A system that gives a process fewer descriptors has fewer of them.
const LISTENERS: usize = 10_000;

/// Places for connections: listeners do not take all.
const CONFIG: &str = "[auth]\nprovider = \"none\"\n[server]\nconnections = 12000\n";

/// Clients that connect at the same time: a listener's queue in the kernel is short.
const AT_ONCE: usize = 64;

/// Between two changes, so that each is one of its own.
const PAUSE: Duration = Duration::from_millis(500);

/// # Errors
/// When a listener is refused, or does not hear of a change.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let site = workshop.empty_site()?;
    site.configure(CONFIG)?;
    site.put("add.wasm", &workshop.add)?;
    let (server, _) = workshop.tinymcp(&site).await?;
    let before = server.settled_memory().await?;
    let mut listeners = Vec::with_capacity(LISTENERS);
    while listeners.len() < LISTENERS {
        let mut connecting = JoinSet::new();
        for _ in 0..AT_ONCE.min(LISTENERS - listeners.len()) {
            connecting.spawn(Listener::listen(server.address));
        }
        while let Some(listener) = connecting.join_next().await {
            listeners.push(listener?.with_context(|| format!("listener {} of {LISTENERS}", listeners.len() + 1))?);
        }
    }
    let each = (server.settled_memory().await? - before) / LISTENERS as f64;
    let (mut first, mut last, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..u32::try_from(plan.rounds)? {
        tokio::time::sleep(PAUSE).await;
        let draft = site.draft(&format!("hello-{number}.wasm"), &variant(&workshop.hello, number))?;
        let mut hearing = JoinSet::new();
        for mut listener in listeners.drain(..) {
            hearing.spawn(async move {
                listener.hear_of_a_change().await?;
                anyhow::Ok((listener, Instant::now()))
            });
        }
        let (began, busy_before) = (Instant::now(), server.cpu_time()?);
        draft.put()?;
        let mut heard = Vec::with_capacity(LISTENERS);
        while let Some(one) = hearing.join_next().await {
            let (listener, at) = one??;
            heard.push(at - began);
            listeners.push(listener);
        }
        busy.push((server.cpu_time()? - busy_before) / u32::try_from(LISTENERS)?);
        let heard = Figures::from_iter(heard);
        first.push(heard.smallest());
        last.push(heard.largest());
    }
    server.end().await?;
    let tell: Figures = last.iter().zip(&first).map(|(last, first)| last - first).collect();
    Ok(vec![
        Line::new("each, resident", Figures::from_iter([each]), Unit::Kibibytes).goal(Goal::AtMost(20.0 * 1024.0)),
        Line::new("rename to the first that hears", Figures::from_iter(first), Unit::Milliseconds),
        Line::new("from the first to the last", tell, Unit::Milliseconds).goal(Goal::AtMost(1.0)),
        Line::new("CPU time for each that is told", Figures::from_iter(busy), Unit::Microseconds),
    ])
}
