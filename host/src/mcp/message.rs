//! One message of a client, read once: the parts that decide how it is served, and all of a plain call.
//!
//! Nothing is built of the arguments: as values they can take a hundred times the memory of their text, and it is not
//! known yet whether anybody wants them. The reader is lenient: it passes over a member of a wrong type, and rmcp answers
//! with the error. rmcp takes bytes only, so it reads the messages that it serves once more.

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::mcp) mod fuzzing;
pub(super) mod handshake;
mod member;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use rmcp::model::{InitializeRequestParams, RequestId};
use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

pub(super) use self::member::Member;
use self::member::{Readable, next_key};
use super::headers;

/// Methods that are answered from the catalog of plugins.
const OF_PLUGINS: [&str; 5] = ["tools/", "prompts/", "resources/", "completion/", "skills/"];

/// The most bytes of a handshake, whose values are made before anybody counts them. Real ones have some thousand.
pub(super) const MAX_HANDSHAKE_BYTES: usize = 64 * 1024;

/// Bytes of arguments whose values are worth an effort to avoid.
const LARGE_ARGUMENTS_BYTES: usize = 4096;

/// A JSON-RPC message.
pub(super) struct Message<'a> {
    pub(super) era: Era<'a>,
    pub(super) id: Option<RequestId>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Params<'a>,
    /// JSON-RPC 2.0.
    pub(super) is_versioned: bool,
    /// JSON-RPC 2.0, with no member in it or its parameters beside those read here.
    pub(super) is_exact: bool,
}

/// The rules by which a message is served.
pub(super) enum Era<'a> {
    /// 2026-07-28 and later: no request depends on another.
    Modern,
    /// The older era: the handshake that begins a session.
    Handshake(Box<InitializeRequestParams>),
    /// The older era: a message in the session of this id.
    Session(&'a str),
    /// The older era, without a session.
    Sessionless,
    /// Modern by its body alone, and refused by rmcp for its headers.
    Undeclared,
    /// A handshake that is too large for one.
    Endless,
}

/// Parameters, as far as they name what the message is for, and all that a plain call has.
#[derive(Default)]
pub(super) struct Params<'a> {
    pub(super) name: Member<Cow<'a, str>>,
    uri: Member<Cow<'a, str>>,
    /// The text of an object.
    pub(super) arguments: Member<&'a RawValue>,
    pub(super) meta: Member<Meta<'a>>,
    has_more: bool,
}

/// The part of `_meta` that every modern request must have (2026-07-28, basic); all else in it concerns tools that
/// stream.
#[derive(Default)]
pub(super) struct Meta<'a> {
    pub(super) protocol_version: Member<Cow<'a, str>>,
    pub(super) client_capabilities: Option<&'a RawValue>,
    /// The client's span (SEP-414).
    pub(super) traceparent: Option<&'a RawValue>,
}

/// The thing that a request is for, as far as it takes scopes.
pub(super) enum Target<'a> {
    Tool(&'a str),
    Prompt(&'a str),
    Resource(&'a str),
}

impl<'a> Message<'a> {
    /// Reads a message; without its arguments if these cannot be read, which rmcp finds out later. `None` for a body
    /// that cannot be read as an object with each member once.
    pub(super) fn read(headers: &'a HeaderMap, body: &'a [u8]) -> Option<Self> {
        let mut message = match read::<Envelope<'a, true>>(body) {
            Some(envelope) => envelope.0,
            None => read::<Envelope<'a, false>>(body)?.0,
        };
        message.era = Era::of(headers, &message.method, &message.params, body);
        Some(message)
    }

    /// True if it can only be answered once the plugins are known.
    pub(super) fn needs_plugins(&self) -> bool {
        OF_PLUGINS.iter().any(|prefix| self.method.starts_with(prefix))
    }

    /// The thing that it is for; `None` for a message that takes no scopes.
    pub(super) fn target(&self) -> Option<Target<'_>> {
        let Params { name, uri, .. } = &self.params;
        match &*self.method {
            "tools/call" => Some(Target::Tool(name.get()?)),
            "prompts/get" => Some(Target::Prompt(name.get()?)),
            "resources/read" | "resources/subscribe" => Some(Target::Resource(uri.get()?)),
            _ => None,
        }
    }

    /// The argument `name`: the tool that is meant, if the call is for `call_tool`.
    pub(super) fn inner_name(&self) -> Option<Cow<'a, str>> {
        let arguments = self.params.arguments.get()?;
        read::<Named<'a>>(arguments.get().as_bytes())?.0.take()
    }

    /// True if somebody should have asked for the arguments before values are made of them.
    pub(super) fn has_large_arguments(&self) -> bool {
        self.params.arguments.get().is_some_and(|arguments| arguments.get().len() > LARGE_ARGUMENTS_BYTES)
    }

    /// The place of the arguments in the body that it was read from.
    pub(super) fn arguments_in(&self, body: &[u8]) -> Option<Range<usize>> {
        let text = self.params.arguments.get()?.get();
        let start = (text.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
        Some(start..start + text.len()).filter(|range| range.end <= body.len())
    }

    /// The body that it was read from, with no arguments in it.
    pub(super) fn without_arguments(&self, body: &Bytes) -> Bytes {
        match self.arguments_in(body) {
            Some(place) => [&body[..place.start], b"{}", &body[place.end..]].concat().into(),
            None => body.clone(),
        }
    }
}

