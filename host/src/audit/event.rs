//! The events that have a line, as data, and the members of each line in their order.
//!
//! Texts of strangers may be anything here: `line` makes them harmless. Arguments and results of calls are in no event.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use super::line::Line;
use super::people::PeopleStyle;
pub use super::who::Who;
use crate::principal::Principal;

/// The longest client id that is written whole. Ids that are their own registration are longer, and differ in their
/// middle.
const CLIENT_ID_BYTES: usize = 128;

/// The beginning of a longer one that is written.
const CLIENT_ID_BEGINNING: usize = 48;

/// A client.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name, by its own account.
    pub name: Option<&'a str>,
}

/// Something that has happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The end of a login at the identity provider.
    Login {
        /// The person; none where the provider named none.
        who: Option<Who<'a>>,
        /// The client that they log in for; none for a login at this server's own pages.
        client: Option<Client<'a>>,
        /// `ok`, or the reason, in one of our own words.
        outcome: &'static str,
    },
    /// A person's answer to the question whether a client may act for them. Nobody has logged in then.
    Consent {
        /// The client.
        client: Client<'a>,
        /// The address of the browser.
        from: Option<IpAddr>,
        /// The scopes that were asked for.
        scopes: Vec<&'a str>,
        /// The answer.
        is_approved: bool,
    },
    /// A request that was refused for who sent it.
    Refusal {
        /// The reason.
        reason: Reason,
        /// The sender, if they are known.
        who: Option<Who<'a>>,
        /// Their client, if it is known.
        client: Option<Client<'a>>,
        /// The id that somebody gave as their client's, without a proof.
        claimed: Option<&'a str>,
        /// Their address.
        from: Option<IpAddr>,
    },
    /// A step of a login for a device.
    Device {
        /// The step.
        what: DeviceStep,
        /// The device's client.
        client: Client<'a>,
        /// The address of the device, or of the browser in which its code was entered.
        from: IpAddr,
    },
    /// A change of a session or of its tokens.
    Token {
        /// The change.
        what: TokenChange,
        /// The person of the session.
        who: Option<Who<'a>>,
        /// Its client.
        client: Option<Client<'a>>,
        /// The reason of an end, in one of our own words.
        reason: Option<&'static str>,
    },
    /// A call of a plugin.
    Call(Call<'a>),
    /// A change of a plugin that is served, or of the file that would be.
    Plugin {
        /// The plugin's name.
        plugin: &'a str,
        /// `loaded`, `replaced`, `removed`, `refused`, `held`, `untrusted`, `disabled`, …
        what: &'static str,
        /// The digest of the file, where there is one.
        digest: Option<&'a str>,
        /// The reason, in words.
        reason: Option<&'a str>,
    },
    /// A configuration that has been taken over.
    Configuration {
        /// The digest of the one that is in force now.
        digest: &'a str,
        /// The keys that have changed.
        changed: Vec<&'a str>,
        /// Those of them that wait for a restart.
        waiting: Vec<&'a str>,
    },
    /// The beginning or the end of the server.
    Server {
        /// `started` or `stopped`.
        what: &'static str,
        /// The digest of its configuration.
        digest: Option<&'a str>,
    },
    /// An act of an operator.
    Operator {
        /// The act: the name of a command, of a page's form.
        act: &'a str,
        /// What it was done to.
        about: Option<&'a str>,
        /// The person that it was done to.
        whom: Option<Who<'a>>,
        /// Who did it.
        by: Operator<'a>,
        /// `ok`, or the reason that it was not done.
        outcome: &'a str,
    },
}

/// Somebody who runs the server.
#[derive(Debug, Clone, Copy)]
pub enum Operator<'a> {
    /// Whoever may use the control socket: a user of the machine.
    User(u32),
    /// A person of `auth.operators`.
    Person(Who<'a>),
}

/// A call, when it is over.
#[derive(Debug)]
pub struct Call<'a> {
    /// The caller.
    pub who: Who<'a>,
    /// Their client; none where nobody logs in.
    pub client: Option<Client<'a>>,
    /// The method of the protocol.
    pub method: &'static str,
    /// The plugin.
    pub plugin: &'a str,
    /// The digest of its file.
    pub digest: &'a str,
    /// The tool; none for what is no tool.
    pub tool: Option<&'a str>,
    /// `ok`, or the reason, in one of our own words.
    pub outcome: &'static str,
    /// From its arrival to its end.
    pub took: Duration,
    /// The grants that it used or lacked, rolled up.
    pub grants: &'a [Decision],
    /// Decisions that are not among these.
    pub grants_left_out: u64,
}

