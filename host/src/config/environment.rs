//! The environment as a value: the process's variables, and the `.env` file for those that are not set.
//!
//! Nothing else in the program reads a variable, so that a test needs none.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::problem::{Fault, Problem, Source};
use super::template::{Lookup, is_variable_name};

/// Name of the file beside the configuration.
const DOT_ENV: &str = ".env";

/// The end of a variable's name that names a file instead of holding the value itself.
const FILE_SUFFIX: &str = "_FILE";

/// The largest file that a variable may name: keys and secrets are small.
const VALUE_BYTES_MAX: u64 = 64 * 1024;

/// Variables by name. An empty one, or one of white space alone, counts as not set, so that `.env.example` can list names without values.
///
/// Where `NAME` is not set and `NAME_FILE` is, the value is the content of that file, as secrets of containers are
/// handed over. The file is read when its value is first asked for: many programs have variables of such names.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// The contents of the file of each `NAME_FILE`, by `NAME`.
    files: BTreeMap<String, OnceLock<Content>>,
    /// What files gave when they were read before, for those that give nothing now.
    last: ValueFiles,
    /// The files that keys name.
    noted: Arc<Mutex<BTreeMap<PathBuf, Noted>>>,
    /// Lines of `.env` that assign nothing.
    problems: Vec<Problem>,
}

#[derive(Clone)]
struct Variable {
    value: String,
    /// The `.env` file and the line in it; none for one of the process.
    line: Option<(Arc<str>, usize)>,
}

/// A file that a key names.
#[derive(Clone)]
struct Noted {
    gives: Option<String>,
    /// The line that says why this is what it gave before.
    kept: Option<String>,
}

#[derive(Clone)]
struct Content {
    /// The value, or the system's error.
    value: Result<String, String>,
    /// The reason for which it is the last one, and not what the file holds.
    kept_because: Option<String>,
}

/// The files of `NAME_FILE` variables that were asked for a value, and those of texts that keys name, each with the last
/// that it gave.
#[derive(Clone, Default)]
pub struct ValueFiles(BTreeMap<PathBuf, Option<String>>);

