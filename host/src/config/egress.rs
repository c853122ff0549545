//! The way to the provider: `[egress]`, with its variables and its file read.
//!
//! Only an operator's own choice leads through a proxy: variables that happen to be set are not followed, and a warning
//! says so.

pub mod proxy;

use std::fmt;

use self::proxy::{EgressProxy, ProxyUrl};
use super::certificates;
use super::key::Key;
use super::keys::Config;
use super::problem::{Fault, Problem, Source};
use super::reader::Reader;
use super::text::InvalidValue;

/// The variables of a proxy for https, the strongest first.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

/// The variables that list hosts to reach without a proxy, the strongest first.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Variables that name a proxy to other programs, and never here.
const NEVER: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The variable that names the authorities to trust, in place of the system's.
const TRUSTED: &str = "SSL_CERT_FILE";

/// The way to the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// The proxy, if there is one.
    pub proxy: Option<ProxyUrl>,
    /// Hosts that are reached without it, as `NO_PROXY` lists them.
    pub no_proxy: Option<String>,
    /// Certificates of further authorities, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The origin of the proxy, for people: the key or a variable.
    pub source: Option<String>,
}

impl fmt::Display for Egress {
    /// Ends the sentence "the provider is reached …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            None => f.write_str("directly")?,
            Some(proxy) => {
                write!(f, "through the proxy {proxy}")?;
                if let Some(source) = &self.source {
                    write!(f, " ({source})")?;
                }
                if let Some(hosts) = &self.no_proxy {
                    write!(f, ", but for {hosts}")?;
                }
            }
        }
        match &self.authorities {
            Some(_) => f.write_str(", with the authorities of `egress.ca_file`"),
            None => Ok(()),
        }
    }
}

