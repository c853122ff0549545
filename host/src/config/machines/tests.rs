use crate::config::{Config, Environment, Invocation, Purpose, Setup};

/// A server on this machine with these lines.
fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Setup, String> {
    let text = format!("auth.provider = 'local'\n{text}");
    let environment = Environment::from_iter(variables.iter().copied());
    Config::parse(&text, &Invocation::new(Purpose::Serve), &environment).map_err(|error| error.to_string())
}

const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";

/// Checks each table: a part of the message it is refused with, or none.
fn check(table: &str, cases: &[(&str, Option<&str>)]) {
    for (lines, expected) in cases {
        let refused = loaded(&format!("[{table}]\n{lines}\n"), &[("SECRET", "hush-hush")]).err();
        match expected {
            None => assert_eq!(refused, None, "{lines}"),
            Some(expected) => {
                let refused = refused.unwrap_or_else(|| panic!("not refused: {lines}"));
                assert!(refused.contains(expected), "{lines}: {refused}");
            }
        }
    }
}

#[test]
fn a_client_says_how_it_gets_tokens() {
    let key = format!("public_key = \"\"\"{PEM}\"\"\"");
    let both = format!("{key}\nsecret = 'x'\ngrants = ['client_credentials']");
    let two = format!("{key}\njwks_uri = 'https://id.example/keys'\ngrants = ['client_credentials']");
    let with_key = format!("{key}\ngrants = ['client_credentials']");
    check(
        "auth.clients.ci",
        &[
            ("redirect_uris = ['http://localhost/']\nsecret = '${SECRET}'", None),
            ("redirect_uris = ['http://localhost/']", None),
            ("", Some("missing key `redirect_uris`")),
            ("secret = 'x'", Some("missing key `redirect_uris`")),
            ("grants = ['client_credentials']\nsecret = '${SECRET}'\nscopes = ['a']", None),
            (
                "grants = ['client_credentials', 'authorization_code']\nsecret = 'x'",
                Some("missing key `redirect_uris`"),
            ),
            ("grants = ['client_credentials']", Some("must prove who it is")),
            ("grants = ['client_credentials']\nsecret = ' '", Some("an empty secret proves nothing")),
            ("grants = ['client_credential']\nsecret = 'x'", Some("did you mean \"client_credentials\"?")),
            ("grants = []\nsecret = 'x'", Some("without any way to get a token")),
            (&with_key, None),
            (&both, Some("a secret, or keys of its own, and not both")),
            (&two, Some("in one place")),
            ("grants = ['client_credentials']\npublic_key = 'x'", Some("expected a public key in PEM")),
            ("grants = ['client_credentials']\njwks = { keys = [] }", Some("expected a set of public keys")),
            ("grants = ['client_credentials']\njwks_uri = 'https://id.example/keys'", None),
            (
                "grants = ['client_credentials']\njwks_uri = 'http://id.example/keys'",
                Some("http is for this machine only"),
            ),
            ("grants = ['client_credentials']\njwks_uri = 'https://10.0.0.1/keys'", Some("private = true")),
            ("grants = ['client_credentials']\njwks_uri = 'http://127.0.0.1:1/keys'\nprivate = true", None),
            ("grants = ['device_code']", None),
        ],
    );
}

