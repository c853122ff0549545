//! Logins that are renewed, and ended or left to expire.

use std::time::Duration;

use anyhow::ensure;

use crate::ground::Ground;

const RENEWALS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn visit(ground: &Ground, person: &str, time: usize) -> anyhow::Result<()> {
    let mut login = ground.log_in(person).await;
    for _ in 0..RENEWALS {
        ground.pause(PAUSE).await;
        ground.renew(&mut login).await;
        let tools = ground.world().modern(&login.tokens.access).tools().await;
        ensure!(!tools.is_empty(), "the list of tools is empty");
    }
    if time.is_multiple_of(2) { Ok(()) } else { ground.log_out(login).await }
}
