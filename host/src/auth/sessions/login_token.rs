//! The provider's access token of a session, for requests of plugins that were granted it (`as = "login"`).
//!
//! It is read from the session's row each time, and kept nowhere else: what ends a session ends this at once.

use std::sync::{Arc, Weak};

use futures::future::BoxFuture;

use super::record::Record;
use super::{Sessions, TRIES};
use crate::audit::event::TokenChange;
use crate::auth::errors::{self, OAuthError};
use crate::auth::tokens::Family;
use crate::principal::{LoginToken, NoLoginToken};
use crate::secret::Secret;
use crate::store::{Committed, StoreError};

/// The login of one session. The cache of sessions holds principals, and they hold this: it must not hold the sessions.
pub(super) struct SessionLogin {
    sessions: Weak<Sessions>,
    family: Family,
}

impl SessionLogin {
    pub(super) fn new(sessions: &Weak<Sessions>, family: Family) -> Self {
        Self { sessions: Weak::clone(sessions), family }
    }
}

impl LoginToken for SessionLogin {
    fn token(&self) -> BoxFuture<'_, Result<Secret, NoLoginToken>> {
        Box::pin(async move {
            let sessions = self.sessions.upgrade().ok_or(NoLoginToken::Unavailable)?;
            sessions.login_token(self.family).await
        })
    }
}

impl Sessions {
    async fn login_token(self: Arc<Self>, family: Family) -> Result<Secret, NoLoginToken> {
        let (_, record) = self.load(&family).await?.ok_or(NoLoginToken::Ended)?;
        let token = self.token_of(&record)?;
        if !self.people.continues(&record.identity, &record.client_id, record.all_ended) {
            return Err(NoLoginToken::Ended);
        }
        if !record.upstream.is_ending() {
            return Ok(token);
        }
        let sessions = Arc::clone(&self);
        // A call that is cancelled must not take the provider's new tokens with it.
        let work = async move { sessions.turns.take(family, sessions.renewed_login_token(family)).await };
        self.in_flight.spawn(work).await.unwrap_or(Err(NoLoginToken::Unavailable))
    }

    /// Renews the provider's tokens, unless whoever had the turn before has done so.
    async fn renewed_login_token(&self, family: Family) -> Result<Secret, NoLoginToken> {
        for _ in 0..TRIES {
            let (row, mut record) = self.load(&family).await?.ok_or(NoLoginToken::Ended)?;
            let renewed = match self.renewed(&family, &row, &record).await {
                Ok(Some(renewed)) => renewed,
                Ok(None) => continue,
                Err(OAuthError::InvalidGrant(_)) => return Err(NoLoginToken::Ended),
                // It is good for a moment more.
                Err(_) if !record.upstream.is_over() => return self.token_of(&record),
                Err(_) => return Err(NoLoginToken::Unavailable),
            };
            if renewed.tokens.is_none() {
                // Nothing was due, or nothing can be renewed.
                return if record.upstream.is_over() { Err(NoLoginToken::Ended) } else { self.token_of(&record) };
            }
            renewed.apply(&mut record);
            if !self.people.admits(&record.identity) {
                tracing::warn!(session = ?family, "the person may not log in any more; the session ends");
                self.tell(TokenChange::Ended, &record, Some("turned_away"));
                self.end(&family, Some(record)).await?;
                return Err(NoLoginToken::Ended);
            }
            if self.replace_renewed((family, renewed), &row, &mut record, row.expires).await? == Committed::Done {
                self.remember(family, &record);
                return self.token_of(&record);
            }
        }
        Err(NoLoginToken::Unavailable)
    }

    fn token_of(&self, record: &Record) -> Result<Secret, NoLoginToken> {
        let token = self.upstream.access_token(&record.upstream).ok_or(NoLoginToken::NoProvider)?;
        Ok(Secret::new(token.to_owned()))
    }
}

