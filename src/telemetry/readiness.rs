//! Whether this process should get calls now, as named parts.
//!
//! Each part is set by whoever knows it and read by health checks and by the
//! services that refuse calls while draining. Atomics only: reading costs
//! nothing and never waits.

use std::sync::atomic::{AtomicBool, Ordering};

/// The shared value. By default nothing is wrong but that it has not started.
#[derive(Debug)]
pub struct Readiness {
    started: AtomicBool,
    draining: AtomicBool,
    counters: AtomicBool,
    ledger: AtomicBool,
    keys: AtomicBool,
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
        }
    }
}

impl Readiness {
    /// Everything is wired and listening.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
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

    /// Whether all parts are well.
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(|check| check.ok)
    }

    /// Every part, always in the same order.
    pub fn checks(&self) -> [Check; 5] {
        let check = |name, ok| Check { name, ok };
        [
            check("started", self.started.load(Ordering::Acquire)),
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
