//! A login under way, from the request of a client to its result.
//!
//! - `request`: the transaction's id, the validated request, the consent form, and the secrets derived from the id.
//! - `row`: the transaction in the store, once a person has approved.
//! - `unfinished`: the bound of such rows.

mod request;
mod row;
mod unfinished;

pub(super) use self::request::{
    BrowserLogin, Form, FreshForm, LIFE_S, Purpose, TransactionId, ValidatedRequest, binding, upstream_request,
};
pub(super) use self::row::{Ending, Transaction, TransactionRow, begin, failure, find, load, take_back};
pub(super) use self::unfinished::Unfinished;
