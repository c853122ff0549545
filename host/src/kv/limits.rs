//! The lengths and numbers that bound what is kept.

/// Bytes that a name may have.
pub const MAX_NAME_BYTES: usize = 512;

/// Bytes that a value may have, whatever the quota.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Bytes that one entry counts against the quota beside its name and value: about what it takes in the file.
pub const ENTRY_BYTES: u64 = 64;

/// Names of one page of a list.
pub const PAGE: usize = 500;

/// Entries of one operation on many.
pub const MAX_ENTRIES: usize = 1000;

/// Bytes of the values of one operation on many.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Spaces of one page: as many as fit a line of the control socket, whatever their owners are called.
pub(super) const SPACES: usize = 500;
