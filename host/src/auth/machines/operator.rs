//! Tokens that operators make: `tinymcp token`.
//!
//! All of them are in one row of the store, since there are few and each has a name of its own: every change is a
//! compare-and-swap on that row. It has hashes, and never a token.

mod requests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub use self::requests::{Answer, MadeToken, Request, TokenError, TokenState};
use crate::auth::holder;
use crate::auth::people::People;
use crate::auth::sessions::bearer::BearerError;
use crate::auth::tokens::{Family, Opened, TOKENS, Token, TokenHash, TokenKind};
use crate::clock::now_s;
use crate::principal::{self, Machine, MachineKind, Principal, Standing};
use crate::replicas::OfLate;
use crate::state::StateDir;
use crate::store::{Committed, Key, Revision, Row, Store, StoreError, Table, Write};
use crate::switches::Switches;
use crate::vault::Vault;
use crate::view::View;

/// The name of `/mcp` in a token, which no view has.
const MAIN_VIEW: &str = "mcp";

/// The age after which the row is read again.
const FRESH: Duration = Duration::from_secs(1);

/// Time between two notes of the last use of a token in the store.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// Time for which a token that has expired is still listed, for whoever wonders why it does not work.
const LISTED_AFTER_S: u64 = 30 * 24 * 3600;

/// The most tokens: they are read together.
const TOKENS_MAX: usize = 500;

/// Tries of a compare-and-swap.
const TRIES: usize = 32;

/// A token as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    name: String,
    family: Family,
    hash: TokenHash,
    scopes: BTreeSet<String>,
    /// The view that it is for; `mcp` for the main endpoint.
    view: String,
    created_s: u64,
    expires_s: u64,
    last_used_s: Option<u64>,
    /// How often everything had been ended at once when it was made: see [`crate::switches::SwitchedOff::all_ended`].
    all_ended: u64,
}

/// The tokens in memory, by the row's revision.
#[derive(Default)]
struct Loaded {
    revision: Option<Revision>,
    at: Option<Instant>,
    /// Another server has changed them since.
    is_doubted: bool,
    tokens: HashMap<Family, Arc<Holder>>,
    /// Those that are no more, as long as others begin seldom: whose they were is told when one is refused.
    former: HashMap<Family, Arc<Principal>>,
}

/// A token, and the caller that it is.
struct Holder {
    kept: Kept,
    principal: Arc<Principal>,
}

/// A handle to the tokens that operators have made.
#[derive(Clone)]
pub struct OperatorTokens(Arc<Shared>);

struct Shared {
    store: Store,
    vault: Vault,
    /// This server's URL.
    issuer: String,
    /// Who is told when a token ends; nobody where no server runs.
    people: Option<People>,
    /// What is switched off, where no server runs.
    switches: Option<Switches>,
    in_flight: TaskTracker,
    loaded: Mutex<Loaded>,
    /// The last use of each token since it was written down.
    used: Mutex<Used>,
    /// The tokens that were revoked here.
    revoked: OfLate<Family>,
}

#[derive(Default)]
struct Used {
    at_s: HashMap<Family, u64>,
    noted: Option<Instant>,
}

impl OperatorTokens {
    /// The tokens of a store, for a command without a server.
    pub fn of(store: Store, state: &StateDir, issuer: String, switches: Switches) -> Self {
        let vault = Vault::of(state, TOKENS);
        let (loaded, used, revoked, in_flight) = Default::default();
        let (people, switches) = (None, Some(switches));
        Self(Arc::new(Shared { store, vault, issuer, people, switches, in_flight, loaded, used, revoked }))
    }

    pub(in crate::auth) fn new(
        store: Store,
        vault: Vault,
        issuer: String,
        people: People,
        in_flight: TaskTracker,
    ) -> Self {
        let (loaded, used, revoked) = Default::default();
        let (people, switches) = (Some(people), None);
        Self(Arc::new(Shared { store, vault, issuer, people, switches, in_flight, loaded, used, revoked }))
    }

    /// Does what an operator asks for.
    ///
    /// # Errors
    /// [`TokenError`], in words for the operator.
    pub async fn ask(&self, request: Request) -> Result<Answer, TokenError> {
        match request {
            Request::New { name, scopes, view, life_s } => {
                self.make(name, scopes, view, life_s).await.map(Answer::Made)
            }
            Request::List => self.list().await.map(Answer::Tokens),
            Request::Revoke { name } => self.revoke(&name).await.map(|()| Answer::Revoked),
        }
    }

