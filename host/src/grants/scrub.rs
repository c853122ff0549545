//! The net under credentials: their values, where an answer holds them, become `*`, byte for byte.
//!
//! A service that echoes its request would otherwise hand the guest what it must not hold. A value is found as it is, in
//! base64 of any alignment (both alphabets), with any of its characters written as `%XX`, as a JSON or an HTML escape,
//! and base64 with those as well. The length stays, so that `Content-Length` and offsets do too. It is a net and no
//! wall: a service that is made to encode the value otherwise gets it through.
//!
//! Values under [`MIN_BYTES`] are left alone: they would be found in text that has nothing to do with them.

use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::secret::Secret;

/// The shortest value that is looked for.
pub const MIN_BYTES: usize = 16;

/// The text in place of each byte.
const MASK: u8 = b'*';

/// Values to find, in all of their forms. Made once for an entry.
#[derive(Clone, Default)]
pub struct Net {
    patterns: Vec<Pattern>,
    beginnings: Pairs,
}

/// The first two bytes of every form of every value, as a set: few texts have any of them, so that nearly all are let
/// through at once. Empty, it takes no memory.
#[derive(Clone, Default)]
struct Pairs(Vec<u64>);

/// A bit for every two bytes.
const PAIR_WORDS: usize = (1 << 16) / 64;

impl Pairs {
    fn place(first: u8, second: u8) -> (usize, u64) {
        let pair = usize::from(first) << 8 | usize::from(second);
        (pair / 64, 1 << (pair % 64))
    }

    fn add(&mut self, first: u8, second: u8) {
        let (word, bit) = Self::place(first, second);
        self.0.resize(PAIR_WORDS, 0);
        self.0[word] |= bit;
    }

