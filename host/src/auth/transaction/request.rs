//! An authorization under way: the validated request, and the values that are derived from its id.
//!
//! Invariant: until a person approves, nothing of it is stored. The request travels in the consent form, sealed; the
//! values for the provider and the browser are derived from its id, so that a second click gives the same.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::auth::tokens::Family;
use crate::auth::upstream::messages::UpstreamRequest;
use crate::clock::now_s;
use crate::store::Key;
use crate::vault::Vault;
use crate::view::View;

/// Life of a login under way, and of its cookies.
pub(in crate::auth) const LIFE_S: u64 = 600;

/// The purpose of the consent form's seal.
const FORM: &[u8] = b"consent form";

/// The id of an authorization: the time in hexadecimal, so that ids order by age, and 128 random bits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::auth) struct TransactionId(String);

impl TransactionId {
    pub(in crate::auth) fn new(now_s: u64) -> Self {
        Self(format!("{now_s:010x}{:032x}", rand::random::<u128>()))
    }

    /// One for a login of a device, whose row is then at the place of the device's: both are written together.
    fn beside(device: &Family, vault: &Vault, now_s: u64) -> Self {
        let place = device.row().place();
        let is_there = |id: &Self| Key::of(derived(vault, "state", id).as_bytes()).place() == place;
        std::iter::repeat_with(|| Self::new(now_s)).find(is_there).unwrap_or_else(|| Self::new(now_s))
    }

    /// The time of its beginning, in seconds since 1970.
    fn began_s(&self) -> u64 {
        self.0.get(..10).and_then(|time| u64::from_str_radix(time, 16).ok()).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An authorization request of which every part was checked.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::auth) struct ValidatedRequest {
    pub(in crate::auth) client_id: String,
    /// The client's name on pages.
    pub(in crate::auth) client_name: String,
    pub(in crate::auth) redirect_uri: String,
    /// The client's own state, byte by byte as it came.
    pub(in crate::auth) state: Option<String>,
    /// The challenge (RFC 7636), by S256.
    pub(in crate::auth) code_challenge: String,
    pub(in crate::auth) scopes: BTreeSet<String>,
    /// The view that the tokens are for.
    #[serde(default, skip_serializing_if = "View::is_main")]
    pub(in crate::auth) view: View,
    /// The device that the login is for (RFC 8628): then nobody is sent to a redirect URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) device: Option<Family>,
}

/// The purpose of a login. In the store, a client's request is as it was before there were others.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::auth) enum Purpose {
    /// Tokens for a client, whose request a person has approved.
    Client(ValidatedRequest),
    /// A session of the browser on this server's own pages.
    Browser(BrowserLogin),
}

/// A login on this server's own pages.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::auth) struct BrowserLogin {
    /// The path of the page that comes after it, one of this server's own.
    pub(in crate::auth) to: String,
    /// The provider was asked for a login of the last minutes, as an operator's acts need.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(in crate::auth) is_again: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Purpose {
    /// Whoever the login is for, in a log.
    pub(in crate::auth) fn client_name(&self) -> &str {
        match self {
            Self::Client(request) => &request.client_name,
            Self::Browser(_) => "the browser",
        }
    }
}

/// A request that waits for a person's decision.
#[derive(Serialize, Deserialize)]
pub(in crate::auth) struct Form {
    pub(in crate::auth) id: TransactionId,
    pub(in crate::auth) request: ValidatedRequest,
    /// The hash of the cookie that was set with the form.
    csrf: [u8; 32],
    expires_s: u64,
}

/// A form, and the value of the cookie that goes with it.
pub(in crate::auth) struct FreshForm {
    pub(in crate::auth) form: Form,
    pub(in crate::auth) csrf: String,
}

impl Form {
    pub(in crate::auth) fn fresh(request: ValidatedRequest, vault: &Vault) -> FreshForm {
        let now_s = now_s();
        let csrf = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let form = Self {
            id: match &request.device {
                Some(device) => TransactionId::beside(device, vault, now_s),
                None => TransactionId::new(now_s),
            },
            request,
            csrf: *blake3::hash(csrf.as_bytes()).as_bytes(),
            expires_s: now_s + LIFE_S,
        };
        FreshForm { form, csrf }
    }

