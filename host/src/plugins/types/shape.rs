//! The shapes of a tool's parameters and result: WIT's value types as plain data.
//!
//! A [`Signature`] is read once from a component, when it is loaded; only its [`reader`] knows the engine. Schemas, the
//! codec and the documentation all follow the signature and nothing else, so that they cannot disagree. Names stay as
//! the WIT writes them: they are the names in JSON too.

mod by_name;
pub(in crate::plugins) mod reader;

use thiserror::Error;

pub use self::by_name::ByName;
use self::by_name::Named;

/// Depth to which types may nest. Deeper JSON is refused by common parsers (`serde_json` stops at 128), and
/// every walk over a shape recurses this far at most.
const MAX_DEPTH: usize = 64;

/// Types and names that one signature may hold. A component shares its types, a schema repeats them: without a
/// bound, a kilobyte of nested records could ask for a schema of terabytes.
const MAX_NODES: usize = 10_000;

/// Bytes that the names in one signature may have together, for the same reason: one name may have 100,000.
const MAX_NAME_BYTES: usize = 1 << 20;

/// Characters that the name of a property may have. Anthropic's API refuses every request of a conversation in
/// which one tool has a longer one (`^[a-zA-Z0-9_.-]{1,64}$`).
pub const MAX_PROPERTY_CHARS: usize = 64;

/// The parameters and the result of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// The parameters, in the order of the call.
    pub params: Vec<Field>,
    /// The result.
    pub output: ResultShape,
    /// The author's description of the result.
    pub output_docs: Option<String>,
}

/// The kinds of a tool's result.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultShape {
    /// The function has no result.
    Nothing,
    /// The function always gives a value.
    Value(Shape),
    /// The function's result type is `result<ok, err>`: an `err` is a failed call, not a value.
    Fallible {
        /// The value of a call that went well.
        ok: Option<Shape>,
        /// The error of a failed call.
        err: Option<Shape>,
    },
    /// The same with types of `tinymcp:plugin` in it.
    Rich {
        /// The value of a call that went well.
        ok: SuccessShape,
        /// The outcome of any other call.
        err: FailureShape,
    },
}

impl ResultShape {
    /// The value of a call that went well, unless it has none, or content blocks in its place.
    pub fn value(&self) -> Option<&Shape> {
        match self {
            Self::Value(shape)
            | Self::Fallible { ok: Some(shape), .. }
            | Self::Rich { ok: SuccessShape::Value(shape), .. } => Some(shape),
            Self::Nothing | Self::Fallible { ok: None, .. } | Self::Rich { .. } => None,
        }
    }
}

/// The value of a call that went well, where types of `tinymcp:plugin` are about.
#[derive(Debug, Clone, PartialEq)]
pub enum SuccessShape {
    /// No value.
    Nothing,
    /// A value as everywhere.
    Value(Shape),
    /// A `block`.
    Block,
    /// A `list<block>`.
    Blocks,
}

/// The outcome of a call that did not go well, where types of `tinymcp:plugin` are about.
#[derive(Debug, Clone, PartialEq)]
pub enum FailureShape {
    /// The function's result type is no `result`.
    Impossible,
    /// An error without a word.
    Nothing,
    /// An error as everywhere.
    Value(Shape),
    /// A `stop`: an error, or questions.
    Stop,
}

