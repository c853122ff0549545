//! The authorization request (RFC 6749 §4.1.1), and the check that its answer is the provider's.

use std::collections::BTreeMap;

use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use url::Url;

use super::discovery::ProviderMetadata;
use super::id_token::fits_template;
use super::messages::{Callback, LoginError, Unusable, UpstreamRequest};
use crate::config::Provider;

/// The scopes to ask for: those of the configuration, and the optional ones that the provider is known to have.
pub(super) fn scopes(provider: &Provider, known: Option<&ProviderMetadata>) -> Vec<String> {
    let supported = known.map_or(&[][..], |known| &known.scopes_supported);
    let optional = provider.optional_scopes.iter().filter(|scope| supported.contains(scope));
    let offline = provider.offline.scope.iter().filter(|scope| !scope.is_empty());
    let mut scopes: Vec<String> = Vec::new();
    for scope in provider.scopes.iter().chain(offline).chain(optional) {
        let prefix = provider.scope_prefix.as_deref().filter(|_| !provider.scope_prefix_except.has(scope));
        let scope = format!("{}{scope}", prefix.filter(|_| !scope.contains("://")).unwrap_or_default());
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// The URL at which a person logs in.
pub(super) fn authorize_url(
    provider: &Provider,
    known: &ProviderMetadata,
    scopes: &[String],
    request: &UpstreamRequest,
) -> Url {
    let redirect_uri = RedirectUrl::new(request.redirect_uri.clone()).expect("this server's callback is a URL");
    let client = BasicClient::new(ClientId::new(provider.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(known.authorization_endpoint.clone()))
        .set_redirect_uri(redirect_uri);
    let mut authorization = client.authorize_url(|| CsrfToken::new(request.state.clone()));
    let scope = scopes.join(&provider.scope_separator);
    if !scope.is_empty() {
        authorization = authorization.add_scope(Scope::new(scope));
    }
    if provider.pkce {
        let verifier = PkceCodeVerifier::new(request.verifier.clone());
        authorization = authorization.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    }
    if scopes.iter().any(|scope| scope == "openid") {
        authorization = authorization.add_extra_param("nonce", request.nonce.clone());
    }
    if let Some(audience) = &provider.audience {
        authorization = authorization.add_extra_param(provider.audience_param.clone(), audience.clone());
        if provider.send_resource {
            authorization = authorization.add_extra_param("resource", audience.clone());
        }
    }
    let (mut url, _) = authorization.url();
    // Parameters that the login depends on cannot be replaced.
    let own = url.query_pairs().skip(known.authorization_endpoint.query_pairs().count());
    let own: Vec<String> = own.map(|(name, _)| name.into_owned()).collect();
    let further: BTreeMap<&String, &String> =
        provider.offline.params.iter().chain(&provider.authorize_params).collect();
    url.query_pairs_mut().extend_pairs(further.into_iter().filter(|(name, _)| !own.contains(name)));
    url
}

/// Checks that the answer comes from the provider to which the person was sent (RFC 9207 §2.4). A provider that
/// promises to name itself must do so with a code.
pub(super) fn check_issuer(
    provider: &Provider,
    known: &ProviderMetadata,
    callback: &Callback,
) -> Result<(), LoginError> {
    let Some(issuer) = &callback.iss else {
        return match known.names_itself && callback.error.is_none() {
            true => Err(LoginError::Broken {
                kind: Unusable::Callback,
                cause: "the callback has no `iss`, which the provider promises".to_owned(),
            }),
            false => Ok(()),
        };
    };
    let template = provider.issuer_template.as_deref().filter(|_| known.has_tenants);
    let is_known = *issuer == known.issuer
        || provider.issuers.contains(issuer)
        || template.is_some_and(|template| fits_template(issuer, template));
    match is_known {
        true => Ok(()),
        false => Err(LoginError::Broken {
            kind: Unusable::Callback,
            cause: format!("the callback names another issuer: {issuer:?}"),
        }),
    }
}
