//! Resources, a template for many of them, and a skill.

use serde_json::json;

use crate::Everything;
use crate::content::{PNG, contents};
use crate::exports::tinymcp::plugin::resources::{Guest, Resource, Template};
use crate::tinymcp::plugin::content::{Body, Contents};
use crate::tinymcp::plugin::input::Stop;

/// The resource that changes when somebody wants it to.
pub const WATCHED: &str = "test://watched-resource";

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";

/// A skill is the resource that ends in `/SKILL.md`, and those beneath the same path.
const SKILL: &str = "skill://greeting/SKILL.md";
const SKILL_DESCRIPTION: &str = "How to greet people by their name. Use it when somebody asks for a greeting.";
const TONE: &str = "skill://greeting/references/tone.md";

impl Guest for Everything {
    fn list_resources() -> Vec<Resource> {
        vec![
            resource(TEXT, "Static text", "text/plain"),
            resource(BINARY, "Static image", "image/png"),
            resource(WATCHED, "Watched resource", "text/plain"),
            Resource {
                description: Some(SKILL_DESCRIPTION.to_owned()),
                ..resource(SKILL, "greeting", "text/markdown")
            },
            resource(TONE, "tone", "text/markdown"),
        ]
    }

    fn list_templates() -> Vec<Template> {
        vec![Template {
            uri_template: "test://template/{id}/data".to_owned(),
            name: "Data by id".to_owned(),
            title: None,
            description: Some("Data for any id".to_owned()),
            mime_type: Some("application/json".to_owned()),
            icons: Vec::new(),
            annotations: None,
            meta: None,
        }]
    }

    fn read_resource(uri: String) -> Result<Vec<Contents>, Stop> {
        let text = |mime_type, text| Ok(vec![contents(&uri, mime_type, text)]);
        match uri.as_str() {
            TEXT => text("text/plain", "This is the content of the static text resource."),
            WATCHED => text("text/plain", "This resource can be watched."),
            SKILL => text("text/markdown", include_str!("../skills/greeting/SKILL.md")),
            TONE => text("text/markdown", include_str!("../skills/greeting/references/tone.md")),
            BINARY => {
                let mime_type = Some("image/png".to_owned());
                Ok(vec![Contents { uri, mime_type, body: Body::Blob(PNG.to_vec()), meta: None }])
            }
            other => match other.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data")) {
                Some(id) => {
                    let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
                    text("application/json", &data.to_string())
                }
                None => Ok(Vec::new()),
            },
        }
    }
}

fn resource(uri: &str, name: &str, mime_type: &str) -> Resource {
    Resource {
        uri: uri.to_owned(),
        name: name.to_owned(),
        title: None,
        description: None,
        mime_type: Some(mime_type.to_owned()),
        size: None,
        icons: Vec::new(),
        annotations: None,
        meta: None,
    }
}
