//! Grants as they are written, and what is made of them.

use crate::config::problem::{Fault, Problem};
use crate::config::{Config, Environment, Invocation, Purpose, Setup};
use crate::grants::address::Reach;
use crate::grants::needs::{Need, Needs};
use crate::grants::target::Target;
use crate::grants::{Grants, KvOwner, snippet};

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Setup, String> {
    let text = format!("[auth]\nprovider = \"none\"\n[plugin.weather]\n{text}");
    let environment = Environment::from_iter(variables.iter().copied());
    Config::parse(&text, &Invocation::new(Purpose::Serve), &environment).map_err(|error| error.to_string())
}

fn grants(text: &str, variables: &[(&str, &str)]) -> Grants {
    load(text, variables).unwrap().grants.of("weather").as_ref().clone()
}

/// The problems of the lines under `[plugin.weather]`, without their place, which is line 4.
fn check(text: &str, expected: &[&str]) {
    let error = load(text, &[]).err().unwrap_or_default();
    let problems: Vec<&str> =
        error.lines().map(|line| line.strip_prefix("tinymcp.toml:4: plugin.weather.").unwrap_or(line)).collect();
    assert_eq!(problems, expected, "{text}");
}

#[test]
fn an_entry_is_a_url_or_a_table() {
    let grants = grants(
        r#"http = ["https://a.example", { to = "https://b.example/v1", methods = ["GET"], headers = { Authorization = "Bearer ${KEY}" } }, { to = "http://c.internal:9200", private = true }]"#,
        &[("KEY", "  sixteen-letters!\n")],
    );
    let target = |authority: &str| Target::parse(Some("https"), Some(authority), Some("/v1/x")).unwrap();
    let plain = grants.decide(&http::Method::POST, &target("a.example")).unwrap();
    assert!(plain.credentials.is_none() && !plain.must_stand());
    let keyed = grants.decide(&http::Method::GET, &target("b.example")).unwrap();
    assert!(keyed.must_stand() && grants.decide(&http::Method::POST, &target("b.example")).is_err());
    let (mut headers, mut path) = (http::HeaderMap::new(), "/v1/x".to_owned());
    keyed.credentials.of_call(None).unwrap().put_in(&mut headers, &mut path);
    assert_eq!(headers["authorization"], "Bearer sixteen-letters!");
    assert!(matches!(grants.http[2].rule.reach(), Reach { is_private: true, .. }));
}

#[test]
fn everything_else_that_is_granted() {
    let grants = grants(
        "tcp = ['db.example.com:5432', { to = '10.0.0.1:6379', private = true }]\n\
         dirs = [{ host = 'data', guest = '/data/' }, { host = '/srv', guest = '/srv', mode = 'rw', quota = '1MiB' }]\n\
         kv = { quota = '2MiB', per = 'person' }\n\
         env = { TZ = 'UTC', KEY = '${KEY}' }\n\
         secrets = { API_KEY = '${KEY}', TOKEN = { value = '${KEY}', config = true } }",
        &[("KEY", "k")],
    );
    assert_eq!(
        grants.tcp.iter().map(|grant| grant.to.to_string()).collect::<Vec<_>>(),
        ["db.example.com:5432", "10.0.0.1:6379"]
    );
    assert_eq!(grants.dirs[0].host, std::path::Path::new("data"));
    assert_eq!(
        (grants.dirs[0].guest.as_str(), grants.dirs[0].is_writable, grants.dirs[0].quota_bytes),
        ("/data", false, None)
    );
    assert_eq!((grants.dirs[1].is_writable, grants.dirs[1].quota_bytes), (true, Some(1 << 20)));
    let kv = grants.kv.unwrap();
    assert_eq!((kv.quota_bytes, kv.per), (2 << 20, KvOwner::Person));
    assert_eq!(
        grants.env().map(|(name, value)| (name, value.reveal())).collect::<Vec<_>>(),
        [("KEY", "k"), ("TZ", "UTC")]
    );
    assert_eq!(grants.secret("API_KEY").unwrap().reveal(), "k");
    assert_eq!(grants.secret("TOKEN").unwrap().reveal(), "k");
    assert!(grants.config_secret("TOKEN").is_some() && grants.config_secret("API_KEY").is_none());
}

