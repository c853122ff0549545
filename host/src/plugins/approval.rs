//! Approval and trust: which files may go live, and who has said so.
//!
//! Pure, but for the files of `store`: the registry (`registry/approving.rs`) asks, and is the only one who puts a plugin
//! in force. `face` is everything about a plugin that people, models and grants go by; `difference` compares two of them
//! in words; `reference` names one file with one face. `store` keeps what was approved, `trust` checks bytes before
//! they are compiled. `request` is how commands and pages ask, and what they are told. `sealed_file` is a file that only
//! this server has written.

pub mod difference;
pub(super) mod face;
pub mod reference;
pub mod request;
mod sealed_file;
pub(super) mod store;
pub(super) mod trust;
