//! Machines: callers that are no person, and whose tokens no login gives.
//!
//! - [`exchange`]: tokens for clients that call for themselves (RFC 6749 §4.4) and for workloads (RFC 7523 §2.1, §2.2).
//! - [`workloads`]: the assertions of workloads' platforms, and the rules about them.
//! - [`terms`]: what the configuration says of a machine now.
//! - [`operator`]: tokens that operators have made.
//!
//! Here are the access tokens of the first two. They are as opaque as those of sessions, and each is a row of its own: a
//! machine has no refresh token, and asks again. A token is good for as long as its machine's table is there and says the
//! same of who it is; of its scopes those count that the table has now.

pub(super) mod exchange;
pub mod operator;
mod terms;
mod workloads;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::terms::Terms;
use super::errors::OAuthError;
use super::holder::Holder;
use super::key_source::KeySources;
use super::people::People;
use super::sessions::bearer::BearerError;
use super::tokens::{Family, Opened, Token, TokenHash, TokenKind};
use crate::audit::event::{TokenChange, Who};
use crate::audit::{Audit, Event};
use crate::clock::now_s;
use crate::config::{Config, Credentials};
use crate::principal::{self, Machine, MachineKind, Principal, Standing};
use crate::store::{Committed, Key, Store, StoreError, Table, Write};
use crate::vault::Vault;
use crate::view::View;

/// The age after which a token is read again: one that another replica has ended is dead here within two seconds.
const FRESH: Duration = Duration::from_secs(1);

/// The most tokens in memory. Each request with one beyond them costs a look into the store.
const TOKENS_MAX: usize = 10_000;

/// The parts that machines share with the rest of the authorization server.
pub(super) struct MachineParts {
    pub(super) store: Store,
    /// The key of all tokens.
    pub(super) vault: Vault,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) credentials: watch::Receiver<Arc<Credentials>>,
    pub(super) sources: Arc<KeySources>,
    pub(super) people: People,
    /// This server's URL: the issuer of machines that nobody else vouches for.
    pub(super) issuer: String,
    pub(super) audit: Audit,
}

/// The tokens of all machines but those that operators have made.
pub(super) struct Machines {
    parts: MachineParts,
    cache: RwLock<HashMap<Family, Arc<Entry>>>,
    /// Itself, for the principals in its cache.
    own: Weak<Self>,
}

/// A token of a machine, in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    hash: TokenHash,
    kind: MachineKind,
    /// The client's id, or the name of the workload's table.
    id: String,
    issuer: String,
    /// The subject of a workload's assertion. For the log.
    subject: Option<String>,
    scopes: BTreeSet<String>,
    /// The view that it is for.
    #[serde(default, skip_serializing_if = "View::is_main")]
    view: View,
    /// Who the machine is, as its table said when the token was made.
    fingerprint: [u8; 32],
    created_s: u64,
    expires_s: u64,
    /// How often everything had been ended at once when it was made: see [`crate::switches::SwitchedOff::all_ended`].
    all_ended: u64,
}

/// A token in memory.
struct Entry {
    record: Arc<Record>,
    loaded: Instant,
    /// The configuration that the principal was made by.
    by: (Arc<Config>, Arc<Credentials>),
    /// The caller; none if its table does not let it call any more.
    principal: Option<Arc<Principal>>,
    has_ended: Arc<AtomicBool>,
}

/// A token that is to be made.
struct NewToken {
    kind: MachineKind,
    id: String,
    issuer: String,
    subject: Option<String>,
    scopes: BTreeSet<String>,
    view: View,
    fingerprint: [u8; 32],
    expires_s: u64,
}

impl Machines {
    pub(super) fn new(parts: MachineParts) -> Arc<Self> {
        Arc::new_cyclic(|own| Self { parts, cache: RwLock::default(), own: Weak::clone(own) })
    }

