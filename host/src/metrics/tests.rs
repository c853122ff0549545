//! Labels that somebody tries to make many of, and the text of a scrape.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::exposition::Exposition;
use super::*;

fn started() -> (Metrics, Exposition, SdkMeterProvider) {
    let (exposition, reader) = Exposition::new().unwrap();
    let provider = SdkMeterProvider::builder().with_view(all_series).with_reader(reader).build();
    (Metrics::new(provider.meter(SCOPE)), exposition, provider)
}

#[test]
fn a_plugin_that_renames_its_tools_makes_no_more_series() {
    let (metrics, exposition, _provider) = started();
    for plugin in 0..500 {
        let plugin = metrics.plugin(&format!("plugin-{plugin}")).unwrap();
        for tool in 0..100 {
            plugin.tool(&format!("tool_{tool}")).record(Outcome::Ok, Duration::from_millis(1));
        }
        plugin.parts(&Times { total: Duration::from_millis(1), ..Times::default() });
    }
    let text = exposition.text();
    let series = text.lines().filter(|line| line.starts_with("tinymcp_calls_total{")).count();
    assert!(series <= 64 * 33 + 1, "{series}");
    assert!(text.contains(r#"plugin="other",tool="other""#), "{text}");
    let calls: f64 = text
        .lines()
        .filter(|line| line.starts_with("tinymcp_calls_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    assert!((calls - 50_000.0).abs() < 0.5, "no call is lost: {calls}");
}

#[test]
fn every_instrument_has_the_name_that_it_is_documented_with() {
    let (metrics, exposition, _provider) = started();
    let plugin = metrics.plugin("weather").unwrap();
    plugin.tool("now").record(Outcome::Timeout, Duration::from_millis(1));
    plugin.requests(1, 1, 1);
    plugin.parts(&Times { total: Duration::from_millis(9), waiting: Duration::from_millis(1), ..Times::default() });
    metrics.operation("tools/list", Some("500"), Duration::from_millis(1));
    metrics.store(StoreOperation::Get, true, Duration::from_millis(1));
    metrics.compiled(false, Duration::from_secs(1));
    for (counted, _) in Counted::ALL {
        metrics.count(counted, "x");
    }
    process::observe(&metrics);
    metrics.watch_audit(AuditState::default);
    let by_themselves: BTreeSet<&str> = [
        names::UPTIME,
        names::MEMORY,
        names::CPU,
        names::DESCRIPTORS,
        names::AUDIT_LINES,
        names::AUDIT_WAITING,
        names::AUDIT_FAILING,
    ]
    .iter()
    .map(|named| named.name)
    .collect();
    for named in names::ALL {
        let is_made_elsewhere = named.kind == names::Kind::Gauge || named.name == names::EXPORTS.name;
        if is_made_elsewhere && !by_themselves.contains(named.name) {
            metrics.observe(*named, |reading| reading.value(1));
        }
    }
    let text = exposition.text();
    let exposed: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split([' ', '{']).next()?.to_owned()))
        .filter(|name| name != "target_info")
        .collect();
    let documented: BTreeSet<String> = names::ALL.iter().flat_map(Named::exposed).collect();
    assert_eq!(exposed, documented);
    assert!(!text.contains("otel_scope"), "{text}");
}

#[test]
fn without_a_reader_nothing_is_made() {
    let metrics = Metrics::default();
    assert!(metrics.plugin("x").is_none() && !metrics.is_on());
    metrics.count(Counted::Login, "ok");
    metrics.observe(names::TOOLS, |_| panic!("nobody reads it"));
}
