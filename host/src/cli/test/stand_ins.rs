//! The services that a case stands in for: each answers one request, and all of them are to be asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use serde_json::Value;

use super::difference::{differences, shown};
use crate::config::cases::values::{Anything, headers};
use crate::config::cases::{Case, HttpStandIn};
use crate::egress::StandIn;
use crate::grants::decide::sent_path;
use crate::grants::origin::Origin;
use crate::grants::rule::Rule;

/// Requests that are told of; a plugin may make any number.
const PROBLEMS_MAX: usize = 10;

/// The stand-ins of one case, and what went wrong with them.
#[derive(Debug)]
pub(super) struct StandIns(Mutex<State>);

#[derive(Debug)]
struct State {
    /// In the order of the case, and whether it was asked.
    all: Vec<(Expected, bool)>,
    problems: Vec<String>,
}

/// A request that is to come, and its answer.
#[derive(Debug)]
struct Expected {
    method: Method,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Body>,
    answer: Response<Bytes>,
}

#[derive(Debug)]
enum Body {
    Text(String),
    Json(Value),
}

impl StandIns {
    /// Those of a case.
    pub(super) fn of(case: &Case) -> Self {
        let all = case.http.iter().map(|stand_in| (Expected::of(stand_in), false)).collect();
        Self(Mutex::new(State { all, problems: Vec::new() }))
    }

