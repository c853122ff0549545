//! The device flow (RFC 8628): a person logs in with a browser elsewhere, for a client on a device that has none.
//!
//! - [`authorization`]: `POST /device_authorization`, where a device begins. [`row`]: the device in the store.
//! - [`page`]: `/device`, where the person types the code of the device. [`codes`]: these codes.
//! - [`ending`]: the pages at which the person's way ends.
//! - [`poll`]: the device, which asks at `/token`. [`pace`]: how often it may. [`tries`]: wrong codes.
//!
//! Somebody who sends a stranger to `/device` with a code of their own gets the stranger's login. So there is no link that
//! has the code in it, and the page says who asks, from where, and to go on only with a code that is one's own.
//!
//! From the consent on it is a login like any other. Its authorization code is kept in the device's row, and redeemed when
//! the device asks: of several requests one wins, and a code that comes again late ends the session, as everywhere.

pub(crate) mod authorization;
mod codes;
pub(super) mod ending;
mod pace;
pub(crate) mod page;
pub(super) mod poll;
pub(super) mod row;
mod tries;

use std::time::Duration;

use self::pace::Pace;
use self::tries::Tries;
use super::transaction::Unfinished;

/// The most devices that may wait at once.
const WAITING_MAX: usize = 1024;

/// The most of one address.
const WAITING_PER_ADDRESS: usize = 64;

/// Time for which rows of a device may be in the store: until it expires, the code of its login after that, and until
/// they are swept.
const KEPT: Duration = Duration::from_secs(35 * 60);

/// The devices that wait, as far as memory is enough for them.
pub(super) struct Devices {
    waiting: Unfinished,
    pace: Pace,
    tries: Tries,
}

impl Default for Devices {
    fn default() -> Self {
        let waiting = Unfinished::at_most(WAITING_MAX, WAITING_PER_ADDRESS, KEPT);
        Self { waiting, pace: Pace::default(), tries: Tries::default() }
    }
}
