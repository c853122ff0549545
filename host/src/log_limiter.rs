//! Log records that strangers can cause: so many a minute, and the rest counted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most records of one kind within [`WINDOW`]: enough to see the problem.
const RECORDS_MAX: u32 = 10;

const WINDOW: Duration = Duration::from_secs(60);

/// One kind of record.
pub(crate) struct LogLimiter {
    what: &'static str,
    length: Duration,
    window: Mutex<Option<Window>>,
}

struct Window {
    ends: Instant,
    logged: u32,
    left_out: u64,
}

impl LogLimiter {
    /// A kind of record, named in the plural.
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, length: WINDOW, window: Mutex::new(None) }
    }

    /// Logs with `record`, or only counts, and logs the count at the end of the minute.
    pub(crate) fn log(&'static self, record: impl FnOnce()) {
        let now = Instant::now();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match window.as_mut().filter(|window| now < window.ends) {
            Some(current) => current,
            None => {
                // The task below logs the rest, unless the runtime is gone.
                let new = Window { ends: now + self.length, logged: 0, left_out: 0 };
                self.log_rest(window.replace(new).as_ref());
                window.as_mut().expect("it was just set")
            }
        };
        if current.logged < RECORDS_MAX {
            current.logged += 1;
            drop(window);
            return record();
        }
        current.left_out += 1;
        if current.left_out == 1
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let ends = current.ends;
            runtime.spawn(async move {
                tokio::time::sleep_until(ends).await;
                let ended = self.window.lock().unwrap_or_else(PoisonError::into_inner).take_if(|it| it.ends <= ends);
                self.log_rest(ended.as_ref());
            });
        }
    }

    fn log_rest(&self, window: Option<&Window>) {
        if let Some(Window { left_out: left_out @ 1.., .. }) = window {
            tracing::warn!(repeated = left_out, "{left_out} more within a minute: {}", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_rest_of_a_minute_is_counted() {
        static KIND: LogLimiter =
            LogLimiter { what: "things", length: Duration::from_secs(1), window: Mutex::new(None) };
        let logged = AtomicU32::new(0);
        let say = || {
            KIND.log(|| {
                logged.fetch_add(1, Ordering::Relaxed);
            });
        };
        (0..100).for_each(|_| say());
        assert_eq!(logged.load(Ordering::Relaxed), RECORDS_MAX);
        assert_eq!(KIND.window.lock().unwrap().as_ref().unwrap().left_out, 90);
        while KIND.window.lock().unwrap().is_some() {
            // What was counted is told by itself.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say();
        assert_eq!(logged.load(Ordering::Relaxed), RECORDS_MAX + 1);
    }
}
