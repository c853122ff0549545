//! Tokens and codes: opaque texts that name their session, and of which the store knows hashes only.
//!
//! Invariant: a text opens only as the kind that it was made as, and only if this server made it; a made-up text
//! costs no look into the store.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::{Key, Primary};
use crate::vault::Vault;

/// The purpose of the key of tokens. Changing it voids them all.
pub(super) const TOKENS: &str = "tinymcp 2026 tokens";

const FAMILY_BYTES: usize = 16;
const RANDOM_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 20;
const LINEAGE_BYTES: usize = 4 + 8;

/// A body is short, or has its lineage at the end.
const BODIES: [usize; 2] = [FAMILY_BYTES + RANDOM_BYTES, FAMILY_BYTES + RANDOM_BYTES + LINEAGE_BYTES];
const TOKEN_BYTES_MAX: usize = BODIES[1] + SIGNATURE_BYTES;

/// The kinds of tokens. One is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bearer token for `/mcp`.
    Access,
    /// The token that gets the next access token.
    Refresh,
    /// An authorization code.
    Code,
    /// The cookie of a browser's session on this server's own pages.
    Browser,
    /// A bearer token for `/mcp` of a machine, by `client_credentials` or an assertion.
    Machine,
    /// A bearer token for `/mcp` that an operator has made.
    Operator,
    /// A device code (RFC 8628 §3.2).
    Device,
}

/// The kinds of bearer tokens for `/mcp`.
const BEARERS: [TokenKind; 3] = [TokenKind::Access, TokenKind::Machine, TokenKind::Operator];

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "tmcp_at_",
            Self::Refresh => "tmcp_rt_",
            Self::Code => "tmcp_ac_",
            Self::Browser => "tmcp_bs_",
            Self::Machine => "tmcp_ma_",
            // Known to people and to scanners of secrets: see `docs/machines.md`.
            Self::Operator => "tmcp_op_",
            Self::Device => "tmcp_dc_",
        }
    }
}

/// Names a session: everything that came from one login through one client, RFC 9700's token family. A machine's token is
/// a family of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Family([u8; FAMILY_BYTES]);

impl Family {
    pub(super) fn new() -> Self {
        Self(rand::random())
    }

    /// One whose row is at a place: it is written together with other rows that are there.
    pub(super) fn at(place: u8) -> Self {
        // One in 256 is: some hundred hashes, a few times in a login.
        std::iter::repeat_with(Self::new).find(|family| family.row().place() == place).unwrap_or_else(Self::new)
    }

    /// The key of the session's row.
    pub(super) fn row(&self) -> Key {
        Key::of(&self.0)
    }
}

/// Enough to tell sessions apart in a log, and no more: the beginning of the id by which operators know it.
impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row().to_hex()[..8])
    }
}

/// SHA-256 of a token or code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl TokenHash {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// Where a refresh token or a code comes from, in a store that may lose what it has acknowledged (`docs/replicas.md`). It is
/// under the token's MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The rotation that the token came with.
    pub(super) generation: u32,
    /// The server that wrote it down.
    pub(super) primary: Primary,
}

impl Lineage {
    /// The one of a token; none in a store that loses nothing.
    pub(super) fn of(generation: u32, primary: Primary) -> Option<Self> {
        (primary != Primary::LASTING).then_some(Self { generation, primary })
    }

    fn bytes(self) -> Vec<u8> {
        [self.generation.to_be_bytes().as_slice(), &self.primary.bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (generation, primary) = bytes.split_first_chunk()?;
        let generation = u32::from_be_bytes(*generation);
        Some(Self { generation, primary: Primary::of_bytes(primary.try_into().ok()?) })
    }
}

/// A token that this server made, or a new one. There is no `Display`; [`Token::text`] is for answers alone.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) family: Family,
    pub(super) lineage: Option<Lineage>,
    text: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(of {:?})", self.family)
    }
}

impl Token {
    /// Makes a token of a session.
    pub(super) fn new(vault: &Vault, kind: TokenKind, family: Family) -> Self {
        Self::with(vault, kind, family, None)
    }

    /// Makes one that says where it comes from.
    pub(super) fn with(vault: &Vault, kind: TokenKind, family: Family, lineage: Option<Lineage>) -> Self {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES_MAX);
        bytes.extend_from_slice(&family.0);
        bytes.extend_from_slice(&rand::random::<[u8; RANDOM_BYTES]>());
        bytes.extend(lineage.map(Lineage::bytes).unwrap_or_default());
        let signature = vault.sign(&message(kind, &bytes));
        bytes.extend_from_slice(&signature);
        Self { family, lineage, text: format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes)) }
    }

    /// Reads a token of this kind, if this server made it.
    pub(super) fn open(vault: &Vault, kind: TokenKind, raw: &str) -> Option<Self> {
        let encoded = raw.strip_prefix(kind.prefix())?;
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let body_bytes = length.checked_sub(SIGNATURE_BYTES).filter(|bytes| BODIES.contains(bytes))?;
        let (body, signature) = bytes.get(..length)?.split_at_checked(body_bytes)?;
        if !vault.verify(&message(kind, body), signature) {
            return None;
        }
        let family = Family(body.first_chunk().copied()?);
        let lineage = body.get(BODIES[0]..).and_then(Lineage::read);
        Some(Self { family, lineage, text: raw.to_owned() })
    }

    /// The token itself, for the client that gets it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> TokenHash {
        TokenHash::of(&self.text)
    }
}

