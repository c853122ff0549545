//! The rules of `[auth]`: who may log in, and with which scopes.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::errors::OAuthError;
use crate::auth::identity::{Identity, Membership};
use crate::config::names::{GroupName, Scope, Who, address};
use crate::config::{Config, PluginSettings};
use crate::principal;
use crate::switches::SwitchedOff;
use crate::view::View;

/// Stands for all scopes. Only the built-in login, where everybody holds every scope, gives it.
const EVERY_SCOPE: &str = "*";

/// Scopes that clients ask for by habit, and which mean nothing here: a refresh token goes to everybody, and the
/// identity of people concerns the provider.
const INERT_SCOPES: [&str; 4] = ["offline_access", "openid", "profile", "email"];

/// The rules of `[auth]`: `allow`, `deny`, `operators`, `groups`, `scopes` and `denied_clients`, as they are at any moment.
#[derive(Clone)]
pub(super) struct People {
    /// Scopes of plugins come and go while the server runs, and so do the rules.
    config: watch::Receiver<Arc<Config>>,
    is_local: bool,
    rules: watch::Receiver<Arc<Rules>>,
    /// A signal that changes after the rules have, and when a token that somebody is using has ended.
    signal: watch::Sender<()>,
}

/// Everything that decides about somebody, to be compared.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    allow: Vec<Who>,
    deny: Vec<Who>,
    operators: Vec<Who>,
    groups: BTreeMap<GroupName, Vec<Who>>,
    scopes: BTreeMap<Scope, Vec<Who>>,
    denied_clients: Vec<String>,
    /// The scopes that plugins, their tools and views ask for.
    of_plugins: BTreeSet<String>,
    /// Issuers and subjects of the people whom a command has blocked.
    blocked: BTreeSet<(String, String)>,
    /// See [`SwitchedOff::all_ended`].
    all_ended: u64,
}

impl Rules {
    fn of(config: &Config, switched_off: &SwitchedOff) -> Self {
        let blocked = switched_off.people.iter().map(|person| (person.issuer.clone(), person.subject.clone()));
        let plugins = config.plugin.values().filter(|plugin| plugin.enabled);
        let of_views = config.view.values().flat_map(|view| &view.scopes);
        let auth = &config.auth;
        Self {
            allow: auth.allow.clone(),
            deny: auth.deny.clone(),
            operators: auth.operators.clone(),
            groups: auth.groups.clone(),
            scopes: auth.scopes.clone(),
            denied_clients: auth.denied_clients.clone(),
            of_plugins: plugins.flat_map(scopes_of).chain(of_views).map(|scope| scope.as_str().to_owned()).collect(),
            blocked: blocked.collect(),
            all_ended: switched_off.all_ended,
        }
    }

    /// True if one of these means the person for certain.
    fn means(&self, people: &[Who], identity: &Identity) -> bool {
        people.iter().any(|who| match who {
            Who::Group(group) => self.means(self.members(group), identity),
            who => is_meant(who, identity),
        })
    }

    /// True if one of these means the person, or may do so.
    fn may_mean(&self, people: &[Who], identity: &Identity) -> bool {
        people.iter().any(|who| match who {
            Who::Group(group) => self.may_mean(self.members(group), identity),
            who => may_be_meant(who, identity),
        })
    }

    /// The members of a group. The configuration has been checked: groups are there, and without circles.
    fn members(&self, group: &str) -> &[Who] {
        self.groups.get(group).map_or(&[], Vec::as_slice)
    }
}

