use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http_body_util::BodyExt as _;

use super::*;

const HOSTILE: &str = r#""><script>alert(1)</script><img src=x onerror='a'>{{ 7 * 7 }}&amp;"#;

fn base_url() -> BaseUrl {
    BaseUrl::localhost(8000)
}

fn consent(client: Applicant, redirect_uri: &str) -> ConsentPage {
    ConsentPage {
        view: None,
        loops_at: None,
        sealed_request: "sealed-request_1".to_owned(),
        client,
        redirect_uri: redirect_uri.to_owned(),
        scopes: vec![
            ("tools".to_owned(), "List and call the tools of this server".to_owned()),
            ("weather:read".to_owned(), "Call the tools of the plugin weather".to_owned()),
        ],
        provider: "Auth0".to_owned(),
        provider_scopes: ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec(),
    }
}

fn registered(name: &str) -> Applicant {
    Applicant::Registered { name: Some(name.to_owned()) }
}

fn consent_html(client: Applicant, redirect_uri: &str) -> String {
    consent(client, redirect_uri).view(&base_url()).render().unwrap()
}

fn message() -> MessagePage {
    MessagePage {
        failure: Failure {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_client",
            cause: String::new(),
            explanation: Explanation {
            title: "Client Not Registered".to_owned(),
            happened: "This server did not give out the client id that Cursor sent.".to_owned(),
            steps: vec![
                "In Cursor, open Settings, MCP, and log this server out.".to_owned(),
                "Use the URL alone in `.cursor/mcp.json`:\n`{\n  \"mcpServers\": {\n    \"tinymcp\": { \"url\": \"http://localhost:8000/mcp\" }\n  }\n}`".to_owned(),
            ],
            quote: None,
        }},
        reference: "7f3a9c".to_owned(),
        forward: None,
    }
}

fn message_html(page: &MessagePage) -> String {
    page.view(&base_url()).render().unwrap()
}

fn open_app(outcome: Outcome) -> ReturnPage {
    let url = "cursor://anysphere.cursor-mcp/oauth/callback?code=c&state=s%26t&iss=x".to_owned();
    ReturnPage { status: StatusCode::OK, url, outcome, going: Continuation::ByItself }
}

fn return_html(page: &ReturnPage) -> String {
    page.view(&base_url()).render().unwrap()
}

