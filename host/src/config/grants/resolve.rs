//! From what is written to what is decided by: variables replaced, and entries checked against each other.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::entries::{As, HttpEntry, Kv, KvOwner};
use crate::config::key::Key;
use crate::config::keys::{Config, PluginSettings};
use crate::config::names::PluginName;
use crate::config::problem::Fault;
use crate::config::reader::Reader;
use crate::config::template::Template;
use crate::grants::credentials::{CredentialError, Credentials, Filled, Identity};
use crate::grants::needs::Needs;
use crate::grants::rule::{Methods, Rule, ties};
use crate::grants::scrub::MIN_BYTES;
use crate::grants::{DirGrant, Grants, HttpGrant, KvGrant, KvOwner as Owner, PluginGrants, SecretGrant, TcpGrant};
use crate::secret::Secret;

/// Checks the entries of every plugin, without looking at any variable.
pub(in crate::config) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (name, plugin) in &config.plugin {
        check_http(plugin, &plugin_key(name, "http"), reader);
        for entry in &plugin.tcp {
            let is_unsaid = !entry.private && entry.to.class() == Some(crate::address::Class::Private);
            if is_unsaid {
                let message = format!(
                    "`{}` has a private address; write `{{ to = \"…\", private = true }}` if that is meant",
                    entry.to
                );
                reader.conflict(&[plugin_key(name, "tcp")], message);
            }
        }
        let in_config = plugin.secrets.iter().filter(|(_, entry)| entry.config).map(|(name, _)| name);
        for twice in in_config.filter(|secret| plugin.settings.contains_key(*secret)) {
            let keys = [plugin_key(name, "secrets").child(twice), plugin_key(name, "settings").child(twice)];
            reader.conflict(&keys, "both a setting and a secret with `config = true`; rename one of them");
        }
        let mut folders: Vec<&str> = plugin.dirs.iter().map(|dir| dir.guest.as_str()).collect();
        folders.sort_unstable();
        for twice in folders.windows(2).filter(|pair| pair[0] == pair[1]) {
            reader.conflict(&[plugin_key(name, "dirs")], format!("`{}` is given twice", twice[0]));
        }
    }
}

fn check_http(plugin: &PluginSettings, key: &Key, reader: &mut Reader<'_>) {
    let rules: Vec<Rule> = plugin.http.iter().map(|entry| rule(entry)).collect();
    for (entry, rule) in plugin.http.iter().zip(&rules) {
        if let Err(error) = rule.check() {
            reader.conflict(std::slice::from_ref(key), error.to_string());
        }
        if entry.methods.as_ref().is_some_and(Vec::is_empty) {
            let message = format!("`{}`: name at least one method, or leave `methods` out for all", entry.to);
            reader.conflict(std::slice::from_ref(key), message);
        }
        // Names and places are wrong or not whatever the values are.
        let Ok(made) = credentials(entry, |_| Ok::<Filled, Infallible>(Secret::new("a:b".to_owned()).into()));
        if let Err(error) = made.and_then(|credentials| credentials.check(rule)) {
            reader.conflict(std::slice::from_ref(key), format!("`{}`: {error}", entry.to));
        }
    }
    for (one, other) in ties(&rules.iter().collect::<Vec<_>>()) {
        if is_different(&plugin.http[one], &plugin.http[other]) {
            let message = format!(
                "`{}` is given twice with different terms, and neither is more specific; keep one, or give each a path or methods of its own",
                rules[one].to
            );
            reader.conflict(std::slice::from_ref(key), message);
        }
    }
}

