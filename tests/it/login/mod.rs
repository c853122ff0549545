//! Login from outside: as clients, people, providers and attackers meet it. Each file is a theme.

mod alone;
mod authorize;
mod backchannel;
mod callback;
mod certified;
mod chromium;
mod clients;
mod consent;
mod discovery;
mod documents;
mod egress;
mod faults;
mod killed;
mod large;
mod me;
mod own_pages;
mod people;
mod providers;
mod recheck;
mod redirects;
mod refresh;
mod refusals;
mod registration;
mod resource;
mod revoke;
mod scopes;
mod secrets;
mod secrets_of_clients;
mod sessions;
mod token;
mod who;

use tinymcp_tests::browser::Browser;
use tinymcp_tests::http::Answer;

fn alice() -> Browser {
    Browser::of("alice")
}

fn mallory() -> Browser {
    Browser::of("mallory")
}

/// The error of an endpoint that must not be stored anywhere (RFC 6749 §5.1).
fn refused(answer: &Answer) -> (u16, String) {
    assert!(answer.header("cache-control").contains("no-store"), "{answer:?}");
    answer.oauth_error()
}
