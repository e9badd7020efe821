//! Which parts of a remote store are taken to be away, so that no call waits
//! for them.
//!
//! A lane is a part that fails by itself (a master of a Cluster serves many).
//! Always holds: only who has seen the store take writes again closes a lane.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// Failures in a row, with no answer between them, that open a lane. One may be
/// a packet lost.
const FAILURES_MAX: u32 = 3;

/// The lanes of a store.
#[derive(Debug)]
pub(super) struct Breaker {
    lanes: Vec<Lane>,
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Lane {
    failures: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            open: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_open(&self, lane: usize) -> bool {
        self.open.load(Ordering::Acquire) > 0
            && self
                .lanes
                .get(lane)
                .is_some_and(|lane| lane.open.load(Ordering::Acquire))
    }

    /// How many lanes are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn open_lanes(&self) -> Vec<usize> {
        (0..self.lanes.len())
            .filter(|lane| self.is_open(*lane))
            .collect()
    }

    /// The lane did not answer, or refused everybody. Whether that opened it.
    pub(super) fn failed(&self, lane: usize) -> bool {
        let Some(lane) = self.lanes.get(lane) else {
            return false;
        };
        let failures = lane.failures.fetch_add(1, Ordering::AcqRel) + 1;
        if failures < FAILURES_MAX || lane.open.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// The lane answered.
    pub(super) fn answered(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane)
            && lane.failures.load(Ordering::Relaxed) != 0
        {
            lane.failures.store(0, Ordering::Release);
        }
    }

    /// The lane takes writes again, and what it missed is told.
    pub(super) fn close(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.failures.store(0, Ordering::Release);
            if lane.open.swap(false, Ordering::AcqRel) {
                self.open.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_opens_by_failures_in_a_row_and_closes_when_told() {
        let breaker = Breaker::new(2);
        assert!(!breaker.failed(1) && !breaker.failed(1));
        breaker.answered(1);
        assert!(!breaker.failed(1) && !breaker.failed(1));
        assert!(!breaker.is_open(1));
        assert!(breaker.failed(1), "the third in a row");
        assert!(breaker.is_open(1) && !breaker.is_open(0));
        assert!(!breaker.failed(1), "it is open already");
        // A late answer of before is no proof.
        breaker.answered(1);
        assert_eq!(breaker.open_lanes(), [1]);
        breaker.close(1);
        breaker.close(1);
        assert_eq!((breaker.open(), breaker.is_open(1)), (0, false));
        assert!(!breaker.failed(7));
    }
}
