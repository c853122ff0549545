//! The endpoints of the stand-in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::grants::Authorization;
use super::settings::{Claim, ExpiresIn, Flavour, Settings, Signature};
use super::wire::{IncomingRequest, Parameters, Reply, html, json as json_reply, redirect, reply};
use super::{Shared, State, keys};
use crate::encoding::{escape, random, sha256_base64url_half, unix_seconds};

/// The paths of a flavour's endpoints.
struct Paths {
    authorize: &'static str,
    token: &'static str,
    userinfo: &'static str,
    revoke: &'static str,
}

impl Flavour {
    fn paths(self) -> Paths {
        let [authorize, token, userinfo, revoke] = match self {
            Self::Auth0 => ["/authorize", "/oauth/token", "/userinfo", "/oauth/revoke"],
            Self::Clerk => ["/oauth/authorize", "/oauth/token", "/oauth/userinfo", "/oauth/token/revoke"],
            Self::GitHub => ["/login/oauth/authorize", "/login/oauth/access_token", "/user", "/revoke"],
            Self::Oidc => ["/authorize", "/token", "/userinfo", "/revoke"],
        };
        Paths { authorize, token, userinfo, revoke }
    }
}

/// The path to which a login form goes. The page that it came from is none of its business.
const LOGIN: &str = "/u/login";
const KEY_SET: &str = "/.well-known/jwks.json";
const TOKEN_INFO: &str = "/oauth/token_info";

pub(super) fn answer(shared: &Shared, asked: &IncomingRequest) -> Reply {
    let mut state = shared.state();
    let flavour = state.settings.flavour;
    let paths = flavour.paths();
    let has_oidc = flavour != Flavour::GitHub;
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/.well-known/openid-configuration") if has_oidc => {
            json_reply(200, &discovery(&state.settings, &shared.url))
        }
        ("GET", KEY_SET) if has_oidc => json_reply(200, &keys::set(&state.settings)),
        ("GET", path) if path == paths.authorize => authorize(&state, &shared.url, &asked.query),
        ("POST", LOGIN) => log_in(&mut state, &shared.url, &asked.form),
        ("POST", path) if path == paths.token => token(&mut state, &shared.url, asked),
        ("GET", path) if path == paths.userinfo => userinfo(&state, asked),
        ("GET", "/user/emails") if flavour == Flavour::GitHub => emails(&state, asked),
        ("POST", TOKEN_INFO) if flavour == Flavour::Clerk => token_info(&state, asked),
        ("POST", path) if path == paths.revoke => revoke(&mut state, asked),
        _ => json_reply(404, &json!({ "error": "not_found" })),
    }
}

fn discovery(settings: &Settings, url: &str) -> Value {
    let paths = settings.flavour.paths();
    let at = |path: &str| format!("{url}{path}");
    let mut document = json!({
        "issuer": settings.discovery_issuer.clone().unwrap_or_else(|| settings.issuer(url)),
        "authorization_endpoint": at(paths.authorize),
        "token_endpoint": at(paths.token),
        "userinfo_endpoint": at(paths.userinfo),
        "revocation_endpoint": at(paths.revoke),
        "jwks_uri": at(KEY_SET),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
    });
    if settings.promises_issuer {
        document["authorization_response_iss_parameter_supported"] = json!(true);
    }
    if settings.flavour == Flavour::Clerk {
        document["introspection_endpoint"] = json!(at(TOKEN_INFO));
        document["scopes_supported"] = json!(["openid", "profile", "email", "public_metadata", "offline_access"]);
    }
    for (name, value) in &settings.discovery_members {
        document[name] = value.clone();
    }
    document
}

/// RFC 6749 §4.1.1. A client or redirect URI that is not known is a page, as at every provider.
fn authorize(state: &State, url: &str, query: &Parameters) -> Reply {
    let settings = &state.settings;
    if query.get("client_id") != Some(&settings.client_id) {
        return html(400, "<h1>Oops!, something went wrong</h1><p>Unknown client</p>".to_owned());
    }
    let redirect_uri = query.get("redirect_uri").filter(|uri| settings.redirect_uris.iter().any(|known| known == uri));
    let Some(redirect_uri) = redirect_uri else {
        return html(403, "<h1>Oops!, something went wrong</h1><p>Callback URL mismatch.</p>".to_owned());
    };
    match refusal(settings, query) {
        Some((error, description)) => {
            let parameters = [("error", error.as_str()), ("error_description", &description)];
            back(settings, redirect_uri, query.get("state"), &parameters, url)
        }
        None => login_page(query),
    }
}

