//! Replies made of the types of `tinymcp:plugin`: content blocks, questions, and texts that hold JSON.

use serde_json::{Map, Value};

use super::outcome::{Reply, ResultError, Rich};
use super::wording::{self, reason, refusal};
use crate::json_weight;
use crate::plugins::wit::content::{AnnotatedText, Annotations, Block, Body, Contents, Icon};
use crate::plugins::wit::input::{Question, Request, Stop};
use crate::plugins::wit::tools::Output;

/// Memory that a structured result may take as values, per byte that a result may have: JSON like other programs write
/// takes twenty times its text, and empty lists in lists a hundred.
const TREE_BYTES_PER_BYTE: u64 = 20;

/// The fault of JSON of another kind.
const NO_OBJECT: &str = "expected an object";

pub(super) fn blocks(blocks: Vec<Block>, max_bytes: u64) -> Result<Reply, ResultError> {
    require_size(blocks.iter().map(of_block).sum(), max_bytes)?;
    Ok(Reply::Rich(Box::new(Rich { blocks, structured: None, is_error: false, meta: None })))
}

/// The reply to a call of a tool of `tools`, of at most `max_bytes`.
///
/// # Errors
/// As for [`super::encode_result`]; texts that should be JSON and are not.
pub fn encode_output(output: Output, max_bytes: u64) -> Result<Reply, ResultError> {
    let Output { content, structured, is_error, meta } = output;
    let size = content.iter().map(of_block).sum::<usize>() + of_text(structured.as_ref()) + of_text(meta.as_ref());
    require_size(size, max_bytes)?;
    let trees = structured.iter().chain(&meta).map(|text| json_weight::of_text(text.as_bytes())).sum::<usize>();
    if trees as u64 > max_bytes.saturating_mul(TREE_BYTES_PER_BYTE) {
        return Err(ResultError::TooManyValues { max_bytes: max_bytes.saturating_mul(TREE_BYTES_PER_BYTE) });
    }
    let structured = structured.map(|text| parse("the structured result", &text)).transpose()?;
    let meta = meta.map(|text| parse_object("the result's `meta`", &text)).transpose()?;
    let is_silent = is_error && structured.is_none() && content.iter().all(is_blank);
    let blocks = if is_silent { vec![Block::Text(reason(String::new()))] } else { content };
    Ok(Reply::Rich(Box::new(Rich { blocks, structured, is_error, meta })))
}

/// The reply to a call that ended with a `stop`.
///
/// # Errors
/// As for [`super::encode_result`].
pub fn encode_stop(stop: Stop, max_bytes: u64) -> Result<Reply, ResultError> {
    match stop {
        Stop::Failed(text) => {
            require_size(text.len(), max_bytes)?;
            Ok(Reply::Failed { text: reason(text) })
        }
        Stop::Invalid(text) => {
            require_size(text.len(), max_bytes)?;
            Ok(Reply::Invalid { text: refusal(text) })
        }
        Stop::InputRequired(request) => {
            require_size(of_request(&request), max_bytes)?;
            Ok(Reply::Asks(Box::new(request)))
        }
    }
}

fn is_blank(block: &Block) -> bool {
    match block {
        Block::Text(text) | Block::AnnotatedText(AnnotatedText { text, .. }) => wording::is_blank(text),
        Block::Image(_) | Block::Audio(_) | Block::ResourceLink(_) | Block::Resource(_) => false,
    }
}

/// Tells whether so many bytes may be given back.
///
/// # Errors
/// [`ResultError::TooLarge`].
pub fn require_size(bytes: usize, max_bytes: u64) -> Result<(), ResultError> {
    if bytes as u64 <= max_bytes { Ok(()) } else { Err(ResultError::TooLarge { max_bytes }) }
}

/// Reads the JSON object that a plugin has given as text.
///
/// # Errors
/// [`ResultError::NotJson`].
pub fn parse_object(what: &'static str, text: &str) -> Result<Map<String, Value>, ResultError> {
    match parse(what, text)? {
        Value::Object(object) => Ok(object),
        _ => Err(ResultError::NotJson { what, problem: NO_OBJECT.to_owned() }),
    }
}

fn parse(what: &'static str, text: &str) -> Result<Value, ResultError> {
    serde_json::from_str(text).map_err(|error| ResultError::NotJson { what, problem: error.to_string() })
}

/// The bytes that a block has on its way to the client.
pub fn of_block(block: &Block) -> usize {
    match block {
        Block::Text(text) => text.len(),
        Block::AnnotatedText(text) => text.text.len() + of_annotations(Some(&text.annotations)),
        Block::Image(media) | Block::Audio(media) => {
            of_bytes(&media.data) + media.mime_type.len() + of_annotations(media.annotations.as_ref())
        }
        Block::ResourceLink(link) => {
            let texts = [&link.title, &link.description, &link.mime_type];
            link.uri.len()
                + link.name.len()
                + texts.into_iter().map(|text| of_text(text.as_ref())).sum::<usize>()
                + link.icons.iter().map(of_icon).sum::<usize>()
                + of_annotations(link.annotations.as_ref())
        }
        Block::Resource(resource) => of_contents(&resource.contents) + of_annotations(resource.annotations.as_ref()),
    }
}

/// The bytes that a resource has on its way to the client.
pub fn of_contents(contents: &Contents) -> usize {
    let body = match &contents.body {
        Body::Text(text) => text.len(),
        Body::Blob(bytes) => of_bytes(bytes),
    };
    body + contents.uri.len() + of_text(contents.mime_type.as_ref()) + of_text(contents.meta.as_ref())
}

fn of_request(request: &Request) -> usize {
    let of_question = |question: &Question| match question {
        Question::Form(form) => form.message.len() + form.schema.len(),
        Question::Link(link) => link.message.len() + link.url.len() + link.id.len(),
        Question::Sampling(sampling) => {
            sampling.messages.iter().map(|message| of_block(&message.content)).sum::<usize>()
                + of_text(sampling.system_prompt.as_ref())
                + of_text(sampling.further.as_ref())
        }
        Question::Roots => 0,
    };
    let questions = request.questions.iter().map(|(key, question)| key.len() + of_question(question));
    questions.sum::<usize>() + of_bytes(&request.state)
}

fn of_icon(icon: &Icon) -> usize {
    icon.src.len() + of_text(icon.mime_type.as_ref()) + icon.sizes.iter().map(String::len).sum::<usize>()
}

fn of_annotations(annotations: Option<&Annotations>) -> usize {
    annotations.map_or(0, |annotations| 16 * annotations.audience.len() + of_text(annotations.last_modified.as_ref()))
}

fn of_text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

/// In base64.
fn of_bytes(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}
