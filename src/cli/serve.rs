//! `weir serve`: load the configuration, set up logging, run.

use crate::app::{self, Hearing, Origin};
use crate::config::{self, Watched};
use crate::ledger::faults;
use crate::telemetry::logs;
use std::path::Path;
use std::process::ExitCode;

/// Serves until told to stop. A wrong configuration is reported as `weir check`
/// reports it.
pub(super) fn run(path: &Path) -> ExitCode {
    let hearing = match Hearing::begin() {
        Ok(hearing) => hearing,
        Err(error) => {
            eprintln!("weir: can't wait for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let watched = Watched::default();
    let config = match config::load_file(path, &watched) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    let format = match config.telemetry.log_format {
        config::LogFormat::Json => logs::LogFormat::Json,
        config::LogFormat::Human => logs::LogFormat::Human,
    };
    let level = match logs::init(format, config.telemetry.log_level.as_str()) {
        Ok(level) => level,
        Err(error) => {
            eprintln!("weir: can't set up logging: {error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    faults::set_up();
    let origin = Origin {
        path: path.to_owned(),
        watched,
        level: Some(level),
    };
    match app::serve(config, origin, hearing) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain: what failed, and why.
            tracing::error!("weir stops: {error:#}");
            ExitCode::FAILURE
        }
    }
}
