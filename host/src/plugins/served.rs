//! A plugin in force, and the terms under which it is served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::imports::guest::Settings;
use super::plugin::Plugin;
use super::rates::Rates;
use super::sandbox::gate::Gate;
use crate::config::Limits;
use crate::config::names::Scope;
use crate::grants::Grants;
use crate::grants::in_force::{CallGrants, InForce};
use crate::grants::needs::Needs;
use crate::principal::Principal;

/// A plugin in force, with the terms under which it is served.
#[derive(Clone)]
pub struct Served {
    /// The component.
    pub plugin: Arc<Plugin>,
    /// Its limits and settings, and the scopes that its callers need.
    pub terms: Arc<Terms>,
    scopes: Arc<[Scope]>,
}

impl Served {
    pub(super) fn new(plugin: Arc<Plugin>, terms: Arc<Terms>) -> Self {
        let scopes = Arc::clone(&terms.scopes);
        Self { plugin, terms, scopes }
    }

    /// The same for callers whose token holds these scopes, too: those of one tool, or of a view.
    #[must_use]
    pub(super) fn and_for(&self, scopes: &[Scope]) -> Self {
        let mut further = scopes.iter().filter(|scope| !self.scopes.contains(scope)).peekable();
        if further.peek().is_none() {
            return self.clone();
        }
        Self { scopes: self.scopes.iter().chain(further).cloned().collect(), ..self.clone() }
    }

    /// The scopes that a caller's token must hold.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Waits until a command has switched the plugin off.
    pub async fn switched_off(&self) {
        self.terms.stop.cancelled().await;
    }

    /// The time that a call may take.
    pub fn timeout(&self) -> Duration {
        self.terms.limits.timeout.duration()
    }

    /// What it may touch: granted by the operator, and declared by the component.
    pub fn grants(&self) -> Arc<Grants> {
        Arc::clone(&self.terms.grants)
    }

    /// The grants of a call that begins now. Without a caller, lists are made: what is in them is for everybody, so they
    /// are made without the values that the plugin alone may know.
    pub(super) fn call_grants(&self, caller: Option<&Principal>) -> CallGrants {
        let granted = &self.terms.grants;
        let began = if caller.is_some() { Arc::clone(granted) } else { granted.without_values() };
        CallGrants::new(began, Arc::clone(&self.terms.grants_now))
    }
}

/// The operator's words on one tool.
#[derive(Debug, PartialEq)]
pub(super) struct Shaping {
    /// In place of its author's title.
    pub(super) title: Option<String>,
    /// In place of its author's description.
    pub(super) description: Option<String>,
    /// Scopes beside those of the plugin.
    pub(super) scopes: Vec<Scope>,
}

/// The terms under which a plugin is served: everything about it that is not in its file, and what it declares to need.
#[derive(Clone)]
pub struct Terms {
    /// The scopes that a caller's token must hold for anything of the plugin.
    pub scopes: Arc<[Scope]>,
    /// The operator's words on single tools, by the name of the function in snake case.
    pub(super) shaping: BTreeMap<String, Arc<Shaping>>,
    pub(super) limits: Limits,
    pub(super) settings: Arc<Settings>,
    /// What it may touch: granted by the operator, and declared by the component.
    pub(super) grants: Arc<Grants>,
    /// What the operator grants, as it changes. It outlives the terms, for calls that began under them. What a component
    /// declares is not in it: each call began with what its own version declares.
    pub(super) grants_now: Arc<InForce>,
    /// People may be asked to open pages of this machine, on which the server itself is reached.
    pub(super) shows_local_pages: bool,
    /// It outlives the terms, with those who wait in it, unless its size changes.
    pub(super) gate: Arc<Gate>,
    /// The calls that each person may make. What was counted outlives the terms.
    pub(super) rates: Rates,
    /// Cancelled when a command switches the plugin off: its calls end.
    pub(super) stop: CancellationToken,
}

impl Terms {
    /// The same for a component with these needs.
    pub(super) fn of_needs(self: &Arc<Self>, needs: &Needs) -> Arc<Self> {
        if self.grants.needs == *needs {
            return Arc::clone(self);
        }
        let grants = Grants { needs: needs.clone(), ..Grants::clone(&self.grants) };
        Arc::new(Self { grants: Arc::new(grants), ..Self::clone(self) })
    }

    /// The same without anything that is granted, for code that nobody has looked at yet.
    pub(super) fn without_grants(self: &Arc<Self>) -> Arc<Self> {
        let grants = Grants { needs: self.grants.needs.clone(), ..Grants::default() };
        Arc::new(Self { grants: Arc::new(grants), ..Self::clone(self) })
    }

    /// True if a call under these terms is the same as under the others.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        self.scopes == other.scopes
            && self.shaping == other.shaping
            && self.limits == other.limits
            && self.settings == other.settings
            && self.grants == other.grants
            && self.shows_local_pages == other.shows_local_pages
            && Arc::ptr_eq(&self.gate, &other.gate)
            && self.rates.are_like(&other.rates)
            && self.stop.is_cancelled() == other.stop.is_cancelled()
    }
}
