//! The row of a session in the store. It is one row, so that every change of it is one compare-and-swap.
//!
//! A server of an earlier version that shares the store reads a row, changes it, and writes it back without the fields that
//! it does not know. A new field is therefore one that may be lost without harm, or it is written in a later format of the
//! store only (`crate::redis`, `format`), which no earlier version touches.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::transition::Known;
use crate::auth::errors::OAuthError;
use crate::auth::identity::Identity;
use crate::auth::tokens::{Token, TokenHash, TokenKind};
use crate::auth::upstream::messages::UpstreamTokens;
use crate::vault::Vault;
use crate::view::View;

/// The most access tokens of one session at once. Clients have one, or two for a moment; the oldest goes.
const ACCESS_TOKENS_MAX: usize = 16;

/// Seconds within which a repeated answer tells the same life of its token.
const SAME_ANSWER_S: u64 = 5;

/// An access token that ends within so long is renewed by its client at once, or used up before it arrives: many clients
/// take one for expired that has less than five minutes.
const NEARLY_OVER_S: u64 = 600;

const ANSWER_KEY: &str = "tinymcp 2026 answer to a refresh, for who presents the token again";

/// A session, from its authorization code to its end. The row expires with the code until that is redeemed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) identity: Identity,
    pub(super) provider: String,
    pub(super) client_id: String,
    /// The client's name by its own account. Sessions of an earlier version do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_name: Option<String>,
    /// The scopes that the person approved.
    pub(super) approved: BTreeSet<String>,
    /// The view that its tokens are for. Rows of before there were views have none, and are for `/mcp`.
    #[serde(default, skip_serializing_if = "View::is_main")]
    pub(super) view: View,
    pub(super) created_s: u64,
    /// Counts the changes of the row, so that the later of two states is known.
    pub(super) changes: u64,
    pub(super) code: CodeRecord,
    pub(super) upstream: UpstreamTokens,
    pub(super) access: Vec<AccessRecord>,
    pub(super) refresh: Option<RefreshRecord>,
    /// The beginning of the provider's refusals to renew this session, and nobody else's, without saying that it has
    /// ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused_since_s: Option<u64>,
    /// Of a browser on this server's own pages; none of every other client. Its cookie is the one access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) browser: Option<BrowserRecord>,
    /// How often all sessions had been ended when this one began (`SwitchedOff::all_ended`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) all_ended: u64,
    /// The last use that was known when the row was written. No row is written for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<Use>,
}

/// The part of a session that only a browser on this server's own pages has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct BrowserRecord {
    /// The last time that a page was asked for, some minutes behind.
    pub(super) used_s: u64,
    /// The time, in seconds since 1970, from which on the login counts as one of a person who has shown who they are; none
    /// where that is not known to be of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shown_s: Option<u64>,
}

/// A use of a session: of one of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Use {
    pub(super) at_s: u64,
    /// The address that it came from, past trusted proxies.
    pub(super) from: IpAddr,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The authorization code, which stays known so that its second use is noticed (RFC 6749 §4.1.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CodeRecord {
    pub(super) hash: TokenHash,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) expires_s: u64,
    pub(super) used_ms: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AccessRecord {
    pub(super) hash: TokenHash,
    pub(super) expires_s: u64,
    pub(super) scopes: BTreeSet<String>,
    /// The rotation that it came with.
    pub(super) generation: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RefreshRecord {
    pub(super) current: TokenHash,
    pub(super) generation: u32,
    pub(super) predecessor: Option<Predecessor>,
}

/// The refresh token before the current one, and the answer to its use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Predecessor {
    pub(super) hash: TokenHash,
    /// Sealed under a key that only the presented token gives.
    answer: String,
    pub(super) rotated_s: u64,
    /// The first time that a token of that answer was seen.
    pub(super) answer_used_s: Option<u64>,
}

/// The answer to a code or a refresh token.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::auth) struct Answer {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) issued_s: u64,
    pub(super) expires_s: u64,
}

