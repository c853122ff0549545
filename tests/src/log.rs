//! The standard error of a server, line by line.

use std::io::{BufRead, BufReader, Read};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::{DEADLINE, within};

/// The lines so far. Clones see the same.
#[derive(Clone)]
pub struct Log(watch::Receiver<Vec<String>>);

/// A place in the log: what comes after it is new.
#[derive(Clone, Copy)]
pub struct Mark(usize);

impl Mark {
    /// The beginning of the log.
    pub const START: Self = Self(0);
}

impl Log {
    /// Collects lines until the stream ends.
    pub fn collect(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                sender.send_modify(|lines: &mut Vec<String>| lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
        });
        Self(receiver)
    }

    /// All lines that have been read so far. A line that an answer of the server stands for may come a moment after the
    /// answer: [`Log::wait_for`] it.
    pub fn text(&self) -> String {
        self.0.borrow().join("\n")
    }

    /// The lines after a mark that hold a text.
    pub fn lines_since(&self, mark: Mark, text: &str) -> Vec<String> {
        self.0.borrow()[mark.0..].iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// The lines that hold a text.
    pub fn lines(&self, text: &str) -> Vec<String> {
        self.lines_since(Mark::START, text)
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Mark {
        Mark(self.0.borrow().len())
    }

    /// Waits for a line that holds a text.
    ///
    /// # Panics
    /// When there is none in time, or the log has ended without it.
    pub async fn wait_for(&self, text: &str) -> String {
        self.wait_since(Mark::START, text).await
    }

    /// Waits for a line after a mark that holds a text.
    ///
    /// # Panics
    /// When there is none in time, or the log has ended without it.
    pub async fn wait_since(&self, mark: Mark, text: &str) -> String {
        self.wait_within(DEADLINE, mark, text).await
    }

    /// The same with a deadline of one's own.
    ///
    /// # Panics
    /// When there is none in time, or the log has ended without it.
    pub async fn wait_within(&self, deadline: Duration, mark: Mark, text: &str) -> String {
        let mut lines = self.0.clone();
        let found = |lines: &Vec<String>| lines[mark.0..].iter().any(|line| line.contains(text));
        let waited = tokio::time::timeout(deadline, lines.wait_for(found)).await;
        match waited {
            Ok(Ok(lines)) => {
                let line = lines[mark.0..].iter().find(|line| line.contains(text));
                line.expect("it was just there").clone()
            }
            Ok(Err(_)) => panic!("the log ended without `{text}`:\n{}", self.text()),
            Err(_) => panic!("the log says no `{text}`:\n{}", self.text()),
        }
    }

    /// Waits until the program has closed its end.
    pub async fn ended(&self) {
        let mut lines = self.0.clone();
        within("end of the log", async { while lines.changed().await.is_ok() {} }).await;
    }
}
