//! The section `package-docs`: a version byte, then JSON with the documentation of worlds and interfaces.
//!
//! Read directly, since decoding a component with it fails as a whole when the section names the author's world, which
//! a component calls `root`. It knows nothing of parameters, nor which function uses which type.

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::outline::{Block, BlockKind, Function};

/// The versions that are read; 1 added keys to 0 and changed none.
const VERSIONS: [u8; 2] = [0, 1];

#[derive(Debug, Error)]
pub(super) enum PackageDocsError {
    #[error("it is empty")]
    Empty,
    #[error("version {0} is unknown; 0 and 1 are known")]
    Version(u8),
    #[error("invalid JSON: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    worlds: Map<String, Value>,
    #[serde(default)]
    interfaces: Map<String, Value>,
}

/// Keys of a world that hold interfaces and functions that it exports; those without `_exports` hold what it imports as
/// well, so they come last.
const WORLD_INTERFACES: [&str; 2] = ["interface_exports", "interfaces"];
const FUNCTIONS: [&str; 2] = ["func_exports", "funcs"];

pub(super) fn parse(section: &[u8]) -> Result<Vec<Block>, PackageDocsError> {
    let (version, json) = section.split_first().ok_or(PackageDocsError::Empty)?;
    if !VERSIONS.contains(version) {
        return Err(PackageDocsError::Version(*version));
    }
    let package: Package = serde_json::from_slice(json)?;
    let mut blocks = Vec::new();
    for (name, world) in &package.worlds {
        blocks.push(block(BlockKind::World, name, world));
        for key in WORLD_INTERFACES {
            blocks.extend(members(world, key).map(|(name, value)| block(BlockKind::Interface, name, value)));
        }
    }
    blocks.extend(package.interfaces.iter().map(|(name, value)| block(BlockKind::Interface, name, value)));
    Ok(blocks)
}

/// The whole section, if it can be read.
pub(super) fn json(section: &[u8]) -> Option<Value> {
    section.split_first().and_then(|(_, json)| serde_json::from_slice(json).ok())
}

fn block(kind: BlockKind, name: &str, value: &Value) -> Block {
    let functions = FUNCTIONS.into_iter().flat_map(|key| members(value, key)).map(|(name, value)| Function {
        name: name.clone(),
        docs: docs(value),
        params: Vec::new(),
        result: None,
    });
    let mut block = Block::new(kind, None, name);
    block.docs = docs(value);
    block.functions = functions.collect();
    block
}

fn members<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// `{"docs": "…"}`, or the string alone, as version 0 has it for functions.
fn docs(value: &Value) -> Option<String> {
    value.get("docs").unwrap_or(value).as_str().map(str::to_owned)
}
