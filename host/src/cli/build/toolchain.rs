//! The programs that make components, and the search for them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::error::BuildError;

/// The program that makes components of a language.
pub(super) struct Toolchain {
    /// Its name on the search path.
    pub(super) program: &'static str,
    /// The path where the language's package manager puts it in a plugin's own folder; it goes before the search path.
    pub(super) local: Option<&'static str>,
    /// The way to install it, for a plugin in this folder.
    pub(super) install: fn(&Path) -> String,
}

/// A program that is there and answers.
pub(super) struct Tool {
    pub(super) program: PathBuf,
    /// The version that it reports; another one builds everything again.
    pub(super) version: String,
}

impl Toolchain {
    /// Finds the program for a source in this folder.
    pub(super) async fn find(&self, directory: &Path) -> Result<Tool, BuildError> {
        let local = self.local.map(|local| directory.join(local)).filter(|local| local.is_file());
        let program = local.unwrap_or_else(|| self.program.into());
        let asked = Command::new(&program).arg("--version").stdin(Stdio::null()).output().await;
        let output = match asked {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BuildError::Missing { program: self.program, install: (self.install)(directory) });
            }
            Err(error) => return Err(BuildError::Start { program, source: error }),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(BuildError::Broken { program, said });
        }
        Ok(Tool { program, version: String::from_utf8_lossy(&output.stdout).trim().to_owned() })
    }
}
