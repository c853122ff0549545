//! The reader of signatures: from the engine's types to shapes, within bounds of depth, number and size.

use wasmtime::component::types::{ComponentFunc, Type};

use super::{
    Case, FailureShape, Field, Integer, Label, MAX_DEPTH, MAX_NAME_BYTES, MAX_NODES, MAX_PROPERTY_CHARS, ResultShape,
    Shape, ShapeError, Signature, SuccessShape,
};

/// The fields of a map's entry in JSON, where its keys are no strings.
const KEY: &str = "key";
const VALUE: &str = "value";

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

    fn success(&self, ty: &Type) -> Option<SuccessShape> {
        match ty {
            ty if self.is_block(ty) => Some(SuccessShape::Block),
            Type::List(list) if self.is_block(&list.ty()) => Some(SuccessShape::Blocks),
            _ => None,
        }
    }
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
            reader.root = Root::Parameter;
            let shape = reader.property(name, |reader| reader.shape(&ty, 1))?;
            params.push(Field { name: reader.name(name)?, shape, docs: None });
        }
        reader.root = Root::Result;
        let output = match function.results().next() {
            None => ResultShape::Nothing,
            Some(Type::Result(ty)) => reader.fallible(ty.ok().as_ref(), ty.err().as_ref(), known)?,
            Some(ty) => match known.success(&ty) {
                Some(ok) => ResultShape::Rich { ok, err: FailureShape::Impossible },
                None => ResultShape::Value(reader.shape(&ty, 1)?),
            },
        };
        Ok(Self { params, output, output_docs: None })
    }
}

/// One pass over the types of a signature: where it is, and how much it has seen.
#[derive(Default)]
struct Reader {
    root: Root,
    /// From the parameter or result to the type at hand: `request.parts[].body`.
    path: String,
    nodes: usize,
    name_bytes: usize,
    /// The error of a function is a text to its reader, and stands in no schema.
    is_in_error: bool,
}

#[derive(Default, Clone, Copy)]
enum Root {
    #[default]
    Parameter,
    Result,
}

impl Reader {
    /// A function's own `result<ok, err>`.
    fn fallible(
        &mut self,
        ok: Option<&Type>,
        err: Option<&Type>,
        known: &KnownTypes,
    ) -> Result<ResultShape, ShapeError> {
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
            return Ok(ResultShape::Fallible { ok, err });
        }
        let ok = given.unwrap_or_else(|| ok.map_or(SuccessShape::Nothing, SuccessShape::Value));
        let err = if is_stop { FailureShape::Stop } else { err.map_or(FailureShape::Nothing, FailureShape::Value) };
        Ok(ResultShape::Rich { ok, err })
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
                Shape::Variant(cases.into())
            }
            Type::Enum(names) => Shape::Enum(self.labels(names.names())?.into()),
            Type::Flags(names) => Shape::Flags(self.labels(names.names())?.into()),
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

    /// Reads the value of a property of an object.
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

    /// Reads the type one step further inside: a name, or an index in brackets.
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
        match self.root {
            Root::Parameter => format!("parameter `{}`", self.path),
            Root::Result if self.path.is_empty() => "result".to_owned(),
            Root::Result => format!("result `{}`", self.path),
        }
    }

    fn no_json_form(&self, name: &'static str) -> ShapeError {
        ShapeError::NoJsonForm { place: self.place(), name }
    }
}
