//! Questions of plugins, made fit to be shown: a person reads them in a client that they trust.
//!
//! A page that a person is asked to open is `https`, so that nobody on the way puts another one in its place, and no
//! program of this machine or scheme of another application is reached by a click. A server for development, which is
//! itself on this machine, may send people to pages there.

use serde_json::{Map, Value};
use url::Url;

use super::plugin::MAX_URI_BYTES;
use super::served::Terms;
use super::types::codec::ResultError;
use super::types::docs::MAX_DESCRIPTION_BYTES;
use super::wit::input::{Form, Link, Question, Request, Stop};
use crate::loopback::is_loopback_url;
use crate::sanitize::{clean, clean_json, cut, cut_texts};

/// Bytes of an address that an error repeats.
const MAX_SHOWN_BYTES: usize = 100;

/// Bytes of the message above a form or a link: some pages, which is more than anybody reads before they answer.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// Makes the questions fit of a request that could not go on.
///
/// # Errors
/// [`ResultError::Question`].
pub(super) fn make_fit_if_asked<T>(outcome: &mut Result<T, Stop>, terms: &Terms) -> Result<(), ResultError> {
    match outcome {
        Err(Stop::InputRequired(request)) => make_fit(request, terms),
        Ok(_) | Err(Stop::Failed(_) | Stop::Invalid(_)) => Ok(()),
    }
}

/// Cleans the texts of questions, and checks their pages.
///
/// # Errors
/// [`ResultError::Question`].
pub(super) fn make_fit(request: &mut Request, terms: &Terms) -> Result<(), ResultError> {
    for (_, question) in &mut request.questions {
        match question {
            Question::Form(Form { message, schema }) => {
                *message = shown(message);
                // What is no object is told by those who ask.
                if let Ok(object) = serde_json::from_str::<Map<String, Value>>(schema) {
                    let mut object = Value::Object(object);
                    clean_json(&mut object).map_err(|problem| asks(&format!("in a form, {problem}")))?;
                    cut_texts(&mut object, MAX_DESCRIPTION_BYTES);
                    *schema = object.to_string();
                }
            }
            Question::Link(Link { message, url, .. }) => {
                *message = shown(message);
                *url = page(url, terms.shows_local_pages).map_err(|problem| asks(&problem))?;
            }
            Question::Sampling(_) | Question::Roots => {}
        }
    }
    Ok(())
}

/// What a person reads above a question.
fn shown(message: &str) -> String {
    cut(&clean(message), MAX_MESSAGE_BYTES)
}

fn asks(problem: &str) -> ResultError {
    ResultError::Question(problem.to_owned())
}

/// The address of a page as browsers write it, which shows where it leads.
fn page(raw: &str, is_local_shown: bool) -> Result<String, String> {
    let shown = || cut(&clean(raw).replace('\n', " "), MAX_SHOWN_BYTES);
    if raw.len() > MAX_URI_BYTES {
        return Err(format!("the address of a page has more than {MAX_URI_BYTES} bytes"));
    }
    let url = Url::parse(raw).map_err(|error| format!("the page `{}` has no address: {error}", shown()))?;
    let is_local = is_local_shown && url.scheme() == "http" && is_loopback_url(&url);
    if url.scheme() != "https" && !is_local {
        return Err(format!("a person is asked to open `{}`, and such pages have to be `https`", shown()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the address of the page `{}` has a user's name in it", shown()));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_question_is_cut() {
        assert_eq!(shown("May\u{202e} I?"), "May I?");
        assert_eq!(shown(&"x".repeat(100_000)).len(), MAX_MESSAGE_BYTES);
    }

    #[test]
    fn pages_are_https_or_of_this_machine_while_one_develops() {
        for (url, public, local) in [
            ("https://example.com/a?b=c", true, true),
            ("HTTPS://EXAMPLE.com", true, true),
            ("http://example.com/", false, false),
            ("http://127.0.0.1:8000/a", false, true),
            ("http://localhost/a", false, true),
            ("http://localhost.example.com/", false, false),
            ("javascript:alert(1)", false, false),
            ("file:///etc/passwd", false, false),
            ("vscode://x", false, false),
            ("https://bank.example@evil.example/", false, false),
            ("//example.com", false, false),
            ("", false, false),
        ] {
            assert_eq!((page(url, false).is_ok(), page(url, true).is_ok()), (public, local), "{url}");
        }
        assert_eq!(page("https://ex\u{e4}mple.com", false).unwrap(), "https://xn--exmple-cua.com/");
        assert_eq!(page("https:\t//example.com/\u{202e}x", false).unwrap(), "https://example.com/%E2%80%AEx");
        assert!(page(&format!("https://example.com/{}", "x".repeat(MAX_URI_BYTES)), false).is_err());
    }
}
