//! The file, and the lock by which one process has it at a time.
//!
//! Write-ahead log, `synchronous = NORMAL`: what was written survives the end of the process, however it ends. After a
//! power failure the file is whole, and the last moments before it may be missing.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::rows::{APPLICATION_ID, SCHEMA, SCHEMA_VERSION};
use super::seal::{KEY_BYTES, RootSealer, Sealer};
use crate::descriptors;
use crate::file_lock::{self, FileLock, Taken};
use crate::state::StateDir;

/// A directory of its own, which can be backed up or deleted as a whole.
const DIRECTORY: &str = "kv";

const FILE: &str = "kv.db";

/// Time for which a statement waits for a lock. A backup program may hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Memory for pages of the file. The system keeps more.
const CACHE_KIB: i64 = 2048;

/// The size to which the write-ahead log is cut after a burst of writes.
const LOG_BYTES: i64 = 4 * 1024 * 1024;

/// The place of the state.
#[derive(Clone)]
pub(super) enum Place {
    /// A file in a state directory.
    In(StateDir),
    /// The memory of this process.
    Memory,
}

/// An open file.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) sealer: Sealer,
    /// Held until the connection is closed; none in memory.
    _lock: Option<FileLock>,
}

/// The reason that the state of plugins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refuses it.
    #[error("`{}` cannot be used: {source}{}", path.display(), descriptors::cure(source))]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// The system's error, or SQLite's.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("`{}` is in use by another process{}", path.display(), pid.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, if its id is in the lock file.
        pid: Option<u32>,
    },
    /// It was written under another root key.
    #[error("`{}` was written under another key: put the key back as `TINYMCP_SECRET`, in `TINYMCP_SECRET_PREVIOUS` or as file `key.old` in the state directory; or delete the directory of this file, and with it all that plugins have kept", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program has written it.
    #[error("`{}` has schema {found}, and this version knows {SCHEMA_VERSION}: run the version that wrote it or a later one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// The file is not as it was written.
    #[error("`{}` is damaged: {cause}: restore its directory from a backup, or delete that, and with it all that plugins have kept", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        cause: String,
    },
}

impl OpenError {
    /// The words for a plugin.
    pub(super) fn outward(&self) -> &'static str {
        match self {
            Self::Unusable { .. } | Self::InUse { .. } => "its file cannot be used now",
            Self::WrongKey { .. } | Self::Newer { .. } | Self::Damaged { .. } => "its file has to be repaired",
        }
    }
}

/// Tells whether there is a file in a state directory.
pub(super) fn is_there(state: &StateDir) -> bool {
    state.path().join(DIRECTORY).join(FILE).exists()
}

/// Opens the file, or makes it if it is missing.
pub(super) fn open(place: &Place) -> Result<Database, OpenError> {
    let Place::In(state) = place else { return in_memory() };
    let directory = state.path().join(DIRECTORY);
    let unusable = |path: &Path, source| OpenError::Unusable { path: path.to_owned(), source };
    state.subdirectory(DIRECTORY).map_err(|error| unusable(&directory, error))?;
    let lock = lock(&directory)?;
    let path = directory.join(FILE);
    // Made here, so that nobody else can read it from its first byte on.
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    made.and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)))
        .map_err(|error| unusable(&path, error))?;
    let failed = |error| failure(&path, error);
    let mut connection = connect(Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    ))
    .map_err(failed)?;
    let root = RootSealer::of_file(state);
    match read_version(&connection).map_err(failed)? {
        Version::New => make(&mut connection, |key| root.seal(key)).map_err(failed)?,
        Version::Ours(SCHEMA_VERSION) => {}
        Version::Ours(found) if found > SCHEMA_VERSION => return Err(OpenError::Newer { path, found }),
        Version::Ours(_) | Version::Other => {
            return Err(OpenError::Damaged { path, cause: "it is no file of this program".to_owned() });
        }
    }
    let sealed: Vec<u8> = connection
        .query_row("SELECT value FROM meta WHERE name = 'key'", [], |row| row.get(0))
        .optional()
        .map_err(failed)?
        .unwrap_or_default();
    let key = root.open(&sealed).map_err(|_| OpenError::WrongKey { path: path.clone() })?;
    // Under the current root key from now on.
    let update = "UPDATE meta SET value = ?1 WHERE name = 'key'";
    connection.execute(update, params![root.seal(&key)]).map_err(failed)?;
    Ok(Database { connection, sealer: Sealer::of_file(&key), _lock: Some(lock) })
}

