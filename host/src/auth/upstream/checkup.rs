//! The check that the configuration fits the provider, as far as it can be done without a person who logs in.
//!
//! The provider is asked for three things: its discovery document; the answer of its token endpoint to a code that
//! nobody gave out, which tells whether it knows this server; and its page for a browser that this server sends there,
//! which tells whether it takes the callback URL, the scopes and the audience.

mod login_page;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, AGE, DATE};
use http::{HeaderMap, Request, Response, StatusCode};
use url::Url;

use super::authorization::scopes;
use super::breaker::Wire;
use super::discovery::{Discovery, ProviderMetadata};
use super::faults::Faults;
use super::messages::{LoginError, UpstreamRequest};
use super::notes::{self, LastFailures, Note, Notes};
use super::token::{Preference, TokenEndpoint, TokenError};
use crate::auth::failures::Explanation;
use crate::auth::failures::provider::{DiscoveryError, ProviderFailures};
use crate::clock::now_s;
use crate::config::Provider;
use crate::config::address::BaseUrl;
use crate::config::provider::DiscoveryUrl;
use crate::config::units::Period;
use crate::diagnosis::Finding;
use crate::fetch::{Document, FetchError, ProviderHttp};
use crate::jwks::Keys;

/// Clocks that differ by less count as the same: `Date` has whole seconds, and the answer took a while.
const SAME_TIME: Duration = Duration::from_secs(5);

/// The login that is begun and never finished. Nothing of it is secret.
const STATE: &str = "tinymcp-doctor";
const VERIFIER: &str = "tinymcp-doctor.tinymcp-doctor.tinymcp-doctor";

/// Looks at the provider. The findings are in the order in which one would mend them.
///
/// `state` is the state directory of the server, with its notes of failures.
pub(crate) async fn look(provider: Provider, base_url: &BaseUrl, http: ProviderHttp, state: &Path) -> Vec<Finding> {
    let provider = Arc::new(provider);
    let (discovery, _) = Discovery::new(Arc::clone(&provider), http.clone(), base_url.is_loopback(), None);
    let notes = Notes::of(None, provider.name());
    let checkup = Checkup { provider: &provider, callback: base_url.callback(), http, discovery, notes };
    let (known, mut findings) = checkup.get_to_know().await;
    let asked = scopes(&provider, known.as_ref());
    if let Some(known) = &known {
        findings.push(endpoints(known));
        findings.extend(known.slips.iter().map(|slip| Finding::note("discovery", slip.as_str())));
        findings.extend(checkup.keys(known, &asked).await);
        findings.push(checkup.scopes(known, &asked));
        findings.push(checkup.challenge(known));
        findings.push(checkup.credentials(known, &asked).await);
        findings.push(checkup.login(known, &asked).await);
    }
    findings.push(checkup.callback());
    findings.extend(checkup.audience());
    findings.push(checkup.refresh_token(&asked));
    findings.extend(met(notes::read(state, provider.name())));
    findings
}

/// The age after which groups that were left out are not told of: no success ever clears that note.
const LEFT_OUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The failures that the server has met with real people since the last success.
fn met(kept: LastFailures) -> impl Iterator<Item = Finding> {
    let age = |note: &Note| Duration::from_secs(now_s().saturating_sub(note.at_s));
    let finding = |subject: &'static str, what: &str, note: Note| {
        Finding::bad(subject, format!("{what}, last {} ago: {}", Period::from(age(&note)), note.cause))
            .step("Once this works again, it is not said any more.")
    };
    let login = kept.login.map(|note| finding("logins", "the last login failed at the provider", note));
    let refresh = kept.refresh.map(|note| {
        finding("renewals", "the provider refuses to renew sessions", note)
            .step("Compare client id, client secret and grant types with the provider's dashboard.")
    });
    let left_out = kept.left_out.filter(|note| age(note) < LEFT_OUT).map(|note| {
        Finding::note("groups", format!("{}, last {} ago", note.cause, Period::from(age(&note))))
            .step("Let the provider send only the groups that are assigned to the application (`_claim_names`, docs/providers.md).")
            .step("Until then rules on `org:` do not admit such a person, and `deny` on an organization refuses them.")
    });
    login.into_iter().chain(refresh).chain(left_out)
}

struct Checkup<'a> {
    provider: &'a Provider,
    callback: String,
    http: ProviderHttp,
    discovery: Discovery,
    notes: Notes,
}

