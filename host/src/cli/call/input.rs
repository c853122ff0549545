//! The arguments of a tool as they are typed: JSON, a file of it, or `name=value` for each.

use std::fs;

use serde_json::{Map, Value};

use super::super::Failure;

/// The words, with the text of a file in the place of `@FILE`.
pub(super) fn words(words: Vec<String>) -> Result<Vec<String>, Failure> {
    match words.as_slice() {
        [word] => match word.strip_prefix('@') {
            Some(name) => {
                let text = file(name)?;
                object(&text)?;
                Ok(vec![text])
            }
            None => Ok(words),
        },
        _ => Ok(words),
    }
}

/// Reads the arguments for a tool with this schema.
pub(super) fn arguments(words: &[String], schema: &Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    match words {
        [] => Ok(Map::new()),
        [word] if word.trim_start().starts_with('{') => object(word),
        _ => {
            let mut arguments = Map::new();
            for word in words {
                let (name, value) = word.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    Failure::start(format!(
                        "unexpected argument `{word}`: write `name=value` for each, one JSON object in quotes, or `@file.json`"
                    ))
                })?;
                if arguments
                    .insert(name.to_owned(), typed(value, schema.get("properties").and_then(|it| it.get(name))))
                    .is_some()
                {
                    return Err(Failure::start(format!("`{name}` is given twice")));
                }
            }
            Ok(arguments)
        }
    }
}

/// Reads a file of JSON; `-` is standard input.
pub(super) fn file(name: &str) -> Result<String, Failure> {
    let read = if name == "-" { std::io::read_to_string(std::io::stdin()) } else { fs::read_to_string(name) };
    read.map_err(|error| Failure::start(format!("`{name}` cannot be read: {error}")))
}

/// Refuses a value that is typed as text where the tool takes none: a message of the tool's own would speak of JSON.
pub(super) fn require_types(words: &[String], schema: &Map<String, Value>) -> Result<(), Failure> {
    if matches!(words, [word] if word.trim_start().starts_with('{')) {
        return Ok(());
    }
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        let wanted = schema.get("properties").and_then(|it| it.get(name)).and_then(|schema| schema.get("type"));
        let wanted = match wanted.and_then(Value::as_str) {
            Some("integer") => "a whole number",
            Some("number") => "a number",
            Some("boolean") => "true or false",
            Some("array") => "a list in JSON, such as `[1, 2]`",
            Some("object") => "an object in JSON, such as `{\"key\": 1}`",
            _ => continue,
        };
        if serde_json::from_str::<Value>(value).is_err() {
            return Err(Failure::failed(format!("`{name}` takes {wanted}, and `{value}` is none")));
        }
    }
    Ok(())
}

fn object(json: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::start(format!("the arguments are not a JSON object: {error}")))
}

/// A value of the type that the schema wants: text as it is where a text is wanted, and JSON elsewhere, if it is any.
fn typed(value: &str, schema: Option<&Value>) -> Value {
    let wants_text = schema.and_then(|schema| schema.get("type")).is_some_and(|wanted| wanted == "string");
    if wants_text {
        return value.into();
    }
    serde_json::from_str(value).unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(words: &[&str]) -> Option<Value> {
        let schema = json!({ "properties": { "zip": { "type": "string" }, "a": { "type": "integer" }, "any": {} } });
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        arguments(&words, schema.as_object().unwrap()).ok().map(Value::Object)
    }

    #[test]
    fn values_have_the_types_that_the_tool_wants() {
        assert_eq!(read(&[]), Some(json!({})));
        assert_eq!(read(&["{\"a\": 1}"]), Some(json!({ "a": 1 })));
        assert_eq!(read(&["a=1", "zip=01", "any=x=y"]), Some(json!({ "a": 1, "zip": "01", "any": "x=y" })));
        assert_eq!(read(&["any=[1, 2]", "a=", "new=true"]), Some(json!({ "any": [1, 2], "a": "", "new": true })));
        for bad in [&["a"][..], &["=1"], &["a=1", "a=2"], &["{\"a\": 1}", "a=1"], &["{"], &["[]"]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        let schema = json!({ "properties": { "a": { "type": "integer" }, "zip": { "type": "string" } } });
        let refused = |word: &str| require_types(&[word.to_owned()], schema.as_object().unwrap()).is_err();
        assert!(refused("a=abc") && refused("a=1e400") && refused("a="));
        assert!(!refused("a=1") && !refused("zip=abc") && !refused("other=abc") && !refused("{\"a\": \"abc\"}"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(&path, "\n{\"a\": 1}\n").unwrap();
        let of_file = words(vec![format!("@{}", path.display())]).unwrap_or_default();
        assert_eq!(read(&[&of_file[0]]), Some(json!({ "a": 1 })));
        assert!(words(vec!["@/nowhere.json".to_owned()]).is_err());
    }
}
