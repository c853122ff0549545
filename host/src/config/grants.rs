//! What `[plugin.NAME]` grants: `entries` as they are written; `resolve` checks them against each other, and makes of
//! them what `crate::grants` decides by; `folders` looks at the folders of `dirs`.

pub mod entries;
pub(super) mod folders;
pub(super) mod resolve;

#[cfg(test)]
mod tests;
