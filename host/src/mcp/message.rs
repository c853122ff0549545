//! One message of a client, read once: what decides how it is served, and all of it if it is a plain call.
//!
//! Lenient: a member of another type than its own is passed over, and rmcp says what is wrong with it. rmcp takes bytes
//! only, so what it serves it reads once more by itself.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use http::HeaderMap;
use rmcp::model::{InitializeRequestParams, RequestId};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::headers;

/// Methods that are answered from what the plugins give.
const OF_PLUGINS: [&str; 5] = ["tools/", "prompts/", "resources/", "completion/", "skills/"];

/// The rules by which a message is served.
pub(super) enum Era<'a> {
    /// 2026-07-28 and later: every request stands for itself.
    Modern,
    /// The older era: the handshake that begins a session.
    Handshake(Box<InitializeRequestParams>),
    /// The older era: a message in the session of this id.
    Session(&'a str),
    /// The older era, without a session.
    Sessionless,
}

/// A JSON-RPC message.
pub(super) struct Message<'a> {
    pub(super) era: Era<'a>,
    pub(super) id: Option<RequestId>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Params<'a>,
    /// JSON-RPC 2.0, with no member in it or its parameters that is not read here.
    pub(super) is_exact: bool,
}

/// Parameters, as far as they name what the message is for, and all that a plain call has.
pub(super) struct Params<'a, A = Map<String, Value>> {
    pub(super) name: Member<Cow<'a, str>>,
    uri: Member<Cow<'a, str>>,
    pub(super) arguments: Member<A>,
    pub(super) meta: Member<Meta<'a>>,
    is_exact: bool,
}

/// The part of `_meta` that every modern request must have (2026-07-28, basic); all else in it concerns tools that stream.
#[derive(Default)]
pub(super) struct Meta<'a> {
    pub(super) protocol_version: Member<Cow<'a, str>>,
    pub(super) client_capabilities: Option<&'a RawValue>,
}

/// The thing that a request is for, as far as it takes scopes.
pub(super) enum Target<'a> {
    /// A tool, and the tool that it is to call if it is `call_tool`.
    Tool(&'a str, Option<&'a str>),
    Prompt(&'a str),
    Resource(&'a str),
}

/// A member of an object.
#[derive(Default)]
pub(super) enum Member<T> {
    #[default]
    Absent,
    Null,
    Is(T),
    /// Of another type than its own.
    Other,
}

impl<'a> Message<'a> {
    /// Reads a message; without its arguments if these cannot be read, which rmcp finds out later.
    ///
    /// # Errors
    /// The body cannot be read as a JSON object.
    pub(super) fn read(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Self, NotAMessage> {
        let envelope = read_envelope(body).or_else(|| Some(read_envelope::<Skipped>(body)?.without_arguments()));
        let Envelope { is_version_2, id, method, params, is_exact } = envelope.ok_or(NotAMessage)?;
        let method = method.read().unwrap_or_default();
        let params = params.read().unwrap_or_default();
        let is_exact = is_version_2 && is_exact && params.is_exact;
        Ok(Self { era: Era::of(headers, &method, &params, body), id, method, params, is_exact })
    }

    /// Whether it can only be answered once the plugins are known.
    pub(super) fn needs_plugins(&self) -> bool {
        OF_PLUGINS.iter().any(|prefix| self.method.starts_with(prefix))
    }

    /// The thing that it is for; none of a message that takes no scopes.
    pub(super) fn target(&self) -> Option<Target<'_>> {
        let Params { name, uri, arguments, .. } = &self.params;
        match &*self.method {
            "tools/call" => {
                let inner = arguments.get().and_then(|arguments| arguments.get("name")?.as_str());
                Some(Target::Tool(name.get()?, inner))
            }
            "prompts/get" => Some(Target::Prompt(name.get()?)),
            "resources/read" | "resources/subscribe" => Some(Target::Resource(uri.get()?)),
            _ => None,
        }
    }
}

/// A body is no message.
pub(super) struct NotAMessage;

impl<'a> Era<'a> {
    /// The one rule: the version in the headers decides. Where it is none of the modern era's, a handshake is one, a session
    /// goes before what the body says, and a body that names its version is modern; rmcp refuses it for its headers.
    fn of(headers: &'a HeaderMap, method: &str, params: &Params<'_>, body: &[u8]) -> Self {
        if headers::are_modern(headers) {
            return Self::Modern;
        }
        // A modern request for a method of that name has no handshake in it.
        if method == "initialize"
            && let Ok(Handshake { params }) = serde_json::from_slice(body)
        {
            return Self::Handshake(Box::new(params));
        }
        if let Some(session) = headers::session_id(headers) {
            return Self::Session(session);
        }
        let names_version = params.meta.get().is_some_and(|meta| !meta.protocol_version.is_none());
        if names_version { Self::Modern } else { Self::Sessionless }
    }

    pub(super) fn is_modern(&self) -> bool {
        matches!(self, Self::Modern)
    }
}

impl<T> Member<T> {
    pub(super) fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Null | Self::Other => None,
        }
    }

    /// Whether it says nothing, and not something that does not fit.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    fn read(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Null | Self::Other => None,
        }
    }
}

