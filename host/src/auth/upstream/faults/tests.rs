use std::fmt::Write;

use super::*;
use crate::auth::failures::Explanation;
use crate::auth::failures::provider::DiscoveryError;
use crate::config::Provider;

fn auth0() -> Provider {
    let variables = [
        ("AUTH0_DOMAIN", "tenant.us.auth0.com"),
        ("AUTH0_CLIENT_ID", "id"),
        ("AUTH0_CLIENT_SECRET", "hunter2"),
        ("AUTH0_AUDIENCE", "https://api"),
    ];
    Provider::for_tests("", &variables)
}

fn clerk() -> Provider {
    let variables =
        [("CLERK_CONFIG_URL", "a.clerk.accounts.dev"), ("CLERK_CLIENT_ID", "id"), ("CLERK_CLIENT_SECRET", "x")];
    Provider::for_tests("auth.provider = 'clerk'", &variables)
}

fn faults<'a>(provider: &'a Provider, scopes: &'a [String]) -> Faults<'a> {
    let notes = Box::leak(Box::new(Notes::of(None, "acme")));
    let callback = "https://mcp.example.com/auth/callback";
    Faults { failures: ProviderFailures { provider, callback, scopes }, notes }
}

/// The kind of an error, and all of its words.
fn told(error: LoginError) -> (&'static str, String) {
    match error {
        LoginError::Denied { description } => ("denied", description),
        LoginError::Operator(explanation) => ("operator", words(&explanation)),
        LoginError::Temporary { cause } => ("temporary", cause),
        LoginError::Broken { cause, .. } => ("broken", cause),
    }
}

fn words(explanation: &Explanation) -> String {
    let Explanation { title, happened, steps, quote } = explanation;
    let mut words = format!("{title}\n{happened}\n{}", steps.join("\n"));
    if let Some(quote) = quote {
        let _ = write!(words, "\n> {quote}");
    }
    words
}

fn check(found: &(&str, String), kind: &str, parts: &[&str]) {
    assert_eq!(found.0, kind, "{}", found.1);
    for part in parts {
        assert!(found.1.contains(part), "{part}\nis not in\n{}", found.1);
    }
}

fn refused(error: &str, description: &str) -> TokenError {
    TokenError::Refused { error: error.to_owned(), description: Some(description.to_owned()) }
}

#[test]
fn errors_at_the_callback() {
    let (auth0, clerk) = (auth0(), clerk());
    let scopes = ["profile".to_owned(), "openid".to_owned()];
    let at_auth0 = |error: &str, words: &str| told(faults(&auth0, &scopes).callback(error, Some(words)));
    let at_clerk = |error: &str, words: &str| told(faults(&clerk, &scopes).callback(error, Some(words)));
    check(&at_auth0("access_denied", "User did not authorize the request"), "denied", &["User did not authorize"]);
    check(
        &at_auth0("access_denied", "Service not found: https://api"),
        "operator",
        &["`https://api`", "tenant.us.auth0.com", "AUTH0_AUDIENCE", "> access_denied: Service not found: https://api"],
    );
    check(
        &at_clerk("invalid_scope", "The OAuth 2.0 Client is not allowed to request scope 'openid'."),
        "operator",
        &["profile openid", "Clerk dashboard", "CLERK_SCOPES", "not allowed to request scope 'openid'"],
    );
    check(&at_clerk("invalid_scope", "something else"), "operator", &["profile openid", "CLERK_SCOPES"]);
    check(&at_auth0("unauthorized_client", "Grant type not allowed"), "operator", &["Authorization Code", "`id`"]);
    check(&at_auth0("server_error", "oops"), "temporary", &["server_error: oops"]);
    check(&at_auth0("temporarily_unavailable", ""), "temporary", &["temporarily_unavailable"]);
    check(&at_auth0("login_required", ""), "denied", &["login_required"]);
    check(&at_auth0("something_new", "<b>\u{7}"), "operator", &["https://mcp.example.com/auth/callback", "<b>"]);
}

