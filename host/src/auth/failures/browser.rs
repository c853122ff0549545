//! Failures of this server's own pages, where no client waits for anybody.

use http::StatusCode;

use super::{Explanation, Failure};

impl Failure {
    /// The provider's answer belongs to no login under way, or its session has ended since.
    pub(in crate::auth) fn browser_login_over(login: &str) -> Self {
        let explanation = Explanation::new(
            "This login is over",
            "It was finished already and has ended since, or more than ten minutes have passed since it began.",
            &[&format!("Log in again at `{login}`.")],
        );
        let cause = "a login on this server's own pages is over";
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", cause, explanation)
    }

    /// The provider has not logged the person in. `why` is in words of this server, without a full stop.
    pub(in crate::auth) fn browser_not_logged_in(error: &'static str, why: &str, login: &str) -> Self {
        let status = match error {
            "access_denied" => StatusCode::FORBIDDEN,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        let happened = format!("The login did not work: {why}.");
        let explanation = Explanation::new(
            "You are not logged in",
            happened,
            &[&format!("Log in again at `{login}`."), "If it goes on, ask whoever runs this server."],
        );
        Self::new(status, error, why, explanation)
    }

    /// A form may have been sent by a page of another site. `reason` completes "The request was refused, since …".
    pub(in crate::auth) fn forged(reason: &str) -> Self {
        let explanation = Explanation::new(
            "Nothing was done",
            format!("The request may not come from this server's own page: {reason}."),
            &[
                "Go back, load the page again, and try once more.",
                "If it goes on: an extension or a proxy may take the headers `Origin` or `Sec-Fetch-Site` away, or `server.base_url` differs from the address in your browser.",
            ],
        );
        Self::new(StatusCode::FORBIDDEN, "access_denied", format!("a form was refused: {reason}"), explanation)
    }

    /// A form of this server's own pages cannot be read.
    pub(in crate::auth) fn broken_own_form(status: StatusCode, reason: &str) -> Self {
        let happened = format!("The form could not be read: {reason}.");
        let steps = ["Go back, load the page again, and try once more."];
        Self::new(status, "invalid_request", reason, Explanation::new("The form did not arrive", happened, &steps))
    }

    /// The provider was asked for a login of the last minutes, and has given an older one.
    pub(in crate::auth) fn login_not_of_now(provider: &str, login: &str) -> Self {
        let explanation = Explanation::new(
            "That login is too old",
            format!(
                "This server has asked {provider} to have you log in again, for what only an operator may do. {provider} has sent you back without that: you logged in there more than ten minutes ago. Your login here is as it was."
            ),
            &[
                &format!("Log out at {provider}, then log in again at `{login}?again`."),
                "If it goes on, compare the clocks of both, and look whether the provider takes `max_age`. `tinymcp approve` on the server itself needs no login.",
            ],
        );
        let cause = "the provider was asked for a login of the last ten minutes, and its `auth_time` is older";
        Self::new(StatusCode::FORBIDDEN, "access_denied", cause, explanation)
    }

    /// Somebody who is no operator has asked for what is for operators. It says nothing of what that is.
    pub(in crate::auth) fn not_an_operator(login: &str) -> Self {
        let explanation = Explanation::new(
            "This is for operators",
            "You are logged in, and you are no operator of this server.",
            &[
                "If you should be one, ask whoever runs this server: `auth.operators` in `tinymcp.toml` names them.",
                &format!("To log in as somebody else, log out at the provider, then log in at `{login}?again`."),
            ],
        );
        let cause = "a page for operators was asked for by somebody else";
        Self::new(StatusCode::FORBIDDEN, "access_denied", cause, explanation)
    }

    /// A form needs a login that is not there any more.
    pub(in crate::auth) fn login_ended(login: &str) -> Self {
        let explanation = Explanation::new(
            "You are not logged in any more",
            "Your login in this browser has ended, so nothing was done.",
            &[&format!("Log in again at `{login}`, then try once more.")],
        );
        Self::new(StatusCode::UNAUTHORIZED, "access_denied", "a form came without a login", explanation)
    }

    /// A login may not begin inside a page of another site.
    pub(in crate::auth) fn login_not_visited(login: &str) -> Self {
        let explanation = Explanation::new(
            "A login begins in a window of its own",
            "Something has asked for the login that is no page in a window, such as a picture or a frame of another site.",
            &[&format!("Open `{login}`.")],
        );
        Self::new(StatusCode::FORBIDDEN, "access_denied", "a login was asked for by no navigation", explanation)
    }
}
