//! JSON schemas of single values.

/// Gives a type its JSON schema, which is written out wherever the type is used.
macro_rules! inline_schema {
    ($type:ident => $schema:expr) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}
pub(super) use inline_schema;
