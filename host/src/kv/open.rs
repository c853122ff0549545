//! The file, and the lock by which one process has it at a time.
//!
//! Write-ahead log, `synchronous = NORMAL`: what was written survives the end of the process, however it ends. After a
//! power failure the file is whole, and the last moments before it may be missing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
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

const LOCK: &str = "lock";

/// The end of the name of SQLite's write-ahead log.
const LOG_SUFFIX: &str = "-wal";

/// A file up to this size is checked before it is used, in a tenth of a second. What is damaged in a larger one is said
/// where it is read.
const CHECKED_BEFORE_USE_BYTES: u64 = 16 * 1024 * 1024;

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
    /// None in memory.
    file: Option<OpenFile>,
}

/// The files under an open connection.
struct OpenFile {
    database: Opened,
    /// Holds what SQLite has not yet written into the database.
    log: Opened,
    /// Held until the connection is closed.
    _lock: FileLock,
}

/// A file as it was when it was opened.
struct Opened {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Opened {
    fn of(path: PathBuf) -> Result<Self, OpenError> {
        match fs::metadata(&path) {
            Ok(file) => Ok(Self { path, device: file.dev(), inode: file.ino() }),
            Err(error) => Err(unusable(&path, error)),
        }
    }

    /// Its size, while it is in place.
    fn len(&self) -> Result<u64, OpenError> {
        let path = || self.path.clone();
        match fs::metadata(&self.path) {
            Ok(now) if (now.dev(), now.ino()) == (self.device, self.inode) => Ok(now.len()),
            Ok(_) => Err(OpenError::Gone { path: path() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Gone { path: path() }),
            Err(source) => Err(OpenError::Unusable { path: path(), source }),
        }
    }
}

impl Database {
    /// Sees that what is written goes into the file that the next start will open.
    ///
    /// # Errors
    /// [`OpenError::Gone`]: somebody has removed, replaced or emptied it. [`OpenError::LogGone`]: the log beside it.
    pub(super) fn expect_in_place(&self) -> Result<(), OpenError> {
        let Some(OpenFile { database, log, .. }) = &self.file else { return Ok(()) };
        log.len().map_err(|error| match error {
            OpenError::Gone { path } => OpenError::LogGone { path },
            other => other,
        })?;
        match database.len()? {
            0 => Err(OpenError::Gone { path: database.path.clone() }),
            _ => Ok(()),
        }
    }
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
    /// What SQLite has not yet written into the file is not where the next start looks for it.
    #[error("`{}` was removed or replaced while it was in use: stop the server, which writes what was in it into its database, and start it again", path.display())]
    LogGone {
        /// The log.
        path: PathBuf,
    },
    /// The file is not the one that was opened.
    #[error("`{}` was removed, replaced or emptied while it was in use: stop the server, restore the directory of this file from a backup, or delete that, and with it all that plugins have kept; then start the server", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
}

impl OpenError {
    /// The words for a plugin.
    pub(super) fn outward(&self) -> &'static str {
        match self {
            Self::Unusable { .. } | Self::InUse { .. } => "its file cannot be used now",
            Self::WrongKey { .. }
            | Self::Newer { .. }
            | Self::Damaged { .. }
            | Self::LogGone { .. }
            | Self::Gone { .. } => "its file has to be repaired",
        }
    }
}

/// Tells whether there is a file in a state directory, or was one that is lost.
pub(super) fn is_there(state: &StateDir) -> bool {
    !matches!(exists(&state.path().join(DIRECTORY)), Ok(false))
}

/// Tells whether there is a file in its directory. One that was there and is gone, or is empty, is damage: nothing is
/// begun in its place.
fn exists(directory: &Path) -> Result<bool, OpenError> {
    let path = directory.join(FILE);
    let damaged = |cause: &str| Err(OpenError::Damaged { path: path.clone(), cause: cause.to_owned() });
    match fs::metadata(&path) {
        Ok(file) if file.len() == 0 => damaged("it is empty"),
        Ok(_) => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&path, error)),
        Err(_) if was_opened(directory) => damaged("it is missing"),
        Err(_) => Ok(false),
    }
}

/// True if a process has had a file here: it has signed the lock, or SQLite's log is left.
fn was_opened(directory: &Path) -> bool {
    let is_signed = fs::metadata(directory.join(LOCK)).is_ok_and(|lock| lock.len() > 0);
    is_signed || directory.join(format!("{FILE}{LOG_SUFFIX}")).exists()
}

