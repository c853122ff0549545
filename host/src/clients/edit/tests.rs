//! Entries put into files that people have written, and taken out of them.

use serde_json::json;

use super::*;

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn tables(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Puts `{"url": …}` in at these tables.
fn put_url(format: Format, at: &[&str], text: &str) -> Result<String, EditError> {
    let entry = object(&json!({ "url": "https://mcp.example.com/mcp" }));
    let stale = tables(&["command", "args"]);
    put(format, text, At { tables: &tables(at), name: "tinymcp" }, &entry, &stale)
}

fn take_out(format: Format, at: &[&str], text: &str) -> Result<String, EditError> {
    take(format, text, At { tables: &tables(at), name: "tinymcp" })
}

/// Puts the entry in and takes it out again, which leaves what was there.
fn round(format: Format, at: &[&str], text: &str, expected: &str) {
    let with = put_url(format, at, text).unwrap();
    assert_eq!(with, expected);
    assert_eq!(put_url(format, at, &with).unwrap(), with, "a second time changes nothing");
    let without = take_out(format, at, &with).unwrap();
    assert_eq!(read(format, &without).unwrap_or_default().get("other"), read(format, text).unwrap().get("other"));
    assert_eq!(take_out(format, at, &without).unwrap(), without);
}

#[test]
fn json_keeps_comments_order_and_indentation() {
    let at = ["mcpServers"];
    round(
        Format::Json,
        &at,
        "",
        "{\n  \"mcpServers\": {\n    \"tinymcp\": {\n      \"url\": \"https://mcp.example.com/mcp\"\n    }\n  }\n}\n",
    );
    round(
        Format::Json,
        &at,
        "// mine\n{\n\t\"zeta\": 1, // first\n\t\"mcpServers\": {\n\t\t// the other\n\t\t\"b\": { \"command\": \"x\" }, /* here */\n\t},\n\t\"alpha\": [1, 2,],\n}\n",
        "// mine\n{\n\t\"zeta\": 1, // first\n\t\"mcpServers\": {\n\t\t// the other\n\t\t\"b\": { \"command\": \"x\" }, /* here */\n\t\t\"tinymcp\": {\n\t\t\t\"url\": \"https://mcp.example.com/mcp\",\n\t\t},\n\t},\n\t\"alpha\": [1, 2,],\n}\n",
    );
    let four = "{\n    \"other\": {\n        \"deep\": true\n    }\n}\n";
    let with = put_url(Format::Json, &at, four).unwrap();
    assert!(with.starts_with("{\n    \"other\": {\n        \"deep\": true\n    },\n    \"mcpServers\": {\n        \"tinymcp\": {\n            \"url\""), "{with}");
}

#[test]
fn members_of_an_older_entry_stay_unless_they_contradict() {
    let old = "{\n  \"mcpServers\": {\n    \"tinymcp\": {\n      // by hand\n      \"command\": \"npx\",\n      \"args\": [\"a\"],\n      \"headers\": { \"X\": \"1\" }, // mine\n      \"url\": \"http://old\"\n    }\n  }\n}\n";
    let new = put_url(Format::Json, &["mcpServers"], old).unwrap();
    let entry = &read(Format::Json, &new).unwrap()["mcpServers"]["tinymcp"];
    assert_eq!(*entry, json!({ "headers": { "X": "1" }, "url": "https://mcp.example.com/mcp" }));
    assert!(new.contains("// mine"), "{new}");
    let old = "[mcp_servers.tinymcp]\ncommand = \"npx\"\nargs = [\"a\"]\nenabled = false # for now\nurl = \"http://old\" # there\n";
    let new = put_url(Format::Toml, &["mcp_servers"], old).unwrap();
    assert_eq!(
        new,
        "[mcp_servers.tinymcp]\nenabled = false # for now\nurl = \"https://mcp.example.com/mcp\" # there\n"
    );
    let old = "extensions:\n  tinymcp:\n    command: npx\n    args:\n    - a\n    timeout: 10 # s\n    url: http://old\n  b: {}\n";
    let new = put_url(Format::Yaml, &["extensions"], old).unwrap();
    assert_eq!(
        new,
        "extensions:\n  tinymcp:\n    timeout: 10 # s\n    url: \"https://mcp.example.com/mcp\"\n  b: {}\n"
    );
}

#[test]
fn toml_keeps_comments_order_and_other_tables() {
    let at = ["mcp_servers"];
    round(Format::Toml, &at, "", "[mcp_servers.tinymcp]\nurl = \"https://mcp.example.com/mcp\"\n");
    let text = "# mine\nmodel = \"x\" # this\n\n[mcp_servers.other]\ncommand = \"y\"\n\n# last\n[tui]\ntheme = \"z\"\n";
    let with = put_url(Format::Toml, &at, text).unwrap();
    assert_eq!(take_out(Format::Toml, &at, &with).unwrap(), text);
    // What stands above and below the entry is not the entry's.
    let old = "[a]\nx = 1\n# of a\n\n# which?\n[mcp_servers.tinymcp]\nurl = \"u\"\n# inside\n[mcp_servers.tinymcp.env]\nK = \"v\"\n\n# of b\n[b]\ny = 2\n";
    assert_eq!(take_out(Format::Toml, &at, old).unwrap(), "[a]\nx = 1\n# of a\n\n# which?\n\n# of b\n[b]\ny = 2\n");
    let inline = "mcp_servers = { other = { command = \"y\" } } # all\n";
    let with = put_url(Format::Toml, &at, inline).unwrap();
    assert!(with.ends_with("# all\n") && with.contains("tinymcp = { url = "), "{with}");
}

#[test]
fn yaml_keeps_comments_order_and_other_keys() {
    let at = ["extensions"];
    let entry = "  tinymcp:\n    url: \"https://mcp.example.com/mcp\"\n";
    round(Format::Yaml, &at, "", &format!("extensions:\n{entry}"));
    round(
        Format::Yaml,
        &at,
        "GOOSE_MODEL: x # this\nother: [1]\n",
        &format!("GOOSE_MODEL: x # this\nother: [1]\nextensions:\n{entry}"),
    );
    round(Format::Yaml, &at, "extensions: {} # none\nother: 1\n", &format!("extensions: # none\n{entry}other: 1\n"));
    round(
        Format::Yaml,
        &at,
        "# top\nextensions:\n  developer: # built in\n    enabled: true\n    args:\n    - a\n  # last\n\nother: |\n  # text\n  extensions: no\n",
        "# top\nextensions:\n  developer: # built in\n    enabled: true\n    args:\n    - a\n  tinymcp:\n    url: \"https://mcp.example.com/mcp\"\n  # last\n\nother: |\n  # text\n  extensions: no\n",
    );
    let indented = "extensions:\n    b:\n        enabled: true\n";
    assert!(
        put_url(Format::Yaml, &at, indented)
            .unwrap()
            .ends_with("\n    tinymcp:\n        url: \"https://mcp.example.com/mcp\"\n")
    );
}

#[test]
fn ends_of_lines_and_marks_stay() {
    for (format, at, text) in [
        (Format::Json, ["mcpServers"], "\u{feff}{\r\n  \"a\": 1\r\n}\r\n"),
        (Format::Toml, ["mcp_servers"], "\u{feff}a = 1\r\n[b]\r\nc = 2\r\n"),
        (Format::Yaml, ["extensions"], "\u{feff}a: 1\r\nb: 2\r\n"),
    ] {
        let with = put_url(format, &at, text).unwrap();
        assert!(with.starts_with('\u{feff}') && with.contains("mcp.example.com"), "{with:?}");
        assert_eq!(with.matches('\n').count(), with.matches("\r\n").count(), "{with:?}");
    }
}

#[test]
fn what_cannot_be_changed_safely_stays() {
    for (format, at, text) in [
        (Format::Json, "mcpServers", "{"),
        (Format::Json, "mcpServers", "[]"),
        (Format::Json, "mcpServers", "{\"mcpServers\": []}"),
        (Format::Json, "mcpServers", "{'mcpServers': {}}"),
        // Readers differ on which of two counts.
        (Format::Json, "mcpServers", "{\"mcpServers\": {}, \"mcpServers\": {\"b\": 1}}"),
        (Format::Toml, "mcp_servers", "a = "),
        (Format::Toml, "mcp_servers", "mcp_servers = 1"),
        (Format::Yaml, "extensions", "extensions: [1]"),
        (Format::Yaml, "extensions", "extensions: {b: {}}"),
        (Format::Yaml, "extensions", "a: 1\n---\nextensions:\n  b: {}\n"),
        (Format::Yaml, "extensions", "{extensions: {}}"),
        (Format::Yaml, "extensions", "a: &x 1\nextensions: *x\n"),
        (Format::Yaml, "extensions", "- a\n"),
    ] {
        let outcome = put_url(format, &[at], text);
        assert!(outcome.is_err(), "{text}: {outcome:?}");
    }
}

#[test]
fn an_entry_alone_is_what_would_be_written_into_an_empty_file() {
    let entry = object(&json!({ "url": "u", "args": ["a b", "-c"], "envs": {}, "enabled": true }));
    for format in [Format::Json, Format::Toml, Format::Yaml] {
        if format == Format::Toml {
            continue;
        }
        let text = alone(format, &tables(&["servers"]), "tinymcp", &entry);
        assert_eq!(read(format, &text).unwrap(), json!({ "servers": { "tinymcp": entry } }), "{text}");
    }
    let toml = alone(Format::Toml, &tables(&["mcp_servers"]), "tinymcp", &object(&json!({ "url": "u" })));
    assert_eq!(toml, "[mcp_servers.tinymcp]\nurl = \"u\"");
}
