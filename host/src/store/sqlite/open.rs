//! Opening the file: a new one is made whole or not at all, and a damaged one is refused.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::check::{self, DatabaseFault};
use super::lock::Lock;
use super::rows::{APPLICATION_ID, SCHEMA, SCHEMA_VERSION};
use crate::state::StateDir;
use crate::store::contract::{OpenError, now};
use crate::store::seal::{Seal, Sealer};

/// A directory of its own, which can be backed up or deleted as a whole.
const DIRECTORY: &str = "store";

const FILE: &str = "store.db";

/// The end of the name of SQLite's write-ahead log.
const LOG_SUFFIX: &str = "-wal";

/// A file up to this size, some ten thousand sessions, is checked before it is used, in a tenth of a second. A larger
/// one is checked while it is used, so that a start does not wait for the disk.
const CHECKED_BEFORE_USE_BYTES: u64 = 16 * 1024 * 1024;

/// Time for which a statement waits for a lock. A backup program may hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Memory of each connection for pages of the file. The system keeps more.
const CACHE_KIB: i64 = 512;

/// The size to which the write-ahead log is cut after a burst of writes.
const LOG_BYTES: i64 = 4 * 1024 * 1024;

/// An open database.
pub(super) struct OpenDatabase {
    pub(super) path: PathBuf,
    pub(super) lock: Lock,
    /// The connection that writes.
    pub(super) connection: Connection,
    /// True if the whole file has been checked.
    pub(super) is_checked: bool,
}

/// The use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Read,
    Write,
}

/// Tells whether there is a file in a state directory.
pub(in crate::store) fn is_there(state: &StateDir) -> bool {
    path_in(state).exists()
}

/// The file of a state directory.
pub(super) fn path_in(state: &StateDir) -> PathBuf {
    state.path().join(DIRECTORY).join(FILE)
}

/// Opens the database of a state directory, or makes it if there never was one.
pub(super) fn open(state: &StateDir, sealer: &Sealer) -> Result<OpenDatabase, OpenError> {
    let parent = state.path().join(DIRECTORY);
    let directory = state.subdirectory(DIRECTORY).map_err(|error| unusable(&parent, error))?;
    let lock = Lock::take(&directory)?;
    let path = directory.join(FILE);
    if !exists(&path, &lock)? {
        create(&directory, &path, sealer)?;
    }
    let size = make_private(&path).map_err(|error| unusable(&path, error))?;
    let connection = open_ours(&path, sealer)?;
    let is_checked = size <= CHECKED_BEFORE_USE_BYTES;
    if is_checked {
        require_sound(&path, &connection, sealer)?;
    }
    lock.sign()?;
    Ok(OpenDatabase { path, lock, connection, is_checked })
}

/// Tells whether there is a database. One that was there and is gone, or is empty, is damage.
fn exists(path: &Path, lock: &Lock) -> Result<bool, OpenError> {
    let damaged = |cause: &str| Err(OpenError::Damaged { path: path.to_owned(), cause: cause.to_owned() });
    match fs::metadata(path) {
        Ok(file) if file.len() == 0 => damaged("it is empty"),
        Ok(_) => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path, error)),
        Err(_) if lock.was_signed() || log_of(path).exists() => damaged("it is missing"),
        Err(_) => Ok(false),
    }
}

/// Opens a connection with the settings that every connection has.
pub(super) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // The log goes only when the store is closed: see `close`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES}"), [], |_| Ok(()))?;
    connection.pragma_update(None, "query_only", role == Role::Read)?;
    Ok(connection)
}

/// Closes the connection that wrote, and puts what is in the log into the file, if no other connection is left.
pub(super) fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.close().map_err(|(_, error)| error)
}

/// True for an error by which the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    let is_code = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    is_code || matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..))
}

