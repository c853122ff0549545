//! Clients that are gone in the middle: of a body, before the answer, in a call that takes long, in a stream.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use tinymcp_tests::http::{Kept, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ground::Ground;
use crate::ledger::Event;

/// The time until a slow call is given up, and the time that it would take.
const GIVEN_UP: Duration = Duration::from_millis(100);
const SLOW_MS: u32 = 2_000;

/// Rounds of all cuts in a visit.
const ROUNDS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn visit(ground: &Ground, person: &str) -> anyhow::Result<()> {
    let login = ground.log_in(person).await;
    let (address, token) = (ground.server().address, &login.tokens.access);
    let client = ground.world().modern(token);
    let slow = || match ground.has_slow() {
        true => json!({ "name": "hostile_sleep_ms", "arguments": { "ms": SLOW_MS } }),
        false => json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }),
    };
    for _ in 0..ROUNDS {
        if ground.is_over() {
            break;
        }
        for body in ["", "{\"jsonrpc\":\"2.0\",\"id\":1,\"meth"] {
            let mut stream = TcpStream::connect(address).await?;
            let head = format!(
                "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: 4000\r\n\r\n{body}"
            );
            stream.write_all(head.as_bytes()).await?;
            drop(stream);
            ground.ledger.count(Event::Disconnect);
        }
        // The answer has begun or not: the connection is gone with what is dropped.
        drop(timeout(GIVEN_UP, client.request("tools/call", slow()).1.try_open()).await);
        ground.ledger.count(Event::Disconnect);
        let mut connection = Kept::open(address, Version::Http2).await?;
        drop(timeout(GIVEN_UP, connection.send(client.request("tools/call", slow()).1)).await);
        drop(connection);
        ground.ledger.count(Event::Disconnect);
        drop(client.listen().await);
        ground.ledger.count(Event::Disconnect);
        ground.pause(PAUSE).await;
    }
    // Whoever was cut off may come again at once.
    let called = client.try_call("add", json!({ "a": 1, "b": 2 })).await?;
    ensure!(called.structured["result"] == 3.0, "{called:?}");
    ground.log_out(login).await
}
