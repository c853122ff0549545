//! Sessions of the legacy era, every request on a connection of its own. Every second one is left behind.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use tinymcp_tests::client::Client;

use crate::ground::Ground;
use crate::ledger::{Event, Language};

const CALLS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let login = ground.log_in(person).await;
    let client = Client::legacy_with_token(ground.server(), &login.tokens.access).await;
    ground.ledger.count(Event::Session);
    for number in 0..CALLS {
        let began = Instant::now();
        let called = client.try_call("add", json!({ "a": number, "b": 0.5 })).await?;
        ensure!(called.structured["result"] == f64::from(number) + 0.5, "{called:?}");
        ground.ledger.call_since(Language::Rust, began);
        ground.pause(PAUSE).await;
    }
    if time.is_multiple_of(2) {
        let answer = client.other("DELETE").send().await;
        ensure!((200..300).contains(&answer.status), "DELETE of a session: {answer:?}");
    }
    // The login ends with every fourth: sessions stay behind with and without it.
    if time.is_multiple_of(4) { ground.log_out(login).await } else { Ok(()) }
}
