//! Content blocks, resources and icons of plugins as MCP has them.
//!
//! Each is written as the JSON of the protocol and read into rmcp's type, without rmcp's many constructors and
//! builders.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::ErrorData;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::plugins::wit::content::{Annotations, Block, Body, Contents, Icon, ResourceLink, Role, Theme};

/// Reads a message of the protocol that was written here.
///
/// # Errors
/// A mistake of this module, or something of a plugin that has no place in the protocol.
pub(super) fn read<T: DeserializeOwned>(what: &str, json: Value) -> Result<T, ErrorData> {
    serde_json::from_value(json)
        .map_err(|error| ErrorData::internal_error(format!("the plugin's {what} does not fit MCP: {error}"), None))
}

/// Copies of a plugin's text that are there while it becomes a message: its own, as JSON, in rmcp's type, and as bytes.
pub(super) const COPIES: usize = 4;

/// The text of a successful call without a value.
pub const DONE: &str = "done";

/// The text in place of an empty one.
pub const EMPTY: &str = "(empty)";

/// The text for a block: models' APIs refuse requests with an empty one.
pub(super) fn shown<'t>(text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
    let text = text.into();
    if text.is_empty() { Cow::Borrowed(EMPTY) } else { text }
}

pub(super) fn block(block: &Block) -> Value {
    match block {
        Block::Text(text) => json!({ "type": "text", "text": shown(text) }),
        Block::AnnotatedText(text) => {
            json!({ "type": "text", "text": shown(&text.text), "annotations": annotations(&text.annotations) })
        }
        Block::Image(media) => with_annotations(
            json!({ "type": "image", "data": STANDARD.encode(&media.data), "mimeType": media.mime_type }),
            media.annotations.as_ref(),
        ),
        Block::Audio(media) => with_annotations(
            json!({ "type": "audio", "data": STANDARD.encode(&media.data), "mimeType": media.mime_type }),
            media.annotations.as_ref(),
        ),
        Block::ResourceLink(link) => resource_link(link),
        Block::Resource(resource) => with_annotations(
            json!({ "type": "resource", "resource": contents(&resource.contents) }),
            resource.annotations.as_ref(),
        ),
    }
}

/// The contents of a resource.
pub(super) fn contents(contents: &Contents) -> Value {
    let mut json = json!({ "uri": contents.uri });
    set(&mut json, "mimeType", contents.mime_type.as_deref().map(Value::from));
    match &contents.body {
        Body::Text(text) => set(&mut json, "text", Some(text.as_str().into())),
        Body::Blob(bytes) => set(&mut json, "blob", Some(STANDARD.encode(bytes).into())),
    }
    // Anything but an object has no place there.
    let meta: Option<Map<String, Value>> = contents.meta.as_deref().and_then(|meta| serde_json::from_str(meta).ok());
    set(&mut json, "_meta", meta.map(Value::Object));
    json
}

fn resource_link(link: &ResourceLink) -> Value {
    let mut json = json!({ "type": "resource_link", "uri": link.uri, "name": link.name });
    set(&mut json, "title", link.title.as_deref().map(Value::from));
    set(&mut json, "description", link.description.as_deref().map(Value::from));
    set(&mut json, "mimeType", link.mime_type.as_deref().map(Value::from));
    set(&mut json, "size", link.size.map(Value::from));
    set(&mut json, "icons", icons(&link.icons));
    with_annotations(json, link.annotations.as_ref())
}

pub(super) fn icons(icons: &[Icon]) -> Option<Value> {
    (!icons.is_empty()).then(|| icons.iter().map(icon).collect())
}

fn icon(icon: &Icon) -> Value {
    let mut json = json!({ "src": icon.src });
    set(&mut json, "mimeType", icon.mime_type.as_deref().map(Value::from));
    set(&mut json, "sizes", (!icon.sizes.is_empty()).then(|| icon.sizes.clone().into()));
    let theme = icon.theme.map(|theme| match theme {
        Theme::Light => "light",
        Theme::Dark => "dark",
    });
    set(&mut json, "theme", theme.map(Value::from));
    json
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

pub(super) fn annotations(annotations: &Annotations) -> Value {
    let mut json = json!({});
    let audience: Vec<&str> = annotations.audience.iter().map(|whom| role(*whom)).collect();
    set(&mut json, "audience", (!audience.is_empty()).then(|| audience.into()));
    let priority = annotations.priority.filter(|priority| (0.0..=1.0).contains(priority));
    set(&mut json, "priority", priority.map(Value::from));
    // A date that nobody can read would cost the whole answer.
    let date = annotations.last_modified.as_deref().filter(|date| is_date(date));
    set(&mut json, "lastModified", date.map(Value::from));
    json
}

fn is_date(text: &str) -> bool {
    serde_json::from_value::<rmcp::model::Annotations>(json!({ "lastModified": text })).is_ok()
}

fn with_annotations(mut json: Value, of_plugin: Option<&Annotations>) -> Value {
    set(&mut json, "annotations", of_plugin.map(annotations));
    json
}

/// Sets a member, unless it has no value: clients refuse `null`.
pub(super) fn set(json: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (json.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}
