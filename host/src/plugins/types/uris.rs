//! The URIs of a resource template (RFC 6570).
//!
//! `{name}` is anything without a slash, and any other expression anything at all: the plugin decides, this only finds
//! it. A URI is looked at once for each expression, whatever the template is.

/// Expressions of one template.
const MAX_EXPRESSIONS: usize = 8;

/// The URIs of a template.
#[derive(Debug)]
pub(in crate::plugins) struct UriPattern {
    /// The text before the first expression.
    start: String,
    /// The expressions, each with the text behind it.
    rest: Vec<(Expression, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expression {
    /// One or more characters, and no slash.
    Segment,
    /// Anything, or nothing.
    Anything,
}

impl UriPattern {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(in crate::plugins) fn of(template: &str) -> Result<Self, String> {
        let mut parts = template.split('{');
        let start = parts.next().unwrap_or_default().to_owned();
        let mut rest = Vec::new();
        for part in parts {
            let Some((expression, literal)) = part.split_once('}') else {
                return Err("a `{` without its `}`".to_owned());
            };
            let is_simple = !expression.is_empty()
                && expression.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
            let expression = if is_simple { Expression::Segment } else { Expression::Anything };
            rest.push((expression, literal.to_owned()));
        }
        if rest.len() > MAX_EXPRESSIONS {
            return Err(format!("more than {MAX_EXPRESSIONS} expressions"));
        }
        Ok(Self { start, rest })
    }

    /// Bytes of its URIs that are always the same.
    pub(in crate::plugins) fn literal_bytes(&self) -> usize {
        self.start.len() + self.rest.iter().map(|(_, literal)| literal.len()).sum::<usize>()
    }

    /// Tells whether a URI could be one of both, sometimes where there is none: two templates whose fixed beginnings or
    /// ends differ have none, nor have two of plain names with different numbers of slashes.
    pub(in crate::plugins) fn may_meet(&self, other: &Self) -> bool {
        let (Some((_, end)), Some((_, other_end))) = (self.rest.last(), other.rest.last()) else {
            return if self.rest.is_empty() { other.fits(&self.start) } else { self.fits(&other.start) };
        };
        let begin_alike = self.start.starts_with(&other.start) || other.start.starts_with(&self.start);
        let end_alike = end.ends_with(other_end) || other_end.ends_with(end);
        let have_as_many_slashes = self.slashes().zip(other.slashes()).is_none_or(|(one, other)| one == other);
        begin_alike && end_alike && have_as_many_slashes
    }

    /// Slashes in each of its URIs, if all have as many.
    fn slashes(&self) -> Option<usize> {
        let is_fixed = self.rest.iter().all(|(expression, _)| *expression == Expression::Segment);
        let literals = std::iter::once(&self.start).chain(self.rest.iter().map(|(_, literal)| literal));
        is_fixed.then(|| literals.map(|literal| literal.matches('/').count()).sum())
    }

    /// Tells whether this could be one of its URIs.
    pub(in crate::plugins) fn fits(&self, uri: &str) -> bool {
        let uri = uri.as_bytes();
        if !uri.starts_with(self.start.as_bytes()) {
            return false;
        }
        // The places up to which the parts so far may reach.
        let mut reached = vec![false; uri.len() + 1];
        reached[self.start.len()] = true;
        for (expression, literal) in &self.rest {
            let mut within = false;
            let mut next = vec![false; uri.len() + 1];
            for end in 0..=uri.len() {
                within = match expression {
                    Expression::Anything => within || reached[end],
                    Expression::Segment => end > 0 && uri[end - 1] != b'/' && (within || reached[end - 1]),
                };
                if within && uri[end..].starts_with(literal.as_bytes()) {
                    next[end + literal.len()] = true;
                }
            }
            reached = next;
        }
        reached[uri.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_find_their_uris() {
        let cases = [
            ("test://template/{id}/data", "test://template/123/data", true),
            ("test://template/{id}/data", "test://template/1/2/data", false),
            ("test://template/{id}/data", "test://template//data", false),
            ("test://{a}{b}", "test://x", false),
            ("test://{a}{b}", "test://xy", true),
            ("test://{a}-{b}", "test://x-y-z", true),
            ("test://{a}-{b}", "test://-y", false),
            ("files://{+path}", "files://a/b/c", true),
            ("files://{+path}", "files://", true),
            ("files://{+path}/end", "files://a/end/b/end", true),
            ("a://b.c/{x}", "a://bxc/1", false),
            ("a://b{?q}", "a://b?q=1", true),
            ("a://b", "a://b", true),
            ("a://b", "a://bc", false),
            ("a://{é}/ü", "a://ß/ü", true),
        ];
        for (template, uri, fits) in cases {
            assert_eq!(UriPattern::of(template).unwrap().fits(uri), fits, "{template} {uri}");
        }
        let meet = |one, other| {
            let [one, other] = [one, other].map(|template| UriPattern::of(template).unwrap());
            assert_eq!(one.may_meet(&other), other.may_meet(&one));
            one.may_meet(&other)
        };
        assert!(
            meet("n://s/{of}", "n://s/{of}1") && meet("n://s/{of}", "n://{all}/{of}") && meet("n://{+x}", "n://s/{y}")
        );
        assert!(meet("n://s/{of}", "n://s/4") && meet("n://s", "n://s"));
        assert!(!meet("n://s/{of}", "n://t/{of}") && !meet("n://{x}/a", "n://{x}/b") && !meet("n://{x}", "n://s/{y}"));
        assert!(!meet("n://s/{of}", "n://s/4/5") && !meet("n://s", "n://t"));
        assert!(UriPattern::of("a://{b").is_err());
        assert!(UriPattern::of(&"{a}".repeat(9)).is_err());
        let bytes = |template| UriPattern::of(template).unwrap().literal_bytes();
        assert!(bytes("a://b/{c}/d") > bytes("a://{+all}"));
    }
}
