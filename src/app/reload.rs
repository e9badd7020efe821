//! The configuration read anew while weir runs: when its file changes, or any that
//! it names; at SIGHUP; when the admin API is asked to.
//!
//! Always holds: a file that can't be used changes nothing, and is told of where an
//! operator looks (log, metrics, `/readyz`, the answer); one that can be used counts
//! whole, for every call that begins from then on, and a call goes on by what it
//! began with. One reading is made at a time, on a thread that serves nobody.
//!
//! Left to others: which files have changed ([`Watched`]); what a running process
//! can't take ([`crate::config::fixed`]).

mod take;

use super::vocabularies;
use crate::admin::{AdminState, ReloadAsked, ReloadAsks, ReloadOutcome};
use crate::config::fixed::Fixed;
use crate::config::{Config, Held, Watched, load_file};
use crate::driver::Driver;
use crate::policy::Snapshot;
use crate::telemetry::logs::LogLevel;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the files are looked at. A change counts once two looks in a row find
/// the same, so what is still being written is nobody's error, and who writes often
/// is read once; it counts within about two seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a configuration came from.
pub struct Origin {
    pub path: PathBuf,
    /// What it was read from.
    pub watched: Watched,
    /// `None`: what is printed doesn't change.
    pub level: Option<LogLevel>,
}

/// Why it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    File,
    Hangup,
    Asked,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Cause::File => "a file changed",
            Cause::Hangup => "SIGHUP",
            Cause::Asked => "the admin API was asked",
        }
    }
}

/// Waits for causes.
pub(super) struct Reloader {
    hangup: Signal,
    asks: ReloadAsks,
    /// There once the process serves calls.
    driver: Arc<OnceLock<Arc<Driver>>>,
    reading: Reading,
}

/// Reads, and knows what was read.
struct Reading {
    path: PathBuf,
    watched: Watched,
    /// What the last look found.
    seen: Held,
    /// What was last taken or refused.
    judged: Held,
    fixed: Fixed,
    state: AdminState,
    level: Option<LogLevel>,
    /// What ran before and calls may still hold.
    retired: Vec<Arc<Snapshot>>,
}

impl Reloader {
    /// Of a process that starts with this configuration. Within a runtime; SIGHUP
    /// ends the process no more.
    ///
    /// # Errors
    /// Signals can't be waited for.
    pub fn new(
        config: &Config,
        origin: Origin,
        state: AdminState,
        asks: ReloadAsks,
        driver: Arc<OnceLock<Arc<Driver>>>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            asks,
            driver,
            reading: Reading::new(config, origin, state),
        })
    }

    /// Goes on for as long as it is waited for.
    pub async fn run(self) {
        let Self {
            mut hangup,
            mut asks,
            driver,
            mut reading,
        } = self;
        loop {
            let mut asked: Vec<ReloadAsked> = Vec::new();
            let mut cause = tokio::select! {
                Some(()) = hangup.recv() => Cause::Hangup,
                Some(ask) = asks.recv() => {
                    asked.push(ask);
                    Cause::Asked
                }
                () = tokio::time::sleep(LOOK_EVERY) => Cause::File,
            };
            // One reading answers all who have asked before it began.
            while let Ok(ask) = asks.try_recv() {
                asked.push(ask);
                cause = Cause::Asked;
            }
            // What changes before there is one is found by a look after that.
            let Some(driver) = driver.get().cloned() else {
                continue;
            };
            // A file of a million tenants takes seconds to read: no call, and no
            // scrape, waits for it.
            let read = tokio::task::spawn_blocking(move || {
                let outcome = reading.step(&driver, cause);
                (reading, outcome)
            });
            let outcome = match read.await {
                Ok((back, outcome)) => {
                    reading = back;
                    outcome
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration is no longer followed");
                    break;
                }
            };
            for ask in asked {
                if let Some(outcome) = &outcome {
                    // Who asked may have left.
                    let _ = ask.send(outcome.clone());
                }
            }
        }
        drop(asks);
        std::future::pending().await
    }
}

impl Reading {
    fn new(config: &Config, origin: Origin, state: AdminState) -> Self {
        let judged = origin.watched.held();
        Self {
            path: origin.path,
            watched: origin.watched,
            seen: judged.clone(),
            judged,
            fixed: Fixed::of(config),
            state,
            level: origin.level,
            retired: Vec::new(),
        }
    }

    /// Reads where there is reason to; what came of it.
    fn step(&mut self, driver: &Driver, cause: Cause) -> Option<ReloadOutcome> {
        self.let_go();
        if cause == Cause::File && !self.has_changed() {
            return None;
        }
        Some(self.read(driver, cause))
    }

    /// Whether the files hold something else than was judged last, and have done so
    /// since the last look.
    fn has_changed(&mut self) -> bool {
        let held = self.watched.look();
        let is_settled = held == self.seen;
        self.seen = held;
        is_settled && self.seen != self.judged
    }

    fn read(&mut self, driver: &Driver, cause: Cause) -> ReloadOutcome {
        let watched = Watched::default();
        let read = load_file(&self.path, &watched);
        self.judged = watched.held();
        self.seen = self.judged.clone();
        self.watched = watched;
        match read {
            Ok(config) => Ok(Arc::new(self.take(config, driver, cause))),
            Err(problems) => {
                self.refuse(&problems, cause);
                Err(Arc::new(problems))
            }
        }
    }

    /// Ends here what ran before, once no call holds it: to drop a million tenants
    /// takes long, and a thread that serves calls has no time for that.
    fn let_go(&mut self) {
        let is_held = |before: &Arc<Snapshot>| {
            Arc::strong_count(before) > 1
                || Arc::strong_count(&before.tenants) > 1
                || Arc::strong_count(&before.keys.configured) > 1
        };
        self.retired.retain(is_held);
    }
}

#[cfg(test)]
mod tests;