/// The text that a person reads: without tags, style and line breaks.
fn text(html: &str) -> String {
    let (_, body) = html.split_once("<main").unwrap();
    let mut text = String::new();
    for piece in body.split('<') {
        text.push_str(piece.split_once('>').map_or("", |(_, text)| text));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_says(html: &str, passages: &[&str]) {
    let text = text(html);
    for passage in passages {
        assert!(text.contains(passage), "`{passage}` is not in: {text}");
    }
}

/// Nothing that was put into the page has become markup.
#[track_caller]
fn assert_harmless(html: &str) {
    assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("onerror='"), "{html}");
    assert!(html.contains("{{ 7 * 7 }}"), "{html}");
    assert!(html.contains("&#38;amp;"), "{html}");
}

#[test]
fn consent_says_who_asks_for_what_and_where_it_leads() {
    let html = consent_html(registered("Cursor"), "cursor://anysphere.cursor-mcp/oauth/callback");
    assert_says(
        &html,
        &[
            "Allow “Cursor” to use this server?",
            "connect to localhost:8000.",
            "Cursor, as it calls itself; nobody has checked that",
            "Cursor, on this device cursor://anysphere.cursor-mcp/oauth/callback",
            "Call the tools of the plugin weather weather:read",
            "Auth0, which this server asks for openid profile email offline_access",
        ],
    );
    assert!(html.contains(r#"<form method="post" action="/consent">"#));
    assert!(html.contains(r#"<input type="hidden" name="request" value="sealed-request_1">"#));
    assert!(html.contains(r#"name="decision" value="approve""#) && html.contains(r#"name="decision" value="deny""#));
    assert!(html.contains(r#"<html lang="en">"#));
}

#[test]
fn consent_says_whose_word_a_name_is() {
    let claude_code = Applicant::Document {
        client_id: "https://claude.ai/oauth/claude-code-client-metadata".to_owned(),
        name: Some("Claude Code".to_owned()),
    };
    let html = consent_html(claude_code, "http://localhost:3118/callback");
    assert_says(
        &html,
        &["claude.ai, a verified domain, which calls it Claude Code", "an application on this computer"],
    );

    let nameless = Applicant::Document { client_id: "https://bücher.example/client.json".to_owned(), name: None };
    let html = consent_html(nameless, "https://bücher.example/callback");
    assert_says(&html, &["Allow xn--bcher-kva.example to use", "xn--bcher-kva.example, a verified domain"]);

    let html = consent_html(Applicant::Declared { name: "ci".to_owned() }, "http://127.0.0.1:7777/callback");
    assert_says(&html, &["ci, an application that this server’s operator has entered"]);

    let html = consent_html(Applicant::Registered { name: Some("\u{200b}".to_owned()) }, "https://a.example/callback");
    assert_says(&html, &["Allow an application to use", "An application that gives no name"]);
}

#[test]
fn consent_warns_of_names_that_imitate() {
    let warning = "mixes letters of several alphabets";
    assert!(consent_html(registered("Сursor"), "https://a.example/").contains(warning));
    assert!(!consent_html(registered("Cursor"), "https://a.example/").contains(warning));
}

#[test]
fn nothing_in_a_consent_page_becomes_markup() {
    let html = consent_html(registered(HOSTILE), "https://a.example/callback?q=\"><script>alert(1)</script>");
    assert_harmless(&html);
    let mut page = consent(registered("a"), "https://a.example/");
    page.sealed_request = HOSTILE.to_owned();
    page.scopes = vec![(HOSTILE.to_owned(), HOSTILE.to_owned())];
    page.provider = HOSTILE.to_owned();
    page.provider_scopes = vec![HOSTILE.to_owned()];
    assert_harmless(&page.view(&base_url()).render().unwrap());
    let document = Applicant::Document { client_id: HOSTILE.to_owned(), name: None };
    assert_harmless(&consent_html(document, HOSTILE));
}

#[test]
fn names_are_shown_without_what_is_invisible() {
    let html = consent_html(registered("Cur\u{202e}sor\u{200b}\u{7}"), "https://a.example/");
    assert_says(&html, &["Allow “Cursor” to use this server?"]);
}

#[test]
fn a_message_says_what_happened_and_what_to_do() {
    let html = message_html(&message());
    assert_says(
        &html,
        &["Client Not Registered", "did not give out the client id", "What to do", "log this server out", "7f3a9c"],
    );
    assert!(html.contains("<code>.cursor/mcp.json</code>"));
    assert!(!html.contains("http-equiv"));
}

#[test]
fn a_message_can_lead_back_to_the_client() {
    let mut page = message();
    page.forward = Some(Forward {
        url: "https://claude.ai/api/mcp/auth_callback?error=server_error&state=\"x".to_owned(),
        client: "Claude".to_owned(),
        after_s: Some(30),
    });
    let html = message_html(&page);
    let escaped = "https://claude.ai/api/mcp/auth_callback?error=server_error&#38;state=&#34;x";
    assert!(html.contains(&format!(r#"<meta http-equiv="refresh" content="30;url={escaped}">"#)), "{html}");
    assert!(html.contains(&format!(r#"href="{escaped}">Go back to Claude</a>"#)), "{html}");
}

#[test]
fn nothing_in_a_message_becomes_markup() {
    let mut page = message();
    page.failure.explanation = Explanation {
        title: HOSTILE.to_owned(),
        happened: HOSTILE.to_owned(),
        steps: vec![format!("`{HOSTILE}`"), HOSTILE.to_owned()],
        quote: Some(format!("{HOSTILE}\u{202e}{}", "x".repeat(5000))),
    };
    page.forward = Some(Forward { url: HOSTILE.to_owned(), client: HOSTILE.to_owned(), after_s: Some(1) });
    let html = message_html(&page);
    assert_harmless(&html);
    assert!(!html.contains('\u{202e}') && !html.contains(&"x".repeat(1100)));
}

#[tokio::test]
async fn who_does_not_ask_for_a_page_gets_json() {
    let respond = |accept: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        message().respond(&headers, &base_url())
    };
    let page = respond("text/html,*/*;q=0.8");
    assert_eq!(
        (page.status(), &page.headers()[CONTENT_TYPE]),
        (StatusCode::BAD_REQUEST, &HeaderValue::from_static("text/html; charset=utf-8"))
    );
    let json = respond("application/json");
    assert_eq!(
        (json.status(), &json.headers()[CONTENT_TYPE]),
        (StatusCode::BAD_REQUEST, &HeaderValue::from_static("application/json"))
    );
    assert_eq!(json.headers()[CACHE_CONTROL], "no-store");
    let body: serde_json::Value =
        serde_json::from_slice(&json.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(body["error"], "invalid_client");
    assert_eq!(body["reference"], "7f3a9c");
    let description = body["error_description"].as_str().unwrap();
    assert!(description.starts_with("Client Not Registered: This server did not give out"), "{description}");
}

#[test]
fn an_application_is_opened_by_a_link_and_by_the_browser() {
    let page = open_app(Outcome::LoggedIn { person: Some("Ada".to_owned()) });
    let html = return_html(&page);
    let escaped = "cursor://anysphere.cursor-mcp/oauth/callback?code=c&#38;state=s%26t&#38;iss=x";
    assert!(html.contains(&format!(r#"<meta http-equiv="refresh" content="0;url={escaped}">"#)), "{html}");
    assert!(html.contains(&format!(r#"href="{escaped}">Open Cursor</a>"#)), "{html}");
    assert_says(
        &html,
        &["You are logged in", "As Ada.", "You can close this tab; if Cursor still waits, quit it fully"],
    );
    assert_says(&return_html(&open_app(Outcome::Denied)), &["Access denied", "Cursor gets no access."]);
    assert_says(
        &return_html(&open_app(Outcome::Failed { why: "the provider is down".to_owned() })),
        &["The login did not work"],
    );
}

#[test]
fn nothing_in_the_way_to_an_application_becomes_markup() {
    for going in [Continuation::ByItself, Continuation::ByClick, Continuation::Unapproved] {
        for outcome in
            [Outcome::LoggedIn { person: Some(HOSTILE.to_owned()) }, Outcome::Failed { why: HOSTILE.to_owned() }]
        {
            let url = format!("com.example.app:/callback?{HOSTILE}");
            let html = return_html(&ReturnPage { status: StatusCode::OK, url, outcome, going });
            assert_harmless(&html);
            assert_says(&html, &["Open the application", "has com.example.app:, and"]);
        }
    }
    let outcome = Outcome::Denied;
    let url = format!("{HOSTILE}:{HOSTILE}");
    assert_harmless(&return_html(&ReturnPage {
        status: StatusCode::OK,
        url,
        outcome,
        going: Continuation::Unapproved,
    }));
}

#[test]
fn a_client_that_nobody_approved_is_a_click_away() {
    for (url, words) in [
        ("https://app.example:8443/cb?error=x", "Go to app.example:8443"),
        ("http://127.0.0.1:5/cb?error=x", "Go to the application on this computer"),
        ("cursor://a/cb?error=x", "Open Cursor"),
        ("myapp://cb?error=x", "Open the application"),
    ] {
        let (url, outcome) = (url.to_owned(), Outcome::Failed { why: "scope".to_owned() });
        let page = ReturnPage { status: StatusCode::BAD_REQUEST, url, outcome, going: Continuation::Unapproved };
        let html = return_html(&page);
        assert!(!html.contains("http-equiv"), "{html}");
        assert!(html.contains(r#"rel="noopener noreferrer nofollow" href="#), "{html}");
        assert_says(&html, &[words, "says itself who it is", "connect to localhost:8000"]);
    }
    let mut page = message();
    let (url, client) = ("https://evil.example/cb?error=x".to_owned(), "Google\u{202e}".to_owned());
    page.forward = Some(Forward { url, client, after_s: None });
    let html = message_html(&page);
    assert!(!html.contains("http-equiv") && !html.contains('\u{202e}'), "{html}");
    assert_says(&html, &["Go back to Google", "The link leads to evil.example, and"]);
}

#[test]
fn who_comes_back_to_a_finished_login_is_told_that_it_is() {
    let page = LoggedInPage { client: "Cursor".to_owned(), person: Some("Alice".to_owned()) };
    let html = page.view(&base_url()).render().unwrap();
    assert_says(&html, &["You are logged in", "As Alice. Cursor has what it needs: you can close this page."]);
    let page = LoggedInPage { client: HOSTILE.to_owned(), person: Some(HOSTILE.to_owned()) };
    assert_harmless(&page.view(&base_url()).render().unwrap());
}

#[test]
fn every_page_can_run_nothing_load_nothing_and_be_framed_by_nobody() {
    let base_url = base_url();
    let pages = [
        consent(registered("Cursor"), "https://a.example/").response(&base_url),
        message().response(&base_url),
        open_app(Outcome::Denied).response(&base_url),
        LoggedInPage { client: "Cursor".to_owned(), person: None }.response(&base_url),
    ];
    for page in pages {
        let header = |name| page.headers().get(name).unwrap().to_str().unwrap();
        let policy = header(CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("form-action"), "{policy}");
        assert_eq!(header(X_FRAME_OPTIONS), "DENY");
        assert_eq!(header(X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(header(REFERRER_POLICY), "no-referrer");
        assert_eq!(header(CACHE_CONTROL), "no-store");
    }
}