    fn contains(&self, first: u8, second: u8) -> bool {
        let (word, bit) = Self::place(first, second);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

/// A text to find, character by character.
type Pattern = Vec<Letter>;

/// One character, in all of its spellings.
#[derive(Clone)]
struct Letter {
    /// Each as it is compared: in small letters, if it is an escape.
    spellings: Vec<Spelling>,
}

#[derive(Clone)]
struct Spelling {
    bytes: Vec<u8>,
    /// True where the hexadecimal digits of an escape may be in capitals.
    is_escape: bool,
}

/// The place of a pattern in a text.
enum Found {
    No,
    /// The text ends before it can be told.
    Undecided,
    /// It is there, and ends before this place.
    Until(usize),
}

impl Net {
    /// A net for these values.
    pub fn new(secrets: &[Secret]) -> Self {
        let long = secrets.iter().map(Secret::reveal).filter(|text| text.len() >= MIN_BYTES);
        let mut patterns: Vec<Pattern> = Vec::new();
        for text in long {
            patterns.push(text.chars().map(|char| Letter::of(char, &[char])).collect());
            patterns.extend((0..3).map(|alignment| base64_pattern(text.as_bytes(), alignment)));
        }
        let mut beginnings = Pairs::default();
        for pattern in &patterns {
            let mut letters = pattern.iter().map(|letter| letter.spellings.as_slice());
            let (first, second) = (letters.next().unwrap_or_default(), letters.next().unwrap_or_default());
            for spelling in first {
                let following: Vec<u8> = match spelling.bytes.get(1) {
                    Some(byte) => vec![*byte],
                    None => second.iter().map(|spelling| spelling.bytes[0]).collect(),
                };
                for byte in following.iter().flat_map(|byte| [*byte, byte.to_ascii_uppercase()]) {
                    beginnings.add(spelling.bytes[0], byte);
                }
            }
        }
        Self { patterns, beginnings }
    }

    /// True if there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// A text of which all is there, such as the value of a header.
    pub fn scrub(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut scrubbed = stream.push(text);
        scrubbed.extend(stream.finish());
        scrubbed
    }

    /// A text that comes in pieces.
    pub fn stream(&self) -> Scrubber<&Self> {
        Scrubber::new(self)
    }

    fn find(&self, text: &[u8], is_whole: bool) -> Found {
        let mut found = Found::No;
        for pattern in &self.patterns {
            match (find(pattern, text, is_whole), &found) {
                (Found::Undecided, _) => return Found::Undecided,
                (Found::Until(end), Found::Until(other)) if end <= *other => {}
                (Found::Until(end), _) => found = Found::Until(end),
                (Found::No, _) => {}
            }
        }
        found
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net(..)")
    }
}

/// A text that comes in pieces. What may be the beginning of a value is held back until it can be told.
#[derive(Debug)]
pub struct Scrubber<N> {
    net: N,
    /// Bytes that were not given on yet.
    held: Vec<u8>,
    /// So many of them, at the beginning, are of a value that was found.
    masked: usize,
}

impl<N: Deref<Target = Net>> Scrubber<N> {
    /// Looks for the values of this net.
    pub fn new(net: N) -> Self {
        Self { net, held: Vec::new(), masked: 0 }
    }

    /// Takes a piece, and gives what can be given on.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        self.advance(false)
    }

    /// Gives the rest, when nothing more comes.
    pub fn finish(mut self) -> Vec<u8> {
        self.advance(true)
    }

    fn advance(&mut self, is_whole: bool) -> Vec<u8> {
        let mut given = Vec::with_capacity(self.held.len());
        // Every place is looked at, also within a value: another may begin there.
        let mut at = 0;
        while let Some(byte) = self.held.get(at) {
            let may_begin = match self.held.get(at + 1) {
                Some(next) => self.net.beginnings.contains(*byte, *next),
                None => true,
            };
            if may_begin {
                match self.net.find(&self.held[at..], is_whole) {
                    Found::No => {}
                    Found::Undecided => break,
                    Found::Until(length) => self.masked = self.masked.max(at + length),
                }
            }
            given.push(if at < self.masked { MASK } else { *byte });
            at += 1;
        }
        self.held.drain(..at);
        self.masked = self.masked.saturating_sub(at);
        given
    }
}

/// Looks for a pattern at the beginning of a text. Escapes make several readings of one text possible, so all places
/// that a part of the pattern can end at are followed.
fn find(pattern: &Pattern, text: &[u8], is_whole: bool) -> Found {
    // Nearly every text ends here, without any memory.
    let may_begin = |letter: &Letter| letter.spellings.iter().any(|it| !matches!(it.begins(text), Begins::Not));
    if !pattern.first().is_some_and(may_begin) {
        return Found::No;
    }
    let mut places = vec![0];
    for letter in pattern {
        let mut next: Vec<usize> = Vec::new();
        for place in &places {
            for spelling in &letter.spellings {
                match spelling.begins(&text[*place..]) {
                    Begins::Whole => next.push(place + spelling.bytes.len()),
                    Begins::Cut if !is_whole => return Found::Undecided,
                    Begins::Cut | Begins::Not => {}
                }
            }
        }
        next.sort_unstable();
        next.dedup();
        if next.is_empty() {
            return Found::No;
        }
        places = next;
    }
    places.last().map_or(Found::No, |end| Found::Until(*end))
}

enum Begins {
    Whole,
    /// The text is a beginning of it.
    Cut,
    Not,
}

impl Spelling {
    fn begins(&self, text: &[u8]) -> Begins {
        let is_same =
            |(mine, other): (&u8, &u8)| mine == other || (self.is_escape && *mine == other.to_ascii_lowercase());
        match self.bytes.iter().zip(text).all(is_same) {
            false => Begins::Not,
            true if text.len() >= self.bytes.len() => Begins::Whole,
            true => Begins::Cut,
        }
    }
}

impl Letter {
    /// A character, which may also come as any of these.
    fn of(char: char, alternatives: &[char]) -> Self {
        let mut spellings = Vec::new();
        let mut escape = |text: String| spellings.push(Spelling { bytes: text.into_bytes(), is_escape: true });
        for char in alternatives {
            let percent: String = char.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02x}")).collect();
            escape(percent.replace('%', "%25"));
            escape(percent);
            escape(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect());
            escape(format!("&#{};", u32::from(*char)));
            escape(format!("&#x{:x};", u32::from(*char)));
        }
        let short = match char {
            '"' => &["\\\"", "&quot;"][..],
            '\\' => &["\\\\"],
            '/' => &["\\/"],
            '&' => &["&amp;"],
            '<' => &["&lt;"],
            '>' => &["&gt;"],
            '\t' => &["\\t"],
            ' ' => &["+"],
            _ => &[],
        };
        let plain = alternatives.iter().map(char::to_string).chain(short.iter().map(|text| (*text).to_owned()));
        spellings.extend(plain.map(|text| Spelling { bytes: text.into_bytes(), is_escape: false }));
        Self { spellings }
    }
}

