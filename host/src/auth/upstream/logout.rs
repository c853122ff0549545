//! Logout tokens: the provider's word that it has ended one of its own sessions (OpenID Connect Back-Channel Logout 1.0
//! §2.4, §2.6).
//!
//! Whoever could make one would log people out, so that every check is made, and whatever is not a logout token beyond
//! doubt is none: an `id_token`, above all, which has the same issuer, audience and keys.

use serde_json::{Map, Value};

use super::claims::text;
use super::discovery::ProviderMetadata;
use super::id_token::check_tenant;
use super::inquiry;
use super::messages::{Logout, LogoutError};
use crate::clock::now_s;
use crate::config::Provider;
use crate::jwks::{Audience, JwtError, Rules};

/// The largest token; real ones have a kilobyte.
const BYTES_MAX: usize = 16 * 1024;

/// The longest `jti` and `sid`.
const NAME_BYTES_MAX: usize = 512;

/// The time after its making in which a token is taken: providers send them at once, and some try again. Its `jti` is
/// remembered for so long.
const TAKEN_S: u64 = 600;

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Verifies a logout token.
///
/// # Errors
/// [`LogoutError`].
pub(super) async fn read(provider: &Provider, known: &ProviderMetadata, token: &str) -> Result<Logout, LogoutError> {
    let Some(keys) = &known.keys else { return Err(LogoutError::NotOffered("a provider without `jwks_uri`")) };
    let audience = Audience::OneOf(vec![provider.client_id.clone()]);
    let rules = Rules { types: &["logout+jwt", "JWT"], ..inquiry::rules(provider, known, audience, BYTES_MAX) };
    let verified = keys.verify_with(token, &rules, &["iss"]).await;
    let claims: Map<String, Value> = verified.map_err(|error: JwtError| match error.is_temporary() {
        true => LogoutError::Unavailable(error.to_string()),
        false => LogoutError::Wrong(error.to_string()),
    })?;
    if let Some(template) = provider.issuer_template.as_deref().filter(|_| known.has_tenants) {
        check_tenant(&claims, template).map_err(LogoutError::Wrong)?;
    }
    let leeway_s = provider.verify.leeway.duration().as_secs();
    let mut logout = check(&claims, &provider.verify.subject_path, now_s(), leeway_s)
        .map_err(|cause| LogoutError::Wrong(cause.to_owned()))?;
    if !known.has_tenants {
        // The one name under which people of a provider with several are known.
        logout.issuer.clone_from(&known.issuer);
    }
    Ok(logout)
}

/// The checks of claims whose signature, issuer, audience and end are right.
fn check(claims: &Map<String, Value>, subject_path: &str, now_s: u64, leeway_s: u64) -> Result<Logout, &'static str> {
    let is_event = claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object);
    if !is_event {
        return Err("no logout token: `events` does not say so");
    }
    if claims.contains_key("nonce") {
        return Err("no logout token: it has a `nonce`");
    }
    let made_s = claims.get("iat").and_then(seconds).ok_or("no `iat`")?;
    if made_s > now_s.saturating_add(leeway_s) {
        return Err("its `iat` is in the future: check the clock");
    }
    let ends_s = made_s.saturating_add(TAKEN_S).saturating_add(leeway_s);
    if ends_s <= now_s {
        return Err("it was made more than ten minutes ago");
    }
    let name = |claim: &'static str| match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => Ok(Some(name.clone())),
        Some(_) => Err("`jti`, `sid` or `sub` is no text, empty or too long"),
    };
    let id = name("jti")?.ok_or("no `jti`")?;
    let sid = name("sid")?;
    if name("sub")?.is_none() && sid.is_none() {
        return Err("neither `sub` nor `sid`");
    }
    // Where people are known by another claim, `sub` says nothing of them.
    let subject = text(claims, subject_path);
    if subject.is_none() && sid.is_none() {
        return Err("no claim by which people of this provider are known (`subject_path`), and no `sid`");
    }
    let issuer = text(claims, "iss").ok_or("no `iss`")?;
    Ok(Logout { issuer, subject, sid, id, ends_s })
}

/// A time in seconds since 1970, whole or not.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of a number that fits")]
        Some(seconds as u64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(change: impl Fn(&mut Value), subject_path: &str) -> Result<Logout, &'static str> {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "us", "sub": "alice", "sid": "s-1", "iat": 1_000, "jti": "j",
            "events": { EVENT: {} },
        });
        change(&mut claims);
        let Value::Object(claims) = claims else { panic!("an object") };
        check(&claims, subject_path, 1_100, 60)
    }

    fn without(name: &'static str) -> impl Fn(&mut Value) {
        move |claims| drop(claims.as_object_mut().unwrap().remove(name))
    }

    #[test]
    fn a_logout_names_a_person_a_session_or_both() {
        let names = |logout: Logout| (logout.subject, logout.sid);
        let (alice, sid) = (Some("alice".to_owned()), Some("s-1".to_owned()));
        assert_eq!(checked(|_| {}, "sub").map(names), Ok((alice.clone(), sid.clone())));
        assert_eq!(checked(without("sid"), "sub").map(names), Ok((alice, None)));
        assert_eq!(checked(without("sub"), "sub").map(names), Ok((None, sid.clone())));
        assert_eq!(checked(|_| {}, "oid").map(names), Ok((None, sid.clone())));
        let by_oid = checked(|claims| claims["oid"] = json!("o-1"), "oid");
        assert_eq!(by_oid.map(names), Ok((Some("o-1".to_owned()), sid)));
        assert!(checked(without("sid"), "oid").is_err());
        let logout = checked(|_| {}, "sub").unwrap();
        assert_eq!((logout.id.as_str(), logout.ends_s), ("j", 1_000 + TAKEN_S + 60));
    }

    #[test]
    fn what_is_no_logout_token_beyond_doubt_is_none() {
        let set = |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value.clone();
        for (what, outcome) in [
            ("no events", checked(without("events"), "sub")),
            ("another event", checked(set("events", json!({ "https://other.example": {} })), "sub")),
            ("an event that is no object", checked(set("events", json!({ EVENT: true })), "sub")),
            ("events in a list", checked(set("events", json!([EVENT])), "sub")),
            ("a nonce", checked(set("nonce", json!("n")), "sub")),
            ("a null for a nonce", checked(set("nonce", Value::Null), "sub")),
            ("no iat", checked(without("iat"), "sub")),
            ("an iat of the future", checked(set("iat", json!(1_161)), "sub")),
            ("an old iat", checked(set("iat", json!(1_100 - TAKEN_S - 60)), "sub")),
            ("an iat in words", checked(set("iat", json!("1000")), "sub")),
            ("no jti", checked(without("jti"), "sub")),
            ("an empty jti", checked(set("jti", json!("")), "sub")),
            ("a long jti", checked(set("jti", json!("x".repeat(600))), "sub")),
            ("a number for a sid", checked(set("sid", json!(1)), "sub")),
        ] {
            assert!(outcome.is_err(), "{what}");
        }
        assert!(checked(set("iat", json!(1_160)), "sub").is_ok());
        assert!(checked(set("iat", json!(1_000.5)), "sub").is_ok());
        let neither = |claims: &mut Value| {
            without("sub")(claims);
            without("sid")(claims);
        };
        assert_eq!(checked(neither, "sub"), Err("neither `sub` nor `sid`"));
    }
}
