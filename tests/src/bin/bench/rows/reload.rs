//! From a file put in place to the client that hears of it. Each file is new, so that it is compiled and the list of
//! tools differs; and each new tool is called, so that what the client heard was true.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::listener::Listener;
use crate::Plan;
use crate::caller::modern_request;
use crate::figures::{Figures, Goal, Unit};
use crate::http::Connection;
use crate::site::{Workshop, variant};
use crate::table::Line;

/// Files in a round.
const FILES: u32 = 4;

/// Between two files, so that each is a change of its own.
const PAUSE: Duration = Duration::from_millis(200);

/// # Errors
/// When a change is not heard of, or the new tool does not work.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let site = workshop.site()?;
    let (server, _) = workshop.tinymcp(&site).await?;
    let mut listener = Listener::listen(server.address).await?;
    let mut delays = Vec::new();
    for number in 0..FILES * u32::try_from(plan.rounds)? {
        tokio::time::sleep(PAUSE).await;
        let draft = site.draft(&format!("hello-{number}.wasm"), &variant(&workshop.hello, number))?;
        let began = Instant::now();
        draft.put()?;
        listener.hear_of_a_change().await?;
        delays.push(began.elapsed());
        greet(server.address, &format!("hello_{number}_hello")).await?;
    }
    server.end().await?;
    let what = format!("rename to list_changed, {} files", delays.len());
    Ok(vec![Line::new(what, Figures::from_iter(delays), Unit::Milliseconds).goal(Goal::AtMost(0.3))])
}

async fn greet(address: SocketAddr, tool: &str) -> anyhow::Result<()> {
    let params = json!({ "name": tool, "arguments": { "name": "bench" } });
    let mut connection = Connection::open(address).await?;
    let (_, body) = connection.exchange(&modern_request(address, "tools/call", Some(tool), params)).await?;
    let answer = str::from_utf8(body)?;
    ensure!(answer.contains("Hello, bench!"), "tool `{tool}` answered: {answer}");
    Ok(())
}
