//! The shapes of the values that a tool takes and gives: WIT's value types, free of the engine that runs them.
//!
//! A [`Signature`] is read once from a component, when it is loaded. Schemas, the codec and the documentation all
//! follow it and nothing else, so that they cannot disagree. Names stay as the WIT writes them: they are the names in
//! JSON too.

use thiserror::Error;
use wasmtime::component::types::{ComponentFunc, Type};

/// How deep types may nest in each other. Deeper JSON is refused by common parsers (`serde_json` stops at 128), and
/// every walk over a shape recurses this far at most.
const MAX_DEPTH: usize = 64;

/// How many types and names one signature may hold. A component shares its types, a schema repeats them: without a
/// bound, a kilobyte of nested records could ask for a schema of terabytes.
const MAX_NODES: usize = 10_000;

/// How many bytes the names in one signature may have together, for the same reason: one name may have 100,000.
const MAX_NAME_BYTES: usize = 1 << 20;

/// How many characters the name of a property may have. Anthropic's API refuses every request of a conversation in
/// which one tool has a longer one (`^[a-zA-Z0-9_.-]{1,64}$`).
pub const MAX_PROPERTY_CHARS: usize = 64;

/// The fields of a map's entry in JSON, where its keys are no strings.
const KEY: &str = "key";
const VALUE: &str = "value";

/// What a tool takes and gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// The parameters, in the order of the call.
    pub params: Vec<Field>,
    /// What comes back.
    pub output: Output,
    /// What the author says about the result.
    pub output_docs: Option<String>,
}

/// What a tool gives back.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The function has no result.
    Nothing,
    /// The function always gives a value.
    Value(Shape),
    /// The function's result type is `result<ok, err>`: an `err` is a failed call, not a value.
    Fallible {
        /// The value of a call that went well.
        ok: Option<Shape>,
        /// What a failed call says.
        err: Option<Shape>,
    },
    /// The same with types of `tinymcp:plugin` in it.
    Rich {
        /// The value of a call that went well.
        ok: Success,
        /// What any other call gives.
        err: Failure,
    },
}

/// What a call that went well gives, where types of `tinymcp:plugin` are about.
#[derive(Debug, Clone, PartialEq)]
pub enum Success {
    /// No value.
    Nothing,
    /// A value as everywhere.
    Value(Shape),
    /// A `block`.
    Block,
    /// A `list<block>`.
    Blocks,
}

/// What a call that did not go well gives, where types of `tinymcp:plugin` are about.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The function's result type is no `result`.
    Impossible,
    /// An error without a word.
    Nothing,
    /// An error as everywhere.
    Value(Shape),
    /// A `stop`: an error, or questions.
    Stop,
}

/// The types of `tinymcp:plugin` that mean something in a function's result, as far as a component imports them.
#[derive(Default)]
pub struct KnownTypes {
    /// `content.block`
    pub block: Option<Type>,
    /// `input.stop`
    pub stop: Option<Type>,
}

impl KnownTypes {
    fn is_block(&self, ty: &Type) -> bool {
        self.block.as_ref() == Some(ty)
    }

    fn success(&self, ty: &Type) -> Option<Success> {
        match ty {
            ty if self.is_block(ty) => Some(Success::Block),
            Type::List(list) if self.is_block(&list.ty()) => Some(Success::Blocks),
            _ => None,
        }
    }
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
    Variant(Vec<Case>),
    /// `enum`
    Enum(Vec<Label>),
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
    Flags(Vec<Label>),
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
    /// What the author says about it.
    pub docs: Option<String>,
}

impl Field {
    /// Whether an object must have this property.
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
    /// What the author says about it.
    pub docs: Option<String>,
}

/// A case of an enum or one of several flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Name as in the WIT, kebab-case.
    pub name: String,
    /// What the author says about it.
    pub docs: Option<String>,
}

/// Why a function cannot be a tool. The place is a parameter or the result, and the way to the type inside it.
#[derive(Debug, Error, PartialEq)]
pub enum ShapeError {
    /// A type that is more than a value, or one that no JSON value stands for.
    #[error("{place}: {article} `{name}` has no JSON form", article = article(name))]
    NoJsonForm {
        /// Where the type stands.
        place: String,
        /// The type, as WIT calls it.
        name: &'static str,
    },
    /// An `option` whose value is an `option`: JSON has one `null` for two absences.
    #[error("{place}: an `option` directly inside an `option` has no JSON form; use a `variant`")]
    NestedOption {
        /// Where the outer option stands.
        place: String,
    },
    /// Too many types inside each other.
    #[error("{place}: types nest deeper than {MAX_DEPTH} levels; flatten them")]
    TooDeep {
        /// Where the limit was passed.
        place: String,
    },
    /// A property's name that models' APIs refuse.
    #[error(
        "{place}: its name has {chars} characters, and models' APIs refuse every request with a property name of more \
         than {MAX_PROPERTY_CHARS}; shorten it"
    )]
    NameTooLong {
        /// What is called so.
        place: String,
        /// The characters of its name.
        chars: usize,
    },
    /// A map whose keys WIT does not have: other tools than those of WIT make one.
    #[error("{place}: a map's keys are integers, strings, characters or booleans, and nothing else")]
    MapKey {
        /// Where the map is.
        place: String,
    },
    /// Too many types and names, or too many bytes of names.
    #[error("{place}: the signature has more than {MAX_NODES} types and names, or names too long; make it smaller")]
    TooLarge {
        /// Where the limit was passed.
        place: String,
    },
}

