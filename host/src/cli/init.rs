//! `tinymcp init`: a directory to begin with, made by this program alone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::new::{self, Starter, Tongue};
use super::{Failure, output};
use crate::config::Environment;

/// The files, as the project ships them; the last one is for git.
const FILES: [(&str, &str); 3] = [
    ("tinymcp.toml", include_str!("../../../tinymcp.toml")),
    (".env.example", include_str!("../../../.env.example")),
    (".gitignore", "/.env\n/.tinymcp\n/plugins/target\n/plugins/*.wasm\n"),
];

/// The line from which on the shipped configuration is about the plugins of the project, which nobody else has.
const OWN_PLUGINS: &str = "# Of the plugins of this project, from here on.";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The directory, which is made if it is not there
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The language of the first plugin [default: one whose tools are here, Rust before the others]
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Tongue>,
    /// The name of the first plugin
    #[arg(long, value_name = "NAME", default_value = "hello")]
    plugin: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { directory, plugin, .. } = arguments;
    let failed =
        |path: &Path, error: io::Error| Failure::failed(format!("`{}` cannot be written: {error}", path.display()));
    let beneath = directory.ancestors().find(|above| above.exists());
    if let Some(file) = beneath.filter(|above| !above.is_dir()) {
        return Err(Failure::start(format!(
            "`{}` is a file: name a directory to make or to fill, such as `tinymcp init my-tools`",
            file.display()
        )));
    }
    let config = directory.join(FILES[0].0);
    if config.exists() {
        return Err(Failure::start(format!(
            "`{}` is there already: `tinymcp new NAME` adds a plugin to it",
            config.display()
        )));
    }
    let tongue = arguments.lang.unwrap_or_else(tongue_at_hand);
    let crate_directory = directory.join("plugins").join(plugin);
    // First, since its name may be none: then nothing is made.
    new::begin(&crate_directory, plugin, tongue, Starter::Plain)?;
    for (file, text) in FILES {
        let text = text.split(OWN_PLUGINS).next().unwrap_or(text).trim_end();
        let path = directory.join(file);
        match fs::File::options().write(true).create_new(true).open(&path) {
            Ok(mut file) => writeln!(file, "{text}").map_err(|error| failed(&path, error))?,
            // Somebody's own, such as a `.gitignore`.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    let files = [
        (config, "every key, its default, and the reasons to change it"),
        (directory.join(FILES[1].0), "the variables of a login, to be copied to `.env`; not needed to begin with"),
        (crate_directory.join("wit/world.wit"), "the first tool's parameters and result, with its description"),
        (crate_directory.join(tongue.code()), "its code"),
        (crate_directory.join(new::CASES), "its first tests"),
    ];
    if arguments.json {
        let files: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        let directory = directory.display().to_string();
        output::json(&json!({ "directory": directory, "plugin": plugin, "files": files }));
        return Ok(());
    }
    output::line(&format!("created {}", directory.display()));
    for (path, what) in files {
        output::line(&format!("  {}  {}", path.display(), output::dim(what)));
    }
    let enter = if directory == Path::new(".") { String::new() } else { format!("cd {} && ", directory.display()) };
    if let Some(tools) = tongue.tools(&Path::new("plugins").join(plugin)) {
        output::line(&format!("\nbefore the first build: `{enter}{tools}`"));
    }
    output::line(&format!(
        "\n`{enter}tinymcp dev` builds it, tests it, serves it on this machine, and says how to connect a client"
    ));
    Ok(())
}

/// A language whose program is on the search path.
fn tongue_at_hand() -> Tongue {
    let environment = Environment::read(Path::new(""));
    let path = environment.of_process("PATH").unwrap_or_default();
    let is_here =
        |tongue: &Tongue| std::env::split_paths(path).any(|directory| directory.join(tongue.program()).is_file());
    [Tongue::Rust, Tongue::Python, Tongue::Javascript].into_iter().find(is_here).unwrap_or(Tongue::Rust)
}
