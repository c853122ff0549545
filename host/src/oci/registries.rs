//! What the operator has said about registries: mirrors, realms, plain http, and the packages of each.

use std::collections::BTreeMap;

use url::{Host, Url};

use super::error::OciError;
use crate::loopback::is_loopback_url;

/// Registries by host, as [`super::reference::host_of`] spells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registries(pub(crate) BTreeMap<String, Registry>);

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registry {
    /// A registry with the same content, which is asked first.
    pub(crate) mirror: Option<String>,
    /// Further hosts, with or without a port, that take logins for it.
    pub(crate) realms: Vec<String>,
    /// It speaks plain http.
    pub(crate) is_plain: bool,
    /// The namespaces of packages whose registry its `.well-known` document names.
    pub(crate) packages: Vec<String>,
}

impl Registries {
    /// The registries to ask for something of `host`, in this order: a mirror, and then itself.
    pub(crate) fn places<'h>(&'h self, host: &'h str) -> impl Iterator<Item = &'h str> {
        let mirror = self.0.get(host).and_then(|registry| registry.mirror.as_deref());
        mirror.into_iter().chain([host])
    }

    /// The URL of a path of a registry. It is https, but for loopback and where the operator says otherwise.
    pub(crate) fn url(&self, host: &str, path: &str) -> Result<Url, OciError> {
        let wrong = || OciError::Manifest(format!("`{host}` is no host"));
        let mut url = Url::parse(&format!("https://{host}/")).map_err(|_| wrong())?;
        if self.is_plain(host) {
            // The port of https would be dropped as the usual one.
            url = Url::parse(&format!("http://{host}/")).map_err(|_| wrong())?;
        }
        url.set_path(path);
        Ok(url)
    }

    /// The host that has the `.well-known` document of a namespace.
    ///
    /// # Errors
    /// None has, or several.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Result<&str, OciError> {
        let mut hosts = self.0.iter().filter(|(_, registry)| registry.packages.iter().any(|of| of == namespace));
        match (hosts.next(), hosts.next()) {
            (Some((host, _)), None) => Ok(host),
            (None, _) => Err(OciError::Package(format!(
                "no registry has the packages of `{namespace}`: write `packages = [\"{namespace}\"]` in the `[registry.\"HOST\"]` of its owner's host"
            ))),
            (Some((one, _)), Some((other, _))) => Err(OciError::Package(format!(
                "both `{one}` and `{other}` have the packages of `{namespace}`: take it from one of them"
            ))),
        }
    }

    /// Checks the URL that a registry's logins would be sent to.
    ///
    /// # Errors
    /// It is neither of that registry's host nor listed, or not https where it has to be.
    pub(crate) fn check_realm(&self, host: &str, realm: &Url) -> Result<(), OciError> {
        let own = self.url(host, "/")?;
        let name = realm.host_str().unwrap_or_default();
        let with_port = realm.port().map(|port| format!("{name}:{port}"));
        let listed = self.0.get(host).map(|registry| registry.realms.as_slice()).unwrap_or_default();
        let is_listed = listed.iter().any(|listed| listed == name || Some(listed) == with_port.as_ref());
        if !(own.host_str() == Some(name) || is_listed) {
            let realm = crate::sanitize::cut(&crate::sanitize::escape(name), 255);
            return Err(OciError::Realm { host: host.to_owned(), realm });
        }
        let is_local = is_loopback_url(realm) && is_loopback_url(&own);
        let has_user = !realm.username().is_empty() || realm.password().is_some();
        match realm.scheme() {
            "https" if !has_user => Ok(()),
            "http" if is_local && !has_user => Ok(()),
            _ => Err(OciError::PlainRealm { host: host.to_owned() }),
        }
    }

    /// Checks the target of a redirect of a registry.
    ///
    /// # Errors
    /// It is plain http from https, or plain http to where that is not said.
    pub(crate) fn check_redirect(&self, host: &str, from: &Url, to: &Url) -> Result<(), OciError> {
        let refused = |why| {
            let to = crate::sanitize::cut(&crate::sanitize::escape(to.host_str().unwrap_or_default()), 255);
            Err(OciError::Redirect { host: host.to_owned(), to, why })
        };
        if !to.username().is_empty() || to.password().is_some() {
            return refused("with a name or a password in the URL");
        }
        let authority = match (to.host_str(), to.port()) {
            (Some(name), Some(port)) => format!("{name}:{port}"),
            (name, _) => name.unwrap_or_default().to_owned(),
        };
        match (from.scheme(), to.scheme()) {
            (_, "https") => Ok(()),
            ("http", "http") if is_loopback_url(to) && is_loopback_url(from) => Ok(()),
            ("http", "http") if self.is_plain(&authority) && !is_loopback_url(to) => Ok(()),
            _ => refused("which is not https"),
        }
    }

    fn is_plain(&self, host: &str) -> bool {
        let is_said = self.0.get(host).is_some_and(|registry| registry.is_plain);
        let is_local = Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback_url(&url));
        is_said || is_local
    }
}

