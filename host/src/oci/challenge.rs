//! `WWW-Authenticate` of a registry (RFC 9110 §11.6.1; Distribution's token authentication).

/// The login that a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password, at the registry itself.
    Basic,
    /// A token, which is to be had at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads one header. Of several challenges in it the first that is known counts.
pub(crate) fn read(header: &str) -> Option<Challenge> {
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let (scheme, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (parameters, next) = parameters(after);
        let of = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => return Some(Challenge::Basic),
            "bearer" => {
                return Some(Challenge::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") });
            }
            _ => rest = next,
        }
    }
    None
}

/// `name="value", …` up to what begins another challenge.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        let end = rest.find(|char| !is_name(char)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=').filter(|_| !name.is_empty()) else {
            return (found, rest.trim_start_matches([',', ' ']));
        };
        let Some((value, after)) = value(after.trim_start()) else { return (found, "") };
        found.push((name.to_ascii_lowercase(), value));
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None => return (found, rest),
        }
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, char) in quoted.char_indices() {
        match char {
            _ if is_escaped => {
                value.push(char);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, &quoted[at + 1..])),
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://a.example/token",service="a.example",scope="repository:x:pull,push""#,
                bearer("https://a.example/token", Some("a.example"), Some("repository:x:pull,push")),
            ),
            (r#"bearer realm="x", error="invalid_token""#, bearer("x", None, None)),
            ("Bearer realm=x", bearer("x", None, None)),
            (r#"Negotiate, Basic realm="r""#, Some(Challenge::Basic)),
            ("Negotiate", None),
            (r#"Digest realm="a, b", nonce="c", Bearer realm="x\"y""#, bearer("x\"y", None, None)),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            ("Bearer", None),
            (r#"Bearer realm="open"#, None),
            ("", None),
            (",,,,", None),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }
}
