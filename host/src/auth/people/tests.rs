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
        sid: None,
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
fn operators_are_named_verified_and_let_in() {
    let who = |names: &[&str]| names.iter().map(|who| who.parse().unwrap()).collect::<Vec<Who>>();
    let check = |operators: &[&str], deny: &[&str], is_verified: bool, is_local: bool, expected: bool| {
        let mut config = Config::default();
        config.auth.operators = who(operators);
        config.auth.deny = who(deny);
        config.auth.groups = [("ops".parse().unwrap(), who(&["alice@example.com"]))].into();
        let found = People::fixed(config, is_local).is_operator(&identity("alice@example.com", is_verified, &[]));
        assert_eq!(found, expected, "{operators:?} {deny:?} {is_verified} {is_local}");
    };
    check(&[], &[], true, false, false);
    check(&[], &[], true, true, false);
    check(&["group:ops"], &[], true, false, true);
    check(&["group:ops"], &[], false, false, false);
    check(&["org:acme"], &[], false, false, true);
    check(&["sub:7"], &[], false, true, true);
    check(&["sub:8"], &[], true, true, false);
    check(&["group:ops"], &["sub:7"], true, false, false);
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
    let asked = |scope| people.requested(scope, None, &View::default()).into_iter().collect::<Vec<_>>();
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
    let asked =
        |scope, registered| people.requested(scope, Some(registered), &View::default()).into_iter().collect::<Vec<_>>();
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
    let asked = |scope| people.requested(scope, None, &View::default()).into_iter().collect::<Vec<_>>();
    assert_eq!(asked(Some("openid email")), ["email", "weather"], "by habit");
    assert_eq!(asked(Some("weather")), ["weather"]);
    assert_eq!(asked(Some("weather email")), ["email", "weather"], "what a challenge asks for is to be had");
}