/// Reads what the keys name, and warns of variables that name a proxy and do nothing.
pub(super) fn resolve(config: &Config, reader: &mut Reader<'_>) -> Egress {
    let key = Key::from("egress.proxy");
    let environment = reader.environment;
    let set = |names: &[&'static str]| names.iter().copied().find_map(|name| Some((name, environment.get(name)?)));
    let mut egress = Egress { authorities: authorities(config, reader), ..Egress::default() };
    let mut ignored: Vec<&str> = NEVER.into_iter().filter(|name| environment.get(name).is_some()).collect();
    match &config.egress.proxy {
        None => ignored.extend(PROXY.into_iter().filter(|name| environment.get(name).is_some())),
        Some(EgressProxy::Url(url)) => {
            egress.proxy = Some(url.clone());
            egress.source = Some("`egress.proxy`".to_owned());
            ignored.extend(PROXY.into_iter().chain(NO_PROXY).filter(|name| environment.get(name).is_some()));
        }
        Some(EgressProxy::Env) => match set(&PROXY) {
            None => reader.warn(&key, Fault::Conflict("HTTPS_PROXY is not set, so there is no proxy".to_owned())),
            Some((name, text)) => match from_variable(text.trim()) {
                Ok(url) => {
                    egress.no_proxy = set(&NO_PROXY).map(|(_, hosts)| without_ports(hosts));
                    let is_for_all =
                        egress.no_proxy.as_ref().is_some_and(|hosts| hosts.split(", ").any(|it| it == "*"));
                    if !is_for_all {
                        egress.proxy = Some(url);
                        egress.source = Some(name.to_owned());
                    }
                }
                Err(reason) => {
                    let fault = Fault::Conflict(format!("{name} names no proxy that can be used: {reason}"));
                    reader.problem(&environment.source(name), &key, fault);
                }
            },
        },
    }
    if let Some(error) = environment.get(TRUSTED).and_then(|file| std::fs::File::open(file).err()) {
        let fault = Fault::Conflict(format!(
            "the file that {TRUSTED} names cannot be read, so no certificate is trusted: {error}"
        ));
        reader.warnings.push(Problem { source: environment.source(TRUSTED), key: None, fault });
    }
    for name in ignored {
        reader.warnings.push(Problem { source: environment.source(name), key: None, fault: Fault::IgnoredProxy });
    }
    egress
}

/// The list of `NO_PROXY` without ports: a host that it names is reached without the proxy on all its ports.
fn without_ports(hosts: &str) -> String {
    let without_port = |host: &str| match host.rsplit_once(':') {
        // More colons are those of an IPv6 address.
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => name.to_owned(),
        _ => host.to_owned(),
    };
    hosts.split([',', ' ']).filter(|host| !host.is_empty()).map(without_port).collect::<Vec<_>>().join(", ")
}

/// Reads the proxy of a variable. `host:port` is usual there, and means http, as in other programs.
fn from_variable(text: &str) -> Result<ProxyUrl, InvalidValue> {
    if text.contains("://") { text.parse() } else { format!("http://{text}").parse() }
}

fn authorities(config: &Config, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let path = config.egress.ca_file.as_ref()?;
    let key = Key::from("egress.ca_file");
    match certificates::read(path) {
        Ok(pem) => Some(pem),
        Err(reason) => {
            let source: Source = reader.source_of(&key);
            reader.problem(&source, &key, Fault::Conflict(format!("`{}`: {reason}", path.display())));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Invocation, Purpose, Setup};

    fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Setup, String> {
        let text = format!("[auth]\nprovider = \"none\"\n{text}");
        let environment = Environment::from_iter(variables.iter().copied());
        Config::parse(&text, &Invocation::new(Purpose::Serve), &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_proxy_is_one_that_somebody_asked_for() {
        let env = "[egress]\nproxy = \"env\"\n";
        let own = "[egress]\nproxy = \"http://own.example:1\"\n";
        let set = [("HTTPS_PROXY", "http://user:hunter2@proxy.example:3128"), ("NO_PROXY", "intern.example")];
        for (text, variables, expected, warnings) in [
            ("", &[][..], "directly", 0),
            ("", &set[..], "directly", 1),
            ("", &[("ALL_PROXY", "socks5://x")], "directly", 1),
            (env, &[], "directly", 1),
            (env, &set, "through the proxy http://***@proxy.example:3128 (HTTPS_PROXY), but for intern.example", 0),
            (env, &[("https_proxy", "http://p:1")], "through the proxy http://p:1 (https_proxy)", 0),
            (env, &[("HTTPS_PROXY", "user:hunter2@p:1")], "through the proxy http://***@p:1 (HTTPS_PROXY)", 0),
            (
                env,
                &[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "127.0.0.1:9321,[::1]:80, ::1")],
                "through the proxy http://p:1 (HTTPS_PROXY), but for 127.0.0.1, [::1]:80, ::1",
                0,
            ),
            (env, &[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "a.example,*")], "directly", 0),
            ("", &[("SSL_CERT_FILE", "/nowhere.pem")], "directly", 1),
            (own, &[], "through the proxy http://own.example:1 (`egress.proxy`)", 0),
            (own, &set, "through the proxy http://own.example:1 (`egress.proxy`)", 2),
        ] {
            let loaded = loaded(text, variables).unwrap();
            assert_eq!(loaded.egress.to_string(), expected, "{text} {variables:?}");
            assert_eq!(loaded.warnings.len(), warnings, "{text} {variables:?}: {:?}", loaded.warnings);
            assert!(!format!("{loaded:?} {}", loaded.effective).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_told_without_its_password() {
        for (text, variables) in [
            ("[egress]\nproxy = \"socks5://u:hunter2@p:1\"\n", &[][..]),
            ("[egress]\nproxy = \"http://u:hunter2@p:1/path\"\n", &[]),
            ("[egress]\nproxy = \"u:hunter2@p\"\n", &[]),
            ("[egress]\nproxy = \"env\"\n", &[("HTTPS_PROXY", "socks5://u:hunter2@p:1")]),
            ("[egress]\nca_file = \"/nowhere.pem\"\n", &[]),
        ] {
            let error = loaded(text, variables).unwrap_err();
            assert!(error.contains("egress.") && !error.contains("hunter2"), "{error}");
        }
        let shown = loaded("[egress]\nproxy = \"http://u:hunter2@p:1\"\n", &[]).unwrap().effective.to_string();
        assert!(shown.contains("proxy = \"http://***@p:1\"") && !shown.contains("hunter2"), "{shown}");
    }
}
