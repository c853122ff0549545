//! The custom sections of a component that hold documentation.

use wasmparser::{CustomSectionReader, Parser, Payload};

use crate::sanitize::escape;

/// The WIT text of a plugin, as its author wrote it. A Rust guest puts it into its core module, `tinymcp build` beside
/// that, so it may stand at any depth.
pub const WIT_SECTION: &str = "tinymcp-wit";

/// The section of the WIT tools: a version byte and JSON.
const PACKAGE_DOCS_SECTION: &str = "package-docs";

/// The section of a component's needs, one in each line.
pub const NEEDS_SECTION: &str = "tinymcp-needs";

/// Bytes of one such section. A need is one line.
const MAX_NEEDS_BYTES: usize = 16 << 10;

/// Bytes of documentation that are read, in all. The longest known WIT package of one plugin has a tenth of it.
const MAX_BYTES: usize = 256 << 10;

/// Texts that are read. A package has a few files.
const MAX_TEXTS: usize = 64;

/// The sections, in the order of the file.
#[derive(Default)]
pub(super) struct Sections<'a> {
    pub(super) texts: Vec<&'a str>,
    pub(super) package_docs: Option<&'a [u8]>,
    pub(super) needs: Vec<&'a str>,
    /// Something that is left out may declare needs.
    pub(super) has_lost_needs: bool,
    pub(super) warnings: Vec<String>,
}

/// The WIT texts that a component carries.
pub fn wit_texts(component: &[u8]) -> Vec<&str> {
    Sections::find(component).texts
}

impl<'a> Sections<'a> {
    pub(super) fn find(component: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut room = MAX_BYTES;
        for payload in Parser::new(0).parse_all(component) {
            match payload {
                Ok(Payload::CustomSection(section)) => found.add(&section, &mut room),
                Ok(_) => {}
                Err(error) => {
                    // Of several lines, some of them.
                    let words: Vec<&str> = error.message().split_whitespace().collect();
                    found.warnings.push(format!("documentation read in part: {}", escape(&words.join(" "))));
                    found.has_lost_needs |= declares(component);
                    break;
                }
            }
        }
        found
    }

    fn add(&mut self, section: &CustomSectionReader<'a>, room: &mut usize) {
        let (name, data) = (section.name(), section.data());
        if name == NEEDS_SECTION {
            match std::str::from_utf8(data) {
                Ok(text) if data.len() <= MAX_NEEDS_BYTES && self.needs.len() < MAX_TEXTS => self.needs.push(text),
                _ => self.has_lost_needs = true,
            }
            return;
        }
        if !matches!(name, WIT_SECTION | PACKAGE_DOCS_SECTION) {
            return;
        }
        // Two modules of one plugin, or its author and `tinymcp build`, may embed the same text.
        let is_known = self.texts.iter().any(|text| text.as_bytes() == data);
        if is_known {
            return;
        }
        let rest = room.checked_sub(data.len()).filter(|_| self.texts.len() < MAX_TEXTS);
        let Some(rest) = rest else {
            let most = MAX_BYTES >> 10;
            let warning = format!(
                "section `{name}` ignored: more than {most} KiB of documentation, or more than {MAX_TEXTS} texts of it"
            );
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
            self.has_lost_needs |= declares(data);
            return;
        };
        *room = rest;
        if name == PACKAGE_DOCS_SECTION {
            self.package_docs.get_or_insert(data);
            return;
        }
        match std::str::from_utf8(data) {
            Ok(text) => self.texts.push(text),
            Err(error) => {
                self.warnings.push(format!("section `{name}` ignored: {error}"));
                self.has_lost_needs |= declares(data);
            }
        }
    }
}

/// True if a text that is not read may have declarations in it.
fn declares(data: &[u8]) -> bool {
    const TAG: &[u8] = b"@needs";
    data.windows(TAG.len()).any(|window| window == TAG)
}
