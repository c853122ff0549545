//! The choices of a person who builds plugins.

/// What becomes of a source whose toolchain is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum MissingToolchain {
    /// A line says so: nobody has every toolchain, and nobody asked for this plugin.
    Skip,
    /// Somebody asked for this plugin.
    Fail,
}

/// The choice of keeping the names of functions in a component, so that a trap can tell where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum FunctionNames {
    /// As the crate's own profile says, which strips them if `tinymcp new` wrote it.
    Strip,
    /// For whoever works on the plugin.
    Keep,
}

/// The manner in which plugins are built.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct BuildOptions {
    pub(in crate::cli) missing: MissingToolchain,
    pub(in crate::cli) names: FunctionNames,
}
