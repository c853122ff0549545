//! The one way to declare keys: a line for each, with its type, its default and its documentation.

/// Declares a table of the configuration: the struct, its JSON schema, and how it is read and compared.
///
/// Every key is one line, `name: Type = default`, under the comment that becomes its description in the schema. The
/// default is written as in JSON and is read like a value of the file, so that there is one form for both. A key
/// without a default is an `Option`, or must be given. A last line `..name: Type` takes in the keys of another table.
/// A key that begins with `@live` applies to a running server at once, with all that is below it; the others need a
/// restart.
macro_rules! table {
    ($(#[$about:meta])* pub struct $name:ident {
        $( $(#[$doc:meta])* $(@$live:ident)? $field:ident: $type:ty $(= $default:tt)?, )*
        $( ..$flat:ident: $flat_type:ty, )?
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            $( $(#[$doc])* $(#[schemars(extend("default" = $default))])? pub $field: $type, )*
            $(
                #[doc = concat!("The keys of [`", stringify!($flat_type), "`], in this same table.")]
                #[schemars(flatten)]
                pub $flat: $flat_type,
            )?
        }

        impl $name {
            pub(super) fn keys() -> Vec<&'static str> {
                [vec![$($crate::config::table::name(stringify!($field))),*] $(, <$flat_type>::keys())?].concat()
            }

            /// Reads all keys, even after one that cannot be read, so that all problems are found.
            fn read_keys(
                node: &$crate::config::document::Node,
                key: &$crate::config::key::Key,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                $(
                    let default = None::<$crate::config::document::Node>
                        $(.or_else(|| Some(serde_json::json!($default).into())))?;
                    let name = $crate::config::table::name(stringify!($field));
                    let $field = reader.field(node, &key.child(name), default.as_ref());
                )*
                $( let $flat = <$flat_type>::read_keys(node, key, reader); )?
                Some(Self { $( $field: $field?, )* $( $flat: $flat?, )? })
            }
        }

        impl $crate::config::reader::Setting for $name {
            const SHAPE: $crate::config::reader::Shape = $crate::config::reader::Shape::Table;

            fn read(
                node: &$crate::config::document::Node,
                key: &$crate::config::key::Key,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                if !reader.expect_table(node, key, &Self::keys()) {
                    return None;
                }
                Self::read_keys(node, key, reader)
            }

            fn reload(&mut self, new: Self, key: &$crate::config::key::Key, waiting: &mut Vec<$crate::config::key::Key>) {
                $( $crate::config::table::reload!(
                    $($live)? self.$field,
                    new.$field,
                    &key.child($crate::config::table::name(stringify!($field))),
                    waiting
                ); )*
                $( self.$flat.reload(new.$flat, key, waiting); )?
            }

            fn compare(
                &self,
                new: &Self,
                key: &$crate::config::key::Key,
                is_live: bool,
                changes: &mut Vec<$crate::config::reader::Change>,
            ) {
                $( self.$field.compare(
                    &new.$field,
                    &key.child($crate::config::table::name(stringify!($field))),
                    is_live || $crate::config::table::is_live!($($live)?),
                    changes,
                ); )*
                $( self.$flat.compare(&new.$flat, key, is_live, changes); )?
            }
        }
    };
}
pub(super) use table;

/// The key of a field, which may be a word of Rust's.
pub(super) fn name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Takes over a key that applies at once, or looks for such keys in it.
macro_rules! reload {
    (live $old:expr, $new:expr, $key:expr, $waiting:expr) => {
        $old = $new
    };
    ($old:expr, $new:expr, $key:expr, $waiting:expr) => {
        $old.reload($new, $key, $waiting)
    };
}
pub(super) use reload;

/// True for the mark of a key that applies at once.
macro_rules! is_live {
    (live) => {
        true
    };
    () => {
        false
    };
}
pub(super) use is_live;

/// Declares a table of which every key may also stand somewhere else, where it replaces the value of this one.
macro_rules! overridable_table {
    ($(#[$about:meta])* pub struct $name:ident, $overrides:ident {
        $( $(#[$doc:meta])* $field:ident: $type:ty = $default:tt, )*
    }) => {
        $crate::config::table::table! {
            $(#[$about])*
            pub struct $name { $( $(#[$doc])* $field: $type = $default, )* }
        }

        $crate::config::table::table! {
            #[doc = concat!("Values that replace those of [`", stringify!($name), "`]; none leaves them as they are.")]
            pub struct $overrides { $( $(#[$doc])* $field: Option<$type>, )* }
        }

        impl $name {
            /// These values, with those replaced that are given.
            #[must_use]
            pub fn replaced_by(self, overrides: &$overrides) -> Self {
                Self { $( $field: overrides.$field.unwrap_or(self.$field), )* }
            }
        }
    };
}
pub(super) use overridable_table;
