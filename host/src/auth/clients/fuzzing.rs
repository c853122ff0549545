//! Redirect URIs and registrations, which strangers choose.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use futures::FutureExt;
use serde_json::Value;
use tokio::sync::watch;
use url::{Position, Url};

use super::declared::DeclaredClients;
use super::id::Registration;
use super::redirect::{RedirectKind, accept, matches, with_answer, without_port};
use super::{Clients, registration};
use crate::auth::clients::document::Documents;
use crate::auth::key_source::KeySources;
use crate::auth::people::People;
use crate::config::names::UnknownClients;
use crate::config::{Config, Egress};
use crate::fetch::Strangers;
use crate::fuzzing::promises::assert_shown;
use crate::vault::Vault;

/// Schemes whose URIs browsers run or show themselves.
const RUN: [&str; 7] = ["javascript", "data", "vbscript", "blob", "file", "about", "view-source"];

static CLIENTS: LazyLock<Clients> = LazyLock::new(|| {
    let config = Config::default();
    let people = People::fixed(config.clone(), false);
    let config = watch::channel(Arc::new(config)).1;
    let documents = Documents::new(Strangers::default());
    let sources = Arc::new(KeySources::new(Egress::default(), true));
    let credentials = watch::channel(Arc::default()).1;
    let declared = DeclaredClients::new(config.clone(), credentials, sources);
    Clients::new(Vault::for_tests(1), documents, declared, None, UnknownClients::Refuse, people, config)
});

/// Lines of registered URIs, and a last line with one that is offered.
pub(crate) fn redirect(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut uris: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let Some(offered) = uris.pop() else { return };
    let is_match = matches(&uris, &offered);
    assert_eq!(is_match, uris.iter().any(|uri| is_equal(uri, &offered)), "{uris:?} and {offered:?}");
    for uri in &uris {
        assert_eq!(matches(std::slice::from_ref(uri), &offered), matches(std::slice::from_ref(&offered), uri));
    }
    for uri in uris.iter().chain([&offered]) {
        if let Ok(kind) = accept(uri, &[]) {
            accepted(uri, kind);
        }
    }
}

/// The rule in the words of RFC 8252 §7.3 and of URL parsers: the same text, or plain http of this machine that differs
/// in the port and in the spelling of the host.
fn is_equal(registered: &str, offered: &str) -> bool {
    let parts = |uri: &str| {
        let url = Url::parse(uri).ok()?;
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let after = uri.strip_prefix("http://").filter(|_| is_loopback && url.fragment().is_none())?;
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        // Other spellings, such as `127.1` or a port of `080`, are nobody's.
        let canonical = match url.port() {
            // Nobody can be called there.
            Some(0) => return None,
            Some(port) => format!("{}:{port}", url.host_str()?),
            None if authority.ends_with(":80") => format!("{}:80", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        (authority == canonical && !rest.contains('#')).then_some(rest)
    };
    registered == offered || parts(registered).is_some_and(|one| parts(offered) == Some(one))
}

/// Holds an accepted URI to what browsers are sent to.
fn accepted(uri: &str, kind: RedirectKind) {
    let url = Url::parse(uri).expect("an accepted URI is a URL");
    assert!(uri.len() <= 2048 && uri.bytes().all(|byte| byte.is_ascii_graphic()), "{uri}");
    assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none(), "{uri}");
    assert!(!RUN.contains(&url.scheme()), "{uri}");
    match kind {
        RedirectKind::Web => assert!(url.scheme() == "https" && url.host_str().is_some_and(|host| !host.is_empty())),
        RedirectKind::Loopback => {
            assert!(url.scheme() == "http" && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")));
        }
        RedirectKind::App { .. } => assert!(!matches!(url.scheme(), "http" | "https"), "{uri}"),
    }
    assert!(matches(&[uri.to_owned()], uri) && matches(&[without_port(uri)], uri), "{uri}");
    assert_eq!(without_port(&without_port(uri)), without_port(uri));

    let answer = [("code", "a+b&c=d#e"), ("state", "é\"")];
    let back = Url::parse(&with_answer(uri, &answer)).expect("with an answer it is a URL");
    assert_eq!(back[..Position::AfterPath], url[..Position::AfterPath], "{uri}");
    assert!(back.fragment().is_none());
    for (name, value) in answer {
        let found: Vec<_> = back.query_pairs().filter(|(other, _)| other == name).collect();
        assert!(found.len() == 1 && found[0].1 == value, "{back}");
    }
}

/// The body of a registration.
pub(crate) fn registration(bytes: &[u8]) {
    let Ok(answer) = registration::register(&CLIENTS, bytes, 7) else { return };
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).now_or_never();
    let body = body.and_then(Result::ok).expect("the answer is whole");
    let answer: Value = serde_json::from_slice(&body).expect("it is JSON");
    let id = answer["client_id"].as_str().expect("it has an id");
    assert!(id.len() <= 4096 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let client =
        CLIENTS.find(id, IpAddr::from([127, 0, 0, 1])).now_or_never().and_then(Result::ok).expect("it is known");
    let uris = answer["redirect_uris"].as_array().expect("it has URIs");
    assert!(!uris.is_empty() && uris.len() <= 10);
    for uri in uris.iter().filter_map(Value::as_str) {
        assert!(CLIENTS.may_send(&client, uri), "{uri}");
    }
    if let Some(name) = &client.name {
        assert_shown(name, 4 * 100);
        assert!(name.chars().count() <= 100 && answer["client_name"] == **name);
    }
    assert_eq!(client.scope.as_deref(), answer["scope"].as_str());
    // The same registration again is the same client, unless it has a secret.
    let opened = Registration::open(&CLIENTS.vault, id).expect("it is ours");
    assert_eq!(opened.clone().normal(), opened);
    assert_eq!(opened.seal(&CLIENTS.vault), id);
    assert!(Registration::open(&Vault::for_tests(2), id).is_none());
    let has_secret = answer.get("client_secret").is_some();
    assert_eq!(has_secret, answer["token_endpoint_auth_method"] != "none");
}