impl<'a> Era<'a> {
    /// Decides the era. A modern version in the headers comes first, then a handshake, then a session, then the version
    /// in the body.
    fn of(headers: &'a HeaderMap, method: &str, params: &Params<'_>, body: &[u8]) -> Self {
        if headers::are_modern(headers) {
            return Self::Modern;
        }
        if method == "initialize" && body.len() > MAX_HANDSHAKE_BYTES {
            return Self::Endless;
        }
        // A modern request for a method of that name has no handshake in it.
        if method == "initialize"
            && let Some(params) = handshake::read(body)
        {
            return Self::Handshake(Box::new(params));
        }
        if let Some(session) = headers::session_id(headers) {
            return Self::Session(session);
        }
        let names_version = params.meta.get().is_some_and(|meta| !meta.protocol_version.is_none());
        if names_version { Self::Undeclared } else { Self::Sessionless }
    }

    pub(super) fn is_modern(&self) -> bool {
        matches!(self, Self::Modern)
    }
}

fn read<'a, T: Readable<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice::<Member<T>>(body).ok()?.take()
}

/// A message before its era is found; without its arguments if `ARGUMENTS` is false.
struct Envelope<'a, const ARGUMENTS: bool>(Message<'a>);

impl<'de, const ARGUMENTS: bool> Readable<'de> for Envelope<'de, ARGUMENTS> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let (mut jsonrpc, mut id) = (Member::<Cow<'de, str>>::Absent, Member::<RequestId>::Absent);
        let (mut method, mut params) = (Member::Absent, Member::Absent);
        let (mut has_more, mut has_twice) = (false, false);
        while let Some(key) = next_key(&mut object)? {
            match &*key {
                "jsonrpc" => has_twice |= jsonrpc.put(object.next_value()?),
                "id" => has_twice |= id.put(object.next_value()?),
                "method" => has_twice |= method.put(object.next_value()?),
                "params" => has_twice |= params.put(object.next_value()?),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    has_more = true;
                }
            }
        }
        if has_twice || matches!(method, Member::Other) {
            return Ok(None);
        }
        let id = id.take();
        let method = method.take().unwrap_or_default();
        let ReadParams::<ARGUMENTS>(params) = params.take().unwrap_or_default();
        let is_versioned = jsonrpc.get().is_some_and(|version| version == "2.0");
        let is_exact = is_versioned && !has_more && !params.has_more;
        Ok(Some(Self(Message { era: Era::Sessionless, id, method, params, is_versioned, is_exact })))
    }
}

#[derive(Default)]
struct ReadParams<'a, const ARGUMENTS: bool>(Params<'a>);

impl<'de, const ARGUMENTS: bool> Readable<'de> for ReadParams<'de, ARGUMENTS> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let mut params = Params::default();
        while let Some(key) = next_key(&mut object)? {
            match &*key {
                "name" => params.has_more |= params.name.put(object.next_value()?),
                "uri" => params.uri = object.next_value()?,
                "arguments" if ARGUMENTS => {
                    params.has_more |= params.arguments.put(Member::of_raw(object.next_value()?))
                }
                "_meta" => params.has_more |= params.meta.put(object.next_value()?),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    params.has_more = true;
                }
            }
        }
        // A call has no URI.
        params.has_more |= !matches!(params.uri, Member::Absent);
        Ok(Some(Self(params)))
    }
}

