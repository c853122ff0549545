//! The failures of a login in a browser: status, code, title and words of the page that each becomes.
//!
//! [`provider`] has those in which the identity provider has a part, [`browser`] those of this server's own pages. Nothing here knows of requests, of pages or of the
//! store: a failure is told from facts, and somebody else shows it.

pub(super) mod browser;
pub(super) mod provider;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::identity::{Identity, Membership};

/// An explanation for a person. Nothing in it is markup; a page escapes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The heading.
    pub title: String,
    /// The event, in one or two sentences.
    pub happened: String,
    /// The next steps, one sentence each, with the person who has to take them.
    pub steps: Vec<String>,
    /// Somebody else's words, such as the provider's.
    pub quote: Option<String>,
}

impl Explanation {
    pub(super) fn new(title: impl Into<String>, happened: impl Into<String>, steps: &[&str]) -> Self {
        let steps = steps.iter().map(|step| (*step).to_owned()).collect();
        Self { title: title.into(), happened: happened.into(), steps, quote: None }
    }

    /// Adds somebody else's words.
    #[must_use]
    pub(super) fn quoting(mut self, words: impl Into<String>) -> Self {
        self.quote = Some(words.into());
        self
    }
}

/// A failure, as a page shows it.
#[derive(Debug)]
pub struct Failure {
    /// The page's status.
    pub status: StatusCode,
    /// The code (RFC 6749 §4.1.2.1, §5.2), for the page's twin in JSON and for the client.
    pub error: &'static str,
    /// The text for the person.
    pub explanation: Explanation,
    /// The text for the log.
    pub cause: String,
}

const START_AGAIN: &str = "Start the login again in your client; if this page returns, it is the client's fault.";

impl Failure {
    fn new(status: StatusCode, error: &'static str, cause: impl Into<String>, explanation: Explanation) -> Self {
        Self { status, error, explanation, cause: cause.into() }
    }

    fn bad_request(error: &'static str, cause: impl Into<String>, explanation: Explanation) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, cause, explanation)
    }

    /// The form for a device's code, or the device itself, is over.
    pub(super) fn device_page_over() -> Self {
        let explanation = Explanation::new(
            "This is over",
            "The page was open for too long, or the device does not wait any more: its code ends after ten minutes, and is good once.",
            &["Begin again on the device, and type its new code at `/device` here."],
        );
        Self::bad_request("invalid_request", "the form or the code of a device is over", explanation)
    }

    /// Too many wrong codes of devices.
    pub(super) fn too_many_device_codes() -> Self {
        let explanation = Explanation::new(
            "Too many wrong codes",
            "None of the codes that came from here is one of a device that waits.",
            &["Wait ten minutes, begin again on the device, and type the code that it shows then."],
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "access_denied", "too many wrong codes of devices", explanation)
    }

    /// The login for a device has failed, for this reason.
    pub(super) fn device_not_logged_in(why: &str) -> Self {
        let explanation = Explanation::new(
            "The device was not connected",
            "The login did not succeed, and the device has learned of it.",
            &["Begin again on the device."],
        );
        Self::new(StatusCode::BAD_GATEWAY, "server_error", "a login for a device has failed", explanation.quoting(why))
    }

    /// A parameter of the client's link is given twice.
    pub(super) fn repeated_parameter(name: &str) -> Self {
        let happened = format!("The client's link gives `{name}` more than once.");
        let explanation = Explanation::new("The login link is broken", happened, &[START_AGAIN]);
        Self::bad_request("invalid_request", "a parameter is repeated", explanation)
    }

    /// The link names no client: somebody has opened it by hand.
    pub(super) fn no_client(endpoint: &str) -> Self {
        let explanation = Explanation::new(
            "This is not a page to visit",
            "This address is where MCP clients begin a login, and the link that led here does not name a client.",
            &[&format!("Give your client the address `{endpoint}`: it finds everything else by itself.")],
        );
        Self::bad_request("invalid_request", "no client_id", explanation)
    }

    /// The client's id was never given out here.
    pub(super) fn client_not_registered(endpoint: &str) -> Self {
        let explanation = Explanation::new(
            "Client Not Registered",
            "The client presents an id that this server did not give out: it comes from another server, or from before this server's key was replaced.",
            &[
                "Have your client forget this server's authentication and log in again; how depends on the client. Cursor: in Settings, MCP, choose Logout or Clear authentication for this server, and log in again.",
                "Claude Code: type `/mcp`, choose the server and Clear authentication; or run `claude mcp logout NAME`.",
                "VS Code: run the command `Authentication: Remove Dynamic Authentication Providers`, and start the server again.",
                "mcp-remote: delete the folder `~/.mcp-auth`.",
                &format!(
                    "The client's configuration needs the address `{endpoint}` and nothing else: no client id, no secret."
                ),
            ],
        );
        Self::bad_request("invalid_client", "the client id was not given out here", explanation)
    }

