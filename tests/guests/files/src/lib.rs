//! Does with files whatever it is told, and says what came of it.

use std::ffi::{CString, c_char};
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::UNIX_EPOCH;

wit_bindgen::generate!({ world: "files", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

const CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

unsafe extern "C" {
    /// The standard library has no symbolic links for this target yet.
    fn symlink(target: *const c_char, path: *const c_char) -> i32;
}

struct Files;

impl Guest for Files {
    fn read_file(path: String) -> Result<String, String> {
        fs::read_to_string(path).map_err(said)
    }

    fn write_file(path: String, text: String) -> Result<(), String> {
        fs::write(path, text).map_err(said)
    }

    fn append(path: String, text: String) -> Result<(), String> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(said)
    }

    fn create(path: String) -> Result<(), String> {
        File::create_new(path).map(drop).map_err(said)
    }

    fn fill(path: String, bytes: u64) -> (u64, Option<String>) {
        let mut written = 0;
        let fill = || -> io::Result<()> {
            let mut file = File::create(path)?;
            while written < bytes {
                let chunk = CHUNK.len().min(usize::try_from(bytes - written).unwrap_or(usize::MAX));
                file.write_all(&CHUNK[..chunk])?;
                written += chunk as u64;
            }
            Ok(())
        };
        let failure = fill().err().map(said);
        (written, failure)
    }

    fn set_size(path: String, bytes: u64) -> Result<(), String> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        opened.and_then(|file| file.set_len(bytes)).map_err(said)
    }

    fn poke(path: String, offset: u64) -> Result<(), String> {
        let poke = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(b"x")
        };
        poke().map_err(said)
    }

    fn names(path: String) -> Result<Vec<String>, String> {
        let list = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(path)?;
            let mut names: Vec<String> = entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<_>>()?;
            names.sort();
            Ok(names)
        };
        list().map_err(said)
    }

    fn look(path: String) -> Result<String, String> {
        fs::metadata(path).map(|metadata| described(&metadata)).map_err(said)
    }

    fn look_at_link(path: String) -> Result<String, String> {
        fs::symlink_metadata(path).map(|metadata| described(&metadata)).map_err(said)
    }

    fn touch(path: String) -> Result<(), String> {
        let set = |file: File| file.set_times(FileTimes::new().set_modified(UNIX_EPOCH));
        File::open(path).and_then(set).map_err(said)
    }

    fn make_folder(path: String) -> Result<(), String> {
        fs::create_dir(path).map_err(said)
    }

    fn remove_file(path: String) -> Result<(), String> {
        fs::remove_file(path).map_err(said)
    }

    fn remove_folder(path: String) -> Result<(), String> {
        fs::remove_dir(path).map_err(said)
    }

    fn move_to(path: String, to: String) -> Result<(), String> {
        fs::rename(path, to).map_err(said)
    }

    fn hard_link(path: String, to: String) -> Result<(), String> {
        fs::hard_link(path, to).map_err(said)
    }

    fn soft_link(target: String, path: String) -> Result<(), String> {
        let text = |text: String| CString::new(text).map_err(|error| error.to_string());
        let (target, path) = (text(target)?, text(path)?);
        // SAFETY: both are texts that end with a zero, and live until the call returns.
        match unsafe { symlink(target.as_ptr(), path.as_ptr()) } {
            0 => Ok(()),
            _ => Err(said(io::Error::last_os_error())),
        }
    }

    fn target(path: String) -> Result<String, String> {
        fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).map_err(said)
    }

    fn open_many(path: String, count: u32) -> (u32, Option<String>) {
        let mut files = Vec::new();
        for opened in 0..count {
            match File::open(&path) {
                Ok(file) => files.push(file),
                Err(error) => return (opened, Some(said(error))),
            }
        }
        (count, None)
    }

    fn keep_removed(path: String, count: u32, bytes: u32) -> (u32, Option<String>) {
        let mut files = Vec::new();
        for written in 0..count {
            let mut keep = || -> io::Result<()> {
                let mut file = File::create(&path)?;
                file.write_all(&vec![b'x'; bytes as usize])?;
                fs::remove_file(&path)?;
                files.push(file);
                Ok(())
            };
            if let Err(error) = keep() {
                return (written, Some(said(error)));
            }
        }
        (count, None)
    }

    fn read_for_ever(path: String) -> String {
        let read = || -> io::Result<()> {
            let mut file = File::open(path)?;
            loop {
                file.seek(SeekFrom::Start(0))?;
                file.read_to_end(&mut Vec::new())?;
            }
        };
        read().err().map(said).unwrap_or_default()
    }

    fn write_for_ever(path: String) -> String {
        let write = || -> io::Result<()> {
            let mut file = File::create(path)?;
            loop {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(b"x")?;
            }
        };
        write().err().map(said).unwrap_or_default()
    }
}

fn described(metadata: &Metadata) -> String {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => return "folder".to_owned(),
        kind if kind.is_symlink() => "link",
        kind if kind.is_file() => "file",
        _ => "other",
    };
    format!("{kind} of {}", metadata.len())
}

#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn said(error: io::Error) -> String {
    error.to_string()
}

export!(Files);
