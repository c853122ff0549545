//! The caller of a request.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::names::Scope;
use crate::person_label;
use crate::secret::Secret;
use crate::view::View;

/// A person, by the identity provider that vouches for them and the name it gives them, and the client they use.
///
/// State and rates belong to the *person*, (issuer, subject); MCP sessions and tokens to the *session*, the person
/// through one client, at one view. Nothing else of a person is an identity.
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
    scopes: Scopes,
    view: View,
    person: [u8; 32],
    session: [u8; 32],
    standing: Standing,
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
        let (person, session) = keys("none", "anonymous", "");
        Self {
            issuer: "none".to_owned(),
            subject: "anonymous".to_owned(),
            email: None,
            name: None,
            provider: "none".to_owned(),
            client: None,
            scopes: Scopes::All,
            view: View::default(),
            person,
            session,
            standing: Standing::default(),
        }
    }

    /// The user of this machine who has started the process, and who may whatever it may: nobody logs in.
    pub fn local() -> Self {
        let (person, session) = keys("stdio", "local", "");
        Self {
            issuer: "stdio".to_owned(),
            subject: "local".to_owned(),
            provider: "stdio".to_owned(),
            person,
            session,
            ..Self::anonymous()
        }
    }

    /// True where nobody logs in.
    pub fn is_anonymous(&self) -> bool {
        self.client.is_none()
    }

    /// Somebody who has logged in.
    pub fn known(known: LoginFacts) -> Self {
        let (person, session) = keys(&known.issuer, &known.subject, &known.client);
        Self {
            issuer: known.issuer,
            subject: known.subject,
            email: known.email,
            name: known.name,
            provider: known.provider,
            client: Some(known.client),
            scopes: Scopes::Of { granted: known.granted, possible: known.possible },
            view: View::default(),
            person,
            session,
            standing: known.standing,
        }
    }

    /// The same caller at a view, where nothing is theirs that they have elsewhere. Without this, a caller is one of
    /// `/mcp`.
    #[must_use]
    pub fn at(mut self, view: &View) -> Self {
        let client = self.client.as_deref().unwrap_or_default();
        self.session = session_key(&self.issuer, &self.subject, client, view);
        self.view = view.clone();
        self
    }

    /// The view that this caller's token is for.
    pub fn view(&self) -> &View {
        &self.view
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
    let person = *person_hasher(issuer, subject).finalize().as_bytes();
    (person, session_key(issuer, subject, client, &View::default()))
}

fn person_hasher(issuer: &str, subject: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    for part in [issuer, subject] {
        // The length keeps (`a`, `bc`) and (`ab`, `c`) apart.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher
}

fn session_key(issuer: &str, subject: &str, client: &str, view: &View) -> [u8; 32] {
    let of_client = *person_hasher(issuer, subject).update(client.as_bytes()).finalize().as_bytes();
    match view.name() {
        // As it was before there were views: ids of then are good still.
        None => of_client,
        Some(view) => *blake3::Hasher::new_keyed(&of_client).update(view.as_bytes()).finalize().as_bytes(),
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
}
