use super::*;

#[test]
fn what_may_be_registered() {
    let known = |uri| (uri, Ok(RedirectKind::App { is_known: true }));
    let app = |uri| (uri, Ok(RedirectKind::App { is_known: false }));
    for (uri, expected) in [
        ("https://claude.ai/api/mcp/auth_callback", Ok(RedirectKind::Web)),
        ("https://app.example/cb?tenant=1", Ok(RedirectKind::Web)),
        ("HTTPS://app.example/cb", Ok(RedirectKind::Web)),
        ("http://localhost:8787/callback", Ok(RedirectKind::Loopback)),
        ("http://127.0.0.1/", Ok(RedirectKind::Loopback)),
        ("http://127.0.0.1:33418", Ok(RedirectKind::Loopback)),
        ("http://[::1]:1/cb", Ok(RedirectKind::Loopback)),
        known("cursor://anysphere.cursor-mcp/oauth/callback"),
        known("CURSOR://anysphere.cursor-mcp/oauth/callback"),
        known("vscode://vendor.extension/cb"),
        known("warp://mcp/oauth2callback"),
        known("raycast://oauth?package_name=Extension"),
        known("com.raycast:/oauth?package_name=Extension"),
        known("vscodium://vendor.extension/cb"),
        app("app.contextmcp://oauth/callback"),
        app("systemprompt://oauth/callback"),
        app("myapp://cb"),
        app("my+app.x-1:cb"),
        app("com.example.app:/cb"),
        app("com.example.app://cb"),
        app("myapp:/1"),
        app("com.example.app:cb/1"),
        ("localhost:3000/cb", Err(Unacceptable::NoScheme)),
        ("localhost:cb", Err(Unacceptable::NoScheme)),
        ("app.example:443", Err(Unacceptable::NoScheme)),
        ("app.example:443?a", Err(Unacceptable::NoScheme)),
        ("javascript:1", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("", Err(Unacceptable::NotAUri)),
        ("/callback", Err(Unacceptable::NotAUri)),
        ("https://", Err(Unacceptable::NotAUri)),
        ("https:///cb", Err(Unacceptable::NoHost)),
        ("https:app.example/cb", Err(Unacceptable::NoHost)),
        ("https://app.example/cb#x", Err(Unacceptable::Fragment)),
        ("https://user@app.example/cb", Err(Unacceptable::UserInfo)),
        ("https://user:pw@app.example/cb", Err(Unacceptable::UserInfo)),
        ("https://@app.example/cb", Err(Unacceptable::UserInfo)),
        ("https://app.example/a/../cb", Err(Unacceptable::DotSegments)),
        ("https://app.example/a/%2E%2e/cb", Err(Unacceptable::DotSegments)),
        ("https://app.example/./cb", Err(Unacceptable::DotSegments)),
        ("https://app.example/c b", Err(Unacceptable::NotAUri)),
        ("https://app.example\\@evil.example/cb", Err(Unacceptable::NotAUri)),
        ("https://app.example/\u{202e}", Err(Unacceptable::NotAUri)),
        ("http://app.example/cb", Err(Unacceptable::PlainHttp)),
        ("http://localhost.evil.example/cb", Err(Unacceptable::PlainHttp)),
        ("http://127.1/cb", Err(Unacceptable::PlainHttp)),
        ("http://2130706433/cb", Err(Unacceptable::PlainHttp)),
        ("http://0x7f.0.0.1/cb", Err(Unacceptable::PlainHttp)),
        ("http://127.0.0.2/cb", Err(Unacceptable::PlainHttp)),
        ("http://LOCALHOST/cb", Err(Unacceptable::PlainHttp)),
        ("http://localhost:0/cb", Err(Unacceptable::PlainHttp)),
        ("http://localhost:/cb", Err(Unacceptable::PlainHttp)),
        ("http://localhost:080/cb", Err(Unacceptable::PlainHttp)),
        ("http://[0:0:0:0:0:0:0:1]/cb", Err(Unacceptable::PlainHttp)),
        ("javascript:alert(1)", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("JaVaScript:alert(1)", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("java\tscript:alert(1)", Err(Unacceptable::NotAUri)),
        (" javascript:alert(1)", Err(Unacceptable::NotAUri)),
        ("\u{1}javascript:alert(1)", Err(Unacceptable::NotAUri)),
        ("javascript\n:alert(1)", Err(Unacceptable::NotAUri)),
        ("javascript&colon;alert(1)", Err(Unacceptable::NotAUri)),
        ("javascript%3Aalert(1)", Err(Unacceptable::NotAUri)),
        ("jav%61script:alert(1)", Err(Unacceptable::NotAUri)),
        ("view-source:javascript:alert(1)", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("data:text/html,x", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("file:///etc/passwd", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        (
            "intent://x/;S.browser_fallback_url=https://evil.example;end",
            Err(Unacceptable::Scheme(SchemeRefusal::ActedOn)),
        ),
        ("ms-anything://x", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("X-Apple.SystemPreferences:x", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("c:/windows", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("mailto:a@b.example", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("urn:ietf:wg:oauth:2.0:oob", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        ("spotify://cb", Err(Unacceptable::Scheme(SchemeRefusal::Registered))),
        ("iris.beep://cb", Err(Unacceptable::Scheme(SchemeRefusal::Registered))),
    ] {
        assert_eq!(accept(uri, &[]), expected, "{uri}");
    }
    assert_eq!(accept(&format!("https://app.example/{}", "a".repeat(2048)), &[]), Err(Unacceptable::TooLong));
}

#[test]
fn rules_of_the_configuration_widen_and_narrow() {
    let (known, unknown) = (Ok(RedirectKind::App { is_known: true }), Ok(RedirectKind::App { is_known: false }));
    let refused = Err(Unacceptable::Scheme(SchemeRefusal::Refused));
    for (rules, uri, expected) in [
        (&["spotify"][..], "spotify://cb", unknown),
        (&["Spotify"], "SPOTIFY://cb", unknown),
        (&["ms-teams-x"], "ms-teams-x://cb", unknown),
        (&["spotify"], "steam://cb", Err(Unacceptable::Scheme(SchemeRefusal::ActedOn))),
        (&["!zed"], "zed://cb", refused),
        (&["!zed"], "ZED://cb", refused),
        (&["!zed"], "cursor://cb", known),
        (&["!com.example.app"], "com.example.app:/cb", refused),
        (&["!*"], "zed://cb", refused),
        (&["!*"], "com.example.app:/cb", refused),
        (&["!*"], "myapp://cb", refused),
        (&["!*", "zed"], "zed://cb", known),
        (&["zed", "!*", "myapp"], "myapp://cb", unknown),
        (&["!*", "zed"], "cursor://cb", refused),
        (&["!*"], "https://app.example/cb", Ok(RedirectKind::Web)),
        (&["!*"], "http://localhost/cb", Ok(RedirectKind::Loopback)),
    ] {
        let rules: Vec<SchemeRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        assert_eq!(accept(uri, &rules), expected, "{rules:?} {uri}");
    }
    // No file can say so; this is in case that something else does.
    let rules = [SchemeRule::Allow("javascript".to_owned())];
    assert_eq!(accept("javascript:alert(1)", &rules), Err(Unacceptable::Scheme(SchemeRefusal::ActedOn)));
}

#[test]
fn what_matches_a_registration() {
    let registered = |uri: &str| vec![uri.to_owned()];
    for (uri, offered, expected) in [
        ("https://app.example/cb", "https://app.example/cb", true),
        ("https://app.example/cb", "https://app.example/cb/", false),
        ("https://app.example/cb", "https://app.example/cb?x=1", false),
        ("https://app.example/cb", "https://APP.example/cb", false),
        ("https://app.example/cb", "https://app.example:443/cb", false),
        ("https://app.example", "https://app.example/", false),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true),
        ("http://127.0.0.1:1/cb", "http://localhost:2/cb", true),
        ("http://localhost/cb", "http://[::1]:65535/cb", true),
        ("http://127.0.0.1/", "http://127.0.0.1:33418", true),
        ("http://127.0.0.1", "http://127.0.0.1:33418/", true),
        ("http://localhost/cb", "http://localhost:1/other", false),
        ("http://localhost/cb", "http://localhost:1/cb?x", false),
        ("http://localhost/cb?x", "http://localhost:1/cb?x", true),
        ("http://localhost/cb", "https://localhost/cb", false),
        ("http://localhost/cb", "http://localhost:99999/cb", false),
        ("http://localhost/cb", "http://127.1/cb", false),
        ("http://localhost/cb", "http://localhost:1@evil.example/cb", false),
        ("http://localhost/cb", "http://localhost:1/cb#x", false),
        ("cursor://a/cb", "cursor://a/cb", true),
        ("cursor://a/cb", "cursor://a:1/cb", false),
    ] {
        assert_eq!(matches(&registered(uri), offered), expected, "{uri} {offered}");
    }
}

#[test]
fn an_answer_joins_the_query_that_was_registered() {
    let answer = [("code", "a b+c"), ("iss", "https://mcp.example")];
    for (uri, expected) in [
        ("http://localhost:1/cb", "http://localhost:1/cb?code=a%20b%2Bc&iss=https%3A%2F%2Fmcp.example"),
        (
            "https://a.example/cb?t=1&code=x&%69ss=y",
            "https://a.example/cb?t=1&code=a%20b%2Bc&iss=https%3A%2F%2Fmcp.example",
        ),
        ("https://a.example?", "https://a.example?code=a%20b%2Bc&iss=https%3A%2F%2Fmcp.example"),
    ] {
        assert_eq!(with_answer(uri, &answer), expected);
    }
}

#[test]
fn ports_of_loopback_are_left_out() {
    for (uri, expected) in [
        ("http://127.0.0.1:33418/", "http://127.0.0.1/"),
        ("http://localhost:8787/callback?x", "http://localhost/callback?x"),
        ("http://[::1]", "http://[::1]/"),
        ("https://app.example:8443/cb", "https://app.example:8443/cb"),
    ] {
        assert_eq!(without_port(uri), expected);
    }
}
