//! Parameters of OAuth requests: a query or a form in which nothing is given twice (RFC 6749 §3.1, §3.2).

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::http::Crowded;

/// Time for a client to send its request's body, of which nobody knows yet whose it is.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest form: a consent form with a sealed request of a long registration has some 20 KiB.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;

/// Parameters by name. One without a value counts as not given (RFC 6749 §3.1).
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

/// A parameter that is given twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated(pub(super) String);

/// Why a body cannot be read.
#[derive(Debug)]
pub(super) enum BodyError {
    TooLarge,
    Incomplete,
    NotAForm,
    /// Too much is being sent by others who have not logged in either.
    Crowded,
}

impl BodyError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete | Self::NotAForm => StatusCode::BAD_REQUEST,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::TooLarge => "the request's body is too large",
            Self::Incomplete => "the request's body did not arrive whole",
            Self::Crowded => "too much is being sent to this server at the moment: try again",
            Self::NotAForm => "send the parameters as `application/x-www-form-urlencoded` in the body",
        }
    }
}

impl Parameters {
    /// Reads a query or the body of a form.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of a parameter that is given at most once.
    ///
    /// # Errors
    /// [`Repeated`] when it is given more often.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated(name.to_owned()));
        }
        Ok(first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }

    /// Checks that nothing is given twice, read or not (RFC 6749 §3.1, §3.2), but for these.
    ///
    /// # Errors
    /// [`Repeated`] with the first name that is.
    pub(super) fn expect_single(&self, except: &[&str]) -> Result<(), Repeated> {
        let mut seen = BTreeSet::new();
        let mut names = self.0.iter().map(|(name, _)| name.as_str()).filter(|name| !except.contains(name));
        names.find(|name| !seen.insert(*name)).map_or(Ok(()), |name| Err(Repeated(name.to_owned())))
    }

    /// The parameters as a query again.
    pub(super) fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// Every value of a parameter that may be given more than once.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Whether the body is said to be a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads a body whole.
pub(super) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(error)) if Crowded::is_cause_of(&*error) => Err(BodyError::Crowded),
        Ok(Err(_)) | Err(_) => Err(BodyError::Incomplete),
    }
}

/// Reads the parameters of a form.
pub(super) async fn read_form(headers: &HeaderMap, body: Body) -> Result<Parameters, BodyError> {
    if !is_form(headers) {
        return Err(BodyError::NotAForm);
    }
    Ok(Parameters::parse(&read(body, FORM_BYTES_MAX).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_given_twice_and_nothing_is_nothing() {
        let parameters = Parameters::parse(b"a=1&b=&c=x+y%26&d=1&d=1");
        assert_eq!(parameters.one("a"), Ok(Some("1")));
        assert_eq!(parameters.one("b"), Ok(None));
        assert_eq!(parameters.one("c"), Ok(Some("x y&")));
        assert_eq!(parameters.one("d"), Err(Repeated("d".to_owned())));
        assert_eq!(parameters.one("e"), Ok(None));
        assert_eq!(parameters.all("d").count(), 2);
        assert_eq!(parameters.expect_single(&[]), Err(Repeated("d".to_owned())));
        assert_eq!(parameters.expect_single(&["d"]), Ok(()));
        assert_eq!(Parameters::parse(b"a=\r\n&b=\xff").encode(), "a=%0D%0A&b=%EF%BF%BD");
    }
}
