//! This server's beat: it asks the store whether it is there, tells itself, and tells others what it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::agreement::Agreement;
use super::member::{ANSWER_MAX, Member};
use super::message::Message;
use crate::redis::Fault;

/// Time between two beats.
const BEAT: Duration = Duration::from_millis(200);

/// Time between two looks whether the store is as it has to be.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The difference of two clocks from which on people should know, in milliseconds.
const CLOCKS_APART_MS: i64 = 2_000;

/// Beats until `stop`, and says goodbye.
pub(super) async fn run(inner: Arc<Member>, stop: CancellationToken) {
    stop.run_until_cancelled(beat(&inner)).await;
    let all = inner.redis.channel("all");
    let goodbye = inner.tell(&all, &Message::Gone);
    // Others forget it anyway.
    drop(tokio::time::timeout(ANSWER_MAX, goodbye).await);
}

async fn beat(inner: &Member) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut primaries, mut was_reached, mut said) = (Vec::new(), true, None::<Instant>);
    let (mut warned_of, mut is_clock_off) = (Vec::new(), false);
    // At its start a server has just looked.
    let (mut agreement, mut look_at) = (Agreement::default(), Instant::now() + LOOK_EVERY);
    loop {
        ticks.tick().await;
        let begin = Instant::now();
        let asked = tokio::time::timeout(ANSWER_MAX, inner.redis.vitals()).await;
        let vitals = asked.unwrap_or_else(|_| Err(Fault::Unreachable("no answer to a beat".to_owned())));
        let vitals = match vitals {
            Ok(vitals) => vitals,
            Err(fault) => {
                inner.heard.unanswered();
                if std::mem::take(&mut was_reached) {
                    tracing::error!(
                        "the shared store is away: {fault}; logins and refreshes fail, and tokens that were verified before are honoured for `state.stale`"
                    );
                }
                continue;
            }
        };
        inner.heard.answered(vitals.time_ms, begin.elapsed());
        if !std::mem::replace(&mut was_reached, true) {
            tracing::info!("the shared store is back");
        }
        agreement.keep(inner, vitals.format).await;
        if vitals.primaries != primaries {
            if !primaries.is_empty() {
                tracing::warn!(
                    "another server of the shared store writes now, or the same one under another replication id (after a restart, or when its first secondary was attached); what was written last may be lost"
                );
                // Who left has nothing to do about it.
                if !inner.left.is_cancelled() {
                    inner.primaries.send_modify(|changes| *changes += 1);
                }
            }
            let is_first = std::mem::replace(&mut primaries, vitals.primaries).is_empty();
            look_at = if is_first { look_at } else { Instant::now() };
        }
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK_EVERY;
            drop(tokio::time::timeout(ANSWER_MAX, inner.look_at_store()).await);
        }
        let offset_ms = inner.heard.offset_ms().unwrap_or_default();
        let is_apart = offset_ms.abs() > CLOCKS_APART_MS;
        if is_apart && !std::mem::replace(&mut is_clock_off, is_apart) {
            tracing::warn!(offset_ms, "the clock of this machine and that of the shared store differ: set both by NTP");
        }
        drop(inner.tell(&inner.own_channel(), &Message::Beat).await);
        if said.is_none_or(|said| said.elapsed() >= inner.peers.pace()) {
            said = Some(Instant::now());
            drop(inner.tell(&inner.redis.channel("all"), &Message::Here(inner.peers.own())).await);
            if inner.has_heard_all() {
                inner.peers.all_are_known();
            }
            let differences = inner.peers.differences();
            if differences != warned_of {
                differences.iter().for_each(|difference| tracing::warn!("servers of one store differ: {difference}"));
                warned_of = differences;
            }
        }
    }
}
