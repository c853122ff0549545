//! The names that a component imports and exports, as they are written in it, for who publishes one.

use wasmparser::{Parser, Payload};

/// The names of a component's imports and exports, in order and without those that only describe types.
///
/// # Errors
/// The bytes are no component.
pub fn interface_names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    let mut is_component = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format!("not a component: {}", error.message()))? {
            Payload::Version { encoding, .. } => {
                is_component |= depth == 0 && encoding == wasmparser::Encoding::Component;
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                imports.extend(section.into_iter().flatten().map(|import| import.name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
            }
            _ => {}
        }
    }
    match is_component {
        true => Ok((imports, exports)),
        false => Err("not a component".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_component_itself() {
        let text = r#"(component (import "a:b/c" (instance)) (component (import "inner:x/y" (instance))) (instance (export "e:f/g@1.0.0")))"#;
        let bytes =
            wat::parse_str(text.replace(
                r#"(instance (export "e:f/g@1.0.0"))"#,
                r#"(instance $i) (export "e:f/g@1.0.0" (instance $i))"#,
            ));
        let (imports, exports) = interface_names(&bytes.unwrap()).unwrap();
        assert_eq!((imports, exports), (vec!["a:b/c".to_owned()], vec!["e:f/g@1.0.0".to_owned()]));
        assert!(interface_names(b"text").is_err());
        assert!(interface_names(&wat::parse_str("(module)").unwrap()).is_err());
    }
}
