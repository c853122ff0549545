//! `tinymcp people`: everybody who has a session or something kept, and what an operator does for or against them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::operator::{Known, Reached, ago, reached};
use super::{ConfigArguments, Failure, logging, output, runtime, sessions};
use crate::auth::desk::ListedSession;
use crate::clock::now_s;
use crate::kv::{Kv, Operation, Outcome, Owner, SpaceState};
use crate::mcp::ListedTask;
use crate::operator::names::{self, KnownPerson};
use crate::operator::{Answer, Request};
use crate::switches::BlockedPerson;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Show everything that there is of a person
    #[command(after_help = "Example:\n  tinymcp people show alice@example.com")]
    Show(Name),
    /// Keep a person out: their sessions end at once, and they cannot log in until they are unblocked
    #[command(after_help = "Example:\n  tinymcp people block alice@example.com")]
    Block(Name),
    /// Let a blocked person log in again
    #[command(after_help = "Example:\n  tinymcp people unblock alice@example.com")]
    Unblock(Name),
    /// Print everything that is a person's, as JSON: sessions without their tokens, what plugins have kept for them, tasks
    #[command(after_help = "Example:\n  tinymcp people export alice@example.com > alice.json")]
    Export(Name),
    /// Delete everything that is a person's, and end their sessions
    #[command(
        after_help = "Example:\n  tinymcp people delete alice@example.com\n  tinymcp people delete alice@example.com --yes"
    )]
    Delete {
        #[command(flatten)]
        name: Name,
        /// Do it, in place of saying what would be deleted
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
struct Name {
    /// The person: by their address, the provider's name for them, or their name in the log
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, json, what } = arguments;
    runtime()?.block_on(reached(config, async |reached| {
        let known = reached.known().await?;
        let find = |name: &Name| names::find_person(&known.people, &name.name).map_err(|error| unknown(&error));
        match &what {
            None => {
                list(&known, json);
                Ok(())
            }
            Some(What::Show(name)) => show(reached, &known, find(name)?, json).await,
            Some(What::Block(name)) => block(reached, find(name)?, json).await,
            Some(What::Unblock(name)) => unblock(reached, find(name)?, json).await,
            Some(What::Export(name)) => {
                output::json(&export(reached, &known, find(name)?).await?);
                Ok(())
            }
            Some(What::Delete { name, yes }) => delete(reached, find(name)?, *yes, json).await,
        }
    }))
}

fn unknown(error: &names::NameError) -> Failure {
    match error {
        names::NameError::Unknown(_) => Failure::failed(format!(
            "{error}; to keep somebody out who has never been here, write them into `deny` of `[auth]`"
        )),
        names::NameError::Ambiguous { .. } => Failure::failed(error),
    }
}

fn list(known: &Known, json: bool) {
    if json {
        output::json(&json!(known.people));
        return;
    }
    if known.people.is_empty() {
        output::note("nobody has a session, or anything kept");
    }
    for person in &known.people {
        output::line(&in_words(person));
    }
}

fn in_words(person: &KnownPerson) -> String {
    let name = person.email.as_deref().or(person.name.as_deref()).unwrap_or(&person.id.subject);
    let mut said = vec![match person.sessions {
        1 => "1 session".to_owned(),
        sessions => format!("{sessions} sessions"),
    }];
    said.extend(person.used_s.map(|used_s| format!("used {}", ago(used_s))));
    if person.entries > 0 {
        said.push(format!("{} keys of {} bytes", person.entries, person.bytes));
    }
    let blocked = match person.blocked_since_s {
        Some(since_s) => format!("  {}", output::bad(&format!("blocked {}", ago(since_s)))),
        None => String::new(),
    };
    let whose = format!("{}, {} at {}", person.label, person.id.subject, person.id.issuer);
    format!("{}  {}  {}{blocked}", output::bold(name), output::dim(&whose), said.join(", "))
}

/// Everything of one person.
struct Theirs<'a> {
    sessions: Vec<&'a ListedSession>,
    spaces: Vec<&'a SpaceState>,
    tasks: Vec<ListedTask>,
}

async fn theirs<'a>(
    reached: &Reached,
    known: &'a Known,
    person: &KnownPerson,
    request: Request,
) -> Result<Theirs<'a>, Failure> {
    let take = |answer| match answer {
        Answer::Tasks(tasks) => Some(tasks),
        _ => None,
    };
    let is_owner = |space: &&SpaceState| match &space.space.owner {
        Owner::Person(owner) => (&owner.issuer, &owner.subject) == (&person.id.issuer, &person.id.subject),
        Owner::Plugin => false,
    };
    let is_whose =
        |session: &&ListedSession| (&session.issuer, &session.subject) == (&person.id.issuer, &person.id.subject);
    Ok(Theirs {
        sessions: known.sessions.iter().filter(is_whose).collect(),
        spaces: known.spaces.iter().filter(is_owner).collect(),
        tasks: reached.expect(request, take).await?,
    })
}