impl From<StoreError> for NoLoginToken {
    fn from(error: StoreError) -> Self {
        errors::store_failed(&error);
        Self::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sha2::{Digest as _, Sha256};
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::super::{Answer, Beside, Lives, NewSession, Redemption, StartTime};
    use super::*;
    use crate::audit::Audit;
    use crate::auth::identity::{Identity, Membership};
    use crate::auth::people::People;
    use crate::auth::tokens::LastToken;
    use crate::auth::upstream::Upstream;
    use crate::auth::upstream::local::Local;
    use crate::auth::upstream::messages::UpstreamTokens;
    use crate::auth::upstream::remote::Remote;
    use crate::clock::{self, now_s};
    use crate::config::address::BaseUrl;
    use crate::config::{Config, Egress, Provider};
    use crate::principal::Principal;
    use crate::state::{Secrets, StateDir};
    use crate::store::{Key, Primary, Store, Table, Write};
    use crate::vault::Vault;

    const CLIENT: &str = "client";

    struct Ground {
        _dir: TempDir,
        sessions: Arc<Sessions>,
    }

    /// A provider elsewhere that cannot be reached: nothing listens at that port.
    fn unreachable() -> Upstream {
        let text = "auth.provider = 'acme'\n[auth.providers.acme]\ndiscovery = 'http://127.0.0.1:1/'\nclient_id = 'us'\nclient_secret = 'hunter2'\nscopes = ['openid']";
        let (provider, base_url) = (Provider::for_tests(text, &[]), BaseUrl::localhost(8000));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Upstream::Remote(Remote::start(provider, &base_url, &Egress::default(), None, &tasks, stop).unwrap())
    }

    impl Ground {
        fn new(upstream: Upstream, config: Config) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::open(dir.path(), &Secrets::default()).unwrap();
            let store = Store::open(&state, &TaskTracker::new(), CancellationToken::new()).unwrap();
            let hour = Duration::from_secs(3600);
            let lives =
                Lives { access: hour, refresh: hour, session_max: None, grace: hour, refused: hour, recheck: None };
            let (people, in_flight) = (People::fixed(config, false), TaskTracker::new());
            let sessions = Sessions::new(
                store,
                Vault::for_tests(1),
                people,
                Arc::new(upstream),
                lives,
                in_flight.clone(),
                Audit::default(),
            );
            Self { _dir: dir, sessions }
        }

        /// Alice after her login, whose token of the provider ends then.
        async fn alice(&self, issuer: &str, ends_at: Option<u64>, refresh: Option<&str>) -> (Arc<Principal>, Answer) {
            let identity = Identity {
                issuer: issuer.to_owned(),
                subject: "alice".to_owned(),
                email: Some("alice@example.com".to_owned()),
                email_verified: true,
                name: None,
                organizations: Vec::new(),
                membership: Membership::Whole,
                further_emails: Vec::new(),
                scopes: Vec::new(),
                sid: None,
            };
            let upstream = UpstreamTokens {
                access_token: "of-the-provider".to_owned(),
                refresh_token: refresh.map(str::to_owned),
                id_token: None,
                expires_at: ends_at,
                scope: Vec::new(),
                checked_at: now_s(),
            };
            let verifier = "v".repeat(43);
            let login = NewSession {
                view: Default::default(),
                identity,
                upstream,
                client_id: CLIENT.to_owned(),
                client_name: None,
                approved: BTreeSet::new(),
                redirect_uri: "http://localhost/".to_owned(),
                challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier)),
            };
            let key = Key::of(b"beside");
            let rows = |_: &str| {
                let (table, value) = (Table::Transaction, Vec::new());
                vec![Write::Insert { table, key, value, expires: clock::now() + Duration::from_secs(60) }]
            };
            let beside = Beside { place: key.place(), primary: Primary::LASTING, rows };
            let code = self.sessions.begin(login, beside).await.unwrap().unwrap();
            let (client_id, redirect_uri, began) = (CLIENT.to_owned(), None, StartTime::now());
            let redemption = Redemption { code, client_id, redirect_uri, verifier, view: None, began };
            let answer = self.sessions.redeem(redemption).await.unwrap();
            let principal =
                self.sessions.authenticate(&answer.access_token, &LastToken::default(), || None).await.unwrap();
            (principal, answer)
        }
    }

    #[tokio::test]
    async fn a_token_is_given_until_its_session_is_revoked() {
        let ground = Ground::new(unreachable(), Config::default());
        let (alice, answer) = ground.alice("https://id.example", Some(now_s() + 3600), Some("r")).await;
        assert_eq!(alice.login_token().await.unwrap().reveal(), "of-the-provider");
        ground.sessions.revoke(&answer.refresh_token, CLIENT).await.unwrap();
        assert_eq!(alice.login_token().await, Err(NoLoginToken::Ended));
        drop(ground);
        assert_eq!(alice.login_token().await, Err(NoLoginToken::Unavailable), "a principal keeps no sessions");
    }

    /// A listener may last for hours without another request of its session, and ends with it all the same.
    #[tokio::test]
    async fn a_session_that_memory_forgets_is_in_use_while_somebody_calls_by_it() {
        let ground = Ground::new(unreachable(), Config::default());
        let (alice, answer) = ground.alice("https://id.example", Some(now_s() + 3600), Some("r")).await;
        assert_eq!(ground.sessions.cache.kept_for(Duration::from_secs(60)), 1, "it was just used");
        assert_eq!(ground.sessions.cache.kept_for(Duration::ZERO), 0);
        assert_eq!(ground.sessions.presences.in_use().len(), 1);
        drop(alice);
        assert!(ground.sessions.presences.in_use().is_empty());
        let again = ground.sessions.authenticate(&answer.access_token, &LastToken::default(), || None).await.unwrap();
        assert!(again.login_token().await.is_ok(), "the store knows it");
        ground.sessions.cache.kept_for(Duration::ZERO);
        ground.sessions.revoke(&answer.refresh_token, CLIENT).await.unwrap();
        assert_eq!(again.login_token().await, Err(NoLoginToken::Ended));
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_renewed_is_given_while_it_is_good() {
        let now = now_s();
        for (ends_at, refresh, expected) in [
            (Some(now + 30), Some("r"), None),
            (Some(now + 30), None, None),
            (None, None, None),
            (Some(now), Some("r"), Some(NoLoginToken::Unavailable)),
            (Some(now), None, Some(NoLoginToken::Ended)),
        ] {
            let ground = Ground::new(unreachable(), Config::default());
            let (alice, _) = ground.alice("https://id.example", ends_at, refresh).await;
            assert_eq!(alice.login_token().await.err(), expected, "{ends_at:?} {refresh:?}");
        }
    }

    #[tokio::test]
    async fn the_built_in_login_has_no_token() {
        let local = Local::new(&BaseUrl::localhost(8000), Vault::for_tests(2));
        let issuer = local.issuer().to_owned();
        let ground = Ground::new(Upstream::Local(local), Config::default());
        let (alice, _) = ground.alice(&issuer, None, None).await;
        assert_eq!(alice.login_token().await, Err(NoLoginToken::NoProvider));
        assert_eq!(Principal::anonymous().login_token().await, Err(NoLoginToken::NoProvider));
    }
}