impl ValueFiles {
    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

/// Shows files only: values are secrets.
impl fmt::Debug for ValueFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The process's variables, completed by the `.env` of the configuration's directory if there is one.
    ///
    /// A file that cannot be read, or a bad line in it, is reported when the configuration is loaded, with
    /// everything else. Variables that are not UTF-8 are left out.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment; everybody else gets this value"
    )]
    pub fn read(directory: &Path) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment: Self = std::env::vars_os().filter_map(text).collect();
        let path = directory.join(DOT_ENV);
        let file: Arc<str> = path.display().to_string().into();
        match fs::read_to_string(&path) {
            Ok(text) => environment.with_dot_env(&file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => environment,
            Err(error) => environment.with_unreadable(file, &error),
        }
    }

    /// The same, where a file that gives nothing now keeps the value that it gave before: whatever else has changed, such
    /// as a grant that is withdrawn, need not wait for it.
    #[must_use]
    pub fn keeping(self, last: ValueFiles) -> Self {
        Self { last, ..self }
    }

    /// The user's cache directory, by the XDG Base Directory Specification. Variables of `.env` do not count: that file
    /// belongs to one directory.
    pub fn user_cache(&self) -> Option<PathBuf> {
        let absolute = |name| self.of_process(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
    }

    /// The directory in which Docker and its relatives keep their user's logins. `.env` has no say in it.
    pub fn docker_config(&self) -> Option<PathBuf> {
        let set = |name| self.of_process(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))
    }

    /// A variable of the process itself: where the programs of its user keep their files.
    pub fn of_process(&self, name: &str) -> Option<&str> {
        self.variables.get(name).filter(|variable| variable.line.is_none()).map(|variable| variable.value.as_str())
    }

    /// The same, with the assignments of a `.env` text wherever a variable is not set already.
    ///
    /// A line is `NAME=value`, after an optional `export`; `#` begins a comment, within a line after a space. A value
    /// in single quotes is literal; in double quotes `\n`, `\t`, `\"`, `\\` and `\$` are escapes. The last line wins.
    #[must_use]
    pub fn with_dot_env(mut self, file: &Arc<str>, text: &str) -> Self {
        let mut assigned = BTreeMap::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in (1..).zip(text.lines()) {
            match assignment(line.trim()) {
                Ok(None) => {}
                Ok(Some((name, value))) => {
                    let line = Some((Arc::clone(file), number));
                    assigned.insert(name.to_owned(), Variable { value, line });
                }
                Err(reason) => self.problems.push(Problem {
                    source: Source::line(file, number),
                    key: None,
                    fault: Fault::Assignment(reason),
                }),
            }
        }
        for (name, variable) in assigned {
            if self.plain(&name).is_none() && self.plain(&format!("{name}{FILE_SUFFIX}")).is_none() {
                self.variables.insert(name, variable);
            }
        }
        self.with_files()
    }

    fn with_files(mut self) -> Self {
        let named = self.variables.keys().filter_map(|name| name.strip_suffix(FILE_SUFFIX));
        self.files = named.map(|name| (name.to_owned(), OnceLock::new())).collect();
        self
    }

    fn with_unreadable(mut self, file: Arc<str>, error: &io::Error) -> Self {
        self.problems.push(Problem {
            source: Source::File { file, line: None },
            key: None,
            fault: Fault::Unreadable(error.to_string()),
        });
        self
    }

    /// The value of a variable, or of the file that `NAME_FILE` names; none when neither is set, or it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.plain(name).or_else(|| self.file_value(name)?.as_deref().ok().filter(|value| !is_blank(value)))
    }

    /// The same for templates, which say why there is no value.
    pub fn lookup(&self, name: &str) -> Lookup<'_> {
        match (self.get(name), self.unreadable(name)) {
            (Some(value), _) => Ok(Some(value)),
            (None, Some(reason)) => Err(reason),
            (None, None) => Ok(None),
        }
    }

    /// The reason for which the file of `NAME_FILE` gives no value, if the variable is not set because of it.
    pub(super) fn unreadable(&self, name: &str) -> Option<String> {
        let reason = match self.file_value(name)? {
            Err(reason) => reason,
            Ok(value) if is_blank(value) => "the file is empty",
            Ok(_) => return None,
        };
        self.plain(name).is_none().then(|| reason.to_owned())
    }

    /// The variables that name files, and these.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.files.keys().filter_map(|name| {
            let name = format!("{name}{FILE_SUFFIX}");
            let path = self.variables.get(&name).filter(|file| !file.value.is_empty())?.path();
            Some((name, path))
        })
    }

    fn plain(&self, name: &str) -> Option<&str> {
        let variable = self.variables.get(name)?;
        Some(variable.value.as_str()).filter(|value| !is_blank(value))
    }

    /// The files that were read for values, or tried, now or before, as long as a variable names them.
    pub fn value_files(&self) -> ValueFiles {
        let mut files = BTreeMap::new();
        for (name, content) in &self.files {
            let Some(path) = self.file_variable(name).map(Variable::path) else { continue };
            let before = self.last.0.get(&path);
            let value = match content.get() {
                Some(content) => content.value.clone().ok().filter(|value| !is_blank(value)),
                None if before.is_some() => None,
                None => continue,
            };
            files.insert(path, value.or_else(|| before.cloned().flatten()));
        }
        files.extend(self.noted().iter().map(|(path, noted)| (path.clone(), noted.gives.clone())));
        ValueFiles(files)
    }

    /// A line for each file that gave nothing, and of which the last value is used.
    pub fn kept(&self) -> impl Iterator<Item = String> {
        let of_keys: Vec<String> = self.noted().values().filter_map(|noted| noted.kept.clone()).collect();
        let of_variables = self.files.iter().filter_map(|(name, content)| {
            let reason = content.get()?.kept_because.as_ref()?;
            let source = self.source(name);
            Some(format!("{source}: the file that it names cannot be used: {reason}; its last value stays in force"))
        });
        of_variables.chain(of_keys)
    }

    /// What a file gave when it was read before.
    pub(super) fn last_of(&self, path: &Path) -> Option<String> {
        self.last.0.get(path).cloned().flatten()
    }

    /// Counts a file that a key names among those that are looked at, with what it gives, and why that is kept if it is
    /// what the file gave before.
    pub(super) fn note(&self, path: &Path, gives: Option<String>, kept: Option<String>) {
        self.noted().insert(path.to_owned(), Noted { gives, kept });
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(&format!("{name}{FILE_SUFFIX}")).filter(|file| !file.value.is_empty())
    }

    fn file_value(&self, name: &str) -> Option<&Result<String, String>> {
        let file = self.files.get(name)?;
        let variable = self.file_variable(name)?;
        Some(&file.get_or_init(|| variable.content(&self.last)).value)
    }

    /// The source of a variable.
    pub(super) fn source(&self, name: &str) -> Source {
        let named = format!("{name}{FILE_SUFFIX}");
        let name = if self.plain(name).is_none() && self.files.contains_key(name) { &named } else { name };
        Source::Variable {
            name: name.to_owned(),
            line: self.variables.get(name).and_then(|variable| variable.line.clone()),
        }
    }

    /// The names of the variables that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str).filter(|name| self.plain(name).is_some())
    }

    /// The problems of the `.env` file.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variable = |(name, value): (N, V)| {
            let value = value.into();
            (name.into(), Variable { value, line: None })
        };
        let variables = variables.into_iter().map(variable).collect();
        Self { variables, ..Self::default() }.with_files()
    }
}

