//! Against a provider on loopback that says what each test wants.

use serde_json::{Value, json};

use super::*;
use crate::diagnosis::Verdict;
use crate::fetch::site::Site;

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A provider with which all is well.
async fn site() -> Site {
    let site = Site::start().await;
    site.says("/keys", 200, &[], KEYS);
    site.says("/token", 403, &[], r#"{"error":"invalid_grant"}"#);
    site.says("/authorize", 302, &[("location", "/login?state=x")], "");
    describe(&site, &json!({}));
    site
}

const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// The discovery document, with other members in place of some.
fn describe(site: &Site, further: &Value) {
    let at = |path: &str| format!("{}{path}", site.url);
    let mut document = json!({
        "issuer": at("/"), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"), "scopes_supported": ["openid", "email", "offline_access"],
        "code_challenge_methods_supported": ["plain", "S256"],
    });
    document.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let now = httpdate::fmt_http_date(SystemTime::now());
    site.says(DISCOVERY, 200, &[("date", &now)], &document.to_string());
}

/// The findings for a provider of one's own at this site; further keys go into its table.
async fn found(site: &Site, further: &str) -> Vec<Finding> {
    let text = format!(
        "auth.provider = 'acme'\n[auth.providers.acme]\ndiscovery = '{}'\nclient_id = 'us'\nclient_secret = 'hunter2'\nscopes = ['openid', 'email']\n{further}",
        site.url
    );
    let provider = Provider::for_tests(&text, &[]);
    let findings =
        look(provider, &BaseUrl::localhost(8000), ProviderHttp::new(true).unwrap(), Path::new("/nowhere")).await;
    assert!(!format!("{findings:?}").contains("hunter2"));
    findings
}

/// The finding about one subject.
async fn about(subject: &str, site: &Site, further: &str) -> (Verdict, String, String) {
    let found = found(site, further).await.into_iter().find(|finding| finding.subject == subject);
    let found = found.unwrap_or_else(|| panic!("nothing about {subject}"));
    (found.verdict, found.seen, found.steps.join("\n"))
}

#[track_caller]
fn check(found: &(Verdict, String, String), verdict: Verdict, seen: &str, steps: &str) {
    assert!(found.0 == verdict && found.1.contains(seen) && found.2.contains(steps), "{found:?}");
}

#[tokio::test]
async fn all_is_well() {
    let site = site().await;
    let lines: Vec<String> = found(&site, "offline = { scope = 'offline_access' }")
        .await
        .into_iter()
        .map(|finding| {
            format!("{:?} {}: {}", finding.verdict, finding.subject, finding.seen).replace(&site.url, "SITE")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "Good discovery: SITE/.well-known/openid-configuration: status 200, issuer SITE/",
            "Good clock: the same as acme's",
            "Good endpoints: authorization, token: on this machine",
            "Good signing keys: SITE/keys",
            "Good scopes: asked for are `openid email offline_access`; acme lists all of them",
            "Good PKCE: acme takes S256",
            "Good client secret: acme takes this server as `us`",
            "Good login page: acme takes this server's request and leads on to its login",
            "Note callback URL: http://localhost:8000/auth/callback",
            "Note refresh token: asked for; only a login shows whether one comes",
        ]
    );
}

#[tokio::test]
async fn a_document_that_is_not_there_is_explained_and_ends_it() {
    let site = site().await;
    site.says(DISCOVERY, 404, &[], "");
    let findings = found(&site, "").await;
    let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects, ["discovery", "clock", "callback URL", "refresh token"]);
    let discovery = &findings[0];
    assert_eq!(discovery.verdict, Verdict::Bad);
    let expected = format!("{}{DISCOVERY} does not exist (status 404)", site.url);
    assert!(discovery.seen.contains(&expected), "{}", discovery.seen);
    assert!(discovery.steps.concat().contains("without https:// and with its region"));
}

#[tokio::test]
async fn a_document_of_somebody_else_is_refused() {
    let site = site().await;
    describe(&site, &json!({ "issuer": "https://evil.example" }));
    check(&about("discovery", &site, "").await, Verdict::Bad, "names the issuer https://evil.example", "");
    describe(&site, &json!({ "token_endpoint": "http://id.example/token" }));
    check(
        &about("discovery", &site, "").await,
        Verdict::Bad,
        "http://id.example/token as its `token_endpoint`",
        "https",
    );
}

