//! Questions of plugins as requests of the protocol, and the answers of clients.

use rmcp::ErrorData;
use rmcp::model::{ClientCapabilities, InputRequest, InputRequests};
use serde_json::{Map, Value, json};

use super::content::{self, set};
use crate::plugins::wit::input::{
    Answer, Capabilities, Form, Link, Question, Reaction, Request, Root, Sample, Sampling, Value as Field,
};

/// Questions that a plugin may ask at once: a person has to answer them.
const MAX_QUESTIONS: usize = 16;

/// The questions that a client of these capabilities can be asked.
pub(super) fn askable(client: &ClientCapabilities) -> Capabilities {
    let elicitation = client.elicitation.as_ref();
    let links = elicitation.is_some_and(|elicitation| elicitation.url.is_some());
    // Before there were two modes, the capability had no members.
    let forms = elicitation.is_some_and(|elicitation| elicitation.form.is_some() || !links);
    let all = [
        (Capabilities::FORMS, forms),
        (Capabilities::LINKS, links),
        (Capabilities::SAMPLING, client.sampling.is_some()),
        (Capabilities::ROOTS, client.roots.is_some()),
    ];
    let declared = all.into_iter().filter(|(_, is_declared)| *is_declared);
    declared.fold(Capabilities::empty(), |all, (one, _)| all | one)
}

/// The needed kinds that this client cannot be asked.
pub(super) fn lacking(needed: Capabilities, askable: Capabilities) -> Capabilities {
    needed ^ (needed & askable)
}

/// The capabilities that these questions need.
pub(super) fn needed(request: &Request) -> Capabilities {
    let needed = request.questions.iter().map(|(_, question)| match question {
        Question::Form(_) => Capabilities::FORMS,
        Question::Link(_) => Capabilities::LINKS,
        Question::Sampling(_) => Capabilities::SAMPLING,
        Question::Roots => Capabilities::ROOTS,
    });
    needed.fold(Capabilities::empty(), |all, one| all | one)
}

/// The capabilities of `needed` as a client would declare them.
pub(super) fn declared(needed: Capabilities) -> ClientCapabilities {
    let mut json = json!({});
    let mut elicitation = json!({});
    set(&mut elicitation, "form", needed.contains(Capabilities::FORMS).then(|| json!({})));
    set(&mut elicitation, "url", needed.contains(Capabilities::LINKS).then(|| json!({})));
    let elicits = needed.intersects(Capabilities::FORMS | Capabilities::LINKS);
    set(&mut json, "elicitation", elicits.then_some(elicitation));
    set(&mut json, "sampling", needed.contains(Capabilities::SAMPLING).then(|| json!({})));
    set(&mut json, "roots", needed.contains(Capabilities::ROOTS).then(|| json!({})));
    serde_json::from_value(json).unwrap_or_default()
}

/// The kinds in words.
pub(super) fn named(needed: Capabilities) -> String {
    let names = [
        (Capabilities::FORMS, "elicitation"),
        (Capabilities::LINKS, "elicitation of mode `url`"),
        (Capabilities::SAMPLING, "sampling"),
        (Capabilities::ROOTS, "roots"),
    ];
    let names: Vec<&str> = names.iter().filter(|(flag, _)| needed.contains(*flag)).map(|(_, name)| *name).collect();
    names.join(", ")
}

/// The questions as requests of the protocol.
///
/// # Errors
/// A question in a form that MCP does not have.
pub(super) fn requests(request: &Request) -> Result<InputRequests, ErrorData> {
    if request.questions.len() > MAX_QUESTIONS {
        let message = format!("the plugin asks more than {MAX_QUESTIONS} questions at once");
        return Err(ErrorData::internal_error(message, None));
    }
    let mut requests = InputRequests::new();
    for (key, question) in &request.questions {
        if requests.insert(key.clone(), question_request(question)?).is_some() {
            let message = format!("the plugin asks two questions under the key `{key}`");
            return Err(ErrorData::internal_error(message, None));
        }
    }
    Ok(requests)
}

