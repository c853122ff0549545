//! Sessions of browsers on this server's own pages.
//!
//! Such a session is one like any other, through a client that is this server itself: the same row, the same rules, and
//! ended by the same acts. It has no code and no refresh token; its one access token is the browser's cookie, which is
//! of a kind of its own and no bearer token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::bearer::BearerError;
use super::record::{AccessRecord, BrowserRecord, CodeRecord, Record};
use super::{Beside, Sessions, TRIES, encode};
use crate::audit::event::TokenChange;
use crate::auth::identity::Identity;
use crate::auth::tokens::{Family, Token, TokenKind};
use crate::auth::upstream::messages::UpstreamTokens;
use crate::clock::{self, now_ms, now_s};
use crate::principal::Principal;
use crate::store::{Committed, StoreError, Table, Write};
use crate::view::View;

/// The client's id of such a session. No client registers under it, and nobody declares one.
pub(in crate::auth) const CLIENT: &str = "tinymcp:browser";

/// The longest time between two pages.
const IDLE: Duration = Duration::from_secs(8 * 3600);

/// The longest life, however much it is used: a day's work.
pub(in crate::auth) const LIFE: Duration = Duration::from_secs(24 * 3600);

/// The time after which a use is noted: so much earlier than [`IDLE`] a session may end.
const NOTED_S: u64 = 300;

/// A browser whose person has logged in.
pub(in crate::auth) struct LiveBrowser {
    pub(in crate::auth) family: Family,
    pub(in crate::auth) principal: Arc<Principal>,
    pub(in crate::auth) identity: Arc<Identity>,
    /// The time, in seconds since 1970, from which on the person is known to have shown who they are; none if that is not
    /// known.
    pub(in crate::auth) shown_s: Option<u64>,
}

impl Sessions {
    /// Begins a session of a browser, and gives its cookie. Without the rows beside it there is no
    /// session. `shown_s` is the time from which on the person has shown who they are.
    pub(in crate::auth) async fn begin_browser(
        &self,
        identity: Identity,
        upstream: UpstreamTokens,
        shown_s: Option<u64>,
        beside: Beside<impl FnOnce(&str) -> Vec<Write>>,
    ) -> Result<Option<String>, StoreError> {
        let family = Family::at(beside.place);
        let cookie = Token::new(&self.vault, TokenKind::Browser, family);
        let now_s = now_s();
        let approved = self.people.all_scopes();
        let life_s = self.lives.session_max.map_or(LIFE, |max| max.min(LIFE)).as_secs();
        let access =
            AccessRecord { hash: cookie.hash(), expires_s: now_s + life_s, scopes: approved.clone(), generation: 0 };
        let record = Record {
            view: View::default(),
            identity,
            provider: self.upstream.name().to_owned(),
            client_id: CLIENT.to_owned(),
            client_name: None,
            approved,
            created_s: now_s,
            changes: 0,
            code: CodeRecord {
                // Of a code that nobody gets, used.
                hash: Token::new(&self.vault, TokenKind::Code, family).hash(),
                redirect_uri: String::new(),
                challenge: String::new(),
                expires_s: now_s,
                used_ms: Some(now_ms()),
            },
            upstream,
            access: vec![access],
            refresh: None,
            refused_since_s: None,
            all_ended: self.people.all_ended(),
            used: None,
            browser: Some(BrowserRecord { used_s: now_s, shown_s }),
        };
        let (table, expires) = (Table::Session, ends(&record, now_s));
        let insert = Write::Insert { table, key: family.row(), value: encode(&record), expires };
        let writes = std::iter::once(insert).chain((beside.rows)(cookie.text())).collect();
        let committed = self.store.commit(writes).await?;
        Ok((committed == Committed::Done).then(|| cookie.text().to_owned()))
    }

    /// Finds the browser behind a cookie.
    ///
    /// # Errors
    /// [`BearerError`].
    pub(in crate::auth) async fn browser(self: &Arc<Self>, raw_cookie: &str) -> Result<LiveBrowser, BearerError> {
        let cookie = Token::open(&self.vault, TokenKind::Browser, raw_cookie).ok_or(BearerError::Foreign)?;
        let family = cookie.family;
        let (live, principal) = self.holder(family, cookie.hash(), || None).await?;
        let Some(BrowserRecord { used_s, shown_s }) = live.facts.browser else { return Err(BearerError::Foreign) };
        let now_s = now_s();
        // The row ends then, and its copy in memory a little later.
        if now_s >= used_s + IDLE.as_secs() {
            return Err(BearerError::Expired);
        }
        if now_s >= used_s + NOTED_S {
            let sessions = Arc::clone(self);
            self.in_flight.spawn(async move { sessions.note_browser_use(family).await });
        }
        let identity = Arc::clone(&live.facts.identity);
        Ok(LiveBrowser { family, principal, identity, shown_s })
    }

    /// Ends the session of a cookie; nothing, if it is none or has ended.
    pub(in crate::auth) async fn end_browser(&self, raw_cookie: &str) -> Result<(), StoreError> {
        let Some(cookie) = Token::open(&self.vault, TokenKind::Browser, raw_cookie) else { return Ok(()) };
        let Some((_, record)) = self.load(&cookie.family).await? else { return Ok(()) };
        self.tell(TokenChange::Ended, &record, Some("logged_out"));
        self.end(&cookie.family, Some(record)).await
    }

    /// Notes the address from which a browser was used.
    pub(in crate::auth) fn note_browser(&self, family: Family, from: IpAddr) {
        self.presences.of(family).note(now_s(), || Some(from));
    }

    /// Notes that a session is in use, which lengthens its life.
    async fn note_browser_use(&self, family: Family) {
        for _ in 0..TRIES {
            let Ok(Some((row, mut record))) = self.load(&family).await else { return };
            let now_s = now_s();
            let Some(browser) = record.browser.as_mut().filter(|it| now_s >= it.used_s + NOTED_S) else { return };
            browser.used_s = now_s;
            let expires = ends(&record, now_s);
            match self.replace(&family, &row, &mut record, expires).await {
                Ok(Committed::Conflict) => {}
                Ok(Committed::Done) => {
                    self.remember(family, &record);
                    return;
                }
                Err(error) => {
                    tracing::warn!(?error, "the use of a browser's session could not be noted");
                    return;
                }
            }
        }
    }
}

/// The end of a browser's session that was used a moment ago.
fn ends(record: &Record, used_s: u64) -> SystemTime {
    let idle = SystemTime::UNIX_EPOCH + Duration::from_secs(used_s) + IDLE;
    let cookie = record.access.iter().map(|access| access.expires_s).max();
    let end = cookie.map(|end_s| SystemTime::UNIX_EPOCH + Duration::from_secs(end_s));
    end.unwrap_or_else(clock::now).min(idle)
}
