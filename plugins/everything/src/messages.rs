//! Messages of a call to its client before it is done; its caller, and its settings.

use std::thread::sleep;
use std::time::Duration;

use crate::tinymcp::plugin::log::{self, Level};
use crate::tinymcp::plugin::{caller, progress, settings};

const PAUSE: Duration = Duration::from_millis(50);

pub fn with_progress() -> String {
    for (done, message) in [(0.0, "begun"), (50.0, "half way"), (100.0, "done")] {
        progress::report(done, Some(100.0), Some(message));
        sleep(PAUSE);
    }
    "Progress was reported".to_owned()
}

pub fn with_logging() -> String {
    for text in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        log::write(Level::Info, text);
        sleep(PAUSE);
    }
    "Messages were sent".to_owned()
}

pub fn slowly() -> String {
    progress::detach();
    sleep(Duration::from_millis(300));
    "Reconnection test completed".to_owned()
}

pub fn who_am_i() -> String {
    let who = match caller::who() {
        Some(person) => person.email.or(person.name).unwrap_or(person.subject),
        None => "nobody in particular".to_owned(),
    };
    match settings::get("greeting") {
        Some(greeting) => format!("{greeting}, {who}"),
        None => who,
    }
}
