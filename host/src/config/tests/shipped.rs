//! The files that ship with the project, and the schema.

use serde_json::Value as Json;

use super::*;

const FILE: &str = include_str!("../../../../tinymcp.toml");
const DOT_ENV: &str = include_str!("../../../../.env.example");

/// The shipped file with its examples in use.
fn with_examples() -> String {
    let in_use = |line: &'static str| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
        _ => line,
    };
    FILE.lines().map(in_use).collect::<Vec<_>>().join("\n")
}

/// The plugins that the file names beyond the defaults, to keep them out of sight.
const NOT_FOR_PEOPLE: &str = "[plugin]\neverything.enabled = false\ntickets.enabled = false\nweather_py.enabled = false\nweather_js.enabled = false\n";

#[test]
fn the_shipped_file_holds_the_defaults() {
    let expected = load(NOT_FOR_PEOPLE, &[]).unwrap().config;
    let invocation = Invocation::new(Purpose::Look);
    let environment = Environment::default().with_dot_env(&".env".into(), DOT_ENV);
    for environment in [Environment::default(), environment] {
        let loaded = Config::parse(FILE, &invocation, &environment).unwrap();
        assert_eq!(loaded.config, expected);
        assert_eq!(loaded.warnings, []);
    }
}

#[test]
fn the_shipped_file_names_every_key() {
    let text = with_examples();
    load(&text, &[("REDIS_PASSWORD", "a password")]).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let file = serde_json::to_value(file).unwrap();
    expect_keys(Config::schema().as_value(), &file, "");
}

#[test]
fn every_listing_of_grants_and_registries_can_be_written() {
    let pages = [include_str!("../../../../docs/grants.md"), include_str!("../../../../docs/registry.md")];
    let listings = |page: &'static str| -> Vec<&str> {
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
    };
    assert!(pages.iter().all(|page| listings(page).len() >= 5));
    for listing in pages.into_iter().flat_map(listings) {
        // A variable of that name, whatever it is.
        let names = listing.split("${").skip(1).filter_map(|rest| rest.split('}').next());
        let variables: String = names.map(|name| format!("{name}=a-value-of-more-than-sixteen\n")).collect();
        let environment = Environment::default().with_dot_env(&".env".into(), &variables);
        let read = Config::parse(listing, &Invocation::new(Purpose::Look), &environment);
        read.unwrap_or_else(|error| panic!("{listing}\n{error}"));
    }
}

/// Every key of the schema is in the value, and in one entry or another of every table whose names are free.
fn expect_keys(schema: &Json, value: &Json, path: &str) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let value = value.get(name).unwrap_or_else(|| panic!("{path}{name} is not in the shipped file"));
        expect_keys(schema, value, &format!("{path}{name}."));
    }
    let entries = schema["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
    if let Some(entry) = entries.or(Some(&schema["additionalProperties"]).filter(|entry| entry.is_object())) {
        let entries = value.as_object().expect(path);
        let name = entries.keys().next().expect(path);
        let together = entries.values().filter_map(Json::as_object).flatten();
        let together: serde_json::Map<String, Json> =
            together.map(|(key, value)| (key.clone(), value.clone())).collect();
        expect_keys(entry, &Json::Object(together), &format!("{path}{name}."));
    }
}

#[test]
fn the_shipped_variables_are_those_of_the_providers() {
    let lines = DOT_ENV.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let expected = [
        "AUTH_PROVIDER",
        "BASE_URL",
        "AUTH0_DOMAIN",
        "AUTH0_CLIENT_ID",
        "AUTH0_CLIENT_SECRET",
        "AUTH0_AUDIENCE",
        "CLERK_CONFIG_URL",
        "CLERK_CLIENT_ID",
        "CLERK_CLIENT_SECRET",
        "CLERK_SCOPES",
        "CLERK_VERIFY_ID_TOKEN",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn the_schema_describes_every_key() {
    let schema = Config::schema();
    assert!(!schema.as_value().to_string().contains("$ref"));
    let server = &schema.as_value()["properties"]["server"];
    assert_eq!(server["additionalProperties"], Json::Bool(false));
    assert_eq!(server.get("required"), None);
    let timeout = &schema.as_value()["properties"]["limits"]["properties"]["timeout"];
    let expected = serde_json::json!({
        "description": "Wall time of a call from its arrival, waiting included.",
        "type": "string",
        "examples": ["30s"],
        "pattern": r"^(?:([0-9]+(d|h|m|s|ms))+)$|\$\{",
        "default": "30s",
    });
    assert_eq!(timeout, &expected);
}
