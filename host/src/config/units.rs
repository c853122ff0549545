//! Times and sizes, always written with their units, and counts.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::schema::inline_schema;
use super::text::{InvalidValue, Text, text_schema};

/// Units of time in milliseconds, the longest first.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest period, a hundred years: a clock to which one is added does not overflow.
const MAX_PERIOD_MS: u64 = 36_500 * 86_400_000;

/// Units of size in bytes. Of those that divide a size, the first displays it.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A span of time in whole milliseconds: `"30s"`, `"1h30m"`, `"250ms"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// The time itself.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// Rounds down to whole milliseconds.
impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(Duration::from_millis(milliseconds.min(MAX_PERIOD_MS)))
    }
}

impl FromStr for Period {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut milliseconds: u64 = 0;
        let mut rest = text;
        let mut smallest = u64::MAX;
        while !rest.is_empty() || text.is_empty() {
            let (number, unit, after) = number_with_unit(rest)?;
            let factor = factor(unit, &TIME_UNITS)?;
            if factor >= smallest {
                return Err("the longer unit comes first, and each only once, as in \"1h30m\"".into());
            }
            smallest = factor;
            milliseconds = number
                .checked_mul(factor)
                .and_then(|part| milliseconds.checked_add(part))
                .filter(|sum| *sum <= MAX_PERIOD_MS)
                .ok_or("longer than a hundred years")?;
            rest = after;
        }
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.0.as_millis();
        for (unit, factor) in TIME_UNITS {
            let factor = u128::from(factor);
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl Text for Period {
    const WHAT: &'static str = "a duration";
    const EXAMPLE: &'static str = "30s";
    const PATTERN: &'static str = "([0-9]+(d|h|m|s|ms))+";
}

/// A number of bytes: `"64MiB"`, `"8MB"`, `"512KiB"`, `"1000B"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of so many bytes.
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (number, unit, rest) = number_with_unit(text)?;
        if !rest.is_empty() {
            return Err("a size is one number with one unit".into());
        }
        let factor = factor(unit, &SIZE_UNITS)?;
        let bytes = number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok());
        Ok(Self(bytes.ok_or("more than any memory or disk holds")?))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = SIZE_UNITS.iter().find(divides).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Text for ByteSize {
    const WHAT: &'static str = "a size";
    const EXAMPLE: &'static str = "64MiB";
    const PATTERN: &'static str = "[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)";
}

text_schema!(Period, ByteSize);

/// A number of things, a million at most, so that it fits every queue and semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(u32);

impl Count {
    const MAX: u32 = 1_000_000;

    /// The number itself.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl From<Count> for u32 {
    fn from(count: Count) -> Self {
        count.0
    }
}

impl From<Positive<Count>> for u32 {
    fn from(count: Positive<Count>) -> Self {
        (*count).into()
    }
}

impl TryFrom<i64> for Count {
    type Error = InvalidValue;

    fn try_from(number: i64) -> Result<Self, InvalidValue> {
        let number = u32::try_from(number).ok().filter(|number| *number <= Self::MAX);
        Ok(Self(number.ok_or("must be between 0 and 1000000")?))
    }
}

impl FromStr for Count {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let number: i64 = text.parse().map_err(|_| "expected a whole number")?;
        number.try_into()
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

inline_schema!(Count => json_schema!({ "type": "integer", "minimum": 0, "maximum": Count::MAX }));

/// Calls in a span of time: `"60/min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    calls: u32,
    unit: &'static str,
}

/// Units of a rate in seconds.
const RATE_UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];

impl Rate {
    /// The calls of one span, a million at most.
    pub fn calls(self) -> u32 {
        self.calls
    }

    /// The span.
    pub fn span(self) -> Duration {
        let unit = RATE_UNITS.iter().find(|(unit, _)| *unit == self.unit);
        Duration::from_secs(unit.map_or(1, |(_, seconds)| *seconds))
    }
}

