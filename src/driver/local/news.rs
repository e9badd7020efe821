//! How much the store is still to be told, and when there is nothing left.

use super::Local;
use crate::limits::Reservation;

impl Local {
    /// Whether the store has anything to be told.
    pub(in crate::driver) fn has_news(&self) -> bool {
        !self.books().is_empty()
    }

    /// How many calls and counters the store is to be told of.
    pub(in crate::driver) fn untold_len(&self) -> (usize, usize) {
        self.books().untold_len()
    }

    /// Resolves when the store has been told of everything.
    pub(in crate::driver) async fn told_all(&self) {
        loop {
            let closed = self.closed.notified();
            if self.untold_len() == (0, 0) {
                return;
            }
            closed.await;
        }
    }

    /// Another process ended a call of which the store had not heard.
    pub(in crate::driver) fn ended_elsewhere(&self, call: &Reservation) {
        self.books().ended_elsewhere(call.hold);
        self.memory.drop_hold(&call.slot, call.hold);
    }
}
