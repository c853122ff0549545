//! Who may log in, and which scopes they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::upstream::Identity;
use crate::config::Config;
use crate::config::names::{Scope, Who};

/// In place of scopes: all there are. Only the built-in login, where everybody holds every scope, says so.
const EVERY_SCOPE: &str = "*";

/// The rules of `[auth] allow` and `[auth.scopes]`.
pub(super) struct People {
    allow: Vec<Who>,
    scopes: BTreeMap<Scope, Vec<Who>>,
    /// Scopes of plugins come and go while the server runs.
    config: watch::Receiver<Arc<Config>>,
    is_local: bool,
}

impl People {
    pub(super) fn new(config: watch::Receiver<Arc<Config>>, is_local: bool) -> Self {
        let (allow, scopes) = {
            let config = config.borrow();
            (config.auth.allow.clone(), config.auth.scopes.clone())
        };
        Self { allow, scopes, config, is_local }
    }

    /// Whether this person may log in. With the built-in login everybody may: it is on loopback only.
    pub(super) fn admits(&self, identity: &Identity) -> bool {
        self.is_local || self.allow.is_empty() || self.allow.iter().any(|who| is_meant(who, identity))
    }

    /// Every scope that means something here, in order.
    pub(super) fn all_scopes(&self) -> BTreeSet<String> {
        let config = self.config.borrow();
        let of_plugins = config.plugin.values().filter(|plugin| plugin.enabled).flat_map(|plugin| &plugin.scopes);
        of_plugins.chain(self.scopes.keys()).map(|scope| scope.as_str().to_owned()).collect()
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
        let is_given = |scope: &str| {
            let holders = self.scopes.iter().find(|(known, _)| known.as_str() == scope);
            holders.is_some_and(|(_, holders)| holders.iter().any(|who| is_meant(who, identity)))
        };
        all.retain(|scope| identity.scopes.contains(scope) || is_given(scope));
        all
    }

    /// What a request asks for, cut to what there is; asking for nothing that there is means everything.
    pub(super) fn requested(&self, raw_scope: Option<&str>) -> BTreeSet<String> {
        let all = self.all_scopes();
        let asked: BTreeSet<String> = raw_scope
            .unwrap_or_default()
            .split_whitespace()
            .filter(|scope| all.contains(*scope))
            .map(str::to_owned)
            .collect();
        if asked.is_empty() { all } else { asked }
    }
}

fn is_meant(who: &Who, identity: &Identity) -> bool {
    // An address that the provider has not verified may be anybody's.
    let email = identity.email.as_deref().filter(|_| identity.email_verified).map(str::to_lowercase);
    match who {
        Who::Email(address) => email.as_deref() == Some(address),
        Who::Domain(domain) => email.is_some_and(|email| email.rsplit_once('@').is_some_and(|(_, of)| of == domain)),
        Who::Subject(subject) => identity.subject == *subject,
        Who::Organization(organization) => identity.organizations.contains(organization),
    }
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
        People::new(watch::channel(Arc::new(config)).1, is_local)
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
            (&["sub:7"][..], true, true),
            (&["org:acme"][..], true, true),
            (&["org:other"][..], false, false),
        ] {
            let people = people(allow, false);
            assert_eq!((people.admits(&alice), people.admits(&unverified)), (is_alice, is_unverified), "{allow:?}");
        }
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
        let asked = |scope| people.requested(scope).into_iter().collect::<Vec<_>>();
        let everything = ["notes:read", "notes:write", "weather"];
        assert_eq!(asked(None), everything);
        assert_eq!(asked(Some(" ")), everything);
        assert_eq!(asked(Some("openid offline_access")), everything);
        assert_eq!(asked(Some("weather\tnonsense  notes:read")), ["notes:read", "weather"]);
    }
}
