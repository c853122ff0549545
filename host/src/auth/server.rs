//! The authorization server: the state and the steps that its endpoints share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::browser::cookie::BrowserCookie;
use super::clients::Clients;
use super::clients::declared::DeclaredClients;
use super::clients::document::Documents;
use super::clients::redirect::{self, RedirectKind};
use super::cookies::{Cookie, Cookies};
use super::device::Devices;
use super::elsewhere::Elsewhere;
use super::errors::OAuthError;
use super::failures::Failure;
use super::key_source::KeySources;
use super::limits::{Bucket, Limits};
use super::machines::operator::OperatorTokens;
use super::machines::{MachineParts, Machines};
use super::offers::Offer;
use super::pages::{Continuation, Forward, MessagePage, Outcome, ReturnPage};
use super::people::People;
use super::sessions::bearer::BearerError;
use super::sessions::{Lives, Sessions, Turns};
use super::tokens::{LastToken, TOKENS, TokenKind};
use super::told::{self, Keepers};
use super::transaction::{self, TransactionId, Unfinished, ValidatedRequest};
use super::upstream::Upstream;
use crate::audit::event::Reason;
use crate::audit::{self, Audit, Event};
use crate::config::address::BaseUrl;
use crate::config::units::Count;
use crate::config::{Config, Credentials, Egress};
use crate::html;
use crate::html::see_other;
use crate::principal::Principal;
use crate::sanitize::cut;
use crate::state::StateDir;
use crate::store::{Key, Store};
use crate::switches::SwitchedOff;
use crate::vault::{self, Vault};

/// Logins that are finished at once. Each asks the provider, and holds some 100 KiB meanwhile; further ones wait, as long
/// as their browsers do.
const FINISHING_MAX: usize = 64;

/// Seconds that a page can be read before the browser goes on to the client, which has to learn of the error too.
const FORWARD_AFTER_S: u32 = 30;

/// The longest cause that is logged: it may quote a stranger or the provider.
const CAUSE_BYTES: usize = 1024;

/// Seconds after which a browser may ask again, when something was unavailable.
const RETRY_AFTER_S: u32 = 10;

/// The purposes of keys. Changing one voids everything that was made with its key.
pub(super) const CLIENT_IDS: &str = "tinymcp 2026 client ids";
const REQUESTS: &str = "tinymcp 2026 authorization requests";

/// The parts of an authorization server.
pub struct ServerParts<'a> {
    /// The configuration; scopes of plugins change while the server runs.
    pub config: watch::Receiver<Arc<Config>>,
    /// The people who are blocked, and the sessions that are over.
    pub switched_off: watch::Receiver<Arc<SwitchedOff>>,
    /// What clients of `[auth.clients]` and workloads need beside the configuration; it changes with it.
    pub credentials: watch::Receiver<Arc<Credentials>>,
    /// The way to issuers.
    pub egress: Egress,
    /// The identity provider.
    pub upstream: Arc<Upstream>,
    /// The metadata documents of clients.
    pub documents: Documents,
    /// The directory that holds the keys.
    pub state: &'a StateDir,
    /// The store of sessions.
    pub store: Store,
    /// Tasks that end with the server.
    pub tasks: &'a TaskTracker,
    /// Tasks that finish requests of clients which may have gone away. The store is not closed before them.
    pub in_flight: &'a TaskTracker,
    /// Told of logins, refusals and tokens.
    pub audit: Audit,
}

/// TinyMCP as the authorization server of its clients (RFC 6749), and as a client of one identity provider.
pub struct AuthorizationServer {
    base_url: BaseUrl,
    pub(super) clients: Clients,
    pub(super) sessions: Arc<Sessions>,
    pub(super) machines: Arc<Machines>,
    operator_tokens: OperatorTokens,
    /// Devices that wait for a person's login.
    pub(super) devices: Devices,
    /// The key of bearer tokens.
    pub(super) tokens: Vault,
    config: watch::Receiver<Arc<Config>>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) store: Store,
    /// The key of authorizations under way.
    pub(super) requests: Vault,
    /// The approved logins without a session yet.
    pub(super) unfinished: Unfinished,
    /// The turns of callbacks: each login's answer from the provider is looked at by one load at a time.
    pub(super) answering: Turns<Key>,
    /// The places of logins that are being finished: they go on without their browsers.
    pub(super) finishing: Arc<Semaphore>,
    pub(super) cookies: Cookies,
    pub(super) browser_cookie: BrowserCookie,
    pub(super) limits: Limits,
    /// Clients whose tokens came to another view.
    pub(super) elsewhere: Elsewhere,
    pub(super) in_flight: TaskTracker,
    pub(super) audit: Audit,
}

