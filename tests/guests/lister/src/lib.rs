//! Lists whatever its settings say.
//!
//! `tools` is the number of its tools, `t0`, `t1` and so on, all with the schemas `schema` and `output`. A call returns
//! its arguments, or asks to visit the page `link`. `resources` and `templates` have a URI in each line, and `mark` is
//! what every resource reads.

use exports::tinymcp::plugin::resources;
use exports::tinymcp::plugin::tools;
use tinymcp::plugin::content::{Block, Body, Contents};
use tinymcp::plugin::input::{Capabilities, Link, Question, Request, Stop};
use tinymcp::plugin::settings;

wit_bindgen::generate!({
    world: "tinymcp:lister/lister",
    path: ["../../../wit", "wit"],
    generate_all,
});

struct Lister;

fn setting(name: &str) -> Option<String> {
    settings::get(name)
}

fn lines(name: &str) -> Vec<String> {
    setting(name).unwrap_or_default().lines().map(str::to_owned).collect()
}

impl tools::Guest for Lister {
    fn list_tools() -> Vec<tools::Tool> {
        let count = setting("tools").and_then(|count| count.parse().ok()).unwrap_or(1);
        let tool = |index: u32| tools::Tool {
            name: format!("t{index}"),
            title: None,
            description: setting("description").unwrap_or_else(|| "A tool".to_owned()),
            input_schema: setting("schema").unwrap_or_else(|| r#"{"type":"object"}"#.to_owned()),
            output_schema: setting("output"),
            hints: tools::Hints { read_only: None, destructive: None, idempotent: None, open_world: None },
            icons: Vec::new(),
            needs: Capabilities::empty(),
            tasks: tools::Tasks::Never,
            meta: None,
        };
        (0..count).map(tool).collect()
    }

    fn call_tool(_name: String, arguments: String) -> Result<tools::Output, Stop> {
        if let Some(url) = setting("link") {
            let link = Link { message: "Visit this".to_owned(), url, id: "visit".to_owned() };
            let questions = vec![("page".to_owned(), Question::Link(link))];
            return Err(Stop::InputRequired(Request { questions, state: Vec::new() }));
        }
        let structured = setting("output").map(|_| arguments);
        Ok(tools::Output { content: vec![Block::Text("ok".to_owned())], structured, is_error: false, meta: None })
    }
}

impl resources::Guest for Lister {
    fn list_resources() -> Vec<resources::Resource> {
        let resource = |uri: String| resources::Resource {
            name: uri.clone(),
            uri,
            title: None,
            description: None,
            mime_type: None,
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
        };
        lines("resources").into_iter().map(resource).collect()
    }

    fn list_templates() -> Vec<resources::Template> {
        let template = |uri_template: String| resources::Template {
            name: uri_template.clone(),
            uri_template,
            title: None,
            description: None,
            mime_type: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
        };
        lines("templates").into_iter().map(template).collect()
    }

    fn read_resource(uri: String) -> Result<Vec<Contents>, Stop> {
        let body = Body::Text(setting("mark").unwrap_or_default());
        Ok(vec![Contents { uri, mime_type: None, body, meta: None }])
    }
}

export!(Lister);
