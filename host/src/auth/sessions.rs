//! Sessions: the tokens of one person's login through one client, from the code to the end.
//!
//! [`refresh`] and [`bearer`] serve the two kinds of tokens; here are the code, the end of a session, and its row.
//! `login_token` gives a call the provider's own token. `asking` asks the provider, one request at a time: in this process by
//! `turns`, and of all servers of the store by `shared_turns`.
//!
//! Invariant: a session is one row of the store ([`record`]), and every change of it is a compare-and-swap on that
//! row. Two redemptions of a code, two refreshes, or a refresh and a revocation therefore have one winner, whichever
//! process they reach; the loser reads the row again and finds the result.

mod asking;
pub(super) mod bearer;
pub(super) mod browser;
mod cache;
mod concurrency;
mod elsewhere;
mod former;
pub(super) mod listed;
mod login_token;
pub(super) mod own;
mod presence;
mod recheck;
mod record;
mod recorded;
mod refresh;
mod refused;
mod revoked;
mod shared_turns;
mod transition;
mod turns;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::cache::SessionCache;
pub(super) use self::concurrency::StartTime;
use self::concurrency::{AnswerCache, PendingRenewals, Silences};
use self::former::Former;
use self::presence::Presences;
pub(super) use self::record::Answer;
use self::record::{AccessRecord, CodeRecord, Record, RefreshRecord};
use self::shared_turns::SharedTurns;
pub(super) use self::turns::Turns;
use super::errors::OAuthError;
use super::people::People;
use super::tokens::{Family, Lineage, Token, TokenHash, TokenKind};
use super::upstream::Upstream;
use crate::audit::Audit;
use crate::audit::event::TokenChange;
use crate::auth::identity::Identity;
use crate::auth::upstream::messages::UpstreamTokens;
use crate::clock::{self, now_ms, now_s};
use crate::replicas::OfLate;
use crate::store::{Committed, Key, Primary, Row, Store, StoreError, Table, Write};
use crate::vault::{self, Vault};
use crate::view::View;

/// Life of an authorization code. RFC 6749 §4.1.2 recommends at most 10 minutes. Most clients redeem at once; where the
/// browser is on another machine, people carry the URL over by hand.
const CODE_TTL: Duration = Duration::from_secs(300);

/// The life of the row of a code that was refused, or that nobody has used.
const CODE_REMEMBERED: Duration = Duration::from_secs(600);

/// Tries of a compare-and-swap. Each loss means that somebody else has won, so more than a few are a fault.
const TRIES: usize = 32;

/// See `giving_back`.
const GIVING_BACK_MAX: usize = 8;

const GONE: OAuthError =
    OAuthError::InvalidGrant("the token is not valid any more, or was never given to this client: log in again");
const BAD_CODE: OAuthError = OAuthError::InvalidGrant(
    "the code is unknown, expired or used, or belongs to another client, redirect URI or code_challenge",
);

/// The lives of tokens.
#[derive(Debug, Clone)]
pub(super) struct Lives {
    pub(super) access: Duration,
    /// The life of a refresh token, from the last refresh on.
    pub(super) refresh: Duration,
    /// The longest life of a session, from the login on.
    pub(super) session_max: Option<Duration>,
    /// The time for which the answer to a refresh may be repeated once a token of it was seen.
    pub(super) grace: Duration,
    /// The time for which the provider may refuse to renew one session before it ends.
    pub(super) refused: Duration,
    /// The time after which the provider is asked again about a person whose session is in use.
    pub(super) recheck: Option<Duration>,
}

/// A login that has succeeded.
pub(super) struct NewSession {
    pub(super) identity: Identity,
    pub(super) upstream: UpstreamTokens,
    pub(super) client_id: String,
    pub(super) client_name: Option<String>,
    pub(super) approved: BTreeSet<String>,
    pub(super) view: View,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
}

/// Rows that are written together with a session or not at all, and where they are.
pub(super) struct Beside<F> {
    pub(super) place: u8,
    /// The server on which they were read.
    pub(super) primary: Primary,
    /// They are made with the session's code, or its cookie.
    pub(super) rows: F,
}

/// The progress of a code towards tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It can be redeemed.
    Waiting,
    /// It was redeemed, and its session goes on.
    Redeemed,
    /// It was not redeemed in time or not by its client, or its session has ended.
    Over,
}

/// The request of a client that redeems a code.
pub(super) struct Redemption {
    pub(super) code: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: Option<String>,
    pub(super) verifier: String,
    /// The view that the client names, if it names one.
    pub(super) view: Option<View>,
    pub(super) began: StartTime,
}

