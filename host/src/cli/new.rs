//! `tinymcp new`: a plugin that builds, and is served as soon as it is built.

mod templates;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

pub(super) use self::templates::{CASES, Starter, Tongue};
use super::build::artifact::Artifact;
use super::build::host_wit;
use super::build::wit::hint::RESERVED;
use super::{ConfigArguments, Failure, output, plugin_loader};
use crate::config::names::snake;

/// Words that Rust reserves, and `test`, which names its test harness: no crate or function can be called so.
const RUST_WORDS: &str = "\
    abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen \
    if impl in let loop macro match mod move mut override priv pub ref return self static struct super test trait \
    true try type typeof union unsafe unsized use virtual where while yield";

/// Words that Python or JavaScript reserve, and those of Rust do not name: the functions are called so there.
const OTHER_WORDS: &str = "\
    and arguments assert case catch class debugger def default del delete elif eval except export finally from function \
    global implements import instanceof interface is lambda new none nonlocal not null or package pass private \
    protected public raise switch this throw undefined var void with";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugin's name, in kebab case
    name: String,
    /// The language
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: Tongue,
    /// What its tool does to begin with
    #[arg(long, default_value = "plain", conflicts_with = "with")]
    template: Starter,
    /// The same as `--template`
    #[arg(long, hide = true)]
    with: Option<Starter>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.name;
    require_name(name, arguments.lang).map_err(Failure::start)?;
    let config = ConfigArguments { config: arguments.config.config.clone() }.look()?;
    plugin_loader::require_directory(&config)?;
    let directory = config.plugins.dir.join(name);
    let starter = arguments.with.unwrap_or(arguments.template);
    write(&directory, name, arguments.lang, starter).map_err(Failure::start)?;
    if arguments.json {
        let shown = |path: PathBuf| path.display().to_string();
        let files = [shown(directory.join("wit/world.wit")), shown(directory.join(arguments.lang.code()))];
        output::json(&json!({
            "plugin": name, "directory": shown(directory), "files": files, "needsGrant": starter.needs_grant(),
        }));
        return Ok(());
    }
    output::line(&format!("created {}", directory.display()));
    output::line(&format!(
        "  {}  the tool's parameters and result, with its description",
        directory.join("wit/world.wit").display()
    ));
    output::line(&format!("  {}  its code", directory.join(arguments.lang.code()).display()));
    output::line(&format!("  {}  its first tests", directory.join(CASES).display()));
    let artifact = Artifact::of(&config.plugins.dir, name);
    if artifact.is_foreign() {
        output::warning(&format!(
            "`{}` is there already and was not made here: the first build of this crate replaces it, and keeps it as `{}`",
            artifact.component().display(),
            artifact.free_name().display()
        ));
    }
    output::line(&format!(
        "\nbuild it with `tinymcp build {name}`, and test it with `tinymcp test {name}`; `tinymcp dev` does both whenever a file changes"
    ));
    if let Some(tools) = arguments.lang.tools(&directory) {
        output::line(&format!("before the first build: `{tools}`"));
    }
    if starter.needs_grant() {
        output::line(&format!(
            "then `tinymcp grant {name}` says what to write into `tinymcp.toml`, so that it may do what it does"
        ));
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error(
        "`{0}` cannot name a plugin: use lower-case letters and digits in words joined by `-`, the first beginning with a letter{hint}",
        hint = .1.as_ref().map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
    )]
    Name(String, Option<String>),
    #[error("`{0}` is a reserved word of {1} or WIT: choose another name, such as `my-{0}`")]
    Reserved(String, &'static str),
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    #[error("`{}` cannot be written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Names that are WIT identifiers, and names of crates and functions at once.
fn require_name(name: &str, tongue: Tongue) -> Result<(), NewError> {
    if !is_name(name) {
        let meant = meant_by(name);
        return Err(NewError::Name(name.to_owned(), meant));
    }
    let has = |words: &str| words.split(' ').any(|word| word == name);
    if has(RUST_WORDS) || has(RESERVED) {
        return Err(NewError::Reserved(name.to_owned(), "Rust"));
    }
    if tongue != Tongue::Rust && has(OTHER_WORDS) {
        return Err(NewError::Reserved(name.to_owned(), "Python, JavaScript"));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(is_word) && name.len() <= 40
}

/// The name that was meant by one with other spaces between words, or with capitals.
fn meant_by(name: &str) -> Option<String> {
    let mut meant = String::new();
    let mut was_lower = false;
    for char in name.chars() {
        if char.is_ascii_alphanumeric() {
            if char.is_ascii_uppercase() && was_lower {
                meant.push('-');
            }
            meant.push(char.to_ascii_lowercase());
        } else if !meant.is_empty() && !meant.ends_with('-') && "_- .".contains(char) {
            meant.push('-');
        } else if !"_- .".contains(char) {
            return None;
        }
        was_lower = char.is_ascii_lowercase() || char.is_ascii_digit();
    }
    let meant = meant.trim_matches('-').to_owned();
    is_name(&meant).then_some(meant)
}

/// Writes the files of a new plugin.
pub(super) fn begin(directory: &Path, name: &str, tongue: Tongue, starter: Starter) -> Result<(), Failure> {
    require_name(name, tongue).and_then(|()| write(directory, name, tongue, starter)).map_err(Failure::start)
}

fn write(directory: &Path, name: &str, tongue: Tongue, starter: Starter) -> Result<(), NewError> {
    if directory.exists() {
        return Err(NewError::Exists(directory.to_owned()));
    }
    for (file, template) in templates::files(tongue, starter) {
        let text = template.replace("NAME", name).replace("FUNCTION", &snake(name)).replace("METHOD", &camel(name));
        write_file(&directory.join(file), &text)?;
    }
    // A plugin that imports nothing of the host's needs nothing of it in its way. But cargo and cargo-component build a crate
    // without this program too, and find it there once the world names it.
    let path = directory.join(host_wit::DEPS);
    let supplied = match tongue {
        Tongue::Rust => host_wit::put(directory),
        Tongue::Python | Tongue::Javascript => host_wit::supply(directory).map(drop),
    };
    supplied.map_err(|source| NewError::Io { path, source })
}

/// The name of a function in JavaScript.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        camel + &initial.to_ascii_uppercase() + rest
    })
}

