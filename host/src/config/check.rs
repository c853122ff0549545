//! Rules across keys: values that do not go together, and keys that have no effect.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

use super::address::{BaseUrl, Listen};
use super::certificates;
use super::grants::resolve as grants;
use super::key::Key;
use super::keys::{Client, Config};
use super::machines::{ClientGrant, tables};
use super::names::{AuditOnError, PluginName, Who};
use super::problem::{Fault, Source, nearest};
use super::provider::{LOCAL, NONE};
use super::reader::Reader;
use super::redirect_schemes::{self, SchemeRule};
use super::units::Bound;
use crate::state::Secrets;

/// The largest memory of 32-bit WebAssembly.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Providers that nobody can declare or change: they let in everybody who reaches the machine.
const WITHOUT_LOGIN: [&str; 2] = [NONE, LOCAL];

/// Runs every check. The reader collects their findings. `secrets` are those of a server; none for somebody who looks.
pub(super) fn check(config: &Config, secrets: Option<&Secrets>, reader: &mut Reader<'_>) {
    plain_http_stays_on_loopback(config, reader);
    open_providers_stay_on_loopback(config, reader);
    providers_keep_their_meaning(config, reader);
    memory_is_addressable(config, reader);
    processor_time_is_some(config, reader);
    grants::check(config, reader);
    clients_have_redirect_uris(config, reader);
    tables::check(config, reader);
    schemes_are_allowed_or_refused(config, reader);
    warn_about_refused_schemes(config, reader);
    warn_about_unreachable_listener(config, reader);
    groups_exist_and_end(config, reader);
    warn_about_views_without_plugins(config, reader);
    warn_about_keys_without_effect(config, reader);
    audit_has_one_place(config, reader);
    cosign_is_of_registries(config, reader);
    telemetry_has_a_way(config, reader);
    shared_state_is_kept_safe(config, secrets, reader);
}

/// What replicas share is whoever's who reaches that Redis, and a key of one machine would open none of it elsewhere.
fn shared_state_is_kept_safe(config: &Config, secrets: Option<&Secrets>, reader: &mut Reader<'_>) {
    let key: Key = "state.url".into();
    let Some(url) = &config.state.url else {
        for name in ["ca_file", "stale", "prefix"] {
            let key = Key::from("state").child(name);
            if reader.source_of(&key) != Source::Default {
                reader.warn(&key, Fault::Conflict("it has no effect without `state.url`".to_owned()));
            }
        }
        return;
    };
    if secrets.is_some_and(|secrets| secrets.current.is_none()) {
        let message = "servers that share a store need one root key: set TINYMCP_SECRET to the same value for each (`openssl rand -base64 32`)";
        reader.conflict(std::slice::from_ref(&key), message);
    }
    if let (Some(path), true) = (&config.state.ca_file, secrets.is_some())
        && let Err(reason) = certificates::read(path)
    {
        reader.conflict(&[Key::from("state.ca_file")], format!("`{}`: {reason}", path.display()));
    }
    if url.is_loopback() {
        return;
    }
    if !url.is_tls {
        let message =
            "off this machine it must be TLS: write rediss://, with `state.ca_file` for certificates of your own";
        reader.conflict(std::slice::from_ref(&key), message);
    }
    if url.password.is_none() {
        let message = "off this machine it must have a password: rediss://:${REDIS_PASSWORD}@HOST:PORT";
        reader.conflict(&[key], message);
    }
}

/// A signature of cosign is of an artifact in a registry.
fn cosign_is_of_registries(config: &Config, reader: &mut Reader<'_>) {
    for (name, plugin) in &config.plugin {
        if plugin.from.is_none() && plugin.trust.as_ref().is_some_and(|trust| trust.cosign.is_some()) {
            let message = "`cosign` is for a plugin that comes from a registry: say which with `from`, or trust a digest or a key of minisign";
            reader.conflict(&[plugin_key(name, "trust")], message);
        }
    }
}

fn audit_has_one_place(config: &Config, reader: &mut Reader<'_>) {
    let audit = &config.audit;
    if audit.file.is_some() && audit.stdout {
        let message = "the audit goes to a file or to standard output, not to both";
        reader.conflict(&["audit.file".into(), "audit.stdout".into()], message);
    }
    let is_off = audit.file.is_none() && !audit.stdout;
    if is_off && audit.on_error == AuditOnError::Refuse {
        let message = "there is no audit that could fail: name a file in `audit.file`";
        reader.conflict(&["audit.on_error".into()], message);
    }
}

