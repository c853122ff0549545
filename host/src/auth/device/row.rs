//! A device in the store, from its first request to its tokens.
//!
//! It is found by the device's own code, whose hash it has, and by the user code, through a second row whose key only this
//! server can compute: a user code is too short for a hash to hide it.
//!
//! Invariant: one browser at most has approved a device. Its approval takes the user code out of the store.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::codes::UserCode;
use crate::auth::tokens::{Family, TokenHash};
use crate::auth::transaction::TransactionId;
use crate::store::{Committed, Key, Row, Store, StoreError, Table, Write};
use crate::vault::Vault;
use crate::view::View;

/// Life of a device's code, in which the person types the user code and logs in.
pub(in crate::auth) const LIFE_S: u64 = 600;

/// Time for which the row stays after that: the code of a login that was finished at the last moment, and the answer that
/// the device's code is over.
const AFTER_S: u64 = 600;

/// Tries of a compare-and-swap.
const TRIES: usize = 8;

/// A device.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::auth) struct Device {
    /// Of the device's code.
    pub(in crate::auth) hash: TokenHash,
    pub(in crate::auth) client_id: String,
    pub(in crate::auth) client_name: String,
    pub(in crate::auth) scopes: BTreeSet<String>,
    /// The view that its tokens are for.
    #[serde(default, skip_serializing_if = "View::is_main")]
    pub(in crate::auth) view: View,
    /// Where the request came from.
    pub(in crate::auth) address: IpAddr,
    pub(in crate::auth) created_s: u64,
    pub(in crate::auth) expires_s: u64,
    /// The key of the row that the user code leads to.
    user_code: [u8; 32],
    pub(in crate::auth) state: State,
}

/// The progress of a device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::auth) enum State {
    /// Nobody has approved it.
    Waiting,
    /// This login has; it is under way.
    Claimed {
        /// The login.
        id: TransactionId,
    },
    /// The person has logged in, and the device gets its tokens for this code.
    LoggedIn {
        /// The authorization code.
        code: String,
    },
    /// The person has denied it, or has not succeeded.
    Denied,
}

/// A device as it was read.
pub(in crate::auth) struct DeviceRow {
    key: Key,
    row: Row,
    pub(in crate::auth) device: Device,
}

/// The facts of a device that begins.
pub(super) struct NewDevice {
    pub(super) hash: TokenHash,
    pub(super) client_id: String,
    pub(super) client_name: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) view: View,
    pub(super) address: IpAddr,
    pub(super) now_s: u64,
}

/// The verifier of a device's login (RFC 7636 §4.1), which nobody but this server has.
pub(in crate::auth) fn verifier(vault: &Vault, family: &Family) -> String {
    URL_SAFE_NO_PAD.encode(vault.derive(&[b"device verifier\0".as_slice(), &family.row().0].concat()))
}

/// Its challenge, by S256.
pub(in crate::auth) fn challenge(vault: &Vault, family: &Family) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier(vault, family)))
}

/// The key of a device's row.
pub(in crate::auth) fn key(family: &Family) -> Key {
    family.row()
}

fn user_code_key(vault: &Vault, code: &UserCode) -> Key {
    Key(vault.derive(&[b"user code\0", code.letters().as_bytes()].concat()))
}

/// A device's family at the place of its user code: both rows are written together.
pub(super) fn beside(vault: &Vault, code: &UserCode) -> Family {
    Family::at(user_code_key(vault, code).place())
}

/// Writes a device down; none if its user code is taken.
pub(super) async fn insert(
    store: &Store,
    vault: &Vault,
    family: &Family,
    code: &UserCode,
    new: NewDevice,
) -> Result<Committed, StoreError> {
    let NewDevice { hash, client_id, client_name, scopes, view, address, now_s } = new;
    let by_code = user_code_key(vault, code);
    let expires_s = now_s + LIFE_S;
    let (created_s, user_code, state) = (now_s, by_code.0, State::Waiting);
    let device = Device { hash, client_id, client_name, scopes, view, address, created_s, expires_s, user_code, state };
    let table = Table::Device;
    let family_text = serde_json::to_vec(family).expect("a family is JSON");
    let writes = vec![
        Write::Insert { table, key: key(family), value: device.encode(), expires: device.end() },
        Write::Insert { table, key: by_code, value: family_text, expires: at(expires_s) },
    ];
    store.commit(writes).await
}

