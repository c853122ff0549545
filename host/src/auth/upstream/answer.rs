//! Answers of token endpoints, made into those that RFC 6749 §5 describes.
//!
//! Providers answer in forms instead of JSON (GitHub), write numbers as strings, report errors with status 200, or
//! leave the type out. All of that is put right here, so that the other modules see one kind of answer.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Value};
use url::form_urlencoded;

/// The code of an error that has none.
const UNNAMED: &str = "unnamed_error";

/// Makes an answer that of RFC 6749: JSON, an error with an error's status, and each member of its type.
///
/// # Errors
/// An answer that is neither JSON nor a form.
pub(super) fn normalised(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Response<Vec<u8>>, String> {
    let mut answer = members(headers, body).ok_or_else(|| unreadable(status, headers))?;
    answer.retain(|_, value| !value.is_null() && value != "");
    repair(&mut answer);
    let is_error = answer.contains_key("error");
    let status = match (is_error, status.is_success()) {
        (true, true) => StatusCode::BAD_REQUEST,
        (false, true) => StatusCode::OK,
        (_, false) => status,
    };
    let mut response = Response::new(Value::Object(answer).to_string().into_bytes());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The error code of an answer, if it has one.
pub(super) fn error_code(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    members(headers, body)?.get("error")?.as_str().map(str::to_owned)
}

/// True for an answer that names its error in any form.
pub(super) fn has_error(headers: &HeaderMap, body: &[u8]) -> bool {
    let Some(members) = members(headers, body) else { return false };
    members.get("error").is_some_and(|error| !error.is_null() && error != "")
}

fn unreadable(status: StatusCode, headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
    format!("neither JSON nor a form: status {}, {kind}", status.as_u16())
}

fn members(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
        return Some(members);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let may_be_form = kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("text/plain");
    let members: Map<String, Value> =
        form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    let is_answer = members.contains_key("access_token") || members.contains_key("error");
    (may_be_form && is_answer).then_some(members)
}

fn repair(answer: &mut Map<String, Value>) {
    if let Some(expires_in) = answer.remove("expires_in")
        && let Some(seconds) = seconds(&expires_in)
    {
        answer.insert("expires_in".to_owned(), seconds.into());
    }
    if let Some(Value::Array(scopes)) = answer.get("scope") {
        let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
        let scopes = scopes.join(" ");
        answer.insert("scope".to_owned(), scopes.into());
    }
    // An error as an object, as some APIs have it, still has its words.
    match answer.get("error").cloned() {
        Some(Value::Object(error)) => {
            let text = |name: &str| error.get(name).and_then(word);
            let code = text("code").or_else(|| text("type")).unwrap_or_else(|| UNNAMED.to_owned());
            if let Some(message) = text("message") {
                answer.entry("error_description").or_insert(message.into());
            }
            answer.insert("error".to_owned(), code.into());
        }
        Some(error) => {
            answer.insert("error".to_owned(), word(&error).unwrap_or_else(|| UNNAMED.to_owned()).into());
        }
        None => {}
    }
    if answer.contains_key("access_token") && !answer.contains_key("token_type") {
        answer.insert("token_type".to_owned(), "bearer".into());
    }
}

/// A text or a number, as a text.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A lifetime that makes sense; anything else counts as not given.
fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0 && *n < 1e15).map(|n| n as u64))
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, kind: &str, body: &str, expected: Result<(u16, &str), &str>) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let answer = normalised(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes());
        let answer = answer.map(|answer| (answer.status().as_u16(), String::from_utf8(answer.into_body()).unwrap()));
        let answer = answer.as_ref().map(|(status, body)| (*status, body.as_str())).map_err(String::as_str);
        assert_eq!(answer, expected, "{body}");
    }

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn answers_are_those_of_the_standard() {
        let plain = r#"{"access_token":"a","token_type":"Bearer"}"#;
        check(200, JSON, plain, Ok((200, plain)));
        check(201, "text/html", plain, Ok((200, plain)));
        check(
            200,
            JSON,
            r#"{"access_token":"a","token_type":"Bearer","expires_in":"3600"}"#,
            Ok((200, r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#)),
        );
        check(
            200,
            JSON,
            r#"{"access_token":"a","expires_in":-1,"refresh_token":null,"id_token":"","scope":["a","b"]}"#,
            Ok((200, r#"{"access_token":"a","scope":"a b","token_type":"bearer"}"#)),
        );
        check(
            200,
            FORM,
            "access_token=a&scope=repo%2Cgist&token_type=bearer",
            Ok((200, r#"{"access_token":"a","scope":"repo,gist","token_type":"bearer"}"#)),
        );
    }

    #[test]
    fn errors_have_the_status_of_errors() {
        let error = r#"{"error":"bad_verification_code"}"#;
        check(200, JSON, error, Ok((400, error)));
        check(403, JSON, error, Ok((403, error)));
        check(200, FORM, "error=bad_verification_code", Ok((400, error)));
        check(
            400,
            JSON,
            r#"{"error":{"code":"invalid_grant","message":"no"}}"#,
            Ok((400, r#"{"error":"invalid_grant","error_description":"no"}"#)),
        );
        for (body, expected) in [
            (r#"{"error":{"code":400,"message":"no"}}"#, r#"{"error":"400","error_description":"no"}"#),
            (r#"{"error":{"message":"dead"}}"#, r#"{"error":"unnamed_error","error_description":"dead"}"#),
            (r#"{"error":5}"#, r#"{"error":"5"}"#),
            (r#"{"error":true}"#, r#"{"error":"unnamed_error"}"#),
        ] {
            check(400, JSON, body, Ok((400, expected)));
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for body in ["<html>access_token=a</html>", "", "[]", "null"] {
            check(200, "text/html", body, Err("neither JSON nor a form: status 200, text/html"));
        }
        check(200, FORM, "hello=world", Err(&format!("neither JSON nor a form: status 200, {FORM}")));
    }
}
