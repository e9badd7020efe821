//! A counter as its slot keeps it.

use super::*;

/// Stores a counter in its place; leases are stored one by one.
pub(super) fn store(stored: &mut State, counter: &Counter) {
    match (stored, counter) {
        (State::Fixed(stored), Counter::Fixed { window, .. }) => *stored = *window,
        (State::Window(stored), Counter::Window { window, .. }) => **stored = *window,
        (State::Bucket(stored), Counter::Bucket(bucket)) => *stored = *bucket,
        _ => {}
    }
}

/// A counter of which nothing is stored yet.
pub(super) fn fresh(counter: &Counter) -> State {
    match counter {
        Counter::Fixed { window, .. } => State::Fixed(*window),
        Counter::Window { window, .. } => State::Window(Box::new(*window)),
        Counter::Bucket(bucket) => State::Bucket(*bucket),
        Counter::Leases { .. } => State::Leases(Leases::default()),
    }
}
