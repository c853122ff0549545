//! Assertions of workloads: the tokens that a platform gives its jobs and services (GitHub Actions, GitLab, Kubernetes).
//!
//! The issuer vouches for everybody who uses it. So a token counts only if it is for this server and nobody else, and if
//! its claims are those that a table of `[auth.workloads]` requires: one of them names one workload, without a wildcard.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Machines;
use super::terms::{Terms, workload_place};
use crate::auth::client_auth::claimed_issuer;
use crate::clock::now_s;
use crate::config::keys::Workload;
use crate::jwks::{Audience, Issuer, JwtError, Rules};
use crate::log_limiter::LogLimiter;
use crate::principal::MachineKind;
use crate::sanitize::{clean, cut};

/// The largest token of a platform. They have a few kilobytes.
const BYTES_MAX: usize = 16 * 1024;

/// The difference that is allowed between a platform's clock and ours.
const LEEWAY: Duration = Duration::from_secs(60);

/// The longest text of a token that is logged.
const SHOWN_BYTES: usize = 200;

/// The separator of the names of a claim within claims: `kubernetes.io/serviceaccount/name`.
const WITHIN: char = '/';

static REFUSED: LogLimiter = LogLimiter::new("assertions of workloads that are not accepted");

/// A workload that an assertion is of.
pub(super) struct Proved {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    /// The end of the assertion, in seconds since 1970.
    pub(super) expires_s: u64,
    pub(super) terms: Terms,
}

/// The reason that an assertion is of no workload. For the log: the caller is not told which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotProved {
    /// No table has its issuer.
    #[error("no workload has this issuer: {0:?}")]
    Issuer(String),
    /// It is not valid.
    #[error("{0}")]
    Token(JwtError),
    /// It was made in the future.
    #[error("`iat` is more than a minute ahead: one of the two clocks is wrong")]
    Ahead,
    /// It is for others too, or for somebody else.
    #[error("`aud` is not this server's URL alone: {0}")]
    Audience(String),
    /// A claim is not there, and so fits no rule.
    #[error("claim `{0}` is missing")]
    Missing(String),
    /// A claim is there, and is not what the table requires.
    #[error("claim `{0}` is not what the table requires: {1:?}")]
    Claim(String, String),
    /// More than one table fits, and nobody has said which is meant.
    #[error("more than one workload fits: name one of them as `client_id`")]
    Several,
}

impl NotProved {
    /// True if the same assertion may be accepted a little later.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Token(error) if error.is_temporary())
    }
}

impl Machines {
    /// True if an assertion says that it is of an issuer of workloads. Nothing of it is verified.
    pub(super) fn is_of_workload(&self, assertion: &str) -> bool {
        let Some(issuer) = claimed_issuer(assertion) else { return false };
        self.parts.config.borrow().auth.workloads.values().any(|workload| *workload.issuer == issuer)
    }

    /// Finds the workload that an assertion is of; of several, the one that is named.
    ///
    /// # Errors
    /// [`NotProved`], which is logged here.
    pub(super) async fn prove(&self, assertion: &str, named: Option<&str>) -> Result<Proved, NotProved> {
        let proved = self.workload_of(assertion, named).await;
        if let Err(refused) = &proved {
            let table = named.unwrap_or_default();
            REFUSED.log(|| {
                tracing::warn!(
                    workload = cut(&clean(table), SHOWN_BYTES),
                    "an assertion of a workload is not accepted: {refused}"
                )
            });
        }
        proved
    }

    async fn workload_of(&self, assertion: &str, named: Option<&str>) -> Result<Proved, NotProved> {
        let issuer = claimed_issuer(assertion).ok_or(NotProved::Token(JwtError::Malformed))?;
        let (config, credentials) = self.configuration();
        let tables = config.auth.workloads.iter();
        let mut tables =
            tables.filter(|(name, it)| *it.issuer == issuer && named.is_none_or(|named| *name.as_str() == *named));
        let (mut proved, mut refused) = (None, NotProved::Issuer(shown(&issuer)));
        for (name, workload) in &mut tables {
            let source =
                self.parts.sources.get(workload_place(name, workload, &credentials)).map_err(NotProved::Token)?;
            let claims: Map<String, Value> = match source.verify(assertion, &self.rules(workload)).await {
                Ok(claims) => claims,
                Err(error) => {
                    refused = NotProved::Token(error);
                    continue;
                }
            };
            match require_made(&claims, now_s()).and_then(|()| fit(workload, &claims, &self.parts.issuer)) {
                Err(reason) => refused = reason,
                Ok(_) if proved.is_some() => return Err(NotProved::Several),
                Ok(expires_s) => {
                    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
                    let terms = Terms::of(MachineKind::Workload, name, &config, &credentials);
                    proved = Some(Proved {
                        name: name.to_string(),
                        issuer: issuer.clone(),
                        subject: shown(subject),
                        expires_s,
                        terms: terms.ok_or_else(|| NotProved::Issuer(shown(&issuer)))?,
                    });
                }
            }
        }
        proved.ok_or(refused)
    }

    fn rules(&self, workload: &Workload) -> Rules {
        Rules {
            algorithms: workload.algorithms.iter().filter_map(|algorithm| algorithm.to_string().parse().ok()).collect(),
            issuer: Issuer::Is(workload.issuer.to_string()),
            audience: Audience::OneOf(vec![self.parts.issuer.clone()]),
            types: &["JWT"],
            leeway: LEEWAY,
            max_bytes: BYTES_MAX,
        }
    }
}

/// Requires that a token was not made in the future.
fn require_made(claims: &Map<String, Value>, now_s: u64) -> Result<(), NotProved> {
    let latest = Duration::from_secs(now_s) + LEEWAY;
    let is_ahead = claims.get("iat").and_then(Value::as_f64).is_some_and(|made| made > latest.as_secs_f64());
    if is_ahead { Err(NotProved::Ahead) } else { Ok(()) }
}

/// Checks the claims of a verified token by a table. Returns the end of the token.
fn fit(workload: &Workload, claims: &Map<String, Value>, base_url: &str) -> Result<u64, NotProved> {
    let audience = claims.get("aud").unwrap_or(&Value::Null);
    let is_for_us = match audience {
        Value::String(one) => one == base_url,
        // Kubernetes writes a list always.
        Value::Array(several) => matches!(several.as_slice(), [Value::String(one)] if one == base_url),
        _ => false,
    };
    if !is_for_us {
        return Err(NotProved::Audience(shown(&audience.to_string())));
    }
    for (name, rule) in &workload.claims {
        let value = claim(claims, name).ok_or_else(|| NotProved::Missing(name.clone()))?;
        if !rule.fits(&value) {
            return Err(NotProved::Claim(name.clone(), shown(&value)));
        }
    }
    let end = claims.get("exp").and_then(Value::as_f64).filter(|end| *end >= 0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and saturates")]
    end.map(|end| end as u64).ok_or(NotProved::Token(JwtError::Claims("exp".to_owned())))
}

/// The text of a claim, or of one within others. Lists and tables have none, and so fit no rule.
fn claim(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let value = match claims.get(name) {
        Some(value) => value,
        None => {
            let mut names = name.split(WITHIN);
            // A name such as `kubernetes.io` may itself be the beginning of a path.
            let mut value = claims.get(names.next()?)?;
            for name in names {
                value = value.as_object()?.get(name)?;
            }
            value
        }
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        _ => None,
    }
}

fn shown(text: &str) -> String {
    cut(&clean(text), SHOWN_BYTES)
}

#[cfg(test)]
mod tests;