#[test]
fn errors_of_the_token_endpoint() {
    let auth0 = auth0();
    let exchange = |error| told(faults(&auth0, &[]).exchange(error));
    for (error, words) in [("access_denied", "Unauthorized"), ("invalid_client", "Client authentication failed")] {
        check(&exchange(refused(error, words)), "operator", &["AUTH0_CLIENT_SECRET", "restart", words]);
    }
    check(&exchange(refused("invalid_grant", "Invalid authorization code")), "broken", &["Invalid authorization code"]);
    check(&exchange(refused("server_error", "")), "temporary", &[]);
    check(&exchange(TokenError::Down(Down::new("timed out"))), "temporary", &["timed out"]);
    check(&exchange(TokenError::Garbage("no JSON".to_owned())), "broken", &["no JSON"]);
    check(&exchange(refused("redirect_uri_mismatch", "")), "operator", &["https://mcp.example.com/auth/callback"]);
}

#[test]
fn errors_of_a_refresh() {
    let github = Provider::for_tests(
        "auth.provider = 'github'\nauth.allow = ['sub:1']",
        &[("GITHUB_CLIENT_ID", "id"), ("GITHUB_CLIENT_SECRET", "x")],
    );
    let own = Provider::for_tests(
        "auth.provider = 'oidc'\nauth.providers.oidc.refresh_ended_by = ['expired_token', 'invalid_request: Token Expired']",
        &[("OIDC_DISCOVERY_URL", "https://id.example"), ("OIDC_CLIENT_ID", "id")],
    );
    let temporary = |retry_after| RefreshError::Temporary { retry_after };
    let refused_own = || RefreshError::Refused(Alike::Nobody);
    let down = |retry_after| TokenError::Down(Down { retry_after, ..Down::new("status 429") });
    let silent = |status| TokenError::Silent { status, cause: "no words".to_owned() };
    for (provider, error, expected) in [
        (&auth0(), refused("invalid_grant", "Unknown or invalid refresh token."), RefreshError::Ended),
        (&auth0(), refused("interaction_required", ""), RefreshError::Ended),
        (&github, refused("bad_refresh_token", ""), RefreshError::Ended),
        (&own, refused("expired_token", ""), RefreshError::Ended),
        (&own, refused("invalid_request", "the token expired"), RefreshError::Ended),
        (&own, refused("invalid_request", "a parameter is missing"), refused_own()),
        (&auth0(), refused("bad_refresh_token", ""), refused_own()),
        (&auth0(), refused("invalid_request", "token expired"), refused_own()),
        (&auth0(), silent(StatusCode::BAD_REQUEST), refused_own()),
        (&auth0(), silent(StatusCode::UNAUTHORIZED), temporary(None)),
        (&auth0(), refused("invalid_client", ""), temporary(None)),
        (&auth0(), refused("unauthorized_client", "user is blocked"), refused_own()),
        (&auth0(), refused("invalid_scope", ""), refused_own()),
        (&auth0(), refused("access_denied", "Unauthorized"), temporary(None)),
        (&auth0(), refused("temporarily_unavailable", ""), temporary(None)),
        (&auth0(), down(Some(30)), temporary(Some(30))),
        (&auth0(), down(None), temporary(None)),
        (&auth0(), TokenError::Garbage("html".to_owned()), temporary(None)),
    ] {
        let said = format!("{error:?}");
        assert_eq!(faults(provider, &[]).refresh(error, |_| Alike::Nobody), expected, "{said}");
    }
    let others = Alike::Others { renewed_ago: None };
    let of_all = faults(&own, &[]).refresh(refused("invalid_request", ""), |_| others);
    assert_eq!(of_all, RefreshError::Refused(others));
}

#[test]
fn what_is_wrong_with_the_address() {
    let auth0 = auth0();
    let url = "https://tenant.us.auth0.com/.well-known/openid-configuration".to_owned();
    let told =
        |error: Option<DiscoveryError>| words(&faults(&auth0, &[]).failures.unavailable(error.as_ref()).explanation);
    let missing = told(Some(DiscoveryError::Missing { url: url.clone(), status: 404 }));
    for part in [url.as_str(), "404", "AUTH0_DOMAIN", "without https://", "region", "custom domain"] {
        assert!(missing.contains(part), "{part}\nis not in\n{missing}");
    }
    let issuer = DiscoveryError::Issuer { url, found: "https://a/".to_owned(), expected: "https://b".to_owned() };
    let issuer = told(Some(issuer));
    assert!(issuer.contains("https://a/") && issuer.contains("https://b"), "{issuer}");
    assert!(told(None).contains("Try again"));
}
