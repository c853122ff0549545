//! A provider elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::authorization::{authorize_url, check_issuer, scopes};
use super::breaker::Wire;
use super::discovery::{Discovery, Knowledge, ProviderMetadata};
use super::faults::Faults;
use super::inquiry::{IdentityError, Inquiry, names_provider};
use super::logout;
use super::notes::Notes;
use super::refusals::Refusals;
use super::token::{Grant, Preference, TokenEndpoint, Tokens};
use crate::auth::failures::Failure;
use crate::auth::failures::provider::ProviderFailures;
use crate::auth::identity::Membership;
use crate::auth::upstream::messages::{
    Callback, Login, LoginError, Logout, LogoutError, RefreshError, RefreshOutcome, Unusable, UpstreamRequest,
    UpstreamTokens,
};
use crate::clock::now_s;
use crate::config::address::BaseUrl;
use crate::config::provider::Revocation;
use crate::config::{Egress, Provider};
use crate::fetch::{FetchError, ProviderHttp};
use crate::state::StateDir;

/// The longest time that a person waits for the first look at the provider.
const FIRST_LOOK: Duration = Duration::from_secs(8);

/// The time after which a login that has not come back is remarkable: a provider that does not know the callback URL
/// keeps the person.
const CALLBACK_DUE: Duration = Duration::from_secs(120);

/// Seconds until a provider that cannot be reached is asked again.
const RETRY_AFTER_S: u32 = 5;

