//! The Model Context Protocol: one endpoint for both eras, 2026-07-28 (stateless) and the `initialize` handshake
//! of 2025-11-25, 2025-06-18 and 2025-03-26.
//!
//! This is the only module that names rmcp. rmcp speaks the protocol; the rest, which it leaves to its user, is here.
//! [`endpoint`] is lenient with what clients send and strict with what they get; it reads each [`message`] once.
//! [`plain_call`] serves the plain call of a typed tool without rmcp, for speed alone, and [`plain_answer`] writes its
//! result; any other request goes through rmcp to [`requests`], which answers it from the catalog. [`exchange`] turns
//! streams of one message into JSON. [`round_trips`] are the questions of plugins and their answers, in calls and [`tasks`]. [`session`] makes legacy
//! sessions that survive a restart, and [`listeners`] tells clients of changes. [`stdio`] serves one client over lines.

mod answer;
mod call_result;
mod content;
mod discovery;
mod echo;
mod elsewhere;
mod endpoint;
mod event_stream;
mod exchange;
mod handler;
mod headers;
mod holdings;
mod in_flight;
mod input;
mod introduction;
mod listen;
mod listener_places;
mod listeners;
mod listing;
mod lists;
mod message;
mod plain_answer;
mod plain_call;
mod preferences;
mod request_channel;
mod request_state;
mod requests;
mod room;
mod round_trips;
mod session;
mod shelf;
mod stdio;
mod subscriptions;
mod tasks;
mod timed;
mod wishes;

pub use self::answer::error_response;
pub use self::call_result::result_json;
pub use self::content::{DONE, EMPTY};
pub use self::endpoint::{Endpoint, Parameters, ScopesNeeded};
pub use self::headers::versions;
pub use self::holdings::{Holdings, ListedTask};
pub use self::input::answer as client_answer;
pub use self::listing::listed_tool;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::message::fuzzing::message as message_fuzzing;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::request_state::fuzzing::request_state as request_state_fuzzing;
pub use self::stdio::Stdio;
