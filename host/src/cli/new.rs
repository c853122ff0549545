//! `tinymcp new`: a plugin crate that builds, and is served as soon as it is built.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::build::artifact::Artifact;
use super::build::wit::hint::RESERVED;
use super::{ConfigArguments, Failure, output, plugin_loader};
use crate::config::names::snake;

/// Words that Rust reserves, and `test`, which names its test harness: no crate or function can be called so.
const RUST_WORDS: &str = "\
    abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen \
    if impl in let loop macro match mod move mut override priv pub ref return self static struct super test trait \
    true try type typeof union unsafe unsized use virtual where while yield";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugin's name, in kebab case
    name: String,
    /// Begin with a tool that sends requests, or that keeps something, instead of one that computes
    #[arg(long)]
    with: Option<Need>,
}

/// Something that a plugin needs beyond computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Need {
    /// Requests by `wasi:http`
    Http,
    /// State by `tinymcp:plugin/kv`
    Kv,
}

impl Need {
    /// What a crate with it has in place of the plain one's.
    const fn start(self) -> Start {
        match self {
            Self::Http => Start {
                lib: include_str!("../../templates/plugin/http/lib.rs"),
                world: include_str!("../../templates/plugin/http/world.wit"),
                dependencies: "# HTTP by `wasi:http`.\nwstd = { version = \"0.6\", default-features = false }\n",
            },
            Self::Kv => Start {
                lib: include_str!("../../templates/plugin/kv/lib.rs"),
                world: include_str!("../../templates/plugin/kv/world.wit"),
                dependencies: "",
            },
        }
    }
}

/// The part of a crate that depends on what it is for.
#[derive(Clone, Copy)]
struct Start {
    lib: &'static str,
    world: &'static str,
    /// Lines at the end of `[dependencies]`.
    dependencies: &'static str,
}

/// The start of a plugin that computes.
const PLAIN: Start = Start {
    lib: include_str!("../../templates/plugin/lib.rs"),
    world: include_str!("../../templates/plugin/world.wit"),
    dependencies: "",
};

/// The last line of `[dependencies]` in the template of `Cargo.toml`.
const LAST_DEPENDENCY: &str = "wit-bindgen = \"0.61\"\n";

/// The files of a crate that are the same for all. In every file `NAME` stands for the name in kebab case, `FUNCTION` in
/// snake case.
const FILES: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../../templates/plugin/Cargo.toml")),
    ("build.rs", include_str!("../../templates/plugin/build.rs")),
    (".gitignore", include_str!("../../templates/plugin/gitignore")),
];

/// The place of the host's WIT in a crate: both ways to build look for packages here.
const DEPS: &str = "wit/deps/tinymcp-plugin";

/// The WIT of the host, `tinymcp:plugin`. It is copied as it is, so that a world only needs a line to import from it.
const WIT: [(&str, &str); 9] = [
    ("completions.wit", include_str!("../../../wit/completions.wit")),
    ("content.wit", include_str!("../../../wit/content.wit")),
    ("host.wit", include_str!("../../../wit/host.wit")),
    ("input.wit", include_str!("../../../wit/input.wit")),
    ("kv.wit", include_str!("../../../wit/kv.wit")),
    ("prompts.wit", include_str!("../../../wit/prompts.wit")),
    ("resources.wit", include_str!("../../../wit/resources.wit")),
    ("tools.wit", include_str!("../../../wit/tools.wit")),
    ("world.wit", include_str!("../../../wit/world.wit")),
];

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.name;
    require_name(name).map_err(Failure::start)?;
    let config = ConfigArguments { config: arguments.config.config.clone() }.look()?;
    plugin_loader::require_directory(&config)?;
    let directory = config.plugins.dir.join(name);
    write(&directory, name, arguments.with.map_or(PLAIN, Need::start)).map_err(Failure::start)?;
    output::line(&format!("created {}", directory.display()));
    output::line(&format!(
        "  {}  the tool's parameters and result, with its description",
        directory.join("wit/world.wit").display()
    ));
    output::line(&format!("  {}  its code", directory.join("src/lib.rs").display()));
    output::line(&format!("  {}  the WIT of this host, to import from", directory.join(DEPS).display()));
    let artifact = Artifact::of(&config.plugins.dir, name);
    if artifact.is_foreign() {
        output::warning(&format!(
            "`{}` is there already and was not made here: the first build of this crate replaces it, and keeps it as `{}`",
            artifact.component().display(),
            artifact.free_name().display()
        ));
    }
    output::line(&format!("\nbuild it with `tinymcp build {name}`; `tinymcp dev` does it whenever a file changes"));
    if arguments.with.is_some() {
        output::line(&format!(
            "then `tinymcp grant {name}` says what to write into `tinymcp.toml`, so that it may do what it does"
        ));
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error(
        "`{0}` cannot name a plugin: use lower-case letters and digits in words joined by `-`, each beginning with a letter"
    )]
    Name(String),
    #[error("`{0}` is a reserved word of Rust or WIT: choose another name, such as `my-{0}`")]
    Reserved(String),
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    #[error("`{}` cannot be written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Names that are WIT identifiers and crate names at once.
fn require_name(name: &str) -> Result<(), NewError> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if !name.split('-').all(is_word) || name.len() > 40 {
        return Err(NewError::Name(name.to_owned()));
    }
    if RUST_WORDS.split(' ').chain(RESERVED.split(' ')).any(|word| word == name) {
        return Err(NewError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn write(directory: &Path, name: &str, start: Start) -> Result<(), NewError> {
    if directory.exists() {
        return Err(NewError::Exists(directory.to_owned()));
    }
    let own = [("src/lib.rs", start.lib), ("wit/world.wit", start.world)];
    for (file, template) in FILES.into_iter().chain(own) {
        let dependencies = format!("{LAST_DEPENDENCY}{}", start.dependencies);
        let template = template.replace(LAST_DEPENDENCY, &dependencies);
        let text = template.replace("NAME", name).replace("FUNCTION", &snake(name));
        write_file(directory.join(file), &text)?;
    }
    let deps = directory.join(DEPS);
    WIT.iter().try_for_each(|(file, text)| write_file(deps.join(file), text))
}

fn write_file(path: PathBuf, text: &str) -> Result<(), NewError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(&path, text)).map_err(|source| NewError::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_gets_the_whole_wit_of_the_host() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let files = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
        let mut wit: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "wit")).collect();
        wit.sort();
        let names: Vec<_> = wit.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(WIT.map(|(file, _)| file), names.as_slice());
    }

    #[test]
    fn dependencies_go_where_the_others_are() {
        let (_, manifest) = FILES[0];
        assert_eq!(manifest.matches(LAST_DEPENDENCY).count(), 1, "{manifest}");
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("sky"), "sky", Need::Http.start()).unwrap();
        let manifest = fs::read_to_string(dir.path().join("sky/Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
        assert!(dependencies.split('[').next().unwrap().contains("wstd = "), "{manifest}");
    }

    #[test]
    fn names_fit_wit_and_cargo() {
        for good in ["weather", "my-tool2", "a"] {
            assert!(require_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Weather", "2fast", "my_tool", "my--tool", "-a", "a-", "a-2", "../x", "list", "match"] {
            assert!(require_name(bad).is_err(), "{bad}");
        }
    }
}