/// Makes the database under another name and renames it, so that it is whole under its own name.
fn create(directory: &Path, path: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let draft = path.with_extension("draft");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
    drop(file.map_err(|error| unusable(&draft, error))?);
    write_schema(&draft, sealer).map_err(|error| failure(&draft, error))?;
    let renamed = fs::rename(&draft, path).and_then(|()| File::open(directory)?.sync_all());
    renamed.map_err(|error| unusable(path, error))
}

fn write_schema(draft: &Path, sealer: &Sealer) -> rusqlite::Result<()> {
    let connection = connect(draft, Role::Write)?;
    // These two can only be set before anything else is written.
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute("INSERT INTO meta (name, value) VALUES ('check', ?1)", params![sealer.check_value()])?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.close().map_err(|(_, error)| error)
}

/// Seals the check value anew, under the current key.
pub(in crate::store) fn reseal(state: &StateDir, sealer: &Sealer) -> Result<(), OpenError> {
    let path = path_in(state);
    let update = "UPDATE meta SET value = ?1 WHERE name = 'check'";
    let written = connect(&path, Role::Write)
        .and_then(|connection| connection.execute(update, params![sealer.check_value()]).map(drop));
    written.map_err(|error| failure(&path, error))
}

/// Opens the file for writing if it is ours, of a schema that is known, and sealed under our key.
fn open_ours(path: &Path, sealer: &Sealer) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| failure(path, error);
    let damaged = |cause: String| OpenError::Damaged { path: path.to_owned(), cause };
    let connection = connect(path, Role::Write).map_err(failed)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    if pragma("application_id")? != APPLICATION_ID {
        return Err(damaged("it is not a store of this program".to_owned()));
    }
    match pragma("user_version")? {
        SCHEMA_VERSION => {}
        found if found > SCHEMA_VERSION => {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION });
        }
        found => return Err(damaged(format!("there is no schema {found}"))),
    }
    let check: Vec<u8> =
        connection.query_row("SELECT value FROM meta WHERE name = 'check'", [], |row| row.get(0)).map_err(failed)?;
    match sealer.check(&check) {
        Seal::Sound => {}
        Seal::UnknownKey => return Err(OpenError::WrongKey { path: path.to_owned() }),
        Seal::Broken => return Err(damaged("its check value is not what was written".to_owned())),
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // Under the current key from now on.
    let update = "UPDATE meta SET value = ?1 WHERE name = 'check'";
    connection.execute(update, params![sealer.check_value()]).map_err(failed)?;
    Ok(connection)
}

pub(super) fn require_sound(path: &Path, connection: &Connection, sealer: &Sealer) -> Result<(), OpenError> {
    let path = || path.to_owned();
    match check::find_fault(connection, sealer, now()).map_err(|error| failure(&path(), error))? {
        None => Ok(()),
        Some(DatabaseFault::WrongKey) => Err(OpenError::WrongKey { path: path() }),
        Some(DatabaseFault::Damage(cause)) => Err(OpenError::Damaged { path: path(), cause }),
    }
}

/// Restricts the file to its owner; SQLite gives its log the same mode. A copy from a backup may have any. Returns the
/// size.
fn make_private(path: &Path) -> io::Result<u64> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(fs::metadata(path)?.len())
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(LOG_SUFFIX);
    name.into()
}

pub(super) fn unusable(path: &Path, error: io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), source: error }
}

pub(super) fn failure(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match is_damage(&error) {
        true => OpenError::Damaged { path, cause: error.to_string() },
        false => OpenError::Unusable { path, source: io::Error::new(kind(&error), error) },
    }
}

/// The kind of the system's error behind one of SQLite.
fn kind(error: &rusqlite::Error) -> io::ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::OutOfMemory) => io::ErrorKind::OutOfMemory,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => io::ErrorKind::ResourceBusy,
        Some(ErrorCode::ReadOnly) => io::ErrorKind::ReadOnlyFilesystem,
        Some(ErrorCode::PermissionDenied) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    }
}
