//! Checks the store that several servers share, and changes nothing in it: that it is reached, is as it has to be, opens with this
//! server's key, is the one that was used here before, and that its user has the rights.

use std::time::Duration;

use futures::FutureExt as _;

use crate::cli::shared;
use crate::config::State;
use crate::diagnosis::Finding;
use crate::state::{Secrets, StateDir};
use crate::store::Store;

const SUBJECT: &str = "shared store";

/// Time for the look.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Looks at it, if the configuration names one.
pub(super) async fn look(config: &State, secrets: &Secrets) -> Option<Finding> {
    let url = config.url.as_ref()?;
    let address = match shared::address(config) {
        Ok(address) => address?,
        Err(error) => return Some(Finding::bad(SUBJECT, format!("{error:#}"))),
    };
    // A directory that cannot be read is a finding of its own.
    let state = StateDir::foreseen(&config.dir, secrets).ok().flatten();
    let looked = tokio::time::timeout(LOOK_MAX, Store::look(&address, state.as_ref()).boxed()).await;
    Some(match looked {
        Err(_) => Finding::bad(SUBJECT, format!("{url} gives no answer for {} s", LOOK_MAX.as_secs()))
            .step("Start it, or let this machine reach it."),
        Ok(Err(error)) => Finding::bad(SUBJECT, error.to_string()),
        Ok(Ok(true)) if state.is_none() => {
            Finding::note(SUBJECT, format!("{url}; a store is there; without a key it is not seen if it opens"))
        }
        Ok(Ok(true)) => Finding::good(SUBJECT, format!("{url}; a store is there, and opens with this key")),
        Ok(Ok(false)) => Finding::good(SUBJECT, format!("{url}; no store is there, and the first server makes one")),
    })
}
