//! Functions with types that have no JSON form, beside one that is fine.

use exports::tinymcp::odd::files;

wit_bindgen::generate!({ world: "odd", path: "wit" });

struct Odd;

impl Guest for Odd {
    fn fine(name: String) -> String {
        format!("{name} is fine")
    }

    fn perhaps_perhaps(value: Option<Option<u32>>) -> u32 {
        value.flatten().unwrap_or_default()
    }

    fn nested_perhaps() -> Vec<(u32, Option<Option<String>>)> {
        vec![(1, Some(None))]
    }
}

/// The guest's side of the WIT resource `file`.
struct File {
    name: String,
}

impl files::GuestFile for File {
    fn new(name: String) -> Self {
        Self { name }
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl files::Guest for Odd {
    type File = File;

    fn describe(file: files::FileBorrow<'_>) -> String {
        format!("a file called {}", file.get::<File>().name)
    }

    fn open(name: String) -> files::File {
        files::File::new(File { name })
    }
}

export!(Odd);