fn article(name: &str) -> &'static str {
    if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

impl Signature {
    /// Reads the signature of an exported function. It has no documentation yet.
    ///
    /// # Errors
    /// The first type that cannot be a tool's, with its place.
    pub fn from_function(function: &ComponentFunc, known: &KnownTypes) -> Result<Self, ShapeError> {
        let mut reader = Reader::default();
        let mut params = Vec::new();
        for (name, ty) in function.params() {
            reader.place = Place::Parameter;
            let shape = reader.property(name, |reader| reader.shape(&ty, 1))?;
            params.push(Field { name: reader.name(name)?, shape, docs: None });
        }
        reader.place = Place::Result;
        let output = match function.results().next() {
            None => Output::Nothing,
            Some(Type::Result(ty)) => reader.fallible(ty.ok().as_ref(), ty.err().as_ref(), known)?,
            Some(ty) => match known.success(&ty) {
                Some(ok) => Output::Rich { ok, err: Failure::Impossible },
                None => Output::Value(reader.shape(&ty, 1)?),
            },
        };
        Ok(Self { params, output, output_docs: None })
    }

    /// How many values a call returns: a function has one result or none.
    pub fn result_count(&self) -> usize {
        match self.output {
            Output::Nothing => 0,
            Output::Value(_) | Output::Fallible { .. } | Output::Rich { .. } => 1,
        }
    }
}

/// One pass over the types of a signature: where it is, and how much it has seen.
#[derive(Default)]
struct Reader {
    place: Place,
    /// From the parameter or result to the type at hand: `request.parts[].body`.
    path: String,
    nodes: usize,
    name_bytes: usize,
    /// The error of a function is a text to its reader, and stands in no schema.
    is_in_error: bool,
}

#[derive(Default, Clone, Copy)]
enum Place {
    #[default]
    Parameter,
    Result,
}

impl Reader {
    /// A function's own `result<ok, err>`.
    fn fallible(&mut self, ok: Option<&Type>, err: Option<&Type>, known: &KnownTypes) -> Result<Output, ShapeError> {
        let given = ok.and_then(|ty| known.success(ty));
        let is_stop = err.is_some() && err == known.stop.as_ref();
        let ok = match ok.filter(|_| given.is_none()) {
            Some(ty) => Some(self.inside("ok", |reader| reader.shape(ty, 2))?),
            None => None,
        };
        let err = match err.filter(|_| !is_stop) {
            Some(ty) => {
                self.is_in_error = true;
                Some(self.inside("err", |reader| reader.shape(ty, 2))?)
            }
            None => None,
        };
        if given.is_none() && !is_stop {
            return Ok(Output::Fallible { ok, err });
        }
        let ok = given.unwrap_or_else(|| ok.map_or(Success::Nothing, Success::Value));
        let err = if is_stop { Failure::Stop } else { err.map_or(Failure::Nothing, Failure::Value) };
        Ok(Output::Rich { ok, err })
    }