/// Decisions about one grant within one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// `http`, `tcp`, `dirs`, `kv`, `secrets`, …
    pub kind: &'static str,
    /// The place, or the name. None where the kind says it all.
    pub to: Option<String>,
    /// The decision.
    pub is_allowed: bool,
    /// So many times.
    pub count: u64,
}

macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident { $( $(#[$doc:meta])* $case:ident = $word:literal, )* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$doc])* $case, )* }

        impl $name {
            /// The word in lines and labels.
            pub fn word(self) -> &'static str {
                match self { $( Self::$case => $word, )* }
            }
        }
    };
}

words! {
    /// The reasons for which a request is refused for who sent it.
    pub enum Reason {
        /// It has no token. Every client begins so: it has no line, and is counted.
        NoToken = "no_token",
        /// Its token has expired, as all of them do: no line.
        ExpiredToken = "expired_token",
        /// Its token is none of this server.
        ForeignToken = "foreign_token",
        /// Its token was revoked or replaced, or its session has ended.
        EndedToken = "ended_token",
        /// Its person or its client is turned away by the rules of `[auth]`.
        TurnedAway = "turned_away",
        /// Its token is for another view.
        OtherView = "other_view",
        /// The token lacks scopes.
        Scopes = "scopes",
        /// It comes from another machine, or through a proxy, where only this one is served.
        NotLocal = "not_local",
        /// It has two tokens.
        TwoTokens = "two_tokens",
        /// The client is unknown.
        UnknownClient = "unknown_client",
        /// The client did not prove that it is who it says.
        ClientProof = "client_proof",
        /// There were too many requests.
        TooMany = "too_many",
        /// The grant, a code or a refresh token, is not good.
        BadGrant = "bad_grant",
        /// The code of a device is wrong.
        WrongCode = "wrong_code",
        /// A form may come from a page of another site: a wrong token, `Origin` or Fetch Metadata.
        ForgedForm = "forged_form",
        /// The audit cannot be written.
        Unaudited = "unaudited",
        /// The store or the provider cannot be reached.
        Unavailable = "unavailable",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// The steps of a login for a device (RFC 8628) that are its own.
    pub enum DeviceStep {
        /// A device has asked for a code.
        Begun = "begun",
        /// Its code was entered in a browser.
        Entered = "entered",
    }
}

words! {
    /// The changes of a session or of its tokens.
    pub enum TokenChange {
        /// A session has begun: its code was redeemed.
        Issued = "issued",
        /// Its tokens were renewed.
        Refreshed = "refreshed",
        /// Its client has revoked one of them.
        Revoked = "revoked",
        /// It has ended.
        Ended = "ended",
    }
}

impl<'a> Client<'a> {
    /// The client of a request; none where nobody logs in.
    pub fn of(principal: &'a Principal) -> Option<Self> {
        let id = principal.client.as_deref()?;
        Some(Self { id, name: principal.client_name.as_deref() })
    }

    fn write(self, line: &mut Line) {
        line.text("client", &shortened(self.id));
        line.maybe("client_name", self.name);
    }
}

/// A client's id as it is written.
fn shortened(id: &str) -> Cow<'_, str> {
    if id.len() <= CLIENT_ID_BYTES {
        return id.into();
    }
    let beginning = &id[..id.floor_char_boundary(CLIENT_ID_BEGINNING)];
    let hash = blake3::hash(id.as_bytes()).to_hex();
    format!("{beginning}…{}", &hash[..16]).into()
}

/// The names of all kinds of lines; `lost` is the one about lines that could not be written.
pub const KINDS: [&str; 11] =
    ["login", "consent", "device", "refusal", "token", "call", "plugin", "configuration", "operator", "server", "lost"];

