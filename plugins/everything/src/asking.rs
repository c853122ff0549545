//! Questions in the middle of a call.
//!
//! A function that lacks an answer ends with the question. It is called again with the answer, from its beginning: so each
//! function looks for the answer first.

use serde_json::{Value as Json, json};

use crate::tinymcp::plugin::content::{Block, Role};
use crate::tinymcp::plugin::input::{
    Answer, Capabilities, Form, Message, Question, Reaction, Request, Sampling, Stop, Value, answer_to, askable, state,
};

/// Ends a call with questions; `state` comes back with the answers.
pub fn ask<const N: usize>(questions: [(&str, Question); N], state: &[u8]) -> Stop {
    let questions = questions.map(|(key, question)| (key.to_owned(), question)).to_vec();
    Stop::InputRequired(Request { questions, state: state.to_vec() })
}

pub fn form(message: &str, properties: &Json, required: &[&str]) -> Question {
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    Question::Form(Form { message: message.to_owned(), schema: schema.to_string() })
}

fn sampling_of(prompt: &str, max_tokens: u32) -> Question {
    let message = Message { role: Role::User, content: Block::Text(prompt.to_owned()) };
    Question::Sampling(Sampling { messages: vec![message], system_prompt: None, max_tokens, further: None })
}

/// The person's answer to the form of this key, if they were asked.
pub fn reaction_to(key: &str) -> Option<Reaction> {
    match answer_to(key)? {
        Answer::Person(reaction) => Some(reaction),
        Answer::Model(_) | Answer::Roots(_) => None,
    }
}

/// The person's text in a field. A form that was refused has none.
pub fn entered(key: &str, field: &str) -> Option<String> {
    let Reaction::Accepted(fields) = reaction_to(key)? else { return None };
    fields.into_iter().find(|(name, _)| name == field).and_then(|(_, value)| match value {
        Value::Text(text) => Some(text),
        Value::Number(_) | Value::Boolean(_) | Value::Choices(_) => None,
    })
}

fn said_by_model(key: &str) -> Option<String> {
    match answer_to(key)? {
        Answer::Model(sample) => Some(sample.text),
        Answer::Person(_) | Answer::Roots(_) => None,
    }
}

fn root_uris(key: &str) -> Option<Vec<String>> {
    match answer_to(key)? {
        Answer::Roots(roots) => Some(roots.into_iter().map(|root| root.uri).collect()),
        Answer::Person(_) | Answer::Model(_) => None,
    }
}

/// `action=accept, content={…}`
fn told(reaction: Reaction) -> (&'static str, Json) {
    match reaction {
        Reaction::Accepted(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match value {
                    Value::Text(text) => json!(text),
                    Value::Number(number) if number.fract() == 0.0 => json!(number as i64),
                    Value::Number(number) => json!(number),
                    Value::Boolean(boolean) => json!(boolean),
                    Value::Choices(choices) => json!(choices),
                };
                (name, value)
            });
            ("accept", fields.collect())
        }
        Reaction::Declined => ("decline", json!({})),
        Reaction::Cancelled => ("cancel", json!({})),
    }
}

pub fn sampling(prompt: &str) -> Result<String, Stop> {
    match said_by_model("answer") {
        Some(text) => Ok(format!("LLM response: {text}")),
        None => Err(ask([("answer", sampling_of(prompt, 100))], &[])),
    }
}

pub fn elicitation(message: &str) -> Result<String, Stop> {
    if let Some(reaction) = reaction_to("user") {
        let (action, content) = told(reaction);
        return Ok(format!("User response: action={action}, content={content}"));
    }
    let properties = json!({
        "username": { "type": "string", "description": "User's response" },
        "email": { "type": "string", "description": "User's email address" },
    });
    Err(ask([("user", form(message, &properties, &["username", "email"]))], &[]))
}

fn completed(key: &str, question: impl FnOnce() -> Question) -> Result<String, Stop> {
    match reaction_to(key) {
        Some(reaction) => {
            let (action, content) = told(reaction);
            Ok(format!("Elicitation completed: action={action}, content={content}"))
        }
        None => Err(ask([(key, question())], &[])),
    }
}