/// Writes a copy of the file into another, which nobody else may read.
pub(super) fn snapshot(state: &StateDir, into: &Path) -> Result<(), OpenError> {
    let path = state.path().join(DIRECTORY).join(FILE);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(into);
    drop(made.map_err(|source| OpenError::Unusable { path: into.to_owned(), source })?);
    // A connection of its own, beside that of the server: it reads as of one moment and keeps nobody waiting.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = connect(Connection::open_with_flags(&path, flags))
        .and_then(|connection| connection.execute("VACUUM INTO ?1", [into.to_string_lossy()]).map(drop));
    copied.map_err(|error| failure(&path, error))?;
    let checked = Connection::open_with_flags(into, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|copy| copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)));
    match checked.map_err(|error| failure(into, error))?.as_str() {
        "ok" => Ok(()),
        verdict => Err(OpenError::Damaged { path, cause: verdict.to_owned() }),
    }
}

/// Seals the file's own key anew.
pub(super) fn reseal(state: &StateDir) -> Result<(), OpenError> {
    let path = state.path().join(DIRECTORY).join(FILE);
    let failed = |error| failure(&path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(Connection::open_with_flags(&path, flags)).map_err(failed)?;
    let sealed: Vec<u8> = connection
        .query_row("SELECT value FROM meta WHERE name = 'key'", [], |row| row.get(0))
        .optional()
        .map_err(failed)?
        .unwrap_or_default();
    let root = RootSealer::of_file(state);
    let key = root.open(&sealed).map_err(|_| OpenError::WrongKey { path: path.clone() })?;
    let update = "UPDATE meta SET value = ?1 WHERE name = 'key'";
    connection.execute(update, params![root.seal(&key)]).map_err(failed)?;
    Ok(())
}

fn in_memory() -> Result<Database, OpenError> {
    let path = PathBuf::from(":memory:");
    let mut key = [0; KEY_BYTES];
    let opened = connect(Connection::open_in_memory()).and_then(|mut connection| {
        make(&mut connection, |made| {
            key = *made;
            Vec::new()
        })?;
        Ok(connection)
    });
    let connection = opened.map_err(|error| failure(&path, error))?;
    Ok(Database { connection, sealer: Sealer::of_file(&key), _lock: None })
}

/// Takes the lock, for as long as the file is open.
fn lock(directory: &Path) -> Result<FileLock, OpenError> {
    let path = directory.join("lock");
    match file_lock::take(&path) {
        Ok(Taken::Now(lock)) => Ok(lock),
        Ok(Taken::Before(pid)) => Err(OpenError::InUse { path: directory.to_owned(), pid }),
        Err(source) => Err(OpenError::Unusable { path, source }),
    }
}

fn connect(connection: rusqlite::Result<Connection>) -> rusqlite::Result<Connection> {
    let connection = connection?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Before anything is written; an older file keeps its own.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES}"), [], |_| Ok(()))?;
    Ok(connection)
}

enum Version {
    /// Nothing was ever written.
    New,
    /// It is of this program, with this schema.
    Ours(i64),
    Other,
}

fn read_version(connection: &Connection) -> rusqlite::Result<Version> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (pragma("application_id")?, tables) {
        (APPLICATION_ID, _) => Version::Ours(pragma("user_version")?),
        (0, 0) => Version::New,
        _ => Version::Other,
    })
}

/// Writes the schema and a new key, all or nothing.
fn make(connection: &mut Connection, mut seal: impl FnMut(&[u8; KEY_BYTES]) -> Vec<u8>) -> rusqlite::Result<()> {
    let key: [u8; KEY_BYTES] = rand::random();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute("INSERT INTO meta (name, value) VALUES ('key', ?1)", params![seal(&key)])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn failure(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path, cause: error.to_string() }
        }
        _ => OpenError::Unusable { path, source: io::Error::other(error) },
    }
}