impl AuthorizationServer {
    /// Builds the server.
    pub fn new(parts: ServerParts<'_>) -> Self {
        let ServerParts {
            config,
            switched_off,
            credentials,
            egress,
            upstream,
            documents,
            state,
            store,
            tasks,
            in_flight,
            audit,
        } = parts;
        let current = Arc::clone(&config.borrow());
        let auth = &current.auth;
        let people = People::new(config.clone(), switched_off, is_local(&upstream), tasks);
        let lives = Lives {
            access: auth.access_ttl.duration(),
            refresh: auth.refresh_ttl.duration(),
            session_max: auth.session_max.map(|max| max.duration()),
            grace: auth.refresh_grace.duration(),
            refused: Duration::from_secs(24 * 3600).saturating_mul(days(auth.refresh_refused_days)),
            recheck: auth.recheck.map(|recheck| recheck.duration()),
        };
        let vault = Vault::of(state, TOKENS);
        let sessions = {
            let (upstream, in_flight) = (Arc::clone(&upstream), in_flight.clone());
            Sessions::new(store.clone(), vault.clone(), people.clone(), upstream, lives, in_flight, audit.clone())
        };
        let base_url = current.server.base_url.clone();
        let sources = Arc::new(KeySources::new(egress, base_url.is_loopback()));
        tasks.spawn(look_again(config.clone(), credentials.clone(), people.clone()));
        let issuer = base_url.as_str().to_owned();
        let operator_tokens =
            OperatorTokens::new(store.clone(), vault.clone(), issuer.clone(), people.clone(), in_flight.clone());
        let machines = Machines::new(MachineParts {
            store: store.clone(),
            vault: vault.clone(),
            config: config.clone(),
            credentials: credentials.clone(),
            sources: Arc::clone(&sources),
            people: people.clone(),
            issuer,
            audit: audit.clone(),
        });
        let keepers = Keepers {
            sessions: Arc::clone(&sessions),
            machines: Arc::clone(&machines),
            operator_tokens: operator_tokens.clone(),
        };
        tasks.spawn(told::listen(store.replicas().clone(), keepers));
        let clients = Clients::new(
            Vault::of(state, CLIENT_IDS),
            documents,
            DeclaredClients::new(config.clone(), credentials, sources),
            upstream.client_id().map(str::to_owned),
            auth.unknown_clients,
            people,
            config.clone(),
        );
        Self {
            cookies: Cookies { is_https: base_url.is_https() },
            browser_cookie: BrowserCookie::of(&base_url),
            base_url,
            clients,
            sessions,
            machines,
            operator_tokens,
            devices: Devices::default(),
            tokens: vault,
            config,
            upstream,
            store,
            requests: Vault::of(state, REQUESTS),
            unfinished: Unfinished::default(),
            answering: Turns::default(),
            finishing: Arc::new(Semaphore::new(FINISHING_MAX)),
            limits: Limits::new(auth.requests_per_minute.into()),
            elsewhere: Elsewhere::default(),
            in_flight: in_flight.clone(),
            audit,
        }
    }

    /// The issuer, and the beginning of every published URL.
    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// True for the browser that approved the login, by the cookie that it got then.
    pub(super) fn is_bound(&self, headers: &HeaderMap, id: &TransactionId) -> bool {
        let cookie = self.cookies.get(headers, Cookie::Login, id).unwrap_or_default();
        vault::is_equal(cookie.as_bytes(), transaction::binding(&self.requests, id).as_bytes())
    }

    /// The identity provider.
    pub fn provider(&self) -> &str {
        self.upstream.display_name()
    }

    /// True if people can log in: the provider is known.
    pub fn is_ready(&self) -> bool {
        self.upstream.is_known()
    }

    /// True with the built-in login: anybody may log in, and only from this machine.
    pub(crate) fn is_local(&self) -> bool {
        is_local(&self.upstream)
    }

