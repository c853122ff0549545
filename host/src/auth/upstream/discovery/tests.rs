use serde_json::{Value, json};

use super::*;

fn discovery(text: &str, variables: &[(&str, &str)], state: Option<&StateDir>) -> Discovery {
    let provider = Arc::new(Provider::for_tests(text, variables));
    Discovery::new(provider, ProviderHttp::new(true).unwrap(), true, state).0
}

fn acme(issuer: &str) -> Discovery {
    let text = format!("auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'us'\ndiscovery = '{issuer}'");
    discovery(&text, &[], None)
}

fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": "https://id.example/authorize",
        "token_endpoint": "https://id.example/token",
        "jwks_uri": "https://id.example/keys",
        "scopes_supported": ["openid"],
    })
}

fn read(discovery: &Discovery, document: &Value) -> Result<ProviderMetadata, DiscoveryError> {
    discovery.read(&discovery.provider.discovery().unwrap(), document.to_string().as_bytes())
}

#[test]
fn the_issuer_is_that_of_the_url() {
    let discovery = acme("https://id.example");
    for issuer in ["https://id.example", "https://id.example/"] {
        assert_eq!(read(&discovery, &document(issuer)).unwrap().issuer, issuer);
    }
    for issuer in ["https://evil.example", "https://id.example/other", "http://id.example"] {
        let error = read(&discovery, &document(issuer)).err().unwrap().to_string();
        assert!(error.contains(issuer) && error.contains("expected \"https://id.example\""), "{error}");
    }
}

#[test]
fn a_configured_issuer_is_the_only_one() {
    let text = "auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'us'\ndiscovery = 'https://id.example'\nissuer = 'https://id.example/a'";
    let discovery = discovery(text, &[], None);
    assert!(read(&discovery, &document("https://id.example/a")).is_ok());
    assert!(read(&discovery, &document("https://id.example")).is_err());
}

