//! The grants of a plugin in a case of `tinymcp test`: those of the configuration, with something else in the place of
//! every secret, and those that the case's own stand-ins need.
//!
//! What the configuration says of requests decides as in a real call, so that a credential goes where it would go. Its
//! folders and sockets are this machine's and others', and are not granted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::header::AUTHORIZATION;

use super::entries::{As, HttpEntry, Kv};
use super::resolve::{kv, rule};
use crate::config::cases::Case;
use crate::config::keys::{PluginSettings, defaults};
use crate::config::template::Template;
use crate::grants::credentials::{Credentials, Filled, Identity};
use crate::grants::needs::Needs;
use crate::grants::origin::Origin;
use crate::grants::rule::{Methods, Rule};
use crate::grants::{DirGrant, Grants, HttpGrant, SecretGrant};
use crate::secret::Secret;

/// The name of the calling person's own token among the secrets of a case.
const LOGIN: &str = "login";

/// User and password, where the configuration has them without a variable.
const BASIC: &str = "stand-in-for-user:stand-in-for-password";

/// The grants in a case. Its folders begin at `directory`.
///
/// # Errors
/// A value of the case cannot stand where it would be put in.
pub fn grants(plugin: &PluginSettings, case: &Case, directory: &Path) -> Result<Grants, String> {
    let values = Values { case, used: RefCell::default() };
    let mut http = plugin.http.iter().map(|entry| values.http(entry)).collect::<Result<Vec<HttpGrant>, String>>()?;
    let env = plugin.env.iter().map(|(name, template)| (name.to_string(), values.variable(template))).collect();
    let mut secrets = BTreeMap::new();
    for (name, entry) in &plugin.secrets {
        let value = match case.secrets.get(name) {
            Some(_) => Secret::new(values.of(name)),
            None => values.fill(&entry.value, name).text,
        };
        secrets.insert(name.clone(), SecretGrant { value, in_config: entry.config });
    }
    // A secret that the configuration does not grant yet.
    for (name, value) in &case.secrets {
        if !secrets.contains_key(name) && !values.used.borrow().contains(name) {
            let value = Secret::new(value.as_str().to_owned());
            secrets.insert(name.clone(), SecretGrant { value, in_config: false });
        }
    }
    for stand_in in &case.http {
        let (method, target) = (&stand_in.method.0, stand_in.target());
        let so_far = Grants { http: http.clone(), ..Grants::default() };
        if so_far.decide(method, target).is_err() {
            // Nothing is dialled, so that the kind of its address does not matter.
            let methods = Methods::of(vec![method.clone()]);
            let rule = Rule { to: Origin::of(target), methods, is_private: true };
            http.push(HttpGrant { rule, credentials: Credentials::default() });
        }
    }
    let dirs = case.dirs.iter().map(|(guest, host)| DirGrant {
        host: directory.join(host.as_str()),
        guest: guest.as_str().to_owned(),
        is_writable: false,
        quota_bytes: None,
    });
    Ok(Grants {
        http,
        tcp: Vec::new(),
        secrets,
        env,
        kv: Some(kv(plugin.kv.as_ref().unwrap_or(&defaults::<Kv>()))),
        dirs: dirs.collect(),
        needs: Needs::default(),
    })
}

/// The values of one case.
struct Values<'c> {
    case: &'c Case,
    /// The names of those that were asked for.
    used: RefCell<BTreeSet<String>>,
}

impl Values<'_> {
    /// What stands in for a secret: what the case says, or a text that tells what it stands for.
    fn of(&self, name: &str) -> String {
        self.used.borrow_mut().insert(name.to_owned());
        let given = self.case.secrets.get(name).map(|value| value.as_str().to_owned());
        given.unwrap_or_else(|| format!("stand-in-for-{name}"))
    }

    /// A value of the configuration with stand-ins for its variables; without any, it may be a secret as a whole, and is
    /// known by the name of its place.
    fn fill(&self, template: &Template, place: &str) -> Filled {
        if template.variables().next().is_none() {
            return Secret::new(self.of(place)).into();
        }
        let variables = self.variables(template);
        Filled { text: filled(template, &variables), variables: variables.into_values().map(Secret::new).collect() }
    }

    /// A variable of the plugin's environment, which is its operator's plain word where no variable of theirs is in it.
    fn variable(&self, template: &Template) -> Secret {
        filled(template, &self.variables(template))
    }

    fn variables(&self, template: &Template) -> BTreeMap<String, String> {
        template.variables().map(|name| (name.to_owned(), self.of(name))).collect()
    }

    /// An entry of `http` as the configuration has it, with stand-ins for what is put in.
    fn http(&self, entry: &HttpEntry) -> Result<HttpGrant, String> {
        let named = |templates: &BTreeMap<String, Template>| -> Vec<(String, Filled)> {
            templates.iter().map(|(name, template)| (name.clone(), self.fill(template, name))).collect()
        };
        let mut headers = named(&entry.headers);
        let basic = entry.basic.as_ref().map(|basic| match basic.variables().next() {
            Some(_) => self.fill(basic, BASIC),
            None => Secret::new(BASIC.to_owned()).into(),
        });
        let identity = match (entry.r#as, &self.case.r#as) {
            (Some(As::Login), Some(_)) => {
                let token = Secret::new(format!("Bearer {}", self.of(LOGIN)));
                headers.push((AUTHORIZATION.to_string(), token.into()));
                None
            }
            // Nobody's token is put in, and the request is refused.
            (Some(As::Login), None) => Some(Identity::Login),
            (None, _) => None,
        };
        let credentials = Credentials::new(headers, named(&entry.query), basic.as_ref(), identity);
        let credentials =
            credentials.map_err(|error| format!("`{}`: {error}; `secrets` of the case has the values", entry.to))?;
        Ok(HttpGrant { rule: rule(entry), credentials })
    }
}

fn filled(template: &Template, variables: &BTreeMap<String, String>) -> Secret {
    // Every variable of it is among them.
    Secret::new(template.resolve(|name| Ok(variables.get(name).map(String::as_str))).unwrap_or_default())
}
