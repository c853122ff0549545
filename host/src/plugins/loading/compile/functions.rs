//! The functions of a core module, as far as it was read: their numbers and their names in the module.

use std::collections::HashMap;

use wasmparser::{BinaryReaderError, ExternalKind, KnownCustom, Name, Payload, TypeRef};

use crate::sanitize;

/// Bytes of a name that are shown.
const MAX_NAME_BYTES: usize = 200;

/// The functions of one module.
#[derive(Default)]
pub(super) struct Functions<'a> {
    imported: u32,
    defined: u32,
    names: HashMap<u32, &'a str>,
}

impl<'a> Functions<'a> {
    /// Takes the next part of the module. Returns the number of the function whose body that is.
    pub(super) fn add(&mut self, payload: &Payload<'a>) -> Result<Option<u32>, BinaryReaderError> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        self.names.entry(export.index).or_insert(export.name);
                    }
                }
            }
            Payload::CodeSectionEntry(_) => {
                self.defined += 1;
                return Ok(Some(self.imported + self.defined - 1));
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    for names in names {
                        let Name::Function(names) = names? else { continue };
                        for name in names {
                            let name = name?;
                            self.names.insert(name.index, name.name);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// The name of a function in its module, if it has one; known when all of the module was read.
    pub(super) fn name(&self, index: u32) -> Option<String> {
        let name = self.names.get(&index)?;
        Some(sanitize::cut(&sanitize::clean(name).replace('\n', " "), MAX_NAME_BYTES))
    }
}