/// A provider elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    provider: Arc<Provider>,
    callback: String,
    wire: Wire,
    preference: Preference,
    refusals: Refusals,
    notes: Notes,
    knowledge: watch::Receiver<Knowledge>,
    /// True once a login has come back from the provider: it knows the callback URL.
    has_come_back: AtomicBool,
    /// True while a task waits to see whether one comes back.
    is_awaited: AtomicBool,
    /// True once the lack of refresh tokens was logged.
    has_warned: AtomicBool,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Remote {
    /// Begins to find out about the provider, in the background and until `stop`.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there is no TLS to be had.
    pub fn start(
        provider: Provider,
        base_url: &BaseUrl,
        egress: &Egress,
        state: Option<&StateDir>,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, FetchError> {
        let http = ProviderHttp::through(egress, base_url.is_loopback())?;
        let provider = Arc::new(provider);
        let notes = Notes::of(state.map(StateDir::path), provider.name());
        let (discovery, knowledge) = Discovery::new(Arc::clone(&provider), http.clone(), base_url.is_loopback(), state);
        tracker.spawn(discovery.run(stop.clone()));
        Ok(Self(Arc::new(Inner {
            provider,
            callback: base_url.callback(),
            wire: Wire::new(http),
            preference: Preference::default(),
            refusals: Refusals::new(notes.is_refused_alike()),
            notes,
            knowledge,
            has_come_back: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            tracker: tracker.clone(),
            stop,
        })))
    }

    pub(super) fn name(&self) -> &str {
        self.0.provider.name()
    }

    pub(super) fn display_name(&self) -> &str {
        self.0.provider.display_name()
    }

    pub(super) fn client_id(&self) -> &str {
        &self.0.provider.client_id
    }

    pub(super) fn is_known(&self) -> bool {
        self.known().is_some()
    }

    pub(super) fn scopes(&self) -> Vec<String> {
        scopes(&self.0.provider, self.known().as_deref())
    }

    /// True for an issuer by which the provider names itself. While nothing is known of it, its name in the
    /// configuration has to do.
    pub(super) fn issues(&self, issuer: &str) -> bool {
        self.known().is_none_or(|known| names_provider(&self.0.provider, &known, issuer))
    }

    /// Waits for the provider's metadata, for ten seconds at most.
    pub(super) async fn ready(&self) -> Result<Arc<ProviderMetadata>, Failure> {
        let mut knowledge = self.0.knowledge.clone();
        let looked = knowledge.wait_for(|knowledge| !matches!(knowledge, Knowledge::Looking));
        let looked = tokio::time::timeout(FIRST_LOOK, looked).await;
        match looked.ok().and_then(Result::ok).map(|found| found.clone()) {
            Some(Knowledge::Known(known)) => Ok(known),
            Some(Knowledge::Failed(error)) => Err(self.failures(&self.scopes()).unavailable(Some(&error))),
            Some(Knowledge::Looking) | None => Err(self.failures(&self.scopes()).unavailable(None)),
        }
    }

    pub(super) async fn authorize_url(&self, request: &UpstreamRequest) -> Result<Url, Failure> {
        let known = self.ready().await?;
        self.await_callback();
        Ok(authorize_url(&self.0.provider, &known, &self.scopes(), request))
    }

    pub(super) async fn log_in(&self, callback: &Callback, request: &UpstreamRequest) -> Result<Login, LoginError> {
        self.0.has_come_back.store(true, Ordering::Relaxed);
        let outcome = self.finish_login(callback, request).await;
        match &outcome {
            Ok(login) => {
                self.0.notes.login(None);
                if login.identity.membership == Membership::Overflowed {
                    self.0.notes.left_out(&self.left_out());
                }
            }
            Err(LoginError::Broken { cause, .. } | LoginError::Temporary { cause }) => {
                self.0.notes.login(Some(cause));
            }
            Err(LoginError::Operator(explanation)) => {
                self.0.notes.login(Some(explanation.quote.as_ref().unwrap_or(&explanation.happened)));
            }
            Err(LoginError::Denied { .. }) => {}
        }
        outcome
    }

    fn left_out(&self) -> String {
        let claims = self.0.provider.claims.organizations.join("`, `");
        let name = self.0.provider.display_name();
        format!("{name} did not list all that a person belongs to (`{claims}`), who is in too many")
    }

    async fn finish_login(&self, callback: &Callback, request: &UpstreamRequest) -> Result<Login, LoginError> {
        let Some(known) = self.known() else {
            return Err(LoginError::Temporary { cause: "nothing is known of the provider".to_owned() });
        };
        let scopes = scopes(&self.0.provider, Some(&known));
        let faults = self.faults(&scopes);
        check_issuer(&self.0.provider, &known, callback)?;
        if let Some(error) = &callback.error {
            return Err(faults.callback(error, callback.error_description.as_deref()));
        }
        let cause = "the callback has neither code nor error";
        let missing = || LoginError::Broken { kind: Unusable::Callback, cause: cause.to_owned() };
        let code = callback.code.as_ref().ok_or_else(missing)?;
        let endpoint = self.token_endpoint(&known, &scopes);
        let answer = endpoint.request(&Grant::Code { code, request }).await;
        let tokens = kept(answer.map_err(|error| faults.exchange(error))?, None, &scopes);
        if tokens.refresh_token.is_none() {
            self.warn_of_no_refresh_token(&scopes);
        }
        let inquiry = Inquiry { endpoint: &endpoint, tokens: &tokens };
        match inquiry.identity_and_time(Some(&request.nonce)).await {
            Ok((identity, auth_time)) => Ok(Login { identity, tokens, auth_time }),
            Err(error) => {
                self.discard(tokens.clone());
                Err(faults.identity(error))
            }
        }
    }

    pub(super) async fn refresh(&self, tokens: &UpstreamTokens, person: &str) -> Result<RefreshOutcome, RefreshError> {
        match self.is_due(tokens) {
            true => self.ask(tokens, person).await,
            false => Ok(RefreshOutcome::NotNeeded),
        }
    }

    pub(super) fn is_due(&self, tokens: &UpstreamTokens) -> bool {
        (tokens.refresh_token.is_some() && tokens.is_ending()) || self.is_recheck_due(tokens)
    }

    pub(super) async fn ask(&self, tokens: &UpstreamTokens, person: &str) -> Result<RefreshOutcome, RefreshError> {
        let Some(known) = self.known() else {
            return Err(RefreshError::Temporary { retry_after: Some(RETRY_AFTER_S) });
        };
        let scopes = scopes(&self.0.provider, Some(&known));
        let endpoint = self.token_endpoint(&known, &scopes);
        match &tokens.refresh_token {
            Some(refresh_token) => self.renew(&endpoint, refresh_token, tokens, person).await,
            None => self.recheck(&endpoint, tokens).await,
        }
    }

    pub(super) async fn logout(&self, token: &str) -> Result<Logout, LogoutError> {
        let Some(known) = self.known() else {
            return Err(LogoutError::Unavailable("nothing is known of it".to_owned()));
        };
        logout::read(&self.0.provider, &known, token).await
    }

    pub(super) async fn revoke(&self, tokens: &UpstreamTokens) {
        let Some(known) = self.known() else { return };
        let Some(url) = &known.revocation_endpoint else { return };
        let scopes = scopes(&self.0.provider, Some(&known));
        let endpoint = self.token_endpoint(&known, &scopes);
        let (token, kind) = match &tokens.refresh_token {
            Some(token) => (token, "refresh_token"),
            None => (&tokens.access_token, "access_token"),
        };
        let params = [("token", token.as_str()), ("token_type_hint", kind)];
        match endpoint.send_form(url, &params).await {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::warn!("the provider has not revoked a token: status {}", answer.status().as_u16()),
            Err(down) => tracing::warn!("the provider has not revoked a token: {}", down.cause),
        }
    }

    /// Revokes tokens that are kept nowhere, in the background. Where the provider takes one for all that the person has
    /// allowed, they are left to expire: the person may have sessions here that go on.
    pub(super) fn discard(&self, tokens: UpstreamTokens) {
        if self.0.provider.revocation == Revocation::Token {
            let remote = self.clone();
            self.0.tracker.spawn(async move { remote.revoke(&tokens).await });
        }
    }

    /// Exchanges a refresh token. Once that has worked the old one is spent, so that a failure after it costs no
    /// session: the person stays who they were.
    async fn renew(
        &self,
        endpoint: &TokenEndpoint<'_>,
        refresh_token: &str,
        old: &UpstreamTokens,
        person: &str,
    ) -> Result<RefreshOutcome, RefreshError> {
        let answer = endpoint.request(&Grant::Refresh(refresh_token)).await;
        let alike = |code: &str| self.0.refusals.note(code, person);
        let answer = answer.map_err(|error| self.faults(endpoint.scopes).refresh(error, alike))?;
        self.0.refusals.forget();
        self.0.notes.refresh(None);
        let tokens = kept(answer, Some(old), endpoint.scopes);
        let inquiry = Inquiry { endpoint, tokens: &tokens };
        if !inquiry.says_all() {
            return Ok(RefreshOutcome::Tokens { tokens, identity: None });
        }
        match inquiry.identity(None).await {
            Ok(identity) => Ok(RefreshOutcome::Tokens { tokens, identity: Some(identity) }),
            // What came may be somebody else's (OpenID Connect Core 1.0 §12.2).
            Err(IdentityError::SomebodyElse(cause)) => {
                tracing::error!("a session was renewed with tokens that are not its person's: {cause}");
                self.discard(tokens);
                Err(RefreshError::Ended)
            }
            Err(error) => {
                tracing::warn!("a session was renewed, and its person not looked at again: {error}");
                Ok(RefreshOutcome::Tokens { tokens, identity: None })
            }
        }
    }

    /// Checks that a token which is never renewed is still good.
    async fn recheck(
        &self,
        endpoint: &TokenEndpoint<'_>,
        old: &UpstreamTokens,
    ) -> Result<RefreshOutcome, RefreshError> {
        let tokens = UpstreamTokens { checked_at: now_s(), ..old.clone() };
        // Its id_token is that of the login, and has expired.
        let asked = UpstreamTokens { id_token: None, ..tokens.clone() };
        let inquiry = Inquiry { endpoint, tokens: &asked };
        let error = match inquiry.identity(None).await {
            Ok(identity) => {
                let identity = Some(identity).filter(|_| inquiry.says_all());
                return Ok(RefreshOutcome::Tokens { tokens, identity });
            }
            Err(IdentityError::NotAccepted) => return Err(RefreshError::Ended),
            Err(error) => error,
        };
        tracing::warn!("a session cannot be checked: {error}");
        let retry_after = if let IdentityError::Down(down) = &error { down.retry_after } else { None };
        Err(RefreshError::Temporary { retry_after })
    }

    fn is_recheck_due(&self, tokens: &UpstreamTokens) -> bool {
        let Some(every) = &self.0.provider.verify.recheck else { return false };
        let now = now_s();
        let is_expired = tokens.expires_at.is_some_and(|expires_at| expires_at <= now);
        !is_expired && now.saturating_sub(tokens.checked_at) >= every.duration().as_secs()
    }

    fn known(&self) -> Option<Arc<ProviderMetadata>> {
        match &*self.0.knowledge.borrow() {
            Knowledge::Known(known) => Some(Arc::clone(known)),
            Knowledge::Looking | Knowledge::Failed(_) => None,
        }
    }

    fn token_endpoint<'a>(&'a self, known: &'a ProviderMetadata, scopes: &'a [String]) -> TokenEndpoint<'a> {
        let Inner { provider, wire, preference, .. } = &*self.0;
        TokenEndpoint { provider, known, wire, preference, scopes }
    }

    fn faults<'a>(&'a self, scopes: &'a [String]) -> Faults<'a> {
        Faults { failures: self.failures(scopes), notes: &self.0.notes }
    }

    fn failures<'a>(&'a self, scopes: &'a [String]) -> ProviderFailures<'a> {
        ProviderFailures { provider: &self.0.provider, callback: &self.0.callback, scopes }
    }

    /// Logs the cure if nobody comes back in time: a provider that does not know the callback URL shows a page of its
    /// own, and this server learns nothing.
    fn await_callback(&self) {
        let inner = &self.0;
        if inner.has_come_back.load(Ordering::Relaxed) || inner.is_awaited.swap(true, Ordering::Relaxed) {
            return;
        }
        let inner = Arc::clone(inner);
        let stop = inner.stop.clone();
        self.0.tracker.spawn(async move {
            if stop.run_until_cancelled(tokio::time::sleep(CALLBACK_DUE)).await.is_none() {
                return;
            }
            inner.is_awaited.store(false, Ordering::Relaxed);
            if !inner.has_come_back.load(Ordering::Relaxed) {
                let name = inner.provider.display_name();
                tracing::warn!(
                    "somebody was sent to {name} two minutes ago and nobody has come back yet; if {name} showed an error about the callback or redirect URL, add exactly {} to the allowed callback URLs of the application `{}`",
                    inner.callback,
                    inner.provider.client_id
                );
            }
        });
    }

    /// Warns once, since the next login will not differ.
    fn warn_of_no_refresh_token(&self, scopes: &[String]) {
        let provider = &self.0.provider;
        let was_asked = scopes.iter().any(|scope| scope == "offline_access") || !provider.offline.params.is_empty();
        if !was_asked || self.0.has_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.failures(scopes).hint("no refresh token", None) {
            Some(hint) => tracing::warn!("{} {}", hint.happened, hint.steps.join(" ")),
            None => tracing::warn!(
                "{} gave no refresh token, so it is not asked again while a session lasts",
                provider.display_name()
            ),
        }
    }
}

/// The tokens to keep of an answer. A provider that gives no new refresh token leaves the old one in force (RFC 6749
/// §6), and one that names no scopes has granted those that were asked for (§5.1).
fn kept(answer: Tokens, old: Option<&UpstreamTokens>, asked: &[String]) -> UpstreamTokens {
    let now = now_s();
    UpstreamTokens {
        access_token: answer.access_token,
        refresh_token: answer.refresh_token.or_else(|| old?.refresh_token.clone()),
        id_token: answer.id_token,
        expires_at: answer.expires_in.map(|lifetime| now.saturating_add(lifetime.as_secs())),
        scope: answer.scope.or_else(|| Some(old?.scope.clone())).unwrap_or_else(|| asked.to_vec()),
        checked_at: now,
    }
}

#[cfg(test)]
mod tests;