/// A value type of WIT that has a JSON form.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// `bool`
    Bool,
    /// `s8` to `u64`
    Integer(Integer),
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`: one Unicode scalar value
    Char,
    /// `string`
    String,
    /// `list<u8>`, which is base64 in JSON
    Bytes,
    /// `list<T>` of anything but `u8`
    List(Box<Shape>),
    /// `map<string, T>`, which is an object in JSON
    Map(Box<Shape>),
    /// `map<K, V>` of any other keys: an array of records, each with a `key` and a `value`
    Entries(Box<Shape>),
    /// `tuple<…>`
    Tuple(Vec<Shape>),
    /// `record`
    Record(Vec<Field>),
    /// `variant`
    Variant(ByName<Case>),
    /// `enum`
    Enum(ByName<Label>),
    /// `option<T>`; never directly inside another option
    Option(Box<Shape>),
    /// `result<ok, err>` anywhere but as a tool's whole result
    Result {
        /// Payload of `ok`, if it has one.
        ok: Option<Box<Shape>>,
        /// Payload of `err`, if it has one.
        err: Option<Box<Shape>>,
    },
    /// `flags`
    Flags(ByName<Label>),
}

impl Shape {
    /// The shapes directly inside this one, each with the step to it as it stands in a path.
    pub fn parts(&self) -> Vec<(String, &Self)> {
        match self {
            Self::Bool
            | Self::Integer(_)
            | Self::F32
            | Self::F64
            | Self::Char
            | Self::String
            | Self::Bytes
            | Self::Enum(_)
            | Self::Flags(_) => Vec::new(),
            Self::List(item) | Self::Entries(item) => vec![("[]".to_owned(), item)],
            Self::Map(value) => vec![(".*".to_owned(), value)],
            Self::Tuple(items) => items.iter().enumerate().map(|(index, item)| (format!("[{index}]"), item)).collect(),
            Self::Record(fields) => fields.iter().map(|field| (format!(".{}", field.name), &field.shape)).collect(),
            Self::Variant(cases) => {
                cases.iter().filter_map(|case| Some((format!(".{}", case.name), case.shape.as_ref()?))).collect()
            }
            Self::Option(some) => vec![(String::new(), some)],
            Self::Result { ok, err } => {
                let ok = ok.as_deref().map(|shape| (".ok".to_owned(), shape));
                let err = err.as_deref().map(|shape| (".err".to_owned(), shape));
                ok.into_iter().chain(err).collect()
            }
        }
    }
}

/// The integer types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in WIT")]
pub enum Integer {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Integer {
    /// The least value of the type.
    pub fn minimum(self) -> i64 {
        match self {
            Self::S8 => i8::MIN.into(),
            Self::S16 => i16::MIN.into(),
            Self::S32 => i32::MIN.into(),
            Self::S64 => i64::MIN,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => 0,
        }
    }

    /// The greatest value of the type.
    pub fn maximum(self) -> u64 {
        match self {
            Self::S8 => i8::MAX.unsigned_abs().into(),
            Self::S16 => i16::MAX.unsigned_abs().into(),
            Self::S32 => i32::MAX.unsigned_abs().into(),
            Self::S64 => i64::MAX.unsigned_abs(),
            Self::U8 => u8::MAX.into(),
            Self::U16 => u16::MAX.into(),
            Self::U32 => u32::MAX.into(),
            Self::U64 => u64::MAX,
        }
    }
}

/// A parameter of a function or a field of a record: in JSON, both are a property of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name as in the WIT, kebab-case.
    pub name: String,
    /// Type of the value; an [`Shape::Option`] makes the property optional.
    pub shape: Shape,
    /// The author's description.
    pub docs: Option<String>,
}

impl Field {
    /// True if an object must have this property.
    pub fn is_required(&self) -> bool {
        !matches!(self.shape, Shape::Option(_))
    }
}

/// A case of a variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Name as in the WIT, kebab-case.
    pub name: String,
    /// Type of the payload, if the case has one.
    pub shape: Option<Shape>,
    /// The author's description.
    pub docs: Option<String>,
}

/// A case of an enum or one of several flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Name as in the WIT, kebab-case.
    pub name: String,
    /// The author's description.
    pub docs: Option<String>,
}

impl Named for Case {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Label {
    fn name(&self) -> &str {
        &self.name
    }
}

/// A reason why a function cannot be a tool. The place is a parameter or the result, and the way to the type inside it.
#[derive(Debug, Error, PartialEq)]
pub enum ShapeError {
    /// A type that is more than a value, or one that no JSON value stands for.
    #[error("{place}: {article} `{name}` has no JSON form", article = article(name))]
    NoJsonForm {
        /// The place of the type.
        place: String,
        /// The type, as WIT calls it.
        name: &'static str,
    },
    /// An `option` whose value is an `option`: JSON has one `null` for two absences.
    #[error("{place}: an `option` directly inside an `option` has no JSON form; use a `variant`")]
    NestedOption {
        /// The place of the outer option.
        place: String,
    },
    /// Too many types inside each other.
    #[error("{place}: types nest deeper than {MAX_DEPTH} levels; flatten them")]
    TooDeep {
        /// The place at which the limit was passed.
        place: String,
    },
    /// A property's name that models' APIs refuse.
    #[error(
        "{place}: its name has {chars} characters, and models' APIs refuse every request with a property name of more \
         than {MAX_PROPERTY_CHARS}; shorten it"
    )]
    NameTooLong {
        /// The place of the property.
        place: String,
        /// The characters of its name.
        chars: usize,
    },
    /// A map whose keys WIT does not have: other tools than those of WIT make one.
    #[error("{place}: a map's keys are integers, strings, characters or booleans, and nothing else")]
    MapKey {
        /// The place of the map.
        place: String,
    },
    /// Too many types and names, or too many bytes of names.
    #[error("{place}: the signature has more than {MAX_NODES} types and names, or names too long; make it smaller")]
    TooLarge {
        /// The place at which the limit was passed.
        place: String,
    },
}

fn article(name: &str) -> &'static str {
    if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

impl Signature {
    /// The number of values that a call returns: a function has one result or none.
    pub fn result_count(&self) -> usize {
        match self.output {
            ResultShape::Nothing => 0,
            ResultShape::Value(_) | ResultShape::Fallible { .. } | ResultShape::Rich { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests;
