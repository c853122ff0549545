//! Listeners of both eras, which hear of reloads and go away without a word.

use std::time::Duration;

use tinymcp_tests::client::Client;
use tinymcp_tests::http::Events;

use crate::ground::Ground;
use crate::ledger::Event;

/// The time that a listener stays.
const STAY: Duration = Duration::from_secs(12);

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let login = ground.log_in(person).await;
    let modern = ground.world().modern(&login.tokens.access);
    let legacy = Client::legacy_with_token(ground.server(), &login.tokens.access).await;
    ground.ledger.count(Event::Session);
    let mut streams = [modern.listen().await, legacy.listen().await];
    for _ in &streams {
        ground.ledger.count(Event::Listener);
    }
    let [first, second] = &mut streams;
    tokio::select! {
        outcome = hear(first) => outcome?,
        outcome = hear(second) => outcome?,
        () = ground.pause(STAY) => {}
    }
    drop(streams);
    if time.is_multiple_of(2) {
        legacy.other("DELETE").send().await;
    }
    ground.log_out(login).await
}

/// Reads what comes, which never ends by itself.
async fn hear(stream: &mut Events) -> anyhow::Result<()> {
    while stream.next().await.is_some() {}
    anyhow::bail!("a listener's stream has ended")
}
