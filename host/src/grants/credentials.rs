//! Credentials that a guest does not hold: the host puts them into the requests of one entry, in place of anything of
//! the same name that the guest has sent.
//!
//! They belong to one request. A redirect is the guest's to follow, and is decided anew.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::headers::{ask_for_plain_answer, canonical, is_refused, remove_named};
use super::origin::HostRule;
use super::query;
use super::rule::Rule;
use super::scheme::Scheme;
use super::scrub::{MIN_BYTES, Net};
use crate::secret::Secret;

/// What the host puts into requests of an entry.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    headers: Vec<(HeaderName, HeaderValue)>,
    query: Vec<(String, Secret)>,
    /// The values to look for in an answer.
    secrets: Vec<Secret>,
    /// True if one of them is too short for that.
    have_short_value: bool,
    /// Made of them once, since it costs more than a request should.
    net: Arc<Net>,
    /// Whose token is put in, beside those values.
    identity: Option<Identity>,
    fingerprint: Fingerprint,
}

/// A text that is put in, with its variables replaced.
#[derive(Debug, Clone)]
pub struct Filled {
    /// All of it.
    pub text: Secret,
    /// What the variables in it stand for: that is the secret of `session=${KEY}`, and what a service echoes.
    pub variables: Vec<Secret>,
}

/// A text without a variable, which is a secret as a whole.
impl From<Secret> for Filled {
    fn from(text: Secret) -> Self {
        Self { text, variables: Vec::new() }
    }
}

/// Tells credentials apart, without being one: connections are kept by it. No credentials have one of zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// The net follows from the rest.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.headers.clone(), it.query.clone(), it.secrets.clone(), it.identity);
        parts(self) == parts(other)
    }
}

impl Eq for Credentials {}

/// The credentials of one call, a person's token (RFC 6750 §2.1) among them.
#[derive(Debug, Clone)]
pub struct Ready(Credentials);

/// A person's own token, in place of a value of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// `as = "login"`: the calling person's access token of the identity provider.
    Login,
}

/// The reason that credentials cannot be put in. No text has a value in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It is no header's name.
    #[error("`{0}` is no name of a header")]
    HeaderName(String),
    /// It is a header of the connection.
    #[error("`{0}` is a header of the connection, which nobody sets")]
    Refused(String),
    /// The value has characters that no header has.
    #[error("the value of `{0}` has characters that no header has, such as an end of line")]
    HeaderValue(String),
    /// Two of them would be in one header or parameter.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// A parameter without a name.
    #[error("a parameter of the query has a name")]
    NoName,
    /// A user name and a password without the colon between them (RFC 7617 §2).
    #[error("write user and password with a colon between them: `${{USER}}:${{PASSWORD}}`")]
    Basic,
    /// Plain http over a network that others see.
    #[error("a credential is sent over https only, or over plain http to a `private` host or this machine")]
    PlainHttp,
    /// A person's token, and more than one host that would get it.
    #[error("a person's token goes to one https host that is written in full")]
    IdentityHost,
    /// A call of nobody, where a person's token would be put in.
    #[error("the call is no person's, and a person's token is to be sent")]
    NoPerson,
}

impl Credentials {
    /// Makes a value of each entry, their variables replaced.
    ///
    /// # Errors
    /// A name or a value cannot stand in a request, or two of them are one.
    pub fn new(
        headers: impl IntoIterator<Item = (String, Filled)>,
        query: impl IntoIterator<Item = (String, Filled)>,
        basic: Option<&Filled>,
        identity: Option<Identity>,
    ) -> Result<Self, CredentialError> {
        let mut credentials = Self { identity, ..Self::default() };
        if identity.is_some() {
            credentials.expect_free(AUTHORIZATION.as_str(), basic.is_some())?;
        }
        for (name, value) in headers {
            let header = header_name(&name)?;
            let taken = canonical(header.as_str()) == AUTHORIZATION.as_str() && (basic.is_some() || identity.is_some());
            credentials.expect_free(header.as_str(), taken)?;
            credentials.add_header(header, value.text.reveal())?;
            let parts = parts_of(&value.text);
            credentials.look_for(parts, &value.variables);
        }
        for (name, value) in query {
            let Filled { text, variables } = value;
            let is_same = |other: &(String, Secret)| query::canonical(&other.0) == query::canonical(&name);
            match query::canonical(&name).is_empty() {
                true => return Err(CredentialError::NoName),
                false if credentials.query.iter().any(is_same) => return Err(CredentialError::Twice(name)),
                false => {}
            }
            credentials.look_for(vec![text.clone()], &variables);
            credentials.query.push((name, text));
        }
        if let Some(basic) = basic {
            let (user, password) = basic.text.reveal().split_once(':').ok_or(CredentialError::Basic)?;
            let encoded = STANDARD.encode(basic.text.reveal());
            credentials.add_header(AUTHORIZATION, &format!("Basic {encoded}"))?;
            // Some services take their key for the user, and no password (RFC 7617 §2 allows an empty one).
            let key = if password.is_empty() { user } else { password };
            credentials.have_short_value |= key.len() < MIN_BYTES;
            credentials.secrets.extend([user, password, &encoded].map(|text| Secret::new(text.to_owned())));
            credentials.secrets.extend(basic.variables.iter().cloned());
        }
        credentials.net = Arc::new(Net::new(&credentials.secrets));
        credentials.fingerprint = credentials.digest();
        Ok(credentials)
    }