fn is_different(one: &HttpEntry, other: &HttpEntry) -> bool {
    let terms = |entry: &HttpEntry| {
        (entry.headers.clone(), entry.query.clone(), entry.basic.clone(), entry.r#as, entry.private)
    };
    terms(one) != terms(other)
}

pub(super) fn rule(entry: &HttpEntry) -> Rule {
    let methods = match &entry.methods {
        Some(methods) => Methods::of(methods.iter().map(|method| method.0.clone()).collect()),
        None => Methods::any(),
    };
    Rule { to: entry.to.clone(), methods, is_private: entry.private }
}

/// The credentials of an entry, each value made by `value`.
fn credentials<E>(
    entry: &HttpEntry,
    mut value: impl FnMut(&Template) -> Result<Filled, E>,
) -> Result<Result<Credentials, CredentialError>, E> {
    let mut named = |templates: &BTreeMap<String, Template>| {
        templates
            .iter()
            .map(|(name, template)| Ok((name.clone(), value(template)?)))
            .collect::<Result<Vec<(String, Filled)>, E>>()
    };
    let (headers, query) = (named(&entry.headers)?, named(&entry.query)?);
    let basic = entry.basic.as_ref().map(&mut value).transpose()?;
    let identity = entry.r#as.map(|As::Login| Identity::Login);
    Ok(Credentials::new(headers, query, basic.as_ref(), identity))
}

/// The grants of every plugin that is not switched off.
pub(in crate::config) fn resolve(config: &Config, reader: &mut Reader<'_>) -> PluginGrants {
    let enabled = config.plugin.iter().filter(|(_, plugin)| plugin.enabled);
    enabled.map(|(name, plugin)| (name.to_string(), grants(name, plugin, reader))).collect()
}

fn grants(name: &PluginName, plugin: &PluginSettings, reader: &mut Reader<'_>) -> Grants {
    let http_key = plugin_key(name, "http");
    let mut http = Vec::new();
    for entry in &plugin.http {
        match credentials(entry, |template| filled(template, &http_key, reader)) {
            Ok(Ok(credentials)) => {
                if credentials.have_short_value() {
                    let message = format!(
                        "`{}`: a value of less than {MIN_BYTES} bytes is not looked for in answers, so a service that echoes it hands it to the plugin",
                        entry.to
                    );
                    reader.warn(&http_key, Fault::Conflict(message));
                }
                http.push(HttpGrant { rule: rule(entry), credentials });
            }
            Ok(Err(error)) => {
                reader.conflict(std::slice::from_ref(&http_key), format!("`{}`: {error}", entry.to));
            }
            // It is among the problems.
            Err(Unresolved) => {}
        }
    }
    Grants {
        http,
        tcp: plugin.tcp.iter().map(|entry| TcpGrant { to: entry.to.clone(), is_private: entry.private }).collect(),
        secrets: named(&plugin.secrets, &plugin_key(name, "secrets"), |entry, key| {
            Ok(SecretGrant { value: secret(&entry.value, key, reader)?, in_config: entry.config })
        }),
        env: named(&plugin.env, &plugin_key(name, "env"), |template, key| variable(template, key, reader)),
        kv: plugin.kv.as_ref().map(kv),
        dirs: plugin
            .dirs
            .iter()
            .map(|dir| DirGrant {
                host: dir.host.clone(),
                guest: dir.guest.as_str().to_owned(),
                is_writable: dir.is_writable(),
                quota_bytes: dir.quota.map(|quota| quota.bytes()),
            })
            .collect(),
        needs: Needs::default(),
    }
}

pub(super) fn kv(kv: &Kv) -> KvGrant {
    let per = match kv.per {
        KvOwner::Plugin => Owner::Plugin,
        KvOwner::Person => Owner::Person,
    };
    KvGrant { quota_bytes: kv.quota.bytes(), per }
}

/// The values of a table, without those that are among the problems.
fn named<K: ToString, E, V>(
    entries: &BTreeMap<K, E>,
    table: &Key,
    mut value: impl FnMut(&E, &Key) -> Result<V, Unresolved>,
) -> BTreeMap<String, V> {
    let named = |(name, entry): (&K, &E)| {
        let name = name.to_string();
        let value = value(entry, &table.child(&name)).ok()?;
        Some((name, value))
    };
    entries.iter().filter_map(named).collect()
}

/// A value of the environment, which ends where a C string does.
fn variable(template: &Template, key: &Key, reader: &mut Reader<'_>) -> Result<Secret, Unresolved> {
    let value = secret(template, key, reader)?;
    if value.reveal().contains('\0') {
        reader.conflict(std::slice::from_ref(key), "the value of a variable has no NUL character");
        return Err(Unresolved);
    }
    Ok(value)
}

/// A value that gives nothing, which the reader has reported.
struct Unresolved;

/// A value, with those of its variables, which are looked for by themselves.
fn filled(template: &Template, key: &Key, reader: &mut Reader<'_>) -> Result<Filled, Unresolved> {
    let text = secret(template, key, reader)?;
    let variables = template.values_trimmed(|name| reader.environment.lookup(name));
    Ok(Filled { text, variables: variables.into_iter().map(Secret::new).collect() })
}

fn secret(template: &Template, key: &Key, reader: &mut Reader<'_>) -> Result<Secret, Unresolved> {
    match template.resolve_trimmed(|name| reader.environment.lookup(name)) {
        Ok(text) => Ok(Secret::new(text)),
        Err(errors) => {
            let source = reader.source_of(key);
            errors.into_iter().for_each(|error| reader.problem(&source, key, error.into()));
            Err(Unresolved)
        }
    }
}

fn plugin_key(name: &PluginName, key: &str) -> Key {
    Key::from("plugin").child(name.as_str()).child(key)
}
