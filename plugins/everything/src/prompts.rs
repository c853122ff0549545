//! Prompts: plain, with arguments, with other content than text, and one that asks.

use serde_json::json;

use crate::Everything;
use crate::asking::{ask, entered, form};
use crate::content;
use crate::exports::tinymcp::plugin::prompts::{Argument, Conversation, Guest, Prompt};
use crate::tinymcp::plugin::content::{Block, Role};
use crate::tinymcp::plugin::input::{Message, Stop};

impl Guest for Everything {
    fn list_prompts() -> Vec<Prompt> {
        vec![
            prompt("test_simple_prompt", "A prompt without arguments", &[]),
            prompt("test_prompt_with_arguments", "A prompt with two arguments", &["arg1", "arg2"]),
            prompt("test_prompt_with_embedded_resource", "A prompt with a resource in it", &["resourceUri"]),
            prompt("test_prompt_with_image", "A prompt with an image in it", &[]),
            prompt("test_input_required_result_prompt", "A prompt that asks first", &[]),
        ]
    }

    fn get_prompt(name: String, arguments: Vec<(String, String)>) -> Result<Conversation, Stop> {
        let argument = |name: &str| {
            arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        match name.as_str() {
            "test_simple_prompt" => Ok(conversation([text("This is a simple prompt for testing.")])),
            "test_prompt_with_arguments" => {
                let (arg1, arg2) = (argument("arg1"), argument("arg2"));
                Ok(conversation([text(&format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]))
            }
            "test_prompt_with_embedded_resource" => Ok(conversation([
                content::resource(argument("resourceUri"), "text/plain", "Embedded resource content for testing."),
                text("Please process the embedded resource above."),
            ])),
            "test_prompt_with_image" => Ok(conversation([content::image(), text("Please analyze the image above.")])),
            "test_input_required_result_prompt" => match entered("user_context", "context") {
                Some(context) => Ok(conversation([text(&format!("Use this context: {context}"))])),
                None => {
                    let properties = json!({ "context": { "type": "string" } });
                    let question = form("What context should the prompt use?", &properties, &["context"]);
                    Err(ask([("user_context", question)], &[]))
                }
            },
            other => Err(Stop::Invalid(format!("there is no prompt `{other}`"))),
        }
    }
}

fn text(text: &str) -> Block {
    Block::Text(text.to_owned())
}

fn conversation<const N: usize>(blocks: [Block; N]) -> Conversation {
    let messages = blocks.map(|content| Message { role: Role::User, content }).to_vec();
    Conversation { description: None, messages }
}

fn prompt(name: &str, description: &str, arguments: &[&str]) -> Prompt {
    let argument = |name: &&str| Argument {
        name: (*name).to_owned(),
        title: None,
        description: Some(format!("What stands for {name}")),
        required: true,
    };
    Prompt {
        name: name.to_owned(),
        title: None,
        description: Some(description.to_owned()),
        arguments: arguments.iter().map(argument).collect(),
        icons: Vec::new(),
        meta: None,
    }
}
