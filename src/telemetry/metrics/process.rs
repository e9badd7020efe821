//! The process itself, under the names that Prometheus' own libraries use, so that
//! dashboards for any program fit.
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>
//!
//! Read from `/proc` when it is asked for (proc(5)); where there is none, nothing is
//! told.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::fs;
use std::sync::OnceLock;

/// Clock ticks of `/proc` in a second: Linux tells them in this unit whatever its own
/// is (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What is asked of the process at each scrape.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Asked once: the machine's start, which it is counted from, is told anew to the
    /// second, and a process that seems to have begun anew has restarted to its
    /// operators.
    started_at_seconds: OnceLock<f64>,
}

/// As `/proc` has it. Floats, as they are for Prometheus: nothing is billed by them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    cpu_seconds: f64,
    started_at_seconds: f64,
    resident_bytes: u64,
    open_fds: u64,
    max_fds: u64,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(found) = find() else {
            return Ok(());
        };
        let mut encoder = encoder;
        let mut tell = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            let told = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(told)
        };
        let counter = ConstCounter::new(found.cpu_seconds);
        tell("process_cpu_seconds", "Processor time used", &counter)?;
        let started_at = self
            .started_at_seconds
            .get_or_init(|| found.started_at_seconds);
        let started = ConstGauge::new(*started_at);
        tell(
            "process_start_time_seconds",
            "When it began, as Unix time",
            &started,
        )?;
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                found.resident_bytes,
            ),
            ("process_open_fds", "Open file descriptors", found.open_fds),
            (
                "process_max_fds",
                "The most file descriptors that may be open",
                found.max_fds,
            ),
        ] {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            tell(name, help, &ConstGauge::new(value))?;
        }
        Ok(())
    }
}

fn find() -> Option<Found> {
    let text = |path: &str| fs::read_to_string(path).ok();
    let (cpu_ticks, start_ticks) = ticks(&text("/proc/self/stat")?)?;
    let booted_at = number_behind(&text("/proc/stat")?, "btime")?;
    let resident_kib = number_behind(&text("/proc/self/status")?, "VmRSS:")?;
    Some(Found {
        cpu_seconds: seconds(cpu_ticks),
        started_at_seconds: seconds(start_ticks) + real(booted_at),
        resident_bytes: resident_kib.saturating_mul(1024),
        // Without the one that the folder is read by.
        open_fds: (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        max_fds: number_behind(&text("/proc/self/limits")?, "Max open files").unwrap_or(u64::MAX),
    })
}

/// Ticks of the processor used, in user and system mode, and those from the machine's
/// start to the process's. The second field is the program's name, which may hold
/// anything, so what is counted begins behind it.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, behind) = stat.rsplit_once(')')?;
    let field = |nth: usize| {
        behind
            .split_ascii_whitespace()
            .nth(nth - 3)?
            .parse::<u64>()
            .ok()
    };
    Some((field(14)?.saturating_add(field(15)?), field(22)?))
}

/// The first number behind a word at the beginning of a line.
fn number_behind(text: &str, word: &str) -> Option<u64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(word))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn seconds(ticks: u64) -> f64 {
    real(ticks) / TICKS_PER_SECOND
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 and ticks stay far below 2^53"
)]
fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 4200 1 2";
        assert_eq!(ticks(stat), Some((300, 4200)));
        assert_eq!(ticks("7 (weir) S 1"), None);
        assert_eq!(number_behind("a 1\nbtime 99\n", "btime"), Some(99));
        assert_eq!(
            number_behind(
                "Max open files            1024   4096  files\n",
                "Max open files"
            ),
            Some(1024)
        );
        assert_eq!(
            number_behind("Max open files  unlimited unlimited", "Max open files"),
            None
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_told_of() {
        let found = find().unwrap();
        assert!(found.resident_bytes > 1 << 20 && found.open_fds >= 3);
        assert!(found.max_fds > found.open_fds);
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - found.started_at_seconds;
        // The machine's start is told in whole seconds.
        assert!((-2.0..7_200.0).contains(&age), "{age}");
        let text = Metrics::new().encode();
        for line in [
            "\n# TYPE process_cpu_seconds counter\n",
            "\nprocess_cpu_seconds_total ",
            "\nprocess_resident_memory_bytes ",
            "\nprocess_start_time_seconds ",
            "\nprocess_open_fds ",
            "\nprocess_max_fds ",
        ] {
            assert!(format!("\n{text}").contains(line), "{line} in\n{text}");
        }
    }
}
