//! The switches of the stand-in, first of all the provider that it resembles.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// A provider to resemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Issuer with a slash; the audience decides between JWT and opaque access tokens.
    Auth0,
    /// An allow-list of scopes, no `aud`, `token_info`, an id_token with `openid` only.
    Clerk,
    /// No OpenID Connect: form-encoded answers, errors with status 200, `/user` and `/user/emails`.
    GitHub,
    /// A provider that does what the specifications say, and nothing else.
    Oidc,
}

/// Somebody with an account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The subject; derived from the name when it is empty.
    pub subject: String,
    /// Their address; none without one.
    pub email: Option<String>,
    /// True if the address is verified.
    pub email_verified: bool,
    /// The permissions that an access token carries.
    pub permissions: Vec<String>,
    /// Further claims.
    pub claims: BTreeMap<String, Value>,
}

/// `expires_in` of token answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiresIn {
    /// A number, as RFC 6749 has it.
    Number,
    /// A string of digits.
    Text,
    /// Nothing.
    Absent,
}

/// A claim that should have one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The right value.
    Right,
    /// Another value.
    Wrong,
    /// No value.
    Missing,
}

/// The signature of an id_token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// With the first published key.
    Right,
    /// With a key that is not published, under the name of one that is.
    Foreign,
    /// HS256 with the client secret.
    Symmetric,
    /// `alg` none.
    None,
}

/// All switches. They may change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider that it resembles.
    pub flavour: Flavour,
    /// The only client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The client's callbacks.
    pub redirect_uris: Vec<String>,
    /// The accounts with something special. Everybody else has one all the same.
    pub accounts: BTreeMap<String, Account>,
    /// Known audiences (Auth0).
    pub audiences: Vec<String>,
    /// Scopes that the client may ask for; empty for all (Clerk).
    pub scopes: Vec<String>,
    /// True if `offline_access` gives a refresh token.
    pub allow_offline: bool,
    /// True if access tokens are JWTs though no audience was asked for (Clerk).
    pub jwt_access: bool,
    /// True if refreshing gives a new refresh token and ends the old one.
    pub rotate: bool,
    /// The time for which a token that was just replaced is still good.
    pub overlap: Duration,
    /// Life of access tokens in seconds.
    pub access_seconds: u64,
    /// Keys that are published, by their names in `fixtures/keys`; the first one signs.
    pub keys: Vec<&'static str>,
    /// `iss` in the callback.
    pub callback_issuer: Claim,
    /// True if discovery promises `iss`.
    pub promises_issuer: bool,
    /// The issuer that discovery names, when it is not the right one.
    pub discovery_issuer: Option<String>,
    /// `iss` of id_tokens.
    pub token_issuer: Claim,
    /// `aud` of id_tokens.
    pub audience: Claim,
    /// Further audiences of id_tokens.
    pub extra_audience: Vec<String>,
    /// `nonce` of id_tokens.
    pub nonce: Claim,
    /// `sub` of id_tokens.
    pub subject: Claim,
    /// The signature of id_tokens.
    pub signature: Signature,
    /// True if there are no id_tokens though `openid` was asked for.
    pub omits_id_token: bool,
    /// Seconds by which its clock is ahead.
    pub skew_seconds: i64,
    /// `expires_in`.
    pub expires_in: ExpiresIn,
    /// True if token answers have no `scope`.
    pub omits_scope: bool,
    /// An error that every authorization ends with: code and description.
    pub refuses: Option<(String, String)>,
    /// An error that every refresh ends with: status, code.
    pub refuses_refresh: Option<(u16, String)>,
    /// People whose every refresh is answered so: status and body.
    pub refuses_refresh_of: BTreeMap<String, (u16, Value)>,
    /// Members of the discovery document with other values.
    pub discovery_members: BTreeMap<String, Value>,
}

impl Settings {
    fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            client_id: "upstream-client-id".to_owned(),
            client_secret: "upstream/secret+with:odd characters".to_owned(),
            redirect_uris: Vec::new(),
            accounts: BTreeMap::new(),
            audiences: Vec::new(),
            scopes: Vec::new(),
            allow_offline: true,
            jwt_access: false,
            rotate: flavour != Flavour::GitHub,
            overlap: Duration::ZERO,
            access_seconds: 3600,
            keys: vec!["first"],
            callback_issuer: if flavour == Flavour::Oidc { Claim::Right } else { Claim::Missing },
            promises_issuer: flavour == Flavour::Oidc,
            discovery_issuer: None,
            token_issuer: Claim::Right,
            audience: Claim::Right,
            extra_audience: Vec::new(),
            nonce: Claim::Right,
            subject: Claim::Right,
            signature: Signature::Right,
            omits_id_token: false,
            skew_seconds: 0,
            expires_in: ExpiresIn::Number,
            omits_scope: false,
            refuses: None,
            refuses_refresh: None,
            refuses_refresh_of: BTreeMap::new(),
            discovery_members: BTreeMap::new(),
        }
    }

    /// An Auth0 tenant with one API, `https://api.example`.
    pub fn auth0() -> Self {
        Self { audiences: vec!["https://api.example".to_owned()], ..Self::new(Flavour::Auth0) }
    }

    /// A Clerk application that may ask for `profile` and `email`.
    pub fn clerk() -> Self {
        let scopes = ["profile", "email"].map(str::to_owned).to_vec();
        Self { scopes, ..Self::new(Flavour::Clerk) }
    }

    /// An OAuth application at GitHub.
    pub fn github() -> Self {
        Self::new(Flavour::GitHub)
    }

    /// A provider with nothing special.
    pub fn oidc() -> Self {
        Self::new(Flavour::Oidc)
    }

    /// The issuer of a provider at a URL.
    pub(super) fn issuer(&self, url: &str) -> String {
        match self.flavour {
            Flavour::Auth0 => format!("{url}/"),
            Flavour::Clerk | Flavour::GitHub | Flavour::Oidc => url.to_owned(),
        }
    }

    /// The account of a name: everybody has one, with a verified address at `example.com`.
    pub(super) fn account(&self, name: &str) -> Account {
        let mut account = self.accounts.get(name).cloned().unwrap_or_else(|| Account::of(name));
        if account.subject.is_empty() {
            account.subject = match self.flavour {
                Flavour::Auth0 => format!("auth0|{name}"),
                Flavour::Clerk => format!("user_{name}"),
                // Numbers, as there: the same name has the same one.
                Flavour::GitHub => name.bytes().fold(7_u64, |sum, byte| sum * 31 + u64::from(byte)).to_string(),
                Flavour::Oidc => name.to_owned(),
            };
        }
        account
    }
}

impl Account {
    /// An account with a verified address at `example.com`.
    pub fn of(name: &str) -> Self {
        Self { email: Some(format!("{name}@example.com")), email_verified: true, ..Self::default() }
    }

    /// The same with an address that nobody has verified.
    #[must_use]
    pub fn unverified(mut self) -> Self {
        self.email_verified = false;
        self
    }

    /// The same with permissions.
    #[must_use]
    pub fn with(mut self, permissions: &[&str]) -> Self {
        self.permissions = permissions.iter().map(|permission| (*permission).to_owned()).collect();
        self
    }
}
