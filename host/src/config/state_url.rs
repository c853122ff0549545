//! `state.url`: the Redis or Valkey in which several servers keep what they share.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::json_schema;

use super::document::{Node as Written, Value};
use super::effective::REDACTED;
use super::key::Key;
use super::reader::{Reader, Setting};
use super::schema::inline_schema;
use super::text::InvalidValue;
use crate::loopback::is_loopback;
use crate::secret::Secret;

/// The port of Redis, and that of a sentinel.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The highest number of a database: the client sends it as a signed number, and servers have 16 of them.
const DATABASE_MAX: u32 = 1 << 20;

/// The address of a Redis or Valkey. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StateUrl {
    /// The way in which it is run.
    pub form: Form,
    /// TLS (`rediss`).
    pub is_tls: bool,
    /// The servers that are asked first: the one, some of a cluster, or the sentinels.
    pub nodes: Vec<Node>,
    /// The user of an access list; without it, Redis's default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The number of the database; 0 in a cluster.
    pub database: u32,
}

/// The ways to run Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One server, or a name that always leads to the primary.
    Single,
    /// A cluster, which tells where each row is.
    Cluster,
    /// Sentinels, which know the primary by this name.
    Sentinel {
        /// The name.
        service: String,
    },
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// A name, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Node {
    /// True if it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(is_loopback)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Node {
    type Err = InvalidValue;

    /// Reads a host with its port.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("a `[` without its `]`")?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| "not an address of IPv6 in brackets")?;
                (host, rest.strip_prefix(':').ok_or("expected a port after the address")?)
            }
            None => text.rsplit_once(':').ok_or("expected a port after the host")?,
        };
        let is_name =
            !host.is_empty() && host.chars().all(|char| char.is_ascii_alphanumeric() || "-._:".contains(char));
        if !is_name || (!text.starts_with('[') && host.contains(':')) {
            return Err(format!("{host:?} is no host").into());
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{port:?} is no port"))?;
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl StateUrl {
    /// True if everything that it names is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.nodes.iter().all(Node::is_loopback)
    }

    fn scheme(&self) -> &'static str {
        match (&self.form, self.is_tls) {
            (Form::Single, false) => "redis",
            (Form::Single, true) => "rediss",
            (Form::Cluster, false) => "redis+cluster",
            (Form::Cluster, true) => "rediss+cluster",
            (Form::Sentinel { .. }, false) => "redis+sentinel",
            (Form::Sentinel { .. }, true) => "rediss+sentinel",
        }
    }
}

/// `SCHEME://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/…]`. A password is taken as it is written, up to the last `@`,
/// but for `%` and two hexadecimal digits: what generators of passwords make needs no encoding.
impl FromStr for StateUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (scheme, rest) = text.split_once("://").ok_or("not a URL: expected redis://HOST:PORT")?;
        let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(UNKNOWN_SCHEME.into()),
        };
        let (user_info, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        if rest.contains(['?', '#']) {
            return Err("nothing may follow the path".into());
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (form, default_port, database) = match form {
            "" => (Form::Single, REDIS_PORT, path),
            "cluster" => (Form::Cluster, REDIS_PORT, path),
            "sentinel" => {
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                if service.is_empty() {
                    return Err("the name by which the sentinels know the primary is missing, as in redis+sentinel://HOST:26379/NAME".into());
                }
                (Form::Sentinel { service: service.to_owned() }, SENTINEL_PORT, database)
            }
            _ => return Err(UNKNOWN_SCHEME.into()),
        };
        let node = |host: &str| with_port(host, default_port).parse::<Node>();
        let nodes: Vec<Node> = hosts.split(',').map(str::trim).map(node).collect::<Result<_, _>>()?;
        if form == Form::Single && nodes.len() > 1 {
            return Err("several hosts are for a cluster (redis+cluster://) or sentinels (redis+sentinel://)".into());
        }
        let database = match database {
            "" => 0,
            number => number
                .parse()
                .ok()
                .filter(|number| *number <= DATABASE_MAX)
                .ok_or("the path is the number of a database, such as /0")?,
        };
        if form == Form::Cluster && database != 0 {
            return Err("a cluster has the database 0 alone".into());
        }
        let (user, password) = credentials(user_info)?;
        Ok(Self { form, is_tls, nodes, user, password, database })
    }
}

const UNKNOWN_SCHEME: &str = "the scheme must be redis or rediss (TLS), for a cluster redis+cluster or rediss+cluster, with sentinels redis+sentinel or rediss+sentinel";

