//! The sessions for the operator of this machine: those of a running server, or those of its store while none runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clients;
use super::server::{AuthorizationServer, CLIENT_IDS};
pub use super::sessions::listed::ListedSession;
use super::sessions::listed::{self, Page};
use crate::state::StateDir;
use crate::store::{Key, Store, StoreError, Table, Write};
use crate::switches::Switches;
use crate::vault::Vault;

/// The sessions of one server.
#[derive(Clone)]
pub enum Desk {
    /// Those of a server that runs.
    Serving(Arc<AuthorizationServer>),
    /// Those in a store that nobody else has open.
    Stored(Stored),
}

/// A store, and what is needed to read what is in it.
#[derive(Clone)]
pub struct Stored {
    store: Store,
    client_ids: Vault,
    /// The names of clients that the configuration declares.
    declared: BTreeMap<String, Option<String>>,
    switches: Switches,
}

impl Stored {
    /// The sessions in a store of a state directory.
    pub fn new(store: Store, state: &StateDir, declared: BTreeMap<String, Option<String>>, switches: Switches) -> Self {
        Self { store, client_ids: Vault::of(state, CLIENT_IDS), declared, switches }
    }
}

impl Desk {
    /// A page of the sessions, in the order of their ids, and the place at which the next one begins.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn page(&self, after: Option<Key>) -> Result<Page, StoreError> {
        let (mut sessions, next) = match self {
            Self::Serving(server) => server.sessions.page(after).await?,
            Self::Stored(stored) => listed::page(&stored.store, after, stored.switches.now().all_ended).await?,
        };
        for (_, session) in &mut sessions {
            session.client = self.name_of_client(&session.client_id);
        }
        Ok((sessions, next))
    }

    /// The same with sessions that are over since all were ended at once.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn page_of_every_age(&self, after: Option<Key>) -> Result<Page, StoreError> {
        let store = match self {
            Self::Serving(server) => &server.store,
            Self::Stored(stored) => &stored.store,
        };
        listed::page(store, after, 0).await
    }

    /// Ends a session. Returns whether there was one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn end(&self, key: Key) -> Result<bool, StoreError> {
        match self {
            Self::Serving(server) => server.sessions.end_by_key(key).await,
            Self::Stored(stored) => {
                let table = Table::Session;
                let is_there = stored.store.get(table, &key).await?.is_some();
                stored.store.commit(vec![Write::Remove { table, key }]).await?;
                Ok(is_there)
            }
        }
    }

    fn name_of_client(&self, id: &str) -> Option<String> {
        match self {
            Self::Serving(server) => server.clients.name_of(id),
            Self::Stored(stored) => match stored.declared.get(id) {
                Some(name) => name.clone(),
                None => clients::registered_name(&stored.client_ids, id),
            },
        }
    }
}