    /// Counts a step of a login in a browser.
    ///
    /// # Errors
    /// The answer for an address that has sent too many, or while the audit cannot be written and nothing goes without.
    pub(crate) fn count_authorization(&self, address: IpAddr, headers: &HeaderMap) -> Result<(), Box<Response>> {
        if self.audit.admit().is_err() {
            self.refused(Reason::Unaudited, None, Some(address));
            let page = || self.page(headers, Failure::unaudited());
            return Err(Box::new(if html::is_preferred(headers) { page() } else { OAuthError::Unaudited.response() }));
        }
        self.limits.count(Bucket::Authorize, address).map_err(|too_many| {
            self.refused(Reason::TooMany, None, Some(address));
            if !html::is_preferred(headers) {
                return Box::new(too_many.response());
            }
            let mut page = self.page(headers, Failure::too_many_logins());
            if let Some(retry_after) = too_many.response().headers().get(RETRY_AFTER) {
                page.headers_mut().insert(RETRY_AFTER, retry_after.clone());
            }
            Box::new(page)
        })
    }

    /// Tells the audit of a refusal of somebody who is not known.
    pub(super) fn refused(&self, reason: Reason, client: Option<&str>, from: Option<IpAddr>) {
        let client = client.map(|id| audit::event::Client { id, name: None });
        self.audit.record(&Event::Refusal { reason, who: None, client, claimed: None, from });
    }

    pub(super) fn people(&self) -> &People {
        self.sessions.people()
    }

    /// The configuration as it is now.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// True if somebody may get a token in this way.
    pub(super) fn offers(&self, offer: Offer) -> bool {
        offer.is_in(&self.config.borrow())
    }

    /// True if devices may log people in.
    pub(crate) fn has_device_flow(&self) -> bool {
        self.offers(Offer::DeviceFlow)
    }

    /// The tokens that operators have made.
    pub fn operator_tokens(&self) -> &OperatorTokens {
        &self.operator_tokens
    }

    /// Finds the caller behind a bearer token: a person, or a machine.
    pub(super) async fn authenticate(
        &self,
        raw_token: &str,
        last: &LastToken,
        from: impl Fn() -> Option<IpAddr> + Send + Sync,
    ) -> Result<Arc<Principal>, BearerError> {
        let opened = last.open(&self.tokens, raw_token).ok_or(BearerError::Foreign)?;
        match opened.kind {
            TokenKind::Access => self.sessions.principal_of(opened, from).await,
            TokenKind::Machine => self.machines.principal_of(opened).await,
            TokenKind::Operator => self.operator_tokens.principal_of(opened).await,
            TokenKind::Refresh | TokenKind::Code | TokenKind::Device | TokenKind::Browser => Err(BearerError::Foreign),
        }
    }

    /// The URL that the provider sends people back to.
    pub(super) fn callback_url(&self) -> String {
        self.base_url.callback()
    }

    /// Answers with the page of a failure that concerns the person alone.
    pub(super) fn page(&self, headers: &HeaderMap, failure: Failure) -> Response {
        self.page_and_back(headers, failure, None)
    }

    /// Answers with the page of a failure, which the client learns of after the person. The cause is logged.
    pub(super) fn page_and_back(&self, headers: &HeaderMap, failure: Failure, back: Option<Back<'_>>) -> Response {
        let forward = back.and_then(|back| {
            let after_s = match self.way(&back) {
                Way::Redirect | Way::Page(Continuation::ByItself) => Some(FORWARD_AFTER_S),
                Way::Page(Continuation::ByClick | Continuation::Unapproved) => None,
                Way::Closed => return None,
            };
            let url = self.error_url(&back, failure.error, &failure.explanation.title);
            Some(Forward { url, client: back.client.to_owned(), after_s })
        });
        let status = failure.status;
        let mut response = message(failure, forward).respond(headers, &self.base_url);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }

    /// Sends the browser back to its client with an answer (RFC 6749 §4.1.2, RFC 9207 §2), or gives a page that does.
    pub(super) fn send_back(&self, back: &Back<'_>, answer: &[(&str, &str)], outcome: Outcome) -> Response {
        let url = self.answer_url(back, answer);
        match self.way(back) {
            Way::Redirect => see_other(&url),
            Way::Page(going) => {
                let status = match (going, &outcome) {
                    (Continuation::Unapproved, Outcome::Failed { .. }) => StatusCode::BAD_REQUEST,
                    _ => StatusCode::OK,
                };
                ReturnPage { status, url, outcome, going }.response(&self.base_url)
            }
            Way::Closed => message(Failure::redirect_uri_refused_meanwhile(), None).response(&self.base_url),
        }
    }

