//! Says and gives what a page must show and not do: markup in every text, links of every kind, images that are none; and
//! a tool for each thing that a form, a question and a confirmation are for.

use std::thread::sleep;
use std::time::Duration;

use exports::tinymcp::plugin::tools;
use tinymcp::plugin::content::{Block, Body, Contents, EmbeddedResource, Media, ResourceLink};
use tinymcp::plugin::input::{Answer, Capabilities, Form, Link, Question, Reaction, Request, Stop, Value, answer_to};
use tinymcp::plugin::log::{self, Level};
use tinymcp::plugin::progress;

wit_bindgen::generate!({
    world: "tinymcp:shown/shown",
    path: ["../../../wit", "wit"],
    generate_all,
});

struct Shown;

const TITLE: &str = "<b onclick=alert(1)>Bold</b>";

const MARKUP: &str =
    "</script></details><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";

/// Turns the direction of what follows.
const TURNED: &str = "user\u{202e}gnp.exe";

/// A red pixel.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 2,
    0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 12, b'I', b'D', b'A', b'T', 0x08, 0xd7, 0x63, 0xf8, 0xcf, 0xc0, 0, 0, 3,
    1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

const SVG: &[u8] =
    b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"document.title='taken'\"><script>1</script></svg>";

const HOSTILE_SCHEMA: &str = r#"{"type":"object","properties":{
    "</script><b>":{"type":"string","title":"<i>Title</i>","description":"</p><script>document.title='taken'</script>"},
    "__proto__":{"type":"string"}}}"#;

const FIELDS_SCHEMA: &str = r#"{"type":"object","required":["text","count","level","exact"],"properties":{
    "text":{"type":"string","description":"Several lines\nare fine"},
    "count":{"type":"integer","minimum":0,"maximum":1000},
    "exact":{"type":"integer"},
    "ratio":{"type":"number","default":0.5},
    "level":{"enum":["low","high"]},
    "loud":{"type":"boolean"},
    "sure":{"type":"boolean","default":true},
    "day":{"type":"string","format":"date"},
    "tags":{"type":"array","items":{"type":"string"}},
    "colours":{"type":"array","items":{"enum":["red","green","blue"]}},
    "place":{"type":"object","required":["city"],"properties":{"city":{"type":"string"},"zip":{"type":"string"}}},
    "anything":{}}}"#;

fn tool(name: &str, description: &str, schema: &str) -> tools::Tool {
    tools::Tool {
        name: name.to_owned(),
        title: None,
        description: description.to_owned(),
        input_schema: schema.to_owned(),
        output_schema: None,
        hints: tools::Hints { read_only: Some(true), destructive: None, idempotent: None, open_world: None },
        icons: Vec::new(),
        needs: Capabilities::empty(),
        tasks: tools::Tasks::Never,
        meta: None,
    }
}

fn output(content: Vec<Block>) -> tools::Output {
    tools::Output { content, structured: None, is_error: false, meta: None }
}

fn said(text: &str) -> tools::Output {
    output(vec![Block::Text(text.to_owned())])
}

fn image(data: &[u8], mime_type: &str) -> Block {
    Block::Image(Media { data: data.to_vec(), mime_type: mime_type.to_owned(), annotations: None })
}

fn linked(uri: &str) -> Block {
    Block::ResourceLink(ResourceLink {
        uri: uri.to_owned(),
        name: "link".to_owned(),
        title: Some(format!("to {uri}")),
        description: Some(MARKUP.to_owned()),
        mime_type: Some("text/html".to_owned()),
        size: None,
        icons: Vec::new(),
        annotations: None,
    })
}

fn page() -> Block {
    let body = Body::Text(MARKUP.to_owned());
    let contents = Contents { uri: "page:1".to_owned(), mime_type: Some("text/html".to_owned()), body, meta: None };
    Block::Resource(EmbeddedResource { contents, annotations: None })
}

fn hostile() -> tools::Output {
    output(vec![
        Block::Text(MARKUP.to_owned()),
        Block::Text(TURNED.to_owned()),
        Block::Text("# no heading\n[no link](javascript:alert(1))".to_owned()),
        image(SVG, "image/png"),
        image(b"<html><script>1</script>", "text/html"),
        image(PNG, "image/svg+xml"),
        linked("javascript:document.title='taken'"),
        linked("data:text/html,<script>1</script>"),
        linked("https://example.com/page"),
        page(),
        Block::Text("x".repeat(200_000)),
    ])
}

fn asks(key: &str, question: Question) -> Stop {
    Stop::InputRequired(Request { questions: vec![(key.to_owned(), question)], state: b"asked".to_vec() })
}

/// Goes on in steps, asks, and goes on.
fn steps() -> Result<tools::Output, Stop> {
    for step in 1..=3 {
        progress::report(f64::from(step), Some(3.0), Some(&format!("step {step} {TURNED}")));
        log::write(Level::Info, &format!("message {step} {MARKUP}"));
        sleep(Duration::from_millis(150));
    }
    match answer_to("colour") {
        None => {
            let schema = r#"{"type":"object","required":["colour"],"properties":{
                "colour":{"type":"string","title":"Which colour?","enum":["red","green"]},
                "note":{"type":"string","description":"anything else"}}}"#;
            let message = format!("Choose {MARKUP}");
            Err(asks("colour", Question::Form(Form { message, schema: schema.to_owned() })))
        }
        Some(Answer::Person(Reaction::Accepted(fields))) => {
            let fields: Vec<String> =
                fields.into_iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
            Ok(said(&format!("accepted {}", fields.join(" "))))
        }
        Some(Answer::Person(Reaction::Declined)) => Ok(said("declined")),
        Some(_) => Ok(said("cancelled")),
    }
}

fn shown(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Choices(choices) => choices.join(","),
    }
}

fn visit() -> Result<tools::Output, Stop> {
    match answer_to("page") {
        None => {
            let link = Link {
                message: "Pay here".to_owned(),
                url: "https://pay.example.com/now".to_owned(),
                id: "pay".to_owned(),
            };
            Err(asks("page", Question::Link(link)))
        }
        Some(Answer::Person(Reaction::Accepted(_))) => Ok(said("it was visited")),
        Some(_) => Ok(said("it was not visited")),
    }
}

impl tools::Guest for Shown {
    fn list_tools() -> Vec<tools::Tool> {
        let any = r#"{"type":"object"}"#;
        let mut hostile = tool("hostile", &format!("{MARKUP}\n{TURNED}\n{MARKUP}"), HOSTILE_SCHEMA);
        hostile.title = Some(TITLE.to_owned());
        let mut delete = tool("delete", "Delete everything.", any);
        delete.hints.read_only = Some(false);
        delete.hints.destructive = Some(true);
        let mut fields = tool("fields", "Give back what was entered.", FIELDS_SCHEMA);
        fields.output_schema = Some(r#"{"type":"object"}"#.to_owned());
        vec![
            hostile,
            delete,
            fields,
            tool("steps", "Go in steps, and ask in between.", any),
            tool("visit", "Ask to visit a page.", any),
            tool("long", &"A long text. ".repeat(1000), any),
        ]
    }

    fn call_tool(name: String, arguments: String) -> Result<tools::Output, Stop> {
        match name.as_str() {
            "hostile" => Ok(hostile()),
            "delete" => Ok(said("all is gone")),
            "fields" => Ok(tools::Output { structured: Some(arguments), ..output(Vec::new()) }),
            "steps" => steps(),
            "visit" => visit(),
            _ => Ok(tools::Output { is_error: true, ..said("it went wrong") }),
        }
    }
}

export!(Shown);