    /// Makes a token, and the answer for its machine (RFC 6749 §5.1): without a refresh token, since the machine can ask
    /// again at any time (§4.4.3).
    async fn issue(&self, new: NewToken) -> Result<Value, OAuthError> {
        let family = Family::new();
        let token = Token::new(&self.parts.vault, TokenKind::Machine, family);
        let NewToken { kind, id, issuer, subject, scopes, view, fingerprint, expires_s } = new;
        let created_s = now_s();
        let mut answer = json!({
            "access_token": token.text(),
            "token_type": "Bearer",
            "expires_in": expires_s.saturating_sub(created_s),
        });
        // As in answers to people's clients.
        if !scopes.is_empty() || !self.parts.people.all_scopes().is_empty() {
            answer["scope"] = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ").into();
        }
        tracing::info!(kind = kind.as_str(), machine = id, subject, "a machine has got a token");
        let (who_issuer, who) = Machine { kind, issuer: issuer.clone(), id: id.clone() }.identity();
        let (hash, all_ended) = (token.hash(), self.parts.people.all_ended());
        let record =
            Record { hash, kind, id, issuer, subject, scopes, view, fingerprint, created_s, expires_s, all_ended };
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(expires_s);
        let value = serde_json::to_vec(&record).expect("a record is JSON");
        let insert = Write::Insert { table: Table::Machine, key: key(&family), value, expires };
        match self.parts.store.commit(vec![insert]).await? {
            Committed::Done => {
                let who = Who { issuer: &who_issuer, subject: &who, email: None, is_person: false };
                let (what, client, reason) = (TokenChange::Issued, None, None);
                self.parts.audit.record(&Event::Token { what, who: Some(who), client, reason });
                Ok(answer)
            }
            // 128 random bits that somebody has.
            Committed::Conflict => Err(OAuthError::unavailable()),
        }
    }

    /// Finds the machine behind a token that this server made.
    pub(super) async fn principal_of(&self, opened: Opened) -> Result<Arc<Principal>, BearerError> {
        let entry = self.entry(opened.family).await?;
        let is_of_before = entry.record.all_ended < self.parts.people.all_ended();
        if entry.record.hash != opened.hash || is_of_before || entry.has_ended.load(Ordering::Relaxed) {
            return Err(BearerError::Ended);
        }
        let principal = entry.principal.as_ref().ok_or(BearerError::TurnedAway)?;
        if entry.record.expires_s <= now_s() {
            return Err(BearerError::Expired);
        }
        Ok(Arc::clone(principal))
    }

    /// The machine of a token, as far as memory knows.
    pub(super) fn holder_of(&self, family: &Family) -> Option<Holder> {
        let record = Arc::clone(&self.cached(family)?.record);
        Some(Self::holder(&record))
    }

    fn holder(record: &Record) -> Holder {
        let Record { kind, issuer, id, .. } = record.clone();
        let (issuer, subject) = Machine { kind, issuer, id }.identity();
        Holder { issuer, subject, email: None, is_person: false, client: None }
    }

    /// Ends a token of this client (RFC 7009). Another's is left as it is, and nobody is told.
    pub(super) async fn revoke(&self, raw_token: &str, client_id: &str) -> Result<(), OAuthError> {
        let Some(token) = Token::open(&self.parts.vault, TokenKind::Machine, raw_token) else { return Ok(()) };
        let Some(record) = self.load(&token.family).await? else { return Ok(()) };
        if record.hash != token.hash() || record.kind != MachineKind::Client || record.id != client_id {
            return Ok(());
        }
        self.parts.store.commit(vec![Write::Remove { table: Table::Machine, key: key(&token.family) }]).await?;
        match self.cached(&token.family) {
            Some(entry) => entry.has_ended.store(true, Ordering::Relaxed),
            // Whose it was is remembered for its next use.
            None => {
                let (record, by, has_ended) = (Arc::new(record.clone()), self.configuration(), Arc::default());
                let ended =
                    self.keep(token.family, Entry { record, loaded: Instant::now(), by, principal: None, has_ended });
                ended.has_ended.store(true, Ordering::Relaxed);
            }
        }
        let (what, client, reason) = (TokenChange::Revoked, None, None);
        let Holder { issuer, subject, .. } = &Self::holder(&record);
        let who = Some(Who { issuer, subject, email: None, is_person: false });
        self.parts.audit.record(&Event::Token { what, who, client, reason });
        self.parts.people.look_again();
        Ok(())
    }

