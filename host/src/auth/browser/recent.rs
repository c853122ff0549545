//! How old a login is: an operator's acts need one of the last ten minutes.
//!
//! What counts is when the person has shown the provider who they are. A provider may log somebody in without asking, since
//! they have logged in there before, and says so by `auth_time` (OpenID Connect Core 1.0 §2), which it must say when it is
//! asked for a login of a certain age (`max_age`, §3.1.2.1).

use crate::auth::transaction::BrowserLogin;
use crate::auth::upstream::Upstream;
use crate::auth::upstream::messages::AuthTime;

/// The time after a login in which an operator may act: what cannot be taken back is not for a browser that was left
/// open.
pub(super) const RECENT_S: u64 = 600;

/// The provider was asked for a login of the last minutes, and has given another one.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::auth) struct NotOfNow;

/// The time, in seconds since 1970, from which on a login counts as one in which the person has shown who they are; none if
/// that is not known.
///
/// # Errors
/// [`NotOfNow`].
pub(in crate::auth) fn shown(
    provider: &Upstream,
    login: &BrowserLogin,
    auth_time: Option<AuthTime>,
    now_s: u64,
) -> Result<Option<u64>, NotOfNow> {
    let shown_s = shown_at(auth_time, login.is_again || !provider.tells_auth_time(), now_s);
    match login.is_again && !is_recent(shown_s, now_s) {
        true => Err(NotOfNow),
        false => Ok(shown_s),
    }
}

/// True if that time is one of the last ten minutes.
pub(super) fn is_recent(shown_s: Option<u64>, now_s: u64) -> bool {
    shown_s.is_some_and(|shown_s| now_s <= shown_s.saturating_add(RECENT_S))
}

/// A provider that has nothing to say counts by the time of its answer, unless it could have said more if it had been asked.
/// The leeway of clocks is in the time.
fn shown_at(auth_time: Option<AuthTime>, is_all_it_says: bool, now_s: u64) -> Option<u64> {
    match auth_time {
        Some(AuthTime { at_s, leeway_s }) => {
            let is_possible = at_s <= now_s.saturating_add(leeway_s);
            is_possible.then(|| at_s.saturating_add(leeway_s).min(now_s))
        }
        None => is_all_it_says.then_some(now_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_counts_from_when_the_person_has_shown_who_they_are() {
        const NOW: u64 = 1_000_000;
        for (said, is_all_it_says, expected, is_of_now) in [
            (Some(NOW), true, Some(NOW), true),
            (Some(NOW - 100), true, Some(NOW - 40), true),
            (Some(NOW - 660), true, Some(NOW - 600), true),
            (Some(NOW - 661), true, Some(NOW - 601), false),
            (Some(NOW - 100_000), true, Some(NOW - 99_940), false),
            // Its clock is a little ahead, or says what cannot be.
            (Some(NOW + 60), true, Some(NOW), true),
            (Some(NOW + 61), true, None, false),
            (Some(u64::MAX), true, None, false),
            (Some(0), false, Some(60), false),
            (None, true, Some(NOW), true),
            (None, false, None, false),
        ] {
            let auth_time = said.map(|at_s| AuthTime { at_s, leeway_s: 60 });
            let shown_s = shown_at(auth_time, is_all_it_says, NOW);
            assert_eq!((shown_s, is_recent(shown_s, NOW)), (expected, is_of_now), "{said:?} {is_all_it_says}");
        }
    }
}