    fn shape(&mut self, ty: &Type, depth: usize) -> Result<Shape, ShapeError> {
        if depth > MAX_DEPTH {
            return Err(ShapeError::TooDeep { place: self.place() });
        }
        self.count(0)?;
        let deeper = depth + 1;
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::Integer(Integer::S8),
            Type::U8 => Shape::Integer(Integer::U8),
            Type::S16 => Shape::Integer(Integer::S16),
            Type::U16 => Shape::Integer(Integer::U16),
            Type::S32 => Shape::Integer(Integer::S32),
            Type::U32 => Shape::Integer(Integer::U32),
            Type::S64 => Shape::Integer(Integer::S64),
            Type::U64 => Shape::Integer(Integer::U64),
            Type::Float32 => Shape::F32,
            Type::Float64 => Shape::F64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Shape::Bytes,
                item => Shape::List(Box::new(self.inside("[]", |reader| reader.shape(&item, deeper))?)),
            },
            Type::Tuple(tuple) => {
                let items = tuple.types().enumerate();
                let shape =
                    |(index, ty)| self.inside(&format!("[{index}]"), |reader: &mut Self| reader.shape(&ty, deeper));
                Shape::Tuple(items.map(shape).collect::<Result<_, _>>()?)
            }
            Type::Record(record) => {
                let mut fields = Vec::new();
                for field in record.fields() {
                    let shape = self.property(field.name, |reader| reader.shape(&field.ty, deeper))?;
                    fields.push(Field { name: self.name(field.name)?, shape, docs: None });
                }
                Shape::Record(fields)
            }
            Type::Variant(variant) => {
                let mut cases = Vec::new();
                for case in variant.cases() {
                    let shape = self.property(case.name, |reader| {
                        case.ty.as_ref().map(|ty| reader.shape(ty, deeper)).transpose()
                    })?;
                    cases.push(Case { name: self.name(case.name)?, shape, docs: None });
                }
                Shape::Variant(cases)
            }
            Type::Enum(names) => Shape::Enum(self.labels(names.names())?),
            Type::Flags(names) => Shape::Flags(self.labels(names.names())?),
            Type::Option(option) => match option.ty() {
                Type::Option(_) => return Err(ShapeError::NestedOption { place: self.place() }),
                ty => Shape::Option(Box::new(self.shape(&ty, deeper)?)),
            },
            Type::Result(result) => Shape::Result {
                ok: self.payload("ok", result.ok().as_ref(), deeper)?.map(Box::new),
                err: self.payload("err", result.err().as_ref(), deeper)?.map(Box::new),
            },
            Type::Own(_) | Type::Borrow(_) => return Err(self.no_json_form("resource")),
            Type::Future(_) => return Err(self.no_json_form("future")),
            Type::Stream(_) => return Err(self.no_json_form("stream")),
            Type::ErrorContext => return Err(self.no_json_form("error-context")),
            Type::Map(map) => self.map(&map.key(), &map.value(), deeper)?,
            Type::FixedLengthList(_) => return Err(self.no_json_form("list of fixed length")),
        })
    }

    fn map(&mut self, key: &Type, value: &Type, depth: usize) -> Result<Shape, ShapeError> {
        if matches!(key, Type::String) {
            return Ok(Shape::Map(Box::new(self.inside("*", |reader| reader.shape(value, depth))?)));
        }
        let fields = self.inside("[]", |reader| {
            let mut fields = Vec::new();
            for (name, ty) in [(KEY, key), (VALUE, value)] {
                let shape = reader.property(name, |reader| reader.shape(ty, depth + 1))?;
                fields.push(Field { name: reader.name(name)?, shape, docs: None });
            }
            Ok(fields)
        })?;
        if !matches!(fields[0].shape, Shape::Bool | Shape::Char | Shape::Integer(_)) {
            return Err(ShapeError::MapKey { place: self.place() });
        }
        Ok(Shape::Entries(Box::new(Shape::Record(fields))))
    }

    fn payload(&mut self, case: &str, ty: Option<&Type>, depth: usize) -> Result<Option<Shape>, ShapeError> {
        ty.map(|ty| self.inside(case, |reader| reader.shape(ty, depth))).transpose()
    }

    fn labels<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<Vec<Label>, ShapeError> {
        names.map(|name| Ok(Label { name: self.name(name)?, docs: None })).collect()
    }

    fn name(&mut self, name: &str) -> Result<String, ShapeError> {
        self.count(name.len())?;
        Ok(name.to_owned())
    }

    fn count(&mut self, name_bytes: usize) -> Result<(), ShapeError> {
        self.nodes += 1;
        self.name_bytes += name_bytes;
        if self.nodes > MAX_NODES || self.name_bytes > MAX_NAME_BYTES {
            return Err(ShapeError::TooLarge { place: self.place() });
        }
        Ok(())
    }

    /// Reads what a property of an object holds.
    fn property<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, ShapeError>,
    ) -> Result<T, ShapeError> {
        self.inside(name, |reader| {
            let chars = name.chars().count();
            if chars > MAX_PROPERTY_CHARS && !reader.is_in_error {
                return Err(ShapeError::NameTooLong { place: reader.place(), chars });
            }
            read(reader)
        })
    }

    /// Reads what stands one step further inside: a name, or an index in brackets.
    fn inside<T>(
        &mut self,
        step: &str,
        read: impl FnOnce(&mut Self) -> Result<T, ShapeError>,
    ) -> Result<T, ShapeError> {
        let outside = self.path.len();
        if outside > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        let read = read(self)?;
        self.path.truncate(outside);
        Ok(read)
    }

    fn place(&self) -> String {
        match self.place {
            Place::Parameter => format!("parameter `{}`", self.path),
            Place::Result if self.path.is_empty() => "result".to_owned(),
            Place::Result => format!("result `{}`", self.path),
        }
    }

    fn no_json_form(&self, name: &'static str) -> ShapeError {
        ShapeError::NoJsonForm { place: self.place(), name }
    }
}

#[cfg(test)]
mod tests;