    pub(in crate::auth) fn seal(&self, vault: &Vault) -> String {
        URL_SAFE_NO_PAD.encode(vault.seal(FORM, &serde_json::to_vec(self).expect("a form is JSON")))
    }

    /// Reads a form that this server made less than ten minutes ago.
    pub(in crate::auth) fn open(vault: &Vault, sealed: &str) -> Option<Self> {
        let plain = vault.open(FORM, &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        let form: Self = serde_json::from_slice(&plain).ok()?;
        (form.expires_s > now_s()).then_some(form)
    }

    /// True for the cookie that was set with this very form.
    pub(in crate::auth) fn belongs_to(&self, cookie: &str) -> bool {
        blake3::hash(cookie.as_bytes()) == blake3::Hash::from_bytes(self.csrf)
    }
}

/// The cookie by which the browser that approved is known again.
pub(in crate::auth) fn binding(vault: &Vault, id: &TransactionId) -> String {
    derived(vault, "binding", id)
}

/// The values for the provider. Until it gets them, this server alone knows them.
pub(in crate::auth) fn upstream_request(vault: &Vault, id: &TransactionId, redirect_uri: String) -> UpstreamRequest {
    UpstreamRequest {
        state: derived(vault, "state", id),
        verifier: derived(vault, "verifier", id),
        nonce: derived(vault, "nonce", id),
        redirect_uri,
    }
}

/// Derives a value of 43 characters, the least that RFC 7636 §4.1 takes as a verifier.
fn derived(vault: &Vault, what: &str, id: &TransactionId) -> String {
    URL_SAFE_NO_PAD.encode(vault.derive_at(id.began_s(), format!("{what}\0{id}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> FreshForm {
        let request = ValidatedRequest {
            client_id: "c".to_owned(),
            client_name: "Client".to_owned(),
            redirect_uri: "http://localhost/cb".to_owned(),
            state: Some("s\u{e9} +&".to_owned()),
            code_challenge: "x".repeat(43),
            scopes: BTreeSet::new(),
            view: View::default(),
            device: None,
        };
        Form::fresh(request, &Vault::for_tests(1))
    }

    #[test]
    fn a_form_comes_back_whole_or_not_at_all() {
        let vault = Vault::for_tests(1);
        let FreshForm { form, csrf } = form();
        let sealed = form.seal(&vault);
        let opened = Form::open(&vault, &sealed).unwrap();
        assert_eq!(opened.request.state, form.request.state);
        assert!(opened.belongs_to(&csrf) && !opened.belongs_to("") && !opened.belongs_to("x"));
        assert!(Form::open(&Vault::for_tests(2), &sealed).is_none());
        assert!(Form::open(&vault, &sealed[1..]).is_none());
        let late = Form { expires_s: now_s(), ..form };
        assert!(Form::open(&vault, &late.seal(&vault)).is_none());
    }

    #[test]
    fn a_login_of_a_device_is_at_its_place() {
        let vault = Vault::for_tests(1);
        for _ in 0..8 {
            let device = Family::new();
            let request = ValidatedRequest { device: Some(device), ..form().form.request };
            let id = Form::fresh(request, &vault).form.id;
            let state = upstream_request(&vault, &id, String::new()).state;
            assert_eq!(Key::of(state.as_bytes()).place(), device.row().place());
            assert_eq!(Family::at(device.row().place()).row().place(), device.row().place());
        }
    }

    #[test]
    fn what_is_derived_is_the_same_twice_and_differs_by_purpose_and_id() {
        let vault = Vault::for_tests(1);
        let (id, other) = (TransactionId::new(1), TransactionId::new(1));
        let request = |id| upstream_request(&vault, id, String::new());
        assert_eq!(request(&id).state, request(&id).state);
        assert_ne!(request(&id).state, request(&other).state);
        let UpstreamRequest { state, verifier, nonce, .. } = request(&id);
        let all = BTreeSet::from([state, verifier, nonce, binding(&vault, &id)]);
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|text| text.len() == 43));
    }
}
