use axum::response::Response;
use http::StatusCode;
use http::header::LOCATION;
use http_body_util::BodyExt as _;

use super::*;

fn local() -> Local {
    Local::new(&BaseUrl::localhost(8000), Vault::for_tests(1))
}

fn request() -> UpstreamRequest {
    UpstreamRequest {
        state: "state-of-ada".to_owned(),
        verifier: "verifier-of-ada-0123456789-0123456789-01234".to_owned(),
        nonce: "nonce-of-ada".to_owned(),
        redirect_uri: "http://localhost:8000/auth/callback".to_owned(),
    }
}

/// The fields of the form that the page of this request has, and what a person adds.
fn parameters(request: &UpstreamRequest, added: &[(&str, &str)]) -> Parameters {
    let url = local().authorize_url(request);
    let mut form = url::form_urlencoded::Serializer::new(url.query().unwrap().to_owned());
    form.extend_pairs(added);
    Parameters::parse(form.finish().as_bytes())
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The callback that a name leads to.
fn answer(local: &Local, request: &UpstreamRequest, added: &[(&str, &str)]) -> Callback {
    let response = respond(&local.submit_at(&parameters(request, added), now()).unwrap());
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let url: Url = response.headers()[LOCATION].to_str().unwrap().parse().unwrap();
    assert!(url.as_str().starts_with("http://localhost:8000/auth/callback?"), "{url}");
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(value("state").as_deref(), Some(request.state.as_str()));
    Callback { code: value("code"), error: value("error"), error_description: None, iss: value("iss") }
}

fn cause(result: Result<Login, LoginError>) -> String {
    match result {
        Err(LoginError::Broken { cause, .. }) => cause,
        Err(_) => panic!("another error"),
        Ok(login) => panic!("logged in: {:?}", login.identity),
    }
}

fn respond(submission: &Submission) -> Response {
    crate::auth::local::answer(&BaseUrl::localhost(8000), submission)
}

async fn html(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn the_page_asks_for_a_name_and_says_that_nothing_is_checked() {
    let response = respond(&Submission::Form(local().form(&parameters(&request(), &[])).unwrap()));
    assert_eq!(response.status(), StatusCode::OK);
    let html = html(response).await;
    assert!(html.contains("Nothing is checked") && html.contains("Auth0 or Clerk"), "{html}");
    assert!(html.contains(r#"<label for="name">"#) && html.contains(r#"<input id="name" name="name""#), "{html}");
    assert!(
        html.contains(r#"name="state" value="state-of-ada""#) && html.contains(r#"value="nonce-of-ada""#),
        "{html}"
    );
    assert!(html.contains(&format!(r#"name="code_challenge" value="{}""#, s256(&request().verifier))), "{html}");
}

#[test]
fn a_name_is_a_login() {
    let callback = answer(&local(), &request(), &[("name", " Ada \u{202e} Lovelace")]);
    let login = local().log_in_at(&callback, &request(), now()).unwrap();
    let Identity { issuer, subject, email, email_verified, name, organizations, scopes, .. } = login.identity;
    assert_eq!((issuer.as_str(), subject.as_str()), ("http://localhost:8000/local", "ada lovelace"));
    assert_eq!((email, email_verified, organizations), (None, false, Vec::new()));
    assert_eq!((name.as_deref(), scopes), (Some("Ada Lovelace"), vec!["*".to_owned()]));
}

#[tokio::test]
async fn a_name_has_1_to_64_visible_characters() {
    for (name, problem) in [
        ("", "Enter a name"),
        (" \u{200b}\u{7} ", "Enter a name"),
        ("x".repeat(65).as_str(), "Enter at most 64 characters"),
        ("x".repeat(1000).as_str(), "Enter at most 64 characters"),
    ] {
        let response = respond(&local().submit_at(&parameters(&request(), &[("name", name)]), now()).unwrap());
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let html = html(response).await;
        assert!(html.contains(problem) && html.contains(r#"aria-invalid="true""#), "{html}");
    }
    answer(&local(), &request(), &[("name", "é".repeat(64).as_str())]);
}

#[test]
fn cancelling_is_an_answer() {
    let callback = answer(&local(), &request(), &[("name", ""), ("decision", "cancel")]);
    assert_eq!((callback.error.as_deref(), &callback.code), (Some("access_denied"), &None));
    assert!(matches!(local().log_in_at(&callback, &request(), now()), Err(LoginError::Denied { .. })));
}

#[test]
fn a_code_is_good_for_its_own_login_only() {
    let callback = answer(&local(), &request(), &[("name", "Ada")]);
    let check = |change: fn(&mut UpstreamRequest), expected: &str| {
        let mut request = request();
        change(&mut request);
        assert_eq!(cause(local().log_in_at(&callback, &request, now())), expected);
    };
    check(|request| request.state.push('x'), "the code belongs to another state");
    check(|request| request.verifier.push('x'), "the verifier does not fit the code");
    check(|request| request.nonce.push('x'), "the code belongs to another nonce");
    check(|request| request.redirect_uri.push('x'), "the code was sent to another redirect URI");
}

#[test]
fn a_code_is_good_for_a_minute() {
    let callback = answer(&local(), &request(), &[("name", "Ada")]);
    let after = |seconds| local().log_in_at(&callback, &request(), now() + Duration::from_secs(seconds));
    assert!(after(59).is_ok());
    assert_eq!(cause(after(60)), "the code is older than a minute");
}

#[test]
fn a_code_cannot_be_forged() {
    let own = answer(&local(), &request(), &[("name", "Ada")]);
    let forged = |code: String| {
        let callback = Callback { code: Some(code), error: None, error_description: None, iss: own.iss.clone() };
        assert_eq!(cause(local().log_in_at(&callback, &request(), now())), "the code is not from here");
    };
    let code = own.code.clone().unwrap();
    forged(String::new());
    forged(URL_SAFE_NO_PAD.encode(br#"{"name":"Ada"}"#));
    forged(format!("{code}A"));
    forged(code.chars().rev().collect());
    let last = URL_SAFE_NO_PAD.decode(&code).unwrap().len() - 1;
    for place in [0, 6, 40, last] {
        let mut bytes = URL_SAFE_NO_PAD.decode(&code).unwrap();
        bytes[place] ^= 1;
        forged(URL_SAFE_NO_PAD.encode(bytes));
    }
    let other_server = Local::new(&BaseUrl::localhost(8000), Vault::for_tests(2));
    forged(answer(&other_server, &request(), &[("name", "Ada")]).code.unwrap());
}

#[test]
fn an_answer_says_who_it_is_from() {
    let mut callback = answer(&local(), &request(), &[("name", "Ada")]);
    assert_eq!(callback.iss.as_deref(), Some("http://localhost:8000/local"));
    for iss in [None, Some("http://localhost:8000".to_owned())] {
        callback.iss = iss;
        assert_eq!(cause(local().log_in_at(&callback, &request(), now())), "the answer is not from the built-in login");
    }
}

#[test]
fn only_a_whole_request_is_a_login() {
    let challenge = s256("v");
    let check = |query: String| {
        let parameters = Parameters::parse(query.as_bytes());
        assert!(local().form(&parameters).is_none() && local().submit(&parameters).is_none(), "{query}");
    };
    check(String::new());
    check(format!("state=s&code_challenge={challenge}"));
    check(format!("state=s&code_challenge={challenge}x&nonce=n"));
    check(format!("state=s&state=s&code_challenge={challenge}&nonce=n"));
    check(format!("state=%22%3E&code_challenge={challenge}&nonce=n"));
    check(format!("state={}&code_challenge={challenge}&nonce=n", "s".repeat(257)));
    check("state=s&code_challenge=&nonce=n&name=Ada".to_owned());
}

#[tokio::test]
async fn nothing_in_the_page_becomes_markup() {
    let name = format!("\"><script>{}", "x".repeat(64));
    let response = respond(&local().submit_at(&parameters(&request(), &[("name", &name)]), now()).unwrap());
    let html = html(response).await;
    assert!(!html.contains("<script") && html.contains("&#34;&#62;&#60;script&#62;"), "{html}");
}