fn refusal(settings: &Settings, query: &Parameters) -> Option<(String, String)> {
    let refuse = |error: &str, description: String| Some((error.to_owned(), description));
    if let Some(name) = query.repeated() {
        return refuse("invalid_request", format!("parameter {name} is repeated"));
    }
    if let Some(refuses) = &settings.refuses {
        return Some(refuses.clone());
    }
    if query.get("response_type") != Some("code") {
        return refuse("unsupported_response_type", "only code".to_owned());
    }
    let challenge = query.get("code_challenge");
    if challenge.is_some() && query.get("code_challenge_method") != Some("S256") {
        return refuse("invalid_request", "only S256".to_owned());
    }
    if settings.flavour == Flavour::Auth0
        && let Some(audience) =
            query.get("audience").filter(|audience| !settings.audiences.iter().any(|known| known == audience))
    {
        return refuse("access_denied", format!("Service not found: {audience}"));
    }
    if query.get("resource").is_some() && settings.flavour != Flavour::Auth0 {
        return refuse("invalid_target", "resource indicator is missing, or unknown".to_owned());
    }
    let not_allowed =
        scopes(query).into_iter().find(|scope| !settings.scopes.is_empty() && !settings.scopes.contains(scope));
    if let Some(scope) = not_allowed {
        let words = "The requested scope is invalid, unknown, or malformed. The OAuth 2.0 Client is not allowed to request scope";
        return refuse("invalid_scope", format!("{words} '{scope}'."));
    }
    None
}

fn scopes(parameters: &Parameters) -> Vec<String> {
    parameters.get("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

fn login_page(query: &Parameters) -> Reply {
    let request: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&query.0).finish();
    html(
        200,
        format!(
            "<!doctype html><title>Log in</title><h1>Log in</h1>\
             <form method=\"post\" action=\"{LOGIN}\"><input type=\"hidden\" name=\"request\" value=\"{}\">\
             <label>Name <input type=\"text\" name=\"name\"></label>\
             <button name=\"action\" value=\"login\">Log in</button>\
             <button name=\"action\" value=\"cancel\">Cancel</button></form>",
            escape(&request)
        ),
    )
}

fn log_in(state: &mut State, url: &str, form: &Parameters) -> Reply {
    let request = form.get("request").unwrap_or_default();
    let query = Parameters(form_urlencoded::parse(request.as_bytes()).into_owned().collect());
    let Some(redirect_uri) = query.get("redirect_uri").map(str::to_owned) else {
        return html(400, "<h1>This login is over</h1>".to_owned());
    };
    if form.get("action") == Some("cancel") {
        let parameters = [("error", "access_denied"), ("error_description", "User did not authorize the request")];
        return back(&state.settings, &redirect_uri, query.get("state"), &parameters, url);
    }
    let code = state.grants.code(Authorization {
        person: form.get("name").unwrap_or("nobody").to_owned(),
        redirect_uri: redirect_uri.clone(),
        scopes: scopes(&query),
        audience: query.get("audience").map(str::to_owned),
        challenge: query.get("code_challenge").map(str::to_owned),
        nonce: query.get("nonce").map(str::to_owned),
    });
    back(&state.settings, &redirect_uri, query.get("state"), &[("code", &code)], url)
}

/// The way back to the client.
fn back(settings: &Settings, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)], url: &str) -> Reply {
    let mut target = Url::parse(redirect_uri).expect("it was compared with a URL");
    target.query_pairs_mut().extend_pairs(parameters).extend_pairs(state.map(|state| ("state", state)));
    match settings.callback_issuer {
        Claim::Right => {
            target.query_pairs_mut().append_pair("iss", &settings.issuer(url));
        }
        Claim::Wrong => {
            target.query_pairs_mut().append_pair("iss", "https://attacker.example/");
        }
        Claim::Missing => {}
    }
    redirect(target.as_str())
}