/// Headers of telemetry are secrets, most of them: they leave this machine by TLS alone.
fn telemetry_has_a_way(config: &Config, reader: &mut Reader<'_>) {
    let telemetry = &config.telemetry;
    match &telemetry.otlp {
        None if telemetry.traces.get() > 0.0 => {
            reader.warn(
                &"telemetry.traces".into(),
                Fault::Conflict("nothing is sent without `telemetry.otlp`".to_owned()),
            );
        }
        None => {}
        Some(endpoint) if !telemetry.headers.is_empty() && endpoint.is_plain_and_far() => {
            let message = "its headers would go over the network as they are: write https";
            reader.conflict(&["telemetry.otlp".into(), "telemetry.headers".into()], message);
        }
        Some(_) => {}
    }
}

/// Clients refuse, rightly, to log in over plain http to anything but their own machine.
fn plain_http_stays_on_loopback(config: &Config, reader: &mut Reader<'_>) {
    let base_url = &config.server.base_url;
    if !base_url.is_https() && !base_url.is_loopback() {
        let message = "plain http is for loopback only; write https, with a proxy in front that speaks it";
        reader.conflict(&["server.base_url".into()], message);
    }
}

fn open_providers_stay_on_loopback(config: &Config, reader: &mut Reader<'_>) {
    let provider = config.auth.provider.as_str();
    if !WITHOUT_LOGIN.contains(&provider) {
        return;
    }
    let cure = "choose an address on loopback, or a provider with a login of its own";
    let message = |what: &str| format!("provider `{provider}` lets everyone in, so {what} must be on loopback; {cure}");
    if !config.server.listen.is_loopback() {
        reader.conflict(&["server.listen".into(), "auth.provider".into()], message("the listener"));
    }
    if !config.server.base_url.is_loopback() {
        reader.conflict(&["server.base_url".into(), "auth.provider".into()], message("the URL"));
    }
}

fn providers_keep_their_meaning(config: &Config, reader: &mut Reader<'_>) {
    for name in WITHOUT_LOGIN.iter().filter(|name| config.auth.providers.contains_key(**name)) {
        let message = format!("`{name}` is built in and takes no keys; choose another name");
        reader.conflict(&[Key::from("auth.providers").child(name)], message);
    }
}

fn memory_is_addressable(config: &Config, reader: &mut Reader<'_>) {
    let of_all = ("limits.memory".into(), Some(config.limits.memory));
    let of_plugins = config.plugin.iter().map(|(name, plugin)| (plugin_key(name, "memory"), plugin.limits.memory));
    for (key, memory) in std::iter::once(of_all).chain(of_plugins) {
        if memory.is_some_and(|memory| memory.bytes() > MEMORY_BYTES_MAX) {
            reader.conflict(&[key], "more than the 4GiB that a component can address");
        }
    }
}

/// Without any, every call would end at once.
fn processor_time_is_some(config: &Config, reader: &mut Reader<'_>) {
    let of_all = ("limits.cpu".into(), Some(config.limits.cpu));
    let of_plugins = config.plugin.iter().map(|(name, plugin)| (plugin_key(name, "cpu"), plugin.limits.cpu));
    for (key, cpu) in std::iter::once(of_all).chain(of_plugins) {
        if cpu.and_then(Bound::get).is_some_and(|cpu| cpu.duration().is_zero()) {
            reader.conflict(&[key], "must be more than zero; \"unlimited\" is for no bound");
        }
    }
}

fn clients_have_redirect_uris(config: &Config, reader: &mut Reader<'_>) {
    let needs_one = |client: &Client| client.may(ClientGrant::AuthorizationCode) && client.redirect_uris.is_empty();
    for (id, _) in config.auth.clients.iter().filter(|(_, client)| needs_one(client)) {
        let table = Key::from("auth.clients").child(id);
        let key = table.child("redirect_uris");
        match reader.source_of(&key) {
            Source::Default => reader.missing_in(&table, key.name()),
            _ => reader.conflict(&[key], "a client needs at least one"),
        }
    }
}

