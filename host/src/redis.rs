//! The Redis or Valkey in which several servers keep what they share (`state.url`).
//!
//! One handle, [`Redis`], serves every room that has something there: rows of logins, the state of plugins, what is
//! switched off. It knows nothing of what they keep. Only this room names the `redis` crate.
//!
//! - `handle`: the handle. `address`: where it is. `link`: the connection, to one server, a cluster or the primary of
//!   sentinels. `place`: the part by which a cluster places keys. `script`: what is done in one step there. `kept`: a value
//!   that all share. `fault`: why something was not done.
//! - `mark`: by which a store that was emptied is told from one that is new. `format`: in which format it is written, and
//!   how that changes. `demands`: what Redis must be like. `rights`: what its user must be allowed.
//! - `primary`: the id of the server that writes. Each change of it means that the last writes may be lost.
//!
//! Invariant: everything is done by a script that reads the mark first, on a server that may write. An emptied store is
//! an error, and a secondary is never read. A store whose format is not known here is not touched.

mod address;
mod demands;
mod fault;
mod format;
mod handle;
mod kept;
mod link;
mod mark;
mod place;
mod primary;
mod rights;
mod script;
#[cfg(test)]
pub(crate) mod testing;

pub use self::address::Address;
pub use self::fault::{Fault, OpenError};
pub use self::format::read_formats_up_to;
pub(crate) use self::format::{Agreed, FIRST};
pub use self::handle::Redis;
pub(crate) use self::kept::Kept;
pub use self::mark::Mark;
pub(crate) use self::place::{PLACES, Place};
pub use self::primary::Primary;
pub(crate) use self::script::{Reply, Script, Step};