pub fn defaults() -> Result<String, Stop> {
    completed("profile", || {
        let properties = json!({
            "name": { "type": "string", "description": "User name", "default": "John Doe" },
            "age": { "type": "integer", "description": "User age", "default": 30 },
            "score": { "type": "number", "description": "User score", "default": 95.5 },
            "status": {
                "type": "string",
                "description": "User status",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": { "type": "boolean", "description": "Verification status", "default": true },
        });
        form("Please review and update the form fields with defaults", &properties, &[])
    })
}

pub fn choices() -> Result<String, Stop> {
    completed("choices", || {
        let titled = json!([
            { "const": "value1", "title": "First Option" },
            { "const": "value2", "title": "Second Option" },
            { "const": "value3", "title": "Third Option" },
        ]);
        let properties = json!({
            "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
            "titledSingle": { "type": "string", "oneOf": titled },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {
                "type": "array",
                "items": { "type": "string", "enum": ["option1", "option2", "option3"] },
            },
            "titledMulti": { "type": "array", "items": { "anyOf": titled } },
        });
        form("Please select options from the enum fields", &properties, &[])
    })
}

fn ask_for_name(message: &str) -> Question {
    form(message, &json!({ "name": { "type": "string" } }), &["name"])
}

pub fn name() -> Result<String, Stop> {
    match entered("user_name", "name") {
        Some(name) => Ok(format!("Hello, {name}!")),
        None => Err(ask([("user_name", ask_for_name("What is your name?"))], &[])),
    }
}

pub fn capital() -> Result<String, Stop> {
    let question = || sampling_of("What is the capital of France?", 100);
    said_by_model("capital_question").ok_or_else(|| ask([("capital_question", question())], &[]))
}

pub fn roots() -> Result<String, Stop> {
    match root_uris("client_roots") {
        Some(uris) => Ok(format!("The client works in {}", uris.join(", "))),
        None => Err(ask([("client_roots", Question::Roots)], &[])),
    }
}

/// Keeps a state while it asks: it comes back as it was, or not at all, since the host has sealed it.
pub fn with_state() -> Result<String, Stop> {
    const REMEMBERED: &[u8] = b"remembered";
    if reaction_to("confirm").is_some() && state().as_deref() == Some(REMEMBERED) {
        return Ok("state-ok".to_owned());
    }
    let question = form("Please confirm", &json!({ "ok": { "type": "boolean" } }), &["ok"]);
    Err(ask([("confirm", question)], REMEMBERED))
}

pub fn everybody() -> Result<String, Stop> {
    let name = entered("user_name", "name");
    let (Some(name), Some(greeting), Some(roots)) = (name, said_by_model("greeting"), root_uris("client_roots")) else {
        let questions = [
            ("user_name", ask_for_name("What is your name?")),
            ("greeting", sampling_of("Generate a greeting", 50)),
            ("client_roots", Question::Roots),
        ];
        return Err(ask(questions, b"asked"));
    };
    Ok(format!("{greeting} ({name}, {})", roots.join(", ")))
}

/// Answers come once: the first one is remembered for the second round.
pub fn twice() -> Result<String, Stop> {
    if let (Some(color), Some(name)) = (entered("step2", "color"), state()) {
        return Ok(format!("{} likes {color}", String::from_utf8_lossy(&name)));
    }
    if let Some(name) = entered("step1", "name") {
        let question =
            form("Step 2: What is your favorite color?", &json!({ "color": { "type": "string" } }), &["color"]);
        return Err(ask([("step2", question)], name.as_bytes()));
    }
    Err(ask([("step1", ask_for_name("Step 1: What is your name?"))], &[]))
}

pub fn whoever_can_be_asked() -> Result<String, Stop> {
    let askable = askable();
    if askable.contains(Capabilities::FORMS) {
        return name();
    }
    if askable.contains(Capabilities::SAMPLING) {
        return capital();
    }
    Err(Stop::Failed("this client can be asked nothing".to_owned()))
}