fn question_request(question: &Question) -> Result<InputRequest, ErrorData> {
    let (method, params) = match question {
        Question::Form(form) => ("elicitation/create", form_params(form)?),
        Question::Link(Link { message, url, id }) => {
            ("elicitation/create", json!({ "mode": "url", "message": message, "url": url, "elicitationId": id }))
        }
        Question::Sampling(sampling) => ("sampling/createMessage", sampling_params(sampling)?),
        Question::Roots => return content::read("question", json!({ "method": "roots/list" })),
    };
    content::read("question", json!({ "method": method, "params": params }))
}

fn form_params(Form { message, schema }: &Form) -> Result<Value, ErrorData> {
    let schema = object("form schema", schema)?;
    Ok(json!({ "mode": "form", "message": message, "requestedSchema": schema }))
}

fn sampling_params(sampling: &Sampling) -> Result<Value, ErrorData> {
    let further = sampling.further.as_deref().map(|text| object("sampling parameters", text)).transpose()?;
    let mut params = Value::Object(further.unwrap_or_default());
    let message = |message: &crate::plugins::wit::input::Message| json!({ "role": content::role(message.role), "content": content::block(&message.content) });
    set(&mut params, "messages", Some(sampling.messages.iter().map(message).collect()));
    set(&mut params, "maxTokens", Some(sampling.max_tokens.into()));
    set(&mut params, "systemPrompt", sampling.system_prompt.as_deref().map(Value::from));
    Ok(params)
}

fn object(what: &str, text: &str) -> Result<Map<String, Value>, ErrorData> {
    serde_json::from_str(text)
        .map_err(|error| ErrorData::internal_error(format!("the plugin's {what} is no JSON object: {error}"), None))
}

/// Reads a client's answer by its form; `None` if it has none of them.
pub fn answer(json: &Value) -> Option<Answer> {
    if let Some(action) = json.get("action").and_then(Value::as_str) {
        return Some(Answer::Person(match action {
            "accept" => Reaction::Accepted(fields(json.get("content"))?),
            "decline" => Reaction::Declined,
            "cancel" => Reaction::Cancelled,
            _ => return None,
        }));
    }
    if let Some(roots) = json.get("roots").and_then(Value::as_array) {
        return Some(Answer::Roots(roots.iter().map(root).collect::<Option<_>>()?));
    }
    let model = json.get("model").and_then(Value::as_str)?;
    Some(Answer::Model(Sample {
        text: text_of(json.get("content")?),
        model: model.to_owned(),
        stop_reason: json.get("stopReason").and_then(Value::as_str).map(str::to_owned),
        json: json.to_string(),
    }))
}

fn fields(content: Option<&Value>) -> Option<Vec<(String, Field)>> {
    let Some(content) = content.filter(|content| !content.is_null()) else { return Some(Vec::new()) };
    let fields = content.as_object()?.iter().filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| Some((name.clone(), field(value)?))).collect()
}

fn field(value: &Value) -> Option<Field> {
    match value {
        Value::String(text) => Some(Field::Text(text.clone())),
        Value::Number(number) => number.as_f64().map(Field::Number),
        Value::Bool(boolean) => Some(Field::Boolean(*boolean)),
        Value::Array(items) => {
            let choices = items.iter().map(|item| item.as_str().map(str::to_owned));
            choices.collect::<Option<_>>().map(Field::Choices)
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn root(json: &Value) -> Option<Root> {
    let name = json.get("name").and_then(Value::as_str).map(str::to_owned);
    Some(Root { uri: json.get("uri")?.as_str()?.to_owned(), name })
}

/// The text of one block of content, or of several.
fn text_of(content: &Value) -> String {
    match content {
        Value::Array(blocks) => blocks.iter().map(text_of).collect::<Vec<_>>().concat(),
        block => block.get("text").and_then(Value::as_str).unwrap_or_default().to_owned(),
    }
}
