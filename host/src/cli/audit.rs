//! `tinymcp audit`: finds lines of the audit, in its file and in those beside it that it was moved to.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

use super::{ConfigArguments, Failure, load, output};
use crate::audit::event::KINDS;
use crate::audit::read::{self, Filter, Wanted};
use crate::audit::{PEOPLE_PURPOSE, PeopleKeys, time};
use crate::config::Purpose;
use crate::config::units::Period;
use crate::state::StateDir;
use crate::vault::Vault;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Lines about this person: their address, the provider's name for them, or a hash out of a line
    #[arg(long, value_name = "PERSON")]
    person: Option<String>,
    /// Lines about this tool, or this plugin
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Lines of one kind
    #[arg(long, value_name = "KIND", value_parser = KINDS)]
    event: Option<String>,
    /// Lines since then: `1h`, `7d`, `2026-11-30`, `2026-11-30T05:00` (UTC)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// Lines until then, in the same forms
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<SystemTime>,
    /// Print the lines as they are, in JSON
    #[arg(long)]
    json: bool,
    /// The file, instead of `audit.file` of the configuration
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A span of time before now, or a time in UTC.
fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = text.parse::<Period>() {
        return SystemTime::now().checked_sub(ago.duration()).ok_or_else(|| "before the beginning of time".to_owned());
    }
    time::parse(text).ok_or_else(|| "expected such as `1h`, `7d`, `2026-11-30` or `2026-11-30T05:00`".to_owned())
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { config, person, tool, event, since, until, json, file } = arguments;
    let setup = load(&config.invocation(Purpose::Look, Vec::new()))?;
    let path = file.or_else(|| setup.config.audit.file.clone());
    let path =
        path.ok_or_else(|| Failure::start("there is no audit: `audit.file` of the configuration names its file"))?;
    let person = person.map(|person| {
        // A state directory that is not there has made no hashes.
        let dir = &setup.config.state.dir;
        let state = dir.is_dir().then(|| StateDir::open(dir, &setup.secrets).ok()).flatten();
        let keys = state.map(|state| PeopleKeys::new(Vault::of(&state, PEOPLE_PURPOSE)));
        Wanted::new(&person, keys.as_ref())
    });
    let filter = Filter { person, tool, event, since, until };
    let unusable = |path: &std::path::Path, error: std::io::Error| {
        Failure::start(format!("the audit `{}` cannot be read: {error}", path.display()))
    };
    let files = read::files(&path).map_err(|error| unusable(&path, error))?;
    let (mut found, mut unreadable) = (0_u64, 0);
    for file in &files {
        let show = |line: &str, value: &Value| {
            found += 1;
            output::line(&if json { line.to_owned() } else { shown(value) });
        };
        unreadable += read::each(file, &filter, show).map_err(|error| unusable(file, error))?;
    }
    if unreadable > 0 {
        output::note(&format!("{unreadable} lines could not be read"));
    }
    if found == 0 && !json {
        output::note("no line fits");
    }
    Ok(())
}

/// A line for people: the time, the event, and everything else as it comes.
fn shown(line: &Value) -> String {
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    let rest = line.as_object().into_iter().flatten().filter(|(name, _)| !["time", "event"].contains(&name.as_str()));
    let rest: Vec<String> = rest
        .map(|(name, value)| match value.as_str() {
            Some(value) => format!("{}={}", output::dim(name), one_line(value)),
            None => format!("{}={}", output::dim(name), one_line(&value.to_string())),
        })
        .collect();
    format!("{}  {}  {}", one_line(text("time")), output::bold(&one_line(text("event"))), rest.join("  "))
}

/// A text that stays on its line; what else would mislead is written out by whoever prints it.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}
