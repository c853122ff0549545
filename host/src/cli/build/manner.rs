//! The choices of a person who builds plugins.

/// What becomes of a source whose toolchain is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Missing {
    /// A line says so: nobody has every toolchain, and nobody asked for this plugin.
    Skipped,
    /// Somebody asked for this plugin.
    Failure,
}

/// The choice of keeping the names of functions in a component, so that a trap can tell where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Names {
    /// As the crate's own profile says, which strips them if `tinymcp new` wrote it.
    Stripped,
    /// For whoever works on the plugin.
    Kept,
}

/// The manner in which plugins are built.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Manner {
    pub(in crate::cli) missing: Missing,
    pub(in crate::cli) names: Names,
}
