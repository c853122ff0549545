//! From start to ready with what every checkout has, and the memory of a server that nobody calls.

use crate::Plan;
use crate::figures::{Figures, Goal, Unit};
use crate::site::Workshop;
use crate::table::Line;

/// Starts in a round: they are short.
const STARTS: usize = 4;

/// # Errors
/// When the server does not start.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let site = workshop.site()?;
    // This one compiles.
    workshop.tinymcp(&site).await?.0.end().await?;
    let mut times = Vec::new();
    for _ in 0..STARTS * plan.rounds {
        let (server, time) = workshop.tinymcp(&site).await?;
        server.end().await?;
        times.push(time);
    }
    let (server, _) = workshop.tinymcp(&site).await?;
    let memory = server.settled_memory().await?;
    server.end().await?;
    let what = format!("exec to `/readyz` 200, {} starts", times.len());
    Ok(vec![
        Line::new(what, Figures::from_iter(times), Unit::Milliseconds).goal(Goal::AtMost(0.1)),
        Line::new("idle, resident", Figures::from_iter([memory]), Unit::Mebibytes)
            .goal(Goal::AtMost(30.0 * 1024.0 * 1024.0)),
    ])
}
