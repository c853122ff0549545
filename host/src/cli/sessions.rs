//! `tinymcp sessions`: who is logged in through which client, and the end of that.

use super::operator::{Known, Reached, ago, reached};
use super::{ConfigArguments, Failure, logging, output, runtime};
use crate::auth::desk::ListedSession;
use crate::operator::names::{self, Named, client_in_words};
use crate::operator::{Answer, Request, Which};
use crate::person_label;

/// Characters of a client's id that are shown where it has no name.
const CLIENT_CHARS: usize = 60;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Only those of this person: by their address, the provider's name for them, or their name in the log
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Only those through this client, by its name or its id
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// End sessions: their tokens are dead at once, and what goes on in them ends
    #[command(
        after_help = "Example:\n  tinymcp sessions end 3f09c2d1\n  tinymcp sessions end alice@example.com\n  tinymcp sessions end --client Cursor\n  tinymcp sessions end --all"
    )]
    End {
        /// A session, by the beginning of its id; or a person, by their address, the provider's name for them, or their
        /// name in the log
        #[arg(required_unless_present_any = ["client", "all"])]
        name: Option<String>,
        /// Only those through this client, by its name or its id; without NAME, everybody's
        #[arg(long, value_name = "NAME")]
        client: Option<String>,
        /// Every session of everybody, also those that a restored copy of the store brings back
        #[arg(long, conflicts_with_all = ["name", "client"])]
        all: bool,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, person, client, json, what } = arguments;
    runtime()?.block_on(reached(config, async |reached| match what {
        None => list(reached, person.as_deref(), client.as_deref(), json).await,
        Some(What::End { name, client, all }) => {
            let which = match all {
                true => Which::All,
                false => chosen(&reached.known().await?, name.as_deref(), client.as_deref())?,
            };
            end(reached, which, json).await
        }
    }))
}

async fn list(reached: &Reached, person: Option<&str>, client: Option<&str>, json: bool) -> Result<(), Failure> {
    let known = reached.known().await?;
    let person = person.map(|name| names::find_person(&known.people, name)).transpose().map_err(Failure::failed)?;
    let clients = client.map(|name| names::clients(&known.sessions, name)).transpose().map_err(Failure::failed)?;
    let is_meant = |session: &&ListedSession| {
        person.is_none_or(|person| (&person.id.issuer, &person.id.subject) == (&session.issuer, &session.subject))
            && clients.as_ref().is_none_or(|ids| ids.contains(&session.client_id))
    };
    let mut sessions: Vec<&ListedSession> = known.sessions.iter().filter(is_meant).collect();
    sessions.sort_by_key(|session| (&session.email, &session.subject, session.since_s));
    if json {
        output::json(&serde_json::json!(sessions.iter().map(|session| as_json(session)).collect::<Vec<_>>()));
        return Ok(());
    }
    if sessions.is_empty() {
        output::note("nobody is logged in");
    }
    let mut before = None;
    for session in sessions {
        let whose = (&session.issuer, &session.subject);
        if before.replace(whose) != Some(whose) {
            output::line(&heading(session, &known));
        }
        output::line(&format!("  {}", in_words(session)));
    }
    Ok(())
}

/// The person of a session.
fn heading(session: &ListedSession, known: &Known) -> String {
    let label = label(session);
    let name = session.email.as_deref().or(session.name.as_deref()).unwrap_or(&session.subject);
    let whose = format!("{label}, {} at {}", session.subject, session.issuer);
    let blocked = match known.switched_off.blocks(&session.issuer, &session.subject) {
        true => format!("  {}", output::bad("blocked")),
        false => String::new(),
    };
    format!("{}  {}{blocked}", output::bold(name), output::dim(&whose))
}

/// One session, as a line.
pub(super) fn in_words(session: &ListedSession) -> String {
    let client: String = client_in_words(session).chars().take(CLIENT_CHARS).collect();
    let used = match (session.is_pending, session.used_s, session.from) {
        (true, ..) => "its client has not fetched its tokens yet".to_owned(),
        (_, Some(used_s), Some(from)) => format!("used {} from {from}", ago(used_s)),
        (_, Some(used_s), None) => format!("used {}", ago(used_s)),
        (_, None, _) => "no use known".to_owned(),
    };
    let scopes = match session.scopes.is_empty() {
        true => String::new(),
        false => format!(", scopes {}", session.scopes.join(" ")),
    };
    let view = match session.view.is_main() {
        true => String::new(),
        false => format!(", at {}", session.view),
    };
    let id = output::bold(&session.id[..8]);
    format!("{id}  {client}  {}", output::dim(&format!("since {}, {used}{view}{scopes}", ago(session.since_s))))
}

pub(super) fn as_json(session: &ListedSession) -> serde_json::Value {
    let mut value = serde_json::json!(session);
    value["person"] = label(session).into();
    value
}

fn label(session: &ListedSession) -> String {
    person_label::label(&crate::principal::Principal::person_of(&session.issuer, &session.subject))
}

/// The sessions that were named.
fn chosen(known: &Known, name: Option<&str>, client: Option<&str>) -> Result<Which, Failure> {
    let clients = client.map(|name| names::clients(&known.sessions, name)).transpose().map_err(Failure::failed)?;
    let named = name.map(|name| names::find(&known.sessions, &known.people, name)).transpose();
    Ok(match (named.map_err(Failure::failed)?, clients) {
        (Some(Named::Session(_)), Some(_)) => {
            return Err(Failure::start("a session has one client: leave out `--client`"));
        }
        (Some(Named::Session(session)), None) => Which::Session(session.id.clone()),
        (Some(Named::Person(person)), None) => Which::Person(person.id.clone()),
        (Some(Named::Person(person)), Some(clients)) => Which::Through(person.id.clone(), clients),
        (None, Some(clients)) => Which::Clients(clients),
        (None, None) => return Err(Failure::start("name a session or a person, or say `--client` or `--all`")),
    })
}

async fn end(reached: &Reached, which: Which, json: bool) -> Result<(), Failure> {
    let take = |answer| match answer {
        Answer::Ended { sessions } => Some(sessions),
        _ => None,
    };
    let is_all = matches!(which, Which::All);
    let sessions = reached.expect(Request::End { which }, take).await?;
    match (is_all, json) {
        (false, _) => said_ended(sessions, json),
        (true, true) => output::json(&serde_json::json!({ "ended": sessions, "all": true })),
        (true, false) => {
            output::note(&format!(
                "everything has ended: the sessions of people ({sessions}), and all tokens of machines"
            ));
        }
    }
    Ok(())
}

/// Says how many sessions have ended.
pub(super) fn said_ended(sessions: u64, json: bool) {
    if json {
        output::json(&serde_json::json!({ "ended": sessions }));
        return;
    }
    output::note(&match sessions {
        0 => "there was no such session".to_owned(),
        1 => "1 session ended".to_owned(),
        sessions => format!("{sessions} sessions ended"),
    });
}
