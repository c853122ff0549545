//! `skills/list` and `skills/get` (the extension `io.modelcontextprotocol/skills`, SEP-2640).
//!
//! A skill is a resource that ends in `/SKILL.md`, with the resources beneath the same path. Its description is read
//! from these. A skill that the extension does not allow is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::model::{ErrorData, SKILL_MD, Skill, SkillFrontmatter, SkillResource, SkillResources};
use serde_json::{Map, Value, json};

use crate::mcp::echo;
use crate::mcp::handler::Handler;
use crate::mcp::listing::shows;
use crate::plugins::catalog::Catalog;
use crate::plugins::conversation::Conversation;
use crate::plugins::served::Served;
use crate::plugins::wit::content::Body;
use crate::principal::Principal;

/// Files of one skill, and bytes of all of them (SEP-2640, Limits).
const MAX_FILES: usize = 512;
const MAX_BYTES: u64 = 16 << 20;

pub(super) async fn list(handler: &Handler, principal: &Arc<Principal>) -> Result<Vec<Skill>, ErrorData> {
    let catalog = handler.catalog();
    let mut skills = Vec::new();
    for resource in catalog.resources().iter().filter(|resource| is_skill(resource.uri())) {
        if shows(&resource.served, principal) && principal.holds(resource.served.scopes()) {
            skills.extend(read(handler, &catalog, &resource.served, resource.uri(), principal).await);
        }
    }
    Ok(skills)
}

pub(super) async fn get(handler: &Handler, uri: &str, principal: &Arc<Principal>) -> Result<Skill, ErrorData> {
    let catalog = handler.catalog();
    let resource = catalog.resources().iter().find(|resource| resource.uri() == uri && is_skill(uri));
    let resource = resource.filter(|resource| principal.holds(resource.served.scopes()));
    let skill = match resource {
        Some(resource) => read(handler, &catalog, &resource.served, uri, principal).await,
        None => None,
    };
    let uri = echo::uri(uri);
    skill.ok_or_else(|| ErrorData::invalid_params(format!("unknown skill `{uri}`"), Some(json!({ "uri": uri }))))
}

fn is_skill(uri: &str) -> bool {
    uri.strip_suffix(SKILL_MD).is_some_and(|path| path.ends_with('/'))
}

/// Reads all files of a skill; `None`, and a line in the log, for one that cannot be shown.
async fn read(
    handler: &Handler,
    catalog: &Catalog,
    served: &Served,
    uri: &str,
    principal: &Arc<Principal>,
) -> Option<Skill> {
    let refused = |problem: &str| {
        let plugin = &served.plugin.name;
        tracing::warn!(%plugin, uri, "plugin `{plugin}`: skill `{uri}` is not shown: {problem}");
    };
    let root = uri.strip_suffix(SKILL_MD)?;
    let files = catalog
        .resources()
        .iter()
        .filter(|resource| resource.uri().starts_with(root) && Arc::ptr_eq(&resource.served.plugin, &served.plugin));
    let mut read = BTreeMap::new();
    let mut left_bytes = MAX_BYTES;
    for file in files {
        // The files of a skill are one call of its plugin.
        let conversation = Conversation { is_counted: !read.is_empty(), ..Conversation::with(principal) };
        let bytes = match handler.plugins.read_resource(served, file.uri(), conversation).await {
            Ok(Ok(contents)) => contents.into_iter().next().map(|contents| match contents.body {
                Body::Text(text) => text.into_bytes(),
                Body::Blob(bytes) => bytes,
            }),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(bytes) = bytes else {
            refused(&format!("`{}` cannot be read", file.uri()));
            return None;
        };
        let Some(left) = left_bytes.checked_sub(bytes.len() as u64).filter(|_| read.len() < MAX_FILES) else {
            refused("it has too many files, or too large ones");
            return None;
        };
        left_bytes = left;
        read.insert(file.uri().to_owned(), bytes);
    }
    let frontmatter = match read.get(uri).map(|text| frontmatter(text)) {
        Some(Ok(frontmatter)) => frontmatter,
        Some(Err(problem)) => {
            refused(&problem);
            return None;
        }
        None => return None,
    };
    let files = read.iter().map(|(uri, bytes)| SkillResource::from_bytes(uri.clone(), bytes)).collect();
    let skill = Skill::new(uri, frontmatter, SkillResources::Files(files));
    match skill.validate() {
        Ok(()) => Some(skill),
        Err(problem) => {
            refused(&problem.to_string());
            None
        }
    }
}

/// The YAML between the two lines of dashes at the beginning.
fn frontmatter(text: &[u8]) -> Result<SkillFrontmatter, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let yaml = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---"));
    let (yaml, _) = yaml.ok_or("it does not begin with `---`, YAML and `---`")?;
    let fields: Map<String, Value> = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    serde_json::from_value(Value::Object(fields)).map_err(|error| format!("its frontmatter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frontmatter_is_the_yaml_at_the_beginning() {
        let read = frontmatter(b"---\nname: a-b\ndescription: It does.\nmetadata:\n  v: 1\n---\n# Text\n").unwrap();
        assert_eq!((read.name.as_str(), read.description.as_str()), ("a-b", "It does."));
        assert_eq!(read.extra["metadata"], json!({ "v": 1 }));
        for broken in [&b"# Text"[..], b"---\nname: a\n", b"---\nname: [\n---\n", b"---\nname: a\n---\n", b"\xff"] {
            assert!(frontmatter(broken).is_err(), "{}", String::from_utf8_lossy(broken));
        }
    }
}
