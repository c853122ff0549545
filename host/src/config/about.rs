//! What this server says of itself to clients and people: names, texts and a picture, files read.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::files;
use super::key::Key;
use super::keys::Config;
use super::problem::Fault;
use super::reader::Reader;

/// Instructions of which some clients cut off the rest (Claude Code: 2 KiB).
const INSTRUCTIONS_BYTES: usize = 2048;

/// The beginnings of pictures that every client can show, by their type. SVG is none of them: it is a program.
const PICTURES: [(&[u8], &str); 4] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
];

/// The server and each of its views.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// `/mcp`, and everything that is no view's own.
    pub server: Description,
    /// By name.
    pub views: BTreeMap<String, Description>,
}

/// What is said of the server, or of one view. None is what the operator has left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// The name for people.
    pub title: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// A page about it.
    pub website: Option<String>,
    /// Its picture.
    pub icon: Option<Icon>,
    /// What a model should know.
    pub instructions: Option<String>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Icon {
    /// A URL: of https, or of the picture itself (`data:`).
    pub src: Arc<str>,
    /// Its media type, if it is the picture itself.
    pub media_type: Option<&'static str>,
}

impl About {
    /// What is said at the view of this name, or at `/mcp`.
    pub fn of(&self, view: Option<&str>) -> &Description {
        view.and_then(|view| self.views.get(view)).unwrap_or(&self.server)
    }
}

/// Reads what the keys name.
pub(super) fn resolve(config: &Config, reader: &mut Reader<'_>) -> About {
    let server = &config.server;
    let instructions = instructions(config, reader);
    let server = Description {
        title: shown(server.title.as_ref()),
        description: shown(server.description.as_ref()),
        website: server.website.as_ref().map(|website| website.as_str().to_owned()),
        icon: icon(config, reader),
        instructions,
    };
    let views = config.view.iter().map(|(name, view)| {
        let of_view = |own: &Option<String>, of_server: &Option<String>| shown(own.as_ref()).or(of_server.clone());
        let description = Description {
            title: of_view(&view.title, &server.title),
            description: of_view(&view.description, &server.description),
            instructions: of_view(&view.instructions, &server.instructions),
            ..server.clone()
        };
        (name.as_str().to_owned(), description)
    });
    let views = views.collect();
    warn_of_long_instructions(config, reader, server.instructions.as_deref());
    About { server, views }
}

/// An empty text says nothing.
fn shown(text: Option<&String>) -> Option<String> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn instructions(config: &Config, reader: &mut Reader<'_>) -> Option<String> {
    let key = Key::from("server.instructions_file");
    let (text, path) = (&config.server.instructions, &config.server.instructions_file);
    if text.is_some() {
        if path.is_some() {
            let message = "the file is not read: `server.instructions` is given, too".to_owned();
            reader.warn(&key, Fault::Conflict(message));
        }
        return shown(text.as_ref());
    }
    let path = path.as_ref()?;
    let text = files::kept(files::read_text(path), path, &key, &reader.source_of(&key), reader);
    shown(text.as_ref())
}

fn icon(config: &Config, reader: &mut Reader<'_>) -> Option<Icon> {
    let key = Key::from("server.icon");
    let written = config.server.icon.as_ref()?;
    if written.starts_with("https://") {
        return match url::Url::parse(written) {
            Ok(url) => Some(Icon { src: url.as_str().into(), media_type: None }),
            Err(error) => {
                reader.conflict(&[key], format!("`{written}` is no URL: {error}"));
                None
            }
        };
    }
    if written.contains("://") || written.starts_with("data:") {
        let message = format!("`{written}` is neither a file nor a URL of https");
        reader.conflict(&[key], message);
        return None;
    }
    let path = reader.directory.join(written);
    let read = files::read(&path).and_then(|bytes| data_url(&bytes));
    let src = files::kept(read, &path, &key, &reader.source_of(&key), reader)?;
    let media_type = PICTURES.iter().map(|(_, kind)| *kind).chain([WEBP]);
    let media_type = media_type.into_iter().find(|kind| src.starts_with(&format!("data:{kind};")));
    Some(Icon { src: src.into(), media_type })
}

const WEBP: &str = "image/webp";

