//! `/auth/callback`: the provider's answer (RFC 6749 §4.1.2, RFC 9207 §2.4).
//!
//! Only the browser that approved is listened to: a load of the URL without its cookie changes nothing. Of its loads
//! the first asks the provider, once. All of them get the result, until the client has its tokens.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;

use super::browser::{self, recent};
use super::device;
use super::device::row::DeviceRow;
use super::failures::Failure;
use super::pages::{LoggedInPage, Outcome};
use super::parameters::Parameters;
use super::server::{AuthorizationServer, Back, reference};
use super::sessions::{NewSession, Progress};
use super::tokens::Family;
use super::transaction::{self, Ending, Purpose, Transaction, TransactionId, TransactionRow};
use crate::audit::Event;
use crate::audit::event::Client;
use crate::auth::identity::Identity;
use crate::auth::upstream::messages::{Callback, Login, LoginError, Unusable};
use crate::clock::now_s;
use crate::store::{Committed, Key, StoreError};

/// Tries of a compare-and-swap: a login can be changed once, by taking its approval back.
const TRIES: usize = 4;

/// Takes the provider's answer.
pub(crate) async fn callback(server: &Arc<AuthorizationServer>, headers: &HeaderMap, raw_query: &str) -> Response {
    let raw = Parameters::parse(raw_query.as_bytes());
    let Ok(Some(state)) = raw.one("state") else { return server.page(headers, Failure::expired()) };
    let found = match transaction::find(&server.store, state).await {
        Ok(found) => found,
        Err(error) => return server.page(headers, Failure::store(error.to_string())),
    };
    let Some((key, transaction)) = found.map(|found| (found.key, found.transaction)) else {
        return server.page(headers, Failure::expired());
    };
    let Some((id, purpose)) = transaction.login() else { return server.page(headers, Failure::expired()) };
    if !server.is_bound(headers, id) {
        return server
            .page(headers, Failure::other_browser("the provider's answer came without the cookie of its login"));
    }
    let answer = answer(&raw);
    let ending = match &transaction {
        Transaction::Answered { ending, .. } => Ok(Some(ending.clone())),
        _ if answer.as_ref().is_some_and(Callback::is_empty) => {
            return server.page(headers, Failure::callback_cut_off());
        }
        _ => ending(server, key, answer).await,
    };
    let mut response = match ending {
        Ok(Some(ending)) => show(server, headers, purpose, ending).await,
        Ok(None) => server.page(headers, Failure::expired()),
        Err(error) => server.page(headers, Failure::store(error.to_string())),
    };
    server.cookies.keep(&mut response, id, &transaction::binding(&server.requests, id));
    response
}

/// The provider's answer. None if a parameter is given twice: the provider does not answer with two codes.
fn answer(raw: &Parameters) -> Option<Callback> {
    let one = |name| raw.one(name).ok().map(|value| value.map(str::to_owned));
    let (code, error) = (one("code")?, one("error")?);
    Some(Callback { code, error, error_description: one("error_description")?, iss: one("iss")? })
}

/// Finishes a login in a task of its own: a browser that goes away finds the result when
/// it comes again. Loads at once wait for the first.
async fn ending(
    server: &Arc<AuthorizationServer>,
    key: Key,
    answer: Option<Callback>,
) -> Result<Option<Ending>, StoreError> {
    let task = Arc::clone(server);
    // Here, so that nothing is left of a browser that goes away while it waits.
    let place = Arc::clone(&server.finishing).acquire_owned().await;
    let work = async move {
        let _place = place;
        task.answering.take(key, ending_in_turn(&task, key, answer)).await
    };
    let panicked = |_| {
        let cause = "the login panicked".to_owned();
        Ok(Some(failed(server, LoginError::Broken { kind: Unusable::Host, cause })))
    };
    server.in_flight.spawn(work).await.unwrap_or_else(panicked)
}