#[test]
fn a_variables_value_is_looked_for_in_answers() {
    for put_in in [
        "headers = { Cookie = 'session=${KEY}; v=1' }",
        "headers = { Authorization = 'Token token=\"${KEY}\"' }",
        "headers = { X-Key = 'acct:${OTHER:-x}${KEY}' }",
        "query = { key = 'a.${KEY}' }",
        "basic = '${KEY}:'",
    ] {
        let text = format!("http = [{{ to = 'https://a.example', {put_in} }}]");
        let granted = grants(&text, &[("KEY", " sixteen-letters!\n")]);
        let ready = granted.http[0].credentials.of_call(None).unwrap();
        assert_eq!(ready.net().scrub(b"it is <sixteen-letters!>"), b"it is <****************>", "{put_in}");
    }
    let warnings = |put_in: &str| {
        let text = format!("http = [{{ to = 'https://a.example', headers = {{ X-Key = '{put_in}' }} }}]");
        load(&text, &[("KEY", "sixteen-letters!"), ("SHORT", "hunter2")]).unwrap().warnings.len()
    };
    assert_eq!(["v ${KEY}", "a long beginning ${SHORT}", "hunter2"].map(warnings), [0, 1, 1]);
}

#[test]
fn a_variable_in_a_path_is_not_shown() {
    let text = "http = ['https://${HOST}/hooks/${KEY}', { to = 'https://b.example/${KEY}', headers = { X-Key = 'short' } }, 'https://c.example/v1']";
    let setup = load(text, &[("HOST", "a.example"), ("KEY", "hunter2")]).unwrap();
    let granted = setup.grants.of("weather");
    let words = granted.in_words();
    assert_eq!(
        words,
        ["http https://a.example/…", "http https://b.example/… with a credential", "http https://c.example/v1"]
    );
    assert_eq!(granted.entrusted(), ["credentials for https://b.example/…"]);
    let target = Target::parse(Some("https"), Some("a.example"), Some("/hooks/hunter2/x")).unwrap();
    assert!(granted.decide(&http::Method::GET, &target).is_ok());
    let warnings: Vec<String> = setup.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.len() == 1 && !warnings[0].contains("hunter2"), "{warnings:?}");
    assert!(!setup.effective.to_string().contains("hunter2"));
}

#[test]
fn what_is_proposed_names_no_variable_of_its_author() {
    let declared = ["http https://a.example/${DB_PASSWORD}/", "http https://b.example/$${DB_PASSWORD}", "secret KEY"];
    let (needs, errors) = Needs::read(declared);
    assert_eq!(errors, []);
    let proposed = snippet::of_needs("weather", needs.iter()).toml;
    let (_, lines) = proposed.split_once('\n').unwrap();
    let variables = [("DB_PASSWORD", "hunter2"), ("WEATHER_KEY", "key")];
    let granted = grants(lines, &variables);
    let to: Vec<String> = granted.http.iter().map(|grant| grant.rule.to.to_string()).collect();
    let wanted = needs.iter().filter_map(|need| match need {
        Need::Http(origin) => Some(origin.to_string()),
        _ => None,
    });
    assert_eq!(to, wanted.collect::<Vec<_>>());
    assert!(!to.concat().contains("hunter2") && to.concat().contains("DB_PASSWORD"), "{to:?}");
}

#[test]
fn no_variable_of_a_provider_is_proposed() {
    for (provider, text) in crate::config::provider::BUILT_IN {
        let named = text.split("${").skip(1).filter_map(|rest| rest.split(['}', ':']).next());
        for variable in named {
            let (plugin, name) = variable.split_once('_').unwrap();
            let proposed = snippet::variable_name(plugin, name);
            assert_eq!(proposed, format!("PLUGIN_{variable}"), "{provider}");
        }
    }
}

#[test]
fn nothing_is_granted_by_nothing() {
    let grants = grants("enabled = true", &[]);
    assert!(grants.http.is_empty() && grants.tcp.is_empty() && grants.dirs.is_empty() && grants.kv.is_none());
    assert!(grants.env.is_empty() && grants.secrets.is_empty());
}