    /// Chooses the way of an answer to its client.
    fn way(&self, back: &Back<'_>) -> Way {
        match self.clients.accept(back.redirect_uri) {
            Err(_) => Way::Closed,
            Ok(_) if !back.is_approved => Way::Page(Continuation::Unapproved),
            Ok(RedirectKind::Web | RedirectKind::Loopback) => Way::Redirect,
            Ok(RedirectKind::App { is_known: true }) => Way::Page(Continuation::ByItself),
            Ok(RedirectKind::App { is_known: false }) => Way::Page(Continuation::ByClick),
        }
    }

    /// Sends the browser back to its client with an error (RFC 6749 §4.1.2.1).
    pub(super) fn send_error(&self, back: &Back<'_>, error: &str, description: &str) -> Response {
        let description = super::errors::ascii(description);
        let outcome = match error {
            "access_denied" => Outcome::Denied,
            _ => Outcome::Failed { why: description.clone() },
        };
        self.send_back(back, &[("error", error), ("error_description", &description)], outcome)
    }

    fn error_url(&self, back: &Back<'_>, error: &str, description: &str) -> String {
        self.answer_url(back, &[("error", error), ("error_description", &super::errors::ascii(description))])
    }

    fn answer_url(&self, back: &Back<'_>, answer: &[(&str, &str)]) -> String {
        let state = back.state.map(|state| ("state", state));
        let issuer = ("iss", self.base_url.as_str());
        let answer: Vec<(&str, &str)> = answer.iter().copied().chain(state).chain([issuer]).collect();
        redirect::with_answer(back.redirect_uri, &answer)
    }
}

/// Has machines looked at again when their tables have changed, or what belongs to them beside the configuration.
async fn look_again(
    mut config: watch::Receiver<Arc<Config>>,
    mut credentials: watch::Receiver<Arc<Credentials>>,
    people: People,
) {
    let tables = |config: &Config| (config.auth.clients.clone(), config.auth.workloads.clone());
    let mut before = tables(&config.borrow_and_update());
    loop {
        tokio::select! {
            changed = config.changed() => {
                // The sender ends with the server.
                let Ok(()) = changed else { return };
                let now = tables(&config.borrow_and_update());
                if now != before {
                    before = now;
                    people.look_again();
                }
            }
            Ok(()) = credentials.changed() => people.look_again(),
        }
    }
}

fn days(count: Count) -> u32 {
    u32::try_from(count.get()).unwrap_or(u32::MAX)
}

fn is_local(upstream: &Upstream) -> bool {
    matches!(upstream, Upstream::Local(_))
}

/// The way back to a client, proved to be its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back<'r> {
    pub(super) redirect_uri: &'r str,
    pub(super) state: Option<&'r str>,
    pub(super) client: &'r str,
    /// True once a person has approved the client in this login, or if the operator has declared it. Until then it is a
    /// stranger, to whom no browser is sent without a click (RFC 9700 §4.11.2).
    pub(super) is_approved: bool,
}

impl<'r> Back<'r> {
    /// The way back to the client of a request that a person has approved.
    pub(super) fn approved(request: &'r ValidatedRequest) -> Self {
        Self {
            redirect_uri: &request.redirect_uri,
            state: request.state.as_deref(),
            client: &request.client_name,
            is_approved: true,
        }
    }
}

/// The way of an answer to its client.
enum Way {
    Redirect,
    Page(Continuation),
    /// None: the redirect URI was acceptable when the login began, and is not any more.
    Closed,
}

/// The page of a failure. Its cause is logged under a reference that the page shows.
fn message(failure: Failure, forward: Option<Forward>) -> MessagePage {
    let reference = reference();
    let cause = cut(&failure.cause, CAUSE_BYTES);
    tracing::warn!(%reference, status = failure.status.as_u16(), cause, "login: {}", failure.explanation.title);
    MessagePage { failure, reference, forward }
}

/// A new reference, by which a page's cause is found in the log.
pub(super) fn reference() -> String {
    format!("{:08x}", rand::random::<u32>())
}