impl People {
    /// Follows the configuration, and what is switched off, on a task of its own, for as long as somebody wants to know.
    pub(super) fn new(
        config: watch::Receiver<Arc<Config>>,
        mut switched_off: watch::Receiver<Arc<SwitchedOff>>,
        is_local: bool,
        tasks: &TaskTracker,
    ) -> Self {
        let (sender, rules) = watch::channel(Arc::new(Rules::of(&config.borrow(), &switched_off.borrow_and_update())));
        let signal = watch::Sender::new(());
        let signalling = signal.clone();
        let mut changes = config.clone();
        tasks.spawn(async move {
            // Ends with the sender of the configuration, which ends with the server.
            loop {
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    Ok(()) = switched_off.changed() => {}
                }
                let now = Rules::of(&changes.borrow_and_update(), &switched_off.borrow_and_update());
                if **sender.borrow() != now {
                    sender.send_replace(Arc::new(now));
                    signalling.send_replace(());
                }
            }
        });
        Self { config, is_local, rules, signal }
    }

    /// Rules that stay as they are.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn fixed(config: Config, is_local: bool) -> Self {
        let rules = watch::channel(Arc::new(Rules::of(&config, &SwitchedOff::default()))).1;
        Self { config: watch::channel(Arc::new(config)).1, is_local, rules, signal: watch::Sender::new(()) }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// A signal that changes with the rules.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.signal.subscribe()
    }

    /// Gives the signal: everybody who is being served is looked at again.
    pub(super) fn look_again(&self) {
        self.signal.send_replace(());
    }

    /// The version of the rules, to tell one state of them from another.
    pub(super) fn version(&self) -> Version {
        Version(self.rules())
    }

    /// True if this person may log in. With the built-in login everybody may who is not blocked: it is on loopback only.
    pub(super) fn admits(&self, identity: &Identity) -> bool {
        let rules = self.rules();
        if !rules.blocked.is_empty() && rules.blocked.contains(&(identity.issuer.clone(), identity.subject.clone())) {
            return false;
        }
        self.is_local
            || ((rules.allow.is_empty() || rules.means(&rules.allow, identity))
                && !rules.may_mean(&rules.deny, identity))
    }

    /// True for somebody who runs this server: an operator by name, who may also log in. Only people have an identity
    /// here, so that no machine and nobody without a login is one. The built-in login checks no names, and its people are
    /// operators by the names that they give.
    pub(super) fn is_operator(&self, identity: &Identity) -> bool {
        let rules = self.rules();
        rules.means(&rules.operators, identity) && self.admits(identity)
    }

    /// How often all sessions were ended so far: see [`SwitchedOff::all_ended`].
    pub(super) fn all_ended(&self) -> u64 {
        self.rules().all_ended
    }

    /// True if a session may go on that began when all had been ended so often: by its person, its client and its age.
    pub(super) fn continues(&self, identity: &Identity, client_id: &str, all_ended: u64) -> bool {
        all_ended >= self.all_ended() && self.admits(identity) && !self.denies_client(client_id)
    }

    /// True if the operator has turned this client away.
    pub(super) fn denies_client(&self, id: &str) -> bool {
        self.rules().denied_clients.iter().any(|denied| denied == id)
    }

    /// True if a rule cannot be decided because the provider does not list this person's organizations.
    pub(super) fn lacks_organizations(&self, identity: &Identity) -> bool {
        let rules = self.rules();
        let names = rules.allow.iter().chain(&rules.deny).chain(rules.groups.values().flatten());
        identity.membership != Membership::Whole && names.into_iter().any(|who| matches!(who, Who::Organization(_)))
    }

    /// Every scope that means something here, in order.
    pub(super) fn all_scopes(&self) -> BTreeSet<String> {
        let rules = self.rules();
        rules.of_plugins.iter().cloned().chain(rules.scopes.keys().map(|scope| scope.as_str().to_owned())).collect()
    }

    /// True if there is such a view.
    pub(super) fn has_view(&self, view: &View) -> bool {
        view.name().is_none_or(|name| self.config.borrow().view.contains_key(name))
    }

    /// The view that a request is for: the one that it names, if there is such, or else `/mcp`.
    ///
    /// # Errors
    /// `invalid_target` for one that is not there.
    pub(super) fn wanted(&self, named: Option<View>) -> Result<View, OAuthError> {
        let view = named.unwrap_or_default();
        if self.has_view(&view) { Ok(view) } else { Err(OAuthError::InvalidTarget) }
    }

    /// The name of a view for people.
    pub(super) fn name_of(&self, view: &View) -> String {
        let config = self.config.borrow();
        let own = view.name().and_then(|name| config.view.get(name)?.title.clone());
        own.or_else(|| config.server.title.clone()).unwrap_or_else(|| "TinyMCP".to_owned())
    }

    /// Every scope that means something at a view, in order.
    pub(super) fn scopes_of(&self, view: &View) -> BTreeSet<String> {
        let config = self.config.borrow();
        let Some(name) = view.name() else {
            let plugins = config.plugin.values().filter(|plugin| plugin.enabled);
            let of_plugins: BTreeSet<&Scope> = plugins.flat_map(scopes_of).collect();
            let of_views: BTreeSet<&Scope> = config.view.values().flat_map(|view| &view.scopes).collect();
            let mut all = self.all_scopes();
            // A scope that opens a view is of no use here.
            for scope in of_views.difference(&of_plugins) {
                all.remove(scope.as_str());
            }
            return all;
        };
        let Some(view) = config.view.get(name) else { return BTreeSet::new() };
        let plugins = view.plugins.iter().map(|plugin| config.plugin(plugin)).filter(|plugin| plugin.enabled);
        plugins.flat_map(scopes_of).chain(&view.scopes).map(|scope| scope.as_str().to_owned()).collect()
    }

    /// Describes what a scope allows.
    pub(super) fn describe(&self, scope: &str) -> String {
        let config = self.config.borrow();
        let is_one = |scopes: &[Scope]| scopes.iter().any(|it| it.as_str() == scope);
        let (mut plugins, mut tools) = (Vec::new(), Vec::new());
        for (name, plugin) in config.plugin.iter().filter(|(_, plugin)| plugin.enabled) {
            if is_one(&plugin.scopes) {
                plugins.push(name.as_str());
            } else {
                let shown = plugin.tool.iter().filter(|(function, _)| plugin.shows(function));
                let shown = shown.filter(|(_, tool)| is_one(&tool.scopes));
                tools.extend(shown.map(|(function, _)| format!("`{function}` of {name}")));
            }
        }
        let views = config.view.iter().filter(|(_, view)| is_one(&view.scopes)).map(|(name, _)| format!("`{name}`"));
        let views: Vec<String> = views.collect();
        let some = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what}{}", names.join(", ")));
        let plugins = (!plugins.is_empty()).then(|| format!("use the tools of {}", plugins.join(", ")));
        let parts = [plugins, some("use ", &tools), some("come to ", &views)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "no tool needs it at the moment".to_owned() } else { parts.join(", ") }
    }

    /// The scopes that this person holds: carried by the provider's token, or given in `[auth.scopes]`.
    pub(super) fn held_by(&self, identity: &Identity) -> BTreeSet<String> {
        let mut all = self.all_scopes();
        if self.is_local && identity.scopes.iter().any(|scope| scope == EVERY_SCOPE) {
            return all;
        }
        let rules = self.rules();
        let is_given = |scope: &str| {
            let holders = rules.scopes.iter().find(|(known, _)| known.as_str() == scope);
            holders.is_some_and(|(_, holders)| rules.means(holders, identity))
        };
        all.retain(|scope| identity.scopes.contains(scope) || is_given(scope));
        all
    }

    /// The scopes that a request for a view asks for, or else its client's registration, as far as they exist. Asking for
    /// nothing means all scopes of the view; asking for none that exists means none.
    pub(super) fn requested(&self, raw_scope: Option<&str>, registered: Option<&str>, view: &View) -> BTreeSet<String> {
        self.asked(raw_scope).or_else(|| self.asked(registered)).unwrap_or_else(|| self.scopes_of(view))
    }

    /// The scopes among those in a `scope` that mean something here; none if it asks for nothing.
    ///
    /// Those of an identity are asked for by habit and count as not sent. Where the configuration has given one of them
    /// a meaning, it is granted with the others that are asked for, since nobody can tell whether it was meant.
    pub(super) fn asked(&self, raw_scope: Option<&str>) -> Option<BTreeSet<String>> {
        let asked = || raw_scope.unwrap_or_default().split_whitespace();
        asked().find(|scope| !is_inert(scope))?;
        let all = self.all_scopes();
        Some(asked().filter(|scope| all.contains(*scope)).map(str::to_owned).collect())
    }
}

