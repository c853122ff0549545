//! What other servers of the store tell about logins, taken to whoever keeps them in memory; and the change of the server that
//! writes, after which revocations are repeated.

use std::sync::Arc;

use super::machines::Machines;
use super::machines::operator::{OperatorTokens, TokenError};
use super::sessions::Sessions;
use crate::replicas::{Hint, Replicas, Told, at_each_change};
use crate::store::{Key, Table};

/// Whoever keeps rows in memory.
pub(super) struct Keepers {
    pub(super) sessions: Arc<Sessions>,
    pub(super) machines: Arc<Machines>,
    pub(super) operator_tokens: OperatorTokens,
}

/// Listens until this server leaves; returns at once for a server alone.
pub(super) async fn listen(replicas: Replicas, keepers: Keepers) {
    let Some(mut news) = replicas.news() else { return };
    let left = news.left();
    let listening = async {
        while let Some(heard) = news.next().await {
            match heard {
                Told::Hint(Hint::Rows(rows)) => keepers.changed(rows).await,
                Told::Hint(Hint::Switches | Hint::Plugins | Hint::Client(_) | Hint::Rest(_)) => {}
                Told::Gap => keepers.missed_something().await,
            }
        }
    };
    let repeating = async {
        let Some(changes) = replicas.changes_of_primary() else { return };
        let what = "tokens that were revoked of late could not be revoked again";
        at_each_change(changes, what, || Some(keepers.repeat_revocations())).await;
    };
    left.run_until_cancelled(futures::future::join(listening, repeating)).await;
}

impl Keepers {
    async fn changed(&self, rows: Vec<(u8, String)>) {
        for (table, key) in rows {
            let (Some(table), Some(key)) = (Table::of_id(table), Key::from_hex(&key)) else { continue };
            match table {
                Table::Session => self.sessions.changed_elsewhere(key).await,
                Table::Machine => self.machines.changed_elsewhere(key),
                Table::Operator => self.operator_tokens.changed_elsewhere(),
                Table::Transaction | Table::Once | Table::Device | Table::Ledger | Table::Shelf => {}
            }
        }
    }

    async fn repeat_revocations(&self) -> Result<(), TokenError> {
        self.operator_tokens.repeat_revocations().await?;
        self.sessions.repeat_revocations().await?;
        Ok(())
    }

    async fn missed_something(&self) {
        self.machines.missed_something();
        self.operator_tokens.changed_elsewhere();
        self.sessions.missed_something().await;
    }
}
