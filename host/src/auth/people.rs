//! Who may log in, and which scopes they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::auth::identity::{Identity, Membership};
use crate::config::Config;
use crate::config::names::{GroupName, Scope, Who, address};
use crate::principal;

/// In place of scopes: all there are. Only the built-in login, where everybody holds every scope, says so.
const EVERY_SCOPE: &str = "*";

/// Scopes that clients ask for by habit, and which mean nothing here: a refresh token goes to everybody, and who
/// somebody is concerns the provider.
const INERT_SCOPES: [&str; 4] = ["offline_access", "openid", "profile", "email"];

/// The rules of `[auth]`: `allow`, `deny`, `groups`, `scopes` and `denied_clients`, as they are at any moment.
#[derive(Clone)]
pub(super) struct People {
    /// Scopes of plugins come and go while the server runs, and so do the rules.
    config: watch::Receiver<Arc<Config>>,
    is_local: bool,
    rules: watch::Receiver<Arc<Rules>>,
    /// Changes after the rules have, and only then.
    signal: watch::Receiver<()>,
}

/// Everything that decides about somebody, to be compared.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    allow: Vec<Who>,
    deny: Vec<Who>,
    groups: BTreeMap<GroupName, Vec<Who>>,
    scopes: BTreeMap<Scope, Vec<Who>>,
    denied_clients: Vec<String>,
    /// The scopes that plugins ask for.
    of_plugins: BTreeSet<String>,
}

impl Rules {
    fn of(config: &Config) -> Self {
        let plugins = config.plugin.values().filter(|plugin| plugin.enabled);
        let auth = &config.auth;
        Self {
            allow: auth.allow.clone(),
            deny: auth.deny.clone(),
            groups: auth.groups.clone(),
            scopes: auth.scopes.clone(),
            denied_clients: auth.denied_clients.clone(),
            of_plugins: plugins.flat_map(|plugin| &plugin.scopes).map(|scope| scope.as_str().to_owned()).collect(),
        }
    }

    /// Whether one of these is meant, for certain.
    fn means(&self, people: &[Who], identity: &Identity) -> bool {
        people.iter().any(|who| match who {
            Who::Group(group) => self.means(self.members(group), identity),
            who => is_meant(who, identity),
        })
    }

    /// Whether one of these is meant, or may be.
    fn may_mean(&self, people: &[Who], identity: &Identity) -> bool {
        people.iter().any(|who| match who {
            Who::Group(group) => self.may_mean(self.members(group), identity),
            who => may_be_meant(who, identity),
        })
    }

    /// The configuration has been checked: groups are there, and do not go round.
    fn members(&self, group: &str) -> &[Who] {
        self.groups.get(group).map_or(&[], Vec::as_slice)
    }
}

impl People {
    /// Follows the configuration on a task of its own, for as long as somebody wants to know.
    pub(super) fn new(config: watch::Receiver<Arc<Config>>, is_local: bool, tasks: &TaskTracker) -> Self {
        let (sender, rules) = watch::channel(Arc::new(Rules::of(&config.borrow())));
        let (signalling, signal) = watch::channel(());
        let mut changes = config.clone();
        tasks.spawn(async move {
            // Ends with the sender of the configuration, which ends with the server.
            while changes.changed().await.is_ok() {
                let now = Rules::of(&changes.borrow_and_update());
                if **sender.borrow() != now {
                    sender.send_replace(Arc::new(now));
                    signalling.send_replace(());
                }
            }
        });
        Self { config, is_local, rules, signal }
    }

    /// Rules that stay as they are.
    #[cfg(test)]
    pub(super) fn fixed(config: Config, is_local: bool) -> Self {
        let rules = watch::channel(Arc::new(Rules::of(&config))).1;
        Self { config: watch::channel(Arc::new(config)).1, is_local, rules, signal: watch::channel(()).1 }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// Changes with the rules.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.signal.clone()
    }

    /// Tells one state of the rules from another.
    pub(super) fn version(&self) -> Version {
        Version(self.rules())
    }

    /// Whether this person may log in. With the built-in login everybody may: it is on loopback only.
    pub(super) fn admits(&self, identity: &Identity) -> bool {
        let rules = self.rules();
        self.is_local
            || ((rules.allow.is_empty() || rules.means(&rules.allow, identity))
                && !rules.may_mean(&rules.deny, identity))
    }

    /// Whether this client was turned away.
    pub(super) fn denies_client(&self, id: &str) -> bool {
        self.rules().denied_clients.iter().any(|denied| denied == id)
    }

    /// Whether a rule could not be decided, since the provider does not say what this person belongs to.
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