#[test]
fn a_workload_is_named_exactly() {
    let issuer = "issuer = 'https://id.example'\n";
    let cases = [
        ("claims = { sub = 'repo:octo/app:ref:refs/heads/main' }", None),
        ("claims = { repository_id = '1', ref = 'refs/heads/*' }", None),
        ("claims = { project_id = '1' }", None),
        ("claims = { 'kubernetes.io/namespace' = 'a', 'kubernetes.io/serviceaccount/name' = 'b' }", None),
        ("claims = { 'kubernetes.io/namespace' = 'a' }", Some("one workload must be named")),
        (
            "claims = { 'kubernetes.io/namespace' = 'a', 'kubernetes.io/serviceaccount/name' = '*' }",
            Some("one workload must be named"),
        ),
        ("claims = { sub = 'repo:octo/*:ref:refs/heads/main' }", Some("one workload must be named")),
        ("claims = { repository_id = '*' }", Some("one workload must be named")),
        ("claims = { repository = 'octo/app' }", Some("one workload must be named")),
        ("claims = {}", Some("one workload must be named")),
        ("", Some("claims")),
        ("claims = { sub = 'repo:octo/app*' }", Some("`*` stands for one whole segment")),
        ("claims = { sub = 'a' }\nalgorithms = ['HS256']", Some("did you mean")),
        ("claims = { sub = 'a' }\nalgorithms = ['none']", Some("expected one of")),
        ("claims = { sub = 'a' }\nalgorithms = []", Some("without an algorithm")),
        ("claims = { sub = 'a' }\naud = 'x'", Some("unknown key")),
        ("claims = { sub = 'a' }\naudience = 'x'", Some("unknown key")),
        ("claims = { sub = 'a' }\nca_file = '/nowhere.pem'", Some("cannot be read")),
        ("claims = { sub = 'a' }\njwks = { keys = [] }", Some("expected a set of public keys")),
    ];
    for (lines, expected) in cases {
        check("auth.workloads.job", &[(&format!("{issuer}{lines}"), expected)]);
    }
    check(
        "auth.workloads.job",
        &[
            ("claims = { sub = 'a' }", Some("issuer")),
            ("issuer = 'https://10.0.0.1'\nclaims = { sub = 'a' }", Some("private = true")),
            ("issuer = 'https://localhost'\nclaims = { sub = 'a' }", Some("private = true")),
            ("issuer = 'http://127.0.0.1:1'\nclaims = { sub = 'a' }\nprivate = true", None),
            ("issuer = 'http://id.example'\nclaims = { sub = 'a' }", Some("http is for this machine only")),
            ("issuer = 'id.example'\nclaims = { sub = 'a' }", Some("not a URL")),
            ("issuer = 'https://id.example?x'\nclaims = { sub = 'a' }", Some("no user, query or fragment")),
        ],
    );
}

#[test]
fn what_does_nothing_is_told() {
    for (text, expected) in [
        ("[auth.clients.ci]\nredirect_uris = ['http://localhost/']\nscopes = ['a']", "scopes of its own"),
        ("[auth.clients.ci]\ngrants = ['device_code']", "the device flow is off"),
        ("auth.device_flow = true", "nobody can use it"),
        (
            "[auth.clients.ci]\ngrants = ['client_credentials']\nsecret = 'x'\nredirect_uris = ['http://localhost/']",
            "redirect URIs are for",
        ),
    ] {
        let warnings = loaded(text, &[]).unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.to_string().contains(expected)), "{text}: {warnings:?}");
    }
}

#[test]
fn secrets_are_read_and_not_shown() {
    let text = "[auth.clients.ci]\ngrants = ['client_credentials']\nsecret = '${SECRET}'\n";
    let setup = loaded(text, &[("SECRET", "hush-hush")]).unwrap();
    assert_eq!(setup.credentials.secrets["ci"].reveal(), "hush-hush");
    assert!(!format!("{setup:?} {}", setup.effective).contains("hush-hush"));
}

#[test]
fn the_tables_of_machines_apply_at_once() {
    let old = loaded("", &[]).unwrap().config;
    let text = "auth.device_flow = true\n[auth.clients.ci]\ngrants = ['client_credentials']\nsecret = 'x'\n[auth.workloads.job]\nissuer = 'https://id.example'\nclaims = { sub = 'a' }\n";
    let (new, waiting) = old.reloaded(loaded(text, &[]).unwrap().config);
    assert!(new.auth.clients.contains_key("ci") && new.auth.workloads.contains_key("job"));
    assert_eq!(waiting.iter().map(ToString::to_string).collect::<Vec<_>>(), ["auth.device_flow"]);
}
