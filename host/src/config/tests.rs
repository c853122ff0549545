//! Whole configurations: what is read, what overrides what, and every problem at once.

mod problems;
mod shipped;

use std::fs;
use std::path::Path;

use super::*;

/// The configuration that a file gives, as for looking at plugins, with these variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Setup, ConfigError> {
    let environment = Environment::from_iter(variables.iter().copied());
    Config::parse(text, &Invocation::new(Purpose::Look), &environment)
}

/// The same, where it must have no problems.
fn loaded(text: &str, variables: &[(&str, &str)]) -> Config {
    load(text, variables).unwrap().config
}

fn listen_on(argument: &'static str, address: &str) -> Invocation {
    let listen = Override { key: "server.listen", value: address.to_owned(), argument };
    Invocation { overrides: vec![listen], ..Invocation::new(Purpose::Look) }
}

#[test]
fn nothing_given_means_the_defaults() {
    let config = loaded("", &[]);
    assert_eq!(config, Config::default());
    assert_eq!(config.server.base_url.as_str(), "http://localhost:8000");
    assert_eq!(config.auth.provider.as_str(), "auth0");
    assert_eq!(config.limits.memory.bytes(), 64 << 20);
    assert_eq!(config.limits.concurrency.get(), 64);
}

#[test]
fn the_stronger_source_wins() {
    let file = "server.listen = '127.0.0.1:1'";
    let dot_env = |process: &[(&str, &str)]| {
        let text = "TINYMCP_SERVER_LISTEN=127.0.0.1:2";
        Environment::from_iter(process.iter().copied()).with_dot_env(&".env".into(), text)
    };
    let process = [("TINYMCP_SERVER_LISTEN", "127.0.0.1:3")];
    let file_only = Invocation::new(Purpose::Look);
    let argument = listen_on("--listen", "127.0.0.1:4");
    for (invocation, environment, port) in [
        (&file_only, Environment::default(), 1),
        (&file_only, dot_env(&[]), 2),
        (&file_only, dot_env(&process), 3),
        (&argument, dot_env(&process), 4),
    ] {
        let config = Config::parse(file, invocation, &environment).unwrap().config;
        assert_eq!(config.server.listen.port(), port);
        assert_eq!(config.server.base_url, BaseUrl::localhost(port));
    }
}

#[test]
fn every_key_with_one_value_has_a_variable() {
    let variables = [
        ("BASE_URL", "http://localhost:1"),
        ("TINYMCP_SERVER_LISTEN", "127.0.0.1:1"),
        ("AUTH_PROVIDER", " clerk"),
        ("TINYMCP_LIMITS_TIMEOUT", "1s "),
        ("TINYMCP_LIMITS_CONCURRENCY", "3 "),
        ("TINYMCP_PLUGIN_MY_TOOL_ENABLED", "false\t"),
        ("TINYMCP_PLUGINS_POLL", "2s"),
        ("TINYMCP_STATE_DIR", " "),
    ];
    let Setup { config, warnings, .. } = load("[plugin.my-tool]", &variables).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.server.base_url, BaseUrl::localhost(1));
    assert_eq!(config.auth.provider.as_str(), "clerk");
    assert_eq!(config.limits.timeout.to_string(), "1s");
    assert_eq!(config.limits.concurrency.get(), 3);
    assert!(!config.plugin("my_tool").enabled);
    assert_eq!(config.plugins.poll.map(|poll| poll.to_string()).as_deref(), Some("2s"));
    assert_eq!(config.state.dir, Path::new(".tinymcp"), "a blank variable is not set");
    let rule_first = [("BASE_URL", "http://localhost:1"), ("TINYMCP_SERVER_BASE_URL", "http://localhost:2")];
    assert_eq!(loaded("", &rule_first).server.base_url, BaseUrl::localhost(2));
}

#[test]
fn variables_stand_for_parts_of_strings() {
    let file = "server.base_url = 'https://${HOST}:${PORT:-8443}'\nserver.allowed_hosts = ['${HOST}']";
    let config = loaded(file, &[("HOST", "a.example")]);
    assert_eq!(config.server.base_url.as_str(), "https://a.example:8443");
    assert_eq!(config.server.allowed_hosts[0].to_string(), "a.example");
}

#[test]
fn what_is_not_used_needs_no_variable() {
    let file = r#"
        [auth.clients.ci]
        redirect_uris = ["http://localhost:1/callback"]
        secret = "${CI_SECRET}"
        [auth.providers.acme]
        client_secret = "${ACME_SECRET}"
        scopes = ["${ACME_SCOPE}", { nested = "${ACME_NESTED}" }]
        [plugin.weather]
        secrets = { API_KEY = "${WEATHER_KEY}" }
        [plugin.off]
        enabled = false
        timeout = "${OFF_TIMEOUT}"
    "#;
    let config = loaded(file, &[]);
    assert!(!format!("{config:?}").contains("WEATHER_KEY"));
    let key = &config.plugin("weather").secrets["API_KEY"].value;
    let environment = Environment::from_iter([("WEATHER_KEY", "${not} looked into")]);
    assert_eq!(key.resolve(|name| environment.lookup(name)).unwrap(), "${not} looked into");
    assert_eq!(key.resolve(|_| Ok(None)), Err(vec![TemplateError::Missing("WEATHER_KEY".to_owned())]));
}