/// Opens the file, or makes it if there never was one.
pub(super) fn open(place: &Place) -> Result<Database, OpenError> {
    let Place::In(state) = place else { return in_memory() };
    let directory = state.path().join(DIRECTORY);
    state.subdirectory(DIRECTORY).map_err(|error| unusable(&directory, error))?;
    let lock = lock(&directory)?;
    let path = directory.join(FILE);
    let root = RootSealer::of_file(state);
    if !exists(&directory)? {
        create(&directory, &path, &root)?;
    }
    let made_private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
    let file = made_private.and_then(|()| fs::metadata(&path)).map_err(|error| unusable(&path, error))?;
    let failed = |error| failure(&path, error);
    let connection = connect(open_at(&path)).map_err(failed)?;
    match read_schema(&connection).map_err(failed)? {
        Some(SCHEMA_VERSION) => {}
        Some(found) if found > SCHEMA_VERSION => return Err(OpenError::Newer { path, found }),
        Some(_) | None => {
            return Err(OpenError::Damaged { path, cause: "it is no file of this program".to_owned() });
        }
    }
    if file.len() <= CHECKED_BEFORE_USE_BYTES {
        let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        match connection.query_row("PRAGMA quick_check(1)", [], check).map_err(failed)?.as_str() {
            "ok" => {}
            verdict => return Err(OpenError::Damaged { path, cause: verdict.to_owned() }),
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
    let signed = lock.sign_lastingly();
    signed.map_err(|error| unusable(&directory.join(LOCK), error))?;
    let log = directory.join(format!("{FILE}{LOG_SUFFIX}"));
    let file = OpenFile { database: Opened::of(path)?, log: Opened::of(log)?, _lock: lock };
    Ok(Database { connection, sealer: Sealer::of_file(&key), file: Some(file) })
}

/// Makes the file under another name and renames it, so that it is whole under its own name.
fn create(directory: &Path, path: &Path, root: &RootSealer) -> Result<(), OpenError> {
    let draft = path.with_extension("draft");
    // Made here, so that nobody else can read it from its first byte on.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
    drop(file.map_err(|error| unusable(&draft, error))?);
    let made = open_at(&draft).and_then(|mut connection| {
        // Before anything is written; an older file keeps its own.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        make(&mut connection, |key| root.seal(key))?;
        connection.close().map_err(|(_, error)| error)
    });
    made.map_err(|error| failure(&draft, error))?;
    let renamed = fs::rename(&draft, path).and_then(|()| File::open(directory)?.sync_all());
    renamed.map_err(|error| unusable(path, error))
}

fn open_at(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn unusable(path: &Path, source: io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), source }
}

/// Writes a copy of the file into another, which nobody else may read.
pub(super) fn snapshot(state: &StateDir, into: &Path) -> Result<(), OpenError> {
    let path = expect_there(state)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(into);
    drop(made.map_err(|source| OpenError::Unusable { path: into.to_owned(), source })?);
    // A connection of its own, beside that of the server: it reads as of one moment and keeps nobody waiting.
    let copied = connect(open_at(&path))
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
    let path = expect_there(state)?;
    let failed = |error| failure(&path, error);
    let connection = connect(open_at(&path)).map_err(failed)?;
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

/// The file, which is there.
fn expect_there(state: &StateDir) -> Result<PathBuf, OpenError> {
    let directory = state.path().join(DIRECTORY);
    let path = directory.join(FILE);
    match exists(&directory)? {
        true => Ok(path),
        false => Err(unusable(&path, io::ErrorKind::NotFound.into())),
    }
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
    Ok(Database { connection, sealer: Sealer::of_file(&key), file: None })
}

/// Takes the lock, for as long as the file is open. It is signed once there is a file: one that is missing beside a lock
/// that somebody has signed has been lost.
fn lock(directory: &Path) -> Result<FileLock, OpenError> {
    let path = directory.join(LOCK);
    match file_lock::take_unsigned(&path) {
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

/// The schema of a file of this program. None if it is another program's.
fn read_schema(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match pragma("application_id")? {
        APPLICATION_ID => pragma("user_version").map(Some),
        _ => Ok(None),
    }
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
