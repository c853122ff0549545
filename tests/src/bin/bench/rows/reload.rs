//! From a file put in place to the client that hears of it. Each file is new, so that it is compiled and the list of
//! tools differs; and each new tool is called, so that what the client heard was true.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::time::timeout;

use crate::Plan;
use crate::caller::modern_request;
use crate::figures::{Figures, Goal, Unit};
use crate::http::Connection;
use crate::site::{Workshop, variant};
use crate::table::Line;

/// Files in a round.
const FILES: u32 = 4;

/// A change that takes longer was lost.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let heard = timeout(PATIENCE, listener.wait_for("notifications/tools/list_changed"));
        heard.await.context("no `list_changed` in time")??;
        delays.push(began.elapsed());
        greet(server.address, &format!("hello_{number}_hello")).await?;
    }
    server.end().await?;
    let what = format!("rename to list_changed, {} files", delays.len());
    Ok(vec![Line::new(what, Figures::from_iter(delays), Unit::Milliseconds).goal(Goal::AtMost(0.3))])
}

/// A client with an open `subscriptions/listen`.
struct Listener {
    connection: Connection,
    /// Bytes that came and are not an event yet.
    text: String,
}

impl Listener {
    async fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address).await?;
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let head = connection.send(&modern_request(address, "subscriptions/listen", None, params)).await?;
        ensure!(head.status == 200, "`subscriptions/listen` answered with status {}", head.status);
        let mut listener = Self { connection, text: String::new() };
        let acknowledged = listener.wait_for("notifications/subscriptions/acknowledged");
        timeout(PATIENCE, acknowledged).await.context("the subscription was not acknowledged")??;
        Ok(listener)
    }

    /// Waits for an event that holds this method, and drops those before it.
    async fn wait_for(&mut self, method: &str) -> anyhow::Result<()> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let is_it = event.contains(method);
                self.text = rest.to_owned();
                if is_it {
                    return Ok(());
                }
            }
            let Some(chunk) = self.connection.next_chunk().await? else { bail!("the stream ended") };
            self.text.push_str(str::from_utf8(chunk)?);
        }
    }
}

async fn greet(address: SocketAddr, tool: &str) -> anyhow::Result<()> {
    let params = json!({ "name": tool, "arguments": { "name": "bench" } });
    let mut connection = Connection::open(address).await?;
    let (_, body) = connection.exchange(&modern_request(address, "tools/call", Some(tool), params)).await?;
    let answer = str::from_utf8(body)?;
    ensure!(answer.contains("Hello, bench!"), "tool `{tool}` answered: {answer}");
    Ok(())
}