/// The parameters of `initialize`, which are read in full once for each session.
#[derive(Deserialize)]
struct Handshake {
    params: InitializeRequestParams,
}

struct Envelope<'a, A> {
    is_version_2: bool,
    id: Option<RequestId>,
    method: Member<Cow<'a, str>>,
    params: Member<Params<'a, A>>,
    is_exact: bool,
}

/// Arguments that are passed over.
struct Skipped;

fn read_envelope<'a, A: Readable<'a>>(body: &'a [u8]) -> Option<Envelope<'a, A>> {
    serde_json::from_slice::<Member<Envelope<'a, A>>>(body).ok()?.read()
}

impl<'a> Envelope<'a, Skipped> {
    fn without_arguments<A>(self) -> Envelope<'a, A> {
        let Self { is_version_2, id, method, params, .. } = self;
        let params = match params.read() {
            Some(Params { name, uri, meta, .. }) => {
                Member::Is(Params { name, uri, arguments: Member::Other, meta, is_exact: false })
            }
            None => Member::Other,
        };
        Envelope { is_version_2, id, method, params, is_exact: false }
    }
}

impl<A> Default for Params<'_, A> {
    fn default() -> Self {
        let (name, uri, arguments) = (Member::Absent, Member::Absent, Member::Absent);
        Self { name, uri, arguments, meta: Member::Absent, is_exact: true }
    }
}

/// A type that a member can have.
trait Readable<'de>: Sized {
    fn of_text(_text: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de> Readable<'de> for Cow<'de, str> {
    fn of_text(text: Cow<'de, str>) -> Option<Self> {
        Some(text)
    }
}

impl<'de> Readable<'de> for Map<String, Value> {
    fn of_object<M: MapAccess<'de>>(object: M) -> Result<Option<Self>, M::Error> {
        Self::deserialize(MapAccessDeserializer::new(object)).map(Some)
    }
}

impl Readable<'_> for Skipped {}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum EnvelopeKey {
    Jsonrpc,
    Id,
    Method,
    Params,
    #[serde(other)]
    Other,
}

impl<'de, A: Readable<'de>> Readable<'de> for Envelope<'de, A> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let (mut is_version_2, mut is_exact, mut id) = (false, true, None);
        let (mut method, mut params) = (Member::Absent, Member::Absent);
        while let Some(key) = object.next_key()? {
            match key {
                EnvelopeKey::Jsonrpc => {
                    let version: Member<Cow<'de, str>> = object.next_value()?;
                    is_version_2 = version.get().is_some_and(|version| version == "2.0");
                }
                EnvelopeKey::Id => id = RequestId::deserialize(object.next_value::<Value>()?).ok(),
                EnvelopeKey::Method => method = object.next_value()?,
                EnvelopeKey::Params => params = object.next_value()?,
                EnvelopeKey::Other => {
                    object.next_value::<IgnoredAny>()?;
                    is_exact = false;
                }
            }
        }
        Ok(Some(Self { is_version_2, id, method, params, is_exact }))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum ParamsKey {
    Name,
    Uri,
    Arguments,
    #[serde(rename = "_meta")]
    Meta,
    #[serde(other)]
    Other,
}

impl<'de, A: Readable<'de>> Readable<'de> for Params<'de, A> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let mut params = Self::default();
        while let Some(key) = object.next_key()? {
            match key {
                ParamsKey::Name => params.name = object.next_value()?,
                ParamsKey::Uri => params.uri = object.next_value()?,
                ParamsKey::Arguments => params.arguments = object.next_value()?,
                ParamsKey::Meta => params.meta = object.next_value()?,
                ParamsKey::Other => {
                    object.next_value::<IgnoredAny>()?;
                    params.is_exact = false;
                }
            }
        }
        // A call has no URI.
        params.is_exact &= matches!(params.uri, Member::Absent);
        Ok(Some(params))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum MetaKey {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    ProtocolVersion,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    ClientCapabilities,
    #[serde(other)]
    Other,
}

impl<'de> Readable<'de> for Meta<'de> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let mut meta = Self::default();
        while let Some(key) = object.next_key()? {
            match key {
                MetaKey::ProtocolVersion => meta.protocol_version = object.next_value()?,
                MetaKey::ClientCapabilities => meta.client_capabilities = object.next_value()?,
                MetaKey::Other => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(meta))
    }
}

impl<'de, T: Readable<'de>> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor(PhantomData))
    }
}

struct MemberVisitor<T>(PhantomData<T>);

impl<'de, T: Readable<'de>> Visitor<'de> for MemberVisitor<T> {
    type Value = Member<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(T::of_text(Cow::Borrowed(text)).map_or(Member::Other, Member::Is))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::of_text(Cow::Owned(text.to_owned())).map_or(Member::Other, Member::Is))
    }

    fn visit_map<M: MapAccess<'de>>(self, object: M) -> Result<Self::Value, M::Error> {
        Ok(T::of_object(object)?.map_or(Member::Other, Member::Is))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Self::Value, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Member::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Member::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Member::Other)
    }
}
