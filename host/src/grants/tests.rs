//! Grants as a whole: granted ∩ declared.

use super::rule::Methods;
use super::words::Have;
use super::*;

fn target(host: &str) -> Target {
    Target::parse(Some("https"), Some(host), Some("/v1?key=hunter2")).unwrap()
}

fn grants(declarations: &[&str]) -> Grants {
    let http = |to: &str| HttpGrant { rule: Rule::to(to.parse().unwrap()), credentials: Credentials::default() };
    let value = || Secret::new("hunter2".to_owned());
    let secret = |name: &str, in_config| (name.to_owned(), SecretGrant { value: value(), in_config });
    let variable = |name: &str| (name.to_owned(), value());
    let dir =
        |guest: &str| DirGrant { host: "/srv".into(), guest: guest.into(), is_writable: false, quota_bytes: None };
    let tcp = |to: &str| TcpGrant { to: to.parse().unwrap(), is_private: false };
    Grants {
        http: vec![http("https://a.example"), http("https://b.example")],
        tcp: vec![tcp("a.example:5432"), tcp("a.example:5433")],
        secrets: BTreeMap::from([secret("A", false), secret("B", true)]),
        env: BTreeMap::from([variable("A"), variable("B")]),
        kv: Some(KvGrant { quota_bytes: 1, per: KvOwner::Plugin }),
        dirs: vec![dir("/a"), dir("/b")],
        needs: Needs::read(declarations.iter().copied()).0,
    }
}

/// Everything that is had, in words.
fn had(grants: &Grants) -> String {
    let mut words: Vec<String> = Vec::new();
    for host in ["a.example", "b.example", "c.example"] {
        words.extend(grants.decide(&Method::GET, &target(host)).ok().map(|grant| grant.rule.to.to_string()));
    }
    let host = Host::parse("a.example").unwrap();
    words.extend(grants.sockets(&host).map(|grant| grant.to.to_string()));
    words.extend(
        ["A", "B", "C"].into_iter().filter(|name| grants.secret(name).is_some()).map(|it| format!("secret {it}")),
    );
    words.extend(grants.env().map(|(name, _)| format!("env {name}")));
    words.extend(grants.kv().map(|_| "kv".to_owned()));
    words.extend(grants.dirs().map(|dir| dir.guest.clone()));
    words.join(", ")
}

#[test]
fn a_component_has_what_is_granted_and_declared() {
    let all = "https://a.example, https://b.example, a.example:5432, a.example:5433, secret A, secret B, env A, env B, kv, /a, /b";
    for (declarations, expected) in [
        (&[][..], all),
        (
            &["http https://a.example", "tcp a.example:5432", "secret A", "env A", "kv", "dir /a"],
            "https://a.example, a.example:5432, secret A, env A, kv, /a",
        ),
        (&["kv"], "kv"),
        (&["secret C", "http https://c.example", "dir /c"], ""),
        (&["no such thing"], ""),
    ] {
        assert_eq!(had(&grants(declarations)), expected, "{declarations:?}");
    }
    assert_eq!(had(&Grants::default()), "");
    let nothing = Grants { needs: Needs::read(["kv", "http https://a.example"]).0, ..Grants::default() };
    assert_eq!(had(&nothing), "");
}

#[test]
fn a_secret_is_configuration_where_that_is_said() {
    let all = grants(&[]);
    assert!(all.config_secret("A").is_none() && all.config_secret("B").is_some() && all.config_secret("C").is_none());
    let narrow = grants(&["secret A"]);
    assert!(narrow.config_secret("B").is_none());
}

#[test]
fn lists_are_made_without_values() {
    let all = Arc::new(grants(&[]));
    let expected = "https://a.example, https://b.example, a.example:5432, a.example:5433, kv, /a, /b";
    assert_eq!(had(&all.without_values()), expected);
    assert_eq!(had(&Arc::new(grants(&["secret A"])).without_values()), "");
    let plain = Arc::new(Grants { secrets: BTreeMap::new(), env: BTreeMap::new(), ..grants(&[]) });
    assert!(Arc::ptr_eq(&plain, &plain.without_values()));
}

