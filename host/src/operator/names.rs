//! The words by which operators name people, sessions and clients. One that means several is no name: whoever typed it
//! reads which there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::request::PersonId;
use crate::auth::desk::ListedSession;
use crate::config::names::address;
use crate::kv::{Owner, SpaceState};
use crate::person_label;
use crate::switches::SwitchedOff;

/// Fewest digits of a session's id that name it.
const FEWEST_DIGITS: usize = 4;

/// Candidates that an error lists.
const CANDIDATES: usize = 20;

/// Somebody who has a session, has something kept, or is blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPerson {
    /// The provider's names for them.
    #[serde(flatten)]
    pub id: PersonId,
    /// Their name in the log.
    pub label: String,
    /// Their address, by the last login that has one.
    pub email: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// Their sessions.
    pub sessions: u64,
    /// The last use of one of these, in seconds since 1970.
    pub used_s: Option<u64>,
    /// Entries that plugins have kept for them, over all plugins.
    pub entries: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// The time since which they are blocked.
    pub blocked_since_s: Option<u64>,
}

/// Something that a word names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A session.
    Session(&'a ListedSession),
    /// A person.
    Person(&'a KnownPerson),
}

/// The reason that a word names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing of this name.
    #[error("{0}")]
    Unknown(String),
    /// There are several.
    #[error("`{name}` names several: write one of these{}", list(.candidates))]
    Ambiguous {
        /// The word.
        name: String,
        /// What it could mean, each with a name of its own in front.
        candidates: Vec<String>,
    },
}

fn list(candidates: &[String]) -> String {
    let mut lines: String = candidates.iter().take(CANDIDATES).map(|line| format!("\n  {line}")).collect();
    if candidates.len() > CANDIDATES {
        lines.push_str(&format!("\n  and {} more", candidates.len() - CANDIDATES));
    }
    lines
}

/// Everybody who is known, in the order of their addresses.
pub fn people(sessions: &[ListedSession], spaces: &[SpaceState], switched_off: &SwitchedOff) -> Vec<KnownPerson> {
    let mut people = BTreeMap::<PersonId, KnownPerson>::new();
    let new = |id: &PersonId| KnownPerson {
        id: id.clone(),
        label: person_label::label(&id.key()),
        email: None,
        name: None,
        sessions: 0,
        used_s: None,
        entries: 0,
        bytes: 0,
        blocked_since_s: None,
    };
    for session in sessions {
        let id = PersonId { issuer: session.issuer.clone(), subject: session.subject.clone() };
        let person = people.entry(id.clone()).or_insert_with(|| new(&id));
        person.sessions += 1;
        person.email = session.email.clone().or(person.email.take());
        person.name = session.name.clone().or(person.name.take());
        person.used_s = person.used_s.max(session.used_s);
    }
    for SpaceState { space, entries, bytes } in spaces {
        let Owner::Person(owner) = &space.owner else { continue };
        let id = PersonId { issuer: owner.issuer.clone(), subject: owner.subject.clone() };
        let person = people.entry(id.clone()).or_insert_with(|| new(&id));
        person.entries += entries;
        person.bytes += bytes;
    }
    for blocked in &switched_off.people {
        let id = PersonId { issuer: blocked.issuer.clone(), subject: blocked.subject.clone() };
        let person = people.entry(id.clone()).or_insert_with(|| new(&id));
        person.blocked_since_s = Some(blocked.since_s);
        person.email = person.email.take().or(blocked.email.clone());
    }
    let mut people: Vec<KnownPerson> = people.into_values().collect();
    people.sort_by(|one, other| (&one.email, &one.id).cmp(&(&other.email, &other.id)));
    people
}

impl KnownPerson {
    /// True for their address, the provider's name for them, or their name in the log.
    fn is_called(&self, name: &str) -> bool {
        let is_email = self.email.as_deref().is_some_and(|email| address(email) == address(name));
        is_email || self.id.subject == name || name.strip_prefix("sub:") == Some(&self.id.subject) || self.label == name
    }

    /// The person in one line, which begins with a name of theirs alone.
    pub fn in_words(&self) -> String {
        let email = self.email.as_deref().map(|email| format!("{email}, ")).unwrap_or_default();
        format!("{}  {email}{} at {}", self.label, self.id.subject, self.id.issuer)
    }
}

/// The one person whom a word names.
///
/// # Errors
/// [`NameError`].
pub fn find_person<'a>(people: &'a [KnownPerson], name: &str) -> Result<&'a KnownPerson, NameError> {
    match find(&[], people, name)? {
        Named::Person(person) => Ok(person),
        Named::Session(_) => Err(unknown(name)),
    }
}

/// The one session or person whom a word names: a session by its id or the beginning of it; a person by their address,
/// the provider's name for them, or their name in the log.
///
/// # Errors
/// [`NameError`].
pub fn find<'a>(sessions: &'a [ListedSession], people: &'a [KnownPerson], name: &str) -> Result<Named<'a>, NameError> {
    let is_id = name.len() >= FEWEST_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = name.to_ascii_lowercase();
    let of_sessions = sessions.iter().filter(|session| is_id && session.id.starts_with(&digits)).map(Named::Session);
    let of_people = people.iter().filter(|person| person.is_called(name)).map(Named::Person);
    let found: Vec<Named<'a>> = of_sessions.chain(of_people).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(unknown(name)),
        several => {
            let candidates = several.iter().map(Named::in_words).collect();
            Err(NameError::Ambiguous { name: name.to_owned(), candidates })
        }
    }
}