/// Takes devices out that have to give way to others.
pub(super) async fn remove(store: &Store, keys: Vec<Key>) -> Result<(), StoreError> {
    let table = Table::Device;
    for key in keys {
        let found = load_at(store, key).await?;
        let of_code = found.map(|found| Write::Remove { table, key: Key(found.device.user_code) });
        store.commit([Write::Remove { table, key }].into_iter().chain(of_code).collect()).await?;
    }
    Ok(())
}

/// Reads a device.
pub(in crate::auth) async fn load(store: &Store, family: &Family) -> Result<Option<DeviceRow>, StoreError> {
    load_at(store, key(family)).await
}

async fn load_at(store: &Store, key: Key) -> Result<Option<DeviceRow>, StoreError> {
    let Some(row) = store.get(Table::Device, &key).await? else { return Ok(None) };
    let device = serde_json::from_slice(&row.value).ok();
    Ok(device.map(|device| DeviceRow { key, row, device }))
}

/// Finds the device that waits under a user code.
pub(super) async fn by_user_code(
    store: &Store,
    vault: &Vault,
    code: &UserCode,
) -> Result<Option<(Family, Device)>, StoreError> {
    let Some(row) = store.get(Table::Device, &user_code_key(vault, code)).await? else { return Ok(None) };
    let Ok(family) = serde_json::from_slice::<Family>(&row.value) else { return Ok(None) };
    let found = load(store, &family).await?.filter(|found| found.device.state == State::Waiting);
    Ok(found.map(|found| (family, found.device)))
}

/// Lets a login have the device, and takes its user code away; false if another one has it, or it is over. The same
/// login may come twice.
pub(in crate::auth) async fn claim(
    store: &Store,
    family: &Family,
    id: &TransactionId,
    now_s: u64,
) -> Result<bool, StoreError> {
    for _ in 0..TRIES {
        let Some(found) = load(store, family).await?.filter(|found| found.device.expires_s > now_s) else {
            return Ok(false);
        };
        match &found.device.state {
            State::Waiting => {}
            State::Claimed { id: other } => return Ok(other == id),
            State::LoggedIn { .. } | State::Denied => return Ok(false),
        }
        let claimed = Device { state: State::Claimed { id: id.clone() }, ..found.device.clone() };
        let of_code = Write::Remove { table: Table::Device, key: Key(found.device.user_code) };
        if store.commit(vec![found.replaced(&claimed), of_code]).await? == Committed::Done {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends a device without tokens. One whose person has logged in stays as it is, and so does one that another login has.
pub(in crate::auth) async fn deny(store: &Store, family: &Family, id: &TransactionId) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let Some(found) = load(store, family).await? else { return Ok(()) };
        match &found.device.state {
            State::Waiting => {}
            State::Claimed { id: other } if other == id => {}
            State::Claimed { .. } | State::LoggedIn { .. } | State::Denied => return Ok(()),
        }
        let denied = Device { state: State::Denied, ..found.device.clone() };
        let of_code = Write::Remove { table: Table::Device, key: Key(found.device.user_code) };
        if store.commit(vec![found.replaced(&denied), of_code]).await? == Committed::Done {
            return Ok(());
        }
    }
    Ok(())
}

impl Device {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a device is JSON")
    }

    fn end(&self) -> SystemTime {
        at(self.expires_s + AFTER_S)
    }
}

impl DeviceRow {
    /// True if this login has the device.
    pub(in crate::auth) fn is_claimed_by(&self, id: &TransactionId) -> bool {
        matches!(&self.device.state, State::Claimed { id: other } if other == id)
    }

    /// Writes down the code for which the device gets its tokens.
    pub(in crate::auth) fn logged_in(&self, code: &str) -> Write {
        self.replaced(&Device { state: State::LoggedIn { code: code.to_owned() }, ..self.device.clone() })
    }

    fn replaced(&self, device: &Device) -> Write {
        let (table, key, revision) = (Table::Device, self.key, self.row.revision);
        Write::Replace { table, key, revision, value: device.encode(), expires: device.end() }
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
