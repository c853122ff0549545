//! Paths: the normal form that a granted prefix is compared with, and the signs that make a path mean two things.
//!
//! A server may take `%2f` for a slash, `\` for one, `//` for one or for two, and `..;` for `..`. Where a prefix is what
//! allows a request, a path with any of them is refused, since nobody here knows how that server reads it. Where the
//! whole host is granted, the path is sent as the guest wrote it.

use std::fmt;

/// The path and the query of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    /// As the guest wrote it, without the query; it begins with `/`.
    raw: String,
    /// Without the `?`.
    query: Option<String>,
    /// The normal form, if there is only one way to read the path.
    normal: Result<String, Doubt>,
}

/// The reason that a path could mean two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Doubt {
    /// `%2f` or `%5c`, also escaped once more.
    #[error("an escaped slash or backslash")]
    EscapedSlash,
    /// `%2e%2e` and the like, also escaped once more.
    #[error("an escaped dot segment")]
    EscapedDots,
    /// `\`.
    #[error("a backslash")]
    Backslash,
    /// `//`.
    #[error("an empty segment")]
    EmptySegment,
    /// `..;x`: some servers drop what follows the semicolon, and only then look at the dots.
    #[error("a dot segment with a parameter")]
    DotParameter,
    /// A `%` without two hexadecimal digits after it, or with those of a control character.
    #[error("an escape that is none")]
    BadEscape,
    /// Escapes that are no UTF-8: some decoders take `%c0%ae` for a dot.
    #[error("escapes that are no UTF-8")]
    BadUtf8,
}

/// The reason that a text is no path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path must begin with `/` and be made of visible ASCII characters, without `#`")]
pub struct InvalidPath;

impl RequestPath {
    /// Reads path and query of a request. An empty text is `/`.
    ///
    /// # Errors
    /// It is a whole URL or `*`, or has characters that no request line has.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(InvalidPath);
        }
        Ok(Self { raw: path.to_owned(), query: query.map(str::to_owned), normal: normal(path) })
    }

    /// The path as the guest wrote it.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The query, without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path without dot segments, with escapes for those characters only that need one.
    ///
    /// # Errors
    /// It could mean two things.
    pub fn normal(&self) -> Result<&str, Doubt> {
        self.normal.as_deref().map_err(|doubt| *doubt)
    }
}

/// A granted path and all below it. [`PathPrefix::any`] is every path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathPrefix(String);

/// The reason that a text is no granted path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It could mean two things.
    #[error("the path has {0}; write it without")]
    Doubt(Doubt),
    /// It has dot segments.
    #[error("the path has `.` or `..` in it; write the path that is meant")]
    Dots,
    /// It has characters that no path has.
    #[error("a path is made of visible ASCII characters; write others as `%..`")]
    Invalid,
    /// It has a wildcard.
    #[error("`*` is no wildcard in a path: all below it is granted anyway")]
    Wildcard,
}

impl PathPrefix {
    /// Every path.
    pub fn any() -> Self {
        Self("/".to_owned())
    }

