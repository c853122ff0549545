//! The check that an `id_token` is for this server, this login and these tokens (OpenID Connect Core 1.0 §3.1.3.7).
//!
//! The signature, the issuer, the audience and the times are checked by [`crate::jwks`]; here are the checks for which
//! one must know the login.

use serde_json::{Map, Value};

use crate::config::provider::Presence;
use crate::jwks::half_hash;

/// The values that an `id_token` is compared with.
pub(super) struct Expectations<'a> {
    pub(super) client_id: &'a str,
    /// The nonce of the login; none for a refresh, where it may be missing (§12.2).
    pub(super) nonce: Option<(&'a str, Presence)>,
    pub(super) access_token: &'a str,
    /// An issuer with `{tid}` in it, and the issuer of the token that must fit.
    pub(super) issuer_template: Option<&'a str>,
}

/// Checks claims of a token whose signature is right.
///
/// # Errors
/// The reason why it is not the token of this login, for the log.
pub(super) fn check(id_token: &str, claims: &Map<String, Value>, expected: &Expectations<'_>) -> Result<(), String> {
    check_authorized_party(claims, expected.client_id)?;
    if let Some((nonce, presence)) = expected.nonce {
        check_nonce(claims, nonce, presence)?;
    }
    check_access_token_hash(id_token, claims, expected.access_token)?;
    expected.issuer_template.map_or(Ok(()), |template| check_tenant(claims, template))
}

fn check_authorized_party(claims: &Map<String, Value>, client_id: &str) -> Result<(), String> {
    let has_several = claims.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
    match claims.get("azp") {
        None if has_several => Err("the id_token is for several audiences and has no `azp`".to_owned()),
        None => Ok(()),
        Some(Value::String(party)) if party == client_id => Ok(()),
        Some(_) => Err("`azp` of the id_token is another client".to_owned()),
    }
}

fn check_nonce(claims: &Map<String, Value>, nonce: &str, presence: Presence) -> Result<(), String> {
    match claims.get("nonce") {
        None if presence == Presence::Optional => Ok(()),
        None => Err("the id_token has no nonce".to_owned()),
        Some(Value::String(found)) if found == nonce => Ok(()),
        Some(_) => Err("the id_token has the nonce of another login".to_owned()),
    }
}

fn check_access_token_hash(id_token: &str, claims: &Map<String, Value>, access_token: &str) -> Result<(), String> {
    let Some(hash) = claims.get("at_hash") else { return Ok(()) };
    let expected = half_hash(id_token, access_token);
    let fits = hash.as_str().is_some_and(|hash| Some(hash) == expected.as_deref());
    if fits { Ok(()) } else { Err("`at_hash` of the id_token is not that of the access token".to_owned()) }
}

/// Checks the issuer where each tenant has its own: it must be that of the token's tenant.
pub(super) fn check_tenant(claims: &Map<String, Value>, template: &str) -> Result<(), String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let fits = match (text("iss"), text("tid")) {
        (Some(issuer), Some(tenant)) => issuer == template.replace("{tid}", tenant),
        _ => false,
    };
    if fits { Ok(()) } else { Err("the issuer of the id_token is not that of its tenant".to_owned()) }
}

/// The time at which the person has logged in there, in seconds since 1970 (`auth_time`, §2): a JSON number, which may have a
/// fraction (RFC 7519 §2, NumericDate).
pub(super) fn auth_time(claims: &Map<String, Value>) -> Option<u64> {
    let time = claims.get("auth_time")?;
    time.as_u64().or_else(|| time.as_f64().filter(|time| *time >= 0.0).map(|time| time as u64))
}

/// True for an issuer that fits the template.
pub(super) fn fits_template(issuer: &str, template: &str) -> bool {
    let Some((before, after)) = template.split_once("{tid}") else { return issuer == template };
    let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    tenant.is_some_and(|tenant| !tenant.is_empty() && tenant.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header for `half_hash`: RS256.
    const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";

    fn outcome(claims: Value, presence: Presence, template: Option<&str>) -> Result<(), String> {
        let Value::Object(claims) = claims else { panic!("an object") };
        let expected = Expectations {
            client_id: "us",
            nonce: Some(("n", presence)),
            access_token: "token",
            issuer_template: template,
        };
        check(RS256, &claims, &expected)
    }

    #[test]
    fn a_token_of_another_login_is_refused() {
        let hash = half_hash(RS256, "token").unwrap();
        for (claims, expected) in [
            (serde_json::json!({ "aud": "us", "nonce": "n" }), Ok(())),
            (serde_json::json!({ "aud": ["us"], "nonce": "n", "azp": "us", "at_hash": hash }), Ok(())),
            (serde_json::json!({ "aud": "us" }), Err("the id_token has no nonce")),
            (serde_json::json!({ "aud": "us", "nonce": "m" }), Err("the id_token has the nonce of another login")),
            (serde_json::json!({ "aud": "us", "nonce": 1 }), Err("the id_token has the nonce of another login")),
            (
                serde_json::json!({ "aud": ["us", "them"], "nonce": "n" }),
                Err("the id_token is for several audiences and has no `azp`"),
            ),
            (
                serde_json::json!({ "aud": ["us", "them"], "nonce": "n", "azp": "them" }),
                Err("`azp` of the id_token is another client"),
            ),
            (
                serde_json::json!({ "aud": "us", "nonce": "n", "at_hash": "AAAA" }),
                Err("`at_hash` of the id_token is not that of the access token"),
            ),
        ] {
            let found = outcome(claims.clone(), Presence::Required, None);
            assert_eq!(found.as_ref().err().map(String::as_str), expected.err(), "{claims}");
        }
        assert_eq!(outcome(serde_json::json!({ "aud": "us" }), Presence::Optional, None), Ok(()));
        assert!(outcome(serde_json::json!({ "aud": "us", "nonce": "m" }), Presence::Optional, None).is_err());
    }

    #[test]
    fn the_time_of_a_login_is_a_number() {
        for (claims, expected) in [
            (serde_json::json!({ "auth_time": 1_700_000_000 }), Some(1_700_000_000)),
            (serde_json::json!({ "auth_time": 1_700_000_000.9 }), Some(1_700_000_000)),
            (serde_json::json!({ "auth_time": 1e300 }), Some(u64::MAX)),
            (serde_json::json!({ "auth_time": -1 }), None),
            (serde_json::json!({ "auth_time": "1700000000" }), None),
            (serde_json::json!({ "auth_time": null }), None),
            (serde_json::json!({}), None),
        ] {
            assert_eq!(auth_time(claims.as_object().unwrap()), expected, "{claims}");
        }
    }

    #[test]
    fn a_tenant_speaks_for_itself_only() {
        let template = "https://login.example/{tid}/v2.0";
        let claims = |issuer: &str| serde_json::json!({ "aud": "us", "nonce": "n", "tid": "t-1", "iss": issuer });
        assert_eq!(outcome(claims("https://login.example/t-1/v2.0"), Presence::Required, Some(template)), Ok(()));
        assert!(outcome(claims("https://login.example/t-2/v2.0"), Presence::Required, Some(template)).is_err());
        assert!(fits_template("https://login.example/t-2/v2.0", template));
        assert!(!fits_template("https://login.example/a/b/v2.0", template));
        assert!(!fits_template("https://evil.example/t-2/v2.0", template));
    }
}
