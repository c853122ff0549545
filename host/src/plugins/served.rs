//! A plugin in force, and the terms under which it is served.

use std::sync::Arc;
use std::time::Duration;

use super::imports::guest::Settings;
use super::plugin::Plugin;
use super::sandbox::gate::Gate;
use crate::config::Limits;
use crate::config::names::Scope;

/// A plugin in force, with the terms under which it is served.
#[derive(Clone)]
pub struct Served {
    /// The component.
    pub plugin: Arc<Plugin>,
    /// What it may do, and who may call it.
    pub terms: Arc<Terms>,
}

impl Served {
    /// What a caller's token must hold.
    pub fn scopes(&self) -> &[Scope] {
        &self.terms.scopes
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.terms.limits.timeout.duration()
    }
}

/// The terms under which a plugin is served: all that is said of it outside its file.
pub struct Terms {
    /// What a caller's token must hold.
    pub scopes: Vec<Scope>,
    pub(super) limits: Limits,
    pub(super) settings: Arc<Settings>,
    /// It outlives the terms, with those who wait in it, unless its size changes.
    pub(super) gate: Arc<Gate>,
}

impl Terms {
    /// Whether a call under these is the same as under the others.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        self.scopes == other.scopes
            && self.limits == other.limits
            && self.settings == other.settings
            && Arc::ptr_eq(&self.gate, &other.gate)
    }
}