    /// Reads a path as an operator writes it: `/v1` is that path and all below it, `/v1/` only what is below.
    ///
    /// # Errors
    /// It is not the one spelling of a path.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let path = RequestPath::parse(text).map_err(|InvalidPath| PrefixError::Invalid)?;
        if path.raw.contains('*') {
            return Err(PrefixError::Wildcard);
        }
        let normal = path.normal().map_err(PrefixError::Doubt)?;
        if path.raw.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(PrefixError::Dots);
        }
        Ok(Self(normal.to_owned()))
    }

    /// True if it restricts nothing.
    pub fn is_any(&self) -> bool {
        self.0 == "/"
    }

    /// True for a path at or below it, by whole segments.
    ///
    /// # Errors
    /// The path could mean two things, and this prefix would have to decide.
    pub fn matches(&self, path: &RequestPath) -> Result<bool, Doubt> {
        if self.is_any() {
            return Ok(true);
        }
        Ok(self.is_prefix_of(path.normal()?))
    }

    /// True if everything that `other` matches matches here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.is_any() || self.is_prefix_of(&other.0)
    }

    fn is_prefix_of(&self, path: &str) -> bool {
        match path.strip_prefix(&self.0) {
            Some(rest) => rest.is_empty() || self.0.ends_with('/') || rest.starts_with('/'),
            None => false,
        }
    }

    /// The longer, the more specific.
    pub(super) fn length(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The normal form of a path (RFC 3986 §6.2.2): unreserved characters are plain, escapes are in capitals, and there
/// are no dot segments.
fn normal(raw: &str) -> Result<String, Doubt> {
    if raw.contains('\\') {
        return Err(Doubt::Backslash);
    }
    let mut segments: Vec<String> = Vec::new();
    // The text before the first slash is empty.
    let mut rest = raw.split('/').skip(1).peekable();
    while let Some(raw) = rest.next() {
        let is_last = rest.peek().is_none();
        let segment = normal_segment(raw)?;
        match segment.as_str() {
            "." | ".." if raw.contains('%') => return Err(Doubt::EscapedDots),
            ".." => {
                segments.pop();
            }
            "." => {}
            "" if !is_last => return Err(Doubt::EmptySegment),
            segment if segment.starts_with(".;") || segment.starts_with("..;") => return Err(Doubt::DotParameter),
            _ => {
                segments.push(segment);
                continue;
            }
        }
        if is_last {
            segments.push(String::new());
        }
    }
    Ok(format!("/{}", segments.join("/")))
}

fn normal_segment(raw: &str) -> Result<String, Doubt> {
    let mut segment = String::with_capacity(raw.len());
    let mut escaped: Vec<u8> = Vec::new();
    let mut at = 0;
    let bytes = raw.as_bytes();
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            expect_utf8(&mut escaped)?;
            segment.push(char::from(*byte));
            at += 1;
            continue;
        }
        let value = escape(bytes, at).filter(|value| !value.is_ascii_control()).ok_or(Doubt::BadEscape)?;
        expect_plain_once_more(bytes, at, value)?;
        if value.is_ascii() {
            expect_utf8(&mut escaped)?;
        } else {
            escaped.push(value);
        }
        match value {
            value if is_unreserved(value) => segment.push(char::from(value)),
            value => segment.push_str(&format!("%{value:02X}")),
        }
        at += 3;
    }
    expect_utf8(&mut escaped)?;
    Ok(segment)
}

/// Refuses slashes, and what a second decoding would make one or a dot: `%252f`, `%25252e`.
fn expect_plain_once_more(bytes: &[u8], at: usize, value: u8) -> Result<(), Doubt> {
    if matches!(value, b'/' | b'\\') {
        return Err(Doubt::EscapedSlash);
    }
    if value != b'%' {
        return Ok(());
    }
    let mut digits = at + 3;
    while bytes[digits..].starts_with(b"25") {
        digits += 2;
    }
    let twice = [b'%'].into_iter().chain(bytes[digits..].iter().copied().take(2)).collect::<Vec<u8>>();
    match escape(&twice, 0) {
        Some(b'/' | b'\\') => Err(Doubt::EscapedSlash),
        Some(b'.') => Err(Doubt::EscapedDots),
        _ => Ok(()),
    }
}

/// Takes the bytes of a run of escapes, which must be UTF-8 as a whole.
fn expect_utf8(escaped: &mut Vec<u8>) -> Result<(), Doubt> {
    match String::from_utf8(std::mem::take(escaped)) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(()),
        _ => Err(Doubt::BadUtf8),
    }
}

