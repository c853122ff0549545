//! The built-in providers, and what a file makes of them.

use std::collections::BTreeSet;

use super::keys::{Claims, Document, Hint, Offline, ProviderKeys, Verify};
use super::*;
use crate::config::{ConfigError, Environment, Invocation, Purpose, Setup};

fn serve(text: &str, variables: &[(&str, &str)]) -> Result<Setup, ConfigError> {
    let environment = Environment::from_iter(variables.iter().copied());
    Config::parse(text, &Invocation::new(Purpose::Serve), &environment)
}

/// The provider of a configuration without problems.
fn provider(text: &str, variables: &[(&str, &str)]) -> Provider {
    serve(text, variables).unwrap().provider.unwrap()
}

/// Every problem, one after the other.
fn check(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let error = serve(text, variables).unwrap_err();
    assert_eq!(error.to_string().lines().collect::<Vec<_>>(), expected, "{text}");
}

const AUTH0: [(&str, &str); 4] = [
    ("AUTH_PROVIDER", "auth0"),
    ("AUTH0_DOMAIN", "tenant.us.auth0.com"),
    ("AUTH0_CLIENT_ID", "id"),
    ("AUTH0_CLIENT_SECRET", "hunter2"),
];

const CLERK: [(&str, &str); 4] = [
    ("AUTH_PROVIDER", "clerk"),
    ("CLERK_CONFIG_URL", "https://a.clerk.accounts.dev/.well-known/openid-configuration"),
    ("CLERK_CLIENT_ID", "id"),
    ("CLERK_CLIENT_SECRET", "hunter2"),
];

fn with<'v>(variables: &[(&'v str, &'v str)], further: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    [variables, further].concat()
}

#[test]
fn every_built_in_provider_needs_no_more_than_its_variables() {
    for (name, text) in BUILT_IN {
        let table: toml::Table = text.parse().unwrap();
        let mut variables = vec![("AUTH_PROVIDER", name)];
        let documented = table["variables"].as_table().unwrap();
        for variable in documented.keys() {
            let value = match variable.as_str() {
                url if url.ends_with("_URL") || url.ends_with("_ISSUER") => "https://id.example.com",
                domain if domain.ends_with("_DOMAIN") => "id.example.com",
                "CLERK_VERIFY_ID_TOKEN" => "false",
                _ => "value",
            };
            assert!(text.contains(&format!("${{{variable}")), "{name} says what {variable} is, and does not use it");
            variables.push((variable, value));
        }
        let loaded = serve("auth.allow = ['*@example.com']", &variables);
        let loaded = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.warnings, [], "{name}");
        let provider = loaded.provider.unwrap();
        assert_eq!(provider.name(), name);
        assert_ne!(provider.display_name(), name);
        assert!(provider.secret().is_some());
        for hint in provider.hints.values() {
            assert!(!hint.title.is_empty() && !hint.steps.is_empty(), "{name}");
        }
        assert!(!format!("{provider:?}").contains("hunter2"));
    }
}

#[test]
fn auth0_takes_the_variables_of_the_old_server() {
    for (domain, url) in [
        ("tenant.us.auth0.com", "https://tenant.us.auth0.com/.well-known/openid-configuration"),
        ("https://login.example.com/", "https://login.example.com/.well-known/openid-configuration"),
    ] {
        let variables = with(&AUTH0, &[("AUTH0_AUDIENCE", "https://api"), ("AUTH0_DOMAIN", domain)]);
        let provider = provider("", &variables);
        assert_eq!(provider.discovery().unwrap().to_string(), url);
        assert_eq!(provider.audience.as_deref(), Some("https://api"));
        assert_eq!(&*provider.scopes, ["openid", "profile", "email"]);
        assert_eq!(provider.secret().unwrap().reveal(), "hunter2");
        assert_eq!(provider.setting("discovery"), "AUTH0_DOMAIN");
    }
    assert_eq!(provider("", &with(&AUTH0, &[("AUTH0_AUDIENCE", "")])).audience, None);
}

