//! Seeing what the server does: the audit, the metrics, and what goes to a collector.

mod acts;
mod audit;
mod files;
mod metrics;
mod telemetry;
mod turned_away;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

/// The configuration of an audit in the server's own directory.
const AUDIT: &str = "[audit]\nfile = \"audit.jsonl\"\n";

fn audit_file(site: &Site) -> PathBuf {
    site.path().join("audit.jsonl")
}

/// All lines of a file, each of which is one object.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map(|(whole, _)| whole).unwrap_or_default();
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// The lines of one kind, once there are so many.
async fn events(server: &Server, kind: &str, count: usize) -> Vec<Value> {
    let path = audit_file(server.site());
    let found = || lines(&path).into_iter().filter(|line| line["event"] == kind).collect::<Vec<_>>();
    until(&format!("{count} lines of `{kind}`"), async || found().len() >= count).await;
    found()
}

/// The names of a line's members, in their order.
fn members(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}
