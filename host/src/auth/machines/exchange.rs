//! `POST /token` for machines: `client_credentials` (RFC 6749 §4.4), and the JWT bearer grant (RFC 7523 §2.1).
//!
//! A workload may send its platform's token in either place: as the assertion of the grant, or as the one by which a client
//! authenticates (RFC 7523 §2.2), which is what clients of MCP do.

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::NewToken;
use super::terms::Terms;
use super::workloads::Proved;
use crate::auth::client_auth::{authenticate, client_assertion};
use crate::auth::errors::OAuthError;
use crate::auth::form::missing;
use crate::auth::parameters::Parameters;
use crate::auth::resource;
use crate::auth::sender::Sender;
use crate::auth::server::AuthorizationServer;
use crate::clock::now_s;
use crate::config::machines::ClientGrant;
use crate::principal::MachineKind;

/// The longest life of a workload's access: nobody can take it back at the platform.
const WORKLOAD_ACCESS: Duration = Duration::from_secs(15 * 60);

const BAD_ASSERTION: OAuthError = OAuthError::InvalidGrant(
    "the assertion is not accepted: it must be signed by the issuer of a workload, unexpired, for this server alone, and have the claims that the server's configuration requires",
);

/// A token for a client that calls for itself, or for a workload that authenticates as one.
pub(in crate::auth) async fn client_credentials(
    server: &AuthorizationServer,
    sender: &Sender,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Value, OAuthError> {
    if let Some(assertion) = client_assertion(form)?.filter(|assertion| server.machines.is_of_workload(assertion)) {
        let refused = OAuthError::InvalidClient { used_basic: false };
        return workload(server, assertion, form, refused).await;
    }
    let client = authenticate(server, sender, headers, form).await?;
    // A public client has proved nothing (RFC 6749 §4.4).
    if client.is_public() || !server.clients.declared().may(&client.id, ClientGrant::ClientCredentials) {
        return Err(OAuthError::UnauthorizedClient);
    }
    let view = server.people().wanted(resource::named(server.base_url(), form.all("resource"))?)?;
    let (config, credentials) = server.machines.configuration();
    let terms = Terms::of(MachineKind::Client, &client.id, &config, &credentials);
    let terms = terms.ok_or(OAuthError::UnauthorizedClient)?;
    let expires_s = now_s() + config.auth.access_ttl.duration().as_secs();
    let new = NewToken {
        kind: MachineKind::Client,
        id: client.id,
        issuer: server.base_url().as_str().to_owned(),
        subject: None,
        scopes: asked(form, &terms)?,
        view,
        fingerprint: terms.fingerprint,
        expires_s,
    };
    server.machines.issue(new).await
}

/// A token for a workload that has one of its platform.
pub(in crate::auth) async fn jwt_bearer(server: &AuthorizationServer, form: &Parameters) -> Result<Value, OAuthError> {
    let assertion = form.one("assertion")?.ok_or_else(|| missing("assertion"))?;
    workload(server, assertion, form, BAD_ASSERTION).await
}

async fn workload(
    server: &AuthorizationServer,
    assertion: &str,
    form: &Parameters,
    refused: OAuthError,
) -> Result<Value, OAuthError> {
    let proved = server.machines.prove(assertion, form.one("client_id")?).await;
    let Proved { name, issuer, subject, expires_s, terms } =
        proved.map_err(|error| if error.is_temporary() { OAuthError::unavailable() } else { refused.clone() })?;
    let view = server.people().wanted(resource::named(server.base_url(), form.all("resource"))?)?;
    let now_s = now_s();
    // Between clocks that differ an assertion may be over and still accepted; access is not given then.
    if expires_s <= now_s {
        return Err(refused);
    }
    let new = NewToken {
        kind: MachineKind::Workload,
        id: name,
        issuer,
        subject: Some(subject),
        scopes: asked(form, &terms)?,
        view,
        fingerprint: terms.fingerprint,
        expires_s: expires_s.min(now_s + WORKLOAD_ACCESS.as_secs()),
    };
    server.machines.issue(new).await
}

/// The scopes that a machine asks for, as far as it may hold them; all of those without a word about it. Clients ask for
/// every scope that the server knows, so that what is beyond is left out and not refused.
fn asked(form: &Parameters, terms: &Terms) -> Result<BTreeSet<String>, OAuthError> {
    Ok(match form.one("scope")? {
        Some(scopes) => {
            scopes.split_whitespace().filter(|scope| terms.scopes.contains(*scope)).map(str::to_owned).collect()
        }
        None => terms.scopes.clone(),
    })
}
