//! Signatures as people read them, in WIT's own words: `(a: f64, b: option<list<string>>) -> result<string, string>`.
//!
//! A component has no names for its types, so records and the like are written out.

use std::fmt::{self, Display, Formatter, Write};

use super::shape::{FailureShape, Integer, ResultShape, Shape, Signature, SuccessShape};

impl Display for Signature {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        separated(f, &self.params, |f, param| write!(f, "{}: {}", param.name, param.shape))?;
        f.write_char(')')?;
        match &self.output {
            ResultShape::Nothing => Ok(()),
            ResultShape::Value(shape) => write!(f, " -> {shape}"),
            ResultShape::Fallible { ok, err } => {
                f.write_str(" -> ")?;
                result(f, ok.as_ref(), err.as_ref())
            }
            ResultShape::Rich { ok, err } => rich(f, ok, err),
        }
    }
}

/// The types of `tinymcp:plugin` go by their names: written out they would fill a page.
fn rich(f: &mut Formatter<'_>, ok: &SuccessShape, err: &FailureShape) -> fmt::Result {
    let ok = match ok {
        SuccessShape::Nothing => None,
        SuccessShape::Value(shape) => Some(shape.to_string()),
        SuccessShape::Block => Some("block".to_owned()),
        SuccessShape::Blocks => Some("list<block>".to_owned()),
    };
    let err = match err {
        FailureShape::Impossible => return write!(f, " -> {}", ok.unwrap_or_default()),
        FailureShape::Nothing => None,
        FailureShape::Value(shape) => Some(shape.to_string()),
        FailureShape::Stop => Some("stop".to_owned()),
    };
    f.write_str(" -> ")?;
    result(f, ok.as_ref(), err.as_ref())
}

impl Display for Shape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Integer(integer) => f.write_str(match integer {
                Integer::S8 => "s8",
                Integer::U8 => "u8",
                Integer::S16 => "s16",
                Integer::U16 => "u16",
                Integer::S32 => "s32",
                Integer::U32 => "u32",
                Integer::S64 => "s64",
                Integer::U64 => "u64",
            }),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("list<u8>"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Map(value) => write!(f, "map<string, {value}>"),
            Self::Entries(entry) => {
                let fields = entry.parts();
                f.write_str("map<")?;
                separated(f, &fields, |f, (_, shape)| shape.fmt(f))?;
                f.write_char('>')
            }
            Self::Tuple(items) => {
                f.write_str("tuple<")?;
                separated(f, items, |f, item| item.fmt(f))?;
                f.write_char('>')
            }
            Self::Record(fields) => {
                f.write_str("record { ")?;
                separated(f, fields, |f, field| write!(f, "{}: {}", field.name, field.shape))?;
                f.write_str(" }")
            }
            Self::Variant(cases) => {
                f.write_str("variant { ")?;
                separated(f, cases, |f, case| match &case.shape {
                    Some(shape) => write!(f, "{}({shape})", case.name),
                    None => f.write_str(&case.name),
                })?;
                f.write_str(" }")
            }
            Self::Enum(labels) => {
                f.write_str("enum { ")?;
                separated(f, labels, |f, label| f.write_str(&label.name))?;
                f.write_str(" }")
            }
            Self::Flags(labels) => {
                f.write_str("flags { ")?;
                separated(f, labels, |f, label| f.write_str(&label.name))?;
                f.write_str(" }")
            }
            Self::Option(shape) => write!(f, "option<{shape}>"),
            Self::Result { ok, err } => result(f, ok.as_deref(), err.as_deref()),
        }
    }
}

fn result<T: Display>(f: &mut Formatter<'_>, ok: Option<&T>, err: Option<&T>) -> fmt::Result {
    match (ok, err) {
        (None, None) => f.write_str("result"),
        (Some(ok), None) => write!(f, "result<{ok}>"),
        (None, Some(err)) => write!(f, "result<_, {err}>"),
        (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
