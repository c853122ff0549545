//! The wish of an operator that files are opened anew, by SIGHUP: those that are written on and on, and were moved away.

use tokio::sync::watch;

/// The way to say so. Clones lead to the same.
#[derive(Clone, Debug)]
pub(crate) struct Reopen(watch::Sender<()>);

impl Default for Reopen {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Reopen {
    /// Asks everybody who has such a file.
    pub(crate) fn ask(&self) {
        self.0.send_replace(());
    }

    /// Hears of it from now on: `changed` ends at each time.
    pub(crate) fn asked(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