impl FromStr for Rate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (calls, unit) = text.split_once('/').ok_or("expected a rate such as \"60/min\"")?;
        let is_number = !calls.is_empty() && calls.bytes().all(|byte| byte.is_ascii_digit());
        let calls = calls.parse().ok().filter(|calls| is_number && (1..=Count::MAX).contains(calls));
        let known = RATE_UNITS.iter().find(|(known, _)| *known == unit);
        Ok(Self {
            calls: calls.ok_or("the number of calls must be between 1 and 1000000")?,
            unit: known.ok_or("a rate is for one of s, min, h, d")?.0,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.calls, self.unit)
    }
}

impl Text for Rate {
    const WHAT: &'static str = "a rate";
    const EXAMPLE: &'static str = "60/min";
    const PATTERN: &'static str = "[0-9]+/(s|min|h|d)";
}

text_schema!(Rate);

/// A bound, or `"unlimited"` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<T>(Option<T>);

/// The word for no bound.
const UNLIMITED: &str = "unlimited";

impl<T: Copy> Bound<T> {
    /// The bound, if there is one.
    pub fn get(self) -> Option<T> {
        self.0
    }
}

impl<T: FromStr<Err = InvalidValue>> FromStr for Bound<T> {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        text.parse()
            .map(|bound| Self(Some(bound)))
            .map_err(|error: InvalidValue| format!("{error}; or \"{UNLIMITED}\"").into())
    }
}

impl<T: fmt::Display> fmt::Display for Bound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(bound) => bound.fmt(f),
            None => f.write_str(UNLIMITED),
        }
    }
}

impl<T: Text + FromStr<Err = InvalidValue>> Text for Bound<T> {
    const WHAT: &'static str = T::WHAT;
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn expected() -> String {
        format!("{}, or \"{UNLIMITED}\"", T::expected())
    }
}

impl<T: Text> JsonSchema for Bound<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Bound{}", T::WHAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = super::text::schema::<T>();
        schema.insert("pattern".to_owned(), format!(r"^(?:{UNLIMITED}|{})$|\$\{{", T::PATTERN).into());
        schema
    }
}

/// A quantity that may be zero.
pub(super) trait Quantity: JsonSchema {
    fn is_zero(&self) -> bool;
}

impl Quantity for Period {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl Quantity for ByteSize {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Quantity for Count {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// A period, size or count that is more than zero, since zero would stop what it bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Positive<Q>(Q);

impl<Q> Positive<Q> {
    pub(super) fn new(quantity: Q) -> Result<Self, InvalidValue>
    where
        Q: Quantity,
    {
        if quantity.is_zero() {
            return Err("must be more than zero".into());
        }
        Ok(Self(quantity))
    }
}

impl<Q> Deref for Positive<Q> {
    type Target = Q;

    fn deref(&self) -> &Q {
        &self.0
    }
}

impl<Q: Quantity + FromStr<Err = InvalidValue>> FromStr for Positive<Q> {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text.parse()?)
    }
}

impl<Q: fmt::Display> fmt::Display for Positive<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<Q: JsonSchema> JsonSchema for Positive<Q> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Positive{}", Q::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Q::json_schema(generator);
        if let Some(minimum) = schema.get_mut("minimum") {
            *minimum = 1.into();
        }
        schema
    }
}

/// Splits the first number and its unit off a text.
fn number_with_unit(text: &str) -> Result<(u64, &str, &str), InvalidValue> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    if number.is_empty() {
        return Err("expected a whole number with a unit".into());
    }
    let number = number.parse().map_err(|_| "the number is too large")?;
    Ok((number, unit, rest))
}

