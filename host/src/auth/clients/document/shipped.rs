//! Copies of well-known metadata documents, in `host/clients/`, for when the real ones cannot be had: some servers have
//! no way out, and some documents are refused to machines in data centres.

use std::sync::LazyLock;

use serde_json::Value;

use super::metadata::Metadata;

/// The placeholder for the id, in a copy that stands for many documents.
const ID: &str = "{id}";

/// Size of such an id.
const MAX_ID_BYTES: usize = 128;

const COPIES: [&str; 12] = [
    include_str!("../../../../clients/claude-code.json"),
    include_str!("../../../../clients/claude.json"),
    include_str!("../../../../clients/vscode.json"),
    include_str!("../../../../clients/vscode-insiders.json"),
    include_str!("../../../../clients/copilot-cli.json"),
    include_str!("../../../../clients/chatgpt.json"),
    include_str!("../../../../clients/codex.json"),
    include_str!("../../../../clients/zed.json"),
    include_str!("../../../../clients/goose.json"),
    include_str!("../../../../clients/opencode.json"),
    // Others come first: these stand for every document of their kind.
    include_str!("../../../../clients/codex-callback.json"),
    include_str!("../../../../clients/chatgpt-connector.json"),
];

/// By client id.
static SHIPPED: LazyLock<Vec<(String, &'static str)>> = LazyLock::new(|| {
    let client_id =
        |copy: &str| serde_json::from_str::<Value>(copy).ok()?.get("client_id")?.as_str().map(str::to_owned);
    COPIES.iter().filter_map(|copy| Some((client_id(copy)?, *copy))).collect()
});

/// The copy of the document at `client_id`, if there is one.
pub(super) fn copy(client_id: &str) -> Option<Metadata> {
    SHIPPED.iter().find_map(|(shipped, copy)| {
        let id = id_within(shipped, client_id)?;
        Metadata::read(client_id, copy.replace(ID, id).as_bytes()).ok()
    })
}

/// The part of `client_id` in the place of `{id}`; empty if both are equal; `None` if they are of different documents.
fn id_within<'a>(shipped: &str, client_id: &'a str) -> Option<&'a str> {
    let Some((before, after)) = shipped.split_once(ID) else { return (shipped == client_id).then_some("") };
    let id = client_id.strip_prefix(before)?.strip_suffix(after)?;
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (is_id && !id.is_empty() && id.len() <= MAX_ID_BYTES).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_is_a_valid_document() {
        assert_eq!(SHIPPED.len(), COPIES.len());
        for (client_id, _) in SHIPPED.iter() {
            let client_id = client_id.replace(ID, "abc-1_2");
            let copy = copy(&client_id).expect(&client_id);
            assert!(copy.name.is_some() && !copy.redirect_uris.is_empty() && !copy.needs_assertion, "{client_id}");
            assert!(super::super::metadata::document_url(&client_id).is_ok(), "{client_id}");
        }
    }

    #[test]
    fn one_copy_stands_for_all_documents_of_its_kind() {
        let redirects = |client_id: &str| copy(client_id).map(|copy| copy.redirect_uris);
        let connector = redirects("https://chatgpt.com/oauth/AbC-1_2/client.json").unwrap();
        assert_eq!(connector, ["https://chatgpt.com/connector/oauth/AbC-1_2"]);
        let codex = redirects("https://chatgpt.com/oauth/codex/client.json").unwrap();
        assert_eq!(codex, ["http://127.0.0.1/callback", "http://localhost/callback"]);
        let codex = redirects("https://chatgpt.com/oauth/codex/x7_Q/client.json").unwrap();
        assert_eq!(codex, ["http://127.0.0.1/callback/x7_Q", "http://localhost/callback/x7_Q"]);
        for unknown in [
            "https://chatgpt.com/oauth/a/b/client.json",
            "https://chatgpt.com/oauth/a%2Fb/client.json",
            "https://chatgpt.com/oauth//client.json",
            "https://chatgpt.com/oauth/{id}/client.json",
            "https://chatgpt.com.example/oauth/a/client.json",
            "https://claude.ai/oauth/claude-code-client-metadata/",
        ] {
            assert_eq!(redirects(unknown), None, "{unknown}");
        }
    }
}