    /// What a scope allows, in words.
    pub(super) fn describe(&self, scope: &str) -> String {
        let config = self.config.borrow();
        let needs = |plugin: &crate::config::PluginSettings| {
            plugin.enabled && plugin.scopes.iter().any(|it| it.as_str() == scope)
        };
        let plugins = config.plugin.iter().filter(|(_, plugin)| needs(plugin)).map(|(name, _)| name.as_str());
        match plugins.collect::<Vec<_>>().join(", ") {
            nobody if nobody.is_empty() => "no tool needs it at the moment".to_owned(),
            plugins => format!("use the tools of {plugins}"),
        }
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

    /// The scopes that a request asks for, or else its client's registration, cut to those that there are. Asking for
    /// nothing means everything, and asking for nothing that there is means nothing.
    pub(super) fn requested(&self, raw_scope: Option<&str>, registered: Option<&str>) -> BTreeSet<String> {
        self.asked(raw_scope).or_else(|| self.asked(registered)).unwrap_or_else(|| self.all_scopes())
    }

    /// The scopes among those in a `scope` that mean something here; none if it asks for nothing.
    ///
    /// Those of an identity are asked for by habit and count as not sent. Where the configuration has given one of them
    /// a meaning, it comes with what else is asked for, since nobody can tell whether it was meant.
    pub(super) fn asked(&self, raw_scope: Option<&str>) -> Option<BTreeSet<String>> {
        let asked = || raw_scope.unwrap_or_default().split_whitespace();
        asked().find(|scope| !is_inert(scope))?;
        let all = self.all_scopes();
        Some(asked().filter(|scope| all.contains(*scope)).map(str::to_owned).collect())
    }
}

/// Whether a scope counts as not sent, unless the configuration has given it a meaning.
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

/// One access token's holder under the rules.
pub(super) struct Holder {
    pub(super) people: People,
    pub(super) identity: Arc<Identity>,
    pub(super) client_id: String,
    /// What the token was given.
    pub(super) scopes: BTreeSet<String>,
}

impl principal::Rules for Holder {
    fn granted(&self) -> Option<BTreeSet<String>> {
        let may_call = self.people.admits(&self.identity) && !self.people.denies_client(&self.client_id);
        may_call.then(|| &self.scopes & &self.people.held_by(&self.identity))
    }

    fn possible(&self) -> BTreeSet<String> {
        self.people.held_by(&self.identity)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.people.signal.clone()
    }
}

/// Whether somebody is meant by what the provider is sure of.
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

/// Whether somebody is meant, or cannot be told from those who are: an address need not be verified, and of whom no
/// address or no list of organizations is known, anything may be so.
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
mod tests {
    use super::*;