/// The byte that `%XX` at this place stands for.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (high, low) = (digit(at + 1)?, digit(at + 2)?);
    u8::try_from(high * 16 + low).ok()
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_normal_form_or_none() {
        for (raw, expected) in [
            ("", Ok("/")),
            ("/", Ok("/")),
            ("?q=/../x", Ok("/")),
            ("/v1/items?x=%2f", Ok("/v1/items")),
            ("/v1/", Ok("/v1/")),
            ("/%76%31/%7Euser", Ok("/v1/~user")),
            ("/a%3ab/%c3%a9", Ok("/a%3Ab/%C3%A9")),
            ("/v1/../admin", Ok("/admin")),
            ("/v1/..", Ok("/")),
            ("/v1/x/..", Ok("/v1/")),
            ("/v1/.", Ok("/v1/")),
            ("/v1/./x", Ok("/v1/x")),
            ("/../../x", Ok("/x")),
            ("/...", Ok("/...")),
            ("/a;b=c", Ok("/a;b=c")),
            ("/v1%2fx", Err(Doubt::EscapedSlash)),
            ("/v1%5Cx", Err(Doubt::EscapedSlash)),
            ("/v1/%252fx", Err(Doubt::EscapedSlash)),
            ("/v1/%25255cx", Err(Doubt::EscapedSlash)),
            ("/v1/%2e%2e/x", Err(Doubt::EscapedDots)),
            ("/v1/.%2E/x", Err(Doubt::EscapedDots)),
            ("/v1/%2e/x", Err(Doubt::EscapedDots)),
            ("/v1/%252e%252e/x", Err(Doubt::EscapedDots)),
            ("/v1/..\\x", Err(Doubt::Backslash)),
            ("//v1", Err(Doubt::EmptySegment)),
            ("/v1//x", Err(Doubt::EmptySegment)),
            ("/v1/..;/x", Err(Doubt::DotParameter)),
            ("/v1/..;a=b/x", Err(Doubt::DotParameter)),
            ("/v1/%", Err(Doubt::BadEscape)),
            ("/v1/%zz", Err(Doubt::BadEscape)),
            ("/v1/%00", Err(Doubt::BadEscape)),
            ("/v1/%0d%0a", Err(Doubt::BadEscape)),
            ("/v1/%c0%ae%c0%ae/x", Err(Doubt::BadUtf8)),
            ("/v1/%c3x", Err(Doubt::BadUtf8)),
            ("/v1/%c2%85", Err(Doubt::BadUtf8)),
        ] {
            let path = RequestPath::parse(raw).unwrap();
            assert_eq!(path.normal(), expected, "{raw}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for raw in ["*", "v1", "https://a.example/", "/a b", "/a\r\nb", "/é", "/a#b", "/a?b#c", "/a?b c", "/\0"] {
            assert_eq!(RequestPath::parse(raw), Err(InvalidPath), "{raw:?}");
        }
    }

    #[test]
    fn prefixes_are_compared_by_segments() {
        for (prefix, path, expected) in [
            ("/", "/a/%2f//..;", Ok(true)),
            ("/v1", "/v1", Ok(true)),
            ("/v1", "/v1/", Ok(true)),
            ("/v1", "/v1/x", Ok(true)),
            ("/v1", "/v1?x", Ok(true)),
            ("/v1", "/v1x", Ok(false)),
            ("/v1", "/V1", Ok(false)),
            ("/v1", "/v1/../v2", Ok(false)),
            ("/v1", "/v2/../v1/x", Ok(true)),
            ("/v1", "/%76%31/x", Ok(true)),
            ("/v1", "/v1%2f..", Err(Doubt::EscapedSlash)),
            ("/v1", "/v1/../%2e%2e/x", Err(Doubt::EscapedDots)),
            ("/v1/", "/v1", Ok(false)),
            ("/v1/", "/v1/", Ok(true)),
            ("/v1/", "/v1/x", Ok(true)),
            ("/v1/", "/v1/..", Ok(false)),
        ] {
            let path = RequestPath::parse(path).unwrap();
            assert_eq!(PathPrefix::parse(prefix).unwrap().matches(&path), expected, "{prefix} {path:?}");
        }
    }

    #[test]
    fn a_granted_path_is_plain() {
        for (text, expected) in [
            ("/v1", Ok("/v1")),
            ("/%76%31/", Ok("/v1/")),
            ("/a%20b", Ok("/a%20b")),
            ("/v1/../x", Err(PrefixError::Dots)),
            ("/./x", Err(PrefixError::Dots)),
            ("/v1/*", Err(PrefixError::Wildcard)),
            ("/v1//x", Err(PrefixError::Doubt(Doubt::EmptySegment))),
            ("/v1%2fx", Err(PrefixError::Doubt(Doubt::EscapedSlash))),
            ("/é", Err(PrefixError::Invalid)),
        ] {
            let shown = PathPrefix::parse(text).map(|prefix| prefix.to_string());
            assert_eq!(shown.as_deref().map_err(|error| *error), expected, "{text}");
        }
    }

    #[test]
    fn a_prefix_covers_what_is_below_it() {
        let covers =
            |one: &str, other: &str| PathPrefix::parse(one).unwrap().covers(&PathPrefix::parse(other).unwrap());
        assert!(covers("/", "/v1") && covers("/v1", "/v1") && covers("/v1", "/v1/") && covers("/v1/", "/v1/x"));
        assert!(!covers("/v1", "/") && !covers("/v1/", "/v1") && !covers("/v1", "/v10"));
    }
}
