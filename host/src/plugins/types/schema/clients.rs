//! Clients' changes to a schema on its way to a model's API, and that API's limits: data, in `host/clients`.
//!
//! Each file names its sources. A test converts generated schemas as a file says and compares the outcome with the rules
//! of the API. A type for which an API's subset of JSON Schema has no words is listed in the file, with the reason;
//! `inspect` names it, and for everything else the test wants no exception.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{is_uniform, schema};
use crate::plugins::types::shape::{Field, Shape, Signature};

/// The files.
const CLIENTS: [&str; 6] = [
    include_str!("../../../../clients/anthropic.toml"),
    include_str!("../../../../clients/cursor.toml"),
    include_str!("../../../../clients/gemini.toml"),
    include_str!("../../../../clients/openai.toml"),
    include_str!("../../../../clients/openai-strict.toml"),
    include_str!("../../../../clients/vscode.toml"),
];

/// The part of a file that is not for the test alone.
#[derive(Deserialize)]
struct ClientLimits {
    name: String,
    /// Types that cannot be said to it, and why.
    #[serde(default)]
    cannot: BTreeMap<String, String>,
}

/// A type among a tool's parameters that some client's API has no words for.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsayable {
    /// The owner of the API.
    pub client: String,
    /// The type, as WIT calls it.
    pub ty: &'static str,
    /// The places of the type.
    pub places: Vec<String>,
    /// The effect on the type.
    pub reason: String,
}

/// The parameter types that some client cannot express; a result's schema goes to no model.
pub fn unsayable(signature: &Signature) -> Vec<Unsayable> {
    let mut places = BTreeMap::new();
    fields(&signature.params, "", &mut places);
    let mut all = Vec::new();
    for file in CLIENTS {
        let client: ClientLimits = toml::from_str(file).expect("a test reads every file");
        for (ty, places) in &places {
            if let Some(reason) = client.cannot.get(*ty) {
                let (client, reason) = (client.name.clone(), reason.clone());
                all.push(Unsayable { client, ty, places: places.clone(), reason });
            }
        }
    }
    all
}

type Places = BTreeMap<&'static str, Vec<String>>;

/// The types that may be beyond a client, with their places. A field's own `option` is no type of its schema.
fn fields(all: &[Field], at: &str, places: &mut Places) {
    for field in all {
        let place = if at.is_empty() { field.name.clone() } else { format!("{at}.{}", field.name) };
        match &field.shape {
            Shape::Option(some) => {
                places.entry("option").or_default().push(place.clone());
                inside(some, &place, places);
            }
            shape => inside(shape, &place, places),
        }
    }
}

fn inside(shape: &Shape, at: &str, places: &mut Places) {
    if let Some(ty) = peculiar(shape) {
        places.entry(ty).or_default().push(at.to_owned());
    }
    match shape {
        Shape::Record(all) => fields(all, at, places),
        shape => {
            for (step, part) in shape.parts() {
                inside(part, &format!("{at}{step}"), places);
            }
        }
    }
}

/// The type's name in the files, if it is one that they speak of.
fn peculiar(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::Char => Some("char"),
        Shape::Bytes => Some("list<u8>"),
        Shape::Tuple(members) if !is_uniform(&members.iter().map(schema).collect::<Vec<_>>()) => {
            Some("tuple of several types")
        }
        Shape::Map(_) => Some("map"),
        Shape::Variant(_) => Some("variant"),
        Shape::Result { .. } => Some("result"),
        Shape::Option(some) if matches!(**some, Shape::Enum(_)) => Some("option<enum>"),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
