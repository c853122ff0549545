//! Checks the store that several servers share: that it is reached and is as it has to be. Whether it opens with this server's key,
//! and is the one that was used here before, a start tells: for that the state directory would have to be opened.

use std::time::Duration;

use crate::cli::shared;
use crate::config::State;
use crate::diagnosis::Finding;
use crate::redis::Redis;

const SUBJECT: &str = "shared store";

/// Time for the look.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Looks at it, if the configuration names one.
pub(super) async fn look(config: &State) -> Option<Finding> {
    let url = config.url.as_ref()?;
    let address = match shared::address(config) {
        Ok(address) => address?,
        Err(error) => return Some(Finding::bad(SUBJECT, format!("{error:#}"))),
    };
    let looked = tokio::time::timeout(LOOK_MAX, Redis::look(&address)).await;
    Some(match looked {
        Err(_) => Finding::bad(SUBJECT, format!("{url} gives no answer for {} s", LOOK_MAX.as_secs()))
            .step("Start it, or let this machine reach it."),
        Ok(Err(error)) => Finding::bad(SUBJECT, error.to_string()),
        Ok(Ok(true)) => {
            Finding::good(SUBJECT, format!("{url}; a store is there (a start tells if it opens with this key)"))
        }
        Ok(Ok(false)) => Finding::good(SUBJECT, format!("{url}; no store is there, and the first server makes one")),
    })
}