#[test]
fn mistakes_name_their_key_and_their_cure() {
    check(
        "http = ['api.example.com']",
        &[r#"http: "api.example.com": a scheme is required: write `https://api.example.com`"#],
    );
    check(
        "http = ['https://*.co.uk']",
        &[
            r#"http: "https://*.co.uk": `*.co.uk` would grant the hosts of everybody under `co.uk`; write a domain of one owner"#,
        ],
    );
    check(
        "http = [{ too = 'https://a.example' }]",
        &["http.too: unknown key; did you mean `to`?", "http: missing key `to`"],
    );
    check(
        "http = [{ to = 'https://a.example', methods = ['get', 'TRACE'] }]",
        &[r#"http.methods: "get": write `GET`"#, r#"http.methods: "TRACE": TRACE cannot be granted"#],
    );
    check(
        "http = [{ to = 'https://a.example', methods = [] }]",
        &["http: `https://a.example`: name at least one method, or leave `methods` out for all"],
    );
    check("http = [3]", &["http: expected a string or a table, got integer 3"]);
    check(
        "http = ['http://10.0.0.1']",
        &["http: `10.0.0.1` is a private address; write `{ to = \"…\", private = true }` if that is meant"],
    );
    check(
        "http = [{ to = 'https://*.example.com', private = true }]",
        &["http: `private` cannot be granted to all names of a domain; name each host, or a network"],
    );
    check(
        "http = [{ to = 'http://a.example', basic = 'a:b' }]",
        &[
            "http: `http://a.example`: a credential is sent over https only, or over plain http to a `private` host or this machine",
        ],
    );
    check(
        "http = [{ to = 'https://*.example.com', as = 'login' }]",
        &["http: `https://*.example.com`: a person's token goes to one https host that is written in full"],
    );
    check("http = [{ to = 'https://a.example', as = 'logon' }]", &[r#"http.as: "logon": did you mean "login"?"#]);
    check(
        "http = [{ to = 'https://a.example', headers = { Host = 'x' } }]",
        &["http: `https://a.example`: `Host` is a header of the connection, which nobody sets"],
    );
    check(
        "http = ['https://a.example', { to = 'https://a.example:443/', basic = 'a:b' }]",
        &[
            "http: `https://a.example` is given twice with different terms, and neither is more specific; keep one, or give each a path or methods of its own",
        ],
    );
    check("http = ['https://a.example', 'https://a.example']", &[]);
    check("tcp = ['db.example.com']", &[r#"tcp: "db.example.com": a port is required: `db.example.com:5432`"#]);
    check(
        "tcp = ['10.0.0.1:5432']",
        &["tcp: `10.0.0.1:5432` has a private address; write `{ to = \"…\", private = true }` if that is meant"],
    );
    check("dirs = [{ host = 'data', guest = '../data' }]", &[r#"dirs.guest: "../data": it begins with `/`"#]);
    check("dirs = [{ host = 'a', guest = '/a' }, { host = 'b', guest = '/a/' }]", &["dirs: `/a` is given twice"]);
    check("kv = { per = 'people' }", &[r#"kv.per: "people": expected one of plugin, person"#]);
    check("kv = { quota = '0B' }", &[r#"kv.quota: "0B": must be more than zero"#]);
    check(
        "secrets = { A = { value = 'x', config = true } }\nsettings = { A = 'y' }",
        &["secrets.A: both a setting and a secret with `config = true`; rename one of them"],
    );
    check("secrets = { A = { value = 'x' }, B = 'x' }\nsettings = { A = 'y', B = 'z' }", &[]);
    check("secrets = { A = { config = true } }", &["secrets.A: missing key `value`"]);
    check("secrets = { A = { value = 12345 } }", &["secrets.A.value: expected a string, got integer"]);
    check("env = { A = \"x\\u0000\" }", &["env.A: the value of a variable has no NUL character"]);
    check(
        "env = { 'A=B' = 'x' }",
        &["env.\"A=B\": a variable's name is not empty, and has neither `=` nor control characters"],
    );
}

#[test]
fn a_value_that_is_missing_or_odd_is_named_and_not_shown() {
    let entry = "http = [{ to = 'https://a.example', headers = { X-Key = '${KEY}' } }]";
    let missing = "tinymcp.toml:4: plugin.weather.http: variable `KEY` is not set; set it in the environment or in `.env`, or write `${KEY:-default}`";
    assert_eq!(load(entry, &[]).unwrap_err(), missing);
    assert!(load(&format!("enabled = false\n{entry}"), &[]).is_ok());
    let error = load(entry, &[("KEY", "hunter2\r\nX-Other: a")]).unwrap_err();
    let expected = "tinymcp.toml:4: plugin.weather.http: `https://a.example`: the value of `x-key` has characters that no header has, such as an end of line";
    assert_eq!(error, expected);
    let short = load(entry, &[("KEY", "hunter2")]).unwrap();
    let is_short =
        |warning: &&Problem| matches!(&warning.fault, Fault::Conflict(text) if text.contains("less than 16 bytes"));
    assert_eq!(short.warnings.iter().filter(is_short).count(), 1);
    assert!(!format!("{short:?} {}", short.effective).contains("hunter2"));
}

#[test]
fn bounds_stand_for_all_plugins_for_one_and_for_one_tool() {
    check("rate = '60/min'\ncpu = '200ms'\n[limits]\nrate = '1/s'\ncpu = '1m'", &[]);
    check("rate = 'unlimited'\ncpu = 'unlimited'\nhttp_requests = 20\nhttp_bytes = '1MiB'\nconnections = 2", &[]);
    check("[limits]\nhttp_requests = 0\nhttp_bytes = '0B'\nconnections = 0", &[]);
    let text =
        "rate = '60/min'\n[plugin.weather.tool.get-forecast]\nrate = '2/min'\n[limits]\ncpu = '1s'\nhttp_requests = 7";
    let config = load(text, &[]).unwrap().config;
    let weather = config.limits("weather");
    assert_eq!((weather.rate.to_string(), weather.cpu.to_string()), ("60/min".to_owned(), "1s".to_owned()));
    assert_eq!(u32::from(weather.http_requests), 7);
    assert_eq!(config.limits("other").rate.get(), None);
    assert_eq!(config.plugin("weather").tool["get_forecast"].rate.to_string(), "2/min");
    let none = "must be more than zero; \"unlimited\" is for no bound";
    check("cpu = '0s'", &[&format!("cpu: {none}")]);
    check(
        "tool.a.rate = '0/s'",
        &[r#"tool.a.rate: "0/s": the number of calls must be between 1 and 1000000; or "unlimited""#],
    );
    check("tool.'a/b'.rate = '1/s'", &["tool.\"a/b\": only letters, digits, `_` and `-` may be used"]);
    check("rate = '60'", &[r#"rate: "60": expected a rate such as "60/min"; or "unlimited""#]);
}

#[test]
fn entries_are_shown_without_what_they_put_in() {
    let entry = r#"http = ["https://a.example", { to = "https://b.example", headers = { X-Key = "hunter2" }, query = { key = "hunter2" }, basic = "a:hunter2" }]"#;
    // A variable for a part of an entry is nobody's.
    let variables = [("TINYMCP_PLUGIN_WEATHER_HTTP_TO", "https://evil.example")];
    let setup = load(entry, &variables).unwrap();
    let shown = setup.effective.to_string();
    let expected = r#"http = ["https://a.example", { basic = "***", headers = { X-Key = "***" }, query = { key = "***" }, to = "https://b.example" }]"#;
    assert!(shown.contains(expected), "{shown}");
    assert!(!format!("{setup:?}").contains("hunter2") && !shown.contains("evil"));
}

#[test]
fn secrets_are_shown_by_their_names() {
    let text = "secrets = { A = 'hunter2', B = { value = 'hunter2', config = true } }";
    let shown = load(text, &[]).unwrap().effective.to_string();
    assert!(shown.contains("A = \"***\"") && shown.contains(r#"B = { config = true, value = "***" }"#), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("B.value"), "{shown}");
    let given = load(text, &[("TINYMCP_PLUGIN_WEATHER_SECRETS_A", "of a variable")]).unwrap();
    assert_eq!(given.grants.of("weather").secret("A").unwrap().reveal(), "of a variable");
}

#[test]
fn what_is_in_force_is_a_configuration_with_grants_too() {
    let text = "http = [{ to = 'https://a.example', methods = ['GET'] }]\nkv = { per = 'person' }\nsecrets = { A = '***', B = { value = '***', config = true } }\nsettings = { a = 1 }\ntimeout = '1s'\nhttp_requests = 3";
    let first = load(text, &[]).unwrap();
    let again = Config::parse(&first.effective.to_string(), &Invocation::new(Purpose::Look), &Environment::default());
    assert_eq!(again.unwrap().config, first.config);
}
