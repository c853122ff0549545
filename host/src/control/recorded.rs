//! The acts of operators, for the audit: what changes something has a line, what only looks has none.

use crate::audit::event::{Event, Operator, Who};
use crate::audit::{Audit, Leave, Unwritable};
use crate::auth::machines::operator as tokens;
use crate::kv;
use crate::operator::{PersonId, Request, Which};
use crate::plugins::approval::request::ApprovalRequest;

tokio::task_local! {
    /// The user at the other end of the connection that is served.
    pub(super) static USER: u32;
}

/// An act, before it is done.
pub struct Act {
    name: &'static str,
    about: Option<String>,
    whom: Option<PersonId>,
}

/// An act that has begun. One that is dropped has no line.
#[must_use]
pub struct Begun {
    act: Act,
    leave: Leave,
}

impl Act {
    fn new(name: &'static str) -> Self {
        Self { name, about: None, whom: None }
    }

    fn about(self, about: impl Into<String>) -> Self {
        Self { about: Some(about.into()), ..self }
    }

    fn of(self, whom: &PersonId) -> Self {
        Self { whom: Some(whom.clone()), ..self }
    }

    /// The act of a request about people, sessions, plugins or keys.
    pub fn of_operator(request: &Request) -> Option<Self> {
        Some(match request {
            Request::End { which } => match which {
                Which::Session(id) => Self::new("sessions end").about(id),
                Which::Person(person) => Self::new("sessions end").of(person),
                Which::Clients(clients) => Self::new("sessions end").about(clients.join(" ")),
                Which::Through(person, clients) => Self::new("sessions end").about(clients.join(" ")).of(person),
                Which::All => Self::new("sessions end").about("all"),
            },
            Request::Block { person } => {
                let (issuer, subject) = (person.issuer.clone(), person.subject.clone());
                Self::new("people block").of(&PersonId { issuer, subject })
            }
            Request::Unblock { person } => Self::new("people unblock").of(person),
            Request::Forget { person } => Self::new("people delete").of(person),
            Request::SwitchPlugin { name, is_on: true } => Self::new("plugin enable").about(name),
            Request::SwitchPlugin { name, is_on: false } => Self::new("plugin disable").about(name),
            Request::Rotate => Self::new("keys rotate"),
            Request::Snapshot => Self::new("backup"),
            Request::Export { person } => Self::new("people export").of(person),
            Request::Sessions { .. }
            | Request::SwitchedOff
            | Request::Tasks { .. }
            | Request::Keys
            | Request::OlderVersions
            | Request::Compare { .. } => return None,
        })
    }

    /// The act of a request about operators' tokens.
    pub fn of_token(request: &tokens::Request) -> Option<Self> {
        match request {
            tokens::Request::New { name, .. } => Some(Self::new("token new").about(name)),
            tokens::Request::Revoke { name } => Some(Self::new("token revoke").about(name)),
            tokens::Request::List => None,
        }
    }

    /// The act of a request about approvals.
    pub fn of_approval(request: &ApprovalRequest) -> Option<Self> {
        match request {
            ApprovalRequest::Approve { reference, .. } => Some(Self::new("approve").about(reference)),
            ApprovalRequest::List | ApprovalRequest::Show { .. } => None,
        }
    }

    /// The act of a request about the state of plugins: those that no plugin makes.
    pub fn of_kv(request: &kv::Request) -> Option<Self> {
        match request {
            kv::Request::Move { from, to } => Some(Self::new("kv move").about(format!("{from} {to}"))),
            // The command asks without a quota: it adds nothing. Plugins have one.
            kv::Request::Use { space, quota_bytes: 0, operation: kv::Operation::Delete { .. } } => {
                Some(Self::new("kv delete").about(&*space.plugin))
            }
            kv::Request::Clear { space } => Some(Self::new("kv clear").about(&*space.plugin)),
            _ => None,
        }
    }

    /// Begins it, with a place for its line.
    ///
    /// # Errors
    /// [`Unwritable`]: nothing may be done without a line, and none can be written.
    pub fn begin(self, audit: &Audit) -> Result<Begun, Unwritable> {
        Ok(Begun { leave: audit.admit()?, act: self })
    }
}

impl Begun {
    /// Tells the audit that it was done, or not, by a user of the machine.
    pub fn end(self, user: u32, is_done: bool) {
        let Self { act, leave } = self;
        let whom = act.whom.as_ref().map(|person| Who {
            issuer: &person.issuer,
            subject: &person.subject,
            email: None,
            is_person: true,
        });
        leave.record(&Event::Operator {
            act: act.name,
            about: act.about.as_deref(),
            whom,
            by: Operator::User(user),
            outcome: if is_done { "ok" } else { "failed" },
        });
    }
}