    /// Checks that these may go where an entry leads.
    ///
    /// # Errors
    /// Others could read them on their way, or they would go to hosts that nobody has named.
    pub fn check(&self, rule: &Rule) -> Result<(), CredentialError> {
        if self.is_none() {
            return Ok(());
        }
        if rule.to.scheme() == Scheme::Http && !rule.is_near() {
            return Err(CredentialError::PlainHttp);
        }
        let is_one_https_host = rule.to.scheme() == Scheme::Https && matches!(rule.to.host(), HostRule::Host(_));
        if self.identity.is_some() && !is_one_https_host {
            return Err(CredentialError::IdentityHost);
        }
        Ok(())
    }

    /// True if nothing is put in.
    pub fn is_none(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty() && self.identity.is_none()
    }

    /// True for values that are too short to be found in an answer, of which an operator is warned.
    pub fn have_short_value(&self) -> bool {
        self.have_short_value
    }

    /// Adds a text's own parts, and what its variables stand for. Where it has variables, these are what matters: the
    /// rest is written in the configuration, and may be as short as `v=`.
    fn look_for(&mut self, parts: Vec<Secret>, variables: &[Secret]) {
        let is_short = |secrets: &[Secret]| secrets.iter().any(|secret| secret.reveal().len() < MIN_BYTES);
        self.have_short_value |= is_short(if variables.is_empty() { &parts } else { variables });
        self.secrets.extend(parts);
        self.secrets.extend(variables.iter().cloned());
    }

    /// Whose token is put in.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// What is put into the requests of one call. `token` is that of the calling person, if there is one.
    ///
    /// # Errors
    /// A person's token is to be put in, and there is none, or one that no header can hold.
    pub fn of_call(&self, token: Option<&Secret>) -> Result<Ready, CredentialError> {
        let mut ready = self.clone();
        if self.identity == Some(Identity::Login) {
            let token = token.ok_or(CredentialError::NoPerson)?;
            ready.add_header(AUTHORIZATION, &format!("Bearer {}", token.reveal()))?;
            ready.secrets.push(token.clone());
            ready.net = Arc::new(Net::new(&ready.secrets));
            ready.fingerprint = ready.digest();
        }
        Ok(Ready(ready))
    }

    fn digest(&self) -> Fingerprint {
        if self.headers.is_empty() && self.query.is_empty() {
            return Fingerprint::default();
        }
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part);
        };
        for (name, value) in &self.headers {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        add(b"?");
        for (name, value) in &self.query {
            add(name.as_bytes());
            add(value.reveal().as_bytes());
        }
        Fingerprint(*hasher.finalize().as_bytes())
    }

    fn expect_free(&self, name: &str, is_taken: bool) -> Result<(), CredentialError> {
        let is_same = |(other, _): &(HeaderName, HeaderValue)| canonical(other.as_str()) == canonical(name);
        match is_taken || self.headers.iter().any(is_same) {
            true => Err(CredentialError::Twice(name.to_owned())),
            false => Ok(()),
        }
    }

    fn add_header(&mut self, name: HeaderName, value: &str) -> Result<(), CredentialError> {
        let mut header =
            HeaderValue::from_str(value).map_err(|_| CredentialError::HeaderValue(name.as_str().to_owned()))?;
        header.set_sensitive(true);
        self.headers.push((name, header));
        Ok(())
    }
}

impl Ready {
    /// True if nothing is put in.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The net for the answer, in which the values must not be.
    pub fn net(&self) -> &Arc<Net> {
        &self.0.net
    }