/// All sessions; one `Arc` of it serves every request.
pub(super) struct Sessions {
    store: Store,
    vault: Vault,
    people: People,
    upstream: Arc<Upstream>,
    lives: Lives,
    cache: SessionCache,
    presences: Presences,
    former: Former,
    /// Access tokens that were revoked alone.
    revoked: OfLate<(Family, TokenHash)>,
    turns: Turns<Family>,
    shared_turns: SharedTurns,
    /// The turns of people who look at their own sessions.
    listing: Turns<[u8; 32]>,
    answered: AnswerCache,
    unsaved: PendingRenewals,
    /// True while a task writes down what is unsaved.
    is_saving: AtomicBool,
    silences: Silences,
    in_flight: TaskTracker,
    audit: Audit,
    /// Ended logins that are given back to the provider at a time: many may end at once.
    giving_back: Arc<Semaphore>,
    /// Itself, for the principals in its cache.
    own: Weak<Self>,
}

impl Sessions {
    pub(super) fn new(
        store: Store,
        vault: Vault,
        people: People,
        upstream: Arc<Upstream>,
        lives: Lives,
        in_flight: TaskTracker,
        audit: Audit,
    ) -> Arc<Self> {
        let (cache, presences, former, revoked, turns) = Default::default();
        let (listing, answered, unsaved, is_saving, silences) = Default::default();
        let shared_turns = SharedTurns::of(&store, in_flight.clone());
        Arc::new_cyclic(|own| {
            let own = Weak::clone(own);
            let giving_back = Arc::new(Semaphore::new(GIVING_BACK_MAX));
            Self {
                store,
                vault,
                people,
                upstream,
                lives,
                cache,
                presences,
                former,
                revoked,
                turns,
                shared_turns,
                listing,
                answered,
                unsaved,
                is_saving,
                silences,
                in_flight,
                giving_back,
                audit,
                own,
            }
        })
    }

    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// Begins a session, and gives its code. Without the rows beside it there is no code.
    pub(super) async fn begin(
        &self,
        login: NewSession,
        beside: Beside<impl FnOnce(&str) -> Vec<Write>>,
    ) -> Result<Option<String>, StoreError> {
        let family = Family::at(beside.place);
        let code = Token::with(&self.vault, TokenKind::Code, family, Lineage::of(0, beside.primary));
        let now_s = now_s();
        let record = Record {
            identity: login.identity,
            provider: self.upstream.name().to_owned(),
            client_id: login.client_id,
            client_name: login.client_name,
            approved: login.approved,
            view: login.view,
            created_s: now_s,
            changes: 0,
            code: CodeRecord {
                hash: code.hash(),
                redirect_uri: login.redirect_uri,
                challenge: login.challenge,
                expires_s: now_s + CODE_TTL.as_secs(),
                used_ms: None,
            },
            upstream: login.upstream,
            access: Vec::new(),
            refresh: None,
            refused_since_s: None,
            all_ended: self.people.all_ended(),
            used: None,
            browser: None,
        };
        let expires = clock::now() + CODE_REMEMBERED;
        let insert = Write::Insert { table: Table::Session, key: family.row(), value: encode(&record), expires };
        let writes = std::iter::once(insert).chain((beside.rows)(code.text())).collect();
        let committed = self.store.commit(writes).await?;
        Ok((committed == Committed::Done).then(|| code.text().to_owned()))
    }

    /// The progress of a code towards tokens.
    pub(super) async fn progress(&self, raw_code: &str) -> Result<Progress, StoreError> {
        let Some(code) = Token::open(&self.vault, TokenKind::Code, raw_code) else { return Ok(Progress::Over) };
        let Some((_, record)) = self.load(&code.family).await? else { return Ok(Progress::Over) };
        Ok(match record.code.used_ms {
            None if record.code.expires_s > now_s() => Progress::Waiting,
            Some(_) if record.refresh.is_some() => Progress::Redeemed,
            _ => Progress::Over,
        })
    }

