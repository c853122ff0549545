use super::*;
use crate::config::Config;

const GOOD: &str =
    "response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

fn check(query: &str) -> Result<ValidatedRequest, (&'static str, &'static str)> {
    let people = People::fixed(Config::default(), false);
    let base_url: BaseUrl = "https://mcp.example".parse().unwrap();
    let client = Client::for_tests("c", &["https://app.example/cb"]);
    validate(&Parameters::parse(query.as_bytes()), &client, "https://app.example/cb", &base_url, &people)
}

#[test]
fn a_request_passes_whole() {
    let request = check(&format!(
        "{GOOD}&state=a%20b%2B&scope=openid&resource=https://mcp.example/mcp&x=1&prompt=consent&prompt=consent"
    ));
    let request = request.unwrap();
    assert_eq!(request.state.as_deref(), Some("a b+"));
    assert_eq!(check(GOOD).unwrap().state, None);
    assert_eq!(check(&format!("{GOOD}&state=")).unwrap().state, None);
}

#[test]
fn every_other_request_is_refused_with_its_code() {
    let with = |change: &str| format!("{GOOD}&{change}");
    for (query, error) in [
        (GOOD.replace("response_type=code&", ""), "invalid_request"),
        (GOOD.replace("=code&", "=token&"), "unsupported_response_type"),
        (with("response_type=code"), "invalid_request"),
        (GOOD.replace("&code_challenge_method=S256", ""), "invalid_request"),
        (GOOD.replace("S256", "plain"), "invalid_request"),
        (GOOD.replace("S256", "s256"), "invalid_request"),
        (GOOD.replace("code_challenge=E9", "x=E9"), "invalid_request"),
        (GOOD.replace("-cM", "-c"), "invalid_request"),
        (GOOD.replace("-cM", "-c."), "invalid_request"),
        (with("state=a&state=a"), "invalid_request"),
        (with("x=1&x=2"), "invalid_request"),
        (with("scope=a&scope=b"), "invalid_request"),
        (with("state=%FF"), "invalid_request"),
        (with("resource=https://other.example/mcp"), "invalid_target"),
        (with("resource=https://mcp.example/mcp&resource=https://mcp.example"), "invalid_target"),
        (with("prompt=login&prompt=consent"), "invalid_request"),
        (with("prompt=none"), "interaction_required"),
    ] {
        assert_eq!(check(&query).map(|_| ()).map_err(|(error, _)| error), Err(error), "{query}");
    }
}