#[test]
fn clerk_takes_the_variables_of_the_old_server() {
    for url in [
        "https://a.clerk.accounts.dev/.well-known/openid-configuration",
        "a.clerk.accounts.dev",
        "https://a.clerk.accounts.dev",
    ] {
        let provider = provider("", &with(&CLERK, &[("CLERK_CONFIG_URL", url)]));
        assert_eq!(provider.discovery().unwrap().issuer(), "https://a.clerk.accounts.dev");
        assert_eq!(&*provider.scopes, ["profile", "email"]);
    }
    for (scopes, expected) in [
        ("openid profile email", ["openid", "profile", "email"]),
        ("openid,profile, email,", ["openid", "profile", "email"]),
    ] {
        let verified = [("CLERK_SCOPES", scopes), ("CLERK_VERIFY_ID_TOKEN", "true")];
        let loaded = serve("", &with(&CLERK, &verified)).unwrap();
        assert_eq!(loaded.warnings, []);
        let provider = loaded.provider.unwrap();
        assert_eq!(&*provider.scopes, expected);
        assert!(provider.verify.id_token);
    }
}

#[test]
fn an_id_token_that_nobody_asks_for_is_warned_of() {
    let warnings = serve("", &with(&CLERK, &[("CLERK_VERIFY_ID_TOKEN", "true")])).unwrap().warnings;
    let [warning] = warnings.as_slice() else { panic!("one warning") };
    let warning = warning.to_string();
    assert!(warning.starts_with("CLERK_VERIFY_ID_TOKEN: "), "{warning}");
    for name in ["CLERK_VERIFY_ID_TOKEN", "CLERK_SCOPES", "openid"] {
        assert!(warning.contains(name), "{warning}");
    }
}

#[test]
fn missing_variables_are_listed_with_their_cure() {
    let ways = "set it in the environment or in `.env`";
    check(
        "",
        &[("AUTH0_CLIENT_SECRET", "hunter2")],
        &[
            &format!(
                "AUTH0_CLIENT_ID: not set, and provider `auth0` needs it: the Client ID in the application's settings; {ways}"
            ),
            &format!(
                "AUTH0_DOMAIN: not set, and provider `auth0` needs it: the Domain in the application's settings, such as tenant.us.auth0.com; {ways}"
            ),
            "auth.provider: `auth0` is only the default; `AUTH_PROVIDER` chooses another, and `tinymcp dev` needs none",
        ],
    );
    check(
        "[auth]\nprovider = 'okta'\n[auth.providers.okta]\nclient_id = '${MY_ID}'\ndiscovery = 'id.example'",
        &[],
        &[
            "tinymcp.toml:4: auth.providers.okta.client_id: variable `MY_ID` is not set; set it in the environment or in `.env`, or write `${MY_ID:-default}`",
            "OKTA_CLIENT_SECRET: not set, and provider `okta` needs it: the client secret of the app integration; set it in the environment or in `.env`",
        ],
    );
    let message = |name: &str, what: &str| {
        format!("{name}: not set, and provider `cognito` needs it: the {what}; set it in the environment or in `.env`")
    };
    check(
        "",
        &[("AUTH_PROVIDER", "cognito")],
        &[
            &message("COGNITO_CLIENT_ID", "Client ID of the app client"),
            &message("COGNITO_CLIENT_SECRET", "Client secret of the app client"),
            &message("COGNITO_REGION", "region of the user pool, such as eu-central-1"),
            &message("COGNITO_USER_POOL_ID", "User pool ID, such as eu-central-1_AbCdEf123"),
        ],
    );
    check(
        "",
        &with(&AUTH0[..3], &[("AUTH0_CLIENT_SECRET_FILE", "/nowhere/secret")]),
        &["AUTH0_CLIENT_SECRET_FILE: the file that it names cannot be used: No such file or directory (os error 2)"],
    );
}