    /// Exchanges an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.6).
    ///
    /// Of redemptions at once one wins, and the others share its answer. A wrong client or redirect URI leaves the code
    /// as it is, so that nobody can use up somebody else's; a wrong verifier uses it up.
    ///
    /// # Errors
    /// `invalid_grant`, without the reason. A code that comes again with its verifier, later than
    /// a client tries again, was stolen with it and ends the session; without its verifier it was in a URL that
    /// somebody has read, and nobody can do anything with it.
    pub(super) async fn redeem(self: &Arc<Self>, redemption: Redemption) -> Result<Answer, OAuthError> {
        let code = Token::open(&self.vault, TokenKind::Code, &redemption.code).ok_or(BAD_CODE)?;
        let sessions = Arc::clone(self);
        // A client that goes away must not keep the answer from the others that wait for it.
        let work = async move {
            let family = code.family;
            sessions.turns.take(family, sessions.redeem_in_turn(&code, &redemption)).await
        };
        self.in_flight.spawn(work).await.unwrap_or_else(|_| Err(OAuthError::unavailable()))
    }

    async fn redeem_in_turn(&self, code: &Token, redemption: &Redemption) -> Result<Answer, OAuthError> {
        for _ in 0..TRIES {
            let (row, mut record) = self.load(&code.family).await?.ok_or(BAD_CODE)?;
            if record.code.hash != code.hash() || record.client_id != redemption.client_id {
                return Err(BAD_CODE);
            }
            let judged = transition::redemption(code.lineage, record.code.used_ms, row.revision.primary);
            if judged == transition::Redemption::Doubtful {
                return Err(BAD_CODE);
            }
            record.require_view(redemption.view.as_ref())?;
            let is_other_redirect =
                redemption.redirect_uri.as_ref().is_some_and(|uri| *uri != record.code.redirect_uri);
            let has_verifier = fits(&redemption.verifier, &record.code.challenge);
            if let transition::Redemption::Used { at_ms } = judged {
                let shared = self.answered.get(&record.code.hash, redemption.began);
                if let Some(answer) = shared.filter(|_| has_verifier && !is_other_redirect) {
                    return Ok(answer);
                }
                // One that was spent with a wrong verifier has no session that could end.
                if has_verifier && record.refresh.is_some() && redemption.began.is_long_after(at_ms) {
                    tracing::warn!(session = ?code.family, "an authorization code was used twice; its session ends");
                    self.tell(TokenChange::Ended, &record, Some("code_used_twice"));
                    self.end(&code.family, Some(record)).await?;
                }
                return Err(BAD_CODE);
            }
            let now_s = now_s();
            if record.code.expires_s <= now_s || is_other_redirect {
                return Err(BAD_CODE);
            }
            record.code.used_ms = Some(now_ms());
            if !has_verifier {
                let expires = clock::now() + CODE_REMEMBERED;
                if self.replace(&code.family, &row, &mut record, expires).await? == Committed::Done {
                    self.upstream.discard(record.upstream);
                }
                return Err(BAD_CODE);
            }
            let granted = self.granted(&record, None);
            let (answer, refresh) = self.mint((code.family, row.revision.primary), &mut record, granted, 0, now_s);
            record.refresh = Some(RefreshRecord { current: refresh, generation: 0, predecessor: None });
            let expires = self.expires(&record);
            if self.replace(&code.family, &row, &mut record, expires).await? == Committed::Done {
                self.remember(code.family, &record);
                self.answered.note(code.hash(), answer.clone());
                self.tell(TokenChange::Issued, &record, None);
                return Ok(answer);
            }
        }
        Err(OAuthError::unavailable())
    }

    /// Revokes a token of this client (RFC 7009): a refresh token with its whole session, an access token alone.
    /// An unknown token, or another client's, is left as it is, and nobody is told.
    pub(super) async fn revoke(&self, raw_token: &str, client_id: &str) -> Result<(), OAuthError> {
        if let Some(token) = Token::open(&self.vault, TokenKind::Refresh, raw_token) {
            let Some((_, record)) = self.load(&token.family).await? else { return Ok(()) };
            if record.client_id == client_id {
                tracing::info!(session = ?token.family, "revoked by its client; the session ends");
                self.tell(TokenChange::Ended, &record, Some("revoked"));
                self.end(&token.family, Some(record)).await?;
            }
            return Ok(());
        }
        let Some(token) = Token::open(&self.vault, TokenKind::Access, raw_token) else { return Ok(()) };
        self.revoke_access(token.family, token.hash(), client_id).await
    }

    /// The scopes of an access token: those that were approved, that the person holds, and that are asked for now.
    fn granted(&self, record: &Record, asked: Option<&BTreeSet<String>>) -> BTreeSet<String> {
        let granted = &record.approved & &self.people.held_by(&record.identity);
        match asked {
            Some(asked) => &granted & asked,
            None => granted,
        }
    }