fn with_port(host: &str, port: u16) -> String {
    let has_port = host.rsplit_once(']').map_or(host.contains(':'), |(_, rest)| rest.starts_with(':'));
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

fn credentials(user_info: Option<&str>) -> Result<(Option<String>, Option<Secret>), InvalidValue> {
    let Some(user_info) = user_info else { return Ok((None, None)) };
    let (user, password) = user_info.split_once(':').ok_or("a user needs a password: USER:PASSWORD@, or :PASSWORD@")?;
    if password.is_empty() {
        return Err("the password is empty: is its variable set?".into());
    }
    let decoded = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| "`%` in user and password is written %25")
    };
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    Ok((user, Some(Secret::new(decoded(password)?))))
}

/// Without user and password.
impl fmt::Display for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.password.is_some() { "***@" } else { "" };
        let nodes: Vec<String> = self.nodes.iter().map(Node::to_string).collect();
        write!(f, "{}://{user}{}", self.scheme(), nodes.join(","))?;
        if let Form::Sentinel { service } = &self.form {
            write!(f, "/{service}")?;
        }
        if self.database == 0 { Ok(()) } else { write!(f, "/{}", self.database) }
    }
}

impl fmt::Debug for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The values that fit, for people.
const EXPECTED: &str = "the URL of a Redis or Valkey such as \"redis://localhost:6379\"";

inline_schema!(StateUrl => json_schema!({
    "type": "string",
    "examples": ["rediss://:${REDIS_PASSWORD}@redis.example:6379", "redis://localhost:6379"],
    "pattern": r"^rediss?(?:\+cluster|\+sentinel)?://.+$|\$\{",
}));

impl Setting for StateUrl {
    fn read(node: &Written, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        reader.hidden(node, key, EXPECTED)
    }

    fn from_variable(text: &str) -> Value {
        Value::Text(text.trim().to_owned())
    }

    fn shown(node: &Written, _name: &str) -> String {
        match &node.value {
            Value::Text(text) if text.contains('@') => {
                text.trim().parse::<Self>().map_or_else(|_| REDACTED.to_owned(), |url| format!("\"{url}\""))
            }
            value => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_shown_without_its_password() {
        let check = |text: &str, shown: &str| {
            let url: StateUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(format!("{url:?}"), shown);
        };
        check("redis://localhost", "redis://localhost:6379");
        check("rediss://u:p@Redis.Example:7000/3", "rediss://***@redis.example:7000/3");
        check("redis://[::1]/0", "redis://[::1]:6379");
        check("redis+cluster://a,b:7001,[::1]:7002", "redis+cluster://a:6379,b:7001,[::1]:7002");
        check("rediss+sentinel://:p@a,b/main/2", "rediss+sentinel://***@a:26379,b:26379/main/2");
    }

    #[test]
    fn a_password_is_taken_as_generators_write_it() {
        let check = |text: &str, user: Option<&str>, password: &str| {
            let url: StateUrl = text.parse().unwrap();
            assert_eq!(url.user.as_deref(), user, "{text}");
            assert_eq!(url.password.as_ref().map(Secret::reveal), Some(password), "{text}");
            assert_eq!(url.nodes[0].host, "h");
        };
        check("redis://:p@h", None, "p");
        check("redis://u:a/b+c=@h:1/2", Some("u"), "a/b+c=");
        check("redis://u:a@b?c#d:e@h", Some("u"), "a@b?c#d:e");
        check("redis://u:a%2Fb%25@h", Some("u"), "a/b%");
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        let refused = [
            "localhost:6379",
            "http://h",
            "redis+x://h",
            "redis://",
            "redis://h:0",
            "redis://h:70000",
            "redis://h:x",
            "redis://a,b",
            "redis://u@h",
            "redis://u:@h",
            "redis://h/x",
            "redis://h/-1",
            "redis://h?db=1",
            "redis://h h",
            "redis://a:b:c",
            "redis://[::1",
            "redis://[x]:1",
            "redis+cluster://h/1",
            "redis+sentinel://h",
            "redis://u:%FF@h",
        ];
        for text in refused {
            assert!(text.parse::<StateUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_loopback_of_all() {
        let check =
            |text: &str, expected| assert_eq!(text.parse::<StateUrl>().unwrap().is_loopback(), expected, "{text}");
        check("redis://localhost", true);
        check("redis://127.3.4.5", true);
        check("redis://[::1]", true);
        check("redis+cluster://localhost,10.0.0.1", false);
        check("redis://localhost.example", false);
    }
}
