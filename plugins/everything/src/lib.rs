//! Each thing that a plugin can do, once.
//!
//! What a function can say is a function of the world: values and content blocks in [`content`], messages to the client
//! in [`messages`], questions in [`asking`]. The rest are interfaces of `tinymcp:plugin`: [`tools`], [`resources`],
//! [`prompts`], [`completions`].

mod asking;
mod completions;
mod content;
mod messages;
mod prompts;
mod resources;
mod tools;

wit_bindgen::generate!({
    world: "tinymcp:everything/everything",
    path: ["../../wit", "wit"],
    generate_all,
});

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

struct Everything;

impl Guest for Everything {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn test_simple_text() -> String {
        "This is a simple text response for testing.".to_owned()
    }

    fn test_error_handling() -> Result<(), String> {
        Err("This tool intentionally returns an error for testing".to_owned())
    }

    fn test_image_content() -> Block {
        content::image()
    }

    fn test_audio_content() -> Block {
        content::audio()
    }

    fn test_embedded_resource() -> Block {
        content::resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    }

    fn test_multiple_content_types() -> Vec<Block> {
        vec![
            Block::Text("Multiple content types test:".to_owned()),
            content::image(),
            content::resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]
    }

    fn who_am_i() -> String {
        messages::who_am_i()
    }

    fn test_tool_with_progress() -> String {
        messages::with_progress()
    }

    fn test_tool_with_logging() -> String {
        messages::with_logging()
    }

    fn test_logging_tool() -> String {
        messages::with_logging()
    }

    fn test_reconnection() -> String {
        messages::slowly()
    }

    fn test_trigger_tool_change() -> String {
        tinymcp::plugin::changes::tools();
        "The list of tools has changed".to_owned()
    }

    fn test_trigger_prompt_change() -> String {
        tinymcp::plugin::changes::prompts();
        "The list of prompts has changed".to_owned()
    }

    fn update_watched_resource() -> String {
        tinymcp::plugin::changes::updated(resources::WATCHED);
        "The resource has changed".to_owned()
    }

    fn test_sampling(prompt: String) -> Result<String, Stop> {
        asking::sampling(&prompt)
    }

    fn test_elicitation(message: String) -> Result<String, Stop> {
        asking::elicitation(&message)
    }

    fn test_elicitation_sep1034_defaults() -> Result<String, Stop> {
        asking::defaults()
    }

    fn test_elicitation_sep1330_enums() -> Result<String, Stop> {
        asking::choices()
    }

    fn test_input_required_result_elicitation() -> Result<String, Stop> {
        asking::name()
    }

    fn test_input_required_result_sampling() -> Result<String, Stop> {
        asking::capital()
    }

    fn test_input_required_result_list_roots() -> Result<String, Stop> {
        asking::roots()
    }

    fn test_input_required_result_request_state() -> Result<String, Stop> {
        asking::with_state()
    }

    fn test_input_required_result_tampered_state() -> Result<String, Stop> {
        asking::with_state()
    }

    fn test_input_required_result_multiple_inputs() -> Result<String, Stop> {
        asking::everybody()
    }

    fn test_input_required_result_multi_round() -> Result<String, Stop> {
        asking::twice()
    }

    fn test_input_required_result_capabilities() -> Result<String, Stop> {
        asking::whoever_can_be_asked()
    }

    fn test_streaming_elicitation() -> Result<String, Stop> {
        asking::name()
    }
}

export!(Everything);