    fn identity(email: &str, is_verified: bool, scopes: &[&str]) -> Identity {
        Identity {
            issuer: "https://id.example".to_owned(),
            subject: "7".to_owned(),
            email: Some(email.to_owned()),
            email_verified: is_verified,
            name: None,
            organizations: vec!["acme".to_owned()],
            membership: Membership::Whole,
            further_emails: Vec::new(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        }
    }

    fn people(allow: &[&str], is_local: bool) -> People {
        let mut config = Config::default();
        config.auth.allow = allow.iter().map(|who| who.parse().unwrap()).collect();
        let holders = |who: &str| vec![who.parse::<Who>().unwrap()];
        config.auth.scopes.insert("notes:read".parse().unwrap(), holders("*@example.com"));
        config.auth.scopes.insert("notes:write".parse().unwrap(), holders("sub:8"));
        let plugin = crate::config::PluginSettings { scopes: vec!["weather".parse().unwrap()], ..Default::default() };
        config.plugin.insert("weather".parse().unwrap(), plugin);
        People::fixed(config, is_local)
    }

    #[test]
    fn only_those_may_log_in_who_are_meant() {
        let alice = identity("Alice@Example.com", true, &[]);
        let unverified = identity("alice@example.com", false, &[]);
        for (allow, is_alice, is_unverified) in [
            (&[][..], true, true),
            (&["alice@example.com"][..], true, false),
            (&["*@example.com"][..], true, false),
            (&["*@ample.com"][..], false, false),
            (&["bob@example.com", "sub:8"][..], false, false),
            (&["alice@example.com."][..], true, false),
            (&["sub:7"][..], true, true),
            (&["org:acme"][..], true, true),
            (&["org:other"][..], false, false),
        ] {
            let people = people(allow, false);
            assert_eq!((people.admits(&alice), people.admits(&unverified)), (is_alice, is_unverified), "{allow:?}");
        }
    }

    #[test]
    fn whom_a_rule_may_mean_is_turned_away() {
        let known = identity("bob@example.com", true, &[]);
        let unverified = identity("Bob@Example.com", false, &[]);
        let nameless = Identity { email: None, ..identity("", false, &[]) };
        let untold = Identity { membership: Membership::Unknown, organizations: Vec::new(), ..known.clone() };
        let overflowed = Identity { membership: Membership::Overflowed, ..known.clone() };
        let elsewhere = Identity { further_emails: vec!["bob@home.example".to_owned()], ..known.clone() };
        let of = |deny: &str| {
            let mut config = Config::default();
            config.auth.deny = vec![deny.parse().unwrap()];
            config.auth.groups.insert("ops".parse().unwrap(), vec!["sub:7".parse().unwrap()]);
            config.auth.groups.insert("all".parse().unwrap(), vec!["group:ops".parse().unwrap()]);
            let people = People::fixed(config, false);
            [&known, &unverified, &nameless, &untold, &overflowed, &elsewhere].map(|identity| people.admits(identity))
        };
        for (deny, admitted) in [
            ("bob@example.com", [false; 6]),
            ("alice@example.com", [true, true, false, true, true, true]),
            ("bob@home.example", [true, true, false, true, true, false]),
            ("*@example.com", [false; 6]),
            ("bob@Example.com.", [false; 6]),
            ("*@example.com.", [false; 6]),
            ("*@other.example", [true, true, false, true, true, true]),
            ("sub:7", [false; 6]),
            ("sub:8", [true; 6]),
            ("org:acme", [false; 6]),
            ("org:other", [true, true, true, false, false, true]),
            ("group:ops", [false; 6]),
            ("group:all", [false; 6]),
        ] {
            assert_eq!(of(deny), admitted, "{deny}");
        }
    }

    #[test]
    fn groups_name_people_wherever_people_are_named() {
        let mut config = Config::default();
        config.auth.groups.insert("ops".parse().unwrap(), vec!["alice@example.com".parse().unwrap()]);
        config.auth.groups.insert("staff".parse().unwrap(), vec!["group:ops".parse().unwrap()]);
        config.auth.allow = vec!["group:staff".parse().unwrap()];
        config.auth.scopes.insert("write".parse().unwrap(), vec!["group:ops".parse().unwrap()]);
        let people = People::fixed(config, false);
        let alice = identity("alice@example.com", true, &[]);
        assert!(people.admits(&alice) && people.held_by(&alice).contains("write"));
        let bob = identity("bob@example.com", true, &[]);
        assert!(!people.admits(&bob) && people.held_by(&bob).is_empty());
        // In `allow`, nobody is let in who only may be meant.
        assert!(!people.admits(&identity("alice@example.com", false, &[])));
    }

    #[test]
    fn scopes_are_held_by_those_who_carry_or_are_given_them() {
        let held = |people: &People, identity: &Identity| people.held_by(identity).into_iter().collect::<Vec<_>>();
        let people = people(&[], false);
        assert_eq!(held(&people, &identity("a@example.com", true, &["weather", "unknown"])), ["notes:read", "weather"]);
        assert_eq!(held(&people, &identity("a@example.com", false, &[])), Vec::<String>::new());
        assert_eq!(held(&people, &identity("a@example.com", false, &["*"])), Vec::<String>::new());
    }

    #[test]
    fn with_the_built_in_login_everybody_holds_everything() {
        let people = people(&["sub:nobody"], true);
        let somebody = identity("x", false, &["*"]);
        assert!(people.admits(&somebody));
        assert_eq!(people.held_by(&somebody), people.all_scopes());
    }

    #[test]
    fn a_request_is_narrowed_and_never_refused() {
        let people = people(&[], false);
        let asked = |scope| people.requested(scope, None).into_iter().collect::<Vec<_>>();
        let everything = ["notes:read", "notes:write", "weather"];
        assert_eq!(asked(None), everything);
        for nothing in ["", " ", "openid offline_access", "openid profile email offline_access", "email\temail"] {
            assert_eq!(asked(Some(nothing)), everything, "{nothing:?}");
        }
        for only_unknown in ["nonsense", "mcp:tools openid", "OpenID", "weather:read", "*", "Weather"] {
            assert_eq!(asked(Some(only_unknown)), Vec::<String>::new(), "{only_unknown:?}");
        }
        assert_eq!(asked(Some("weather\tnonsense  notes:read")), ["notes:read", "weather"]);
        assert_eq!(asked(Some("openid weather")), ["weather"]);
    }

    #[test]
    fn what_was_registered_counts_where_a_request_says_nothing() {
        let people = people(&[], false);
        let asked = |scope, registered| people.requested(scope, Some(registered)).into_iter().collect::<Vec<_>>();
        assert_eq!(asked(None, "weather openid"), ["weather"]);
        assert_eq!(asked(Some("openid"), "weather"), ["weather"]);
        assert_eq!(asked(Some("notes:read"), "weather"), ["notes:read"], "a step up");
        assert_eq!(asked(None, "nonsense"), Vec::<String>::new());
        assert_eq!(asked(None, "openid offline_access").len(), 3);
    }

    #[test]
    fn a_scope_of_the_configuration_counts_whatever_it_is_called() {
        let mut config = Config::default();
        for scope in ["email", "weather"] {
            config.auth.scopes.insert(scope.parse().unwrap(), Vec::new());
        }
        let people = People::fixed(config, false);
        let asked = |scope| people.requested(scope, None).into_iter().collect::<Vec<_>>();
        assert_eq!(asked(Some("openid email")), ["email", "weather"], "by habit");
        assert_eq!(asked(Some("weather")), ["weather"]);
        assert_eq!(asked(Some("weather email")), ["email", "weather"], "what a challenge asks for is to be had");
    }
}
