//! What `[plugin.NAME]` grants: `entries` as they are written; `resolve` checks them against each other, and makes of
//! them what `crate::grants` decides by; `folders` looks at the folders of `dirs`. `stand_ins` makes the grants of a case
//! of `tinymcp test`, without anybody's secret.

pub mod entries;
pub(super) mod folders;
pub(super) mod resolve;
pub mod stand_ins;

#[cfg(test)]
mod tests;