    /// What went wrong, once the call is over: requests that nobody stood in for or that were not as they were to be, and
    /// stand-ins that nobody has asked.
    pub(super) fn take_problems(&self) -> Vec<String> {
        let mut state = self.state();
        let mut problems = std::mem::take(&mut state.problems);
        let unasked = state.all.iter().filter(|(_, was_asked)| !was_asked);
        problems.extend(unasked.map(|(expected, _)| format!("nobody asked for {} {}", expected.method, expected.url)));
        problems
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandIn for StandIns {
    fn answer(&self, url: &str, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let mut state = self.state();
        let fits = |expected: &Expected| expected.method == request.method() && expected.url == url;
        let free = |(_, (expected, was_asked)): &(usize, &(Expected, bool))| !was_asked && fits(expected);
        // One that fits in full, or else the next for this URL, which then says what is different.
        let candidates: Vec<usize> = state.all.iter().enumerate().filter(free).map(|(index, _)| index).collect();
        let whole = candidates.iter().find(|index| state.all[**index].0.misfits(&request).is_empty());
        let Some(index) = whole.or(candidates.first()).copied() else {
            let was_asked = state.all.iter().any(|(expected, _)| fits(expected));
            let once_more = if was_asked { " once more: each answers one request" } else { "" };
            state.tell(format!("no stand-in for {} {url}{once_more}", request.method()));
            return None;
        };
        let (expected, was_asked) = &mut state.all[index];
        *was_asked = true;
        let answer = expected.answer.clone();
        for misfit in expected.misfits(&request) {
            state.tell(format!("{} {url}: {misfit}", request.method()));
        }
        Some(answer)
    }

    fn denied(&self, method: &Method, url: &str) {
        let mut state = self.state();
        let is_expected = state.all.iter().any(|(expected, _)| expected.method == method && expected.url == url);
        state.tell(match is_expected {
            // What the configuration says has no say here: the case grants what it stands in for.
            true => format!("{method} {url} was refused: the plugin does not declare that it needs it (`@needs http`), or nobody can be granted it"),
            false => format!("no stand-in for {method} {url}, and no grant"),
        });
    }
}

impl State {
    fn tell(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl Expected {
    fn of(stand_in: &HttpStandIn) -> Self {
        let target = stand_in.target();
        let (text, json) = (&stand_in.body, &stand_in.json);
        Self {
            method: stand_in.method.0.clone(),
            url: format!("{target}{}", sent_path(&Rule::to(Origin::of(target)), target)),
            // Names and values were read with the file.
            headers: headers(&stand_in.headers).unwrap_or_default(),
            body: match (text, json) {
                (Some(text), _) => Some(Body::Text(text.as_str().to_owned())),
                (None, json) => json.as_ref().map(|Anything(json)| Body::Json(json.clone())),
            },
            answer: answer(stand_in),
        }
    }

    /// What is different in a request from what it is to be.
    fn misfits(&self, request: &Request<Bytes>) -> Vec<String> {
        let mut misfits: Vec<String> =
            self.headers.iter().filter_map(|(name, value)| header_misfit(name, value, request.headers())).collect();
        match &self.body {
            None => {}
            Some(Body::Text(text)) => {
                let got = String::from_utf8_lossy(request.body()).into_owned();
                misfits.extend(
                    differences(&Value::from(text.as_str()), &Value::from(got))
                        .into_iter()
                        .map(|difference| of_body(&difference)),
                );
            }
            Some(Body::Json(json)) => match serde_json::from_slice(request.body()) {
                Ok(got) => misfits.extend(differences(json, &got).into_iter().map(|difference| of_body(&difference))),
                Err(_) => {
                    let got = shown(&String::from_utf8_lossy(request.body()).into());
                    misfits.push(format!("body: expected JSON, got {got}"));
                }
            },
        }
        misfits
    }
}

fn of_body(difference: &str) -> String {
    format!("body: {difference}")
}

fn header_misfit(name: &HeaderName, expected: &HeaderValue, headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(name).iter().peekable();
    let text = |value: &HeaderValue| shown(&String::from_utf8_lossy(value.as_bytes()).into());
    match lines.peek().copied() {
        None => Some(format!("header `{name}`: expected {}, got nothing", text(expected))),
        Some(first) => {
            let is_there = lines.any(|value| value == expected);
            (!is_there).then(|| format!("header `{name}`: expected {}, got {}", text(expected), text(first)))
        }
    }
}

fn answer(stand_in: &HttpStandIn) -> Response<Bytes> {
    let written = &stand_in.answer;
    let body = match (&written.body, &written.json) {
        (Some(body), _) => body.as_str().to_owned(),
        (None, json) => json.as_ref().map(|Anything(json)| json.to_string()).unwrap_or_default(),
    };
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = written.status.0;
    if written.json.is_some() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in headers(&written.headers).unwrap_or_default() {
        answer.headers_mut().insert(name, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::cases;

    fn stand_ins(http: &str) -> StandIns {
        let text = format!("[[case]]\nname = \"x\"\ntool = \"x\"\ncontains = \"\"\n{http}");
        StandIns::of(&cases::parse(Path::new("t.toml"), &text).unwrap()[0])
    }

    fn ask(stand_ins: &StandIns, method: &str, url: &str, body: &'static str) -> Option<String> {
        let request = Request::builder().method(method).header("accept", "text/plain");
        let answer = stand_ins.answer(url, request.body(Bytes::from_static(body.as_bytes())).unwrap())?;
        Some(format!("{} {}", answer.status().as_u16(), String::from_utf8_lossy(answer.body())))
    }

    #[test]
    fn each_answers_one_request_and_all_are_to_be_asked() {
        let asked = stand_ins(
            "http = [\n\
             { url = \"https://a.example\", answer = { body = \"one\" } },\n\
             { url = \"https://a.example/\", answer = { status = 500 } },\n\
             { method = \"POST\", url = \"https://a.example/\", answer = { json = { ok = true } } },\n\
             ]",
        );
        assert_eq!(ask(&asked, "GET", "https://a.example/", "").as_deref(), Some("200 one"));
        assert_eq!(ask(&asked, "GET", "https://a.example/", "").as_deref(), Some("500 "));
        assert_eq!(ask(&asked, "GET", "https://a.example/", ""), None);
        assert_eq!(ask(&asked, "GET", "https://b.example/", ""), None);
        assert_eq!(
            asked.take_problems(),
            [
                "no stand-in for GET https://a.example/ once more: each answers one request",
                "no stand-in for GET https://b.example/",
                "nobody asked for POST https://a.example/",
            ]
        );
    }

    #[test]
    fn the_one_that_fits_is_taken_and_a_request_that_does_not_is_told() {
        let two = "http = [\n\
             { method = \"POST\", url = \"https://a.example/\", json = { n = 1 }, answer = { body = \"first\" } },\n\
             { method = \"POST\", url = \"https://a.example/\", json = { n = 2 }, headers = { Accept = \"text/plain\" }, answer = { body = \"second\" } },\n\
             ]";
        let asked = stand_ins(two);
        assert_eq!(ask(&asked, "POST", "https://a.example/", "{\"n\": 2.0}").as_deref(), Some("200 second"));
        assert_eq!(ask(&asked, "POST", "https://a.example/", "{\"n\": 3}").as_deref(), Some("200 first"));
        assert_eq!(asked.take_problems(), ["POST https://a.example/: body: $.n: expected 1, got 3"]);
        let asked = stand_ins(
            "http = [{ url = \"https://a.example/\", headers = { accept = \"text/html\", x = \"y\" }, body = \"\" }]",
        );
        assert_eq!(ask(&asked, "GET", "https://a.example/", "").as_deref(), Some("200 "));
        assert_eq!(
            asked.take_problems(),
            [
                "GET https://a.example/: header `accept`: expected \"text/html\", got \"text/plain\"",
                "GET https://a.example/: header `x`: expected \"y\", got nothing",
            ]
        );
    }
}
