//! The caller of a request.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::names::Scope;
use crate::person_label;
use crate::secret::Secret;
use crate::view::View;

/// A person, by the identity provider that vouches for them and the name it gives them, and the client they use; or a
/// [`Machine`], which is nobody's.
///
/// State and rates belong to the *person*, (issuer, subject); MCP sessions and tokens to the *session*, the person
/// through one client, at one view. Nothing else of a person is an identity. A machine has a person's place in all
/// of these, under a name that no person can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    /// An address that the provider has verified.
    pub email: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The client's id; none where nobody logs in.
    pub client: Option<String>,
    /// The client's name by its own account, as it was at the login.
    pub client_name: Option<String>,
    scopes: Scopes,
    view: View,
    person: [u8; 32],
    /// The session at `/mcp`.
    of_client: [u8; 32],
    session: [u8; 32],
    machine: Option<Machine>,
    standing: Standing,
}

/// A caller that is no person: rules about people never mean it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The issuer that vouches for it: this server's own URL, or that of a workload's platform.
    pub issuer: String,
    /// The way by which it gets its tokens.
    pub kind: MachineKind,
    /// Its name in the configuration, or that of its token.
    pub id: String,
}

/// The kinds of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineKind {
    /// A client of `[auth.clients]`, by `client_credentials` (RFC 6749 §4.4).
    Client,
    /// A token that an operator has made.
    Token,
    /// A workload of `[auth.workloads]`, by an assertion of its platform (RFC 7523).
    Workload,
}

impl MachineKind {
    /// Its name in keys and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Token => "token",
            Self::Workload => "workload",
        }
    }
}

/// The beginning of a machine's issuer where a person's issuer stands: no provider's issuer is such a URL.
const OF_MACHINES: &str = "machine:";

/// The context of machines' keys, which no person's key can have.
const MACHINE_KEYS: &str = "tinymcp 2026 machines";

impl Machine {
    /// Issuer and subject in the form that plugins and state have of a caller.
    pub fn identity(&self) -> (String, String) {
        (format!("{OF_MACHINES}{}", self.issuer), format!("{}:{}", self.kind.as_str(), self.id))
    }

    /// One name for the machine, for keys of state.
    fn key(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(MACHINE_KEYS);
        for part in [self.issuer.as_str(), self.kind.as_str(), &self.id] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// The rules for one principal, which change while requests are under way.
pub trait Rules: Send + Sync {
    /// The scopes that the token holds by the current rules; none if its person may not call at all any more.
    fn granted(&self) -> Option<BTreeSet<String>>;

    /// The scopes that a token of this person could hold by the current rules.
    fn possible(&self) -> BTreeSet<String>;

    /// A signal that changes with the rules.
    fn changes(&self) -> watch::Receiver<()>;

    /// Cancelled when the session behind the principal ends; none where nothing ends by itself.
    fn ended(&self) -> Option<CancellationToken> {
        None
    }
}

/// The login behind one principal, which may end or be renewed while requests are under way.
pub trait LoginToken: Send + Sync {
    /// The person's access token of the identity provider, renewed if it is about to end.
    ///
    /// # Errors
    /// [`NoLoginToken`].
    fn token(&self) -> BoxFuture<'_, Result<Secret, NoLoginToken>>;
}

/// The reason that there is no access token of the identity provider. The text is for whoever calls and for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLoginToken {
    /// Nobody logs in here, or by the built-in login.
    #[error("it needs the caller's own token, and nobody logs in at an identity provider here")]
    NoProvider,
    /// The login has ended, here or at the provider, or its token cannot be renewed.
    #[error("it needs the caller's own token, and that login has ended: log in again")]
    Ended,
    /// The caller has logged in nowhere, and never will.
    #[error(
        "it needs the caller's own token of the identity provider, and the caller is a machine, which has none: let a person call it"
    )]
    Machine,
    /// The provider or the store cannot be reached.
    #[error(
        "it needs the caller's own token, which the identity provider does not renew at the moment: try again later"
    )]
    Unavailable,
}