    async fn make(
        &self,
        name: String,
        scopes: BTreeSet<String>,
        view: String,
        life_s: u64,
    ) -> Result<MadeToken, TokenError> {
        let token = Token::new(&self.0.vault, TokenKind::Operator, Family::new());
        let created_s = now_s();
        let expires_s = created_s.saturating_add(life_s);
        let (family, hash) = (token.family, token.hash());
        let (last_used_s, all_ended, named) = (None, self.0.all_ended(), name.clone());
        let new = Kept { name: named, family, hash, scopes, view, created_s, expires_s, last_used_s, all_ended };
        self.change(|tokens| {
            // One that has expired gives its name away.
            tokens.retain(|token| token.name != name || token.expires_s > created_s);
            if tokens.iter().any(|token| token.name == name) {
                return Err(TokenError::Taken(name.clone()));
            }
            if tokens.len() >= TOKENS_MAX {
                return Err(TokenError::TooMany(TOKENS_MAX));
            }
            tokens.push(new.clone());
            Ok(())
        })
        .await?;
        tracing::info!(token = name, "an operator has made a token");
        Ok(MadeToken { token: token.text().to_owned(), state: self.state(&new) })
    }

    async fn list(&self) -> Result<Vec<TokenState>, TokenError> {
        let (_, tokens) = self.read().await?;
        let mut states: Vec<TokenState> = tokens.iter().map(|kept| self.state(kept)).collect();
        states.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(states)
    }

