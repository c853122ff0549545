//! The files of `docs/monitoring`: dashboard, alerts and runbook name what there is, and the page says what is so.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tinymcp::metrics::names::{self, Kind, Named};
use tinymcp_tests::command::{finish, suite_path};
use tinymcp_tests::guests::project_dir;
use tinymcp_tests::server::Site;

fn read(name: &str) -> String {
    fs::read_to_string(project_dir().join("docs/monitoring").join(name)).unwrap()
}

/// Every name that looks like a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    let is_ours = |word: &&str| ["tinymcp_", "mcp_server_", "process_"].iter().any(|prefix| word.starts_with(prefix));
    words.filter(is_ours).map(str::to_owned).collect()
}

fn exposed() -> BTreeSet<String> {
    names::ALL.iter().flat_map(Named::exposed).collect()
}

/// Labels as Prometheus has them.
fn labels() -> BTreeSet<String> {
    let ours = names::ALL.iter().flat_map(|named| named.labels).map(|label| label.replace('.', "_"));
    ours.chain(["job", "instance", "le"].map(str::to_owned)).collect()
}

/// The labels of expressions: those that are compared with a value, and those of `by (…)` and `on (…)`.
fn used_labels(expression: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in expression.match_indices('=') {
        if expression[at..].trim_start_matches(['=', '~', '!']).starts_with('"') {
            let before = expression[..at].trim_end_matches(['!', '=', '~']);
            let start =
                before.rfind(|char: char| !(char.is_ascii_alphanumeric() || char == '_')).map_or(0, |at| at + 1);
            used.insert(before[start..].to_owned());
        }
    }
    for grouping in ["by (", "on ("] {
        for (at, _) in expression.match_indices(grouping) {
            let inside = expression[at + grouping.len()..].split(')').next().unwrap_or_default();
            used.extend(inside.split(',').map(|label| label.trim().to_owned()));
        }
    }
    used
}

fn alerts() -> Vec<(String, String)> {
    let text = read("alerts.yml");
    let mut alerts = Vec::new();
    for block in text.split("- alert: ").skip(1) {
        let name = block.lines().next().unwrap().trim().to_owned();
        let expression = block.split("expr:").nth(1).unwrap();
        let expression = expression.split("\n        for:").next().unwrap().split("\n        labels:").next().unwrap();
        alerts.push((name, expression.to_owned()));
    }
    alerts
}

#[test]
fn alerts_name_metrics_and_labels_that_exist_and_each_is_in_the_runbook() {
    let (alerts, runbook, exposed, labels) = (alerts(), read("runbook.md"), exposed(), labels());
    assert!(alerts.len() > 15, "{}", alerts.len());
    for (name, expression) in &alerts {
        assert!(runbook.contains(&format!("\n### {name}\n")), "the runbook has no section `{name}`");
        let unknown: Vec<String> = named(expression).difference(&exposed).cloned().collect();
        let others: Vec<String> = used_labels(expression).difference(&labels).cloned().collect();
        assert!(unknown.is_empty() && others.is_empty(), "{name}: {unknown:?} {others:?}");
        assert!(!named(expression).is_empty() || expression.contains("up{"), "{name} looks at nothing");
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("### "));
    for section in sections {
        assert!(
            alerts.iter().any(|(name, _)| name == section),
            "the runbook is about `{section}`, and nothing alerts of it"
        );
    }
}

#[test]
fn the_dashboard_names_metrics_and_labels_that_exist_and_shows_all_of_them() {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let (exposed, labels) = (exposed(), labels());
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let unknown: Vec<String> = named(expression).difference(&exposed).cloned().collect();
            let others: Vec<String> = used_labels(expression).difference(&labels).cloned().collect();
            assert!(unknown.is_empty() && others.is_empty(), "{}: {unknown:?} {others:?}", panel["title"]);
            shown.extend(named(expression));
        }
    }
    for of in names::ALL {
        let is_shown = of.exposed().iter().any(|name| shown.contains(name));
        assert!(is_shown, "`{}` is on no panel", of.name);
    }
    let ids: BTreeSet<u64> =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|it| it["id"].as_u64()).collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len(), "two panels have one id");
}

#[test]
fn the_page_lists_every_metric_as_it_is() {
    let page = read("README.md");
    for of in names::ALL {
        let name = match of.kind {
            Kind::Histogram => of.exposed()[0].trim_end_matches("_bucket").to_owned(),
            Kind::Counter | Kind::Gauge => of.exposed()[0].clone(),
        };
        let kind = format!("{:?}", of.kind).to_lowercase();
        let labels: Vec<String> = of.labels.iter().map(|label| format!("`{}`", label.replace('.', "_"))).collect();
        let row = format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), of.help);
        assert!(page.contains(&row), "the page has no row:\n{row}");
    }
}

#[test]
fn the_configurations_of_the_page_can_be_written() {
    let page = read("README.md");
    let listings: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(listings.len(), 3);
    let site = Site::new().config(&listings.concat());
    fs::write(site.path().join(".env"), "OTLP_TOKEN=a-token-of-the-collector\n").unwrap();
    let checked = site.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    assert!(checked.stdout.contains("Authorization = \"***\""), "{}", checked.stdout);
}

#[test]
fn promtool_takes_the_alerts_and_they_fire_when_they_should() {
    let scratch = tempfile::tempdir().unwrap();
    let rules = project_dir().join("docs/monitoring/alerts.yml");
    let promtool = |arguments: &[&str]| {
        finish(Command::new("promtool").args(arguments).env("PATH", suite_path()).current_dir(scratch.path()))
    };
    let checked = promtool(&["check", "rules", rules.to_str().unwrap()]);
    assert!(checked.code == 0 && checked.stdout.contains("SUCCESS"), "{checked:#?}");
    let cases = format!("rule_files: [{}]\n{}", rules.display(), include_str!("../../fixtures/alerts.yml"));
    fs::write(scratch.path().join("cases.yml"), cases).unwrap();
    let tested = promtool(&["test", "rules", "cases.yml"]);
    assert!(tested.code == 0 && tested.stdout.contains("SUCCESS"), "{tested:#?}");
}
