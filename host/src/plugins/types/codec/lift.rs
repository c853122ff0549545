//! The types of `tinymcp:plugin` in a typed function's result, read from the engine's dynamic values.
//!
//! Interfaces of the package itself are called with generated code; only a function of the author's own comes through
//! here. The engine has checked the types, so that anything unexpected is a mistake of this module, and an error.

use wasmtime::component::Val;

use super::{Path, ResultError};
use crate::plugins::wit::content::{
    AnnotatedText, Annotations, Block, Body, Contents, EmbeddedResource, Icon, Media, ResourceLink, Role, Theme,
};
use crate::plugins::wit::input::{Form, Link, Message, Question, Request, Sampling, Stop};

type LiftResult<T> = Result<T, ResultError>;

/// A `list<block>`.
pub(super) fn blocks(val: &Val) -> LiftResult<Vec<Block>> {
    list(val, block)
}

/// A `block`.
pub(super) fn block(val: &Val) -> LiftResult<Block> {
    let (case, payload) = variant(val)?;
    match case {
        "text" => Ok(Block::Text(text(payload)?)),
        "annotated-text" => {
            let fields = Fields::of(payload)?;
            Ok(Block::AnnotatedText(AnnotatedText {
                text: fields.get("text", text)?,
                annotations: fields.get("annotations", annotations)?,
            }))
        }
        "image" => Ok(Block::Image(media(payload)?)),
        "audio" => Ok(Block::Audio(media(payload)?)),
        "resource-link" => Ok(Block::ResourceLink(resource_link(payload)?)),
        "resource" => {
            let fields = Fields::of(payload)?;
            Ok(Block::Resource(EmbeddedResource {
                contents: fields.get("contents", contents)?,
                annotations: fields.optional("annotations", annotations)?,
            }))
        }
        _ => Err(unexpected()),
    }
}

/// A `stop`.
pub(super) fn stop(val: &Val) -> LiftResult<Stop> {
    let (case, payload) = variant(val)?;
    match case {
        "failed" => Ok(Stop::Failed(text(payload)?)),
        "invalid" => Ok(Stop::Invalid(text(payload)?)),
        "input-required" => {
            let fields = Fields::of(payload)?;
            Ok(Stop::InputRequired(Request {
                questions: fields.get("questions", |val| list(val, keyed_question))?,
                state: fields.get("state", bytes)?,
            }))
        }
        _ => Err(unexpected()),
    }
}

fn keyed_question(val: &Val) -> LiftResult<(String, Question)> {
    match val {
        Val::Tuple(items) => match items.as_slice() {
            [key, asked] => Ok((text(key)?, question(asked)?)),
            _ => Err(unexpected()),
        },
        _ => Err(unexpected()),
    }
}

fn question(val: &Val) -> LiftResult<Question> {
    let Val::Variant(case, payload) = val else { return Err(unexpected()) };
    let fields = || Fields::of(payload.as_deref().ok_or_else(unexpected)?);
    match case.as_str() {
        "form" => {
            let fields = fields()?;
            Ok(Question::Form(Form { message: fields.get("message", text)?, schema: fields.get("schema", text)? }))
        }
        "link" => {
            let fields = fields()?;
            Ok(Question::Link(Link {
                message: fields.get("message", text)?,
                url: fields.get("url", text)?,
                id: fields.get("id", text)?,
            }))
        }
        "sampling" => {
            let fields = fields()?;
            Ok(Question::Sampling(Sampling {
                messages: fields.get("messages", |val| list(val, message))?,
                system_prompt: fields.optional("system-prompt", text)?,
                max_tokens: fields.get("max-tokens", unsigned)?,
                further: fields.optional("further", text)?,
            }))
        }
        "roots" => Ok(Question::Roots),
        _ => Err(unexpected()),
    }
}

fn message(val: &Val) -> LiftResult<Message> {
    let fields = Fields::of(val)?;
    Ok(Message { role: fields.get("role", role)?, content: fields.get("content", block)? })
}

fn media(val: &Val) -> LiftResult<Media> {
    let fields = Fields::of(val)?;
    Ok(Media {
        data: fields.get("data", bytes)?,
        mime_type: fields.get("mime-type", text)?,
        annotations: fields.optional("annotations", annotations)?,
    })
}

fn contents(val: &Val) -> LiftResult<Contents> {
    let fields = Fields::of(val)?;
    Ok(Contents {
        uri: fields.get("uri", text)?,
        mime_type: fields.optional("mime-type", text)?,
        body: fields.get("body", body)?,
        meta: fields.optional("meta", text)?,
    })
}