/// Finishes a login, or finds its result. None if the approval was taken back.
async fn ending_in_turn(
    server: &Arc<AuthorizationServer>,
    key: Key,
    answer: Option<Callback>,
) -> Result<Option<Ending>, StoreError> {
    for _ in 0..TRIES {
        let Some(found) = transaction::load(&server.store, key).await? else { return Ok(None) };
        match &found.transaction {
            Transaction::Pending { id, request: purpose } => {
                let Some(begun) = found.answering(&server.store, id, purpose).await? else { continue };
                return Ok(match log_in(server, &begun, answer, id, purpose).await {
                    Ok(logged_in) => logged_in,
                    Err(ending) => Some(written(server, &begun, id, purpose, ending).await),
                });
            }
            // Nobody is at it: it was our turn. Whether the provider's code was used is not known.
            Transaction::Answering { id, request: purpose } => {
                let what = "this server was interrupted while it finished the login: start it again";
                let ending = temporary(server, "server_error", what, "a login was not finished before a restart");
                return Ok(Some(written(server, &found, id, purpose, ending).await));
            }
            Transaction::Answered { ending, .. } => return Ok(Some(ending.clone())),
            Transaction::Used => return Ok(None),
        }
    }
    Err(StoreError::Unavailable("a login was changed again and again".to_owned()))
}

/// Asks the provider, and begins a session, with which the end of the login is written down. None if the person took the
/// approval back meanwhile.
///
/// # Errors
/// The login ended without a session; that is not written down yet.
async fn log_in(
    server: &Arc<AuthorizationServer>,
    found: &TransactionRow,
    answer: Option<Callback>,
    id: &TransactionId,
    purpose: &Purpose,
) -> Result<Option<Ending>, Ending> {
    let Some(answer) = answer else {
        let what = "the provider's answer was not usable: it gives a parameter more than once";
        return Err(temporary(server, "server_error", what, what));
    };
    let upstream = transaction::upstream_request(&server.requests, id, server.callback_url());
    let login = server.upstream.log_in(&answer, &upstream).await;
    let Login { identity, tokens, auth_time } = login.map_err(|error| {
        told(server, None, purpose, outcome(&error));
        failed(server, error)
    })?;
    if !server.people().admits(&identity) {
        told(server, Some(&identity), purpose, "not_allowed");
        server.upstream.discard(tokens);
        let lacks_organizations = server.people().lacks_organizations(&identity);
        let failure = Failure::not_allowed(server.upstream.display_name(), &identity, lacks_organizations);
        return Err(Ending::page(failure, true));
    }
    let shown = match purpose {
        Purpose::Browser(login) => recent::shown(&server.upstream, login, auth_time, now_s()),
        Purpose::Client(_) => Ok(None),
    };
    let shown_s = match shown {
        Ok(shown_s) => shown_s,
        Err(recent::NotOfNow) => {
            told(server, Some(&identity), purpose, "not_recent");
            server.upstream.discard(tokens);
            let name = server.upstream.display_name();
            return Err(Ending::page(Failure::login_not_of_now(name, &server.login_url()), false));
        }
    };
    let person = identity.name.clone().or_else(|| identity.email.clone());
    let whose = identity.clone();
    let logged_in = |code: &str| Ending::logged_in(code, person.as_deref());
    let device = match waiting_device(server, id, purpose).await {
        Ok(device) => device,
        Err(failure) => {
            server.upstream.discard(tokens);
            return Err(Ending::page(failure, false));
        }
    };
    let beside = found.beside(|code: &str| {
        let of_device = device.as_ref().map(|device| device.logged_in(code));
        std::iter::once(found.answered(id, purpose, &logged_in(code))).chain(of_device).collect()
    });
    let begun = match purpose {
        Purpose::Client(request) => {
            let session = NewSession {
                identity,
                upstream: tokens.clone(),
                client_id: request.client_id.clone(),
                client_name: Some(request.client_name.clone()),
                approved: request.scopes.clone(),
                view: request.view.clone(),
                redirect_uri: request.redirect_uri.clone(),
                challenge: request.code_challenge.clone(),
            };
            server.sessions.begin(session, beside).await
        }
        Purpose::Browser(_) => server.sessions.begin_browser(identity, tokens.clone(), shown_s, beside).await,
    };
    match begun {
        Ok(Some(code)) => {
            server.unfinished.end(found.key);
            tracing::info!(provider = server.upstream.name(), client = purpose.client_name(), "somebody has logged in");
            told(server, Some(&whose), purpose, "ok");
            Ok(Some(logged_in(&code)))
        }
        Ok(None) => {
            server.upstream.discard(tokens);
            Ok(None)
        }
        Err(error) => {
            server.upstream.discard(tokens);
            // The store has failed: there is nowhere to write it down, and the next load finds that it was interrupted.
            Ok(Some(Ending::page(Failure::store(error.to_string()), true)))
        }
    }
}