fn write_file(path: &Path, text: &str) -> Result<(), NewError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).map_err(|source| NewError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_go_where_the_others_are() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("sky"), "sky", Tongue::Rust, Starter::Http).unwrap();
        let manifest = fs::read_to_string(dir.path().join("sky/Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
        assert!(dependencies.split('[').next().unwrap().contains("wstd = "), "{manifest}");
    }

    #[test]
    fn the_wit_of_the_host_is_there_where_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        for tongue in [Tongue::Rust, Tongue::Python, Tongue::Javascript] {
            for (starter, needed) in
                [(Starter::Plain, false), (Starter::Http, false), (Starter::Kv, true), (Starter::Ask, true)]
            {
                let directory = dir.path().join(format!("{tongue:?}-{starter:?}"));
                write(&directory, "my-tool2", tongue, starter).unwrap();
                let needed = needed || tongue == Tongue::Rust;
                assert_eq!(directory.join(host_wit::DEPS).is_dir(), needed, "{tongue:?} {starter:?}");
                let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
                assert_eq!(manifest.contains(host_wit::DEPS), tongue == Tongue::Rust, "{manifest}");
                for (file, _) in templates::files(tongue, starter) {
                    let text = fs::read_to_string(directory.join(file)).unwrap();
                    assert!(!["NAME", "FUNCTION", "METHOD"].iter().any(|mark| text.contains(mark)), "{file}: {text}");
                }
            }
        }
    }

    #[test]
    fn names_fit_wit_and_cargo() {
        for good in ["weather", "my-tool2", "a", "dice-2"] {
            assert!(require_name(good, Tongue::Rust).is_ok(), "{good}");
        }
        for bad in ["", "Weather", "2fast", "my_tool", "my--tool", "-a", "a-", "../x", "list", "match"] {
            assert!(require_name(bad, Tongue::Rust).is_err(), "{bad}");
        }
        assert!(require_name("lambda", Tongue::Rust).is_ok() && require_name("lambda", Tongue::Python).is_err());
    }

    #[test]
    fn a_name_in_another_spelling_is_understood() {
        for (name, meant) in [
            ("Dice_2", Some("dice-2")),
            ("myTool", Some("my-tool")),
            ("My Tool.", Some("my-tool")),
            ("HTTPThing", Some("httpthing")),
            ("2fast", None),
            ("../x", None),
            ("päckchen", None),
            ("", None),
        ] {
            assert_eq!(meant_by(name).as_deref(), meant, "{name}");
        }
        assert_eq!((camel("my-tool2"), camel("dice-2")), ("myTool2".to_owned(), "dice2".to_owned()));
    }
}
