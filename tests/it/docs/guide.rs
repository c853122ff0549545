//! `docs/plugins.md` taken apart: the crates that its listings make, and what else there is to try.
//!
//! A crate is a listing of WIT and one of Rust after a line `<!-- crate: NAME -->`, in which further dependencies may
//! follow as `Cargo.toml` has them. The prose after the two says what it gives: the names between backticks of the sentence
//! that begins with `It gives`.

use std::fs;

use tinymcp_tests::guests::{project_dir, tests_dir};

/// Sections whose listings stand for a guest of `tests/guests`, which has tests of its own.
const OF_GUESTS: [(&str, &str); 2] = [("Python", "py-greet"), ("JavaScript", "js-greet")];

/// A crate of the guide.
pub(super) struct Crate {
    pub(super) name: String,
    /// Lines for `[dependencies]`, beyond those of `tinymcp new`.
    pub(super) dependencies: String,
    pub(super) wit: String,
    pub(super) rust: String,
    /// The names of all that it gives, in order.
    pub(super) gives: Vec<String>,
}

/// Everything in the guide that can be tried.
#[derive(Default)]
pub(super) struct Guide {
    pub(super) crates: Vec<Crate>,
    /// Listings of `tinymcp.toml`.
    pub(super) settings: Vec<String>,
    /// Listings of cases of `tinymcp test`.
    pub(super) cases: Vec<String>,
    /// `add-wit.py`
    pub(super) script: String,
    /// The module of JavaScript that sends a request, and its world.
    pub(super) fetching: (String, String),
}

/// The section with the module of JavaScript that sends a request. Its world has the export that the prose before it names.
const FETCHING: &str = "Requests from JavaScript";

impl Guide {
    /// Reads the guide.
    ///
    /// # Panics
    /// If it shows something that no test tries.
    pub(super) fn read() -> Self {
        let text = fs::read_to_string(project_dir().join("docs/plugins.md")).unwrap();
        Self::of(&text).unwrap_or_else(|problem| panic!("docs/plugins.md: {problem}"))
    }

    /// Takes a guide apart.
    ///
    /// # Errors
    /// A listing that no test would try.
    fn of(text: &str) -> Result<Self, String> {
        let mut guide = Self::default();
        let mut reader = Reader::default();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            match line.strip_prefix("```") {
                Some(language) => {
                    let listing: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                    guide.take(&mut reader, language, listing.join("\n") + "\n")?;
                }
                None => guide.crates.extend(reader.line(line)?),
            }
        }
        reader.require_whole()?;
        Ok(guide)
    }

    /// The crate of this name.
    pub(super) fn a_crate(&self, name: &str) -> &Crate {
        self.crates.iter().find(|of| of.name == name).unwrap_or_else(|| panic!("the guide has no crate `{name}`"))
    }

    fn take(&mut self, reader: &mut Reader, language: &str, listing: String) -> Result<(), String> {
        if let Some((_, guest)) = OF_GUESTS.iter().find(|(section, _)| reader.section == *section) {
            let is_there = tests_dir().join("guests").join(guest).is_dir();
            return if is_there { Ok(()) } else { Err(format!("there is no guest `{guest}`")) };
        }
        match language {
            "js" if reader.section == FETCHING => {
                let named = reader.prose.split('`').nth(1).unwrap_or_default();
                let world =
                    format!("package local:length;\nworld length {{\n    /// The length of a page.\n    {named}\n}}\n");
                self.fetching = (listing, world);
            }
            "sh" => {}
            "toml" if listing.starts_with("[[case]]") => self.cases.push(listing),
            "toml" => self.settings.push(listing),
            "python" if listing.starts_with("# add-wit.py") => self.script = listing,
            "wit" | "rust" => return reader.listing(language, listing),
            _ => return Err(format!("section `{}`: nobody tries a listing in `{language}`", reader.section)),
        }
        Ok(())
    }
}

/// The position of the reader.
#[derive(Default)]
struct Reader {
    section: String,
    /// The marker, until all that belongs to it is there.
    marker: Option<String>,
    wit: Option<String>,
    rust: Option<String>,
    prose: String,
}

impl Reader {
    /// Takes a listing of a crate.
    fn listing(&mut self, language: &str, listing: String) -> Result<(), String> {
        let place = if language == "wit" { &mut self.wit } else { &mut self.rust };
        if self.marker.is_none() || place.is_some() {
            let section = &self.section;
            return Err(format!(
                "section `{section}`: a listing in `{language}` without a line `<!-- crate: NAME -->`"
            ));
        }
        *place = Some(listing);
        self.prose.clear();
        Ok(())
    }

    /// Takes a line of prose. Gives a crate if the line ends its description.
    fn line(&mut self, line: &str) -> Result<Option<Crate>, String> {
        let heading = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'));
        if let Some(section) = heading {
            self.require_whole()?;
            section.clone_into(&mut self.section);
            self.prose.clear();
        }
        if let Some(marker) = line.strip_prefix("<!-- crate: ").and_then(|rest| rest.strip_suffix(" -->")) {
            self.require_whole()?;
            self.marker = Some(marker.to_owned());
        }
        self.prose.push_str(line);
        self.prose.push(' ');
        Ok(self.whole())
    }

    /// The crate, if all of it is there.
    fn whole(&mut self) -> Option<Crate> {
        let (_, sentence) = self.prose.split_once("It gives ")?;
        let (sentence, _) = sentence.split_once("`.")?;
        let mut gives: Vec<String> = sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        gives.sort();
        let (wit, rust) = (self.wit.take()?, self.rust.take()?);
        let marker = self.marker.take()?;
        let (name, dependencies) = marker.split_once(", ").unwrap_or((&marker, ""));
        Some(Crate { name: name.to_owned(), dependencies: dependencies.to_owned(), wit, rust, gives })
    }

    fn require_whole(&self) -> Result<(), String> {
        match &self.marker {
            None => Ok(()),
            Some(marker) => Err(format!(
                "section `{}`: crate `{marker}` lacks its WIT, its Rust or a sentence that begins with `It gives`",
                self.section
            )),
        }
    }
}

#[test]
fn what_nobody_would_try_is_found() {
    let whole = "<!-- crate: a, b = \"1\" -->\n```wit\nw\n```\n\n```rust\nr\n```\n\nIt gives\n`a_x` and `a`.\n";
    let guide = Guide::of(whole).unwrap_or_else(|problem| panic!("{problem}"));
    let a = guide.a_crate("a");
    assert_eq!((a.dependencies.as_str(), a.wit.as_str(), a.rust.as_str()), ("b = \"1\"", "w\n", "r\n"));
    assert_eq!(a.gives, ["a", "a_x"]);
    let rust = "```rust\nr\n```\n";
    for untried in [
        rust.to_owned(),
        "```\nx\n```\n".to_owned(),
        "```python\nx\n```\n".to_owned(),
        format!("{whole}{rust}"),
        whole.replace("It gives", "It has"),
        whole.replace(rust, ""),
        whole.replace("<!-- crate: a, b = \"1\" -->\n", ""),
    ] {
        assert!(Guide::of(&untried).is_err(), "{untried}");
    }
}
