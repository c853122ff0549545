//! The functions that `wit/world.wit` promises.

use tinymcp::plugin::input::{Answer, Form, Question, Reaction, Request, Value, answer_to};

wit_bindgen::generate!({ world: "NAME", path: "wit", generate_all });

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

/// One flat object, as a person sees it.
const SCHEMA: &str = r#"{
    "type": "object",
    "properties": { "name": { "type": "string", "title": "Your name" } },
    "required": ["name"]
}"#;

struct Plugin;

impl Guest for Plugin {
    /// Ends with a question, and is called again with the answer: it does nothing that cannot be done twice before.
    fn FUNCTION(greeting: String) -> Result<String, Stop> {
        let fields = match answer_to("who") {
            Some(Answer::Person(Reaction::Accepted(fields))) => fields,
            Some(_) => return Err(Stop::Failed("the person did not say who they are".to_owned())),
            None => {
                let form = Form { message: "Whom to greet?".to_owned(), schema: SCHEMA.to_owned() };
                let questions = vec![("who".to_owned(), Question::Form(form))];
                return Err(Stop::InputRequired(Request { questions, state: Vec::new() }));
            }
        };
        // Answers come from the client unchecked.
        match fields.into_iter().find(|(name, _)| name == "name") {
            Some((_, Value::Text(name))) => Ok(format!("{greeting}, {name}!")),
            _ => Err(Stop::Failed("the form came back without a name".to_owned())),
        }
    }
}

export!(Plugin);
