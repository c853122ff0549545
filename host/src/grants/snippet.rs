//! The lines of `tinymcp.toml` that would grant something, for the operator to judge.
//!
//! They are for the log, the command line and the operator's page, never for the caller of a tool: an agent with a shell
//! would paste them. They hold no query, no `private` and no `*`, whatever a guest or an author has asked for, and are
//! written by a library from values that were parsed, so that nobody's text becomes TOML. Nobody's text names a variable
//! either: `${` in it is written `$${`, and the variables that are proposed are none of the server's own.

use toml::{Table, Value};

use super::host::Host;
use super::needs::Need;
use super::origin::{HostRule, Origin};
use super::target::Target;
use crate::address::Class;

/// Room for a plugin that asks for `kv`, until the operator says otherwise.
const QUOTA: &str = "1MiB";

/// The beginning of a proposed variable's name that would otherwise be one of the server's own.
const OF_PLUGIN: &str = "PLUGIN_";

/// Variables of the server, and of the built-in identity providers, by the beginnings of their names.
const OWN: [&str; 14] = [
    "TINYMCP_",
    "BASE_URL",
    "AUTH_PROVIDER",
    "AUTH0_",
    "CLERK_",
    "COGNITO_",
    "DISCORD_",
    "ENTRA_",
    "GITHUB_",
    "GOOGLE_",
    "KEYCLOAK_",
    "OIDC_",
    "OKTA_",
    "WORKOS_",
];

/// Lines of the configuration, and what they leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// `[plugin.NAME]` and its keys; empty if nothing of what is needed can be proposed.
    pub toml: String,
    /// Needs that only the operator can put into words: all hosts of a domain, private addresses, folders.
    pub left_out: Vec<Need>,
}

/// The lines that grant what a component declares to need.
pub fn of_needs<'n>(plugin: &str, needs: impl IntoIterator<Item = &'n Need>) -> Snippet {
    let mut keys = Keys::default();
    let mut left_out = Vec::new();
    for need in needs {
        match need {
            Need::Http(origin) if is_proposed(origin.host(), origin.class()) => {
                keys.http.push(literal(&origin.to_string()))
            }
            Need::Tcp(endpoint) if is_proposed(endpoint.host(), endpoint.class()) => {
                keys.tcp.push(literal(&endpoint.to_string()));
            }
            Need::Secret(name) => keys.secrets.extend([(name.clone(), variable(plugin, name))]),
            Need::Env(name) => keys.env.extend([(name.clone(), variable(plugin, name))]),
            Need::Kv => keys.kv = true,
            Need::Http(_) | Need::Tcp(_) | Need::Dir(_) => left_out.push(need.clone()),
        }
    }
    Snippet { toml: keys.toml(plugin), left_out }
}

/// The lines that would allow a request, on every path; empty for an address that nobody should be led to propose.
pub fn of_request(plugin: &str, target: &Target) -> String {
    of_needs(plugin, [&Need::Http(Origin::of(target))]).toml
}

/// The line that would allow a socket; empty for an address that nobody should be led to propose.
pub fn of_socket(plugin: &str, host: &Host, port: u16) -> String {
    let endpoint = format!("{host}:{port}").parse();
    endpoint.map(|endpoint| of_needs(plugin, [&Need::Tcp(endpoint)]).toml).unwrap_or_default()
}

fn is_proposed(host: &HostRule, class: Option<Class>) -> bool {
    let is_one = matches!(host, HostRule::Host(_));
    is_one && class.is_none_or(|class| class == Class::Public)
}

/// A text in which the configuration finds no variable.
fn literal(text: &str) -> Value {
    text.replace("${", "$${").into()
}

/// `${WEATHER_API_KEY}`: a variable of the operator's, named after plugin and name. A plugin that is named after the
/// server or a provider (`auth0`) would be given that one's secret: its variable begins with `PLUGIN_`.
fn variable(plugin: &str, name: &str) -> Value {
    format!("${{{}}}", variable_name(plugin, name)).into()
}

/// The name of the variable that is proposed for a name of a plugin's.
pub(crate) fn variable_name(plugin: &str, name: &str) -> String {
    let upper = |text: &str| text.to_ascii_uppercase().replace(|char: char| !char.is_ascii_alphanumeric(), "_");
    let variable = format!("{}_{}", upper(plugin), upper(name));
    let is_other =
        OWN.iter().any(|own| variable.starts_with(own)) || variable.starts_with(|char: char| char.is_ascii_digit());
    if is_other { format!("{OF_PLUGIN}{variable}") } else { variable }
}

#[derive(Default)]
struct Keys {
    http: Vec<Value>,
    tcp: Vec<Value>,
    secrets: Table,
    env: Table,
    kv: bool,
}