fn schemes_are_allowed_or_refused(config: &Config, reader: &mut Reader<'_>) {
    let rules = &config.auth.redirect_schemes;
    for rule in rules {
        if let SchemeRule::Allow(scheme) = rule
            && rules.contains(&SchemeRule::Deny(scheme.clone()))
        {
            reader.conflict(&["auth.redirect_schemes".into()], format!("`{scheme}` is both allowed and refused"));
        }
    }
}

/// Warns of clients that can never log in, since nobody is sent where they want them.
fn warn_about_refused_schemes(config: &Config, reader: &mut Reader<'_>) {
    for (id, client) in &config.auth.clients {
        let key = Key::from("auth.clients").child(id).child("redirect_uris");
        for uri in &client.redirect_uris {
            let scheme = uri.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !redirect_schemes::WEB.contains(&scheme.as_str())
                && let Err(refusal) = redirect_schemes::accept(&scheme, &config.auth.redirect_schemes)
            {
                reader.warn(&key, Fault::Conflict(format!("nobody is sent to `{uri}`: {refusal}")));
            }
        }
    }
}

/// Warns if `base_url` does not lead to `listen`. It may all the same, through a tunnel or a published port.
fn warn_about_unreachable_listener(config: &Config, reader: &mut Reader<'_>) {
    if let Some(message) = mismatch(&config.server.base_url, config.server.listen) {
        reader.warn(&"server.base_url".into(), Fault::Conflict(message));
    }
}

fn mismatch(base_url: &BaseUrl, listen: Listen) -> Option<String> {
    let port = base_url.port_or_known_default().filter(|port| *port != 0 && listen.port() != 0)?;
    if base_url.is_https() {
        let is_own_port = port == listen.port() && (base_url.is_loopback() || !listen.is_loopback());
        return is_own_port.then(|| {
            format!("https at the port where the server listens without TLS ({listen}, `server.listen`): put a proxy that speaks TLS at another port, and write that one")
        });
    }
    if port != listen.port() {
        return Some(format!(
            "clients call port {port}, and the server listens on {listen} (`server.listen`): make the ports the same, unless something between them forwards one to the other"
        ));
    }
    let Listen::Address(address) = listen else { return None };
    let address = address.ip().to_canonical();
    let is_reached = match (base_url.host()?, address) {
        (Host::Ipv6(host), address) if address.is_unspecified() => address.is_ipv6() || host.to_ipv4_mapped().is_some(),
        (_, address) if address.is_unspecified() => true,
        (Host::Domain(_), address) => {
            address == IpAddr::from(Ipv4Addr::LOCALHOST) || address == IpAddr::from(Ipv6Addr::LOCALHOST)
        }
        (Host::Ipv4(host), address) => address == IpAddr::from(host),
        (Host::Ipv6(host), address) => address == IpAddr::from(host).to_canonical(),
    };
    (!is_reached).then(|| {
        format!("clients call {base_url}, and the server listens on {listen} (`server.listen`): make both name the same address")
    })
}

/// Every named group exists, and none contains itself, directly or through others.
fn groups_exist_and_end(config: &Config, reader: &mut Reader<'_>) {
    let auth = &config.auth;
    let group_key = |name: &str| Key::from("auth.groups").child(name);
    let of_scopes = auth.scopes.iter().map(|(scope, who)| (Key::from("auth.scopes").child(scope.as_str()), who));
    let of_groups = auth.groups.iter().map(|(name, who)| (group_key(name.as_str()), who));
    let lists = [
        ("auth.allow".into(), &auth.allow),
        ("auth.deny".into(), &auth.deny),
        ("auth.operators".into(), &auth.operators),
    ];
    for (key, people) in lists.into_iter().chain(of_scopes).chain(of_groups) {
        for group in groups_in(people).filter(|group| !auth.groups.contains_key(*group)) {
            let names = auth.groups.keys().map(|name| name.as_str());
            let cure = match nearest(group, names) {
                Some(near) => format!("did you mean `group:{near}`?"),
                None => "`[auth.groups]` has no such group".to_owned(),
            };
            reader.conflict(std::slice::from_ref(&key), format!("unknown group `{group}`; {cure}"));
        }
    }
    for name in auth.groups.keys() {
        let mut reached = BTreeSet::new();
        let mut ahead = vec![name.as_str()];
        while let Some(group) = ahead.pop() {
            let inner = auth.groups.get(group).into_iter().flat_map(|people| groups_in(people));
            ahead.extend(inner.filter(|inner| reached.insert(inner.to_owned())));
        }
        if reached.contains(name.as_str()) {
            let message = format!("group `{name}` names itself, directly or through another group");
            reader.conflict(&[group_key(name.as_str())], message);
        }
    }
}