    /// The client presents this server's own id at the provider.
    pub(super) fn own_id_at_provider(id: &str, provider: &str, endpoint: &str) -> Self {
        let explanation = Explanation::new(
            format!("This is your {provider} application's id"),
            format!(
                "The client presents `{id}`, which is this server's own id at {provider} and no client's: here it is \"Client Not Registered\". Clients register with this server and get ids of their own."
            ),
            &[
                "Remove the `auth` block with the client id and secret from the client's configuration.",
                &format!("What remains is `{{\"mcpServers\": {{\"tinymcp\": {{\"url\": \"{endpoint}\"}}}}}}`."),
                "Clear the client's stored authentication for this server, restart the client, and log in again.",
            ],
        );
        Self::bad_request("invalid_client", "the provider's client id was presented", explanation)
    }

    /// The client's id is a URL, and breaks a rule for such ids. `rule` says which.
    pub(super) fn client_url(id: &str, rule: &str, endpoint: &str) -> Self {
        let explanation = Explanation::new(
            "The client's id is no URL of a client",
            format!(
                "The client names itself by the URL `{id}`. A URL that is a client's id leads to a document about the client, and this one cannot: {rule}."
            ),
            &[
                "The client's maker has to give it another: `https`, a host name without a port, and a path, such as `https://app.example/client.json`.",
                &format!("A client that registers by itself needs the address `{endpoint}` and no id."),
            ],
        );
        Self::bad_request("invalid_client", format!("the client id is a URL without a document: {rule}"), explanation)
    }

    /// The document behind the client's URL cannot be used. `reason` is for the person, and `cause` for the log.
    pub(super) fn client_document(id: &str, reason: &str, cause: String) -> Self {
        let explanation = Explanation::new(
            "The client's description cannot be used",
            format!("The client names itself by the URL `{id}`, and what is there cannot be used: {reason}."),
            &[
                "Try again in a minute, in case the site could not be reached.",
                "If it goes on, the client's maker has to mend that document.",
            ],
        );
        Self::bad_request("invalid_client", cause, explanation)
    }

    /// The link names no redirect URI.
    pub(super) fn no_redirect_uri() -> Self {
        let happened = "The client's link does not say where to send you back to (`redirect_uri`).";
        let explanation = Explanation::new("The login link is broken", happened, &[START_AGAIN]);
        Self::bad_request("invalid_request", "no redirect_uri", explanation)
    }

    /// The redirect URI is not one of the client's. `reason` is a sentence.
    pub(super) fn foreign_redirect_uri(offered: &str, reason: &str) -> Self {
        let explanation = Explanation::new(
            "The client may not send you there",
            format!("The client wants you sent back to `{offered}`. {reason}"),
            &[
                "In your client, clear this server's authentication and log in again: it then registers anew.",
                "For a client declared in `tinymcp.toml`, the server's operator adds the address to `redirect_uris` in its table under `[auth.clients]`.",
            ],
        );
        Self::bad_request("invalid_request", "the redirect URI is not registered", explanation)
    }

    /// The redirect URI was acceptable when the login began, and is not any more.
    pub(super) fn redirect_uri_refused_meanwhile() -> Self {
        let explanation = Explanation::new(
            "The client may not send you there any more",
            "The operator of this server has changed where clients may send people back to, while you were logging in.",
            &["Ask whoever runs this server: `auth.redirect_schemes` in `tinymcp.toml` says it."],
        );
        let cause = "`auth.redirect_schemes` has changed during the login";
        Self::new(StatusCode::FORBIDDEN, "access_denied", cause, explanation)
    }

    /// The consent form cannot be read.
    pub(super) fn broken_form(status: StatusCode, reason: &str) -> Self {
        let happened = format!("The answer to the question could not be read: {reason}.");
        let explanation =
            Explanation::new("The form did not arrive", happened, &["Start the login again in your client."]);
        Self::new(status, "invalid_request", reason, explanation)
    }

    /// The form, or the provider's answer, belongs to no login under way.
    pub(super) fn expired() -> Self {
        let explanation = Explanation::new(
            "This login is over",
            "The login was finished already, or more than ten minutes have passed since it began, or it gave way to others because very many had been begun.",
            &[
                "Start the login again in your client, and finish it in one go. If the client says that it is connected, there is nothing to do.",
                "If this page returns at once, ask whoever runs this server: its log says when logins give way to others.",
            ],
        );
        Self::bad_request("invalid_request", "the login is unknown, expired or used", explanation)
    }