/// The middle of a value's base64, when so many bytes of something else come before it in a group of three: those
/// characters in which no other byte has a part.
fn base64_pattern(secret: &[u8], alignment: usize) -> Pattern {
    let padded: Vec<u8> = std::iter::repeat_n(0, alignment).chain(secret.iter().copied()).collect();
    let encoded = STANDARD_NO_PAD.encode(&padded);
    let (begin, end) = ((alignment * 8).div_ceil(6), padded.len() * 8 / 6);
    let letter = |char| match char {
        '+' => Letter::of('+', &['+', '-']),
        '/' => Letter::of('/', &['/', '_']),
        char => Letter::of(char, &[char]),
    };
    encoded[begin..end].chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    /// With signs that every encoding treats in its own way.
    const VALUE: &str = "sk-4f/9+Z\"q&7=_é~%41x";

    fn net(values: &[&str]) -> Net {
        Net::new(&values.iter().map(|value| Secret::new((*value).to_owned())).collect::<Vec<_>>())
    }

    fn scrubbed(values: &[&str], text: &str) -> String {
        String::from_utf8(net(values).scrub(text.as_bytes())).unwrap()
    }

    fn percent(text: &str, is_escaped: fn(u8) -> bool) -> String {
        text.bytes().fold(String::new(), |text, byte| match is_escaped(byte) {
            true => text + &format!("%{byte:02X}"),
            false => text + &char::from(byte).to_string(),
        })
    }

    fn forms() -> Vec<String> {
        let mut forms = vec![
            VALUE.to_owned(),
            percent(VALUE, |_| true),
            percent(VALUE, |_| true).to_lowercase(),
            percent(VALUE, |byte| !byte.is_ascii_alphanumeric()),
            percent(&percent(VALUE, |byte| !byte.is_ascii_alphanumeric()), |byte| byte == b'%'),
            url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect(),
            serde_json::to_string(VALUE).unwrap().trim_matches('"').to_owned(),
            serde_json::to_string(VALUE).unwrap()[1..].trim_end_matches('"').replace('/', "\\/"),
            VALUE.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect(),
            VALUE.replace('&', "&amp;").replace('"', "&quot;"),
            VALUE.replace('&', "&#38;").replace('"', "&#X22;"),
        ];
        for before in ["", "u", "us", "user:", "a long user:"] {
            for after in ["", "x", "xy"] {
                let text = format!("{before}{VALUE}{after}");
                forms.push(STANDARD.encode(&text));
                forms.push(URL_SAFE.encode(&text));
                forms.push(percent(&STANDARD.encode(&text), |byte| !byte.is_ascii_alphanumeric()));
                forms.push(STANDARD.encode(&text).replace('/', "\\/"));
            }
        }
        forms
    }

    #[test]
    fn a_value_is_found_in_all_of_its_forms() {
        for form in forms() {
            let text = format!("before {form} after");
            let scrubbed = net(&[VALUE]).scrub(text.as_bytes());
            assert_eq!(scrubbed.len(), text.len(), "{form}");
            let shown = String::from_utf8(scrubbed).unwrap();
            assert!(shown.starts_with("before ") && shown.ends_with(" after"), "{shown}");
            // In base64 the characters at the ends are of other bytes too.
            let plain = shown.bytes().zip(text.bytes()).filter(|(one, other)| one == other).count();
            let kept = "before  after".len();
            let is_base64 = STANDARD.decode(&form).is_ok() || plain > kept;
            assert!(plain == kept || (is_base64 && shown.contains(&"*".repeat(VALUE.len()))), "{form}: {shown}");
        }
    }

    #[test]
    fn text_without_it_stays() {
        for text in ["", "sk-4f/9+Z", "nothing here", "%", "\\u", "&#", "sk-4f%2f9%2", "%73%6b%2d%34%66\\"] {
            assert_eq!(scrubbed(&[VALUE], text), text);
        }
    }

    #[test]
    fn one_after_the_other_and_within_each_other() {
        let (one, other) = ("0123456789abcdef", "89abcdef01234567");
        assert_eq!(scrubbed(&[one], &format!("{one}{one}x{one}")), format!("{}x{}", "*".repeat(32), "*".repeat(16)));
        assert_eq!(scrubbed(&[one, other], "0123456789abcdef01234567!"), format!("{}!", "*".repeat(24)));
        assert_eq!(scrubbed(&[one, &format!("{one}more")], &format!("{one}more.")), format!("{}.", "*".repeat(20)));
        assert_eq!(scrubbed(&["aaaaaaaaaaaaaaaa"], &"a".repeat(20)), "*".repeat(20));
    }

    #[test]
    fn short_values_are_left_alone() {
        assert!(net(&["fifteen letters"]).is_empty());
        assert_eq!(scrubbed(&["fifteen letters"], "fifteen letters"), "fifteen letters");
        assert!(!net(&["sixteen letters!"]).is_empty());
    }

    #[test]
    fn what_cannot_be_a_value_is_not_held_back() {
        let net = net(&[VALUE]);
        let mut stream = net.stream();
        assert_eq!(stream.push(b"data: 1\n\n"), b"data: 1\n\n");
        assert_eq!(stream.push(b"data: sk-4"), b"data: ");
        assert_eq!(stream.push(b"\n\n"), b"sk-4\n\n");
        assert_eq!(stream.finish(), b"");
    }

    #[test]
    fn a_net_shows_nothing() {
        let net = net(&[VALUE]);
        assert_eq!(format!("{net:?}"), "Net(..)");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec((any::<proptest::sample::Index>(), "[a-z%\\\\&]{0,6}"), 1..4),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
            end in any::<proptest::sample::Index>(),
        ) {
            let forms = forms();
            let mut text: Vec<u8> =
                parts.iter().flat_map(|(form, other)| [form.get(&forms).as_str(), other]).collect::<String>().into_bytes();
            text.truncate(end.index(text.len() + 1));
            let net = net(&[VALUE, "another value, of 29 letters."]);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut stream = net.stream();
            let mut given: Vec<u8> = cuts.windows(2).flat_map(|cut| stream.push(&text[cut[0]..cut[1]])).collect();
            given.extend(stream.finish());
            prop_assert_eq!(given, net.scrub(&text));
        }
    }
}