#[test]
fn a_refusal_tells_the_caller_no_more_than_the_request() {
    assert_eq!(outward(target("API.example:8443")), "no grant for https://api.example:8443: ask the operator");
    let denial = grants(&["kv"]).decide(&Method::GET, &target("a.example")).unwrap_err();
    assert_eq!(denial, Denial::Undeclared);
}

#[test]
fn what_is_entrusted_is_worth_a_pin() {
    let only_http = Grants { http: grants(&[]).http, ..Grants::default() };
    assert!(!Grants::default().are_worth_a_pin() && !only_http.are_worth_a_pin());
    assert!(Grants { kv: grants(&[]).kv, ..Grants::default() }.are_worth_a_pin());
    assert!(Grants { secrets: grants(&[]).secrets, ..Grants::default() }.are_worth_a_pin());
    let mut http = only_http.http;
    let key = [("X-Key".to_owned(), Secret::new("hunter2".to_owned()).into())];
    http[0].credentials = Credentials::new(key, [], None, None).unwrap();
    assert!(Grants { http, ..Grants::default() }.are_worth_a_pin());
}

#[test]
fn grants_in_words() {
    let all = "http https://a.example, http https://b.example, tcp a.example:5432, tcp a.example:5433, secret A, secret B, env A, env B, kv, dir /a (to read), dir /b (to read)";
    for (declarations, expected) in [
        (&[][..], all),
        (&["http https://a.example/v1", "secret B", "dir /b"], "http https://a.example, secret B, dir /b (to read)"),
        (&["http https://c.example", "tcp a.example:1"], ""),
        (&["nonsense"], ""),
    ] {
        assert_eq!(grants(declarations).in_words().join(", "), expected, "{declarations:?}");
    }
    let mut some = grants(&[]);
    let key = [("X-Key".to_owned(), Secret::new("hunter2".to_owned()).into())];
    some.http[0].credentials = Credentials::new(key, [], None, None).unwrap();
    some.http[0].rule.methods = Methods::of(vec![Method::GET, Method::POST]);
    some.http[1].rule.is_private = true;
    some.http.truncate(2);
    some.kv = Some(KvGrant { quota_bytes: 1, per: KvOwner::Person });
    some.dirs[0].is_writable = true;
    let words = some.in_words().join(", ");
    for expected in [
        "http https://a.example by GET, POST with a credential, http https://b.example (private), ",
        "kv for each person",
        "dir /a (to read and write)",
    ] {
        assert!(words.contains(expected) && !words.contains("hunter2"), "{words}");
    }
    let entrusted = some.entrusted().join(", ");
    assert_eq!(entrusted, "credentials for https://a.example, secret A, secret B, its state, the files of /a");
    some.needs = Needs::read(["secret A"]).0;
    assert_eq!(some.entrusted(), ["secret A"]);
    assert!(Grants::default().are_none() && !some.are_none());
}

#[test]
fn a_need_is_had_or_not() {
    let all = grants(&[]);
    for (need, expected) in [
        ("http https://a.example/v1", Have::All),
        ("http https://c.example", Have::Nothing),
        ("tcp a.example:5432", Have::All),
        ("tcp a.example:1", Have::Nothing),
        ("secret A", Have::All),
        ("secret C", Have::Nothing),
        ("env A", Have::All),
        ("kv", Have::All),
        ("dir /a", Have::All),
        ("dir /c", Have::Nothing),
    ] {
        assert_eq!(all.have(&need.parse().unwrap()), expected, "{need}");
    }
    let mut narrow = all.clone();
    narrow.http[0].rule = Rule::to("https://a.example/v1".parse().unwrap());
    assert_eq!(narrow.have(&"http https://a.example".parse().unwrap()), Have::Part);
    assert_eq!(narrow.have(&"http https://a.example/v1/x".parse().unwrap()), Have::All);
}

#[test]
fn no_secret_shows() {
    assert!(!format!("{:?}", grants(&[])).contains("hunter2"));
}
