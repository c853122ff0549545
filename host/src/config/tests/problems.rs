//! Bad configurations, each with the whole list of its problems.

use super::*;

/// Loads for serving, and compares every problem.
fn check(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let environment = Environment::from_iter(variables.iter().copied());
    let error = Config::parse(text, &Invocation::new(Purpose::Serve), &environment).unwrap_err();
    assert_eq!(error.to_string().lines().collect::<Vec<_>>(), expected, "{text}");
}

const NONE: (&str, &str) = ("AUTH_PROVIDER", "none");

#[test]
fn every_problem_is_found_at_once() {
    let text = r#"
[server]
listen = "example.com:8000"
base_url = "http://mcp.example.com"
header-timeout = "10s"

[limits]
timout = "30s"
memory = "64"
result = 8
concurrency = 0
queue = "many"

[state]
dir = "${STATE_DIR}"

[plugin.weather]
enabled = "maybe"
http = ["https://a.example", "http://b.example", "c"]
scopes = "weather:read"
timeout = "0s"

[limit]
"#;
    let variables = [NONE, ("TINYMCP_POOL_SLOTS", "lots"), ("TINYMCP_LOG_LEVEL", "inof")];
    let expected = [
        r#"tinymcp.toml:3: server.listen: "example.com:8000": only `localhost` may be a name; give the address of a network interface"#,
        "tinymcp.toml:4: server.base_url: plain http is for loopback only; write https, with a proxy in front that speaks it",
        "tinymcp.toml:5: server.header-timeout: unknown key; did you mean `header_timeout`?",
        "tinymcp.toml:8: limits.timout: unknown key; did you mean `timeout`?",
        r#"tinymcp.toml:9: limits.memory: "64": a unit is missing: one of GiB, MiB, KiB, GB, MB, KB, B"#,
        r#"tinymcp.toml:10: limits.result: expected a size such as "64MiB", got integer 8"#,
        "tinymcp.toml:11: limits.concurrency: 0: must be more than zero",
        r#"tinymcp.toml:12: limits.queue: expected a whole number, got string "many""#,
        "tinymcp.toml:15: state.dir: variable `STATE_DIR` is not set; set it in the environment or in `.env`, or write `${STATE_DIR:-default}`",
        r#"tinymcp.toml:18: plugin.weather.enabled: "maybe": expected true or false"#,
        r#"tinymcp.toml:19: plugin.weather.http: "c": a scheme is required: write `https://c`"#,
        r#"tinymcp.toml:20: plugin.weather.scopes: expected a list, got string "weather:read""#,
        r#"tinymcp.toml:21: plugin.weather.timeout: "0s": must be more than zero"#,
        "tinymcp.toml:23: limit: unknown key; did you mean `limits`?",
        r#"TINYMCP_LOG_LEVEL: log.level: "inof": did you mean "info"?"#,
        r#"TINYMCP_POOL_SLOTS: pool.slots: expected a whole number, got string "lots""#,
    ];
    check(text, &variables, &expected);
}