/// True if both URLs lead to the same server: scheme, host and port.
pub(crate) fn is_same_server(one: &Url, other: &Url) -> bool {
    let place = |url: &Url| {
        (url.scheme().to_owned(), url.host().map(|host: Host<&str>| host.to_owned()), url.port_or_known_default())
    };
    place(one) == place(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries() -> Registries {
        let of = |realms: &[&str], is_plain| Registry {
            realms: realms.iter().map(|&realm| realm.to_owned()).collect(),
            is_plain,
            ..Registry::default()
        };
        let far = ("registry.example".to_owned(), of(&["auth.example", "login.example:8443"], false));
        let plain = ("inner.example:5000".to_owned(), of(&[], true));
        Registries([far, plain].into_iter().collect())
    }

    #[test]
    fn logins_go_to_the_registry_and_to_listed_hosts_by_https() {
        let check = |host: &str, realm: &str| registries().check_realm(host, &realm.parse().unwrap()).is_ok();
        for (host, realm, is_allowed) in [
            ("registry.example", "https://registry.example/token", true),
            ("registry.example", "https://registry.example:8443/token", true),
            ("registry.example", "https://auth.example/token", true),
            ("registry.example", "https://auth.example:444/token", true),
            ("registry.example", "https://login.example:8443/token", true),
            ("registry.example", "https://login.example/token", false),
            ("registry.example", "http://registry.example/token", false),
            ("registry.example", "http://auth.example/token", false),
            ("registry.example", "https://evil.example/token", false),
            ("registry.example", "https://registry.example.evil.example/", false),
            ("registry.example", "https://user:pass@registry.example/token", false),
            ("registry.example", "http://127.0.0.1/token", false),
            ("inner.example:5000", "http://inner.example:5000/token", false),
            ("inner.example:5000", "https://inner.example/token", true),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("127.0.0.1:5000", "http://localhost:5001/token", false),
            ("other.example", "https://auth.example/token", false),
        ] {
            assert_eq!(check(host, realm), is_allowed, "{host} {realm}");
        }
    }

    #[test]
    fn redirects_never_leave_tls() {
        let check = |from: &str, to: &str| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            registries().check_redirect("registry.example", &from, &to).is_ok()
        };
        for (from, to, is_allowed) in [
            ("https://registry.example/a", "https://blobs.example/a", true),
            ("https://registry.example/a", "http://registry.example/a", false),
            ("https://registry.example/a", "http://127.0.0.1/a", false),
            ("https://registry.example/a", "http://inner.example:5000/a", false),
            ("https://registry.example/a", "file:///etc/passwd", false),
            ("https://registry.example/a", "https://u:p@blobs.example/a", false),
            ("http://inner.example:5000/a", "http://inner.example:5000/b", true),
            ("http://inner.example:5000/a", "http://127.0.0.1:6379/b", false),
            ("http://inner.example:5000/a", "http://other.example/b", false),
            ("http://127.0.0.1:5000/a", "http://127.0.0.1:5001/b", true),
        ] {
            assert_eq!(check(from, to), is_allowed, "{from} {to}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_and_where_it_is_said() {
        let scheme = |host: &str| registries().url(host, "/v2/").unwrap().scheme().to_owned();
        assert_eq!(scheme("registry.example"), "https");
        assert_eq!(scheme("inner.example:5000"), "http");
        assert_eq!(scheme("inner.example"), "https");
        assert_eq!(scheme("localhost:5000"), "http");
    }
}