impl Event<'_> {
    /// The name of its kind, one of [`KINDS`].
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Login { .. } => "login",
            Self::Consent { .. } => "consent",
            Self::Refusal { .. } => "refusal",
            Self::Device { .. } => "device",
            Self::Token { .. } => "token",
            Self::Call(_) => "call",
            Self::Plugin { .. } => "plugin",
            Self::Configuration { .. } => "configuration",
            Self::Server { .. } => "server",
            Self::Operator { .. } => "operator",
        }
    }

    /// False for what happens all the time and says nothing: it is counted alone.
    pub(super) fn has_line(&self) -> bool {
        !matches!(self, Self::Refusal { reason: Reason::NoToken | Reason::ExpiredToken, .. })
    }

    /// True for what anybody can cause as often as they like.
    pub(super) fn is_of_stranger(&self) -> bool {
        match self {
            Self::Refusal { who: None, .. } | Self::Login { who: None, .. } => true,
            // Whoever holds a dead token may come with it again and again.
            Self::Refusal { reason, .. } => matches!(reason, Reason::EndedToken | Reason::TurnedAway),
            Self::Consent { .. } | Self::Device { .. } => true,
            Self::Login { .. }
            | Self::Token { .. }
            | Self::Call(_)
            | Self::Plugin { .. }
            | Self::Configuration { .. }
            | Self::Server { .. }
            | Self::Operator { .. } => false,
        }
    }

    /// Adds its members.
    pub(super) fn write(&self, line: &mut Line, people: &PeopleStyle) {
        match self {
            Self::Login { who, client, outcome } => {
                line.text("outcome", outcome);
                people.write(who.as_ref(), line);
                write_client(*client, line);
            }
            Self::Consent { client, from, scopes, is_approved } => {
                line.text("outcome", if *is_approved { "approved" } else { "denied" });
                people.write_address(*from, line);
                client.write(line);
                line.texts("scopes", scopes.iter().copied());
            }
            Self::Refusal { reason, who, client, claimed, from } => {
                line.text("reason", reason.word());
                people.write(who.as_ref(), line);
                people.write_address(*from, line);
                write_client(*client, line);
                line.maybe("client_claimed", claimed.map(shortened).as_deref());
            }
            Self::Device { what, client, from } => {
                line.text("what", what.word());
                people.write_address(Some(*from), line);
                write_client(Some(*client), line);
            }
            Self::Token { what, who, client, reason } => {
                line.text("what", what.word());
                line.maybe("reason", *reason);
                people.write(who.as_ref(), line);
                write_client(*client, line);
            }
            Self::Call(call) => call.write(line, people),
            Self::Plugin { plugin, what, digest, reason } => {
                line.text("what", what);
                line.text("plugin", plugin);
                line.maybe("digest", *digest);
                line.maybe("reason", *reason);
            }
            Self::Configuration { digest, changed, waiting } => {
                line.text("digest", digest);
                line.texts("changed", changed.iter().copied());
                line.texts("waiting", waiting.iter().copied());
            }
            Self::Server { what, digest } => {
                line.text("what", what);
                line.text("version", env!("CARGO_PKG_VERSION"));
                line.maybe("digest", *digest);
            }
            Self::Operator { act, about, whom, by, outcome } => {
                line.text("act", act);
                line.maybe("about", *about);
                if let Some(whom) = whom {
                    line.text("whom", &people.name_of(whom));
                }
                line.text("outcome", outcome);
                match by {
                    Operator::User(user) => line.number("user", u64::from(*user)),
                    Operator::Person(who) => people.write(Some(who), line),
                }
            }
        }
    }
}

impl Call<'_> {
    fn write(&self, line: &mut Line, people: &PeopleStyle) {
        line.text("outcome", self.outcome);
        people.write(Some(&self.who), line);
        write_client(self.client, line);
        line.text("method", self.method);
        line.text("plugin", self.plugin);
        line.text("digest", self.digest);
        line.maybe("tool", self.tool);
        line.number("ms", u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX));
        line.objects("grants", self.grants, |line, grant| {
            line.text("kind", grant.kind);
            line.maybe("to", grant.to.as_deref());
            line.text("decision", if grant.is_allowed { "allowed" } else { "refused" });
            line.number("count", grant.count);
        });
        if self.grants_left_out > 0 {
            line.number("grants_left_out", self.grants_left_out);
        }
    }
}

fn write_client(client: Option<Client<'_>>, line: &mut Line) {
    if let Some(client) = client {
        client.write(line);
    }
}