impl Checkup<'_> {
    /// The provider's metadata, if it is enough for a login, and the findings about discovery and clock.
    async fn get_to_know(&self) -> (Option<ProviderMetadata>, Vec<Finding>) {
        let name = self.provider.display_name();
        if let Some(url) = self.provider.discovery() {
            let answer = self.get(url.url(), "application/json").await;
            let clock = self.clock(&answer);
            return match self.discovered(&url, answer) {
                Ok(known) => {
                    let seen = format!("{url}: status 200, issuer {}", known.issuer);
                    (Some(known), vec![Finding::good("discovery", seen), clock])
                }
                Err(error) => {
                    let explanation = self.failures(&[]).discovery(Some(&error));
                    let finding = match error {
                        DiscoveryError::Fetch { url, cause } => {
                            let cure = cause.cure_at_provider().map(str::to_owned);
                            Finding::bad("discovery", format!("{url} cannot be fetched: {cause}")).steps(cure)
                        }
                        _ => Finding::bad("discovery", explanation.happened),
                    };
                    (None, vec![finding.steps(explanation.steps), clock])
                }
            };
        }
        let Some(known) = self.discovery.without_document() else {
            return (None, vec![Finding::bad("discovery", format!("nothing says where {name} is"))]);
        };
        // Nothing is read from there; an answer of any kind shows that it can be reached.
        let url = &known.token_endpoint;
        let answer = self.get(url, "application/json").await;
        let clock = self.clock(&answer);
        match answer {
            Ok(_) => {
                let seen =
                    format!("{name} has no document; the configuration has its endpoints, issuer {}", known.issuer);
                (Some(known), vec![Finding::good("discovery", seen), clock])
            }
            Err(error) => {
                let seen = format!("{url} cannot be reached: {error}");
                (None, vec![Finding::bad("discovery", seen).step(CONNECTION), clock])
            }
        }
    }

    fn discovered(
        &self,
        url: &DiscoveryUrl,
        answer: Result<Response<Bytes>, FetchError>,
    ) -> Result<ProviderMetadata, DiscoveryError> {
        let document = answer.and_then(Document::of).map_err(|cause| DiscoveryError::of(url, cause))?;
        self.discovery.read(url, &document.body)
    }

    /// Compares this machine's clock with the provider's.
    fn clock(&self, answer: &Result<Response<Bytes>, FetchError>) -> Finding {
        let (subject, name) = ("clock", self.provider.display_name());
        let Some(theirs) = answer.as_ref().ok().and_then(|answer| time_of(answer.headers())) else {
            return Finding::note(subject, format!("not compared: {name} has not said what time it is"));
        };
        let now = SystemTime::now();
        let (apart, side) = match now.duration_since(theirs) {
            Ok(ahead) => (ahead, "ahead of"),
            Err(behind) => (behind.duration(), "behind"),
        };
        let leeway = self.provider.verify.leeway.duration();
        let seen = format!("this machine's is {} s {side} {name}'s", apart.as_secs());
        let cure = "Set this machine's clock, and keep it right by NTP.";
        match apart {
            apart if apart <= SAME_TIME => Finding::good(subject, format!("the same as {name}'s")),
            apart if apart <= leeway => Finding::note(subject, seen).step(cure),
            _ => Finding::bad(subject, format!("{seen}, and tokens are refused beyond {} s", leeway.as_secs()))
                .step(cure),
        }
    }

    /// The keys by which tokens are verified; nothing where none are needed.
    async fn keys(&self, known: &ProviderMetadata, asked: &[String]) -> Option<Finding> {
        let subject = "signing keys";
        let Some(keys) = &known.keys else {
            let finding = Finding::bad(
                subject,
                "people are identified by id_tokens, and there is no `jwks_uri` to verify them by",
            );
            let step = format!(
                "Set `jwks_uri` of the provider, or leave `openid` out of {}.",
                self.provider.setting("scopes")
            );
            return has(asked, "openid").then(|| finding.step(step));
        };
        let url = keys.url();
        let fetched = self.get(url, "application/json").await.and_then(Document::of);
        Some(match fetched.map(|document| Keys::read(&document.body)) {
            Ok(Some(_)) => Finding::good(subject, url.as_str()),
            Ok(None) => Finding::bad(subject, format!("{url} has no key by which a token could be verified")).step(
                "Tokens must be signed by RS256, ES256 or another asymmetric algorithm; choose one at the provider.",
            ),
            Err(error) => Finding::bad(subject, format!("{url} cannot be fetched: {error}")).step(CONNECTION),
        })
    }

    /// Compares the scopes that are asked for with those that the provider lists; it need not list all.
    fn scopes(&self, known: &ProviderMetadata, asked: &[String]) -> Finding {
        let (subject, name) = ("scopes", self.provider.display_name());
        let asking = match asked {
            [] => "none are asked for".to_owned(),
            _ => format!("asked for are `{}`", asked.join(" ")),
        };
        let listed = &known.scopes_supported;
        let missing: Vec<&str> = asked.iter().filter(|scope| !listed.contains(scope)).map(String::as_str).collect();
        if listed.is_empty() || missing.is_empty() {
            let whether = if listed.is_empty() { "does not say which it has" } else { "lists all of them" };
            return Finding::good(subject, format!("{asking}; {name} {whether}"));
        }
        let seen = format!("{asking}; {name} does not list `{}`", missing.join(" "));
        Finding::note(subject, seen).step(format!(
            "Scopes of an API need not be listed. If logins end with invalid_scope, switch them on for the application `{}`, or leave them out of {}.",
            self.provider.client_id,
            self.provider.setting("scopes")
        ))
    }

    /// Checks that logins are bound to this server by PKCE (RFC 7636).
    fn challenge(&self, known: &ProviderMetadata) -> Finding {
        let (subject, name) = ("PKCE", self.provider.display_name());
        let takes_s256 = known.challenge_methods.as_ref().map(|methods| has(methods, "S256"));
        let setting = self.provider.setting("pkce");
        match (self.provider.pkce, takes_s256) {
            (true, Some(true)) => Finding::good(subject, format!("{name} takes S256")),
            (true, None) => Finding::good(subject, format!("S256 is sent; {name} does not say whether it checks it")),
            (true, Some(false)) => Finding::bad(subject, format!("{name} does not take S256"))
                .step(format!("Switch it on there; only if {name} refuses it, set {setting} to false.")),
            (false, Some(true)) => Finding::note(subject, format!("switched off, and {name} takes S256"))
                .step(format!("Leave {setting} out of the configuration.")),
            (false, _) => Finding::note(subject, "switched off"),
        }
    }

    /// Checks that the provider takes this server's credentials.
    async fn credentials(&self, known: &ProviderMetadata, asked: &[String]) -> Finding {
        let provider = self.provider;
        let subject = if provider.secret().is_some() { "client secret" } else { "client id" };
        let (wire, preference) = (Wire::new(self.http.clone()), Preference::default());
        let endpoint = TokenEndpoint { provider, known, wire: &wire, preference: &preference, scopes: asked };
        let Err(error) = endpoint.introduce(&self.request()).await else {
            let seen = format!("{} takes this server as `{}`", provider.display_name(), provider.client_id);
            return Finding::good(subject, seen);
        };
        let is_about_this_server = match &error {
            TokenError::Refused { error, description } => {
                ABOUT_THIS_SERVER.contains(&provider.standard_error(error))
                    || self.failures(asked).hint(error, description.as_deref()).is_some()
            }
            TokenError::Down(down) => {
                let seen = format!("not tried: {} cannot be reached: {}", known.token_endpoint, down.cause);
                return Finding::bad(subject, seen).step(CONNECTION);
            }
            TokenError::Silent { status, .. } => *status == StatusCode::UNAUTHORIZED,
            TokenError::Garbage(_) => false,
        };
        match self.faults(asked).exchange(error) {
            LoginError::Operator(explanation) if is_about_this_server => explained(subject, explanation),
            LoginError::Operator(Explanation { quote: Some(cause), .. })
            | LoginError::Denied { description: cause }
            | LoginError::Temporary { cause }
            | LoginError::Broken { cause, .. } => {
                Finding::note(subject, format!("it cannot be told from here: {cause}"))
            }
            LoginError::Operator(Explanation { happened, .. }) => Finding::note(subject, happened),
        }
    }

    /// Names the callback URL that must be entered at the provider. Only a login shows whether it was.
    fn callback(&self) -> Finding {
        Finding::note("callback URL", self.callback.as_str()).step(self.allow_callback())
    }

    /// Names the API that the provider's access tokens are for; nothing for providers without audiences.
    fn audience(&self) -> Option<Finding> {
        let (subject, name) = ("audience", self.provider.display_name());
        let setting = self.provider.setting("audience");
        match &self.provider.audience {
            Some(audience) => Some(
                Finding::note(subject, format!("tokens are asked for the API `{audience}` ({setting})"))
                    .step(format!("An API with exactly this identifier must exist at {name}.")),
            ),
            None => self.provider.variable("audience").map(|variable| {
                let seen =
                    format!("{variable} is not set: people can log in, and {name}'s tokens carry no permissions");
                Finding::note(subject, seen)
                    .step(format!("Set {variable} to the identifier of an API if plugins ask for scopes."))
            }),
        }
    }

    /// Tells how a session is kept in step with the person's account.
    fn refresh_token(&self, asked: &[String]) -> Finding {
        let (subject, name) = ("refresh token", self.provider.display_name());
        let is_asked = has(asked, "offline_access")
            || self.provider.offline.scope.is_some()
            || !self.provider.offline.params.is_empty();
        if is_asked {
            let hint = self.failures(asked).hint("no refresh token", None);
            let finding = Finding::note(subject, "asked for; only a login shows whether one comes");
            return finding.steps(hint.map(|hint| hint.steps).unwrap_or_default());
        }
        match &self.provider.verify.recheck {
            Some(every) => {
                let seen = format!("none; {name} is asked every {every} whether a person's token is still good");
                Finding::good(subject, seen)
            }
            None => {
                Finding::note(subject, format!("not asked for, so {name} is not asked again while a session lasts"))
                    .step(format!(
                        "If the application has the scope offline_access, add it to {}.",
                        self.provider.setting("scopes")
                    ))
            }
        }
    }

    fn allow_callback(&self) -> String {
        let (name, client_id) = (self.provider.display_name(), &self.provider.client_id);
        let place = self.provider.callback_place.as_deref().unwrap_or("the callback URLs (redirect URIs)");
        format!("In {name}'s dashboard, {place} of the application `{client_id}` must have exactly {}.", self.callback)
    }

    fn faults<'f>(&'f self, asked: &'f [String]) -> Faults<'f> {
        Faults { failures: self.failures(asked), notes: &self.notes }
    }

    fn failures<'f>(&'f self, asked: &'f [String]) -> ProviderFailures<'f> {
        ProviderFailures { provider: self.provider, callback: &self.callback, scopes: asked }
    }

    fn request(&self) -> UpstreamRequest {
        UpstreamRequest {
            state: STATE.to_owned(),
            verifier: VERIFIER.to_owned(),
            nonce: STATE.to_owned(),
            redirect_uri: self.callback.clone(),
        }
    }

    async fn get(&self, url: &Url, accept: &str) -> Result<Response<Bytes>, FetchError> {
        let request = Request::get(url.as_str()).header(ACCEPT, accept).body(Vec::new());
        self.http.send(request.map_err(|_| FetchError::Refused("only URLs"))?).await
    }
}

