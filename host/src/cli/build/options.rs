//! Options of building plugins.

/// The treatment of a source whose toolchain is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum MissingToolchain {
    /// Print a line: nobody has every toolchain, and nobody asked for this plugin.
    Skip,
    /// Fail: somebody asked for this plugin.
    Fail,
}

/// The names of functions in a component, by which a trap can tell its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum FunctionNames {
    /// Follow the crate's own profile, which strips them if `tinymcp new` wrote it.
    Strip,
    /// Keep them, for people who work on the plugin.
    Keep,
}

/// Options of a build.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct BuildOptions {
    pub(in crate::cli) missing: MissingToolchain,
    pub(in crate::cli) names: FunctionNames,
}
