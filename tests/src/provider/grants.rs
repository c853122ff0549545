//! Codes and tokens of the stand-in: their grants, holders and ends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::encoding::{random, sha256_base64url};

/// Life of a code.
const CODE_LIFE: Duration = Duration::from_secs(60);

/// An authorization that a person has given.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The name with which the person logged in.
    pub person: String,
    /// The redirect URI to which the code was sent.
    pub redirect_uri: String,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// The audience that was asked for.
    pub audience: Option<String>,
    /// The PKCE challenge (S256).
    pub challenge: Option<String>,
    /// The nonce for the id_token.
    pub nonce: Option<String>,
}

/// All codes and tokens that were ever given out.
#[derive(Default)]
pub struct Grants {
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    families: u64,
}

struct Code {
    authorization: Authorization,
    expires: Instant,
    family: u64,
    is_used: bool,
}

struct Access {
    authorization: Authorization,
    family: u64,
    expires: Instant,
    is_revoked: bool,
}

struct Refresh {
    authorization: Authorization,
    family: u64,
    replaced: Option<Instant>,
    is_revoked: bool,
}

/// The reason why a code or a refresh token is not taken, in words for the log.
pub type Refusal = &'static str;

impl Grants {
    /// Gives out a code.
    pub fn code(&mut self, authorization: Authorization) -> String {
        self.families += 1;
        let code = random("code");
        let expires = Instant::now() + CODE_LIFE;
        self.codes.insert(code.clone(), Code { authorization, expires, family: self.families, is_used: false });
        code
    }

    /// Takes a code once (RFC 6749 §4.1.3, RFC 7636 §4.6). A second use ends what the first gave (RFC 6749 §4.1.2).
    ///
    /// # Errors
    /// If it is unknown, used or expired, or comes with another redirect URI or verifier.
    pub fn redeem(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Result<(Authorization, u64), Refusal> {
        let code = self.codes.get_mut(code).ok_or("unknown code")?;
        let family = code.family;
        if std::mem::replace(&mut code.is_used, true) {
            self.end_family(family);
            return Err("code already used");
        }
        if code.expires < Instant::now() {
            return Err("code expired");
        }
        if code.authorization.redirect_uri != redirect_uri {
            return Err("another redirect_uri");
        }
        match (&code.authorization.challenge, verifier) {
            (Some(challenge), Some(verifier)) if *challenge == sha256_base64url(verifier) => {}
            (None, None) => {}
            _ => return Err("the verifier does not fit the challenge"),
        }
        Ok((code.authorization.clone(), family))
    }

    /// Notes an access token.
    pub fn access(&mut self, token: &str, authorization: Authorization, family: u64, seconds: u64) {
        let expires = Instant::now() + Duration::from_secs(seconds);
        self.access.insert(token.to_owned(), Access { authorization, family, expires, is_revoked: false });
    }

    /// Gives out a refresh token.
    pub fn refresh(&mut self, authorization: Authorization, family: u64) -> String {
        let token = random("refresh");
        self.refresh.insert(token.clone(), Refresh { authorization, family, replaced: None, is_revoked: false });
        token
    }

    /// The person of a refresh token, also of one that has ended.
    pub fn person_of(&self, token: &str) -> Option<&str> {
        self.refresh.get(token).map(|refresh| refresh.authorization.person.as_str())
    }

    /// Uses a refresh token. With rotation it is replaced by this, and good for the overlap only; a later use ends
    /// its whole family.
    ///
    /// # Errors
    /// If it is unknown, revoked or reused.
    pub fn renew(&mut self, token: &str, rotates: bool, overlap: Duration) -> Result<(Authorization, u64), Refusal> {
        let refresh = self.refresh.get_mut(token).ok_or("unknown refresh token")?;
        if refresh.is_revoked {
            return Err("refresh token revoked");
        }
        let family = refresh.family;
        if refresh.replaced.is_some_and(|replaced| replaced.elapsed() >= overlap) {
            self.end_family(family);
            return Err("refresh token reused");
        }
        if rotates && refresh.replaced.is_none() {
            refresh.replaced = Some(Instant::now());
        }
        Ok((refresh.authorization.clone(), family))
    }

    /// The authorization behind an access token that is good.
    pub fn holder(&self, token: &str) -> Option<&Authorization> {
        let access = self.access.get(token)?;
        (!access.is_revoked && access.expires > Instant::now()).then_some(&access.authorization)
    }

    /// Ends a token, and with a refresh token its family.
    pub fn revoke(&mut self, token: &str) {
        if let Some(access) = self.access.get_mut(token) {
            access.is_revoked = true;
        }
        if let Some(family) = self.refresh.get(token).map(|refresh| refresh.family) {
            self.end_family(family);
        }
    }

    /// Ends everything.
    pub fn revoke_all(&mut self) {
        (1..=self.families).for_each(|family| self.end_family(family));
    }

    /// Forgets codes and tokens that are over.
    pub(super) fn forget(&mut self) {
        let now = Instant::now();
        self.codes.retain(|_, code| code.expires > now);
        self.access.retain(|_, access| !access.is_revoked && access.expires > now);
        self.refresh.retain(|_, refresh| !refresh.is_revoked);
    }

    /// Every code and token.
    pub fn secrets(&self) -> Vec<String> {
        self.codes.keys().chain(self.access.keys()).chain(self.refresh.keys()).cloned().collect()
    }

    fn end_family(&mut self, family: u64) {
        self.access.values_mut().filter(|access| access.family == family).for_each(|access| access.is_revoked = true);
        self.refresh.values_mut().filter(|token| token.family == family).for_each(|token| token.is_revoked = true);
    }
}