fn factor(unit: &str, units: &[(&str, u64)]) -> Result<u64, InvalidValue> {
    let known = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Ok(*factor),
        None if unit.is_empty() => Err(format!("a unit is missing: one of {}", known()).into()),
        None => Err(format!("unknown unit `{unit}`: one of {}", known()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text; gives what it displays as, after checking that this reads back as the same.
    fn shown<T: FromStr<Err = InvalidValue> + fmt::Display + PartialEq + fmt::Debug>(
        text: &str,
    ) -> Result<String, String> {
        let value: T = text.parse().map_err(|error: InvalidValue| error.to_string())?;
        assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(&value), "{text}");
        Ok(value.to_string())
    }

    #[test]
    fn periods() {
        for (text, expected) in [
            ("30s", Ok("30s")),
            ("90s", Ok("1m30s")),
            ("1h30m", Ok("1h30m")),
            ("250ms", Ok("250ms")),
            ("7d", Ok("7d")),
            ("0s", Ok("0s")),
            ("36500d", Ok("36500d")),
            ("36501d", Err("longer than a hundred years")),
            ("99999999999999999d", Err("longer than a hundred years")),
            ("", Err("expected a whole number with a unit")),
            ("s", Err("expected a whole number with a unit")),
            ("-1s", Err("expected a whole number with a unit")),
            ("30", Err("a unit is missing: one of d, h, m, s, ms")),
            ("1.5h", Err("a unit is missing: one of d, h, m, s, ms")),
            ("30sec", Err("unknown unit `sec`: one of d, h, m, s, ms")),
            ("30m1h", Err("the longer unit comes first, and each only once, as in \"1h30m\"")),
            ("1s1s", Err("the longer unit comes first, and each only once, as in \"1h30m\"")),
        ] {
            assert_eq!(shown::<Period>(text), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        assert_eq!("1h30m".parse::<Period>().unwrap().duration(), Duration::from_secs(5400));
    }

    #[test]
    fn sizes() {
        let units = "one of GiB, MiB, KiB, GB, MB, KB, B";
        for (text, expected) in [
            ("64MiB", Ok("64MiB")),
            ("8MB", Ok("8MB")),
            ("512KiB", Ok("512KiB")),
            ("1000B", Ok("1KB")),
            ("1024B", Ok("1KiB")),
            ("1025B", Ok("1025B")),
            ("0B", Ok("0B")),
            ("64", Err(format!("a unit is missing: {units}"))),
            ("64M", Err(format!("unknown unit `M`: {units}"))),
            ("1MiB1KiB", Err("a size is one number with one unit".to_owned())),
            ("99999999999GiB", Err("more than any memory or disk holds".to_owned())),
            ("99999999999999999999B", Err("the number is too large".to_owned())),
        ] {
            assert_eq!(shown::<ByteSize>(text), expected.map(str::to_owned), "{text}");
        }
        assert_eq!("64MiB".parse::<ByteSize>().unwrap().bytes(), 64 << 20);
    }

    #[test]
    fn rates() {
        let number = Err("the number of calls must be between 1 and 1000000; or \"unlimited\"");
        for (text, expected) in [
            ("60/min", Ok("60/min")),
            ("1/s", Ok("1/s")),
            ("1000000/d", Ok("1000000/d")),
            ("unlimited", Ok("unlimited")),
            ("0/min", number),
            ("-1/min", number),
            ("+1/min", number),
            ("/min", number),
            ("1000001/h", number),
            ("60", Err("expected a rate such as \"60/min\"; or \"unlimited\"")),
            ("60/m", Err("a rate is for one of s, min, h, d; or \"unlimited\"")),
            ("60 / min", number),
        ] {
            assert_eq!(shown::<Bound<Rate>>(text), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        let rate: Bound<Rate> = "60/min".parse().unwrap();
        let rate = rate.get().unwrap();
        assert_eq!((rate.calls(), rate.span()), (60, Duration::from_secs(60)));
        assert_eq!("unlimited".parse::<Bound<Period>>().unwrap().get(), None);
        assert_eq!(shown::<Bound<Period>>("200ms"), Ok("200ms".to_owned()));
    }

    #[test]
    fn positive_refuses_zero() {
        assert_eq!(shown::<Positive<Period>>("0ms"), Err("must be more than zero".to_owned()));
        assert_eq!(shown::<Positive<Count>>("0"), Err("must be more than zero".to_owned()));
        assert_eq!(shown::<Positive<Count>>("1"), Ok("1".to_owned()));
        assert_eq!(shown::<Count>("1000001"), Err("must be between 0 and 1000000".to_owned()));
    }
}