/// The links from a principal to the current rules and to its login. They are no part of the principal's identity, so all
/// compare equal.
#[derive(Clone, Default)]
pub struct Standing {
    rules: Option<Arc<dyn Rules>>,
    login: Option<Arc<dyn LoginToken>>,
}

impl Standing {
    /// The links of a person who has logged in.
    pub fn of(rules: Arc<dyn Rules>, login: Arc<dyn LoginToken>) -> Self {
        Self { rules: Some(rules), login: Some(login) }
    }

    /// The link of a machine, which has no login.
    pub fn of_machine(rules: Arc<dyn Rules>) -> Self {
        Self { rules: Some(rules), login: None }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing(..)")
    }
}

impl PartialEq for Standing {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Standing {}

/// Everything of a principal that a login finds out.
pub struct LoginFacts {
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    /// An address that the provider has verified.
    pub email: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The client's id.
    pub client: String,
    /// The client's name by its own account, as it was at the login.
    pub client_name: Option<String>,
    /// The scopes that the token holds.
    pub granted: BTreeSet<String>,
    /// The scopes that a token of this person could hold.
    pub possible: BTreeSet<String>,
    /// The links to the rules and the login of later.
    pub standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scopes {
    All,
    Of { granted: BTreeSet<String>, possible: BTreeSet<String> },
}

/// The decision whether a principal may use something that needs certain scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The token holds them all.
    Granted,
    /// The token lacks some, and another one of the same person could hold them all.
    Possible,
    /// No token of this person can hold them all.
    Never,
}

impl Principal {
    /// The caller of a server without logins, which serves loopback only.
    pub fn anonymous() -> Self {
        let (person, of_client) = keys("none", "anonymous", "");
        Self {
            issuer: "none".to_owned(),
            subject: "anonymous".to_owned(),
            email: None,
            name: None,
            provider: "none".to_owned(),
            client: None,
            client_name: None,
            scopes: Scopes::All,
            view: View::default(),
            person,
            of_client,
            session: of_client,
            machine: None,
            standing: Standing::default(),
        }
    }

    /// The user of this machine who has started the process, and who may whatever it may: nobody logs in.
    pub fn local() -> Self {
        let (person, of_client) = keys("stdio", "local", "");
        Self {
            issuer: "stdio".to_owned(),
            subject: "local".to_owned(),
            provider: "stdio".to_owned(),
            person,
            of_client,
            session: of_client,
            ..Self::anonymous()
        }
    }

    /// True where nobody logs in.
    pub fn is_anonymous(&self) -> bool {
        self.client.is_none()
    }

    /// Somebody who has logged in.
    pub fn known(known: LoginFacts) -> Self {
        let (person, of_client) = keys(&known.issuer, &known.subject, &known.client);
        Self {
            issuer: known.issuer,
            subject: known.subject,
            email: known.email,
            name: known.name,
            provider: known.provider,
            client: Some(known.client),
            client_name: known.client_name,
            scopes: Scopes::Of { granted: known.granted, possible: known.possible },
            view: View::default(),
            person,
            of_client,
            session: of_client,
            machine: None,
            standing: known.standing,
        }
    }

    /// The same caller at a view, where nothing is theirs that they have elsewhere. Without this, a caller is one of
    /// `/mcp`.
    #[must_use]
    pub fn at(mut self, view: &View) -> Self {
        self.session = at_view(&self.of_client, view);
        self.view = view.clone();
        self
    }

    /// The view that this caller's token is for.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// A machine, with the scopes that its token holds and those that a token of it could hold.
    pub fn machine(
        machine: Machine,
        name: Option<String>,
        granted: BTreeSet<String>,
        possible: BTreeSet<String>,
        standing: Standing,
    ) -> Self {
        let (issuer, subject) = machine.identity();
        let person = machine.key();
        Self {
            client: Some(subject.clone()),
            client_name: name.clone(),
            issuer,
            subject,
            email: None,
            name,
            provider: machine.kind.as_str().to_owned(),
            scopes: Scopes::Of { granted, possible },
            view: View::default(),
            person,
            // A machine has nothing but itself to call with.
            of_client: person,
            session: person,
            machine: Some(machine),
            standing,
        }
    }