impl Variable {
    /// The file that this variable names. A relative path of a `.env` begins where that stands.
    fn path(&self) -> PathBuf {
        let directory = self.line.as_ref().and_then(|(file, _)| Path::new(&**file).parent());
        directory.unwrap_or(Path::new("")).join(&self.value)
    }

    /// The content of that file, or the last that it gave.
    fn content(&self, last: &ValueFiles) -> Content {
        let Some(last) = last.0.get(&self.path()).cloned().flatten() else {
            return Content { value: self.read_file().map_err(|error| error.to_string()), kept_because: None };
        };
        // A pipe in the place of a file could keep its reader waiting for ever.
        let is_file = fs::metadata(self.path()).map(|metadata| metadata.is_file());
        let read = is_file.and_then(|is_file| if is_file { self.read_file().map(Some) } else { Ok(None) });
        let reason = match read {
            Ok(Some(text)) if !is_blank(&text) => return Content { value: Ok(text), kept_because: None },
            Ok(Some(_)) => "the file is empty".to_owned(),
            Ok(None) => "it is no regular file".to_owned(),
            Err(error) => error.to_string(),
        };
        Content { value: Ok(last), kept_because: Some(reason) }
    }

    /// The content of that file, without the end of its last line.
    fn read_file(&self) -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(self.path())?.take(VALUE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > VALUE_BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {VALUE_BYTES_MAX} bytes")));
        }
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(text)
    }
}

/// Shows names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

fn is_blank(value: &str) -> bool {
    value.trim().is_empty()
}

/// The assignment on one line, if there is one, or why the line is none.
fn assignment(line: &str) -> Result<Option<(&str, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=').ok_or("no `=`")?;
    let name = name.trim_end();
    if !is_variable_name(name) {
        return Err("a name is made of letters, digits and `_`");
    }
    let value = value.trim_start();
    let (value, rest) = match value.as_bytes().first() {
        Some(b'\'') => single_quoted(&value[1..])?,
        Some(b'"') => double_quoted(&value[1..])?,
        _ => (unquoted(value), ""),
    };
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err("something follows the closing quote");
    }
    Ok(Some((name, value)))
}

fn unquoted(text: &str) -> String {
    let comment = |(at, _): &(usize, &str)| text[..*at].is_empty() || text[..*at].ends_with([' ', '\t']);
    let end = text.match_indices('#').find(comment).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end().to_owned()
}