#[test]
fn a_plugin_may_have_limits_of_its_own() {
    let config = loaded("[limits]\ntimeout = '10s'\nqueue = 0\n[plugin.my-tool]\ntimeout = '1s'", &[]);
    for name in ["my_tool", "my-tool"] {
        let limits = config.limits(name);
        assert_eq!((limits.timeout.to_string().as_str(), limits.queue.get()), ("1s", 0));
    }
    assert_eq!(config.limits("other"), config.limits);
    assert_eq!(config.plugin("other"), &PluginSettings::default());
}

#[test]
fn relative_paths_begin_at_the_file() {
    let invocation = Invocation { file: Some("/etc/tinymcp/server.toml".into()), ..Invocation::new(Purpose::Look) };
    let text = "state.dir = '/var/lib/tinymcp'";
    let config = Config::parse(text, &invocation, &Environment::default()).unwrap().config;
    assert_eq!(config.plugins.dir, Path::new("/etc/tinymcp/plugins"));
    assert_eq!(config.state.dir, Path::new("/var/lib/tinymcp"));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing.toml");
    let invocation = Invocation { file: Some(path.clone()), ..Invocation::new(Purpose::Look) };
    let error = Config::load(&invocation, &Environment::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("configuration `{}` cannot be read: ", path.display())), "{error}");
    fs::write(&path, "pool.slots = 7").unwrap();
    let loaded = Config::load(&invocation, &Environment::default()).unwrap();
    assert_eq!(loaded.config.pool.slots.get(), 7);
}

#[test]
fn only_what_is_not_live_needs_a_restart() {
    let old = loaded("", &[]);
    let live = "[limits]\ntimeout = '1s'\n[log]\nlevel = 'debug'\n[plugin.hello]\nenabled = false";
    assert_eq!(old.reloaded(loaded(live, &[])), (loaded(live, &[]), Vec::new()));
    let fixed = "[server]\nbody = '1MiB'\n[auth.providers.acme]\nclient_secret = 'x'\n[log]\nformat = 'json'";
    let (kept, waiting) = old.reloaded(loaded(fixed, &[]));
    assert_eq!(kept, old);
    let keys: Vec<String> = waiting.iter().map(Key::to_string).collect();
    assert_eq!(keys, ["server.body", "auth.providers", "log.format"]);
    // Of one table, what applies at once and what does not.
    let mixed = "[log]\nlevel = 'debug'\nformat = 'json'";
    let (kept, _) = old.reloaded(loaded(mixed, &[]));
    assert_eq!(kept, loaded("log.level = 'debug'", &[]), "a format is not taken as in force before it is");
}

#[test]
fn what_is_in_force_says_where_it_comes_from_and_keeps_secrets() {
    let file = r#"
[server]
base_url = "https://${HOST}"
[auth.clients.ci]
redirect_uris = ["http://localhost:1/callback"]
secret = "hunter2"
[auth.providers.acme]
client_id = "${ACME_ID}"
client_secret = "hunter2"
authorize_params = { api_password = "hunter2", hd = "x" }
[plugin.my-tool]
secrets = { "API KEY" = "hunter2", OTHER = "${OTHER}" }
settings = { password = "hunter2" }
"#;
    let process = [("HOST", "hidden.example"), ("TINYMCP_PLUGIN_MY_TOOL_SECRETS_OTHER", "hunter2")];
    let environment = Environment::from_iter(process).with_dot_env(&".env".into(), "\nTINYMCP_LIMITS_QUEUE=7");
    let invocation = listen_on("--listen", "localhost:1");
    let effective = Config::parse(file, &invocation, &environment).unwrap().effective.to_string();
    assert!(!effective.contains("hunter2") && !effective.contains("hidden"), "{effective}");
    for expected in [
        "[server]\nlisten = \"localhost:1\"  # --listen\nbase_url = \"https://${HOST}\"  # tinymcp.toml:3\n",
        "provider = \"auth0\"  # default\n",
        "\n[auth.clients.ci]\nredirect_uris = [\"http://localhost:1/callback\"]  # tinymcp.toml:5\n",
        "secret = \"***\"  # tinymcp.toml:6\n",
        "client_id = \"${ACME_ID}\"  # tinymcp.toml:8\n",
        "authorize_params = { api_password = \"***\", hd = \"x\" }  # tinymcp.toml:10\n",
        "queue = 7  # .env:2: TINYMCP_LIMITS_QUEUE\n",
        "[plugin.my_tool.secrets]\n\"API KEY\" = \"***\"  # tinymcp.toml:12\n",
        "OTHER = \"***\"  # TINYMCP_PLUGIN_MY_TOOL_SECRETS_OTHER\n",
        "password = \"***\"  # tinymcp.toml:13\n",
    ] {
        assert!(effective.contains(expected), "{expected}\nis not in\n{effective}");
    }
}

#[test]
fn what_is_in_force_is_a_configuration() {
    let file =
        "[server]\nlisten = '127.0.0.1:1'\n[auth.scopes]\n'a:b' = ['*@example.com']\n[plugin.hello]\nprefix = ''";
    let first = load(file, &[]).unwrap();
    assert_eq!(loaded(&first.effective.to_string(), &[]), first.config);
}
