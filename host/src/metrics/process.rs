//! What the system says of this process.

use std::fs;
use std::time::Instant;

use super::{Metrics, names};

/// Shows memory, processor time, descriptors and age.
pub fn observe(metrics: &Metrics) {
    let began = Instant::now();
    metrics.observe(names::UPTIME, move |reading| reading.fraction(began.elapsed().as_secs_f64()));
    metrics.observe(names::MEMORY, |reading| {
        if let Some(bytes) = resident_bytes() {
            reading.value(bytes);
        }
    });
    metrics.observe(names::CPU, |reading| {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "seconds of one process")]
        let seconds = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        reading.fraction(seconds);
    });
    metrics.observe(names::DESCRIPTORS, |reading| {
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // Without the one of this look.
            reading.value((descriptors.count() as u64).saturating_sub(1));
        }
    });
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = status.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