    fn mint(
        &self,
        (family, primary): (Family, Primary),
        record: &mut Record,
        scopes: BTreeSet<String>,
        generation: u32,
        now_s: u64,
    ) -> (Answer, TokenHash) {
        let lineage = Lineage::of(generation, primary);
        let refresh = Token::with(&self.vault, TokenKind::Refresh, family, lineage);
        let (access_token, expires_s) = self.mint_access(family, record, scopes.clone(), generation, now_s);
        let refresh_token = refresh.text().to_owned();
        (Answer { access_token, refresh_token, scopes, issued_s: now_s, expires_s }, refresh.hash())
    }

    /// Adds an access token to the record. Returns its text and its end.
    fn mint_access(
        &self,
        family: Family,
        record: &mut Record,
        scopes: BTreeSet<String>,
        generation: u32,
        now_s: u64,
    ) -> (String, u64) {
        let access = Token::new(&self.vault, TokenKind::Access, family);
        let expires_s = self.access_end_s(record, now_s);
        record.add_access(AccessRecord { hash: access.hash(), expires_s, scopes, generation }, now_s);
        (access.text().to_owned(), expires_s)
    }

    /// The end of an access token that is made now.
    fn access_end_s(&self, record: &Record, now_s: u64) -> u64 {
        let end_s = now_s + self.lives.access.as_secs();
        self.lives.session_max.map_or(end_s, |max| end_s.min(record.created_s + max.as_secs()))
    }

    fn expires(&self, record: &Record) -> SystemTime {
        let sliding = clock::now() + self.lives.refresh;
        let end =
            self.lives.session_max.map(|max| SystemTime::UNIX_EPOCH + Duration::from_secs(record.created_s) + max);
        end.map_or(sliding, |end| end.min(sliding))
    }

    async fn load(&self, family: &Family) -> Result<Option<(Row, Record)>, StoreError> {
        let Some(row) = self.store.get(Table::Session, &family.row()).await? else {
            self.forget_unsaved(family);
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&row.value)
            .map_err(|_| StoreError::Damaged("a session's row is not what this version writes".to_owned()))?;
        if !self.upstream.vouches_for(&record.provider, &record.identity) {
            tracing::info!(session = ?family, "a session of another provider is not continued");
            return Ok(None);
        }
        if record.all_ended < self.people.all_ended() {
            return Ok(None);
        }
        Ok(Some((row, record)))
    }

    async fn replace(
        &self,
        family: &Family,
        row: &Row,
        record: &mut Record,
        expires: SystemTime,
    ) -> Result<Committed, StoreError> {
        record.changes += 1;
        let noted = self.presences.find(&family.row()).and_then(|presence| presence.last_use());
        record.used = record.used.into_iter().chain(noted).max_by_key(|noted| noted.at_s);
        let (table, revision, value) = (Table::Session, row.revision, encode(record));
        self.store.commit(vec![Write::Replace { table, key: family.row(), revision, value, expires }]).await
    }

    /// Ends a session for good: its row is gone before anybody is told, and tokens that are presented later find
    /// nothing.
    async fn end(&self, family: &Family, record: Option<Record>) -> Result<(), StoreError> {
        self.end_row(family.row(), record).await
    }

    /// The same by the key of its row.
    async fn end_row(&self, key: Key, record: Option<Record>) -> Result<(), StoreError> {
        self.store.commit(vec![Write::Remove { table: Table::Session, key }]).await?;
        // Nobody takes it any more; then all that goes on in it is told.
        let family = self.presences.find(&key).map(|presence| presence.family);
        let live = family.and_then(|family| self.cache.get(&family)).map(|live| former::of_facts(&live.facts));
        if let Some(holder) = record.as_ref().map(former::of_record).or(live) {
            self.former.note(key, holder);
        }
        self.cache.end(key, family);
        self.presences.end(&key);
        if let Some(record) = record {
            if record.browser.is_some() {
                // Whoever closes a page goes on with every client: only what costs them nothing else is given back.
                self.upstream.discard(record.upstream);
                return Ok(());
            }
            let (upstream, turns) = (Arc::clone(&self.upstream), Arc::clone(&self.giving_back));
            self.in_flight.spawn(async move {
                let _turn = turns.acquire().await;
                upstream.revoke(&record.upstream).await;
            });
        }
        Ok(())
    }
}

fn encode(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record is JSON")
}

/// Tells whether a verifier belongs to a challenge, by S256 (RFC 7636 §4.6).
fn fits(verifier: &str, challenge: &str) -> bool {
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    is_verifier && vault::is_equal(hash.as_bytes(), challenge.as_bytes())
}