fn single_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let (value, rest) = text.split_once('\'').ok_or("a quote is not closed")?;
    Ok((value.to_owned(), rest))
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match letters.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, escaped @ ('"' | '\\' | '$'))) => escaped,
                _ => return Err(r#"in double quotes only \n, \t, \", \\ and \$ are escapes"#),
            }),
            other => value.push(other),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_dot_env() {
        for (line, expected) in [
            ("", Ok(None)),
            ("# A=b", Ok(None)),
            ("A=b", Ok(Some(("A", "b")))),
            ("export A = b c  # comment", Ok(Some(("A", "b c")))),
            ("exported=1", Ok(Some(("exported", "1")))),
            ("A=b#c", Ok(Some(("A", "b#c")))),
            ("A=# nothing", Ok(Some(("A", "")))),
            ("A='b \"#\" $c' # comment", Ok(Some(("A", "b \"#\" $c")))),
            (r#"A="b\n\"c\"\\ \$ # '""#, Ok(Some(("A", "b\n\"c\"\\ $ # '")))),
            ("A=a=b", Ok(Some(("A", "a=b")))),
            ("A", Err("no `=`")),
            ("1A=b", Err("a name is made of letters, digits and `_`")),
            ("A='b", Err("a quote is not closed")),
            ("A=\"b", Err("a quote is not closed")),
            ("A='b'c", Err("something follows the closing quote")),
        ] {
            let assignment = assignment(line);
            let found = assignment.as_ref().map(|found| found.as_ref().map(|(name, value)| (*name, value.as_str())));
            assert_eq!(found.map_err(|reason| *reason), expected, "{line}");
        }
    }

    #[test]
    fn dot_env_speaks_only_where_the_process_is_silent() {
        let process = Environment::from_iter([("A", "process"), ("B", "")]);
        let environment = process.with_dot_env(&".env".into(), "A=file\nB=file\nC=\nC=last\nnonsense");
        assert_eq!(environment.get("A"), Some("process"));
        assert_eq!(environment.get("B"), Some("file"));
        assert_eq!(environment.get("C"), Some("last"));
        assert_eq!(environment.source("C").to_string(), ".env:4: C");
        assert_eq!(environment.source("A").to_string(), "A");
        let [problem] = environment.problems() else { panic!("one problem") };
        assert_eq!(problem.to_string(), ".env:5: not a `NAME=value` line: no `=`");
        assert!(!format!("{environment:?}").contains("process"));
    }

    #[test]
    fn the_users_cache_is_said_by_the_process_alone() {
        let environment = |variables: &[(&str, &str)]| -> Environment {
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let cases = [
            (vec![("HOME", "/home/ada")], Some("/home/ada/.cache")),
            (vec![("HOME", "/home/ada"), ("XDG_CACHE_HOME", "/var/ada")], Some("/var/ada")),
            (vec![("HOME", "/home/ada"), ("XDG_CACHE_HOME", "relative")], Some("/home/ada/.cache")),
            (vec![], None),
        ];
        for (variables, expected) in cases {
            let environment = environment(&variables).with_dot_env(&Arc::from(".env"), "XDG_CACHE_HOME=/elsewhere");
            assert_eq!(environment.user_cache().as_deref(), expected.map(Path::new), "{variables:?}");
        }
    }

    #[test]
    fn a_file_stands_for_a_variable_that_is_not_set() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), "hunter2\n").unwrap();
        let absolute = directory.path().join("secret").display().to_string();
        let missing = directory.path().join("missing").display().to_string();
        let process =
            [("A_FILE", absolute.as_str()), ("B", "plain"), ("B_FILE", missing.as_str()), ("C_FILE", missing.as_str())];
        let dot_env = directory.path().join(".env").display().to_string().into();
        let environment = Environment::from_iter(process).with_dot_env(&dot_env, "D_FILE=secret");
        assert_eq!(environment.value_files().paths().count(), 0);
        assert_eq!(environment.get("A"), Some("hunter2"));
        assert_eq!(environment.value_files().paths().collect::<Vec<_>>(), [Path::new(&absolute)]);
        assert_eq!(environment.get("B"), Some("plain"));
        assert_eq!(environment.get("C"), None);
        assert_eq!(environment.get("D"), Some("hunter2"));
        assert_eq!(environment.unreadable("B"), None);
        assert!(environment.unreadable("C").unwrap().starts_with("No such file"));
        assert_eq!(environment.source("A").to_string(), "A_FILE");
    }

    #[test]
    fn a_file_that_is_too_large_gives_no_part_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let most = usize::try_from(VALUE_BYTES_MAX).unwrap();
        let read = |bytes: usize| {
            fs::write(&file, "x".repeat(bytes)).unwrap();
            Environment::from_iter([("A_FILE", file.display().to_string())])
        };
        assert_eq!(read(most).get("A").map(str::len), Some(most));
        let environment = read(most + 1);
        assert_eq!(environment.get("A"), None);
        assert!(environment.unreadable("A").unwrap().contains("larger than 65536 bytes"));
    }

    #[test]
    fn a_file_that_gives_nothing_keeps_its_last_value() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let variables = [("A_FILE", file.display().to_string())];
        fs::write(&file, "hunter2\n").unwrap();
        let first = Environment::from_iter(variables.clone());
        assert_eq!((first.get("A"), first.kept().count()), (Some("hunter2"), 0));
        let mut last = first.value_files();
        assert!(!format!("{last:?}").contains("hunter2"));
        for (is_there, reason) in [(false, "No such file"), (true, "the file is empty")] {
            let _ = if is_there { fs::write(&file, " \n") } else { fs::remove_file(&file) };
            let environment = Environment::from_iter(variables.clone()).keeping(last);
            assert_eq!((environment.get("A"), environment.unreadable("A")), (Some("hunter2"), None));
            let kept: Vec<String> = environment.kept().collect();
            assert!(kept.len() == 1 && kept[0].starts_with("A_FILE: ") && kept[0].contains(reason), "{kept:?}");
            // Also where nobody has asked for it, such as in a configuration that cannot be read.
            last = Environment::from_iter(variables.clone()).keeping(environment.value_files()).value_files();
        }
        fs::write(&file, "another").unwrap();
        let environment = Environment::from_iter(variables.clone()).keeping(last.clone());
        assert_eq!((environment.get("A"), environment.kept().count()), (Some("another"), 0));
        let elsewhere = [("A_FILE", directory.path().join("elsewhere").display().to_string())];
        assert!(Environment::from_iter(elsewhere).keeping(last).unreadable("A").is_some());
    }
}
