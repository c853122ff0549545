//! Values that are written as a string, and their schemas.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{Schema, json_schema};

/// The reason for which a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub(super) Cow<'static, str>);

impl From<&'static str> for InvalidValue {
    fn from(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }
}

impl From<String> for InvalidValue {
    fn from(reason: String) -> Self {
        Self(Cow::Owned(reason))
    }
}

/// A value that is written as a string. Reading what it displays gives it back.
pub(super) trait Text: FromStr<Err: fmt::Display> + fmt::Display + PartialEq + Sized {
    /// The name of the type, with its article, for "expected …, got …".
    const WHAT: &'static str;
    /// A value that fits.
    const EXAMPLE: &'static str;
    /// A regular expression that every fitting text matches whole.
    const PATTERN: &'static str = ".*";
    /// True where white space at the ends of a variable counts; elsewhere it comes from copying the value.
    const IS_VERBATIM: bool = false;

    /// The value where the file names a variable in it: what may hold a secret then is not shown.
    fn with_variable(self) -> Self {
        self
    }

    /// The expected value, with the example.
    fn expected() -> String {
        format!("{} such as {:?}", Self::WHAT, Self::EXAMPLE)
    }
}

/// The schema of a string in the file: the pattern, or anything with a `${…}`, which only the host can resolve.
pub(super) fn schema<T: Text>() -> Schema {
    let mut schema = json_schema!({ "type": "string", "examples": [T::EXAMPLE] });
    if T::PATTERN != ".*" {
        schema.insert("pattern".to_owned(), format!(r"^(?:{})$|\$\{{", T::PATTERN).into());
    }
    schema
}

/// Gives types that are [`Text`] their JSON schema.
macro_rules! text_schema {
    ($($type:ident),* $(,)?) => {$(
        $crate::config::schema::inline_schema!($type => $crate::config::text::schema::<$type>());
    )*};
}
pub(super) use text_schema;

/// Declares a name: a text that a function has accepted, and perhaps respelled.
macro_rules! name {
    ($(#[$about:meta])* pub struct $name:ident = $accept:path, $what:literal, $example:literal, $pattern:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::config::text::InvalidValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $accept(text).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::config::text::Text for $name {
            const WHAT: &'static str = $what;
            const EXAMPLE: &'static str = $example;
            const PATTERN: &'static str = $pattern;
        }
        $crate::config::text::text_schema!($name);
    };
}
pub(super) use name;

/// Declares an enum whose cases are written as fixed words.
macro_rules! choice {
    ($(#[$about:meta])* pub enum $name:ident { $( $(#[$doc:meta])* $case:ident = $word:literal, )* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$doc])* $case, )* }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $( Self::$case => $word, )* })
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::config::text::InvalidValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $word => Ok(Self::$case), )*
                    other => Err($crate::config::text::not_one_of(other, &[$($word),*])),
                }
            }
        }

        impl $crate::config::text::Text for $name {
            const WHAT: &'static str = concat!("one of", $(" `", $word, "`",)* ",");
            const EXAMPLE: &'static str = [$($word),*][0];
            const PATTERN: &'static str = $crate::config::text::alternatives!($($word),*);
        }
        $crate::config::text::text_schema!($name);
    };
}
pub(super) use choice;

macro_rules! alternatives {
    ($first:literal $(, $more:literal)*) => { concat!($first, $("|", $more),*) };
}
pub(super) use alternatives;

/// The reason for a word that is not among the known ones.
pub(super) fn not_one_of(word: &str, known: &[&str]) -> InvalidValue {
    match super::problem::nearest(word, known.iter().copied()) {
        Some(nearest) => format!("did you mean {nearest:?}?").into(),
        None => format!("expected one of {}", known.join(", ")).into(),
    }
}

impl Text for String {
    const WHAT: &'static str = "a string";
    const EXAMPLE: &'static str = "text";
    const IS_VERBATIM: bool = true;

    fn expected() -> String {
        Self::WHAT.to_owned()
    }
}
