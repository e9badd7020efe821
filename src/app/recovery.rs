//! The usage log, and what an earlier process left open in its journal.

use crate::config::{Config, CountersConfig};
use crate::driver::Recorder;
use crate::driver::clock::Clock;
use crate::exchange::{OpenCall, interrupted_event};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::telemetry::usage_log::{Interrupted, UsageLog};
use anyhow::Context;
use std::sync::Arc;

/// Opens the usage log, if there is to be one. Counters in memory die with
/// their process, so a journal remembers the open calls; a remote store
/// remembers them itself.
pub(super) fn open_log(
    config: &Config,
    metrics: &Arc<Metrics>,
    readiness: &Arc<Readiness>,
) -> anyhow::Result<(Option<UsageLog>, Vec<Interrupted>)> {
    let Some(files) = &config.usage_log else {
        return Ok((None, Vec::new()));
    };
    let journal =
        matches!(config.counters, CountersConfig::Memory).then_some(files.open_path.as_path());
    let (log, interrupted) = UsageLog::open(
        &files.path,
        journal,
        Arc::clone(metrics),
        Arc::clone(readiness),
    )
    .context("usage_log")?;
    Ok((Some(log), interrupted))
}

/// Records the calls that were open when the last process died: what they used
/// is not known, so the most that they could use is charged.
pub(super) fn record_interrupted(
    interrupted: Vec<Interrupted>,
    recorder: &Recorder,
    clock: &Clock,
) {
    if !interrupted.is_empty() {
        let calls = interrupted.len();
        tracing::warn!(
            calls,
            "calls were open when weir last ended; they are recorded as estimated"
        );
    }
    for call in interrupted {
        match OpenCall::from_json(&call.context) {
            Some(open) => recorder.record(interrupted_event(&open, clock.now())),
            None => {
                tracing::error!(id = %call.id, "an open call in the journal can't be read; it is dropped");
                recorder.forget(call.id);
            }
        }
    }
}