/// RFC 6749 §2.3.1: Basic, form-encoded before that, or the form; never both.
fn authenticates(settings: &Settings, asked: &IncomingRequest) -> bool {
    let basic = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic_credentials);
    let post = asked
        .form
        .get("client_secret")
        .map(|secret| (asked.form.get("client_id").unwrap_or_default().to_owned(), secret.to_owned()));
    match (basic, post) {
        (Some((id, secret)), None) | (None, Some((id, secret))) => {
            (id, secret) == (settings.client_id.clone(), settings.client_secret.clone())
        }
        _ => false,
    }
}

fn basic_credentials(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        let pair = format!("x={text}");
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

/// An error of the token endpoint, spelled as the provider spells it.
fn token_error(settings: &Settings, error: &str, description: &str) -> Reply {
    let body = json!({ "error": error, "error_description": description });
    match (settings.flavour, error) {
        (Flavour::Auth0, "invalid_client") => {
            json_reply(401, &json!({ "error": "access_denied", "error_description": "Unauthorized" }))
        }
        (Flavour::Auth0, "invalid_grant") => json_reply(403, &body),
        (Flavour::GitHub, "invalid_client") => {
            let description = "The client_id and/or client_secret passed are incorrect.";
            json_reply(200, &json!({ "error": "incorrect_client_credentials", "error_description": description }))
        }
        (Flavour::GitHub, "invalid_grant") => {
            let description = "The code passed is incorrect or expired.";
            json_reply(200, &json!({ "error": "bad_verification_code", "error_description": description }))
        }
        (_, "invalid_client") => json_reply(401, &body),
        _ => json_reply(400, &body),
    }
}

fn token(state: &mut State, url: &str, asked: &IncomingRequest) -> Reply {
    let settings = state.settings.clone();
    let form = &asked.form;
    if let Some(name) = form.repeated() {
        return token_error(&settings, "invalid_request", &format!("parameter {name} is repeated"));
    }
    if !authenticates(&settings, asked) {
        return token_error(&settings, "invalid_client", "client authentication failed");
    }
    let granted = match form.get("grant_type").or((settings.flavour == Flavour::GitHub).then_some("authorization_code"))
    {
        Some("authorization_code") => state.grants.redeem(
            form.get("code").unwrap_or_default(),
            form.get("redirect_uri").unwrap_or_default(),
            form.get("code_verifier"),
        ),
        Some("refresh_token") => {
            if let Some((status, error)) = &settings.refuses_refresh {
                return json_reply(*status, &json!({ "error": error }));
            }
            let token = form.get("refresh_token").unwrap_or_default();
            let refused = state.grants.person_of(token).and_then(|person| settings.refuses_refresh_of.get(person));
            if let Some((status, body)) = refused {
                return json_reply(*status, body);
            }
            state.grants.renew(token, settings.rotate, settings.overlap)
        }
        _ => return token_error(&settings, "unsupported_grant_type", "authorization_code or refresh_token"),
    };
    match granted {
        Ok((authorization, family)) => {
            let is_refresh = form.get("grant_type") == Some("refresh_token");
            let answer = issue(state, url, &authorization, family, is_refresh);
            as_accepted(&settings, asked, &answer)
        }
        Err(reason) => token_error(&settings, "invalid_grant", reason),
    }
}

/// GitHub answers in a form unless JSON is asked for.
fn as_accepted(settings: &Settings, asked: &IncomingRequest, answer: &Value) -> Reply {
    let accepts_json = asked.headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/json");
    if settings.flavour != Flavour::GitHub || accepts_json {
        return json_reply(200, answer);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = answer.as_object().into_iter().flatten().map(|(name, value)| (name, text(value)));
    let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    reply(200, "application/x-www-form-urlencoded; charset=utf-8", form)
}

fn issue(state: &mut State, url: &str, authorization: &Authorization, family: u64, is_refresh: bool) -> Value {
    let settings = state.settings.clone();
    let has = |scope: &str| authorization.scopes.iter().any(|held| held == scope);
    let access_token = access_token(&settings, url, authorization);
    state.grants.access(&access_token, authorization.clone(), family, settings.access_seconds);
    let mut answer = json!({ "access_token": access_token, "token_type": "Bearer" });
    match settings.expires_in {
        _ if settings.flavour == Flavour::GitHub => {}
        ExpiresIn::Number => answer["expires_in"] = json!(settings.access_seconds),
        ExpiresIn::Text => answer["expires_in"] = json!(settings.access_seconds.to_string()),
        ExpiresIn::Absent => {}
    }
    if !settings.omits_scope {
        let separator = if settings.flavour == Flavour::GitHub { "," } else { " " };
        answer["scope"] = json!(authorization.scopes.join(separator));
    }
    let gives_refresh = match settings.flavour {
        Flavour::Auth0 | Flavour::Oidc => has("offline_access") && settings.allow_offline,
        Flavour::Clerk => settings.allow_offline,
        Flavour::GitHub => false,
    };
    if gives_refresh && (!is_refresh || settings.rotate) {
        answer["refresh_token"] = json!(state.grants.refresh(authorization.clone(), family));
    }
    let gives_id_token = match settings.flavour {
        Flavour::Clerk => has("openid") && !is_refresh,
        Flavour::Auth0 | Flavour::Oidc => has("openid"),
        Flavour::GitHub => false,
    };
    if gives_id_token && !settings.omits_id_token {
        let nonce = authorization.nonce.clone().filter(|_| !is_refresh);
        answer["id_token"] = json!(id_token(&settings, url, authorization, nonce, &access_token));
    }
    answer
}

fn now(settings: &Settings) -> i64 {
    i64::try_from(unix_seconds()).expect("the clock is right") + settings.skew_seconds
}

fn access_token(settings: &Settings, url: &str, authorization: &Authorization) -> String {
    let account = settings.account(&authorization.person);
    let audience = match settings.flavour {
        Flavour::Auth0 => authorization.audience.as_ref().map(|audience| json!([audience, format!("{url}/userinfo")])),
        Flavour::Clerk if settings.jwt_access => Some(Value::Null),
        Flavour::Clerk | Flavour::GitHub | Flavour::Oidc => None,
    };
    let Some(audience) = audience else { return random("upstream-at") };
    let mut claims = json!({
        "iss": settings.issuer(url), "sub": account.subject, "iat": now(settings),
        "exp": now(settings) + i64::try_from(settings.access_seconds).expect("a short life"),
        "azp": settings.client_id, "scope": authorization.scopes.join(" "), "jti": random("jti"),
    });
    if audience.is_null() {
        claims["client_id"] = json!(settings.client_id);
    } else {
        claims["aud"] = audience;
        claims["permissions"] = json!(account.permissions);
    }
    keys::sign(settings, &claims)
}

fn id_token(
    settings: &Settings,
    url: &str,
    authorization: &Authorization,
    nonce: Option<String>,
    access_token: &str,
) -> String {
    let mut claims = person_claims(settings, authorization);
    let mut set = |name: &str, claim: Claim, right: Value, wrong: Value| match claim {
        Claim::Right => claims.insert(name.to_owned(), right),
        Claim::Wrong => claims.insert(name.to_owned(), wrong),
        Claim::Missing => claims.remove(name),
    };
    let subject = settings.account(&authorization.person).subject;
    set("iss", settings.token_issuer, json!(settings.issuer(url)), json!("https://attacker.example/"));
    set("sub", settings.subject, json!(subject), json!(42));
    if let Some(nonce) = nonce {
        set("nonce", settings.nonce, json!(nonce), json!("another nonce"));
    }
    let client = json!(settings.client_id);
    let audience = match settings.extra_audience.as_slice() {
        [] => client,
        extra => json!(std::iter::once(&settings.client_id).chain(extra).collect::<Vec<_>>()),
    };
    set("aud", settings.audience, audience, json!("another-client"));
    if !settings.extra_audience.is_empty() {
        set("azp", Claim::Right, json!(settings.client_id), Value::Null);
    }
    claims.insert("iat".to_owned(), json!(now(settings)));
    claims.insert("exp".to_owned(), json!(now(settings) + 3600));
    claims.insert("at_hash".to_owned(), json!(sha256_base64url_half(access_token)));
    let claims = Value::Object(claims);
    if settings.signature == Signature::Right {
        keys::sign(settings, &claims)
    } else {
        keys::sign_as(settings, settings.signature, &claims)
    }
}

/// The claims about a person that their scopes give (OpenID Connect Core §5.4).
fn person_claims(settings: &Settings, authorization: &Authorization) -> Map<String, Value> {
    let account = settings.account(&authorization.person);
    let has = |scope: &str| authorization.scopes.iter().any(|held| held == scope);
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(account.subject));
    if has("profile") {
        claims.insert("name".to_owned(), json!(authorization.person));
    }
    if let Some(email) = account.email.filter(|_| has("email")) {
        claims.insert("email".to_owned(), json!(email));
        claims.insert("email_verified".to_owned(), json!(account.email_verified));
    }
    claims.extend(account.claims);
    claims
}

/// The holder of the bearer token of a request.
fn holder<'a>(state: &'a State, asked: &IncomingRequest) -> Option<&'a Authorization> {
    let header = asked.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let token = header
        .strip_prefix("Bearer ")
        .or_else(|| header.strip_prefix("bearer "))
        .or_else(|| header.strip_prefix("token "))?;
    state.grants.holder(token)
}