#[test]
fn a_bad_value_is_told_of_its_variable_and_of_nothing_else() {
    for (variables, name, value, told) in [
        (&AUTH0, "AUTH0_DOMAIN", "my tenant", r#""my tenant": not a host name"#),
        (&AUTH0, "AUTH0_DOMAIN", "https://my tenant/", r#""https://my tenant/": not a host name"#),
        (
            &AUTH0,
            "AUTH0_DOMAIN",
            "user:hunter2@t.us.auth0.com",
            r#""…@t.us.auth0.com": no user name or password may stand before the host"#,
        ),
        (&CLERK, "CLERK_CONFIG_URL", "not a url", r#""not a url": neither a URL nor a host name"#),
        (&CLERK, "CLERK_CONFIG_URL", "ftp://a.example", r#""ftp://a.example": the scheme must be https"#),
        (&CLERK, "CLERK_VERIFY_ID_TOKEN", "maybe", r#""maybe": expected true or false"#),
    ] {
        check("", &with(variables, &[(name, value)]), &[&format!("{name}: {told}")]);
    }
    let environment = Environment::from_iter(with(&AUTH0[..1], &AUTH0[2..]));
    let environment = environment.with_dot_env(&".env".into(), "# Auth0\nAUTH0_DOMAIN='my tenant'");
    let error = Config::parse("", &Invocation::new(Purpose::Serve), &environment).unwrap_err();
    assert_eq!(error.to_string(), r#".env:2: AUTH0_DOMAIN: "my tenant": not a host name"#);
    let cognito = [
        ("AUTH_PROVIDER", "cognito"),
        ("COGNITO_REGION", "eu central"),
        ("COGNITO_USER_POOL_ID", "pool"),
        ("COGNITO_CLIENT_ID", "id"),
        ("COGNITO_CLIENT_SECRET", "hunter2"),
    ];
    let told =
        r#"COGNITO_REGION, COGNITO_USER_POOL_ID: "https://cognito-idp.eu central.amazonaws.com/pool": not a host name"#;
    check("", &cognito, &[told]);
}

#[test]
fn scopes_have_no_quotes() {
    let told = "only spaces or commas separate words, and no quotes or brackets surround them";
    for (scopes, shown) in [
        (r#""openid profile""#, r#"'"openid profile"'"#),
        ("profile;email", r#""profile;email""#),
        ("['profile']", r#""['profile']""#),
    ] {
        check("", &with(&CLERK, &[("CLERK_SCOPES", scopes)]), &[&format!("CLERK_SCOPES: {shown}: {told}")]);
    }
    let text = "[auth.providers.auth0]\nscopes = ['openid', '\"email\"']";
    check(text, &AUTH0, &[&format!("tinymcp.toml:2: auth.providers.auth0.scopes: [\"openid\", '\"email\"']: {told}")]);
}

#[test]
fn a_value_in_ones_own_table_is_told_with_its_key() {
    check(
        "auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'id'\ndiscovery = 'https://${ACME_HOST}/#x'",
        &[("ACME_HOST", "id.acme.example")],
        &[r#"ACME_HOST: auth.providers.acme.discovery: "https://id.acme.example/#x": nothing may follow a `#`"#],
    );
}

#[test]
fn what_needs_a_missing_variable_is_not_missing_too() {
    check(
        "auth.allow = ['*@example.com']",
        &[("AUTH_PROVIDER", "github"), ("GITHUB_CLIENT_ID", "id")],
        &[
            "GITHUB_CLIENT_SECRET: not set, and provider `github` needs it: a client secret that was generated in the app's settings; set it in the environment or in `.env`",
        ],
    );
}

#[test]
fn a_variable_of_nearly_the_right_name_is_pointed_out() {
    let message = "AUTH0_CLIENT_SECRET: not set, and provider `auth0` needs it: the Client Secret in the application's settings; did you mean `AUTH0_CLIENT_SECRT`, which is set?";
    check(
        "",
        &with(&AUTH0[..3], &[("AUTH0_CLIENT_SECRT", "hunter2")]),
        &[
            message,
            "auth.provider: `auth0` was chosen; `tinymcp dev` needs no account at a provider, and neither does `AUTH_PROVIDER=none tinymcp serve`, for this machine alone",
        ],
    );
}

#[test]
fn white_space_around_a_value_counts_only_in_secrets() {
    let copied =
        [("AUTH0_DOMAIN", " t.us.auth0.com\t"), ("AUTH0_CLIENT_ID", " id "), ("AUTH0_CLIENT_SECRET", " hunter2")];
    let copied = provider("", &with(&AUTH0, &copied));
    assert_eq!(copied.discovery().unwrap().issuer(), "https://t.us.auth0.com");
    assert_eq!((copied.client_id.as_str(), copied.secret().unwrap().reveal()), ("id", " hunter2"));
    let clerk = [("CLERK_VERIFY_ID_TOKEN", "true "), ("CLERK_SCOPES", " openid ")];
    assert!(provider("", &with(&CLERK, &clerk)).verify.id_token);
    let error = serve("", &with(&AUTH0, &[("AUTH0_CLIENT_ID", "  ")])).unwrap_err().to_string();
    assert!(error.starts_with("AUTH0_CLIENT_ID: not set"), "{error}");
}

#[test]
fn a_dollar_that_means_itself_stays_one() {
    let text = "[auth.providers.auth0]\ndisplay_name = '$${A} ${B:-b}'\nauthorize_params = { x = '${C}' }";
    let provider = provider(text, &with(&AUTH0, &[("C", "${A}")]));
    assert_eq!(provider.display_name(), "${A} b");
    assert_eq!(provider.authorize_params["x"], "${A}");
}

#[test]
fn a_table_changes_only_the_keys_it_gives() {
    let text = r#"
        [auth.providers.auth0]
        discovery = "https://id.example.com"
        [auth.providers.auth0.claims]
        name = ["nickname"]
        [auth.providers.auth0.hints.own]
        when = "x"
        title = "t"
        happened = "h"
    "#;
    let variables = [("AUTH0_CLIENT_ID", "id"), ("AUTH0_CLIENT_SECRET", "hunter2")];
    let provider = provider(text, &variables);
    assert_eq!(provider.discovery().unwrap().issuer(), "https://id.example.com");
    assert_eq!(provider.client_id, "id");
    assert_eq!(provider.claims.name, ["nickname"]);
    assert_eq!(provider.claims.organizations, ["org_id", "org_name"]);
    assert!(provider.hints.contains_key("own") && provider.hints.contains_key("audience"));
    assert_eq!(provider.setting("discovery"), "`auth.providers.auth0.discovery`");
    assert_eq!(provider.setting("client_secret"), "AUTH0_CLIENT_SECRET");
}

#[test]
fn a_provider_of_ones_own_needs_no_code() {
    let text = r#"
        auth.provider = "acme"
        [auth.providers.acme]
        discovery = "https://id.acme.example/.well-known/openid-configuration"
        client_id = "${ACME_CLIENT_ID}"
        client_secret = "${ACME_CLIENT_SECRET}"
        scopes = "openid email"
    "#;
    let provider = provider(text, &[("ACME_CLIENT_ID", "id"), ("ACME_CLIENT_SECRET", "hunter2")]);
    assert_eq!((provider.name(), provider.display_name()), ("acme", "acme"));
    assert_eq!(&*provider.scopes, ["openid", "email"]);
    check(
        "auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'id'",
        &[],
        &[
            "tinymcp.toml:3: auth.providers.acme: `discovery` is missing; without it, `issuer`, `authorization_endpoint` and `token_endpoint` are needed",
        ],
    );
}

#[test]
fn providers_and_keys_that_do_not_exist_are_named() {
    check(
        "auth.provider = 'auht0'",
        &[],
        &["tinymcp.toml:1: auth.provider: unknown provider `auht0`; did you mean `auth0`?"],
    );
    let known = "auth0, clerk, cognito, discord, entra, github, google, keycloak, oidc, okta, workos, local, none";
    check(
        "",
        &[("AUTH_PROVIDER", "something-else")],
        &[&format!("AUTH_PROVIDER: auth.provider: unknown provider `something-else`; known are {known}")],
    );
    check("", &[("AUTH_PROVIDER", "Auth0")], &[r#"AUTH_PROVIDER: auth.provider: "Auth0": did you mean "auth0"?"#]);
    check(
        "[auth.providers.acme]\nclient-id = 'id'\n[auth.providers.auth0]\naudiense = 'x'\nverify = { leway = '1s' }",
        &AUTH0,
        &[
            "tinymcp.toml:2: auth.providers.acme.client-id: unknown key; did you mean `client_id`?",
            "tinymcp.toml:4: auth.providers.auth0.audiense: unknown key; did you mean `audience`?",
            "tinymcp.toml:5: auth.providers.auth0.verify.leway: unknown key; did you mean `leeway`?",
        ],
    );
}

#[test]
fn where_anybody_can_sign_up_the_file_says_who_may_log_in() {
    let google = [("AUTH_PROVIDER", "google"), ("GOOGLE_CLIENT_ID", "id"), ("GOOGLE_CLIENT_SECRET", "hunter2")];
    let message = |name: &str| {
        format!(
            "auth.allow: anybody can have an account at `{name}`, so this list must say who may log in: `allow = [\"*@example.com\"]`, \"alice@example.com\", \"sub:…\" or \"org:…\""
        )
    };
    check("", &google, &[&message("google")]);
    assert!(serve("auth.allow = ['org:example.com']", &google).is_ok());
    let entra = [("AUTH_PROVIDER", "entra"), ("ENTRA_CLIENT_ID", "id"), ("ENTRA_CLIENT_SECRET", "hunter2")];
    for tenant in ["common", "organizations", "consumers"] {
        check("", &with(&entra, &[("ENTRA_TENANT_ID", tenant)]), &[&message("entra")]);
    }
    assert!(serve("", &with(&entra, &[("ENTRA_TENANT_ID", "00000000-0000-0000-0000-000000000001")])).is_ok());
}

#[test]
fn plain_http_stays_on_this_machine() {
    let text = |url: &str| format!("[auth.providers.auth0]\ndiscovery = '{url}'");
    assert!(serve(&text("http://127.0.0.1:9"), &AUTH0).is_ok());
    assert!(serve(&text("http://localhost:9/"), &AUTH0).is_ok());
    let refused = |url: &str| {
        format!(
            "tinymcp.toml:2: auth.providers.auth0.discovery: {url}/.well-known/openid-configuration: plain http is taken only where the provider and `server.base_url` are both on loopback; write https"
        )
    };
    check(&text("http://id.example"), &AUTH0, &[&refused("http://id.example")]);
    let issuer = "auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'id'\nissuer = 'http://id.acme.example'";
    check(
        issuer,
        &[],
        &[
            "tinymcp.toml:4: auth.providers.acme.issuer: http://id.acme.example/: plain http is taken only where the provider and `server.base_url` are both on loopback; write https",
        ],
    );
    let public = with(&AUTH0, &[("BASE_URL", "https://mcp.example.com")]);
    check(&text("http://127.0.0.1:9"), &public, &[&refused("http://127.0.0.1:9")]);
}

#[test]
fn what_is_in_force_shows_the_whole_provider_without_secrets() {
    let text = r#"[auth.providers.auth0]
audience = 'https://api'
token_headers = { X-Key = 'hunter2' }
authorize_params = { password = 'hunter2', a = '${MY_SECRET}' }
"#;
    let effective = serve(text, &with(&AUTH0, &[("MY_SECRET", "hunter2")])).unwrap().effective.to_string();
    assert!(!effective.contains("hunter2"), "{effective}");
    for expected in [
        "client_id = \"id\"  # AUTH0_CLIENT_ID\n",
        "client_secret = \"***\"  # AUTH0_CLIENT_SECRET\n",
        "audience = \"https://api\"  # tinymcp.toml:2\n",
        "X-Key = \"***\"  # tinymcp.toml:3\n",
    ] {
        assert!(effective.contains(expected), "{expected}\nis not in\n{effective}");
    }
    let again: toml::Table = effective.parse().unwrap();
    assert!(again.contains_key("auth"));
}

#[test]
fn what_is_in_force_shows_what_the_provider_is_asked_and_told() {
    let environment = Environment::from_iter(CLERK).with_dot_env(&".env".into(), "\nCLERK_SCOPES=openid email");
    let text = "server.base_url = 'https://mcp.example.com'\n[auth.providers.clerk.hints.own]\nwhen = 'x'\ntitle = 't'\nhappened = 'h'";
    let effective = Config::parse(text, &Invocation::new(Purpose::Serve), &environment).unwrap().effective.to_string();
    for expected in [
        "discovery = \"https://a.clerk.accounts.dev/.well-known/openid-configuration\"  # CLERK_CONFIG_URL\n",
        "scopes = \"openid email\"  # .env:2: CLERK_SCOPES\n",
        "id_token = \"false\"  # providers/clerk.toml:13\n",
        "[auth.providers.clerk.hints.own]\nwhen = \"x\"  # tinymcp.toml:3\n",
        "\n\n# The discovery document of Clerk: https://a.clerk.accounts.dev/.well-known/openid-configuration\n# The callback URL to enter at Clerk: https://mcp.example.com/auth/callback\n",
    ] {
        assert!(effective.contains(expected), "{expected}\nis not in\n{effective}");
    }
    for shipped in ["hints.openid", "clerk.variables", "${"] {
        assert!(!effective.contains(shipped), "{shipped} is in\n{effective}");
    }
    let github = [("AUTH_PROVIDER", "github"), ("GITHUB_CLIENT_ID", "id"), ("GITHUB_CLIENT_SECRET", "hunter2")];
    let effective = serve("auth.allow = ['alice@example.com']", &github).unwrap().effective.to_string();
    assert!(!effective.contains("discovery document"), "{effective}");
    assert!(effective.ends_with(
        "\n# The callback URL to enter at GitHub: http://localhost:8000/auth/callback\n# GitHub is reached directly\n"
    ));
    let none = serve("", &[("AUTH_PROVIDER", "none")]).unwrap().effective.to_string();
    assert!(!none.contains("callback"), "{none}");
}

#[test]
fn algorithms_with_shared_secrets_are_refused() {
    check(
        "[auth.providers.auth0]\nverify = { algorithms = ['RS256', 'HS256'] }",
        &AUTH0,
        &[
            "tinymcp.toml:2: auth.providers.auth0.verify.algorithms: `HS256` is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ],
    );
}

#[test]
fn scopes_of_plugins_want_an_audience() {
    let text = "[plugin.weather]\nscopes = ['weather:read']";
    let warnings = serve(text, &AUTH0).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.to_string().contains("AUTH0_AUDIENCE is not set")), "{warnings:?}");
    let warnings = serve(text, &with(&AUTH0, &[("AUTH0_AUDIENCE", "x")])).unwrap().warnings;
    assert_eq!(warnings, []);
}

/// The keys that the table of `docs/providers.md` describes.
fn documented_keys() -> BTreeSet<String> {
    let text = include_str!("../../../../docs/providers.md");
    let (_, table) = text.split_once("\n| key | default | what it is |\n").expect("the table of keys");
    let mut keys = BTreeSet::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let mut last = String::new();
        for name in row.split('|').nth(1).unwrap().split(',') {
            let name = name.trim().trim_matches('`');
            // `hints.ANY.when`, `.title`: the same table.
            let name = match (name.strip_prefix('.'), last.rsplit_once('.')) {
                (Some(name), Some((table, _))) => format!("{table}.{name}"),
                _ => name.to_owned(),
            };
            assert!(keys.insert(name.clone()), "`{name}` is described twice");
            last = name;
        }
    }
    keys
}

#[test]
fn every_key_is_documented_and_no_other_is() {
    let tables = [
        ("offline", "offline", Offline::keys()),
        ("verify", "verify", Verify::keys()),
        ("claims", "claims", Claims::keys()),
        ("documents", "documents.CLAIM", Document::keys()),
        ("hints", "hints.ANY", Hint::keys()),
    ];
    let mut keys: BTreeSet<String> = ProviderKeys::keys().into_iter().map(str::to_owned).collect();
    for (table, shown, inside) in tables {
        assert!(keys.remove(table));
        keys.extend(inside.into_iter().map(|key| format!("{shown}.{key}")));
    }
    assert_eq!(documented_keys(), keys);
}