    /// Tells these apart from others.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Puts everything into a request's headers and into its path and query, which are text as it is sent.
    pub fn put_in(&self, headers: &mut HeaderMap, path_and_query: &mut String) {
        if self.is_none() {
            return;
        }
        ask_for_plain_answer(headers);
        for (name, _) in &self.0.headers {
            remove_named(headers, name.as_str());
        }
        for (name, value) in &self.0.headers {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.0.query {
            *path_and_query = query::with(path_and_query, name, value.reveal());
        }
    }
}

fn header_name(name: &str) -> Result<HeaderName, CredentialError> {
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CredentialError::HeaderName(name.to_owned()))?;
    let is_of_a_body = canonical(name) == "content-length";
    if is_refused(name) || is_of_a_body {
        return Err(CredentialError::Refused(name.to_owned()));
    }
    Ok(header)
}

/// The secret within a header's value, too: what follows the scheme of `Bearer …` is what a service echoes.
fn parts_of(value: &Secret) -> Vec<Secret> {
    let inner = value.reveal().split_once(' ').map(|(_, inner)| Secret::new(inner.trim().to_owned()));
    inner.into_iter().chain([value.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, Filled)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), secret(value).into())).collect()
    }

    fn made(headers: &[(&str, &str)], query: &[(&str, &str)], basic: Option<&str>) -> Result<Credentials, String> {
        let basic = basic.map(|text| Filled::from(secret(text)));
        Credentials::new(named(headers), named(query), basic.as_ref(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn headers_of_the_guest_give_way_in_every_spelling() {
        let credentials = made(&[("X-Api-Key", "hunter2")], &[], None).unwrap();
        let mut headers = HeaderMap::new();
        for name in ["x-api-key", "X_API_KEY", "x-api_key", "accept"] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("guest"));
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("again"));
        }
        let mut path = "/v1?x_api_key=1".to_owned();
        credentials.of_call(None).unwrap().put_in(&mut headers, &mut path);
        assert_eq!(path, "/v1?x_api_key=1");
        let lines: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected =
            [("accept", "guest"), ("accept", "again"), ("accept-encoding", "identity"), ("x-api-key", "hunter2")];
        assert_eq!(lines.len(), expected.len());
        assert!(expected.iter().all(|line| lines.contains(line)), "{lines:?}");
    }

    #[test]
    fn a_request_without_credential_is_left_alone() {
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_static("bytes=0-1"));
        let mut path = "/a%20b?c".to_owned();
        Credentials::default().of_call(None).unwrap().put_in(&mut headers, &mut path);
        assert_eq!((headers.len(), path.as_str()), (1, "/a%20b?c"));
    }

    #[test]
    fn user_and_password() {
        let credentials = made(&[], &[], Some("Aladdin:open sesame")).unwrap();
        let (mut headers, mut path) = (HeaderMap::new(), "/".to_owned());
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer guest"));
        credentials.of_call(None).unwrap().put_in(&mut headers, &mut path);
        // RFC 7617 §2.
        assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let answer = credentials.of_call(None).unwrap().net().scrub(b"QWxhZGRpbjpvcGVuIHNlc2FtZQ== open sesame");
        assert_eq!(answer, b"**************************** open sesame");
        assert!(credentials.have_short_value());
        let long = made(&[("X-Key", "Token sixteen-letters!")], &[], Some("a:another of sixteen")).unwrap();
        assert!(!long.have_short_value());
        assert_eq!(long.of_call(None).unwrap().net().scrub(b"sixteen-letters!."), b"****************.");
    }

    #[test]
    fn the_values_of_variables_are_looked_for() {
        const KEY: &str = "sixteen-letters!";
        let filled = |text: &str, variables: &[&str]| Filled {
            text: secret(&text.replace('@', KEY)),
            variables: variables.iter().map(|variable| secret(variable)).collect(),
        };
        let cookie = ("Cookie".to_owned(), filled("session=@; v=1", &[KEY]));
        let token = ("Authorization".to_owned(), filled("Token token=\"@\"", &[KEY]));
        let account = ("X-Key".to_owned(), filled("acct:@", &[KEY]));
        let mut made: Vec<Credentials> = [cookie, token, account]
            .into_iter()
            .map(|header| Credentials::new([header], [], None, None).unwrap())
            .collect();
        made.push(Credentials::new([], [("key".to_owned(), filled("a.@", &[KEY]))], None, None).unwrap());
        for basic in ["@:", "user:@", "@:another of sixteen"] {
            made.push(Credentials::new([], [], Some(&filled(basic, &[])), None).unwrap());
            made.push(Credentials::new([], [], Some(&filled(basic, &[KEY])), None).unwrap());
        }
        for credentials in made {
            let ready = credentials.of_call(None).unwrap();
            assert_eq!(ready.net().scrub(b"{\"it\":\"sixteen-letters!\"}"), b"{\"it\":\"****************\"}");
            assert!(!credentials.have_short_value(), "{credentials:?}");
        }
        let short = ("X-Key".to_owned(), filled("a long beginning: hunter2", &["hunter2"]));
        assert!(Credentials::new([short], [], None, None).unwrap().have_short_value());
    }

    #[test]
    fn mistakes_name_no_value() {
        for (found, expected) in [
            (made(&[("X Key", "hunter2")], &[], None), "`X Key` is no name of a header"),
            (made(&[("Host", "hunter2")], &[], None), "`Host` is a header of the connection, which nobody sets"),
            (made(&[("TE", "hunter2")], &[], None), "`TE` is a header of the connection, which nobody sets"),
            (
                made(&[("Content_Length", "hunter2")], &[], None),
                "`Content_Length` is a header of the connection, which nobody sets",
            ),
            (
                made(&[("X-Key", "hunter2\r\nX-Other: a")], &[], None),
                "the value of `x-key` has characters that no header has, such as an end of line",
            ),
            (made(&[("X-Key", "hunter2"), ("x_key", "b")], &[], None), "`x_key` is given twice"),
            (made(&[("authorization", "hunter2")], &[], Some("a:b")), "`authorization` is given twice"),
            (made(&[], &[("api-key", "hunter2"), ("API_KEY", "b")], None), "`API_KEY` is given twice"),
            (made(&[], &[("", "hunter2")], None), "a parameter of the query has a name"),
            (
                made(&[], &[], Some("hunter2")),
                "write user and password with a colon between them: `${USER}:${PASSWORD}`",
            ),
        ] {
            assert_eq!(found.unwrap_err(), expected);
        }
        let login = Credentials::new(named(&[("Authorization", "x")]), [], None, Some(Identity::Login));
        assert_eq!(login.unwrap_err(), CredentialError::Twice("authorization".into()));
        let login = Credentials::new([], [], Some(&secret("a:b").into()), Some(Identity::Login));
        assert_eq!(login.unwrap_err(), CredentialError::Twice("authorization".into()));
    }

    #[test]
    fn a_credential_goes_where_nobody_else_reads_it() {
        let credentials = made(&[("X-Key", "k")], &[], None).unwrap();
        let login = Credentials::new([], [], None, Some(Identity::Login)).unwrap();
        for (entry, is_private, key, person) in [
            ("https://a.example", false, Ok(()), Ok(())),
            ("https://*.example.com", false, Ok(()), Err(CredentialError::IdentityHost)),
            ("http://a.example", false, Err(CredentialError::PlainHttp), Err(CredentialError::PlainHttp)),
            ("http://a.internal", true, Ok(()), Err(CredentialError::IdentityHost)),
            ("http://localhost:9200", false, Ok(()), Err(CredentialError::IdentityHost)),
            ("https://10.0.0.0/8", true, Ok(()), Err(CredentialError::IdentityHost)),
        ] {
            let rule = Rule { is_private, ..Rule::to(entry.parse().unwrap()) };
            assert_eq!(credentials.check(&rule), key, "{entry}");
            assert_eq!(login.check(&rule), person, "{entry}");
            assert_eq!(Credentials::default().check(&rule), Ok(()), "{entry}");
        }
    }

    #[test]
    fn a_persons_token_is_theirs_alone() {
        let login = Credentials::new([], [], None, Some(Identity::Login)).unwrap();
        let (mut headers, mut path) = (HeaderMap::new(), "/".to_owned());
        let ready = login.of_call(Some(&secret("alices-token"))).unwrap();
        ready.put_in(&mut headers, &mut path);
        assert_eq!(headers[AUTHORIZATION], "Bearer alices-token");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(ready.net().scrub(b"of alices-token, hers"), b"of alices-token, hers");
        let long = login.of_call(Some(&secret("alices-longer-token"))).unwrap();
        assert_eq!(long.net().scrub(b"of alices-longer-token"), b"of *******************");
        assert!(!format!("{ready:?}").contains("alices-token"));
        assert_eq!(login.of_call(None).unwrap_err(), CredentialError::NoPerson);
        assert!(login.of_call(Some(&secret("a\nb"))).is_err());
    }
}