    /// The machine that calls; none if it is a person, or nobody in particular.
    pub fn as_machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// True for a person who has logged in.
    pub fn is_person(&self) -> bool {
        self.machine.is_none() && !self.is_anonymous()
    }

    /// Decides whether the caller may use something that needs these scopes, by the current rules and not by those of
    /// the time at which the request came.
    pub fn may_still(&self, scopes: &[Scope]) -> bool {
        let Some(rules) = &self.standing.rules else { return true };
        rules.granted().is_some_and(|granted| has_all(&granted, scopes))
    }

    /// The scopes that the caller could hold by the current rules; `None` for a caller without rules.
    pub fn could_hold(&self) -> Option<BTreeSet<String>> {
        self.standing.rules.as_ref().map(|rules| rules.possible())
    }

    /// Waits until the caller may no longer use something that needs these scopes.
    pub async fn turned_away(&self, scopes: &[Scope]) {
        let Some(rules) = &self.standing.rules else { return std::future::pending().await };
        let mut changes = rules.changes();
        let ended = async {
            match rules.ended() {
                Some(ended) => ended.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(ended);
        while self.may_still(scopes) {
            tokio::select! {
                () = &mut ended => return,
                changed = changes.changed() => if changed.is_err() {
                    // Nobody changes the rules any more.
                    return ended.await;
                }
            }
        }
    }

    /// The person's own access token of the identity provider, renewed if it is about to end.
    ///
    /// # Errors
    /// [`NoLoginToken`].
    pub async fn login_token(&self) -> Result<Secret, NoLoginToken> {
        match &self.standing.login {
            Some(login) => login.token().await,
            None if self.machine.is_some() => Err(NoLoginToken::Machine),
            None => Err(NoLoginToken::NoProvider),
        }
    }

    /// True if the caller holds every one of these scopes.
    pub fn holds(&self, scopes: &[Scope]) -> bool {
        self.access(scopes) == Access::Granted
    }

    /// The caller's access to something that needs these scopes.
    pub fn access(&self, scopes: &[Scope]) -> Access {
        match &self.scopes {
            Scopes::All => Access::Granted,
            Scopes::Of { granted, .. } if has_all(granted, scopes) => Access::Granted,
            Scopes::Of { possible, .. } if has_all(possible, scopes) => Access::Possible,
            Scopes::Of { .. } => Access::Never,
        }
    }

    /// The scopes that the token holds, in order; none where everybody holds every scope.
    pub fn scopes(&self) -> Vec<&str> {
        match &self.scopes {
            Scopes::All => Vec::new(),
            Scopes::Of { granted, .. } => granted.iter().map(String::as_str).collect(),
        }
    }

    /// The [`Principal::person`] of somebody.
    pub fn person_of(issuer: &str, subject: &str) -> [u8; 32] {
        keys(issuer, subject, "").0
    }

    /// The [`Principal::session`] of somebody through a client.
    pub fn session_of(issuer: &str, subject: &str, client: &str) -> [u8; 32] {
        keys(issuer, subject, client).1
    }

    /// One name for the person, for keys of state. Not for people to read.
    pub fn person(&self) -> [u8; 32] {
        self.person
    }

    /// Enough to tell people apart in this server's log, and no more: see [`person_label`].
    pub fn label(&self) -> String {
        person_label::label(&self.person)
    }

    /// One name for the person through this client at this view, for everything that belongs to a session.
    pub fn session(&self) -> [u8; 32] {
        self.session
    }
}

/// True if every one of these scopes is among those that are held.
pub fn has_all(held: &BTreeSet<String>, scopes: &[Scope]) -> bool {
    scopes.iter().all(|scope| held.contains(scope.as_str()))
}

fn keys(issuer: &str, subject: &str, client: &str) -> ([u8; 32], [u8; 32]) {
    let mut hasher = blake3::Hasher::new();
    for part in [issuer, subject] {
        // The length keeps (`a`, `bc`) and (`ab`, `c`) apart.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let person = *hasher.finalize().as_bytes();
    hasher.update(client.as_bytes());
    (person, *hasher.finalize().as_bytes())
}

/// The session at a view. At `/mcp` it is what it was before there were views: ids of then are good still.
fn at_view(of_client: &[u8; 32], view: &View) -> [u8; 32] {
    match view.name() {
        None => *of_client,
        Some(view) => *blake3::Hasher::new_keyed(of_client).update(view.as_bytes()).finalize().as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(subject: &str, client: &str, granted: &[&str], possible: &[&str]) -> Principal {
        let set = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Principal::known(LoginFacts {
            issuer: "https://id.example".to_owned(),
            subject: subject.to_owned(),
            email: None,
            name: None,
            provider: "acme".to_owned(),
            client: client.to_owned(),
            client_name: None,
            granted: set(granted),
            possible: set(possible),
            standing: Standing::default(),
        })
    }

    #[test]
    fn a_person_is_the_same_through_every_client_and_a_session_is_not() {
        let (one, other) = (principal("alice", "a", &[], &[]), principal("alice", "b", &[], &[]));
        assert_eq!(one.person(), other.person());
        assert_ne!(one.session(), other.session());
        assert_ne!(one.person(), principal("bob", "a", &[], &[]).person());
        assert_ne!(Principal::local().person(), Principal::anonymous().person());
    }

    #[test]
    fn a_session_is_one_at_its_view_alone() {
        let alice = || principal("alice", "a", &[], &[]);
        let (ops, other) = (alice().at(&View::named("ops")), alice().at(&View::named("other")));
        assert_eq!(ops.person(), alice().person());
        assert_eq!(BTreeSet::from([alice().session(), ops.session(), other.session()]).len(), 3);
        assert_eq!(alice().at(&View::default()), alice());
        assert_eq!(ops.at(&View::default()).session(), alice().session());
        let nobody = Principal::anonymous().at(&View::named("ops"));
        assert_ne!(nobody.session(), Principal::anonymous().session());
    }

    #[test]
    fn scopes_are_granted_possible_or_never() {
        let alice = principal("alice", "a", &["r"], &["r", "w"]);
        let scopes = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Scope>>();
        assert_eq!(alice.access(&scopes(&[])), Access::Granted);
        assert_eq!(alice.access(&scopes(&["r"])), Access::Granted);
        assert_eq!(alice.access(&scopes(&["r", "w"])), Access::Possible);
        assert_eq!(alice.access(&scopes(&["r", "x"])), Access::Never);
        assert!(Principal::anonymous().holds(&scopes(&["x"])));
    }

    fn a_machine(issuer: &str, kind: MachineKind, id: &str) -> Principal {
        let machine = Machine { issuer: issuer.to_owned(), kind, id: id.to_owned() };
        Principal::machine(machine, None, BTreeSet::new(), BTreeSet::new(), Standing::default())
    }

    #[test]
    fn a_machine_is_nobody_else() {
        let ci = a_machine("https://id.example", MachineKind::Client, "ci");
        assert!(!ci.is_person() && !ci.is_anonymous() && principal("ci", "a", &[], &[]).is_person());
        for other in [
            a_machine("https://id.example", MachineKind::Token, "ci"),
            a_machine("https://id.example", MachineKind::Client, "c"),
            a_machine("https://id.exampl", MachineKind::Client, "eci"),
            // A person whom the same issuer calls as it likes.
            principal("ci", "ci", &[], &[]),
            principal("client:ci", "client:ci", &[], &[]),
        ] {
            assert_ne!(ci.person(), other.person(), "{other:?}");
            assert_ne!(ci.session(), other.session(), "{other:?}");
            assert_ne!((&ci.issuer, &ci.subject), (&other.issuer, &other.subject), "{other:?}");
        }
        assert_eq!(ci.person(), a_machine("https://id.example", MachineKind::Client, "ci").person());
    }

    #[tokio::test]
    async fn a_machine_has_no_login() {
        let error = a_machine("https://id.example", MachineKind::Workload, "ci").login_token().await.unwrap_err();
        assert_eq!(error, NoLoginToken::Machine);
        assert!(error.to_string().contains("a machine"), "{error}");
    }
}
