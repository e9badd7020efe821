//! What a sidecar has told already: each alert once for its threshold and period.
//!
//! Asked for each call past a threshold, so it compares before it makes anything.

use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;

/// The most series that are remembered. One more is told again and again, and is
/// found to be known where alerts are kept.
pub const TOLD_MAX: usize = 16_384;

/// What alerts are of: a tenant's counter, or a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Series {
    /// Of so much: what is added to a budget makes another of it.
    Budget {
        tenant: Arc<str>,
        counter: Arc<str>,
        amount: u64,
    },
    Approval(Arc<str>),
}

/// What was told, until its period ends.
#[derive(Debug, Default)]
pub struct Told {
    known: HashMap<Series, (u64, UnixMillis)>,
    /// Of a full table nothing is over before: until then nobody looks for it.
    all_hold_until: UnixMillis,
}

impl Told {
    /// Whether this goes further than what was told in its period; if so, it counts
    /// as told from now on.
    pub fn is_new(
        &mut self,
        series: &Series,
        level: u64,
        until: UnixMillis,
        now: UnixMillis,
    ) -> bool {
        if let Some((told, ends_at)) = self.known.get_mut(series) {
            if now < *ends_at && level <= *told {
                return false;
            }
            (*told, *ends_at) = (level, until);
            return true;
        }
        if self.known.len() >= TOLD_MAX && self.all_hold_until <= now {
            self.known.retain(|_, (_, ends_at)| now < *ends_at);
            let ends = self.known.values().map(|(_, ends_at)| *ends_at);
            self.all_hold_until = ends.min().unwrap_or_default();
        }
        if self.known.len() < TOLD_MAX {
            self.known.insert(series.clone(), (level, until));
        }
        true
    }

    /// It was not told after all.
    pub fn forget(&mut self, series: &Series) {
        self.known.remove(series);
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: usize) -> Series {
        Series::Budget {
            tenant: "acme".into(),
            counter: format!("c{n}").into(),
            amount: 100,
        }
    }

    #[test]
    fn each_threshold_is_told_once_in_a_period_and_never_a_lower_one() {
        let mut told = Told::default();
        let mut is_new =
            |level, until, now| told.is_new(&series(0), level, UnixMillis(until), UnixMillis(now));
        assert!(is_new(500, 100, 10));
        assert!(!is_new(500, 100, 11));
        assert!(is_new(800, 100, 12));
        assert!(
            !is_new(500, 100, 13),
            "what is settled may be less than what was held"
        );
        assert!(!is_new(800, 100, 99));
        assert!(is_new(500, 200, 100), "the period after");
        assert!(!is_new(500, 200, 101));
        let topped_up = Series::Budget {
            tenant: "acme".into(),
            counter: "c0".into(),
            amount: 150,
        };
        assert!(told.is_new(&topped_up, 500, UnixMillis(200), UnixMillis(101)));
        told.forget(&series(0));
        assert!(told.is_new(&series(0), 500, UnixMillis(200), UnixMillis(102)));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut told = Told::default();
        for n in 0..TOLD_MAX + 10 {
            assert!(told.is_new(&series(n), 500, UnixMillis(100), UnixMillis(1)));
        }
        assert_eq!(told.len(), TOLD_MAX);
        assert_eq!(told.all_hold_until, UnixMillis(100), "looked through once");
        // What is over makes room.
        assert!(told.is_new(&series(TOLD_MAX + 5), 500, UnixMillis(300), UnixMillis(200)));
        assert_eq!(told.len(), 1);
    }
}