/// The last bearer token of a connection, by its hash. Most connections send the same one again, whose MAC is then known.
#[derive(Default)]
pub struct LastToken(Mutex<Option<Opened>>);

/// A bearer token that this server made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) kind: TokenKind,
    pub(super) family: Family,
    pub(super) hash: TokenHash,
}

impl LastToken {
    /// Opens a bearer token and hashes it.
    pub(super) fn open(&self, vault: &Vault, raw: &str) -> Option<Opened> {
        // A proxy's connection has tokens of many people. The time of a comparison of hashes tells none to another.
        let hash = TokenHash::of(raw);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = last.filter(|opened| opened.hash == hash) {
            return Some(opened);
        }
        let open = |kind| Some((kind, Token::open(vault, kind, raw)?));
        let (kind, token) = BEARERS.into_iter().find_map(open)?;
        let opened = Opened { kind, family: token.family, hash };
        *last = Some(opened);
        Some(opened)
    }
}

fn message(kind: TokenKind, body: &[u8]) -> Vec<u8> {
    [kind.prefix().as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_as_what_it_is_and_nothing_else() {
        let vault = Vault::for_tests(1);
        let family = Family::new();
        const KINDS: [TokenKind; 7] = [
            TokenKind::Access,
            TokenKind::Refresh,
            TokenKind::Code,
            TokenKind::Browser,
            TokenKind::Machine,
            TokenKind::Operator,
            TokenKind::Device,
        ];
        for kind in KINDS {
            let token = Token::new(&vault, kind, family);
            let opened = Token::open(&vault, kind, token.text()).unwrap();
            assert_eq!((opened.family, opened.hash()), (family, token.hash()));
            assert!(Token::open(&Vault::for_tests(2), kind, token.text()).is_none());
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert!(Token::open(&vault, other, token.text()).is_none());
                let renamed = token.text().replacen(kind.prefix(), other.prefix(), 1);
                assert!(Token::open(&vault, other, &renamed).is_none());
            }
        }
    }

    #[test]
    fn a_token_says_where_it_comes_from() {
        let (vault, family) = (Vault::for_tests(1), Family::new());
        let lineage = Lineage::of(7, Primary::of_bytes([1, 2, 3, 4, 5, 6, 7, 8]));
        assert!(lineage.is_some());
        let token = Token::with(&vault, TokenKind::Refresh, family, lineage);
        let opened = Token::open(&vault, TokenKind::Refresh, token.text()).unwrap();
        assert_eq!((opened.family, opened.lineage), (family, lineage));
        let mut bytes = URL_SAFE_NO_PAD.decode(token.text().strip_prefix("tmcp_rt_").unwrap()).unwrap();
        bytes[BODIES[0]] ^= 1;
        let forged = format!("tmcp_rt_{}", URL_SAFE_NO_PAD.encode(bytes));
        assert!(Token::open(&vault, TokenKind::Refresh, &forged).is_none());
        assert_eq!(Lineage::of(7, Primary::LASTING), None);
        let short = Token::new(&vault, TokenKind::Refresh, family);
        assert_eq!(Token::open(&vault, TokenKind::Refresh, short.text()).unwrap().lineage, None);
    }

    #[test]
    fn a_connection_remembers_its_last_token_and_no_other() {
        let (vault, last) = (Vault::for_tests(1), LastToken::default());
        let [one, other] = [(); 2].map(|()| Token::new(&vault, TokenKind::Access, Family::new()));
        for token in [&one, &one, &other, &one] {
            let opened = Opened { kind: TokenKind::Access, family: token.family, hash: token.hash() };
            assert!(last.open(&vault, token.text()) == Some(opened));
        }
        let refresh = Token::new(&vault, TokenKind::Refresh, one.family);
        for wrong in ["", &one.text()[..one.text().len() - 1], &format!("{}A", one.text()), refresh.text()] {
            assert!(last.open(&vault, wrong).is_none());
        }
        assert!(last.open(&vault, one.text()).is_some_and(|opened| opened.hash == one.hash()));
        let machine = Token::new(&vault, TokenKind::Machine, one.family);
        assert!(last.open(&vault, machine.text()).is_some_and(|opened| opened.kind == TokenKind::Machine));
    }

    #[test]
    fn a_changed_token_does_not_open() {
        let vault = Vault::for_tests(1);
        let token = Token::new(&vault, TokenKind::Access, Family::new());
        for at in 0..token.text().len() {
            let mut changed = token.text().as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(
                Token::open(&vault, TokenKind::Access, &String::from_utf8(changed).unwrap()).is_none(),
                "byte {at}"
            );
        }
        for raw in ["", "tmcp_at_", "tmcp_at_AAAA", &format!("{}AAAA", token.text())] {
            assert!(Token::open(&vault, TokenKind::Access, raw).is_none(), "{raw}");
        }
        assert!(!format!("{token:?}").contains(token.text()));
    }
}
