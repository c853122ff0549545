//! Calls of all languages over one connection that is kept, HTTP/1.1 and HTTP/2 in turn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::http::{Answer, Kept, Version};
use tokio::time::timeout;

use crate::ground::Ground;
use crate::ledger::Language;

/// Rounds over all languages in a visit, and calls of Rust in each.
const ROUNDS: usize = 24;
const OF_RUST: usize = 8;

/// Rounds after which tokens are renewed.
const RENEWED_AFTER: usize = 8;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(100);

/// A call that takes longer has failed. Real clients wait for a minute.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let mut login = ground.log_in(person).await;
    let version = if time.is_multiple_of(2) { Version::Http1 } else { Version::Http2 };
    let mut connection = Kept::open(ground.server().address, version).await?;
    for round in 1..=ROUNDS {
        if ground.is_over() {
            break;
        }
        let client = ground.world().modern(&login.tokens.access);
        for number in 0..OF_RUST {
            add(ground, &mut connection, &client, (round * OF_RUST + number) as f64).await?;
            ground.pause(PAUSE).await;
        }
        let greeted =
            call(ground, Language::Rust, &mut connection, &client, "hello", json!({ "name": person })).await?;
        ensure!(greeted.to_string().contains(person), "hello: {greeted}");
        others(ground, &mut connection, &client).await?;
        if round.is_multiple_of(RENEWED_AFTER) {
            ground.renew(&mut login).await;
        }
    }
    ground.log_out(login).await
}

async fn add(ground: &Ground, connection: &mut Kept, client: &Client, number: f64) -> anyhow::Result<()> {
    let arguments = json!({ "a": number, "b": 0.5 });
    let result = call(ground, Language::Rust, connection, client, "add", arguments).await?;
    ensure!(result["structuredContent"]["result"] == number + 0.5, "add of {number} and 0.5: {result}");
    Ok(())
}

/// The languages that were built.
async fn others(ground: &Ground, connection: &mut Kept, client: &Client) -> anyhow::Result<()> {
    if ground.speaks(Language::Python) {
        let points = json!({ "points": [{ "x": 1, "y": 3 }, { "x": 2, "y": 5 }, { "x": 3, "y": 7 }] });
        let tool = "statistics_fit_line";
        let result = call(ground, Language::Python, connection, client, tool, points).await?;
        ensure!(result["structuredContent"]["slope"] == 2.0, "{tool}: {result}");
    }
    if ground.speaks(Language::JavaScript) {
        let title = json!({ "title": "Crème brûlée!" });
        let result = call(ground, Language::JavaScript, connection, client, "text_slugify", title).await?;
        ensure!(result.to_string().contains("creme-brulee"), "text_slugify: {result}");
    }
    Ok(())
}

/// The result of a tool that succeeds.
async fn call(
    ground: &Ground,
    language: Language,
    connection: &mut Kept,
    client: &Client,
    tool: &str,
    arguments: Value,
) -> anyhow::Result<Value> {
    let (id, request) = client.request("tools/call", json!({ "name": tool, "arguments": arguments }));
    let began = Instant::now();
    let answer = timeout(PATIENCE, connection.send(request)).await.with_context(|| format!("{tool}: no answer"))??;
    let message = message(&answer).with_context(|| format!("{tool}: {answer:?}"))?;
    let result = &message["result"];
    ensure!(message["id"] == id && result.is_object() && result["isError"] != true, "{tool}: {message}");
    ground.ledger.call_since(language, began);
    Ok(result.clone())
}

/// The message of an answer, which is JSON or the last event of a stream.
fn message(answer: &Answer) -> anyhow::Result<Value> {
    let text = answer.text();
    let data = text.lines().rev().find_map(|line| line.strip_prefix("data:"));
    Ok(serde_json::from_str(data.unwrap_or(&text))?)
}