#[test]
fn a_provider_that_cannot_be_read_is_no_other_one() {
    check(
        "auth.provider = 3",
        &[],
        &[r#"tinymcp.toml:1: auth.provider: expected a provider's name such as "auth0", got integer 3"#],
    );
    assert!(load("", &[]).is_ok(), "looking needs no login");
}

#[test]
fn without_login_everything_stays_on_this_machine() {
    let lets_in = |what| {
        format!(
            "provider `none` lets everyone in, so {what} must be on loopback; choose an address on loopback, or a provider with a login of its own"
        )
    };
    check(
        "server.listen = '0.0.0.0:80'",
        &[NONE],
        &[&format!("tinymcp.toml:1: server.listen: {}", lets_in("the listener"))],
    );
    let url = [NONE, ("BASE_URL", "https://mcp.example.com")];
    check("", &url, &[&format!("BASE_URL: server.base_url: {}", lets_in("the URL"))]);
    check(
        "[auth.providers.none]\nclient_id = 'x'",
        &[NONE],
        &["tinymcp.toml:2: auth.providers.none: `none` is built in and takes no keys; choose another name"],
    );
}

#[test]
fn a_url_has_no_path() {
    let dot_env = "\nexport BASE_URL='http://localhost:8000/mcp'\nAUTH_PROVIDER";
    let environment = Environment::from_iter([NONE]).with_dot_env(&".env".into(), dot_env);
    let error = Config::parse("", &Invocation::new(Purpose::Serve), &environment).unwrap_err().to_string();
    let expected = [
        ".env:3: not a `NAME=value` line: no `=`",
        r#".env:2: BASE_URL: server.base_url: "http://localhost:8000/mcp": nothing may follow host and port"#,
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_command_line_is_named() {
    let invocation = listen_on("--listen", "8000");
    let error = Config::parse("", &invocation, &Environment::default()).unwrap_err().to_string();
    assert_eq!(error, r#"--listen: server.listen: "8000": expected an address and a port, such as "127.0.0.1:8000""#);
    let mut invocation = listen_on("--hosts", "a.example");
    for key in ["server.allowed_hosts", "server.hosts"] {
        invocation.overrides[0].key = key;
        let error = Config::parse("", &invocation, &Environment::default()).unwrap_err().to_string();
        assert_eq!(error, format!("--hosts: {key}: no key with a single value"));
    }
}

#[test]
fn tables_and_their_names() {
    check("auth = 'none'", &[], &[r#"tinymcp.toml:1: auth: expected a table, got string "none""#]);
    check(
        "server = 3\n[plugin]\nhello = []",
        &[NONE],
        &[
            "tinymcp.toml:1: server: expected a table, got integer 3",
            "tinymcp.toml:3: plugin.hello: expected a table, got list",
        ],
    );
    check(
        "[plugin.my-tool]\n[plugin.my_tool]\n[plugin.'my tool']",
        &[NONE],
        &[
            "tinymcp.toml:2: plugin.my_tool: the same as `plugin.my-tool`, which is given too; keep one of them",
            r#"tinymcp.toml:3: plugin."my tool": only letters, digits, `_` and `-` may be used"#,
        ],
    );
    check(
        "[plugin.a]\nnonsense = 1",
        &[NONE],
        &[
            "tinymcp.toml:2: plugin.a.nonsense: unknown key; known here: enabled, from, prefix, scopes, tools, hide, approve, trust, http, tcp, dirs, kv, env, secrets, settings, tool, timeout, memory, result, file, compile_cpu, compile_memory, concurrency, queue, log, rate, cpu, http_requests, http_bytes, connections",
        ],
    );
    check(
        "[auth.scopes]\n'a b' = []\n'a' = ['nobody']",
        &[NONE],
        &[
            r#"tinymcp.toml:2: auth.scopes."a b": a scope has no spaces, quotes or backslashes, and only ASCII"#,
            r#"tinymcp.toml:3: auth.scopes.a: "nobody": expected "alice@example.com", "*@example.com", "sub:…", "org:…" or "group:…""#,
        ],
    );
    check(
        "[auth.clients.a]\n[auth.clients.b]\nredirect_uris = []\n[auth.clients.c]\nredirect_uris = 1",
        &[NONE],
        &[
            "tinymcp.toml:1: auth.clients.a: missing key `redirect_uris`",
            "tinymcp.toml:3: auth.clients.b.redirect_uris: a client needs at least one",
            "tinymcp.toml:5: auth.clients.c.redirect_uris: expected a list, got integer 1",
        ],
    );
}

#[test]
fn a_bad_item_is_named_by_its_own_line() {
    check(
        "[auth]\nallow = [\n  'a@b.example',\n  'b',\n  3,\n]",
        &[NONE],
        &[
            r#"tinymcp.toml:4: auth.allow: "b": expected "alice@example.com", "*@example.com", "sub:…", "org:…" or "group:…""#,
            r#"tinymcp.toml:5: auth.allow: expected a person such as "*@example.com", got integer 3"#,
        ],
    );
}

#[test]
fn choices_and_bounds() {
    check(
        "[log]\nformat = 'jsn'\n[limits]\nmemory = '5GiB'\n[plugin.my-tool]\nmemory = '8GiB'\nhttp = [{ to = 'http://a.example', basic = 'a:b' }]",
        &[NONE],
        &[
            r#"tinymcp.toml:2: log.format: "jsn": did you mean "json"?"#,
            "tinymcp.toml:4: limits.memory: more than the 4GiB that a component can address",
            "tinymcp.toml:6: plugin.my_tool.memory: more than the 4GiB that a component can address",
            "tinymcp.toml:7: plugin.my_tool.http: `http://a.example`: a credential is sent over https only, or over plain http to a `private` host or this machine",
        ],
    );
}

#[test]
fn a_problem_shows_neither_secrets_nor_what_variables_hold() {
    let text = "[server]\nbase_url = '${URL}'\n[plugin.a]\nsecrets = { KEY = 12345, OTHER = '${' }";
    check(
        text,
        &[NONE, ("URL", "hunter2")],
        &[
            r#"tinymcp.toml:2: server.base_url: "${URL}": it must begin with http:// or https://"#,
            "tinymcp.toml:4: plugin.a.secrets.KEY: expected a string or a table, got integer",
            "tinymcp.toml:4: plugin.a.secrets.OTHER: `${` without `}`; write `$${` for a literal `${`",
        ],
    );
}

#[test]
fn every_variable_of_a_string_is_named() {
    let missing = |name| {
        format!(
            "tinymcp.toml:1: server.base_url: variable `{name}` is not set; set it in the environment or in `.env`, or write `${{{name}:-default}}`"
        )
    };
    check("server.base_url = 'https://${HOST}:${PORT}'", &[NONE], &[&missing("HOST"), &missing("PORT")]);
}

#[test]
fn what_is_not_toml_is_named_by_its_line() {
    check("[server]\nlisten = 'x'\nlisten = 'y'", &[NONE], &["tinymcp.toml:3: not valid TOML: duplicate key"]);
}

#[test]
fn a_short_secret_is_no_secret() {
    let problem = "expected at least 32 characters, found 5: make one with `openssl rand -base64 32`";
    check("", &[NONE, ("TINYMCP_SECRET", "short")], &[&format!("TINYMCP_SECRET: {problem}")]);
    let variables = [NONE, ("TINYMCP_SECRET_PREVIOUS", "short")];
    check("", &variables, &[&format!("TINYMCP_SECRET_PREVIOUS: {problem}")]);
}

#[test]
fn a_client_whose_secret_is_not_set_is_a_problem_of_serving() {
    let text = "[auth.clients.ci]\nredirect_uris = ['https://ci.example/cb']\nsecret = '${CI_SECRET}'";
    let missing =
        "variable `CI_SECRET` is not set; set it in the environment or in `.env`, or write `${CI_SECRET:-default}`";
    check(text, &[NONE], &[&format!("tinymcp.toml:3: auth.clients.ci.secret: {missing}")]);
    load(text, &[]).unwrap();
}

#[test]
fn an_empty_secret_is_no_public_client() {
    let empty = "auth.clients.ci.secret: an empty secret proves nothing; leave the key out for a public client";
    for secret in ["''", "'  '", "'${CI_SECRET:-}'"] {
        let text = format!("[auth.clients.ci]\nredirect_uris = ['https://ci.example/cb']\nsecret = {secret}");
        check(&text, &[NONE], &[&format!("tinymcp.toml:3: {empty}")]);
    }
}

#[test]
fn schemes_are_not_both_allowed_and_refused() {
    check(
        "auth.redirect_schemes = ['a1', 'javascript', '!a1', '!bob@example.com']",
        &[NONE],
        &[
            r#"tinymcp.toml:1: auth.redirect_schemes: "javascript": browsers or systems run or show the content of its URIs, so no client can use it"#,
            r#"tinymcp.toml:1: auth.redirect_schemes: "!bob@example.com": expected "myapp" to allow a scheme, "!myapp" to refuse it, or "!*" to refuse all that are not allowed by name"#,
        ],
    );
    check(
        "auth.redirect_schemes = ['a1', '!zed', '!a1']",
        &[NONE],
        &["tinymcp.toml:1: auth.redirect_schemes: `a1` is both allowed and refused"],
    );
}

#[test]
fn a_client_that_nobody_can_be_sent_back_to_is_warned_of() {
    let text = "auth.redirect_schemes = ['!zed', 'steam']\n[auth.clients.ci]\nredirect_uris = ['https://a.example', 'myapp:cb', 'STEAM:cb', 'Zed:cb', 'spotify:cb', 'file:///x']";
    let warnings = load(text, &[NONE]).unwrap().warnings;
    let key = "tinymcp.toml:3: auth.clients.ci.redirect_uris: nobody is sent to";
    let expected = [
        format!("{key} `Zed:cb`: its scheme is refused by `auth.redirect_schemes`"),
        format!(
            "{key} `spotify:cb`: its scheme is registered for something else; `auth.redirect_schemes` can allow it"
        ),
        format!("{key} `file:///x`: browsers or systems act on its scheme themselves"),
    ];
    assert_eq!(warnings.iter().map(Problem::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn warnings_are_no_problems() {
    let text = "[plugin.my-tool]\nhttp = ['https://a.example']\nsecrets = { KEY = '${KEY}' }\nsettings = { a = 1 }\nscopes = ['a']";
    let variables = [
        NONE,
        ("TINYMCP_LIMIT_TIMEOUT", "1s"),
        ("TINYMCP_SERVER_ALLOWED_HOSTS", "a.example"),
        ("TINYMCP_NONSENSE_OF_ANOTHER_KIND", "1"),
        ("TINYMCP_SECRET", "a secret of thirty-two characters"),
    ];
    let warnings = load(text, &variables).unwrap().warnings;
    let expected = [
        "tinymcp.toml:3: plugin.my_tool.secrets.KEY: variable `KEY` is not set; set it in the environment or in `.env`, or write `${KEY:-default}`",
        "tinymcp.toml:5: plugin.my_tool.scopes: has no effect with provider `none`: callers are unknown",
        "TINYMCP_LIMIT_TIMEOUT: unknown variable, ignored; did you mean `TINYMCP_LIMITS_TIMEOUT`?",
        "TINYMCP_NONSENSE_OF_ANOTHER_KIND: unknown variable, ignored",
        "TINYMCP_SERVER_ALLOWED_HOSTS: ignored: `server.allowed_hosts` is a list or a table, which only the file can set",
    ];
    assert_eq!(warnings.iter().map(Problem::to_string).collect::<Vec<_>>(), expected);
}