async fn show(reached: &Reached, known: &Known, person: &KnownPerson, json: bool) -> Result<(), Failure> {
    let theirs = theirs(reached, known, person, Request::Tasks { person: person.id.clone() }).await?;
    if json {
        output::json(&json!({
            "person": person,
            "sessions": theirs.sessions.iter().map(|session| sessions::as_json(session)).collect::<Vec<_>>(),
            "state": theirs.spaces.iter().map(|space| of_space(space)).collect::<Vec<_>>(),
            "tasks": theirs.tasks,
        }));
        return Ok(());
    }
    output::line(&in_words(person));
    for session in &theirs.sessions {
        output::line(&format!("  {}", sessions::in_words(session)));
    }
    for SpaceState { space, entries, bytes } in &theirs.spaces {
        output::line(&format!("  plugin `{}` has kept {entries} keys of {bytes} bytes", space.plugin));
    }
    for task in &theirs.tasks {
        output::line(&format!("  task {} is {}", task.id, task.status));
    }
    Ok(())
}

fn of_space(space: &SpaceState) -> Value {
    json!({ "plugin": space.space.plugin, "keys": space.entries, "bytes": space.bytes })
}

async fn block(reached: &Reached, person: &KnownPerson, json: bool) -> Result<(), Failure> {
    let blocked = BlockedPerson {
        issuer: person.id.issuer.clone(),
        subject: person.id.subject.clone(),
        email: person.email.clone(),
        since_s: now_s(),
    };
    let take = |answer| match answer {
        Answer::Ended { sessions } => Some(sessions),
        _ => None,
    };
    let sessions = reached.expect(Request::Block { person: blocked }, take).await?;
    if json {
        output::json(&json!({ "blocked": person.id, "ended": sessions }));
    } else {
        output::note(&format!("blocked {}; sessions that ended: {sessions}", person.in_words()));
    }
    Ok(())
}

async fn unblock(reached: &Reached, person: &KnownPerson, json: bool) -> Result<(), Failure> {
    let take = |answer| match answer {
        Answer::Changed { is_other } => Some(is_other),
        _ => None,
    };
    let is_other = reached.expect(Request::Unblock { person: person.id.clone() }, take).await?;
    if json {
        output::json(&json!({ "unblocked": person.id, "was_blocked": is_other }));
    } else if is_other {
        output::note(&format!("{} may log in again, as far as `[auth]` allows it", person.in_words()));
    } else {
        output::note(&format!("{} was not blocked", person.in_words()));
    }
    Ok(())
}

/// Everything that is a person's. Tokens are not kept, so there are none in it.
async fn export(reached: &Reached, known: &Known, person: &KnownPerson) -> Result<Value, Failure> {
    // It has a line in the audit, before anything of theirs is printed.
    let theirs = theirs(reached, known, person, Request::Export { person: person.id.clone() }).await?;
    let mut state = Vec::new();
    for space in &theirs.spaces {
        let Some(kv) = reached.kv() else { continue };
        let mut of_plugin = of_space(space);
        of_plugin["entries"] = entries(kv, space).await?.into();
        state.push(of_plugin);
    }
    Ok(json!({
        "person": person,
        "sessions": theirs.sessions.iter().map(|session| sessions::as_json(session)).collect::<Vec<_>>(),
        "state": state,
        "tasks": theirs.tasks,
    }))
}

/// The entries of a space: each value as text, or in base64 where it is none.
async fn entries(kv: &Kv, space: &SpaceState) -> Result<Vec<Value>, Failure> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    let run = async |operation| kv.run(space.space.clone(), 0, operation).await.map_err(Failure::failed);
    loop {
        let operation = Operation::Names { prefix: String::new(), cursor };
        let Outcome::Names(names, next) = run(operation).await? else { return Ok(entries) };
        for name in names {
            // One at a time: together they may be too much for one answer.
            let got = run(Operation::Get { names: vec![name.clone()] }).await?;
            let Outcome::Values(mut values) = got else { continue };
            // One that is gone meanwhile is theirs no more.
            let Some((value, _)) = values.pop().flatten() else { continue };
            entries.push(match String::from_utf8(value.0) {
                Ok(text) => json!({ "key": name, "text": text }),
                Err(error) => json!({ "key": name, "base64": STANDARD.encode(error.as_bytes()) }),
            });
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}

async fn delete(reached: &Reached, person: &KnownPerson, is_sure: bool, json: bool) -> Result<(), Failure> {
    if !is_sure {
        return Err(Failure::start(format!(
            "this would delete {}: {} sessions, and {} keys that plugins have kept; `tinymcp people export` prints them. Say `--yes` to do it",
            person.in_words(),
            person.sessions,
            person.entries
        )));
    }
    let take = |answer| match answer {
        Answer::Forgotten { sessions, entries, tasks } => Some((sessions, entries, tasks)),
        _ => None,
    };
    let (sessions, entries, tasks) = reached.expect(Request::Forget { person: person.id.clone() }, take).await?;
    if json {
        output::json(&json!({ "deleted": person.id, "sessions": sessions, "keys": entries, "tasks": tasks }));
    } else {
        output::note(&format!("deleted: {sessions} sessions, {entries} keys, {tasks} tasks"));
        if person.blocked_since_s.is_some() {
            output::note("they stay blocked, which `tinymcp people unblock` ends");
        }
    }
    Ok(())
}
