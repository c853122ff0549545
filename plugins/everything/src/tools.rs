//! Tools that no function can be: with JSON Schemas of their own, with needs, and as tasks.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::Everything;
use crate::asking::{ask, entered, form, reaction_to};
use crate::exports::tinymcp::plugin::tools::{Guest, Hints, Output, Tasks, Tool};
use crate::tinymcp::plugin::content::Block;
use crate::tinymcp::plugin::input::{Capabilities, Stop};

impl Guest for Everything {
    fn list_tools() -> Vec<Tool> {
        let number = json!({ "type": "number", "minimum": 0 });
        let text = json!({ "type": "string" });
        vec![
            Tool {
                needs: Capabilities::SAMPLING,
                ..tool("test_missing_capability", "Needs a model.", object(json!({})))
            },
            tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", contact()),
            tool(
                "test_header_parameter",
                "An argument that travels in a header as well, for proxies.",
                object(json!({ "value": { "type": "string", "x-mcp-header": "Value" } })),
            ),
            task("slow_compute", "Takes its time.", object(json!({ "seconds": number, "label": text }))),
            Tool { tasks: Tasks::Required, ..tool("failing_job", "Fails.", object(json!({}))) },
            task("protocol_error_job", "Fails as a mistake of the client.", object(json!({}))),
            task("confirm_delete", "Asks before it deletes.", object(json!({ "filename": text }))),
            task("multi_input", "Asks two things at once.", object(json!({}))),
            Tool {
                tasks: Tasks::AfterInput,
                ..tool("test_tool_with_task", "Asks, and then takes its time.", object(json!({})))
            },
        ]
    }

    fn call_tool(name: String, arguments: String) -> Result<Output, Stop> {
        let arguments: Json = serde_json::from_str(&arguments).map_err(|error| Stop::Failed(error.to_string()))?;
        match name.as_str() {
            "json_schema_2020_12_tool" | "test_header_parameter" => Ok(said(&arguments.to_string())),
            "test_missing_capability" => Ok(said("The client has a model")),
            "slow_compute" => {
                sleep(Duration::from_secs_f64(arguments["seconds"].as_f64().unwrap_or(0.0)));
                Ok(said(&format!("Computed {}", arguments["label"].as_str().unwrap_or("something"))))
            }
            "failing_job" => Err(Stop::Failed("This job always fails".to_owned())),
            "protocol_error_job" => Err(Stop::Invalid("This job cannot be asked for".to_owned())),
            "confirm_delete" => confirm_delete(arguments["filename"].as_str().unwrap_or("it")),
            "multi_input" => multi_input(),
            "test_tool_with_task" => test_tool_with_task(),
            // The host only asks for what is on the list.
            other => Err(Stop::Invalid(format!("there is no tool `{other}`"))),
        }
    }
}

fn confirm_delete(filename: &str) -> Result<Output, Stop> {
    match reaction_to("confirm") {
        Some(reaction) => Ok(said(&format!("{filename}: {reaction:?}"))),
        None => {
            let properties = json!({ "confirm": { "type": "boolean" } });
            Err(ask([("confirm", form(&format!("Delete {filename}?"), &properties, &["confirm"]))], &[]))
        }
    }
}

fn multi_input() -> Result<Output, Stop> {
    match (reaction_to("first"), reaction_to("second")) {
        (Some(first), Some(second)) => Ok(said(&format!("{first:?}, {second:?}"))),
        _ => {
            let question = |message| form(message, &json!({ "name": { "type": "string" } }), &["name"]);
            Err(ask([("first", question("The first name?")), ("second", question("The second name?"))], &[]))
        }
    }
}

fn test_tool_with_task() -> Result<Output, Stop> {
    match entered("user_name", "name") {
        Some(name) => {
            sleep(Duration::from_millis(200));
            Ok(said(&format!("Done for {name}")))
        }
        None => {
            let question = form("What is your name?", &json!({ "name": { "type": "string" } }), &["name"]);
            Err(ask([("user_name", question)], &[]))
        }
    }
}

/// A tool with nothing special about it.
fn tool(name: &str, description: &str, input_schema: Json) -> Tool {
    Tool {
        name: name.to_owned(),
        title: None,
        description: description.to_owned(),
        input_schema: input_schema.to_string(),
        output_schema: None,
        hints: Hints { read_only: Some(true), destructive: None, idempotent: None, open_world: Some(false) },
        icons: Vec::new(),
        needs: Capabilities::empty(),
        tasks: Tasks::Never,
        meta: None,
    }
}

/// A tool whose calls are tasks for clients that know them.
fn task(name: &str, description: &str, input_schema: Json) -> Tool {
    Tool { tasks: Tasks::Possible, ..tool(name, description, input_schema) }
}

fn said(text: &str) -> Output {
    Output { content: vec![Block::Text(text.to_owned())], structured: None, is_error: false, meta: None }
}

fn object(properties: Json) -> Json {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// A schema that no WIT type gives: a phone number or an address, whichever is preferred.
fn contact() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
