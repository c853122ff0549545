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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::config::{Config, Environment, Invocation, Purpose, cases};
    use crate::grants::KvOwner;
    use crate::grants::target::Target;

    fn of(config: &str, case: &str) -> Result<Grants, String> {
        let environment = Environment::from_iter([("KEY", "the-operators-own"), ("BOTH", "user:the-operators-own")]);
        let text = format!("[plugin.p]\n{config}\n");
        let setup = Config::parse(&text, &Invocation::new(Purpose::Look), &environment).unwrap();
        let text = format!("[[case]]\nname = \"c\"\ntool = \"t\"\ncontains = \"\"\n{case}\n");
        let cases = cases::parse(Path::new("t.toml"), &text).unwrap();
        grants(setup.config.plugin("p"), &cases[0], Path::new("tests"))
    }

    /// The credentials that are put into a GET of a path.
    fn put_in(grants: &Grants, host: &str) -> Result<(HeaderMap, String), String> {
        let target = Target::parse(Some("https"), Some(host), Some("/")).unwrap();
        let entry = grants.decide(&Method::GET, &target).map_err(|denial| denial.to_string())?;
        let ready = entry.credentials.of_call(None).map_err(|error| error.to_string())?;
        let (mut headers, mut path) = (HeaderMap::new(), "/".to_owned());
        ready.put_in(&mut headers, &mut path);
        Ok((headers, path))
    }

    const HTTP: &str = r#"http = [
        { to = "https://a.example", headers = { Authorization = "Bearer ${KEY}", x-plain = "hunter22" }, query = { k = "${KEY}" } },
        { to = "https://b.example", basic = "ada:hunter22" },
        { to = "https://c.example", as = "login" },
    ]"#;

    #[test]
    fn credentials_go_where_they_would_go_and_are_others() {
        let grants = of(HTTP, "as = \"ada\"\nsecrets = { x-plain = \"mine\" }").unwrap();
        let (headers, path) = put_in(&grants, "a.example").unwrap();
        assert_eq!(headers["authorization"], "Bearer stand-in-for-KEY");
        assert_eq!((headers["x-plain"].to_str().unwrap(), path.as_str()), ("mine", "/?k=stand-in-for-KEY"));
        let (headers, _) = put_in(&grants, "b.example").unwrap();
        assert!(headers["authorization"].to_str().unwrap().starts_with("Basic c3RhbmQtaW4"), "{headers:?}");
        assert_eq!(put_in(&grants, "c.example").unwrap().0["authorization"], "Bearer stand-in-for-login");
        // Nobody has no token, as in a real call.
        assert!(put_in(&of(HTTP, "").unwrap(), "c.example").is_err());
        assert!(put_in(&grants, "z.example").is_err());
        // What is read by name is none of the operator's either.
        assert!(grants.secrets.is_empty(), "a header's value is no secret that the plugin reads");
    }

    #[test]
    fn a_value_that_cannot_be_put_in_is_the_cases_to_give() {
        let http = "http = [{ to = \"https://d.example\", basic = \"${BOTH}\" }]";
        assert!(of(http, "").unwrap_err().contains("`https://d.example`: write user and password with a colon"));
        assert!(of(http, "secrets = { BOTH = \"a:b\" }").is_ok());
    }

    #[test]
    fn state_is_granted_and_sockets_are_not() {
        let grants = of("kv = { per = \"person\" }\ntcp = [\"db.example.com:5432\"]\nsecrets = { A = \"${KEY}\", B = \"hunter22\" }", "dirs = { \"/data\" = \"d\" }").unwrap();
        assert_eq!(grants.kv.map(|kv| kv.per), Some(KvOwner::Person));
        assert!(grants.tcp.is_empty());
        assert_eq!(grants.dirs[0].host, Path::new("tests/d"));
        let secrets: Vec<&str> =
            ["A", "B"].into_iter().filter_map(|name| Some(grants.secret(name)?.reveal())).collect();
        assert_eq!(secrets, ["stand-in-for-KEY", "stand-in-for-B"]);
        assert_eq!(of("", "").unwrap().kv.map(|kv| (kv.per, kv.quota_bytes)), Some((KvOwner::Plugin, 1 << 20)));
    }

    #[test]
    fn what_is_stood_in_for_is_granted_by_the_method_and_nothing_else_is() {
        let grants = of(HTTP, "[[case.http]]\nmethod = \"POST\"\nurl = \"https://new.example/x\"\n[[case.http]]\nurl = \"https://a.example/y\"").unwrap();
        assert_eq!(grants.http.len(), 4, "the configuration decides where it has an entry");
        let decided = |method: Method| {
            let target = Target::parse(Some("https"), Some("new.example"), Some("/x")).unwrap();
            grants.decide(&method, &target).is_ok()
        };
        assert!(decided(Method::POST) && !decided(Method::GET));
    }
}
