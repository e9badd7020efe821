//! What is done with a configuration that was read anew, or with what is wrong
//! with it.

use super::super::keys::carry_over;
use super::{Cause, Reading, vocabularies};
use crate::admin::Taken;
use crate::config::shown::{differences, keys_differ, tenants_differ};
use crate::config::{Config, Problems};
use crate::driver::Driver;
use crate::telemetry::metrics::Reload;
use crate::telemetry::readiness::FileState;

/// The most differences that are told.
const DIFFERENCES_MAX: usize = 1_000;

/// The most paths of a line of the log.
const PATHS_MAX: usize = 20;

/// The most problems that `/readyz` tells: the log and the admin API tell all.
const PROBLEMS_TOLD_MAX: usize = 5;

impl Reading {
    /// Has it count for all calls that begin from now on.
    pub(super) fn take(&mut self, config: Config, driver: &Driver, cause: Cause) -> Taken {
        let before = driver.snapshot();
        let shown = self.fixed.shown_with(&config);
        let max = DIFFERENCES_MAX + 1;
        let mut found = differences(&self.state.configuration.shown(), &shown, max);
        found.extend(keys_differ(&before, &config.snapshot, max));
        found.extend(tenants_differ(&before, &config.snapshot, max));
        let more = found.len() >= max;
        found.truncate(DIFFERENCES_MAX);
        let taken = Taken {
            differences: found,
            more,
            warnings: config.warnings.clone(),
            waiting: self.fixed.waiting(&config),
        };
        // Not by the first call that needs one.
        vocabularies::load_new(&before, &config.snapshot);
        if let Some(level) = &self.level
            && let Err(error) = level.set(config.telemetry.log_level.as_str())
        {
            tracing::error!(%error, "the level of the log stays as it was");
        }
        self.state.change(&config, shown);
        driver.change_snapshot(|before| carry_over(before, config.snapshot));
        driver.forget_refusals();
        self.retired.push(before);
        self.tell_taken(&taken, cause);
        taken
    }

    fn tell_taken(&self, taken: &Taken, cause: Cause) {
        for warning in &taken.warnings {
            tracing::warn!("{warning}");
        }
        let paths = taken.differences.iter().map(|one| one.path.as_str());
        let paths: Vec<&str> = paths.take(PATHS_MAX).collect();
        tracing::info!(
            cause = cause.as_str(),
            changed = taken.differences.len(),
            fields = paths.join(", "),
            "the configuration was read anew and counts from now on"
        );
        if !taken.waiting.is_empty() {
            let fields = taken.waiting.join(", ");
            tracing::warn!(fields, "these fields take effect at the next start");
        }
        let metrics = self.state.metrics.config();
        metrics.reloaded(Reload::Taken);
        metrics.waiting(taken.waiting.len());
        self.state.readiness.set_configuration(FileState {
            waiting: taken.waiting.clone(),
            ..FileState::default()
        });
    }

    /// What ran before still does.
    pub(super) fn refuse(&self, problems: &Problems, cause: Cause) {
        tracing::error!(
            cause = cause.as_str(),
            problems = problems.count(),
            "the configuration can't be used; the one before still is"
        );
        for problem in problems.lines() {
            tracing::error!("{problem}");
        }
        self.state.metrics.config().reloaded(Reload::Refused);
        let told: Vec<String> = problems.lines().take(PROBLEMS_TOLD_MAX).collect();
        let before = self.state.readiness.configuration();
        self.state.readiness.set_configuration(FileState {
            problems_more: problems.count().saturating_sub(told.len()),
            problems: told,
            waiting: before.waiting.clone(),
        });
    }
}