/// Tells the audit of the end of a login.
fn told(server: &AuthorizationServer, who: Option<&Identity>, purpose: &Purpose, outcome: &'static str) {
    let client = match purpose {
        Purpose::Client(request) => Some(Client { id: &request.client_id, name: Some(&request.client_name) }),
        // A browser on this server's own pages.
        Purpose::Browser(_) => None,
    };
    server.audit.record(&Event::Login { who: who.map(Identity::who), client, outcome });
}

fn outcome(error: &LoginError) -> &'static str {
    match error {
        LoginError::Denied { .. } => "denied_by_provider",
        LoginError::Operator(_) => "provider_refused",
        LoginError::Temporary { .. } => "provider_unavailable",
        LoginError::Broken { .. } => "provider_answer_unusable",
    }
}

/// The device that a login is for.
fn device_of(purpose: &Purpose) -> Option<&Family> {
    match purpose {
        Purpose::Client(request) => request.device.as_ref(),
        Purpose::Browser(_) => None,
    }
}

/// The device that a login is for, if it is for one and still waits for this one.
async fn waiting_device(
    server: &AuthorizationServer,
    id: &TransactionId,
    purpose: &Purpose,
) -> Result<Option<DeviceRow>, Failure> {
    let Some(family) = device_of(purpose) else { return Ok(None) };
    match device::row::load(&server.store, family).await {
        Ok(Some(found)) if found.is_claimed_by(id) => Ok(Some(found)),
        Ok(_) => Err(Failure::device_page_over()),
        Err(error) => Err(Failure::store(error.to_string())),
    }
}

/// Writes down the end of a login without a session. Browsers that wait learn it in any case.
async fn written(
    server: &AuthorizationServer,
    found: &TransactionRow,
    id: &TransactionId,
    purpose: &Purpose,
    ending: Ending,
) -> Ending {
    match server.store.commit(vec![found.answered(id, purpose, &ending)]).await {
        Ok(Committed::Done) => {}
        Ok(Committed::Conflict) => tracing::warn!("the end of a login could not be written down: it was changed"),
        Err(error) => tracing::warn!(%error, "the end of a login could not be written down"),
    }
    if let Some(device) = device_of(purpose)
        && let Err(error) = device::row::deny(&server.store, device, id).await
    {
        tracing::warn!(%error, "a device could not be told that its login has failed; its code ends by itself");
    }
    ending
}

/// Answers the browser with the result of its login.
async fn show(server: &AuthorizationServer, headers: &HeaderMap, purpose: &Purpose, ending: Ending) -> Response {
    let request = match purpose {
        Purpose::Client(request) if request.device.is_some() => {
            return device::ending::show(server, headers, request, ending);
        }
        Purpose::Client(request) => request,
        Purpose::Browser(login) => return browser::login::finish(server, headers, login, ending).await,
    };
    let back = Back::approved(request);
    match ending {
        Ending::LoggedIn { code, person } => match server.sessions.progress(&code).await {
            Ok(Progress::Waiting) => server.send_back(&back, &[("code", &code)], Outcome::LoggedIn { person }),
            Ok(Progress::Redeemed) => {
                LoggedInPage { client: request.client_name.clone(), person }.response(server.base_url())
            }
            Ok(Progress::Over) => server.page(headers, Failure::expired()),
            Err(error) => server.page(headers, Failure::store(error.to_string())),
        },
        Ending::Error { error, description } => server.send_error(&back, &error, &description),
        Ending::Page { status, error, explanation, cause, is_for_client } => {
            let failure = transaction::failure(status, &error, explanation, cause);
            server.page_and_back(headers, failure, Some(back).filter(|_| is_for_client))
        }
    }
}

/// Ends a login that failed at the provider. The client always learns of it.
fn failed(server: &AuthorizationServer, error: LoginError) -> Ending {
    match error {
        LoginError::Denied { description } => Ending::error("access_denied", &description),
        LoginError::Operator(explanation) => Ending::page(Failure::provider_refused(explanation), true),
        LoginError::Temporary { cause } => {
            temporary(server, "temporarily_unavailable", "the provider cannot be reached", &cause)
        }
        LoginError::Broken { kind, cause } => {
            temporary(server, "server_error", &format!("the provider's answer was not usable: {kind}"), &cause)
        }
    }
}

/// An error that the client alone is told, with a reference to the log.
fn temporary(server: &AuthorizationServer, error: &str, what: &str, cause: &str) -> Ending {
    let reference = reference();
    tracing::warn!(%reference, provider = server.upstream.name(), cause, "a login failed at the provider");
    Ending::error(error, &format!("{what}; reference {reference}"))
}
