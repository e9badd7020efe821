//! Refusals of each tenant, counted by the window: told once in a window, when they
//! are more than a bound.

use crate::units::{Millis, UnixMillis};
use std::collections::HashMap;
use std::sync::Arc;

/// The most tenants that are counted in a window; refusals of others aren't.
pub const TENANTS_MAX: usize = 10_000;

/// Counts.
#[derive(Debug)]
pub struct Rate {
    above: u64,
    every: Millis,
    ends_at: UnixMillis,
    counts: HashMap<Arc<str>, u64>,
}

/// A tenant was refused more often than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    pub count: u64,
    pub ends_at: UnixMillis,
}

impl Rate {
    /// More than `above` in a window of `every`, as windows follow each other since
    /// 1970, the same on every sidecar.
    pub fn new(above: u64, every: Millis) -> Self {
        Self {
            above,
            every,
            ends_at: UnixMillis(0),
            counts: HashMap::new(),
        }
    }

    pub fn above(&self) -> u64 {
        self.above
    }

    pub fn every(&self) -> Millis {
        self.every
    }

    /// One more refusal.
    pub fn refused(&mut self, tenant: &Arc<str>, now: UnixMillis) -> Option<TooMany> {
        let every = self.every.0.max(1);
        let ends_at = UnixMillis((now.0 / every).saturating_add(1).saturating_mul(every));
        if ends_at != self.ends_at {
            self.counts.clear();
            self.ends_at = ends_at;
        }
        let has_room = self.counts.len() < TENANTS_MAX;
        let count = match self.counts.get_mut(tenant) {
            Some(count) => count,
            None if has_room => self.counts.entry(Arc::clone(tenant)).or_default(),
            None => return None,
        };
        *count = count.saturating_add(1);
        let count = *count;
        (count == self.above.saturating_add(1)).then_some(TooMany { count, ends_at })
    }

    /// What was told of a tenant was not: the next refusal tells it.
    pub fn again(&mut self, tenant: &Arc<str>) {
        if let Some(count) = self.counts.get_mut(tenant) {
            *count = self.above;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_bound_is_told_once_in_a_window() {
        let mut rate = Rate::new(3, Millis(1_000));
        let (acme, globex): (Arc<str>, Arc<str>) = ("acme".into(), "globex".into());
        let mut told = Vec::new();
        for n in 0..10 {
            told.extend(rate.refused(&acme, UnixMillis(5_000 + n)));
            let _ = rate.refused(&globex, UnixMillis(5_000 + n));
        }
        let ends_at = UnixMillis(6_000);
        assert_eq!(told, [TooMany { count: 4, ends_at }]);
        for n in 0..3 {
            assert_eq!(rate.refused(&acme, UnixMillis(6_000 + n)), None);
        }
        assert!(rate.refused(&acme, UnixMillis(6_999)).is_some());
        rate.again(&acme);
        assert!(rate.refused(&acme, UnixMillis(6_999)).is_some());
        assert_eq!(rate.refused(&acme, UnixMillis(7_000)), None);
    }

    #[test]
    fn tenants_without_end_take_no_memory_without_end() {
        let mut rate = Rate::new(1, Millis(1_000));
        for n in 0..2 * TENANTS_MAX {
            rate.refused(&format!("t{n}").into(), UnixMillis(1));
        }
        assert_eq!(rate.counts.len(), TENANTS_MAX);
    }
}
