//! Parameters of OAuth requests: a query or a form in which nothing is given twice (RFC 6749 §3.1, §3.2).

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::overload::Overload;

/// Time for a client to send its request's body: nobody knows yet who the client is.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest form: a consent form with a sealed request of a long registration has some 20 KiB.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;

/// Parameters by name. One without a value counts as not given (RFC 6749 §3.1).
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

/// A parameter that is given twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RepeatedParameter(pub(super) String);

/// The reason why a body cannot be read.
#[derive(Debug)]
pub(super) enum BodyError {
    TooLarge,
    Incomplete,
    NotAForm,
    /// Too much is being sent by others who have not logged in either.
    Overload,
}

impl BodyError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete | Self::NotAForm => StatusCode::BAD_REQUEST,
            Self::Overload => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::TooLarge => "the request's body is larger than the 64 KiB that a form may have",
            Self::Incomplete => "the request's body did not arrive whole",
            Self::Overload => "too much is being sent to this server at the moment: try again",
            Self::NotAForm => "send the parameters as `application/x-www-form-urlencoded` in the body",
        }
    }
}

impl Parameters {
    /// Reads a query or the body of a form.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let pairs = encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let read = |pair: &[u8]| {
            let (name, value) = url::form_urlencoded::parse(pair).into_owned().next()?;
            Some(match pair.iter().position(|byte| *byte == b'=') {
                Some(at) if name == "state" => (name, state(&pair[at + 1..])),
                _ => (name, value),
            })
        };
        Self(pairs.filter_map(read).collect())
    }

    /// The value of a parameter that is given at most once.
    ///
    /// # Errors
    /// [`RepeatedParameter`] when it is given more often.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, RepeatedParameter> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(RepeatedParameter(name.to_owned()));
        }
        Ok(first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }

    /// Checks that nothing is given twice, read or not (RFC 6749 §3.1, §3.2), but for these.
    ///
    /// # Errors
    /// [`RepeatedParameter`] with the first name that is.
    pub(super) fn expect_single(&self, except: &[&str]) -> Result<(), RepeatedParameter> {
        let mut seen = BTreeSet::new();
        let mut names = self.0.iter().map(|(name, _)| name.as_str()).filter(|name| !except.contains(name));
        names.find(|name| !seen.insert(*name)).map_or(Ok(()), |name| Err(RepeatedParameter(name.to_owned())))
    }

    /// The parameters as a query again. Spaces are written as `%20`, since a `+` in a `state` may be a plus.
    pub(super) fn encode(&self) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        query.replace('+', "%20")
    }

    /// Every value of a parameter that may be given more than once.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A client's `state` as the client means it.
///
/// Some put base64 into a URL as it is, where a `+` stands for a space (RFC 6749 appendix B). So a `+` is one where that
/// makes padded base64 of the whole, and a space elsewhere.
fn state(raw: &[u8]) -> String {
    let decode = |raw: &[u8]| {
        let mut bytes = Vec::with_capacity(raw.len() + 1);
        // The name is empty, so that an `=` in the value is part of it.
        bytes.push(b'=');
        bytes.extend_from_slice(raw);
        url::form_urlencoded::parse(&bytes).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let plus_as_it_is: Vec<u8> = raw
        .iter()
        .flat_map(|byte| if *byte == b'+' { &b"%2B"[..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect();
    Some(decode(&plus_as_it_is)).filter(|text| is_padded_base64(text)).unwrap_or_else(|| decode(raw))
}

/// True for base64 with as much padding as it needs (RFC 4648 §4).
fn is_padded_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    text.len().is_multiple_of(4) && !digits.is_empty() && digits.bytes().all(is_digit)
}

/// True if the headers announce a form.
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
        Ok(Err(error)) if Overload::is_cause_of(&*error) => Err(BodyError::Overload),
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
        assert_eq!(parameters.one("d"), Err(RepeatedParameter("d".to_owned())));
        assert_eq!(parameters.one("e"), Ok(None));
        assert_eq!(parameters.all("d").count(), 2);
        assert_eq!(parameters.expect_single(&[]), Err(RepeatedParameter("d".to_owned())));
        assert_eq!(parameters.expect_single(&["d"]), Ok(()));
        assert_eq!(Parameters::parse(b"a=\r\n&b=\xff").encode(), "a=%0D%0A&b=%EF%BF%BD");
    }

    #[test]
    fn a_plus_in_a_state_is_one_in_base64_and_a_space_elsewhere() {
        for (raw, expected) in [
            // Padded base64, as it is and encoded.
            ("ab+d", "ab+d"),
            ("ab%2Bd", "ab+d"),
            ("a+/=", "a+/="),
            ("a%2B%2F%3D", "a+/="),
            ("a+b%2B/w==", "a+b+/w=="),
            ("++++", "++++"),
            ("ab%2bd+w==", "ab+d+w=="),
            // One character less or more, no padding where it is due, too much of it, and padding alone.
            ("ab+", "ab "),
            ("ab%2B", "ab+"),
            ("ab+de", "ab de"),
            ("a+b%2Bc", "a b+c"),
            ("a+===", "a ==="),
            ("+===", " ==="),
            ("ab+=c+==", "ab =c =="),
            ("====", "===="),
            // Other alphabets, and texts.
            ("ab-+", "ab- "),
            ("ab_+", "ab_ "),
            ("a%20+d", "a  d"),
            ("hello+world%21", "hello world!"),
            ("%7B%22a%22%3A+1%7D", "{\"a\": 1}"),
            ("a%26b+c", "a&b c"),
            ("%C3%A9+x", "\u{e9} x"),
            ("a=b", "a=b"),
            ("%252B", "%2B"),
            ("%", "%"),
            ("%2", "%2"),
            ("", ""),
        ] {
            assert_eq!(state(raw.as_bytes()), expected, "{raw}");
            let parameters = Parameters::parse(format!("x=ab+d&state={raw}&y=1").as_bytes());
            assert_eq!(parameters.one("x"), Ok(Some("ab d")), "only in a state");
            assert_eq!(parameters.one("state"), Ok(Some(expected).filter(|text| !text.is_empty())), "{raw}");
            assert_eq!(parameters.one("y"), Ok(Some("1")));
            // Written anew, it is read as the same.
            let again = Parameters::parse(parameters.encode().as_bytes());
            assert_eq!(again.one("state"), parameters.one("state"), "{raw}: {}", parameters.encode());
        }
        assert_eq!(Parameters::parse(b"%73tate=ab+d&&state").one("state"), Err(RepeatedParameter("state".to_owned())));
        assert_eq!(Parameters::parse(b"&%73tate=ab+d&").one("state"), Ok(Some("ab+d")));
        assert_eq!(Parameters::parse(b"state").one("state"), Ok(None));
    }
}
