//! `tinymcp push`: a component into a registry, in the layout of the CNCF and the same every time.

use std::path::{Path, PathBuf};

use super::{ConfigArguments, Failure, inspect, logging, output, runtime};
use crate::oci::manifest::MAX_MINISIG_BYTES;
use crate::oci::push::Publication;
use crate::oci::reference::{Source, Version};
use crate::plugins::loading::interface_names::interface_names;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The component; a signature of minisign beside it, `FILE.wasm.minisig`, goes with it
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The place for it, `oci://HOST/NAME:TAG`
    #[arg(value_name = "TO")]
    to: String,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let reference = match arguments.to.parse::<Source>().map_err(Failure::start)? {
        Source::Reference(reference) if matches!(reference.version, Version::Tag(_)) => reference,
        _ => {
            return Err(Failure::start(
                "expected a place with a tag, such as `oci://registry.example/org/weather:1.2`",
            ));
        }
    };
    let loader = arguments.config.plugin_loader()?;
    // What is no plugin here is none for others.
    let plugins = loader.load_file(&arguments.file)?;
    let catalog = plugins.catalog();
    if catalog.served().next().is_none() {
        return Err(inspect::nothing_of(&arguments.file, &catalog));
    }
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", arguments.file.display()));
    let component = std::fs::read(&arguments.file).map_err(|error| failed(&error))?;
    let (imports, exports) = interface_names(&component).map_err(|error| failed(&error))?;
    let minisig = signature(&arguments.file)?;
    let publication = Publication { component: component.into(), imports, exports, minisig: minisig.map(Into::into) };
    let client = loader.registries()?;
    let digest = runtime()?.block_on(client.push(&reference, &publication)).map_err(Failure::failed)?;
    output::result(&format!("oci://{}@{digest}", reference.repository));
    Ok(())
}

/// The signature beside the file, if there is one.
fn signature(file: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    let path = PathBuf::from(name);
    match std::fs::read(&path) {
        Ok(bytes) if bytes.len() as u64 <= MAX_MINISIG_BYTES => Ok(Some(bytes)),
        Ok(_) => Err(Failure::failed(format!("{}: larger than any signature", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::failed(format!("{}: {error}", path.display()))),
    }
}
