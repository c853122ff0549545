//! What other servers of the store tell about logins, taken to whoever keeps them in memory.

use std::sync::Arc;

use super::machines::Machines;
use super::machines::operator::OperatorTokens;
use super::sessions::Sessions;
use crate::replicas::{Hint, Replicas, Told};
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
                Told::Hint(Hint::Switches | Hint::Plugins | Hint::Client(_)) => {}
                Told::Gap => keepers.missed_something().await,
            }
        }
    };
    left.run_until_cancelled(listening).await;
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

    async fn missed_something(&self) {
        self.machines.missed_something();
        self.operator_tokens.changed_elsewhere();
        self.sessions.missed_something().await;
    }
}
