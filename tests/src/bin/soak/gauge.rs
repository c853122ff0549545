//! Looks at the server from outside: its process, its store, its directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};

/// The server's process and its state directory.
pub(crate) struct Gauge {
    pid: u32,
    state: PathBuf,
}

/// The amounts at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Resident memory (`VmRSS`) in KiB.
    pub(crate) memory: f64,
    /// Open descriptors.
    pub(crate) descriptors: f64,
    /// Threads.
    pub(crate) threads: f64,
    /// Rows of the store, expired ones that were not yet swept included.
    pub(crate) rows: f64,
    /// The state directory on the disk in KiB: store and compiled code.
    pub(crate) disk: f64,
}

impl Gauge {
    pub(crate) fn new(pid: u32, state: PathBuf) -> Self {
        Self { pid, state }
    }

    /// # Errors
    /// When the process is gone, or the store cannot be read.
    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        let status = fs::read_to_string(process.join("status")).context("the server is gone")?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).context("a field is missing in /proc")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
        };
        let descriptors = fs::read_dir(process.join("fd")).context("the server is gone")?.count();
        Ok(Reading {
            memory: field("VmRSS")?,
            descriptors: descriptors as f64,
            threads: field("Threads")?,
            rows: self.rows()?,
            disk: size(&self.state) as f64 / 1024.0,
        })
    }

    /// Reads beside the server, as `sqlite3` would.
    fn rows(&self) -> anyhow::Result<f64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let store = Connection::open_with_flags(self.state.join("store/store.db"), flags)?;
        store.busy_timeout(std::time::Duration::from_secs(10))?;
        let rows: u32 = store.query_row("SELECT count(*) FROM rows", [], |row| row.get(0))?;
        Ok(f64::from(rows))
    }
}

/// The bytes of all files below; one that goes away meanwhile has none.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