fn userinfo(state: &State, asked: &IncomingRequest) -> Reply {
    let Some(authorization) = holder(state, asked) else {
        let mut reply = json_reply(401, &json!({ "error": "invalid_token" }));
        reply.headers_mut().insert("www-authenticate", "Bearer".parse().expect("a header of ours"));
        return reply;
    };
    if state.settings.flavour != Flavour::GitHub {
        let mut claims = person_claims(&state.settings, authorization);
        match state.settings.subject {
            Claim::Right => {}
            Claim::Wrong => drop(claims.insert("sub".to_owned(), json!("somebody-else"))),
            Claim::Missing => drop(claims.remove("sub")),
        }
        return json_reply(200, &Value::Object(claims));
    }
    let id: u64 = state.settings.account(&authorization.person).subject.parse().expect("GitHub's ids are numbers");
    let mut reply = json_reply(
        200,
        &json!({ "id": id, "login": authorization.person, "name": authorization.person, "email": null }),
    );
    let scopes = authorization.scopes.join(", ").parse().expect("scopes are visible");
    reply.headers_mut().insert("x-oauth-scopes", scopes);
    reply
}

fn emails(state: &State, asked: &IncomingRequest) -> Reply {
    let Some(authorization) = holder(state, asked) else {
        return json_reply(401, &json!({ "message": "Bad credentials" }));
    };
    let has = |scope: &str| authorization.scopes.iter().any(|held| held == scope);
    if !has("user:email") && !has("user") {
        return json_reply(404, &json!({ "message": "Not Found" }));
    }
    let account = state.settings.account(&authorization.person);
    let mut emails = vec![json!({ "email": "old@unverified.example", "primary": false, "verified": false })];
    if let Some(email) = account.email {
        emails.push(json!({ "email": email, "primary": true, "verified": account.email_verified }));
    }
    json_reply(200, &json!(emails))
}

/// Clerk's introspection: for the client itself only.
fn token_info(state: &State, asked: &IncomingRequest) -> Reply {
    if !authenticates(&state.settings, asked) {
        return json_reply(401, &json!({ "error": "invalid_client" }));
    }
    let settings = &state.settings;
    match state.grants.holder(asked.form.get("token").unwrap_or_default()) {
        Some(authorization) => json_reply(
            200,
            &json!({
                "active": true, "client_id": settings.client_id, "token_type": "Bearer",
                "sub": settings.account(&authorization.person).subject,
                "scope": authorization.scopes.join(" "), "iat": now(settings), "exp": now(settings) + 60,
            }),
        ),
        None => json_reply(200, &json!({ "active": false })),
    }
}

fn revoke(state: &mut State, asked: &IncomingRequest) -> Reply {
    if !authenticates(&state.settings, asked) {
        return token_error(&state.settings.clone(), "invalid_client", "client authentication failed");
    }
    state.grants.revoke(asked.form.get("token").unwrap_or_default());
    json_reply(200, &json!({}))
}