fn body(val: &Val) -> LiftResult<Body> {
    match variant(val)? {
        ("text", payload) => Ok(Body::Text(text(payload)?)),
        ("blob", payload) => Ok(Body::Blob(bytes(payload)?)),
        _ => Err(unexpected()),
    }
}

fn resource_link(val: &Val) -> LiftResult<ResourceLink> {
    let fields = Fields::of(val)?;
    Ok(ResourceLink {
        uri: fields.get("uri", text)?,
        name: fields.get("name", text)?,
        title: fields.optional("title", text)?,
        description: fields.optional("description", text)?,
        mime_type: fields.optional("mime-type", text)?,
        size: fields.optional("size", long)?,
        icons: fields.get("icons", |val| list(val, icon))?,
        annotations: fields.optional("annotations", annotations)?,
    })
}

fn icon(val: &Val) -> LiftResult<Icon> {
    let fields = Fields::of(val)?;
    Ok(Icon {
        src: fields.get("src", text)?,
        mime_type: fields.optional("mime-type", text)?,
        sizes: fields.get("sizes", |val| list(val, text))?,
        theme: fields.optional("theme", theme)?,
    })
}

fn annotations(val: &Val) -> LiftResult<Annotations> {
    let fields = Fields::of(val)?;
    Ok(Annotations {
        audience: fields.get("audience", |val| list(val, role))?,
        priority: fields.optional("priority", float)?,
        last_modified: fields.optional("last-modified", text)?,
    })
}

fn role(val: &Val) -> LiftResult<Role> {
    match val {
        Val::Enum(name) if name == "user" => Ok(Role::User),
        Val::Enum(name) if name == "assistant" => Ok(Role::Assistant),
        _ => Err(unexpected()),
    }
}

fn theme(val: &Val) -> LiftResult<Theme> {
    match val {
        Val::Enum(name) if name == "light" => Ok(Theme::Light),
        Val::Enum(name) if name == "dark" => Ok(Theme::Dark),
        _ => Err(unexpected()),
    }
}

/// The fields of a record, by name.
struct Fields<'a>(&'a [(String, Val)]);

impl<'a> Fields<'a> {
    fn of(val: &'a Val) -> LiftResult<Self> {
        match val {
            Val::Record(fields) => Ok(Self(fields)),
            _ => Err(unexpected()),
        }
    }

    fn get<T>(&self, name: &str, lift: impl FnOnce(&'a Val) -> LiftResult<T>) -> LiftResult<T> {
        let field = self.0.iter().find(|(field, _)| field == name);
        lift(field.map(|(_, val)| val).ok_or_else(unexpected)?)
    }

    fn optional<T>(&self, name: &str, lift: impl FnOnce(&'a Val) -> LiftResult<T>) -> LiftResult<Option<T>> {
        self.get(name, |val| match val {
            Val::Option(val) => val.as_deref().map(lift).transpose(),
            _ => Err(unexpected()),
        })
    }
}

/// The case and its payload.
fn variant(val: &Val) -> LiftResult<(&str, &Val)> {
    match val {
        Val::Variant(case, Some(payload)) => Ok((case, payload)),
        _ => Err(unexpected()),
    }
}

fn list<T>(val: &Val, lift: impl Fn(&Val) -> LiftResult<T>) -> LiftResult<Vec<T>> {
    match val {
        Val::List(items) => items.iter().map(lift).collect(),
        _ => Err(unexpected()),
    }
}

fn bytes(val: &Val) -> LiftResult<Vec<u8>> {
    list(val, |val| match val {
        Val::U8(byte) => Ok(*byte),
        _ => Err(unexpected()),
    })
}

fn text(val: &Val) -> LiftResult<String> {
    match val {
        Val::String(text) => Ok(text.clone()),
        _ => Err(unexpected()),
    }
}

fn float(val: &Val) -> LiftResult<f64> {
    match val {
        Val::Float64(float) => Ok(*float),
        _ => Err(unexpected()),
    }
}

fn unsigned(val: &Val) -> LiftResult<u32> {
    match val {
        Val::U32(number) => Ok(*number),
        _ => Err(unexpected()),
    }
}

fn long(val: &Val) -> LiftResult<u64> {
    match val {
        Val::U64(number) => Ok(*number),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> ResultError {
    ResultError::Mismatch { path: Path::Root.to_string() }
}
