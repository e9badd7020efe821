//! Which parts of a remote store are taken to be away, so that no call waits
//! for them.
//!
//! A lane is a part that fails by itself (a master of a Cluster serves many).
//! One that is back is asked again at once, and gives out no more than this
//! sidecar's share beside it until all sidecars have told it of theirs. Always
//! holds: only who has seen the store take writes again, and told it what it
//! missed, has it asked again.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// Failures in a row, with no answer between them, that open a lane. One may be
/// a packet lost.
const FAILURES_MAX: u32 = 3;

/// A lane decides by itself.
const CLOSED: u8 = 0;
/// It is not asked.
const OPEN: u8 = 1;
/// It is asked again, beside this sidecar's share.
const RETURNING: u8 = 2;

/// The lanes of a store.
#[derive(Debug)]
pub(super) struct Breaker {
    lanes: Vec<Lane>,
    /// How many lanes are not closed.
    away: AtomicUsize,
}

#[derive(Debug, Default)]
struct Lane {
    failures: AtomicU32,
    state: AtomicU8,
}

impl Breaker {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            away: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_open(&self, lane: usize) -> bool {
        self.state(lane) == OPEN
    }

    pub(super) fn is_returning(&self, lane: usize) -> bool {
        self.state(lane) == RETURNING
    }

    pub(super) fn is_closed(&self, lane: usize) -> bool {
        self.state(lane) == CLOSED
    }

    /// How many lanes don't decide by themselves.
    pub(super) fn away(&self) -> usize {
        self.away.load(Ordering::Acquire)
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
        if failures < FAILURES_MAX {
            return false;
        }
        let before = lane.state.swap(OPEN, Ordering::AcqRel);
        if before == CLOSED {
            self.away.fetch_add(1, Ordering::AcqRel);
        }
        before != OPEN
    }

    /// The lane answered.
    pub(super) fn answered(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane)
            && lane.failures.load(Ordering::Relaxed) != 0
        {
            lane.failures.store(0, Ordering::Release);
        }
    }

    /// The lane takes writes again, and what it missed here is told.
    pub(super) fn returns(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.failures.store(0, Ordering::Release);
            lane.turn(OPEN, RETURNING);
        }
    }

    /// All have told the lane what it missed. Not where it failed again.
    pub(super) fn close(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane)
            && lane.turn(RETURNING, CLOSED)
        {
            self.away.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn state(&self, lane: usize) -> u8 {
        match self.away() {
            0 => CLOSED,
            _ => {
                let lane = self.lanes.get(lane);
                lane.map_or(CLOSED, |lane| lane.state.load(Ordering::Acquire))
            }
        }
    }
}

impl Lane {
    fn turn(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
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
        assert!(breaker.is_open(1), "it has not been told yet");
        breaker.returns(1);
        assert!(breaker.is_returning(1) && !breaker.is_open(1) && !breaker.is_closed(1));
        assert_eq!((breaker.away(), breaker.open_lanes()), (1, vec![]));
        breaker.close(1);
        breaker.close(1);
        breaker.returns(1);
        assert_eq!((breaker.away(), breaker.is_closed(1)), (0, true));
        assert!(!breaker.failed(7));
    }

    #[test]
    fn a_lane_that_fails_while_it_returns_is_open_again() {
        let breaker = Breaker::new(1);
        let fail = || (0..FAILURES_MAX).any(|_| breaker.failed(0));
        assert!(fail());
        breaker.returns(0);
        assert!(fail(), "what it takes is told");
        breaker.close(0);
        assert_eq!((breaker.is_open(0), breaker.away()), (true, 1));
    }
}
