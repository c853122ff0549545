//! Checks of the state directory and the plugins directory, which change nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Access;

use crate::diagnosis::Finding;
use crate::state::{Secrets, StateDir};

const STATE: &str = "state directory";
const PLUGINS: &str = "plugins directory";

/// The permissions of others in a file's mode.
const OTHERS: u32 = 0o077;

/// Checks the state directory: the server's permission to write there, the permissions of others, and the key.
pub(super) fn state(dir: &Path, secrets: &Secrets) -> Vec<Finding> {
    let shown = dir.display();
    let metadata = match fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return vec![not_there_yet(dir)],
        Err(error) => return vec![Finding::bad(STATE, format!("`{shown}`: {error}")).step(writable(dir))],
    };
    if !metadata.is_dir() {
        return vec![Finding::bad(STATE, format!("`{shown}` is not a directory")).step(writable(dir))];
    }
    if let Err(error) = rustix::fs::access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let seen = format!("`{shown}` cannot be read and written: {}", io::Error::from(error));
        return vec![Finding::bad(STATE, seen).step(writable(dir))];
    }
    vec![private(dir, &metadata), key(dir, secrets)]
}

fn writable(dir: &Path) -> String {
    format!(
        "Give `{}` to the user that the server runs as, or choose another with `state.dir`. Run this command as that user.",
        dir.display()
    )
}

/// The server makes the directory, and those above it.
fn not_there_yet(dir: &Path) -> Finding {
    let shown = dir.display();
    let above = dir.ancestors().skip(1).map(|above| if above == Path::new("") { Path::new(".") } else { above });
    let above = above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::good(STATE, format!("`{shown}` does not exist yet; the server creates it")),
        Err(error) => {
            let (above, error) = (above.display(), io::Error::from(error));
            Finding::bad(STATE, format!("`{shown}` cannot be created in `{above}`: {error}")).step(writable(dir))
        }
    }
}

fn private(dir: &Path, metadata: &fs::Metadata) -> Finding {
    let (shown, mode) = (dir.display(), metadata.permissions().mode() & 0o7777);
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    let finding = match (mode & OTHERS, is_own) {
        (0, true) => return Finding::good(STATE, format!("`{shown}`: writable, mode {mode:04o}")),
        (0, false) => Finding::note(STATE, format!("`{shown}` belongs to the user with the id {}", metadata.uid()))
            .step("Run this command as the user that the server runs as: another one may see other faults."),
        // The server narrows what is its own.
        (_, true) => {
            Finding::note(STATE, format!("`{shown}` has mode {mode:04o}; the server narrows it to 0700 at its start"))
        }
        (_, false) => Finding::bad(
            STATE,
            format!("`{shown}` has mode {mode:04o}, and belongs to the user with the id {}", metadata.uid()),
        )
        .step(writable(dir)),
    };
    match mode & OTHERS {
        0 => finding,
        _ => finding.step(format!("chmod 700 {shown}")),
    }
}

/// Checks the root keys. A key with which the server would not start is an error here too.
fn key(dir: &Path, secrets: &Secrets) -> Finding {
    let subject = "key";
    match StateDir::open_existing(dir, secrets) {
        Err(error) => return Finding::bad(subject, error.to_string()),
        Ok(None) => return Finding::good(subject, "does not exist yet; the server creates it at its first start"),
        Ok(Some(_)) => {}
    }
    let names = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name == "key" || name.starts_with("key.old")).collect();
    names.sort();
    let is_wide =
        |name: &String| fs::metadata(dir.join(name)).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0);
    let wide: Vec<String> =
        names.iter().filter(|name| is_wide(name)).map(|name| dir.join(name).display().to_string()).collect();
    if !wide.is_empty() {
        let wide = wide.join(" ");
        return Finding::bad(subject, format!("others may read {wide}, and with it forge every token"))
            .step(format!("chmod 600 {wide}"))
            .step("If somebody may have read it, change the key: docs/operations.md, Keys.");
    }
    Finding::good(subject, if secrets.current.is_some() { "TINYMCP_SECRET" } else { "intact and private" })
}

/// Checks the plugins directory.
pub(super) fn plugins(dir: &Path) -> Finding {
    let shown = dir.display();
    let cure = "Create it, or name another with `plugins.dir`, which is relative to the configuration file.";
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            let readable = format!("Let the user that the server runs as read `{shown}`.");
            let finding = Finding::bad(PLUGINS, format!("`{shown}`: {error}"));
            return finding.step(if error.kind() == io::ErrorKind::PermissionDenied {
                readable
            } else {
                cure.to_owned()
            });
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| name.ends_with(".wasm") && !name.starts_with('.')).collect();
    let unreadable: Vec<&str> =
        names.iter().filter(|name| File::open(dir.join(name)).is_err()).map(String::as_str).collect();
    if !unreadable.is_empty() {
        return Finding::bad(PLUGINS, format!("`{shown}`: {} cannot be read", unreadable.join(", ")))
            .step("Let the user that the server runs as read these files.");
    }
    match names.len() {
        0 => Finding::note(PLUGINS, format!("`{shown}` has no components"))
            .step("Put .wasm files there, or build the sources there with `tinymcp build`."),
        1 => Finding::good(PLUGINS, format!("`{shown}`, 1 component")),
        count => Finding::good(PLUGINS, format!("`{shown}`, {count} components")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Verdict::{self, Bad, Good, Note};

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn verdicts(dir: &Path) -> Vec<Verdict> {
        state(dir, &Secrets::default()).iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn looking_at_a_state_directory_changes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("deep/state");
        assert_eq!(verdicts(&dir), [Good]);
        assert!(!dir.exists());

        fs::create_dir_all(&dir).unwrap();
        set_mode(&dir, 0o755);
        assert_eq!(verdicts(&dir), [Note, Good]);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_key_is_whole_and_private() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        StateDir::open(dir, &Secrets::default()).unwrap();
        assert_eq!(verdicts(dir), [Good, Good]);
        set_mode(&dir.join("key"), 0o644);
        let found = state(dir, &Secrets::default());
        assert_eq!(found[1].verdict, Bad);
        assert_eq!(found[1].steps[0], format!("chmod 600 {}", dir.join("key").display()));
        set_mode(&dir.join("key"), 0o600);
        fs::write(dir.join("key.old"), "short").unwrap();
        assert_eq!(verdicts(dir), [Good, Bad]);
    }

    #[test]
    fn a_plugins_directory_must_be_there() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(plugins(scratch.path()).verdict, Note);
        fs::write(scratch.path().join("hello.wasm"), "").unwrap();
        fs::write(scratch.path().join(".draft.wasm"), "").unwrap();
        assert!(plugins(scratch.path()).seen.ends_with(", 1 component"));
        assert_eq!(plugins(&scratch.path().join("missing")).verdict, Bad);
        assert_eq!(plugins(&scratch.path().join("hello.wasm")).verdict, Bad);
    }
}