    /// A token has changed elsewhere: it is read again at its next use.
    pub(super) fn changed_elsewhere(&self, row: Key) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).retain(|family, _| key(family) != row);
    }

    /// Any token may have changed elsewhere.
    pub(super) fn missed_something(&self) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn entry(&self, family: Family) -> Result<Arc<Entry>, BearerError> {
        let known = self.cached(&family);
        let by = self.configuration();
        let (record, has_ended, loaded) = match &known {
            Some(entry) if entry.has_ended.load(Ordering::Relaxed) => return Err(BearerError::Ended),
            Some(entry) if entry.loaded.elapsed() <= FRESH => {
                if entry.is_by(&by) {
                    return Ok(Arc::clone(entry));
                }
                (Arc::clone(&entry.record), Arc::clone(&entry.has_ended), entry.loaded)
            }
            known => match (self.load(&family).await, known) {
                (Ok(Some(record)), known) => {
                    let has_ended = known.as_ref().map_or_else(Arc::default, |entry| Arc::clone(&entry.has_ended));
                    (Arc::new(record), has_ended, Instant::now())
                }
                (Ok(None), _) => {
                    self.cache.write().unwrap_or_else(PoisonError::into_inner).remove(&family);
                    return Err(BearerError::Ended);
                }
                // Machines that are known go on while the store is away.
                (Err(_), Some(entry)) if self.parts.store.honours(entry.loaded) => {
                    (Arc::clone(&entry.record), Arc::clone(&entry.has_ended), entry.loaded)
                }
                (Err(_), _) => return Err(BearerError::Unavailable),
            },
        };
        let principal = self.principal(&record, &by, &has_ended);
        Ok(self.keep(family, Entry { record, loaded, by, principal, has_ended }))
    }

    /// Keeps what is known of a token, as far as there is room.
    fn keep(&self, family: Family, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= TOKENS_MAX {
            cache.retain(|_, entry| entry.loaded.elapsed() <= FRESH);
        }
        if cache.len() < TOKENS_MAX {
            cache.insert(family, Arc::clone(&entry));
        }
        entry
    }

    /// The caller by a configuration.
    fn principal(
        &self,
        record: &Arc<Record>,
        by: &(Arc<Config>, Arc<Credentials>),
        has_ended: &Arc<AtomicBool>,
    ) -> Option<Arc<Principal>> {
        let terms = Terms::of(record.kind, &record.id, &by.0, &by.1)?.if_of(&record.fingerprint)?;
        let rules = TokenRules {
            machines: Weak::clone(&self.own),
            record: Arc::clone(record),
            people: self.parts.people.clone(),
            has_ended: Arc::clone(has_ended),
        };
        let machine = Machine { issuer: record.issuer.clone(), kind: record.kind, id: record.id.clone() };
        let granted = &record.scopes & &terms.scopes;
        let standing = Standing::of_machine(Arc::new(rules));
        let principal = Principal::machine(machine, terms.name, granted, terms.scopes, standing);
        Some(Arc::new(principal.at(&record.view)))
    }

    /// The terms of a token's machine now.
    fn terms_of(&self, record: &Record) -> Option<Terms> {
        let (config, credentials) = self.configuration();
        Terms::of(record.kind, &record.id, &config, &credentials)?.if_of(&record.fingerprint)
    }

    fn configuration(&self) -> (Arc<Config>, Arc<Credentials>) {
        (Arc::clone(&self.parts.config.borrow()), Arc::clone(&self.parts.credentials.borrow()))
    }

    fn cached(&self, family: &Family) -> Option<Arc<Entry>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).get(family).cloned()
    }

    async fn load(&self, family: &Family) -> Result<Option<Record>, StoreError> {
        let Some(row) = self.parts.store.get(Table::Machine, &key(family)).await? else { return Ok(None) };
        let damaged = |_| StoreError::Damaged("a machine's row is not what this version writes".to_owned());
        serde_json::from_slice(&row.value).map(Some).map_err(damaged)
    }
}

impl Entry {
    fn is_by(&self, (config, credentials): &(Arc<Config>, Arc<Credentials>)) -> bool {
        Arc::ptr_eq(&self.by.0, config) && Arc::ptr_eq(&self.by.1, credentials)
    }
}

/// The rules for one token.
struct TokenRules {
    machines: Weak<Machines>,
    record: Arc<Record>,
    people: People,
    has_ended: Arc<AtomicBool>,
}

impl principal::Rules for TokenRules {
    fn granted(&self) -> Option<BTreeSet<String>> {
        let terms = self.machines.upgrade()?.terms_of(&self.record)?;
        let has_ended = self.has_ended.load(Ordering::Relaxed) || self.record.all_ended < self.people.all_ended();
        (!has_ended).then(|| &self.record.scopes & &terms.scopes)
    }

    fn possible(&self) -> BTreeSet<String> {
        let terms = self.machines.upgrade().and_then(|machines| machines.terms_of(&self.record));
        terms.map(|terms| terms.scopes).unwrap_or_default()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.people.changes()
    }
}

/// The key of a token's row.
fn key(family: &Family) -> Key {
    family.row()
}