#[test]
fn endpoints_speak_tls_or_are_on_this_machine() {
    let discovery = acme("https://id.example");
    for (member, endpoint, is_accepted) in [
        ("token_endpoint", "http://id.example/token", false),
        ("jwks_uri", "http://id.example/keys", false),
        ("userinfo_endpoint", "http://10.0.0.1/me", false),
        ("userinfo_endpoint", "file:///etc/passwd", false),
        ("userinfo_endpoint", "http://127.0.0.1:9/me", true),
        ("userinfo_endpoint", "https://api.id.example/me", true),
    ] {
        let mut document = document("https://id.example");
        document[member] = endpoint.into();
        match read(&discovery, &document) {
            Ok(known) if member == "userinfo_endpoint" => {
                let used = known.userinfo_endpoint.as_ref().map(Url::as_str);
                assert_eq!(used, Some(endpoint).filter(|_| is_accepted), "{endpoint}");
            }
            Ok(_) => assert!(is_accepted, "{endpoint}"),
            Err(error) => assert!(!is_accepted && error.to_string().contains(endpoint), "{error}"),
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let discovery = acme("https://id.example");
    let mut document = document("https://id.example");
    document.as_object_mut().unwrap().remove("token_endpoint");
    let error = read(&discovery, &document).err().unwrap().to_string();
    assert!(error.ends_with("`token_endpoint` is missing"), "{error}");
    assert!(read(&discovery, &json!([])).is_err());
}

#[test]
fn slips_in_members_that_a_login_can_do_without_cost_the_member() {
    let discovery = acme("https://id.example");
    let odd = [json!(""), json!(null), json!("relative/path"), json!("http://id.example/x"), json!(7), json!([])];
    let is_slip = |value: &Value| !value.is_null();
    for member in ["userinfo_endpoint", "introspection_endpoint", "revocation_endpoint", "end_session_endpoint"] {
        for value in &odd {
            let mut document = document("https://id.example");
            document[member] = value.clone();
            let known = read(&discovery, &document).unwrap_or_else(|error| panic!("{member} {value}: {error}"));
            let is_read = member != "end_session_endpoint";
            let slips: Vec<_> = known.slips.iter().filter(|slip| slip.contains(member)).collect();
            assert_eq!(slips.len(), usize::from(is_read && is_slip(value)), "{member} {value}: {:?}", known.slips);
            match member {
                "userinfo_endpoint" => assert!(known.userinfo_endpoint.is_none()),
                "introspection_endpoint" => assert!(known.introspection_endpoint.is_none()),
                _ => assert!(known.revocation_endpoint.is_none()),
            }
        }
    }
    for (member, value) in [
        ("scopes_supported", json!("openid")),
        ("scopes_supported", json!([1, "openid"])),
        ("token_endpoint_auth_methods_supported", json!({})),
        ("code_challenge_methods_supported", json!(true)),
        ("authorization_response_iss_parameter_supported", json!("true")),
    ] {
        let mut document = document("https://id.example");
        document[member] = value.clone();
        let known = read(&discovery, &document).unwrap_or_else(|error| panic!("{member} {value}: {error}"));
        assert_eq!(known.slips.len(), 1, "{member} {value}: {:?}", known.slips);
        document[member] = json!(null);
        assert!(read(&discovery, &document).unwrap().slips.is_empty(), "{member}");
    }
    for member in ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"] {
        for value in [json!(""), json!("relative"), json!(7)] {
            let mut document = document("https://id.example");
            document[member] = value.clone();
            let error = read(&discovery, &document).err().unwrap().to_string();
            assert!(member == "issuer" || error.contains(member), "{member} {value}: {error}");
        }
    }
}

#[test]
fn entra_has_an_issuer_for_each_tenant() {
    let entra = |tenant| {
        let variables = [("ENTRA_TENANT_ID", tenant), ("ENTRA_CLIENT_ID", "us"), ("ENTRA_CLIENT_SECRET", "x")];
        discovery("auth.provider = 'entra'\nauth.allow = ['org:t']", &variables, None)
    };
    let of = |tenant: &str| document(&format!("https://login.microsoftonline.com/{tenant}/v2.0"));
    assert!(read(&entra("common"), &of("{tenantid}")).unwrap().has_tenants);
    assert!(!read(&entra("contoso.example"), &of("00000000-0000-0000-0000-000000000001")).unwrap().has_tenants);
    assert!(read(&entra("common"), &document("https://evil.example/{tenantid}/v2.0")).is_err());
}

#[test]
fn what_was_known_survives_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let state = StateDir::open(scratch.path(), &crate::state::Secrets::default()).unwrap();
    let text =
        |url: &str| format!("auth.provider = 'acme'\n[auth.providers.acme]\nclient_id = 'us'\ndiscovery = '{url}'");
    let known = |url: &str| {
        let provider = Arc::new(Provider::for_tests(&text(url), &[]));
        let (discovery, knowledge) = Discovery::new(provider, ProviderHttp::new(true).unwrap(), true, Some(&state));
        (matches!(*knowledge.borrow(), Knowledge::Known(_)), discovery)
    };
    let (is_known, discovery) = known("https://id.example");
    assert!(!is_known);
    let url = discovery.provider.discovery().unwrap();
    discovery.keep(&url, document("https://id.example").to_string().as_bytes());
    assert!(known("https://id.example").0);
    assert!(!known("https://other.example").0, "another place is another provider");
    fs::write(discovery.file.as_ref().unwrap(), "damaged").unwrap();
    assert!(!known("https://id.example").0);
}

#[test]
fn github_needs_no_document() {
    let variables = [("GITHUB_CLIENT_ID", "us"), ("GITHUB_CLIENT_SECRET", "x")];
    let discovery = discovery("auth.provider = 'github'\nauth.allow = ['sub:1']", &variables, None);
    let known = discovery.without_document().unwrap();
    assert_eq!(known.issuer, "https://github.com");
    assert_eq!(known.token_endpoint.as_str(), "https://github.com/login/oauth/access_token");
}
