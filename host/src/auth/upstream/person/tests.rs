use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

/// A built-in provider, with something for each of its variables.
fn built_in(name: &str, further: &str) -> Provider {
    let upper = name.to_uppercase();
    let names = ["DOMAIN", "CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "REALM_URL", "CONFIG_URL", "DISCOVERY_URL"];
    let variables: Vec<(String, &str)> = names.iter().map(|name| (format!("{upper}_{name}"), "id.example")).collect();
    let mut variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    variables.push(("AUTH_PROVIDER", name));
    Provider::for_tests(&format!("auth.allow = ['*@example.com']\n{further}"), &variables)
}

fn identified(provider: &Provider, person: Value, tokens: &[Value]) -> Identity {
    let said = Evidence {
        person: object(person),
        tokens: tokens.iter().cloned().map(object).collect(),
        header_scopes: Vec::new(),
    };
    identity(provider, "https://id.example/".to_owned(), &["openid".to_owned()], &said).unwrap()
}

#[test]
fn auth0_has_organizations_and_permissions() {
    let person =
        json!({ "sub": "auth0|1", "email": "a@example.com", "email_verified": true, "name": "A", "org_id": "org_1" });
    let token = json!({ "scope": "openid read:x", "permissions": ["write:x", "read:x"] });
    assert_eq!(
        identified(&built_in("auth0", ""), person, &[token]),
        Identity {
            issuer: "https://id.example/".to_owned(),
            subject: "auth0|1".to_owned(),
            email: Some("a@example.com".to_owned()),
            email_verified: true,
            name: Some("A".to_owned()),
            organizations: vec!["org_1".to_owned()],
            membership: Membership::Whole,
            further_emails: Vec::new(),
            scopes: ["openid", "read:x", "write:x"].map(str::to_owned).to_vec(),
            sid: None,
        }
    );
}

#[test]
fn github_numbers_people_and_lists_their_addresses() {
    let person = json!({
        "id": 583_231, "login": "octocat", "name": null, "email": "public@example.com",
        "emails": [
            { "email": "other@example.com", "primary": false, "verified": true },
            { "email": "octocat@example.com", "primary": true, "verified": true },
        ],
        "orgs": [{ "login": "github" }, { "login": "acme" }],
    });
    let found = identified(&built_in("github", ""), person, &[]);
    assert_eq!((found.subject.as_str(), found.name.as_deref()), ("583231", Some("octocat")));
    assert_eq!((found.email.as_deref(), found.email_verified), (Some("octocat@example.com"), true));
    assert_eq!(found.organizations, ["github", "acme"]);
    let unverified = json!({ "id": 1, "email": "a@example.com", "emails": [{ "email": "a@example.com", "primary": true, "verified": false }] });
    assert!(!identified(&built_in("github", ""), unverified, &[]).email_verified);
    let hidden = json!({ "id": 1, "email": "public@example.com" });
    assert_eq!(identified(&built_in("github", ""), hidden, &[]).email, None);
}

#[test]
fn discord_and_keycloak_and_entra_have_names_of_their_own() {
    let person = json!({ "id": "80351110224678912", "username": "nelly", "global_name": null, "email": "n@example.com", "verified": true });
    let found = identified(&built_in("discord", ""), person, &[]);
    assert_eq!((found.subject.as_str(), found.name.as_deref()), ("80351110224678912", Some("nelly")));
    assert!(found.email_verified);
    let token = json!({ "scope": "openid", "realm_access": { "roles": ["admin"] } });
    let found = identified(&built_in("keycloak", ""), json!({ "sub": "1", "groups": ["/staff"] }), &[token]);
    assert_eq!(
        (found.organizations, found.scopes),
        (vec!["/staff".to_owned()], vec!["openid".to_owned(), "admin".to_owned()])
    );
    let person = json!({ "sub": "1", "tid": "t", "email": "ceo@example.com" });
    let found = identified(&built_in("entra", ""), person, &[json!({ "scp": "Files.Read", "roles": ["Admin"] })]);
    assert!(!found.email_verified, "anybody's administrator can write that address");
    assert_eq!(found.organizations, ["t"]);
    assert_eq!(found.scopes, ["openid", "Files.Read", "Admin"]);
}

#[test]
fn only_a_verified_address_counts() {
    let auth0 = built_in("auth0", "");
    let with = |verified: Value| json!({ "sub": "1", "email": "a@example.com", "email_verified": verified });
    for (verified, expected) in
        [(json!(true), true), (json!(false), false), (json!("true"), false), (json!(1), false), (json!(null), false)]
    {
        assert_eq!(identified(&auth0, with(verified.clone()), &[]).email_verified, expected, "{verified}");
    }
    let text = built_in("auth0", "auth.providers.auth0.claims.email_verified_as_text = true");
    assert!(identified(&text, with(json!("true")), &[]).email_verified);
    assert!(!identified(&text, with(json!("false")), &[]).email_verified);
    assert!(!identified(&auth0, json!({ "sub": "1", "email_verified": true }), &[]).email_verified);
}

#[test]
fn somebody_without_a_name_is_nobody() {
    let said = |person: Value| Evidence { person: object(person), ..Evidence::default() };
    for person in [json!({}), json!({ "sub": "" }), json!({ "sub": null }), json!({ "sub": ["1"] })] {
        let found = identity(&built_in("auth0", ""), String::new(), &[], &said(person.clone()));
        assert!(found.is_err_and(|cause| cause.contains("nobody is named")), "{person}");
    }
}

#[test]
fn an_address_and_its_verification_come_from_one_place() {
    let combine = |id_claims: Value, userinfo: Value| {
        Value::Object(combined(object(id_claims), object(userinfo), "email", "email_verified"))
    };
    assert_eq!(
        combine(
            json!({ "sub": "1", "email": "a" }),
            json!({ "sub": "1", "email": "b", "email_verified": true, "name": "n" })
        ),
        json!({ "sub": "1", "name": "n", "email": "a" })
    );
    assert_eq!(
        combine(
            json!({ "sub": "1", "email_verified": true }),
            json!({ "sub": "1", "email": "b", "email_verified": false })
        ),
        json!({ "sub": "1", "email": "b", "email_verified": false })
    );
}

#[test]
fn a_token_names_its_client() {
    for (claims, expected) in [
        (json!({ "aud": "us" }), true),
        (json!({ "aud": ["x", "us"] }), true),
        (json!({ "client_id": "us" }), true),
        (json!({ "cid": "us", "aud": "api" }), true),
        (json!({ "azp": "them", "aud": "us" }), false),
        (json!({ "client_id": "them" }), false),
        (json!({ "client_id": 1 }), false),
        (json!({}), false),
    ] {
        assert_eq!(names_client(&object(claims.clone()), "us"), expected, "{claims}");
    }
}

#[test]
fn scopes_have_their_names_of_here() {
    let google = built_in("google", "");
    assert_eq!(local_name(&google, "https://www.googleapis.com/auth/userinfo.email".to_owned()), "email");
    let entra = built_in("entra", "auth.providers.entra.scope_prefix = 'api://x/'");
    assert_eq!(local_name(&entra, "api://x/read".to_owned()), "read");
    assert_eq!(local_name(&entra, "openid".to_owned()), "openid");
}

#[test]
fn what_somebody_belongs_to_is_all_or_not() {
    let oidc = built_in("oidc", "");
    let many: Vec<String> = (0..=LISTED_MAX).map(|number| format!("group-{number}")).collect();
    for (claims, expected) in [
        (json!({ "sub": "1", "groups": ["a"] }), Membership::Whole),
        (json!({ "sub": "1", "groups": [] }), Membership::Whole),
        (json!({ "sub": "1", "org_id": "a" }), Membership::Whole),
        (json!({ "sub": "1" }), Membership::Unknown),
        (json!({ "sub": "1", "groups": null }), Membership::Unknown),
        (json!({ "sub": "1", "_claim_names": { "groups": "src1" } }), Membership::Overflowed),
        (json!({ "sub": "1", "org_id": "a", "_claim_names": { "groups": "src1" } }), Membership::Overflowed),
        (json!({ "sub": "1", "_claim_names": { "address": "src1" } }), Membership::Unknown),
        (json!({ "sub": "1", "hasgroups": true }), Membership::Overflowed),
        (json!({ "sub": "1", "groups": many }), Membership::Overflowed),
    ] {
        assert_eq!(identified(&oidc, claims.clone(), &[]).membership, expected, "{claims}");
    }
    let entra = built_in("entra", "");
    let of = |claims: Value| identified(&entra, claims, &[]).membership;
    assert_eq!(of(json!({ "sub": "1", "tid": "t" })), Membership::Unknown);
    assert_eq!(of(json!({ "sub": "1", "tid": "t", "groups": ["a"] })), Membership::Whole);
}
