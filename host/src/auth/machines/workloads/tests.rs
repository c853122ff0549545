use serde_json::json;

use super::*;
use crate::config::{Config, Environment, Invocation, Purpose};

const BASE: &str = "https://mcp.example";

fn workload(claims: &str) -> Workload {
    let text = format!("[auth.workloads.job]\nissuer = 'https://id.example'\nclaims = {claims}\n");
    let parsed = Config::parse(&text, &Invocation::new(Purpose::Look), &Environment::default());
    parsed.unwrap().config.auth.workloads["job"].clone()
}

fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn a_token_is_for_this_server_and_nobody_else() {
    let job = workload("{ sub = 'a' }");
    for (audience, is_ours) in [
        (json!(BASE), true),
        (json!([BASE]), true),
        (json!([BASE, BASE]), false),
        (json!([BASE, "https://other.example"]), false),
        (json!(["https://other.example", BASE]), false),
        (json!([[BASE]]), false),
        (json!([]), false),
        (json!("https://mcp.example/"), false),
        (json!("https://mcp.example/mcp"), false),
        (json!("https://github.com/octo"), false),
        (json!("https://kubernetes.default.svc"), false),
        (json!({ "0": BASE }), false),
        (json!(null), false),
    ] {
        let token = claims(&json!({ "sub": "a", "aud": audience, "exp": 1000 }));
        assert_eq!(fit(&job, &token, BASE).is_ok(), is_ours, "{audience}");
    }
    let without = claims(&json!({ "sub": "a", "exp": 1000 }));
    assert!(matches!(fit(&job, &without, BASE), Err(NotProved::Audience(_))));
}

#[test]
fn a_claim_that_is_missing_never_fits() {
    let job = workload("{ sub = 'a', environment = '*', run = '*' }");
    let all = json!({ "sub": "a", "environment": "prod", "run": 1, "aud": BASE, "exp": 1000.5 });
    assert_eq!(fit(&job, &claims(&all), BASE), Ok(1000));
    for name in ["sub", "environment", "run"] {
        let mut some = claims(&all);
        some.remove(name);
        assert_eq!(fit(&job, &some, BASE), Err(NotProved::Missing(name.to_owned())));
        for value in [json!(null), json!([]), json!(["prod"]), json!({ "a": "prod" }), json!(1.5)] {
            some.insert(name.to_owned(), value.clone());
            assert_eq!(fit(&job, &some, BASE), Err(NotProved::Missing(name.to_owned())), "{value}");
        }
        some.insert(name.to_owned(), json!(""));
        assert!(matches!(fit(&job, &some, BASE), Err(NotProved::Claim(..))), "an empty one is there, and fits no `*`");
    }
    let mut endless = claims(&all);
    endless.remove("exp");
    assert!(fit(&job, &endless, BASE).is_err());
}

#[test]
fn a_token_of_the_future_is_not_taken() {
    let made = |iat: Value| require_made(&claims(&json!({ "iat": iat })), 1_000);
    for iat in [json!(0), json!(1_000), json!(1_060), json!(1_059.5)] {
        assert_eq!(made(iat.clone()), Ok(()), "{iat}");
    }
    for iat in [json!(1_060.5), json!(1_061), json!(6_000), json!(1e300)] {
        assert_eq!(made(iat.clone()), Err(NotProved::Ahead), "{iat}");
    }
    assert_eq!(require_made(&Map::new(), 1_000), Ok(()));
}

#[test]
fn claims_within_claims_have_paths() {
    let job = workload("{ 'kubernetes.io/namespace' = 'prod', 'kubernetes.io/serviceaccount/name' = 'ci' }");
    let token = |namespace: &str, name: &str| {
        claims(&json!({
            "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": [BASE], "exp": 1000,
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": "x" } },
        }))
    };
    assert!(fit(&job, &token("prod", "ci"), BASE).is_ok());
    for (namespace, name) in [("dev", "ci"), ("prod", "ci2"), ("prod", ""), ("prod/x", "ci")] {
        assert!(fit(&job, &token(namespace, name), BASE).is_err(), "{namespace} {name}");
    }
    let flat = claims(&json!({ "sub": "x", "aud": BASE, "exp": 1000, "kubernetes.io": "prod" }));
    assert!(fit(&job, &flat, BASE).is_err());
}

#[test]
fn numbers_and_booleans_are_compared_as_texts() {
    let job = workload("{ project_id = '22', ref_protected = 'true' }");
    for token in [
        json!({ "project_id": "22", "ref_protected": "true", "aud": BASE, "exp": 1 }),
        json!({ "project_id": 22, "ref_protected": true, "aud": BASE, "exp": 1 }),
    ] {
        assert!(fit(&job, &claims(&token), BASE).is_ok(), "{token}");
    }
    let other = json!({ "project_id": 220, "ref_protected": true, "aud": BASE, "exp": 1 });
    assert!(fit(&job, &claims(&other), BASE).is_err());
}
