//! Parameters of a query, as the many kinds of servers take them apart.
//!
//! A parameter is taken away if any of them could read its name as that of a credential: escapes of every depth, `+` and
//! other signs that some servers turn into `_`, small and capital letters, `name[]`, and `;` as a separator.

use std::borrow::Cow;

use url::form_urlencoded;

/// The name as it is, decoded once by the server, and once more by each of two proxies before it.
const READINGS: usize = 4;

/// The name of a parameter as the most lenient server reads it.
pub(super) fn canonical(name: &str) -> String {
    let plain = name.trim_start_matches([' ', '+']);
    let is_list = |at: &usize| *at > 0 && plain[*at..].contains(']');
    let end = plain.find('\0').or_else(|| plain.find('[').filter(is_list)).unwrap_or(plain.len());
    plain[..end]
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { sign(char) })
        .collect()
}

/// What PHP and CGI make `_`, and what people write in its place.
fn sign(char: char) -> char {
    if matches!(char, '.' | ' ' | '-' | '+' | '[') { '_' } else { char }
}

/// Path and query with this parameter, and with no other that a server could read as it.
pub(super) fn with(path_and_query: &str, name: &str, value: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let wanted = canonical(name);
    let kept: Vec<String> = query.split('&').filter_map(|piece| without(piece, &wanted)).collect();
    let mut query = kept.join("&");
    if !query.is_empty() {
        query.push('&');
    }
    let added = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    format!("{path}?{query}{added}")
}

/// A piece between two `&`, without those of its parts between two `;` that have this name; none if none is left.
fn without(piece: &str, wanted: &str) -> Option<String> {
    let parts: Vec<&str> = piece.split(';').filter(|part| !is_named(part, wanted)).collect();
    (!parts.is_empty() && !piece.is_empty()).then(|| parts.join(";"))
}

/// True if a server could read the part as a parameter of this name.
fn is_named(part: &str, wanted: &str) -> bool {
    let mut name = Cow::Borrowed(part.split_once('=').map_or(part, |(name, _)| name));
    for _ in 0..READINGS {
        if canonical(&name) == wanted {
            return true;
        }
        name = Cow::Owned(decode(&name));
    }
    false
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_own_parameter_gives_way_in_every_spelling() {
        for (query, expected) in [
            ("", "api_key=k+1%26"),
            ("?", "api_key=k+1%26"),
            ("?q=a%20b&x", "q=a%20b&x&api_key=k+1%26"),
            ("?api_key=1", "api_key=k+1%26"),
            ("?api_key=1&api_key=2&a=b", "a=b&api_key=k+1%26"),
            ("?api_key", "api_key=k+1%26"),
            ("?API_KEY=1", "api_key=k+1%26"),
            ("?api-key=1", "api_key=k+1%26"),
            ("?api.key=1", "api_key=k+1%26"),
            ("?api+key=1", "api_key=k+1%26"),
            ("?api%20key=1", "api_key=k+1%26"),
            ("?+api_key=1", "api_key=k+1%26"),
            ("?%61pi_key=1", "api_key=k+1%26"),
            ("?api%5Fkey=1", "api_key=k+1%26"),
            ("?api%255fkey=1", "api_key=k+1%26"),
            ("?api_key[]=1", "api_key=k+1%26"),
            ("?api_key%5B0%5D=1", "api_key=k+1%26"),
            ("?api[key=1", "api_key=k+1%26"),
            ("?api_key%00x=1", "api_key=k+1%26"),
            ("?a=b;api_key=1;c=d", "a=b;c=d&api_key=k+1%26"),
            ("?url=%2F%3Fapi_key%3D1%26api_key%3D2", "url=%2F%3Fapi_key%3D1%26api_key%3D2&api_key=k+1%26"),
            ("?my_api_key=1&api_keys=2", "my_api_key=1&api_keys=2&api_key=k+1%26"),
            ("?a=api_key", "a=api_key&api_key=k+1%26"),
            ("?a&&b", "a&b&api_key=k+1%26"),
        ] {
            let found = with(&format!("/v1{query}"), "api_key", "k 1&");
            assert_eq!(found, format!("/v1?{expected}"), "{query}");
        }
    }
}
