//! Log records that strangers and plugins can cause: so many a minute, and the rest counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most records of one kind, or of one plugin's of a kind, within [`WINDOW`]: enough to see the problem.
const RECORDS_MAX: u32 = 10;

const WINDOW: Duration = Duration::from_secs(60);

/// Plugins that have records of their own at once; those of further ones are counted together.
const PLUGINS_MAX: usize = 1024;

/// One kind of record.
pub(crate) struct LogLimiter {
    what: &'static str,
    length: Duration,
    /// By plugin; those that no plugin causes have none.
    windows: Mutex<BTreeMap<String, Window>>,
}

struct Window {
    ends: Instant,
    logged: u32,
    left_out: u64,
}

impl LogLimiter {
    /// A kind of record, named in the plural.
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, length: WINDOW, windows: Mutex::new(BTreeMap::new()) }
    }

    /// Logs with `record`, or only counts, and logs the count at the end of the minute.
    pub(crate) fn log(&'static self, record: impl FnOnce()) {
        self.log_of("", record);
    }

    /// The same for a record that a plugin causes: one that causes many leaves those of others in the log.
    pub(crate) fn log_of(&'static self, plugin: &str, record: impl FnOnce()) {
        let now = Instant::now();
        let mut windows = self.windows();
        let plugin = if windows.len() < PLUGINS_MAX || windows.contains_key(plugin) { plugin } else { "" };
        if windows.get(plugin).is_none_or(|window| window.ends <= now) {
            // The task below logs the rest, unless the runtime is gone.
            let new = Window { ends: now + self.length, logged: 0, left_out: 0 };
            let before = windows.insert(plugin.to_owned(), new);
            self.log_rest(plugin, before.as_ref());
            windows.retain(|_, window| now < window.ends || window.left_out > 0);
        }
        let current = windows.get_mut(plugin).expect("it was just set");
        if current.logged < RECORDS_MAX {
            current.logged += 1;
            drop(windows);
            return record();
        }
        current.left_out += 1;
        if current.left_out == 1
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (ends, plugin) = (current.ends, plugin.to_owned());
            runtime.spawn(async move {
                tokio::time::sleep_until(ends).await;
                let mut windows = self.windows();
                let is_over = windows.get(&plugin).is_some_and(|window| window.ends <= ends);
                let ended = is_over.then(|| windows.remove(&plugin)).flatten();
                drop(windows);
                self.log_rest(&plugin, ended.as_ref());
            });
        }
    }

    fn windows(&self) -> MutexGuard<'_, BTreeMap<String, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_rest(&self, plugin: &str, window: Option<&Window>) {
        let Some(Window { left_out: left_out @ 1.., .. }) = window else { return };
        match plugin {
            "" => tracing::warn!(repeated = left_out, "{left_out} more within a minute: {}", self.what),
            plugin => tracing::warn!(
                plugin,
                repeated = left_out,
                "{left_out} more within a minute by plugin `{plugin}`: {}",
                self.what
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const fn short(what: &'static str) -> LogLimiter {
        LogLimiter { what, length: Duration::from_secs(1), windows: Mutex::new(BTreeMap::new()) }
    }

    #[tokio::test]
    async fn the_rest_of_a_minute_is_counted() {
        static KIND: LogLimiter = short("things");
        let logged = AtomicU32::new(0);
        let say = || {
            KIND.log(|| {
                logged.fetch_add(1, Ordering::Relaxed);
            });
        };
        (0..100).for_each(|_| say());
        assert_eq!(logged.load(Ordering::Relaxed), RECORDS_MAX);
        assert_eq!(KIND.windows().get("").unwrap().left_out, 90);
        while !KIND.windows().is_empty() {
            // What was counted is told by itself.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say();
        assert_eq!(logged.load(Ordering::Relaxed), RECORDS_MAX + 1);
    }

    #[test]
    fn a_plugin_that_causes_many_leaves_those_of_others_in_the_log() {
        static KIND: LogLimiter = short("refusals");
        let logged = AtomicU32::new(0);
        let say = |plugin: &str| {
            KIND.log_of(plugin, || {
                logged.fetch_add(1, Ordering::Relaxed);
            });
        };
        (0..100).for_each(|_| say("loud"));
        say("quiet");
        assert_eq!(logged.load(Ordering::Relaxed), RECORDS_MAX + 1);
    }

    #[test]
    fn plugins_that_come_and_go_are_forgotten() {
        static KIND: LogLimiter = short("refusals");
        (0..10 * PLUGINS_MAX).for_each(|number| KIND.log_of(&number.to_string(), || {}));
        assert!(KIND.windows().len() <= PLUGINS_MAX + 1);
    }
}
