//! Whether this process should get calls now, as named parts.
//!
//! Each part is set by whoever knows it and read by health checks and by the
//! services that refuse calls while draining. Atomics only: reading costs
//! nothing and never waits.
//!
//! Whether what runs is what the configuration's file says is told beside them: it
//! makes nobody unready.

use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The shared value. By default nothing is wrong but that it has not started.
#[derive(Debug)]
pub struct Readiness {
    started: AtomicBool,
    draining: AtomicBool,
    counters: AtomicBool,
    ledger: AtomicBool,
    keys: AtomicBool,
    configuration: ArcSwap<FileState>,
}

/// How what runs differs from what the configuration's file says; by default not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileState {
    /// Why what the file holds can't be used: the first problems, a line each.
    pub problems: Vec<String>,
    /// How many there are beyond those.
    pub problems_more: usize,
    /// Fields of what was taken last that take effect at the next start.
    pub waiting: Vec<String>,
}

impl FileState {
    /// Whether what runs is what the file says.
    pub fn is_current(&self) -> bool {
        self.problems.is_empty() && self.waiting.is_empty()
    }
}

/// One part, and whether it is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            counters: AtomicBool::new(true),
            ledger: AtomicBool::new(true),
            keys: AtomicBool::new(true),
            configuration: ArcSwap::default(),
        }
    }
}

impl Readiness {
    /// Everything is wired and listening.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// The process is going down: no new calls. There is no way back.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the counter store answers.
    pub fn set_counters(&self, ok: bool) {
        self.counters.store(ok, Ordering::Release);
    }

    /// Whether the ledger takes what calls use.
    pub fn set_ledger(&self, ok: bool) {
        self.ledger.store(ok, Ordering::Release);
    }

    /// Whether any key can call: it isn't known which of the stored ones count, and
    /// there are no others.
    pub fn set_keys(&self, ok: bool) {
        self.keys.store(ok, Ordering::Release);
    }

    /// How what runs differs from what the configuration's file says.
    pub fn set_configuration(&self, state: FileState) {
        self.configuration.store(Arc::new(state));
    }

    pub fn configuration(&self) -> Arc<FileState> {
        self.configuration.load_full()
    }

    /// Whether all parts are well.
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(|check| check.ok)
    }

    /// Every part, always in the same order.
    pub fn checks(&self) -> [Check; 5] {
        let check = |name, ok| Check { name, ok };
        [
            check("started", self.has_started()),
            check("not_draining", !self.is_draining()),
            check("counters", self.counters.load(Ordering::Acquire)),
            check("ledger", self.ledger.load(Ordering::Acquire)),
            check("keys", self.keys.load(Ordering::Acquire)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_alone_makes_it_unready() {
        let unready: [fn(&Readiness); 4] = [
            |readiness| readiness.set_draining(),
            |readiness| readiness.set_counters(false),
            |readiness| readiness.set_ledger(false),
            |readiness| readiness.set_keys(false),
        ];
        for (index, break_it) in unready.into_iter().enumerate() {
            let readiness = Readiness::default();
            assert!(!readiness.is_ready(), "not before it has started");
            readiness.set_started();
            assert!(readiness.is_ready());
            break_it(&readiness);
            assert!(!readiness.is_ready());
            let failed = readiness.checks().iter().position(|check| !check.ok);
            assert_eq!(failed, Some(index + 1));
        }
    }

    #[test]
    fn a_file_that_is_not_what_runs_makes_nobody_unready() {
        let readiness = Readiness::default();
        readiness.set_started();
        assert!(readiness.configuration().is_current());
        readiness.set_configuration(FileState {
            problems: vec!["weir.yaml: is wrong".to_owned()],
            ..FileState::default()
        });
        assert!(readiness.is_ready() && !readiness.configuration().is_current());
    }

    #[test]
    fn what_recovers_is_ready_again() {
        let readiness = Readiness::default();
        readiness.set_started();
        readiness.set_counters(false);
        readiness.set_ledger(false);
        readiness.set_counters(true);
        assert!(!readiness.is_ready());
        readiness.set_ledger(true);
        assert!(readiness.is_ready());
    }
}
