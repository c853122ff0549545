//! Logins under way in the store: from a person's approval to the result of the provider's answer.
//!
//! A login is found by the `state` that the provider was given. Its row says on the disk that the provider's answer is
//! being looked at before the provider is asked anything, so that of all loads of the callback one asks, over crashes
//! too; and it has the result before anybody learns it, so that all of them learn the same.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::request::{LIFE_S, Purpose, TransactionId};
use super::unfinished::Unfinished;
use crate::auth::failures::{Explanation, Failure};
use crate::auth::sessions::Beside;
use crate::clock;
use crate::log_limiter::LogLimiter;
use crate::sanitize::cut;
use crate::store::{Committed, Key, Row, Store, StoreError, Table, Write};

/// The longest text of somebody else that is kept.
const TEXT_BYTES_MAX: usize = 1024;

/// Steps of an explanation that are kept.
const STEPS_MAX: usize = 8;

static GAVE_WAY: LogLimiter = LogLimiter::new("logins that gave way to others");

/// An approved login in the store, under the hash of the provider's `state`.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::auth) enum Transaction {
    /// The provider has not answered yet.
    Pending { id: TransactionId, request: Purpose },
    /// The answer is being looked at; or was, by a process that is no more.
    Answering { id: TransactionId, request: Purpose },
    /// The login has ended like this.
    Answered { id: TransactionId, request: Purpose, ending: Ending },
    /// The person has taken the approval back. The row stays until its time is over, so that nothing brings it back.
    Used,
}

/// The result of a login, for every load of the callback. It is kept for ten minutes, and is short.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::auth) enum Ending {
    /// The client gets this code.
    LoggedIn { code: String, person: Option<String> },
    /// The client gets this error.
    Error { error: String, description: String },
    /// The person gets a page.
    Page {
        status: u16,
        error: String,
        explanation: Explanation,
        cause: String,
        /// True if the client learns of it afterwards.
        is_for_client: bool,
    },
}

/// A login as it was read from the store.
pub(in crate::auth) struct TransactionRow {
    pub(in crate::auth) key: Key,
    row: Row,
    pub(in crate::auth) transaction: Transaction,
}

/// Writes an approved login of an address down, unless that was done already; false if it is over. Removes those that
/// have to give way to it.
pub(in crate::auth) async fn begin(
    store: &Store,
    unfinished: &Unfinished,
    address: IpAddr,
    state: &str,
    id: &TransactionId,
    request: &Purpose,
) -> Result<bool, StoreError> {
    let pending = Transaction::Pending { id: id.clone(), request: request.clone() };
    let (table, key) = (Table::Transaction, key(state));
    match store.commit(vec![Write::Insert { table, key, value: pending.encode(), expires: life() }]).await? {
        Committed::Done => {
            let gone = unfinished.begin(key, address);
            if !gone.is_empty() {
                GAVE_WAY.log(|| tracing::warn!(%address, "logins under way give way to others: very many were approved and not finished"));
                store.commit(gone.into_iter().map(|key| Write::Remove { table, key }).collect()).await?;
            }
            Ok(true)
        }
        Committed::Conflict => {
            let found = load(store, key).await?;
            Ok(found.is_some_and(|found| matches!(found.transaction, Transaction::Pending { .. })))
        }
    }
}

/// Takes an approval back, unless the login has ended.
pub(in crate::auth) async fn take_back(store: &Store, state: &str) -> Result<(), StoreError> {
    let Some(found) = find(store, state).await? else { return Ok(()) };
    if matches!(found.transaction, Transaction::Pending { .. } | Transaction::Answering { .. }) {
        store.commit(vec![found.replaced(&Transaction::Used, found.row.expires)]).await?;
    }
    Ok(())
}

/// Finds a login by the `state` that the provider sends back.
pub(in crate::auth) async fn find(store: &Store, state: &str) -> Result<Option<TransactionRow>, StoreError> {
    load(store, key(state)).await
}

/// Reads a login again.
pub(in crate::auth) async fn load(store: &Store, key: Key) -> Result<Option<TransactionRow>, StoreError> {
    let Some(row) = store.get(Table::Transaction, &key).await? else { return Ok(None) };
    let transaction = serde_json::from_slice(&row.value).ok();
    Ok(transaction.map(|transaction| TransactionRow { key, row, transaction }))
}

fn key(state: &str) -> Key {
    Key::of(state.as_bytes())
}

fn life() -> SystemTime {
    clock::now() + Duration::from_secs(LIFE_S)
}

impl Transaction {
    /// The login, unless it was taken back.
    pub(in crate::auth) fn login(&self) -> Option<(&TransactionId, &Purpose)> {
        match self {
            Self::Pending { id, request } | Self::Answering { id, request } | Self::Answered { id, request, .. } => {
                Some((id, request))
            }
            Self::Used => None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a transaction is JSON")
    }
}

impl TransactionRow {
    /// Rows that are written together with the session in which this login ends: one of them is this.
    pub(in crate::auth) fn beside<F>(&self, rows: F) -> Beside<F> {
        Beside { place: self.key.place(), primary: self.row.revision.primary, rows }
    }

    /// Writes down that the provider's answer is looked at from now on. None if somebody else has changed the login.
    pub(in crate::auth) async fn answering(
        &self,
        store: &Store,
        id: &TransactionId,
        request: &Purpose,
    ) -> Result<Option<Self>, StoreError> {
        let answering = Transaction::Answering { id: id.clone(), request: request.clone() };
        match store.commit(vec![self.replaced(&answering, life())]).await? {
            Committed::Done => load(store, self.key).await,
            Committed::Conflict => Ok(None),
        }
    }

