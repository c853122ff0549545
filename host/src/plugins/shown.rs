//! The plugins in numbers: the pool, the queues, the catalog.

use super::Plugins;
use crate::metrics::{Metrics, names};

impl Plugins {
    /// Shows them to whoever asks for the metrics.
    pub fn show_in(&self, metrics: &Metrics) {
        let slots = self.runtime.slots.clone();
        metrics.observe(names::SLOTS, move |reading| reading.value(slots.counts().places as u64));
        let slots = self.runtime.slots.clone();
        metrics.observe(names::RUNNING, move |reading| reading.value(slots.counts().running as u64));
        let slots = self.runtime.slots.clone();
        metrics.observe(names::WAITING, move |reading| reading.value(slots.counts().waiting as u64));
        let warm = self.runtime.warm.clone();
        metrics.observe(names::WARM, move |reading| reading.value(warm.len() as u64));
        if let Some(egress) = self.runtime.services.egress.clone() {
            metrics.observe(names::EGRESS_CONNECTIONS, move |reading| reading.value(egress.open() as u64));
        }
        let plugins = self.clone();
        metrics.observe(names::TOOLS, move |reading| reading.value(plugins.catalog().tools().len() as u64));
        let plugins = self.clone();
        metrics.observe(names::PLUGINS, move |reading| {
            let catalog = plugins.catalog();
            let count = |is: fn(&super::catalog::PluginStatus) -> bool| {
                catalog.plugins().iter().filter(|plugin| is(plugin)).count() as u64
            };
            reading.labelled(count(|plugin| plugin.serving.is_some()), &[("state", "served")]);
            reading.labelled(count(|plugin| plugin.problem.is_some()), &[("state", "refused")]);
            reading.labelled(count(|plugin| plugin.disabled), &[("state", "disabled")]);
        });
        self.show_queues(metrics);
    }

    fn show_queues(&self, metrics: &Metrics) {
        for (named, is_running) in [(names::PLUGIN_RUNNING, true), (names::PLUGIN_WAITING, false)] {
            let (plugins, labels) = (self.clone(), metrics.clone());
            metrics.observe(named, move |reading| {
                let catalog = plugins.catalog();
                let mut by_label = std::collections::BTreeMap::<String, u64>::new();
                for served in catalog.served() {
                    let counts = served.terms.gate.counts();
                    let calls = if is_running { counts.running } else { counts.waiting };
                    let label = labels.plugin(&served.plugin.name).map(|plugin| plugin.label().to_owned());
                    *by_label.entry(label.unwrap_or_default()).or_default() += calls as u64;
                }
                for (label, calls) in &by_label {
                    reading.labelled(*calls, &[("plugin", label)]);
                }
            });
        }
    }
}