/// The scopes of a plugin, and of those of its tools that are shown.
fn scopes_of(plugin: &PluginSettings) -> impl Iterator<Item = &Scope> {
    let shown = plugin.tool.iter().filter(|(function, _)| plugin.shows(function));
    plugin.scopes.iter().chain(shown.flat_map(|(_, tool)| &tool.scopes))
}

/// True for a scope that counts as not sent, unless the configuration has given it a meaning.
pub(super) fn is_inert(scope: &str) -> bool {
    INERT_SCOPES.contains(&scope)
}

/// One state of the rules.
#[derive(Clone)]
pub(super) struct Version(Arc<Rules>);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The holder of one access token, under the rules.
pub(super) struct Holder {
    pub(super) people: People,
    pub(super) identity: Arc<Identity>,
    pub(super) client_id: String,
    /// The scopes of the token.
    pub(super) scopes: BTreeSet<String>,
    /// See [`SwitchedOff::all_ended`], at the beginning of the session.
    pub(super) all_ended: u64,
    /// Cancelled when the session ends.
    pub(super) ended: CancellationToken,
    /// Whoever counts this knows that the session is in use, however long a call or a listener lasts.
    pub(super) _in_use: Arc<dyn Any + Send + Sync>,
}

impl principal::Rules for Holder {
    fn granted(&self) -> Option<BTreeSet<String>> {
        let may_call =
            !self.ended.is_cancelled() && self.people.continues(&self.identity, &self.client_id, self.all_ended);
        may_call.then(|| &self.scopes & &self.people.held_by(&self.identity))
    }

