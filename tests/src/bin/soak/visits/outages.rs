//! Times without the provider: nobody can log in, and everybody who is logged in goes on.

use std::time::Duration;

use anyhow::ensure;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::provider::Fault;
use tinymcp_tests::within;

use crate::ground::{Ground, Login};
use crate::ledger::Event;

const LENGTH: Duration = Duration::from_secs(2);

/// Time between two attempts to log in, as people make them.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let login = ground.log_in(person).await;
    // Nobody else is in the middle of a login, so that whatever fails below fails by right.
    let calm = ground.calm.write().await;
    match time % 4 {
        0 => ground.provider.go_down(),
        1 => ground.provider.fail("/", Fault::Status(503)),
        2 => ground.provider.fail("/token", Fault::Garbage),
        _ => ground.provider.fail("/token", Fault::TooMany),
    }
    ground.ledger.count(Event::Outage);
    let has_code = logs_in(&login, person).await;
    let is_live = login.client.is_live(&login.tokens.access).await;
    let renewed = login.client.try_renew(&login.tokens.refresh).await.status;
    ground.pause(LENGTH).await;
    ground.provider.mend();
    let again = async {
        while !logs_in(&login, person).await {
            tokio::time::sleep(AGAIN).await;
        }
    };
    within("a login after an outage", again).await;
    drop(calm);
    ensure!(!has_code, "somebody logged in while the provider was out");
    ensure!(is_live, "a token was refused while the provider was out");
    ensure!(matches!(renewed, 200 | 503), "a renewal while the provider was out: {renewed}");
    Ok(())
}

/// Tells whether somebody who tries to log in brings the client a code.
async fn logs_in(login: &Login, person: &str) -> bool {
    let called_back = match Browser::of(person).walk(&login.client.authorization().url()).await {
        Landing::Client(url) => Some(url),
        Landing::Page(page) => page.refresh().map(|(_, url)| url),
    };
    called_back.is_some_and(|url| url.query_pairs().any(|(name, _)| name == "code"))
}