#[tokio::test]
async fn clocks_are_compared() {
    let site = site().await;
    let after = async |offset: Duration, age: &str| {
        let then = httpdate::fmt_http_date(SystemTime::now() - offset);
        site.says(DISCOVERY, 404, &[("date", &then), ("age", age)], "");
        about("clock", &site, "").await
    };
    check(&after(Duration::ZERO, "0").await, Verdict::Good, "the same as acme's", "");
    check(&after(Duration::from_secs(30), "0").await, Verdict::Note, " s ahead of acme's", "NTP");
    check(&after(Duration::from_secs(3600), "0").await, Verdict::Bad, "refused beyond 60 s", "NTP");
    check(&after(Duration::from_secs(3600), "3600").await, Verdict::Good, "the same as acme's", "");
    site.says(DISCOVERY, 404, &[], "");
    check(&about("clock", &site, "").await, Verdict::Note, "not compared", "");
}

#[tokio::test]
async fn scopes_and_pkce_are_compared_with_what_is_advertised() {
    let site = site().await;
    describe(&site, &json!({ "scopes_supported": ["openid"], "code_challenge_methods_supported": ["plain"] }));
    let scopes = about("scopes", &site, "").await;
    check(&scopes, Verdict::Note, "acme does not list `email`", "`auth.providers.acme.scopes`");
    let pkce = about("PKCE", &site, "").await;
    check(&pkce, Verdict::Bad, "does not take S256", "`auth.providers.acme.pkce` to false");
    check(&about("PKCE", &site, "pkce = false").await, Verdict::Note, "switched off", "");
}

#[tokio::test]
async fn a_wrong_secret_is_told_from_a_code_that_is_no_good() {
    let site = site().await;
    site.says("/token", 401, &[], r#"{"error":"invalid_client"}"#);
    let secret = about("client secret", &site, "").await;
    check(&secret, Verdict::Bad, "its client secret is not right", "`auth.providers.acme.client_secret`");
    site.says("/token", 401, &[], r#"{"error":"access_denied","error_description":"Unauthorized"}"#);
    let secret = about("client secret", &site, "token_errors = { access_denied = 'invalid_client' }").await;
    check(&secret, Verdict::Bad, "its client secret is not right", "");
    site.says("/token", 400, &[], r#"{"error":"invalid_request"}"#);
    check(&about("client secret", &site, "").await, Verdict::Note, "cannot be told from here: invalid_request", "");
    site.says("/token", 503, &[], "");
    check(&about("client secret", &site, "").await, Verdict::Bad, "cannot be reached: status 503", "");
}

#[tokio::test]
async fn what_the_provider_shows_to_a_browser_is_judged() {
    let site = site().await;
    let redirect = |location: &str| site.says("/authorize", 302, &[("location", location)], "");
    redirect("/signin/oauth/error?authError=x");
    check(&about("login page", &site, "").await, Verdict::Bad, "leads to an error", "auth/callback");
    redirect("http://localhost:8000/auth/callback?error=invalid_scope&state=x");
    check(&about("login page", &site, "").await, Verdict::Bad, "asks acme for `openid email`", "Switch the scope on");
    redirect("http://localhost:8000/auth/callback?code=c&state=x");
    check(&about("login page", &site, "").await, Verdict::Good, "takes this server's request", "");
    site.says("/authorize", 403, &[], "<h1>Callback URL mismatch</h1>");
    let callback = "of the application `us` must have exactly http://localhost:8000/auth/callback.";
    check(&about("login page", &site, "").await, Verdict::Bad, "status 403", callback);
    site.says("/authorize", 200, &[], "<form>");
    check(&about("login page", &site, "").await, Verdict::Good, "shows a page, status 200", "");
}

#[tokio::test]
async fn what_auth0_calls_things_is_said() {
    // Nothing listens on this port of loopback, and no name is looked up.
    let of = async |audience: &str| {
        let variables = [
            ("AUTH0_DOMAIN", "http://localhost:1"),
            ("AUTH0_CLIENT_ID", "us"),
            ("AUTH0_CLIENT_SECRET", "hunter2"),
            ("AUTH0_AUDIENCE", audience),
        ];
        let provider = Provider::for_tests("auth.provider = 'auth0'", &variables);
        let findings =
            look(provider, &BaseUrl::localhost(8000), ProviderHttp::new(true).unwrap(), Path::new("/nowhere")).await;
        let lines = findings.into_iter().map(|finding| format!("{}\n{}\n", finding.seen, finding.steps.join("\n")));
        lines.collect::<String>()
    };
    let with = of("https://tinymcp").await;
    let callback =
        "Allowed Callback URLs of the application `us` must have exactly http://localhost:8000/auth/callback.";
    assert!(with.contains(callback), "{with}");
    assert!(with.contains("tokens are asked for the API `https://tinymcp` (AUTH0_AUDIENCE)"), "{with}");
    assert!(with.contains("Allow Offline Access"), "{with}");
    let without = of("").await;
    assert!(without.contains("AUTH0_AUDIENCE is not set"), "{without}");
    assert!(!without.contains("Allow Offline Access") && without.contains("grant type Refresh Token"), "{without}");
}