/// An object with a name.
struct Named<'a>(Member<Cow<'a, str>>);

impl<'de> Readable<'de> for Named<'de> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let mut name = Member::Absent;
        while let Some(key) = next_key(&mut object)? {
            match &*key {
                "name" => name = object.next_value()?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(Self(name)))
    }
}

impl<'de> Readable<'de> for Meta<'de> {
    fn of_object<M: MapAccess<'de>>(mut object: M) -> Result<Option<Self>, M::Error> {
        let mut meta = Self::default();
        while let Some(key) = next_key(&mut object)? {
            match &*key {
                "io.modelcontextprotocol/protocolVersion" => meta.protocol_version = object.next_value()?,
                "io.modelcontextprotocol/clientCapabilities" => meta.client_capabilities = object.next_value()?,
                "traceparent" => meta.traceparent = object.next_value()?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(meta))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_era_is_decided_by_header_handshake_session_and_body_in_this_order() {
        let initialize = r#"{"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
        let modern = r#"{"method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let plain = r#"{"method":"m","params":[]}"#;
        for (version, session, body, era) in [
            (Some("2026-07-28"), Some("id"), plain, "modern"),
            (Some("2099-01-01"), None, initialize, "modern"),
            (Some("2025-11-25"), Some("id"), initialize, "handshake"),
            (None, Some("id"), r#"{"method":"initialize","params":{}}"#, "session id"),
            (None, Some("id"), modern, "session id"),
            (None, None, modern, "undeclared"),
            (Some("2025-11-25"), None, plain, "sessionless"),
        ] {
            let mut headers = HeaderMap::new();
            let pairs = [(headers::PROTOCOL_VERSION, version), (headers::SESSION_ID, session)];
            for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                headers.insert(name, HeaderValue::from_static(value));
            }
            let found = match Message::read(&headers, body.as_bytes()).unwrap().era {
                Era::Modern => "modern".to_owned(),
                Era::Handshake(_) => "handshake".to_owned(),
                Era::Session(id) => format!("session {id}"),
                Era::Sessionless => "sessionless".to_owned(),
                Era::Undeclared => "undeclared".to_owned(),
                Era::Endless => "endless".to_owned(),
            };
            assert_eq!(found, era, "{version:?} {session:?} {body}");
        }
    }

    #[test]
    fn members_of_other_types_are_passed_over() {
        let headers = HeaderMap::new();
        let read = |body: &'static str| Message::read(&headers, body.as_bytes());
        let message =
            read(r#"{"id":[1],"method":null,"params":{"name":{},"arguments":"x","_meta":1},"x":{}}"#).unwrap();
        assert!(message.id.is_none() && message.method.is_empty() && !message.is_exact);
        assert!(matches!(message.params.arguments, Member::Other) && matches!(message.params.meta, Member::Other));
        assert!(message.params.name.get().is_none() && message.target().is_none());
        let odd = read(r#"{"method":"tools/call","params":{"arguments":{"a":"\ud800"},"name":"it"}}"#).unwrap();
        assert!(matches!(odd.target(), Some(Target::Tool("it"))) && odd.inner_name().is_none());
        let body = r#"{"id":"a","params":{"arguments": {"name":[],"na\u006de":"x"} }}"#;
        let inner = read(body).unwrap();
        assert_eq!((inner.inner_name().as_deref(), inner.id), (Some("x"), Some(RequestId::String("a".into()))));
        let place = read(body).unwrap().arguments_in(body.as_bytes()).unwrap();
        assert_eq!(&body[place], r#"{"name":[],"na\u006de":"x"}"#);
        for id in ["-7", "9223372036854775808", "1.5", "null", "[[[[]]]]"] {
            let body: &'static str = format!(r#"{{"id":{id}}}"#).leak();
            assert_eq!(read(body).unwrap().id, serde_json::from_str(id).ok(), "{id}");
        }
        for body in ["[]", "{", r#"{"method":"\ud800"}"#, r#"{"method":5}"#, r#"{"id":1,"id":1}"#] {
            assert!(read(body).is_none(), "{body}");
        }
    }
}