    fn possible(&self) -> BTreeSet<String> {
        self.people.held_by(&self.identity)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.people.changes()
    }

    fn ended(&self) -> Option<CancellationToken> {
        Some(self.ended.clone())
    }
}

/// True if a rule means somebody by facts that the provider is sure of.
fn is_meant(who: &Who, identity: &Identity) -> bool {
    // An address that the provider has not verified may be anybody's.
    let email = identity.email.as_deref().filter(|_| identity.email_verified).map(address);
    match who {
        Who::Email(address) => email.as_deref() == Some(address),
        Who::Domain(domain) => email.is_some_and(|email| domain_of(&email) == Some(domain)),
        Who::Subject(subject) => identity.subject == *subject,
        Who::Organization(organization) => identity.organizations.contains(organization),
        Who::Group(_) => false,
    }
}

/// True if a rule means somebody, or if it cannot be ruled out: an address need not be verified, and of a person of
/// whom no address or no list of organizations is known, anything may be so.
fn may_be_meant(who: &Who, identity: &Identity) -> bool {
    let addresses = identity.email.iter().chain(&identity.further_emails);
    let mut addresses = addresses.map(|email| address(email)).peekable();
    let is_without = addresses.peek().is_none();
    match who {
        Who::Email(address) => is_without || addresses.any(|email| email == *address),
        Who::Domain(domain) => is_without || addresses.any(|email| domain_of(&email) == Some(domain)),
        Who::Subject(subject) => identity.subject == *subject,
        Who::Organization(organization) => {
            identity.membership != Membership::Whole || identity.organizations.contains(organization)
        }
        Who::Group(_) => true,
    }
}

fn domain_of(email: &str) -> Option<&str> {
    email.rsplit_once('@').map(|(_, domain)| domain)
}

#[cfg(test)]
mod tests;
