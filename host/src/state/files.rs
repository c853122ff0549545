//! What the server makes in a state directory, by name: one list for who may read it, and for what a backup has.
//!
//! The directory may be one that holds other things too, so nothing but this is touched.

/// One of them.
pub(crate) struct StateFile {
    /// Its name, or the beginning of it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) in_backup: InBackup,
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of this name.
    File,
    /// Every file whose name begins so.
    Files,
    /// A directory with everything in it.
    Directory,
}

/// What a backup has of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InBackup {
    /// A copy of it.
    Copy,
    /// A database, which is copied as of one moment.
    Snapshot,
    /// Nothing: it is made again, or is of the running process alone.
    Nothing,
}

/// All of them. A new one is a line here.
pub(crate) const FILES: [StateFile; 14] = [
    of("key", Kind::File, InBackup::Copy),
    of("key.", Kind::Files, InBackup::Copy),
    of("switched-off", Kind::File, InBackup::Copy),
    of("names.json", Kind::Files, InBackup::Copy),
    of("versions.json", Kind::File, InBackup::Copy),
    of("folders.json", Kind::File, InBackup::Copy),
    of("shared-store.json", Kind::File, InBackup::Copy),
    of("store", Kind::Directory, InBackup::Snapshot),
    of("kv", Kind::Directory, InBackup::Snapshot),
    of("approved", Kind::Directory, InBackup::Copy),
    of("providers", Kind::Directory, InBackup::Copy),
    of("pulled", Kind::Directory, InBackup::Nothing),
    of("code", Kind::Directory, InBackup::Nothing),
    of("control", Kind::Directory, InBackup::Nothing),
];

/// Further files that are private, and of no use in a backup.
pub(crate) const PASSING: [&str; 2] = ["names.draft", "control.lock"];

const fn of(name: &'static str, kind: Kind, in_backup: InBackup) -> StateFile {
    StateFile { name, kind, in_backup }
}

impl StateFile {
    /// True for an entry of the state directory that this is about.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self.kind {
            Kind::File | Kind::Directory => name == self.name,
            Kind::Files => name.starts_with(self.name),
        }
    }
}

/// True for a file of ours, also while it is written: its name begins with a dot then, and ends otherwise.
pub(crate) fn is_file_of_ours(name: &str) -> bool {
    let (name, is_draft) = name.strip_prefix('.').map_or((name, false), |name| (name, true));
    let is =
        |file: &StateFile| file.kind != Kind::Directory && (file.is(name) || (is_draft && name.starts_with(file.name)));
    FILES.iter().any(is) || PASSING.contains(&name)
}
