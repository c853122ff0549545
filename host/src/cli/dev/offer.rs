//! Grants that are missing, offered on the terminal of `tinymcp dev`.
//!
//! What a plugin was refused stands in the log, with the lines that would grant it ([`offers`](crate::cli::offers)). Here
//! these are shown to the person at the terminal, who may have them written into `tinymcp.toml`, as `tinymcp grant --write`
//! does it. Nobody else is asked: without a terminal there is no offer.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::sync::{Arc, mpsc};

use super::terminal::Terminal;
use crate::cli::offers::{Offer, Offers};
use crate::cli::{Failure, grant, output};
use crate::config::Invocation;

/// Begins to ask, if there is a person at a terminal. The thread that asks ends with the process.
pub(super) fn start(invocation: Invocation, terminal: Option<&Arc<Terminal>>) -> Option<Offers> {
    let terminal = Arc::clone(terminal.filter(|_| io::stderr().is_terminal())?);
    let (offers, offered) = Offers::new();
    let asking = std::thread::Builder::new().name("offers".to_owned());
    let asking = asking.spawn(move || ask(&offered, &invocation, &terminal));
    asking.is_ok().then_some(offers)
}

/// Asks about each offer once.
fn ask(offered: &mpsc::Receiver<Offer>, invocation: &Invocation, terminal: &Terminal) {
    let mut answered = BTreeSet::new();
    for offer in offered {
        let Offer { plugin, to_grant } = &offer;
        if answered.contains(&offer) {
            continue;
        }
        output::note(&format!(
            "\nplugin `{plugin}` was refused what these lines would grant:\n\n{}\n",
            to_grant.trim_end()
        ));
        let question = format!("Write this into {}?", invocation.path().display());
        let written = terminal
            .ask(|| grant::is_wanted(&question))
            .and_then(|is_wanted| if is_wanted { grant::write(invocation, plugin, to_grant) } else { Ok(()) });
        if let Err(Failure::Start(message) | Failure::Failed(message)) = written {
            output::warning(&message);
        }
        answered.insert(offer);
    }
}