impl Keys {
    fn toml(self, plugin: &str) -> String {
        let mut keys = Table::new();
        let mut put = |name: &str, value: Value, is_given: bool| {
            if is_given {
                keys.insert(name.to_owned(), value);
            }
        };
        let quota = Table::from_iter([("quota".to_owned(), Value::from(QUOTA))]);
        put("http", self.http.clone().into(), !self.http.is_empty());
        put("tcp", self.tcp.clone().into(), !self.tcp.is_empty());
        put("secrets", self.secrets.clone().into(), !self.secrets.is_empty());
        put("env", self.env.clone().into(), !self.env.is_empty());
        put("kv", quota.into(), self.kv);
        if keys.is_empty() {
            return String::new();
        }
        let plugin = Table::from_iter([(plugin.to_owned(), Value::from(keys))]);
        Table::from_iter([("plugin".to_owned(), Value::from(plugin))]).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::needs::Needs;

    fn snippet(declarations: &[&str]) -> Snippet {
        let (needs, errors) = Needs::read(declarations.iter().copied());
        assert_eq!(errors, []);
        of_needs("weather", needs.iter())
    }

    #[test]
    fn needs_become_lines() {
        let snippet = snippet(&[
            "http https://api.example.com/v1",
            "http http://b.example:8080",
            "kv",
            "secret API_KEY",
            "env TZ",
            "tcp db.example.com:5432",
        ]);
        let expected = "[plugin.weather]\n\
            http = [\"http://b.example:8080\", \"https://api.example.com/v1\"]\n\
            tcp = [\"db.example.com:5432\"]\n\n\
            [plugin.weather.env]\n\
            TZ = \"${WEATHER_TZ}\"\n\n\
            [plugin.weather.kv]\n\
            quota = \"1MiB\"\n\n\
            [plugin.weather.secrets]\n\
            API_KEY = \"${WEATHER_API_KEY}\"\n";
        assert_eq!(snippet.toml, expected);
        assert_eq!(snippet.left_out, []);
    }

    #[test]
    fn what_only_the_operator_can_say_is_left_out() {
        let snippet = snippet(&[
            "http https://*.example.com",
            "http http://10.0.0.1",
            "http http://10.0.0.0/8",
            "http http://localhost:9200",
            "tcp 192.168.1.1:5432",
            "tcp localhost:6379",
            "dir /data",
        ]);
        assert_eq!((snippet.toml.as_str(), snippet.left_out.len()), ("", 7));
    }

    #[test]
    fn a_request_gives_its_origin_and_nothing_else() {
        let of = |scheme: &str, authority: &str, path: &str| {
            of_request("my-tool", &Target::parse(Some(scheme), Some(authority), Some(path)).unwrap())
        };
        let expected = "[plugin.my-tool]\nhttp = [\"https://api.example.com:8443\"]\n";
        assert_eq!(of("https", "API.example.com:8443", "/v1/\"]\\?key=hunter2&x=*"), expected);
        for host in
            ["10.0.0.1", "127.0.0.1", "2130706433", "localhost", "169.254.169.254", "[fd00::1]", "[::ffff:a00:1]"]
        {
            assert_eq!(of("http", host, "/"), "", "{host}");
        }
    }

    #[test]
    fn a_socket_gives_its_host_and_port() {
        let of = |host: &str, port| of_socket("my-tool", &Host::parse(host).unwrap(), port);
        assert_eq!(of("DB.example.com", 5432), "[plugin.my-tool]\ntcp = [\"db.example.com:5432\"]\n");
        for host in ["10.0.0.1", "127.0.0.1", "localhost", "169.254.169.254", "[fd00::1]", "0.0.0.0", "224.0.0.1"] {
            assert_eq!(of(host, 80), "", "{host}");
        }
        assert_eq!(of("db.example.com", 0), "");
    }

    #[test]
    fn a_text_names_no_variable() {
        let snippet = snippet(&["http https://a.example/${DB_PASSWORD}/$${A}"]);
        assert_eq!(snippet.toml, "[plugin.weather]\nhttp = [\"https://a.example/$${DB_PASSWORD}/$$${A}\"]\n");
    }

    #[test]
    fn a_proposed_variable_is_none_of_the_servers() {
        for (plugin, name, expected) in [
            ("weather", "API_KEY", "WEATHER_API_KEY"),
            ("auth0", "CLIENT_SECRET", "PLUGIN_AUTH0_CLIENT_SECRET"),
            ("tinymcp", "SECRET", "PLUGIN_TINYMCP_SECRET"),
            ("tiny-mcp", "SECRET", "TINY_MCP_SECRET"),
            ("base", "URL", "PLUGIN_BASE_URL"),
            ("auth", "PROVIDER", "PLUGIN_AUTH_PROVIDER"),
            ("GitHub", "client-secret", "PLUGIN_GITHUB_CLIENT_SECRET"),
            ("2fa", "KEY", "PLUGIN_2FA_KEY"),
        ] {
            assert_eq!(variable_name(plugin, name), expected);
            assert_eq!(variable(plugin, name).as_str(), Some(format!("${{{expected}}}").as_str()));
        }
    }

    #[test]
    fn a_name_stays_a_name() {
        let odd = "a]\n[server";
        let snippet = of_needs(odd, [&Need::Kv]);
        let table: Table = snippet.toml.parse().unwrap();
        assert_eq!(table.len(), 1);
        assert!(table["plugin"].as_table().unwrap().contains_key(odd));
    }
}