/// The picture as a URL, by what it is and not by what it is called.
fn data_url(bytes: &[u8]) -> Result<String, String> {
    let by_beginning = PICTURES.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, kind)| *kind);
    let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    match by_beginning.or(is_webp.then_some(WEBP)) {
        Some(kind) => Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes))),
        None => Err("it is no PNG, JPEG, GIF or WebP".to_owned()),
    }
}

fn warn_of_long_instructions(config: &Config, reader: &mut Reader<'_>, of_server: Option<&str>) {
    let of_server = of_server.map(|text| {
        let is_in_file = config.server.instructions.is_none();
        (Key::from(if is_in_file { "server.instructions_file" } else { "server.instructions" }), text.len())
    });
    let key = |name: &str| Key::from("view").child(name).child("instructions");
    let of_views = config.view.iter().filter_map(|(name, view)| {
        let text = view.instructions.as_ref()?;
        Some((key(name.as_str()), text.len()))
    });
    let long: Vec<(Key, usize)> = of_server.into_iter().chain(of_views).collect();
    for (key, bytes) in long.into_iter().filter(|(_, bytes)| *bytes > INSTRUCTIONS_BYTES) {
        let message = format!("{bytes} bytes, of which some clients show a model the first {INSTRUCTIONS_BYTES} alone");
        reader.warn(&key, Fault::Conflict(message));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Invocation, Purpose, Setup};

    fn load(directory: &Path, text: &str, environment: &Environment) -> Result<Setup, String> {
        let file = directory.join("tinymcp.toml");
        fs::write(&file, text).unwrap();
        let invocation = Invocation { file: Some(file), ..Invocation::new(Purpose::Look) };
        Config::load(&invocation, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_picture_is_known_by_its_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\nrest"[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", None),
            (b"RIFF\0\0\0\0WAVE", None),
            (b"", None),
        ] {
            let url = data_url(bytes).ok();
            assert_eq!(url.is_some(), kind.is_some(), "{bytes:?}");
            assert!(url.is_none_or(|url| url.starts_with(&format!("data:{};base64,", kind.unwrap()))), "{bytes:?}");
        }
    }

    #[test]
    fn texts_and_files_are_what_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("icon.svg"), b"GIF89a").unwrap();
        fs::write(scratch.path().join("read.me"), "Ask first.\n").unwrap();
        let text = "[server]\ntitle = \"Acme\"\nicon = \"icon.svg\"\ninstructions_file = \"read.me\"\n\
            [view.ops]\ninstructions = \"Be brief.\"\n[view.all-day]\ntitle = \" \"\n";
        let about = load(scratch.path(), text, &Environment::default()).unwrap().about;
        assert_eq!(about.server.instructions.as_deref(), Some("Ask first."));
        assert_eq!(about.server.icon.as_ref().unwrap().media_type, Some("image/gif"));
        let ops = about.of(Some("ops"));
        assert_eq!((ops.title.as_deref(), ops.instructions.as_deref()), (Some("Acme"), Some("Be brief.")));
        assert_eq!(*about.of(Some("all-day")), about.server);
        assert_eq!(*about.of(Some("unknown")), about.server);
    }

    #[test]
    fn a_file_that_is_gone_keeps_what_it_gave() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("read.me");
        fs::write(&path, "Ask first.").unwrap();
        let text = "[server]\ninstructions_file = \"read.me\"\n";
        let first = load(scratch.path(), text, &Environment::default()).unwrap();
        assert!(first.value_files.paths().any(|watched| watched == path));
        fs::remove_file(&path).unwrap();
        let environment = Environment::default().keeping(first.value_files);
        let later = load(scratch.path(), text, &environment).unwrap();
        assert_eq!(later.about.server.instructions.as_deref(), Some("Ask first."));
        let said = environment.kept().next().unwrap();
        assert!(said.contains("`server.instructions_file`") && said.ends_with("stays in force"), "{said}");
        let anew = load(scratch.path(), text, &Environment::default()).unwrap();
        assert_eq!(anew.about.server.instructions, None);
        assert!(anew.warnings[0].to_string().contains("server.instructions_file"), "{:?}", anew.warnings);
    }
}