    /// The browser is not the one that the login began in.
    pub(super) fn other_browser(cause: &str) -> Self {
        let explanation = Explanation::new(
            "This browser did not begin the login",
            "For your safety a login can be finished only in the browser in which it was begun, and this one did not send the cookie that says so.",
            &[
                "Start the login again in your client, and finish it in the browser window that opens.",
                "If cookies are blocked for this site, allow them.",
                "If a proxy stands in front of this server, its operator makes sure that it does not add a `Domain` to cookies: browsers drop `__Host-` cookies that have one.",
            ],
        );
        Self::new(StatusCode::FORBIDDEN, "access_denied", cause, explanation)
    }

    /// The store could not be read or written; nothing was changed.
    pub(super) fn store(cause: String) -> Self {
        let explanation = Explanation::new(
            "The server cannot remember logins at the moment",
            "Its store does not take anything, so the login cannot go on. Whoever is logged in already stays so.",
            &["Try again in a minute.", "If it goes on, the server's operator finds the reason in its log."],
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", cause, explanation)
    }

    /// Nobody logs in while the audit cannot be written.
    pub(super) fn unaudited() -> Self {
        let explanation = Explanation::new(
            "Nobody can log in at the moment",
            "This server writes down every login, and cannot at the moment. Whoever runs it wants no login without that.",
            &["Try again in a minute.", "If it goes on, tell whoever runs this server: its log has the reason."],
        );
        let cause = "the audit cannot be written, and `audit.on_error` is `refuse`";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", cause, explanation)
    }

    /// One address begins too many logins.
    pub(super) fn too_many_logins() -> Self {
        let explanation = Explanation::new(
            "Too many logins at once",
            "So many logins were begun from your address lately that this server takes a break.",
            &["Wait a minute, then start the login again in your client."],
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", "too many logins", explanation)
    }

    /// The page of the built-in login was opened without a login.
    pub(super) fn no_login_under_way() -> Self {
        let explanation = Explanation::new(
            "This is not a login under way",
            "The built-in login is opened by this server, as a part of connecting an application. This link is not one of its own, or it is not complete.",
            &["Start again in the application that you want to connect."],
        );
        let cause = "the built-in login was visited without a login under way";
        Self::bad_request("invalid_request", cause, explanation)
    }

    /// The callback's address was cut on its way here, by a program that splits it at `&` say. Nothing is used up.
    pub(super) fn callback_cut_off() -> Self {
        let explanation = Explanation::new(
            "The address is not whole",
            "The identity provider's answer is missing from it, so the login has not gone on. Nothing is lost.",
            &["Open the whole address, or go back and log in at the identity provider again."],
        );
        Self::bad_request("invalid_request", "the callback has neither `code` nor `error`", explanation)
    }

    /// Nobody can be sent to the provider at the moment.
    pub(super) fn provider_unavailable(explanation: Explanation, cause: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", cause, explanation)
    }

    /// The provider has refused the login for a reason that only the operator can mend.
    pub(super) fn provider_refused(explanation: Explanation) -> Self {
        let cause = explanation.quote.clone().unwrap_or_else(|| explanation.happened.clone());
        Self::new(StatusCode::BAD_GATEWAY, "server_error", cause, explanation)
    }

    /// The provider knows the person, and the operator has not let them in.
    pub(super) fn not_allowed(provider: &str, identity: &Identity, lacks_organizations: bool) -> Self {
        let person = match (&identity.email, identity.email_verified) {
            (Some(email), true) => format!("as `{email}`"),
            (Some(email), false) => format!("as `{email}`, an address that has not been verified"),
            (None, _) => format!("as `{}`", identity.subject),
        };
        let mut explanation = Explanation::new(
            "You may not use this server",
            format!("{provider} knows you {person}. The operator of this server has not allowed you to log in."),
            &[
                "If you have another account, log out there and begin again in your client.",
                "Otherwise ask whoever runs this server to let you in: `[auth]` in `tinymcp.toml` says who may log in.",
            ],
        );
        if identity.email.is_some() && !identity.email_verified {
            explanation.steps.insert(0, format!("Have your address verified at {provider}, then log in again: one that is not verified counts for nothing."));
        }
        let mut cause = "the person is not among those of `auth.allow`, or is among those of `auth.deny`".to_owned();
        if lacks_organizations {
            let reason = match identity.membership {
                Membership::Overflowed => "does not list all the groups that you are in, since they are too many",
                Membership::Unknown | Membership::Whole => "does not say which organizations you belong to",
            };
            explanation
                .steps
                .push(format!("{provider} {reason}: whoever runs this server may have to change that there."));
            cause.push_str("; the provider ");
            cause.push_str(reason);
        }
        Self::new(StatusCode::FORBIDDEN, "access_denied", cause, explanation)
    }
}
