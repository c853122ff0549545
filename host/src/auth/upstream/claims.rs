//! Claims at the paths that a provider's data names.

use serde_json::{Map, Value};

/// Every value at a path. A path is the name of a member, or names with dots between; `*` is every item of a list.
///
/// A member with dots in its name is found first, since namespaced claims are URLs.
pub(super) fn find<'v>(claims: &'v Map<String, Value>, path: &str) -> Vec<&'v Value> {
    if let Some(value) = claims.get(path) {
        return vec![value];
    }
    let Some((first, rest)) = path.split_once('.') else { return Vec::new() };
    claims.get(first).map_or_else(Vec::new, |value| within(value, rest))
}

fn within<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    match value {
        Value::Object(members) => find(members, path),
        Value::Array(items) => {
            let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
            if first != "*" {
                return Vec::new();
            }
            match rest {
                Some(rest) => items.iter().flat_map(|item| within(item, rest)).collect(),
                None => items.iter().collect(),
            }
        }
        _ => Vec::new(),
    }
}

/// The text at a path: a string, or a whole number, as some providers number people.
pub(super) fn text(claims: &Map<String, Value>, path: &str) -> Option<String> {
    find(claims, path).into_iter().find_map(as_text)
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// All texts at a path, whether it leads to one or to lists of them.
pub(super) fn texts(claims: &Map<String, Value>, path: &str) -> Vec<String> {
    let each = |value: &Value| match value {
        Value::Array(items) => items.iter().filter_map(as_text).collect(),
        other => as_text(other).into_iter().collect::<Vec<_>>(),
    };
    find(claims, path).into_iter().flat_map(each).collect()
}

/// All words at a path: texts are split at spaces, as `scope` is.
pub(super) fn words(claims: &Map<String, Value>, path: &str) -> Vec<String> {
    let texts = texts(claims, path);
    texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let claims = serde_json::json!({
            "sub": "a", "id": 7, "none": null, "fraction": 1.5,
            "scope": "read write", "permissions": ["read:x", 3, true],
            "realm_access": { "roles": ["admin"] },
            "https://example.com/roles": ["r"],
            "orgs": [{ "login": "one" }, { "login": "two" }, {}],
        });
        let Value::Object(claims) = claims else { unreachable!("an object") };
        for (path, expected) in [
            ("sub", vec!["a"]),
            ("id", vec!["7"]),
            ("none", vec![]),
            ("fraction", vec![]),
            ("missing.deep", vec![]),
            ("permissions", vec!["read:x", "3"]),
            ("permissions.*", vec!["read:x", "3"]),
            ("realm_access.roles", vec!["admin"]),
            ("https://example.com/roles", vec!["r"]),
            ("orgs.*.login", vec!["one", "two"]),
            ("orgs.login", vec![]),
        ] {
            assert_eq!(texts(&claims, path), expected, "{path}");
        }
        assert_eq!(words(&claims, "scope"), ["read", "write"]);
        assert_eq!(text(&claims, "id").as_deref(), Some("7"));
    }
}
