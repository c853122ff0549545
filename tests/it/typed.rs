//! Typed tools: every WIT type through JSON Schema and the codec, into a guest and back.

use jsonschema::Validator;
use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

/// The guest `echo`, with the names that its functions have.
async fn echo() -> Server {
    Site::with(&["echo"]).config("[plugin.echo]\nprefix = \"\"\n").start().await
}

async fn tool(client: &Client, name: &str) -> Value {
    let tools = client.tools().await;
    tools.into_iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no tool `{name}`"))
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

/// Sends each text as the argument `value`, and expects it back, as both schemas of the tool allow.
async fn comes_back(tool_name: &str, values: &[&str]) {
    let server = echo().await;
    let client = Client::modern(&server);
    let tool = tool(&client, tool_name).await;
    let (input, output) = (validator(&tool["inputSchema"]), validator(&tool["outputSchema"]));
    for text in values {
        let value: Value = serde_json::from_str(text).unwrap();
        let arguments = json!({ "value": value });
        assert!(input.is_valid(&arguments), "{tool_name}: {arguments} against {}", tool["inputSchema"]);
        let called = client.call(tool_name, arguments).await;
        assert!(!called.is_error, "{tool_name} {text}: {called:?}");
        assert!(
            output.is_valid(&called.structured),
            "{tool_name}: {} against {}",
            called.structured,
            tool["outputSchema"]
        );
        let result = called.structured.get("result").unwrap_or(&called.structured);
        assert_eq!(*result, value, "{tool_name} {text}");
    }
}

#[tokio::test]
async fn booleans_characters_and_texts_come_back() {
    comes_back("echo_bool", &["true", "false"]).await;
    comes_back("echo_char", &[r#""a""#, r#""é""#, r#""🦀""#, r#""\u0000""#]).await;
}

#[tokio::test]
async fn a_text_is_a_text_and_nothing_else() {
    let server = echo().await;
    for client in Client::both(&server).await {
        assert_eq!(tool(&client, "echo_string").await.get("outputSchema"), None);
        let text = "line\nbreak \"quoted\" \u{0} 𝄞";
        for (sent, shown) in [(text, text), ("", "(empty)"), (" ", " "), ("null", "null"), ("5", "5")] {
            let arguments = json!({ "name": "echo_string", "arguments": { "value": sent } });
            let result = client.result("tools/call", arguments).await;
            assert_eq!(result["content"], json!([{ "type": "text", "text": shown }]));
            assert_eq!((result.get("structuredContent"), &result["isError"]), (None, &json!(false)), "{result}");
        }
    }
}

#[tokio::test]
async fn integers_come_back_to_their_bounds() {
    comes_back("echo_s8", &["-128", "0", "127"]).await;
    comes_back("echo_u8", &["0", "255"]).await;
    comes_back("echo_s16", &["-32768", "32767"]).await;
    comes_back("echo_u16", &["0", "65535"]).await;
    comes_back("echo_s32", &["-2147483648", "2147483647"]).await;
    comes_back("echo_u32", &["0", "4294967295"]).await;
}

#[tokio::test]
async fn integers_beyond_what_a_double_holds_are_exact() {
    comes_back("echo_s64", &["-9223372036854775808", "-9007199254740993", "9223372036854775807"]).await;
    comes_back("echo_u64", &["9007199254740993", "18446744073709551615"]).await;
}

#[tokio::test]
async fn numbers_come_back() {
    comes_back("echo_f32", &["0.5", "-1.25", "16777216.0"]).await;
    comes_back("echo_f64", &["0.1", "-1e300", "5e-324", "123456789.0"]).await;
}

#[tokio::test]
async fn lists_and_tuples_come_back() {
    comes_back("echo_bytes", &[r#""""#, r#""AP8=""#, r#""AAECAwQF""#]).await;
    comes_back("echo_list_string", &["[]", r#"["a", "", "ü"]"#]).await;
    comes_back("echo_list_list", &["[]", "[[], [1], [2, 3]]"]).await;
    comes_back("echo_tuple_one", &["[1.5]"]).await;
    comes_back("echo_tuple", &[r#"[7, "x", true]"#, r#"[7, "x", null]"#]).await;
}

#[tokio::test]
async fn records_come_back_without_what_is_absent() {
    let home = r#"{"street-name": "Elm 1", "postal-code": "12345"}"#;
    let full = format!(
        r#"{{"name": "Ada", "age": 36, "home": {home}, "work": {{"street-name": "Oak 2"}}, "nicknames": ["A"], "type": "friend"}}"#
    );
    let sparse = r#"{"name": "Bob", "home": {"street-name": "Elm 1"}, "nicknames": [], "type": "supplier-abroad"}"#;
    comes_back("echo_record", &[&full, sparse]).await;
    comes_back("echo_list_record", &["[]", &format!("[{home}]")]).await;
}

#[tokio::test]
async fn options_enums_and_flags_come_back() {
    comes_back("echo_option", &[r#""text""#, r#""""#]).await;
    comes_back("echo_option_record", &[r#"{"street-name": "Elm 1"}"#]).await;
    comes_back("echo_list_option", &["[1, null, 2]"]).await;
    comes_back("echo_enum", &[r#""customer""#, r#""supplier-abroad""#]).await;
    comes_back("echo_list_option_enum", &[r#"["friend", null]"#]).await;
    comes_back("echo_flags", &["[]", r#"["read", "run-as-root"]"#]).await;
}

#[tokio::test]
async fn variants_and_nested_results_come_back() {
    let shapes = [
        r#"{"dot": true}"#,
        r#"{"circle": 1.5}"#,
        r#"{"rectangle": [1.5, 2.5]}"#,
        r#"{"polygon": [{"x": 0.5, "y": 1.5}]}"#,
        r#"{"named": {"name": "n"}}"#,
    ];
    comes_back("echo_variant", &shapes).await;
    comes_back("echo_list_variant", &[&format!("[{}]", shapes.join(","))]).await;
    comes_back("echo_list_result", &[r#"[{"ok": 1}, {"err": "why"}]"#]).await;
    comes_back(
        "echo_bare_results",
        &[r#"[{"ok": true}, {"ok": 1}, {"err": 2}]"#, r#"[{"err": true}, {"err": true}, {"ok": true}]"#],
    )
    .await;
}

#[tokio::test]
async fn every_type_at_once_comes_back() {
    let everything = json!({
        "truth": true, "tiny": -128, "octet": 255, "small": -1, "port": 1, "signed": -1, "count": 1,
        "long": -9_223_372_036_854_775_808_i64, "size": 18_446_744_073_709_551_615_u64, "ratio": 0.5, "exact": 0.1,
        "letter": "é", "text": "t", "bytes": "AP8=", "grid": [[1], []], "pair": [1, ["x", false]],
        "perhaps": 9_007_199_254_740_993_u64, "holes": [null, "friend"], "kinds": ["customer"],
        "permissions": [["read"], []], "shapes": [{"dot": true}, {"named": {"name": "n", "colour": "red"}}],
        "people": [{"name": "Ada", "home": {"street-name": "Elm"}, "nicknames": [], "type": "friend"}],
        "outcomes": [{"ok": "AA=="}, {"err": {"unknown": "x"}}, {"err": {"too-large": 1}}, {"err": {"secret": true}}],
        "checks": [{"ok": true}, {"err": true}],
    });
    comes_back("echo_everything", &[&everything.to_string()]).await;
}

#[tokio::test]
async fn an_integer_with_a_fraction_of_zero_is_an_integer() {
    let server = echo().await;
    let client = Client::modern(&server);
    for (text, expected) in [("1.0", 1), ("1e2", 100), ("-0.0", 0)] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(client.value("echo_u8", json!({ "value": value })).await, expected, "{text}");
    }
}

#[tokio::test]
async fn null_and_nothing_are_an_absent_option() {
    let server = echo().await;
    let client = Client::modern(&server);
    for arguments in [json!({}), json!({ "value": null })] {
        let called = client.call("echo_option", arguments).await;
        assert!(!called.is_error, "{called:?}");
        assert_eq!(called.structured, json!({ "result": null }));
    }
}

#[tokio::test]
async fn what_the_tool_returns_as_an_error_is_a_tool_error() {
    let server = echo().await;
    let client = Client::modern(&server);
    assert_eq!(client.value("outcome", json!({ "value": { "ok": 7 } })).await, 7);
    assert_eq!(client.failure("outcome", json!({ "value": { "err": "no luck" } })).await, "no luck");
    assert_eq!(client.failure("outcome_err", json!({ "value": { "err": "friend" } })).await, "friend");
    let refusal = json!({ "value": { "err": { "too-large": 9 } } });
    assert_eq!(client.failure("outcome_variant", refusal).await, r#"{"too-large":9}"#);
    let address = json!({ "value": { "err": { "street-name": "Elm" } } });
    assert_eq!(client.failure("outcome_record", address).await, r#"{"street-name":"Elm"}"#);
    let silent = "the tool failed and gave no reason";
    assert_eq!(client.failure("outcome_bare", json!({ "fail": true })).await, silent);
    for blank in ["", " \n"] {
        assert_eq!(client.failure("outcome", json!({ "value": { "err": blank } })).await, silent, "{blank:?}");
    }
    assert_eq!(client.value("outcome_option", json!({ "value": { "ok": null } })).await, Value::Null);
}

#[tokio::test]
async fn a_tool_without_a_result_says_that_it_is_done() {
    let server = echo().await;
    for client in Client::both(&server).await {
        for (tool, arguments) in
            [("silence", json!({})), ("nothing", json!({ "value": "x" })), ("outcome_bare", json!({ "fail": false }))]
        {
            let result = client.result("tools/call", json!({ "name": tool, "arguments": arguments })).await;
            let done = json!([{ "type": "text", "text": "done" }]);
            assert_eq!((&result["content"], result.get("structuredContent")), (&done, None), "{tool}: {result}");
        }
    }
}

#[tokio::test]
async fn structured_content_has_a_text_copy() {
    let server = echo().await;
    let client = Client::modern(&server);
    let called = client.call("echo_list_list", json!({ "value": [[1, 2]] })).await;
    assert_eq!((called.text.as_str(), called.structured), ("[[1,2]]", json!({ "result": [[1, 2]] })));
    let called = client.call("echo_string", json!({ "value": "plain" })).await;
    assert_eq!(called.text, "plain");
}

#[tokio::test]
async fn what_clients_put_in_quotes_is_taken() {
    let server = echo().await;
    for client in Client::both(&server).await {
        for (tool, sent, meant) in [
            ("echo_u64", json!("9007199254740993"), json!(9_007_199_254_740_993_u64)),
            ("echo_bool", json!("true"), json!(true)),
            ("echo_f64", json!("0.5"), json!(0.5)),
            ("echo_list_list", json!("[[1, 2], []]"), json!([[1, 2], []])),
            ("echo_list_list", json!([["1"], "[2]"]), json!([[1], [2]])),
            ("echo_flags", json!("[\"read\"]"), json!(["read"])),
            ("echo_list_option", json!("[5, null]"), json!([5, null])),
            // A text is what it is.
            ("echo_option", json!("5"), json!("5")),
            ("echo_option", json!("null"), json!("null")),
        ] {
            assert_eq!(client.value(tool, json!({ "value": sent })).await, meant, "{tool} {sent}");
        }
        for (tool, sent) in [
            ("echo_u64", " 1"),
            ("echo_u64", "010"),
            ("echo_u64", "18446744073709551616"),
            ("echo_bool", "True"),
            ("echo_list_list", "[\"[1]\"]"),
        ] {
            let said = client.failure(tool, json!({ "value": sent })).await;
            assert!(said.ends_with("; send it without quotes"), "{tool} {sent}: {said}");
        }
    }
}

#[tokio::test]
async fn what_only_the_codec_bounds_is_refused() {
    let server = echo().await;
    let client = Client::modern(&server);
    for (tool, value, expected) in [
        ("echo_s64", json!(u64::MAX), "expected an integer from -9223372036854775808 to 9223372036854775807"),
        ("echo_f32", json!(1e39), "expected a number from -3.4028234663852886e38 to 3.4028234663852886e38"),
        ("echo_flags", json!(["read", "read"]), "repeats `read`"),
    ] {
        let said = client.failure(tool, json!({ "value": value })).await;
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn functions_of_interfaces_are_tools() {
    let server = echo().await;
    let client = Client::modern(&server);
    assert_eq!(client.value("bounds", json!({ "figure": { "circle": 1.5 } })).await, json!([3.0, 3.0]));
    assert_eq!(client.value("left_turn", json!({ "degrees": 90 })).await, "90 degrees to the left");
    assert_eq!(client.value("right_turn", json!({ "degrees": 90 })).await, "90 degrees to the right");
}

/// A wrong argument, and what the caller reads: where, what is expected, what came.
async fn is_refused(cases: &[(&str, Value, &str)]) {
    let server = echo().await;
    let client = Client::modern(&server);
    for (name, arguments, expected) in cases {
        let input = validator(&tool(&client, name).await["inputSchema"]);
        assert!(!input.is_valid(arguments), "{name}: the schema takes {arguments}");
        assert_eq!(client.failure(name, arguments.clone()).await, *expected, "{name} {arguments}");
    }
}

#[tokio::test]
async fn a_wrong_argument_names_path_expectation_and_what_came() {
    is_refused(&[
        ("echo_u8", json!({ "value": 256 }), "argument `$.value`: expected an integer from 0 to 255, got number 256"),
        ("echo_u8", json!({ "value": 1.5 }), "argument `$.value`: expected an integer from 0 to 255, got number 1.5"),
        (
            "echo_u8",
            json!({ "value": "+1" }),
            r#"argument `$.value`: expected an integer from 0 to 255, got string "+1"; send it without quotes"#,
        ),
        ("echo_u8", json!({ "value": null }), "argument `$.value`: expected an integer from 0 to 255, got null"),
        ("echo_bool", json!({ "value": 1 }), "argument `$.value`: expected true or false, got number 1"),
        (
            "echo_char",
            json!({ "value": "ab" }),
            r#"argument `$.value`: expected a string of one character, got string "ab""#,
        ),
        (
            "echo_bytes",
            json!({ "value": "A" }),
            r#"argument `$.value`: expected a base64 string (standard alphabet, padded), got string "A""#,
        ),
        (
            "echo_list_list",
            json!({ "value": [[1], [2, -3]] }),
            "argument `$.value[1][1]`: expected an integer from 0 to 4294967295, got number -3",
        ),
        (
            "echo_tuple",
            json!({ "value": [1] }),
            "argument `$.value`: expected an array of 3 items, got an array of 1 item",
        ),
        (
            "echo_list_record",
            json!({ "value": [{ "street-name": 1 }] }),
            "argument `$.value[0].street-name`: expected a string, got number 1",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_missing_or_unknown_is_named() {
    is_refused(&[
        ("echo_u8", json!({}), "argument `$.value`: missing; expected an integer from 0 to 255"),
        ("echo_u8", json!({ "value": 1, "extra": 2 }), "argument `$.extra`: unknown; this tool takes `value`"),
    ])
    .await;
    let server = echo().await;
    let client = Client::modern(&server);
    for (tool, arguments, path) in [
        (
            "echo_record",
            json!({ "value": { "name": "x", "hom": {}, "nicknames": [], "type": "friend" } }),
            "`$.value.hom",
        ),
        ("echo_variant", json!({ "value": { "cirle": 1.0 } }), "`$.value.cirle`"),
        ("echo_variant", json!({ "value": { "dot": true, "circle": 1.0 } }), "`$.value`"),
        ("echo_enum", json!({ "value": "custmer" }), "`$.value`"),
        ("echo_flags", json!({ "value": ["read", "read"] }), "`$.value[1]`"),
    ] {
        let text = client.failure(tool, arguments).await;
        assert!(text.contains(path), "{tool}: {text}");
    }
}

#[tokio::test]
async fn numbers_that_json_does_not_have_are_errors() {
    let server = Server::with(&["hostile"]).await;
    let client = Client::modern(&server);
    let text = client.failure("hostile_nan", json!({})).await;
    assert_eq!(text, "the tool's result cannot be returned: result `$.result`: NaN has no JSON form");
    let text = client.failure("hostile_infinity", json!({})).await;
    assert_eq!(text, "the tool's result cannot be returned: result `$.result[1]`: inf has no JSON form");
}

#[tokio::test]
async fn documentation_reaches_the_list() {
    let server = echo().await;
    for client in Client::both(&server).await {
        let echo_string = tool(&client, "echo_string").await;
        assert_eq!(echo_string["title"], "Echo a text");
        assert_eq!(
            echo_string["description"],
            "Echo a text.\n\nThe text comes back as it went in,\nwhatever its script."
        );
        assert_eq!(echo_string["inputSchema"]["properties"]["value"]["description"], "the text to give back");
        let annotations = &echo_string["annotations"];
        assert_eq!((&annotations["readOnlyHint"], &annotations["idempotentHint"]), (&json!(true), &json!(true)));

        let join_many = tool(&client, "join_many").await;
        let properties = &join_many["inputSchema"]["properties"];
        assert_eq!(properties["house-number"]["description"], "the number of the house");
        assert_eq!(
            properties["street"]["description"],
            "Read from the text only: no toolchain keeps the comment of a parameter"
        );
        let annotations = &join_many["annotations"];
        assert_eq!((&annotations["destructiveHint"], &annotations["openWorldHint"]), (&json!(true), &json!(true)));
        assert_eq!(join_many["inputSchema"]["required"], json!(["house-number", "street", "list", "flags"]));

        let record = tool(&client, "echo_record").await;
        let fields = &record["inputSchema"]["properties"]["value"]["properties"];
        assert_eq!(fields["age"]["description"], "Age in years");
    }
}

#[tokio::test]
async fn a_tool_without_documentation_is_described_by_its_signature() {
    let server = echo().await;
    let undocumented = tool(&Client::modern(&server), "undocumented").await;
    assert_eq!(undocumented["description"], "(value: u32) -> u32");
}

/// Every key of a schema, at any depth, but for the names of properties.
fn keywords(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                found.push(key.clone());
                if key == "properties" {
                    value.as_object().into_iter().flatten().for_each(|(_, property)| keywords(property, found));
                } else if key != "const" && key != "enum" {
                    keywords(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keywords(item, found)),
        _ => {}
    }
}

/// Checks that no bound is beyond 2^53 - 1, no array without an `items` object and no constant without a type.
fn is_bearable(schema: &Value) -> bool {
    let Value::Object(object) = schema else {
        return schema.as_array().is_none_or(|items| items.iter().all(is_bearable));
    };
    let is_safe = |bound: &Value| bound.as_f64().is_none_or(|bound| bound.abs() < 9_007_199_254_740_992.0);
    let is_array = object.get("type").is_some_and(|ty| ty == "array" || ty[0] == "array");
    ["minimum", "maximum"].into_iter().filter_map(|bound| object.get(bound)).all(is_safe)
        && (!is_array || object.get("items").is_some_and(Value::is_object))
        && (object.contains_key("type") || !object.contains_key("const"))
        && object.values().all(is_bearable)
}

#[tokio::test]
async fn schemas_stay_in_the_subset_that_every_client_takes() {
    let server = Site::with(&["echo", "hostile", "greeter-v1", "component-made", "conformance"]).start().await;
    let tools = Client::modern(&server).tools().await;
    assert!(tools.len() > 60, "{}", tools.len());
    for tool in tools {
        let name = &tool["name"];
        for kind in ["inputSchema", "outputSchema"] {
            let Some(schema) = tool.get(kind) else { continue };
            validator(schema);
            assert_eq!(schema["type"], "object", "{name} {kind}");
            let mut found = Vec::new();
            keywords(schema, &mut found);
            for composed in ["$ref", "oneOf", "anyOf", "allOf", "not", "if", "$defs", "uniqueItems"] {
                assert!(!found.iter().any(|keyword| keyword == composed), "{name} {kind} has `{composed}`");
            }
            assert!(is_bearable(schema), "{name} {kind}: {schema}");
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
    }
}

#[tokio::test]
async fn functions_that_json_cannot_call_are_left_out_and_named() {
    let site = Site::with(&["odd"]);
    let listed = site.run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["plugins"][0]["tools"], json!(["odd_fine"]));
    let warnings = listed["plugins"][0]["warnings"].to_string();
    for function in ["perhaps-perhaps", "nested-perhaps", "files#describe", "files#open"] {
        assert!(warnings.contains(function), "{function}: {warnings}");
    }
}

#[tokio::test]
async fn a_component_of_cargo_component_is_a_plugin() {
    let site = Site::new().plugin("component-made", &guest("component-made"));
    let server = site.start().await;
    let client = Client::modern(&server);
    let items = json!([{ "name": "a", "count": 2, "price": 1.5 }, { "name": "b", "count": 1 }]);
    assert_eq!(client.value("component_made_total", json!({ "items": items })).await, 3.0);
    let total = tool(&client, "component_made_total").await;
    assert_eq!(total["inputSchema"]["properties"]["items"]["description"], "the lines of the order");
}
