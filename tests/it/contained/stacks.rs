//! Guests with 128 KiB of stack in their own memory, as crates made by `tinymcp new` have it.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::server::{Server, Site};

const FULL: &str =
    "the tool recursed too deeply for its stack and was stopped: `stack-size` in its `build.rs` sets how much it has";

#[tokio::test]
async fn libraries_that_recurse_have_enough() {
    let server = Server::with(&["small-stack"]).await;
    let client = Client::modern(&server);
    // The deepest that serde_json takes.
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}{}{}", open.repeat(127), "1", close.repeat(127));
        assert_eq!(client.value("small_stack_json", json!({ "text": text })).await, json!(text));
        let deeper = format!("{open}{text}{close}");
        let said = client.failure("small_stack_json", json!({ "text": deeper })).await;
        assert!(said.contains("recursion limit"), "{said}");
    }
    let nested = format!("{}a{}", "(".repeat(30), ")*".repeat(30));
    let patterns = [(r"^\p{L}+(?:[ -]\p{L}+)*\s\d{1,4}[a-z]?$", "Große Straße 12a"), (&nested, "aaa")];
    for (pattern, text) in patterns {
        let matches = client.value("small_stack_matches", json!({ "pattern": pattern, "text": text })).await;
        assert_eq!(matches, json!(true), "{pattern}");
    }
    assert_eq!(client.value("small_stack_deep", json!({ "calls": 50 })).await, json!(50));
    assert_eq!(client.value("small_stack_wide", json!({ "kilobytes": 64 })).await, json!(64 * 1024));
}

#[tokio::test]
async fn a_full_stack_reads_as_recursion_and_names_its_key() {
    let server = Server::with(&["small-stack"]).await;
    let client = Client::modern(&server);
    for (tool, arguments) in
        [("small_stack_deep", json!({ "calls": 5000 })), ("small_stack_wide", json!({ "kilobytes": 512 }))]
    {
        let mark = server.log.mark();
        assert_eq!(client.failure(tool, arguments).await, FULL, "{tool}");
        let line = server.log.wait_since(mark, "recursed too deeply").await;
        assert!(line.contains(tool) && line.contains("memory fault at wasm address"), "{line}");
        assert_eq!(client.value("small_stack_deep", json!({ "calls": 1 })).await, json!(1));
    }
    // What is out of bounds elsewhere is no recursion.
    assert_eq!(client.failure("small_stack_stray", json!({})).await, "the tool crashed");
}

#[test]
fn inspect_tells_who_reserves_more_than_needed() {
    for (name, is_told) in [("small-stack", false), ("greeter-v1", true), ("component-made", true), ("js-greet", false)]
    {
        let finished = Site::with(&[name]).run(&["inspect", "--json", &format!("plugins/{name}.wasm")]);
        let inspected: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:#?}"));
        let told = inspected["warnings"].as_array().unwrap().iter().filter_map(Value::as_str);
        let told: Vec<&str> = told.filter(|warning| warning.contains("1024 KiB of stack")).collect();
        assert_eq!(!told.is_empty(), is_told, "{name}: {inspected}");
        assert!(told.iter().all(|warning| warning.contains("rustc-link-arg-cdylib=-zstack-size=131072")), "{told:?}");
    }
}