/// The next step when there is no connection.
const CONNECTION: &str =
    "See whether this machine has a connection to that host: DNS, a firewall, a proxy that is in the way.";

/// Errors of the token endpoint that are about this server, and not about the code.
const ABOUT_THIS_SERVER: [&str; 3] = ["invalid_client", "unauthorized_client", "redirect_uri_mismatch"];

/// Lists the endpoints of a document. One without TLS would have kept the document from being read.
fn endpoints(known: &ProviderMetadata) -> Finding {
    let further = [
        ("userinfo", &known.userinfo_endpoint),
        ("introspection", &known.introspection_endpoint),
        ("revocation", &known.revocation_endpoint),
    ];
    let further = further.into_iter().filter_map(|(name, url)| Some((name, url.as_ref()?)));
    let all = [("authorization", &known.authorization_endpoint), ("token", &known.token_endpoint)];
    let all: Vec<(&str, &Url)> = all.into_iter().chain(further).collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let how = if all.iter().all(|(_, url)| url.scheme() == "https") { "https" } else { "on this machine" };
    Finding::good("endpoints", format!("{}: {how}", names.join(", ")))
}

fn explained(subject: &'static str, explanation: Explanation) -> Finding {
    let Explanation { title: _, happened, steps, quote } = explanation;
    let seen = match quote {
        Some(quote) => format!("{happened} It says {quote:?}."),
        None => happened,
    };
    Finding::bad(subject, seen).steps(steps)
}

/// The time at which an answer was sent (RFC 9110 §6.6.1). One from a cache is older by its age (RFC 9111 §5.1).
fn time_of(headers: &HeaderMap) -> Option<SystemTime> {
    let text = |name| headers.get(name)?.to_str().ok();
    let sent = httpdate::parse_http_date(text(DATE)?).ok()?;
    let age = text(AGE).and_then(|age| age.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    sent.checked_add(age)
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|it| it == word)
}

#[cfg(test)]
mod tests;
