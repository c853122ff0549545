//! What the configuration says of one machine.

use std::collections::BTreeSet;

use crate::auth::clients::declared::key_place;
use crate::auth::key_source::{At, KeyPlace, digest};
use crate::config::keys::{Client, Workload};
use crate::config::machines::ClientGrant;
use crate::config::names::Scope;
use crate::config::{Config, Credentials};
use crate::principal::MachineKind;

/// The terms of one machine.
pub(super) struct Terms {
    /// Its name for people.
    pub(super) name: Option<String>,
    /// The scopes that it may hold.
    pub(super) scopes: BTreeSet<String>,
    /// Who it is. When that is said otherwise, tokens that were made before are none of its any more.
    pub(super) fingerprint: [u8; 32],
}

impl Terms {
    /// The terms of a client or a workload; none if it may not call.
    pub(super) fn of(kind: MachineKind, id: &str, config: &Config, credentials: &Credentials) -> Option<Self> {
        match kind {
            MachineKind::Client => {
                let client = config.auth.clients.get(id)?;
                let is_denied = config.auth.denied_clients.iter().any(|denied| denied == id);
                let may_call = client.may(ClientGrant::ClientCredentials) && !is_denied;
                may_call.then(|| Self::of_client(id, client, credentials)).flatten()
            }
            MachineKind::Workload => {
                let workload = config.auth.workloads.get(id)?;
                Some(Self::of_workload(id, workload, credentials))
            }
            MachineKind::Token => None,
        }
    }

    fn of_client(id: &str, client: &Client, credentials: &Credentials) -> Option<Self> {
        let fingerprint = match (&client.secret, key_place(client)) {
            (Some(_), _) => digest([b"secret".as_slice(), credentials.secrets.get(id)?.reveal().as_bytes()]),
            (None, Some(place)) => place.fingerprint(),
            (None, None) => return None,
        };
        let name = client.name.clone().unwrap_or_else(|| id.to_owned());
        Some(Self { name: Some(name), scopes: set(&client.scopes), fingerprint })
    }

    fn of_workload(name: &str, workload: &Workload, credentials: &Credentials) -> Self {
        let place = workload_place(name, workload, credentials).fingerprint();
        let claims = workload.claims.iter().map(|(claim, rule)| format!("{claim}\0{rule}"));
        let algorithms = workload.algorithms.iter().map(ToString::to_string);
        let texts: Vec<String> = claims.chain(["\0".to_owned()]).chain(algorithms).collect();
        let parts = [workload.issuer.as_bytes(), &place].into_iter().chain(texts.iter().map(String::as_bytes));
        Self { name: Some(name.to_owned()), scopes: set(&workload.scopes), fingerprint: digest(parts) }
    }

    /// These terms, if a token was made under the same, their scopes aside.
    pub(super) fn if_of(self, fingerprint: &[u8; 32]) -> Option<Self> {
        (self.fingerprint == *fingerprint).then_some(self)
    }
}

/// The place of the keys of a workload's issuer.
pub(super) fn workload_place<'c>(name: &str, workload: &'c Workload, credentials: &'c Credentials) -> KeyPlace<'c> {
    let set = workload.jwks.as_ref().map(|set| At::Set(set.as_str()));
    let url = || workload.jwks_uri.as_ref().map(|url| At::Url(url.as_str()));
    KeyPlace {
        at: set.or_else(url).unwrap_or(At::Issuer(workload.issuer.as_str())),
        ca: credentials.authorities.get(name).map(Vec::as_slice),
        is_private: workload.private,
    }
}

fn set(scopes: &[Scope]) -> BTreeSet<String> {
    scopes.iter().map(|scope| scope.as_str().to_owned()).collect()
}
