//! Whether this process should get calls now, as named parts.
//!
//! Each part is set by whoever knows it and read by health checks and by the
//! services that refuse calls while draining. Reading costs nothing and never
//! waits: atomics, and one value beside them for those who wait for a change.
//!
//! Two questions are told apart. *Ready* ([`Readiness::is_ready`]): is all as it
//! should be? It is for operators, so a counter store that is away shows. *Serving*
//! ([`Readiness::is_serving`]): should new calls be sent here? It is for whoever
//! spreads calls over several processes, so only what makes this one refuse them
//! counts; what all of them share and can do without would take all away at once.
//!
//! Whether what runs is what the configuration's file says is told beside them: it
//! makes nobody unready.

use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The shared value. By default nothing is wrong but that it has not started.
#[derive(Debug)]
pub struct Readiness {
    started: AtomicBool,
    leaving: AtomicBool,
    draining: AtomicBool,
    counters: AtomicBool,
    ledger: AtomicBool,
    keys: AtomicBool,
    configuration: ArcSwap<FileState>,
    serving: watch::Sender<bool>,
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
            leaving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            counters: AtomicBool::new(true),
            ledger: AtomicBool::new(true),
            keys: AtomicBool::new(true),
            configuration: ArcSwap::default(),
            serving: watch::Sender::new(false),
        }
    }
}

impl Readiness {
    /// Everything is wired and listening.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
        self.tell();
    }

    /// The process is going down: calls should go elsewhere, though those that come
    /// are still taken. There is no way back.
    pub fn set_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
        self.tell();
    }

    /// The process takes no new calls. There is no way back.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.set_leaving();
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
        self.tell();
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

    /// Whether new calls should be sent here: it has started, isn't going down, and
    /// its ledger takes what they use. Where the counter store is away calls are
    /// admitted all the same, or refused everywhere alike; and keys that aren't known
    /// here aren't known elsewhere.
    pub fn is_serving(&self) -> bool {
        self.started.load(Ordering::Acquire)
            && !self.leaving.load(Ordering::Acquire)
            && self.ledger.load(Ordering::Acquire)
    }

    /// [`Readiness::is_serving`], for who waits for it to change.
    pub fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Parts are set before: whoever comes last tells of all.
    fn tell(&self) {
        self.serving.send_if_modified(|told| {
            let serving = self.is_serving();
            std::mem::replace(told, serving) != serving
        });
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
            check("not_draining", !self.leaving.load(Ordering::Acquire)),
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
        let unready: [fn(&Readiness); 5] = [
            |readiness| readiness.set_leaving(),
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
            // Leaving and draining are told as one.
            assert_eq!(failed, Some(index.max(1)));
        }
    }

    #[test]
    fn new_calls_go_where_they_are_taken() {
        let readiness = Readiness::default();
        let mut serving = readiness.serving();
        let mut now = |readiness: &Readiness| {
            let told = *serving.borrow_and_update();
            assert_eq!(told, readiness.is_serving());
            told
        };
        assert!(!now(&readiness), "not before it has started");
        readiness.set_started();
        assert!(now(&readiness));
        // All replicas see these alike.
        readiness.set_counters(false);
        readiness.set_keys(false);
        assert!(now(&readiness) && !readiness.is_ready());
        readiness.set_ledger(false);
        assert!(!now(&readiness));
        readiness.set_ledger(true);
        assert!(now(&readiness));
        readiness.set_leaving();
        assert!(!now(&readiness) && !readiness.is_draining());
        readiness.set_draining();
        readiness.set_ledger(true);
        assert!(!now(&readiness) && readiness.is_draining());
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