    /// Writes down the end of a login. The row lives longer than a code.
    pub(in crate::auth) fn answered(&self, id: &TransactionId, request: &Purpose, ending: &Ending) -> Write {
        let (id, request, ending) = (id.clone(), request.clone(), ending.clone());
        self.replaced(&Transaction::Answered { id, request, ending }, life())
    }

    fn replaced(&self, transaction: &Transaction, expires: SystemTime) -> Write {
        let (table, key, revision) = (Table::Transaction, self.key, self.row.revision);
        Write::Replace { table, key, revision, value: transaction.encode(), expires }
    }
}

impl Ending {
    /// The client gets a code.
    pub(in crate::auth) fn logged_in(code: &str, person: Option<&str>) -> Self {
        Self::LoggedIn { code: code.to_owned(), person: person.map(short) }
    }

    /// The client gets an error.
    pub(in crate::auth) fn error(error: &str, description: &str) -> Self {
        Self::Error { error: error.to_owned(), description: short(description) }
    }

    /// The person gets a page.
    pub(in crate::auth) fn page(failure: Failure, is_for_client: bool) -> Self {
        let Failure { status, error, explanation, cause } = failure;
        let Explanation { title, happened, steps, quote } = explanation;
        let explanation = Explanation {
            title: short(&title),
            happened: short(&happened),
            steps: steps.iter().take(STEPS_MAX).map(|step| short(step)).collect(),
            quote: quote.as_deref().map(short),
        };
        Self::Page {
            status: status.as_u16(),
            error: error.to_owned(),
            explanation,
            cause: short(&cause),
            is_for_client,
        }
    }
}

/// The failure again that [`Ending::page`] was made of.
pub(in crate::auth) fn failure(status: u16, error: &str, explanation: Explanation, cause: String) -> Failure {
    let known = ["access_denied", "temporarily_unavailable"];
    let error = known.into_iter().find(|known| *known == error).unwrap_or("server_error");
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Failure { status, error, explanation, cause }
}

fn short(text: &str) -> String {
    cut(text, TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::request::{BrowserLogin, ValidatedRequest};
    use super::*;
    use crate::view::View;

    fn request() -> Purpose {
        Purpose::Client(ValidatedRequest {
            view: View::default(),
            client_id: "c".to_owned(),
            client_name: "Client".to_owned(),
            redirect_uri: "http://localhost/cb".to_owned(),
            state: Some("s".to_owned()),
            code_challenge: "x".repeat(43),
            scopes: BTreeSet::new(),
            device: None,
        })
    }

    /// A row stays small, however long a provider's words are.
    #[test]
    fn what_a_login_came_to_is_short() {
        let long = "é`\"<\u{1}".repeat(40_000);
        let explanation = Explanation {
            title: long.clone(),
            happened: long.clone(),
            steps: vec![long.clone(); 100],
            quote: Some(long.clone()),
        };
        let (status, error) = (StatusCode::BAD_GATEWAY, "server_error");
        let failure = Failure { status, error, explanation, cause: long.clone() };
        for ending in
            [Ending::logged_in("code", Some(&long)), Ending::error("server_error", &long), Ending::page(failure, true)]
        {
            let answered = Transaction::Answered { id: TransactionId::new(1), request: request(), ending };
            let bytes = answered.encode().len();
            assert!(bytes < 48 * 1024, "{bytes}");
            let read: Transaction = serde_json::from_slice(&answered.encode()).unwrap();
            assert!(read.login().is_some());
        }
    }

    /// Rows of the version before, which may be there when this one starts.
    #[test]
    fn a_pending_login_of_the_version_before_goes_on() {
        let id = serde_json::to_value(TransactionId::new(1)).unwrap();
        let row = serde_json::json!({ "Pending": { "id": id, "request": request() } });
        assert!(row["Pending"]["request"].get("device").is_none(), "{row}");
        assert!(serde_json::from_value::<Transaction>(row).unwrap().login().is_some());
        assert!(serde_json::from_value::<Transaction>(serde_json::json!("Used")).unwrap().login().is_none());
    }

    #[test]
    fn a_login_is_for_a_client_or_for_a_page() {
        let read = |purpose: &Purpose| serde_json::from_value(serde_json::to_value(purpose).unwrap()).unwrap();
        assert!(matches!(read(&request()), Purpose::Client(request) if request.client_id == "c"));
        let browser = Purpose::Browser(BrowserLogin { to: "/me".to_owned(), is_again: false });
        assert!(matches!(read(&browser), Purpose::Browser(login) if login.to == "/me"));
    }

    #[test]
    fn a_page_is_shown_again_as_it_was() {
        let explanation = Explanation::new("Title", "Happened.", &["Step."]);
        let (status, error, cause) = (StatusCode::FORBIDDEN, "access_denied", "cause".to_owned());
        let first = Failure { status, error, explanation: explanation.clone(), cause };
        let Ending::Page { status, error, explanation, cause, is_for_client } = Ending::page(first, false) else {
            panic!("a page");
        };
        assert!(!is_for_client);
        let again = failure(status, &error, explanation.clone(), cause);
        assert_eq!(
            (again.status, again.error, again.cause.as_str()),
            (StatusCode::FORBIDDEN, "access_denied", "cause")
        );
        assert_eq!(again.explanation, explanation);
    }
}
