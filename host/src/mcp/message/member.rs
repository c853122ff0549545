//! A member of a JSON object, read leniently: one of a wrong type is passed over.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use rmcp::model::RequestId;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A member of an object.
#[derive(Default)]
pub(in crate::mcp) enum Member<T> {
    #[default]
    Absent,
    Null,
    Is(T),
    /// It is there with a wrong type.
    Other,
}

/// A type that a member can have.
pub(super) trait Readable<'de>: Sized {
    fn of_text(_text: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn of_integer(_integer: i64) -> Option<Self> {
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

impl Readable<'_> for RequestId {
    fn of_text(text: Cow<'_, str>) -> Option<Self> {
        Some(Self::String(text.into()))
    }

    fn of_integer(integer: i64) -> Option<Self> {
        Some(Self::Number(integer))
    }
}

/// The next name in an object.
pub(super) fn next_key<'de, M: MapAccess<'de>>(object: &mut M) -> Result<Option<Cow<'de, str>>, M::Error> {
    Ok(object.next_key::<Member<_>>()?.map(|key| key.take().unwrap_or_default()))
}

impl<T> Member<T> {
    pub(in crate::mcp) fn get(&self) -> Option<&T> {
        if let Self::Is(value) = self { Some(value) } else { None }
    }

    /// True if it is absent or null.
    pub(in crate::mcp) fn is_none(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// Puts a value, and tells if there was one before.
    pub(super) fn put(&mut self, value: Self) -> bool {
        !matches!(std::mem::replace(self, value), Self::Absent)
    }

    pub(super) fn take(self) -> Option<T> {
        if let Self::Is(value) = self { Some(value) } else { None }
    }
}

impl<'a> Member<&'a RawValue> {
    /// The text of a value, if that is an object.
    pub(super) fn of_raw(text: &'a RawValue) -> Self {
        match text.get().as_bytes().first() {
            Some(b'{') => Self::Is(text),
            Some(b'n') => Self::Null,
            _ => Self::Other,
        }
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

    fn visit_i64<E>(self, integer: i64) -> Result<Self::Value, E> {
        Ok(T::of_integer(integer).map_or(Member::Other, Member::Is))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Self::Value, E> {
        let integer = i64::try_from(integer).ok();
        Ok(integer.and_then(T::of_integer).map_or(Member::Other, Member::Is))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Member::Other)
    }
}
