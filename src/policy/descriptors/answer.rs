//! What is answered for each descriptor of a request.

use super::Bill;
use crate::limits::{Limit, Mode, Paid, Retry, Standing, Told};
use std::cmp::Reverse;
use std::sync::Arc;

/// A request's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub over: bool,
    /// One for each descriptor, in order; `None` where nothing limits it.
    pub statuses: Vec<Option<Status>>,
    /// It passed, and a limit in shadow mode would have refused it.
    pub shadow_refused: bool,
}

/// A descriptor's limit; of several the tightest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub limit: Arc<Limit>,
    /// What the limit lets pass; 0 where that is nothing.
    pub amount: u64,
    pub over: bool,
    pub standing: Standing,
    /// Where it is over: when the same request would pass this limit.
    pub retry: Option<Retry>,
}

impl Answer {
    /// To so many descriptors that nothing limits.
    pub fn unlimited(descriptors: usize) -> Self {
        Self {
            over: false,
            statuses: vec![None; descriptors],
            shadow_refused: false,
        }
    }
}

impl Bill {
    /// `paid` is the store's answer to the bill's toll.
    pub fn answer(&self, paid: &Paid) -> Answer {
        let statuses: Vec<Option<Status>> = self
            .of_each
            .iter()
            .map(|places| self.tightest(places, paid))
            .collect();
        let over = statuses.iter().flatten().any(|status| status.over);
        let mut each = self.toll.charges.iter().zip(&paid.told).zip(&self.traits);
        let shadow_refused = paid.taken
            && each.any(|((charge, told), traits)| {
                charge.limit.mode == Mode::Shadow && !traits.used && told.lacks.is_some()
            });
        Answer {
            over,
            statuses,
            shadow_refused,
        }
    }

    /// The one that is over for longest; where none is, the one with the least
    /// left, of those that can refuse before those that can't.
    fn tightest(&self, places: &[usize], paid: &Paid) -> Option<Status> {
        let all = places.iter().filter_map(|place| {
            let (charge, told) = (self.toll.charges.get(*place)?, paid.told.get(*place)?);
            let nothing = self.traits.get(*place).is_some_and(|traits| traits.nothing);
            Some(status(&charge.limit, told, paid.taken, nothing))
        });
        all.min_by_key(|status| {
            let watches = status.limit.mode == Mode::Shadow;
            let (wait, left) = (status.retry.map(longest), status.standing.remaining);
            (!status.over, Reverse(wait), watches, left)
        })
    }
}

fn status(limit: &Arc<Limit>, told: &Told, taken: bool, nothing: bool) -> Status {
    let can_refuse = !taken && limit.mode == Mode::Enforce;
    let refuses = told.lacks.filter(|_| can_refuse);
    Status {
        limit: Arc::clone(limit),
        amount: if nothing { 0 } else { limit.amount },
        over: refuses.is_some(),
        standing: told.standing,
        retry: refuses,
    }
}

/// `Never` is longer than any wait.
fn longest(retry: Retry) -> u64 {
    match retry {
        Retry::After(span) => span.0,
        Retry::WhenOneEnds => 0,
        Retry::Never => u64::MAX,
    }
}
