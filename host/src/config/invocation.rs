//! The part of a command line that is about the configuration.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::problem::ConfigError;

/// The file that is read when the command line names none.
const FILE: &str = "tinymcp.toml";

/// The choices of a command line about the configuration. They are kept, so that a reload reads the same.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The file that was named; without one, `tinymcp.toml` in the working directory, if it is there.
    pub file: Option<PathBuf>,
    /// Values that are stronger than those of file and environment.
    pub overrides: Vec<Override>,
    /// The purpose of the configuration.
    pub purpose: Purpose,
}

/// One value from the command line.
#[derive(Clone, Debug)]
pub struct Override {
    /// The key that it replaces, such as `server.listen`.
    pub key: &'static str,
    /// The value, as a variable would hold it.
    pub value: String,
    /// The argument that says so, such as `--listen`.
    pub argument: &'static str,
}

/// The purpose of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Serving: people must be able to log in.
    Serve,
    /// Looking at plugins, or at the configuration: login may be unfinished.
    Look,
}

impl Invocation {
    /// A command line that names no file and overrides nothing.
    pub fn new(purpose: Purpose) -> Self {
        Self { file: None, overrides: Vec::new(), purpose }
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(FILE))
    }

    /// The directory of that file: of its `.env`, and of relative paths in it. Empty for the working directory.
    pub fn directory(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new(""))
    }

    /// The text of the file; none when no file was named and there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Option<String>, ConfigError> {
        match fs::read_to_string(self.path()) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.file.is_none() => Ok(None),
            Err(cause) => Err(ConfigError::Unreadable { path: self.path().to_owned(), cause }),
        }
    }
}