fn groups_in(people: &[Who]) -> impl Iterator<Item = &str> {
    people.iter().filter_map(|who| match who {
        Who::Group(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Warns of keys that do nothing with the login that was chosen.
fn warn_about_keys_without_effect(config: &Config, reader: &mut Reader<'_>) {
    if !config.auth.operators.is_empty() && config.auth.provider.as_str() == NONE {
        reader.warn(&"auth.operators".into(), Fault::NoLogin);
    }
    for (name, plugin) in &config.plugin {
        if !plugin.scopes.is_empty() && config.auth.provider.as_str() == NONE {
            reader.warn(&plugin_key(name, "scopes"), Fault::NoLogin);
        }
        for (tool, settings) in &plugin.tool {
            if !settings.scopes.is_empty() && config.auth.provider.as_str() == NONE {
                reader.warn(&plugin_key(name, "tool").child(tool.as_str()).child("scopes"), Fault::NoLogin);
            }
        }
        let provider = config.auth.provider.as_str();
        if WITHOUT_LOGIN.contains(&provider) && plugin.http.iter().any(|entry| entry.r#as.is_some()) {
            let message = format!(
                "`as = \"login\"` sends the caller's token of an identity provider, and provider `{provider}` has none: such requests fail"
            );
            reader.warn(&plugin_key(name, "http"), Fault::Conflict(message));
        }
    }
}

/// Warns of views that show nothing.
fn warn_about_views_without_plugins(config: &Config, reader: &mut Reader<'_>) {
    for (name, view) in &config.view {
        let key = Key::from("view").child(name.as_str());
        if view.plugins.is_empty() {
            reader.warn(&key, Fault::Conflict("it names no `plugins`, so there is nothing at it".to_owned()));
        }
        if !view.scopes.is_empty() && config.auth.provider.as_str() == NONE {
            reader.warn(&key.child("scopes"), Fault::NoLogin);
        }
        for plugin in view.plugins.iter().filter(|plugin| !config.plugin(plugin).enabled) {
            let message = format!("plugin `{plugin}` is switched off");
            reader.warn(&key.child("plugins"), Fault::Conflict(message));
        }
    }
}

fn plugin_key(name: &PluginName, key: &str) -> Key {
    Key::from("plugin").child(name.as_str()).child(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_led_to_where_the_server_listens() {
        for (base_url, listen, expected) in [
            ("http://localhost:8000", "127.0.0.1:8000", None),
            ("http://localhost:8000", "[::1]:8000", None),
            ("http://localhost:8000", "localhost:8000", None),
            ("http://localhost:8000", "0.0.0.0:8000", None),
            ("http://[::1]:8000", "[::]:8000", None),
            ("http://localhost:9000", "127.0.0.1:0", None),
            ("http://localhost:0", "127.0.0.1:8000", None),
            ("https://mcp.example.com", "127.0.0.1:8000", None),
            ("https://mcp.example.com", "127.0.0.1:443", None),
            ("http://localhost:9000", "127.0.0.1:8000", Some("clients call port 9000")),
            ("http://localhost", "127.0.0.1:8000", Some("clients call port 80,")),
            ("http://127.0.0.1:8000", "[::1]:8000", Some("clients call http://127.0.0.1:8000,")),
            ("http://[::1]:8000", "0.0.0.0:8000", Some("clients call http://[::1]:8000,")),
            ("http://localhost:8000", "192.0.2.1:8000", Some("clients call http://localhost:8000,")),
            ("https://localhost:8000", "127.0.0.1:8000", Some("https at the port")),
            ("https://mcp.example.com:8000", "0.0.0.0:8000", Some("https at the port")),
        ] {
            let found = mismatch(&base_url.parse().unwrap(), listen.parse().unwrap());
            let is_expected = match (&found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_expected, "{base_url} {listen}: {found:?}");
        }
    }
}
