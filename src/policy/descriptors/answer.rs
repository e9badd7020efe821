//! What is answered for each descriptor of a request.

use super::Bill;
use crate::limits::{Fate, Limit, Mode, Retry, Standing, Told};
use std::cmp::Reverse;
use std::sync::Arc;

/// A request's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub over: bool,
    /// One for each descriptor, in order.
    pub statuses: Vec<OfDescriptor>,
    /// It passed, and a limit in shadow mode would have refused it.
    pub shadow_refused: bool,
}

/// How a descriptor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfDescriptor {
    /// Nothing limits it.
    Unlimited,
    /// Another descriptor is over its limit, as is known from a moment ago; so
    /// nobody asked how this one stands.
    NotAsked,
    Limited(Status),
}

/// A descriptor's limit; of several the tightest of which anything is known.
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
            statuses: vec![OfDescriptor::Unlimited; descriptors],
            shadow_refused: false,
        }
    }
}

impl Bill {
    /// `fate` is that of the bill's toll.
    pub fn answer(&self, fate: &Fate) -> Answer {
        let of_each = self.of_each.iter();
        let statuses: Vec<OfDescriptor> = of_each
            .map(|places| match (self.tightest(places, fate), &**places) {
                (Some(status), _) => OfDescriptor::Limited(status),
                (None, []) => OfDescriptor::Unlimited,
                (None, _) => OfDescriptor::NotAsked,
            })
            .collect();
        let over = statuses
            .iter()
            .any(|status| matches!(status, OfDescriptor::Limited(status) if status.over));
        let mut each = self.toll.charges.iter().zip(&fate.told).zip(&self.traits);
        let shadow_refused = fate.taken
            && each.any(|((charge, told), traits)| {
                let lacks = told.is_some_and(|told| told.lacks.is_some());
                charge.limit.mode == Mode::Shadow && !traits.used && lacks
            });
        Answer {
            over,
            statuses,
            shadow_refused,
        }
    }

    /// The one that is over for longest; where none is, the one with the least
    /// left, of those that can refuse before those that can't.
    fn tightest(&self, places: &[usize], fate: &Fate) -> Option<Status> {
        let all = places.iter().filter_map(|place| {
            let charge = self.toll.charges.get(*place)?;
            let told = fate.told.get(*place)?.as_ref()?;
            let nothing = self.traits.get(*place).is_some_and(|traits| traits.nothing);
            Some(status(&charge.limit, told, fate.taken, nothing))
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
