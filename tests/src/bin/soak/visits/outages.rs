//! Times without the provider: nobody can log in, and everybody who is logged in goes on.

use std::time::Duration;

use anyhow::ensure;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::within;

use crate::ground::{Ground, Login};
use crate::ledger::Event;

const LENGTH: Duration = Duration::from_secs(2);

/// Time between two attempts to log in, as people make them.
const AGAIN: Duration = Duration::from_millis(500);

/// A time without the provider. It is over when this is dropped, however the visit ends.
struct Outage<'a> {
    provider: &'a Provider,
    /// True if nobody can reach it, people neither.
    is_whole: bool,
}

impl<'a> Outage<'a> {
    /// One of all kinds, in turn: down, or answering this server with faults.
    fn begin(provider: &'a Provider, time: usize) -> Self {
        let faults = [Fault::Cut, Fault::Status(503), Fault::Garbage, Fault::TooMany];
        let fault = (time % (faults.len() + 1)).checked_sub(1).map(|index| faults[index]);
        match fault {
            Some(fault) => provider.fail("/token", fault),
            None => provider.go_down(),
        }
        Self { provider, is_whole: fault.is_none() }
    }
}

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        self.provider.mend();
    }
}

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let login = ground.log_in(person).await;
    // Nobody else is in the middle of a login, so that whatever fails below fails by right.
    let calm = ground.calm.write().await;
    let outage = Outage::begin(&ground.provider, time);
    ground.ledger.count(Event::Outage);
    // While all of it is down, the person does not get as far as this server.
    let has_code = !outage.is_whole && logs_in(&login, person).await;
    let is_live = login.client.is_live(&login.tokens.access).await;
    let renewed = login.client.try_renew(&login.tokens.refresh).await.status;
    ground.pause(LENGTH).await;
    drop(outage);
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
