//! A client that listens for changes of the list of tools.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::time::timeout;

use crate::caller::modern_request;
use crate::http::Connection;

/// A change that takes longer was lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client with an open `subscriptions/listen`.
pub(super) struct Listener {
    connection: Connection,
    /// Bytes that came and are not an event yet.
    text: String,
}

impl Listener {
    /// # Errors
    /// When the server refuses it.
    pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address).await?;
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let head = connection.send(&modern_request(address, "subscriptions/listen", None, params)).await?;
        ensure!(head.status == 200, "`subscriptions/listen` answered with status {}", head.status);
        let mut listener = Self { connection, text: String::new() };
        let acknowledged = listener.wait_for("notifications/subscriptions/acknowledged");
        timeout(PATIENCE, acknowledged).await.context("the subscription was not acknowledged")??;
        Ok(listener)
    }

    /// Waits until the list of tools has changed.
    ///
    /// # Errors
    /// When nothing comes in time, or the stream ends.
    pub(super) async fn hear_of_a_change(&mut self) -> anyhow::Result<()> {
        let heard = timeout(PATIENCE, self.wait_for("notifications/tools/list_changed"));
        heard.await.context("no `list_changed` in time")?
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