    async fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut revoked = None;
        self.change(|tokens| {
            let found = tokens.iter().position(|token| token.name == name);
            let found = found.ok_or_else(|| TokenError::Unknown(name.to_owned()))?;
            revoked = Some(tokens.remove(found).family);
            Ok(())
        })
        .await?;
        self.0.revoked.note(revoked);
        tracing::info!(token = name, "an operator has revoked a token");
        self.tell_of_revocation();
        Ok(())
    }

    /// Revokes once more what was revoked here of late: another server of the store writes now, which may have lost it.
    pub(in crate::auth) async fn repeat_revocations(&self) -> Result<(), TokenError> {
        let revoked = self.0.revoked.all();
        let is_revoked = |token: &Kept| revoked.contains(&token.family);
        if revoked.is_empty() || !self.read().await?.1.iter().any(is_revoked) {
            return Ok(());
        }
        self.change(|tokens| {
            tokens.retain(|token| !is_revoked(token));
            Ok(())
        })
        .await?;
        self.tell_of_revocation();
        Ok(())
    }

    /// Calls of a token that is no more end.
    fn tell_of_revocation(&self) {
        if let Some(people) = &self.0.people {
            people.look_again();
        }
    }

    /// The caller behind a token that this server made.
    pub(in crate::auth) async fn principal_of(&self, opened: Opened) -> Result<Arc<Principal>, BearerError> {
        let read_at = self.loaded().at;
        let is_fresh = |at: Instant| at.elapsed() <= FRESH && !self.loaded().is_doubted;
        if !read_at.is_some_and(is_fresh) && self.load().await.is_err() {
            // Tokens that are known go on while the store is away.
            read_at.filter(|at| self.0.store.honours(*at)).ok_or(BearerError::Unavailable)?;
        }
        let holder = self.loaded().tokens.get(&opened.family).cloned();
        let holder = holder.filter(|holder| holder.kept.hash == opened.hash && self.0.is_of_now(&holder.kept));
        let holder = holder.ok_or(BearerError::Ended)?;
        let now_s = now_s();
        if holder.kept.expires_s <= now_s {
            return Err(BearerError::Expired);
        }
        self.note(opened.family, now_s);
        Ok(Arc::clone(&holder.principal))
    }

    /// The machine of a token, as far as memory knows.
    pub(in crate::auth) fn holder_of(&self, family: &Family) -> Option<holder::Holder> {
        let loaded = self.loaded();
        let live = loaded.tokens.get(family).map(|holder| &holder.principal);
        live.or_else(|| loaded.former.get(family)).map(|principal| holder::Holder::of_machine(principal))
    }

    /// Another server has changed the tokens: they are read again at the next use of one.
    pub(in crate::auth) fn changed_elsewhere(&self) {
        self.loaded().is_doubted = true;
    }

    /// Notes a use. It is written down from time to time, beside the request.
    fn note(&self, family: Family, now_s: u64) {
        let mut used = self.used();
        used.at_s.insert(family, now_s);
        if used.noted.is_some_and(|noted| noted.elapsed() < NOTE_EVERY) {
            return;
        }
        used.noted = Some(Instant::now());
        drop(used);
        let tokens = self.clone();
        self.0.in_flight.spawn(async move {
            if let Err(error) = tokens.change(|_| Ok(())).await {
                tracing::warn!(%error, "the last use of a token could not be noted");
            }
        });
    }

    /// Changes the tokens, and writes down when each was last used.
    async fn change(&self, mut change: impl FnMut(&mut Vec<Kept>) -> Result<(), TokenError>) -> Result<(), TokenError> {
        for _ in 0..TRIES {
            let (row, mut tokens) = self.read().await?;
            let now_s = now_s();
            tokens.retain(|token| token.expires_s.saturating_add(LISTED_AFTER_S) > now_s);
            change(&mut tokens)?;
            for token in &mut tokens {
                token.last_used_s = self.last_used_s(token);
            }
            let end_s =
                tokens.iter().map(|token| token.expires_s).max().unwrap_or(now_s).saturating_add(LISTED_AFTER_S);
            let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end_s)).ok_or(TokenError::TooLong)?;
            let value = serde_json::to_vec(&tokens).expect("tokens are JSON");
            let (table, key) = (Table::Operator, key());
            let write = match row {
                Some(row) => Write::Replace { table, key, revision: row.revision, value, expires },
                None => Write::Insert { table, key, value, expires },
            };
            if self.0.store.commit(vec![write]).await? == Committed::Done {
                self.load().await?;
                return Ok(());
            }
        }
        Err(TokenError::Unavailable("it was changed again and again".to_owned()))
    }

    /// Reads the tokens into memory.
    async fn load(&self) -> Result<(), TokenError> {
        let read_at = Instant::now();
        let (row, tokens) = self.read().await?;
        let mut loaded = self.loaded();
        // One that was read later is there already.
        if loaded.at.is_some_and(|at| at > read_at) {
            return Ok(());
        }
        let revision = row.map(|row| row.revision);
        if loaded.at.is_none() || loaded.revision != revision {
            if loaded.former.len() + loaded.tokens.len() > TOKENS_MAX {
                loaded.former.clear();
            }
            let before = std::mem::take(&mut loaded.tokens);
            loaded.former.extend(before.into_iter().map(|(family, holder)| (family, Arc::clone(&holder.principal))));
            loaded.tokens = tokens.into_iter().map(|kept| (kept.family, Arc::new(self.holder(kept)))).collect();
            loaded.revision = revision;
        }
        (loaded.at, loaded.is_doubted) = (Some(read_at), false);
        Ok(())
    }

    async fn read(&self) -> Result<(Option<Row>, Vec<Kept>), TokenError> {
        let Some(row) = self.0.store.get(Table::Operator, &key()).await? else { return Ok((None, Vec::new())) };
        let mut tokens: Vec<Kept> = serde_json::from_slice(&row.value).map_err(|_| {
            StoreError::Damaged("the row of operators' tokens is not what this version writes".to_owned())
        })?;
        tokens.retain(|token| self.0.is_of_now(token));
        Ok((Some(row), tokens))
    }

    fn holder(&self, kept: Kept) -> Holder {
        let machine = Machine { issuer: self.0.issuer.clone(), kind: MachineKind::Token, id: kept.name.clone() };
        let rules = TokenRules { tokens: Arc::downgrade(&self.0), family: kept.family, scopes: kept.scopes.clone() };
        let (granted, standing) = (kept.scopes.clone(), Standing::of_machine(Arc::new(rules)));
        let principal = Principal::machine(machine, Some(kept.name.clone()), granted.clone(), granted, standing);
        let view = if kept.view == MAIN_VIEW { View::default() } else { View::named(&kept.view) };
        Holder { kept, principal: Arc::new(principal.at(&view)) }
    }

    fn state(&self, kept: &Kept) -> TokenState {
        TokenState {
            name: kept.name.clone(),
            scopes: kept.scopes.clone(),
            view: kept.view.clone(),
            created_s: kept.created_s,
            expires_s: kept.expires_s,
            last_used_s: self.last_used_s(kept),
        }
    }

    fn last_used_s(&self, kept: &Kept) -> Option<u64> {
        self.used().at_s.get(&kept.family).copied().max(kept.last_used_s)
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// How often everything was ended at once.
    fn all_ended(&self) -> u64 {
        match (&self.people, &self.switches) {
            (Some(people), _) => people.all_ended(),
            (None, Some(switches)) => switches.now().all_ended,
            (None, None) => 0,
        }
    }

    /// True unless everything was ended since this token was made.
    fn is_of_now(&self, token: &Kept) -> bool {
        token.all_ended >= self.all_ended()
    }
}

/// The key of the one row.
fn key() -> Key {
    Key::of(b"operators' tokens")
}

/// The rules for one token: it is there, or it was revoked.
struct TokenRules {
    tokens: Weak<Shared>,
    family: Family,
    scopes: BTreeSet<String>,
}

impl principal::Rules for TokenRules {
    fn granted(&self) -> Option<BTreeSet<String>> {
        let tokens = OperatorTokens(self.tokens.upgrade()?);
        let holder = tokens.loaded().tokens.get(&self.family).cloned();
        holder.filter(|holder| tokens.0.is_of_now(&holder.kept)).map(|_| self.scopes.clone())
    }

    fn possible(&self) -> BTreeSet<String> {
        self.scopes.clone()
    }

    fn changes(&self) -> watch::Receiver<()> {
        let shared = self.tokens.upgrade();
        let people = shared.as_ref().and_then(|shared| shared.people.as_ref());
        people.map_or_else(|| watch::channel(()).1, People::changes)
    }
}

#[cfg(test)]
mod tests;
