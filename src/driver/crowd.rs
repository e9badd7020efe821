//! Calls that are held back, which are only so many at once: each holds its body and
//! its stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most calls of a sidecar that wait: with bodies of 1 MiB, 1 GiB.
const WAITING_MAX: usize = 1_024;

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Crowd(Arc<AtomicUsize>);

/// A place in it, until it is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Crowd {
    /// A place; `None` where there are too many.
    pub(super) fn enter(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.0));
        // Counted before it is looked at; one too many leaves by being dropped.
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        (before < WAITING_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait_and_who_leaves_makes_room() {
        let crowd = Crowd::default();
        let mut places: Vec<Place> = (0..WAITING_MAX).filter_map(|_| crowd.enter()).collect();
        assert_eq!(places.len(), WAITING_MAX);
        assert!(crowd.enter().is_none() && crowd.enter().is_none());
        places.pop();
        assert!(crowd.enter().is_some());
    }
}