fn unknown(name: &str) -> NameError {
    NameError::Unknown(format!(
        "nobody is called `{name}` here, and no session: `tinymcp people` and `tinymcp sessions` list them"
    ))
}

impl Named<'_> {
    fn in_words(&self) -> String {
        match self {
            Self::Person(person) => person.in_words(),
            Self::Session(session) => {
                let whose = session.email.as_deref().unwrap_or(&session.subject);
                format!("{}  the session of {whose} through {}", &session.id[..16], client_in_words(session))
            }
        }
    }
}

/// The client of a session: its name, or its id, which may be long.
pub fn client_in_words(session: &ListedSession) -> String {
    match &session.client {
        Some(name) => name.clone(),
        None => session.client_id.clone(),
    }
}

/// The ids of all clients of a name, or of the one with this id. Programs register anew on each machine, so one name
/// means all of them.
///
/// # Errors
/// There is none.
pub fn clients(sessions: &[ListedSession], name: &str) -> Result<Vec<String>, NameError> {
    let is_called = |session: &&ListedSession| {
        session.client_id == name || session.client.as_deref().is_some_and(|client| client.eq_ignore_ascii_case(name))
    };
    let mut ids: Vec<String> = sessions.iter().filter(is_called).map(|session| session.client_id.clone()).collect();
    ids.sort();
    ids.dedup();
    match ids.is_empty() {
        true => {
            Err(NameError::Unknown(format!("no client called `{name}` has a session: `tinymcp sessions` lists them")))
        }
        false => Ok(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switches::BlockedPerson;

    fn session(id: &str, subject: &str, email: Option<&str>, client: &str) -> ListedSession {
        ListedSession {
            id: format!("{id:0<64}"),
            issuer: "https://id.example".to_owned(),
            subject: subject.to_owned(),
            email: email.map(str::to_owned),
            email_verified: true,
            name: None,
            provider: "acme".to_owned(),
            client_id: format!("id of {client}"),
            client: Some(client.to_owned()),
            redirect_uri: None,
            view: crate::view::View::default(),
            scopes: Vec::new(),
            since_s: 1,
            used_s: Some(2),
            from: None,
            expires_s: 3,
            is_pending: false,
        }
    }

    fn known() -> (Vec<ListedSession>, Vec<KnownPerson>) {
        let sessions = vec![
            session("abcd1", "auth0|alice", Some("Alice@Example.com"), "Cursor"),
            session("abcd2", "auth0|alice", Some("alice@example.com"), "Codex"),
            session("ef01", "google|alice", Some("alice@example.com"), "Cursor"),
            session("2345", "bob", None, "cursor"),
        ];
        let mut switched_off = SwitchedOff::default();
        let (issuer, subject) = ("https://id.example".to_owned(), "eve".to_owned());
        switched_off.people.push(BlockedPerson { issuer, subject, email: None, since_s: 9 });
        let people = people(&sessions, &[], &switched_off);
        (sessions, people)
    }

    #[test]
    fn people_are_found_by_every_name_of_theirs() {
        let (sessions, people) = known();
        assert_eq!(people.len(), 4);
        let alice = people.iter().find(|person| person.id.subject == "auth0|alice").unwrap();
        assert_eq!((alice.sessions, alice.used_s), (2, Some(2)));
        for name in ["auth0|alice", "sub:auth0|alice", &alice.label] {
            assert_eq!(find(&sessions, &people, name), Ok(Named::Person(alice)), "{name}");
        }
        assert_eq!(find_person(&people, "eve").unwrap().blocked_since_s, Some(9));
        for name in ["alic", "", "sub:", "ALICE", "Cursor"] {
            assert!(matches!(find(&sessions, &people, name), Err(NameError::Unknown(_))), "{name}");
        }
    }

    #[test]
    fn a_name_of_several_is_told_with_all_of_them() {
        let (sessions, people) = known();
        let Err(NameError::Ambiguous { candidates, .. }) = find_person(&people, "ALICE@example.com") else {
            panic!("two people have this address");
        };
        assert_eq!(candidates.len(), 2);
        assert!(candidates.iter().all(|line| find(&sessions, &people, line.split(' ').next().unwrap()).is_ok()));
        let ambiguous = find(&sessions, &people, "abcd").unwrap_err().to_string();
        assert!(ambiguous.contains("abcd1") && ambiguous.contains("abcd2"), "{ambiguous}");
        assert_eq!(find(&sessions, &people, "ABCD2"), Ok(Named::Session(&sessions[1])));
        assert!(matches!(find(&sessions, &people, "abc"), Err(NameError::Unknown(_))), "too few digits");
    }

    #[test]
    fn a_client_is_every_one_of_its_name() {
        let (sessions, _) = known();
        assert_eq!(clients(&sessions, "CURSOR").unwrap(), ["id of Cursor", "id of cursor"]);
        assert_eq!(clients(&sessions, "id of Codex").unwrap(), ["id of Codex"]);
        clients(&sessions, "Curs").unwrap_err();
    }
}
