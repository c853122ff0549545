//! The keys of `tinymcp dev`, where there is a terminal.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::process::{self, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use super::change::SourceChange;
use super::terminal::{self, Pressed, Terminal};
use crate::cli::output;
use crate::plugins::Plugins;
use crate::sanitize::literal;

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Open,
    Rebuild,
    List,
    Test,
    Quit,
}

/// The keys, in the order in which they are shown.
const KEYS: [(u8, &str, Act); 5] = [
    (b'o', "open the page", Act::Open),
    (b'r', "rebuild all", Act::Rebuild),
    (b'l', "list tools", Act::List),
    (b't', "run the tests", Act::Test),
    (b'q', "quit", Act::Quit),
];

/// Programs that open a page in the person's browser.
const BROWSERS: [&str; 3] = ["xdg-open", "open", "wslview"];

/// All that the keys are about.
pub(super) struct Desk {
    pub(super) plugins: Plugins,
    /// The URL of the page.
    pub(super) page: String,
    /// Where builds and tests are asked for.
    pub(super) changes: UnboundedSender<SourceChange>,
}

/// The keys in a line.
pub(super) fn line() -> String {
    let key = |(key, what, _): &(u8, &str, Act)| format!("{} {what}", output::bold(&char::from(*key).to_string()));
    KEYS.iter().map(key).collect::<Vec<_>>().join("   ")
}

/// Reads keys until what this returns is dropped, which gives the terminal back as it was.
pub(super) fn start(terminal: &Arc<Terminal>, desk: Desk) -> terminal::Keys {
    let keys = terminal.take_keys();
    let resumed = Arc::clone(terminal);
    if let Ok(mut resumes) = signal(SignalKind::from_raw(Signal::CONT.as_raw())) {
        tokio::spawn(async move {
            while resumes.recv().await.is_some() {
                let terminal = Arc::clone(&resumed);
                // It may have to wait for the answer to a question.
                let _ = thread::Builder::new().name("resumed".to_owned()).spawn(move || terminal.set_again());
            }
        });
    }
    let terminal = Arc::clone(terminal);
    // A read cannot be cancelled; the thread ends when the keys are given back.
    let read = move || {
        loop {
            match terminal.pressed() {
                Pressed::Key(key) => act(key, &desk),
                Pressed::Nothing => {}
                Pressed::Gone => return,
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("keys".to_owned()).spawn(read) {
        output::warning(&format!("keys are not read: {error}"));
    }
    keys
}

fn act(key: u8, desk: &Desk) {
    let known = KEYS.iter().find(|(known, ..)| *known == key.to_ascii_lowercase());
    match known.map(|(.., act)| act) {
        None => output::note(&line()),
        Some(Act::Open) => open(&desk.page),
        Some(Act::Rebuild) => desk.ask_for(SourceChange::All),
        Some(Act::Test) => desk.ask_for(SourceChange::AllCases),
        Some(Act::List) => list(&desk.plugins),
        // The way of Ctrl-C, on which calls under way end.
        Some(Act::Quit) => {
            let _ = process::kill_process(process::getpid(), Signal::INT);
        }
    }
}

impl Desk {
    fn ask_for(&self, change: SourceChange) {
        // At the end nobody builds any more.
        let _ = self.changes.send(change);
    }
}

/// Lists the tools of now, and what is not served.
fn list(plugins: &Plugins) {
    let catalog = plugins.catalog();
    if catalog.tools().is_empty() {
        output::note("no tools");
    }
    for tool in catalog.tools() {
        output::note(&format!("  {}  {}", output::bold(&tool.name), tool.summary()));
    }
    for plugin in catalog.plugins() {
        if let Some(problem) = &plugin.problem {
            output::note(&format!("  {} {}: {problem}", output::bad("not loaded"), literal(&plugin.file)));
        }
    }
}

/// Opens a page with the first program that is there.
fn open(url: &str) {
    let started = BROWSERS.iter().find_map(|program| {
        let mut command = Command::new(program);
        let quiet = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.spawn().ok()
    });
    let by_hand = format!("open {url} in a browser yourself");
    let Some(mut child) = started else {
        return output::note(&format!("no program here opens a browser; {by_hand}"));
    };
    output::note(&format!("opening {url}"));
    // Some of these programs stay as long as the browser does.
    let wait = move || {
        if !child.wait().is_ok_and(|status| status.success()) {
            output::note(&format!("no browser was opened; {by_hand}"));
        }
    };
    let _ = thread::Builder::new().name("browser".to_owned()).spawn(wait);
}