impl Answer {
    /// The JSON of RFC 6749 §5.1. `expires_in` is there always, since clients guess without it; and so is `scope` where
    /// there are scopes, since without it a client has what it asked for.
    pub(in crate::auth) fn json(&self, now_s: u64, are_there_scopes: bool) -> Value {
        let life_s = self.expires_s.saturating_sub(self.issued_s);
        // Of a short life, the same for as short a time.
        let same_s = SAME_ANSWER_S.min(life_s / 60).max(1);
        let passed_s = now_s.saturating_sub(self.issued_s) / same_s * same_s;
        let mut answer = json!({
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": life_s.saturating_sub(passed_s),
            "refresh_token": self.refresh_token,
        });
        if are_there_scopes || !self.scopes.is_empty() {
            answer["scope"] = self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ").into();
        }
        answer
    }

    /// True if its access token is over, or soon will be: one with a short life, in its second half.
    pub(super) fn is_nearly_over(&self, now_s: u64) -> bool {
        let life_s = self.expires_s.saturating_sub(self.issued_s);
        self.expires_s.saturating_sub(now_s) <= NEARLY_OVER_S.min(life_s / 2)
    }
}

impl RefreshRecord {
    /// What the rules of a renewal look at.
    pub(super) fn known(&self) -> Known<'_, TokenHash> {
        let predecessor = self.predecessor.as_ref().map(|predecessor| &predecessor.hash);
        Known { current: &self.current, generation: self.generation, predecessor }
    }
}

impl Predecessor {
    pub(super) fn new(presented: &Token, answer: &Answer, rotated_s: u64) -> Self {
        Self { hash: presented.hash(), answer: sealed(presented, answer), rotated_s, answer_used_s: None }
    }

    /// Replaces that answer, for a client that presents the same token again.
    pub(super) fn replace_answer(&mut self, presented: &Token, answer: &Answer) {
        self.answer = sealed(presented, answer);
    }

    /// The answer that the presented token got when it was presented before.
    pub(super) fn answer(&self, presented: &Token) -> Option<Answer> {
        let sealed = STANDARD_NO_PAD.decode(&self.answer).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<24>()?;
        let plain = cipher(presented).decrypt(&XNonce::from(*nonce), sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

fn sealed(presented: &Token, answer: &Answer) -> String {
    let nonce: [u8; 24] = rand::random();
    let plain = serde_json::to_vec(answer).expect("an answer is JSON");
    let sealed = cipher(presented).encrypt(&XNonce::from(nonce), plain.as_slice()).expect("an answer is short");
    STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
}

fn cipher(presented: &Token) -> XChaCha20Poly1305 {
    let key = blake3::derive_key(ANSWER_KEY, presented.text().as_bytes());
    XChaCha20Poly1305::new(&Key::from(key))
}

impl Record {
    /// Requires that a client which names a view names the one of this session (RFC 8707 §2.2).
    pub(super) fn require_view(&self, named: Option<&View>) -> Result<(), OAuthError> {
        match named {
            Some(named) if *named != self.view => Err(OAuthError::InvalidTarget),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds an access token, and forgets what has expired.
    pub(super) fn add_access(&mut self, access: AccessRecord, now_s: u64) {
        self.access.retain(|other| other.expires_s > now_s);
        self.access.push(access);
        let over = self.access.len().saturating_sub(ACCESS_TOKENS_MAX);
        self.access.drain(..over);
    }

    /// True for an access token that this session has, and that its client has not revoked.
    pub(super) fn has_access(&self, text: &str, vault: &Vault) -> bool {
        let hash = Token::open(vault, TokenKind::Access, text).map(|token| token.hash());
        self.access.iter().any(|access| Some(access.hash) == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_nearly_over_in_its_last_ten_minutes_or_its_second_half() {
        for (life_s, passed_s, expected) in [
            (3600, 0, false),
            (3600, 2999, false),
            (3600, 3000, true),
            (3600, 3600, true),
            (3600, 90_000, true),
            (86_400, 85_799, false),
            (86_400, 85_800, true),
            (600, 299, false),
            (600, 300, true),
            (2, 0, false),
            (2, 1, true),
            (1, 0, false),
            (1, 1, true),
            (0, 0, true),
        ] {
            let (access_token, refresh_token, scopes) = Default::default();
            let issued_s = 1_000_000;
            let answer = Answer { access_token, refresh_token, scopes, issued_s, expires_s: issued_s + life_s };
            assert_eq!(answer.is_nearly_over(issued_s + passed_s), expected, "{life_s} {passed_s}");
        }
    }
}
