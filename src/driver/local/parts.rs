//! Answers that a share makes up by itself.

use crate::limits::toll::Told;
use crate::limits::{Paid, Refusal, Standing, Toll};

/// A toll that a share of nothing refuses.
pub(super) fn no_share(toll: &Toll, refusal: Refusal) -> Paid {
    let told = (0..toll.charges.len()).map(|index| Told {
        standing: Standing {
            used: refusal.used,
            exceeded: false,
            remaining: refusal.remaining,
            carried: 0,
            reset_after: None,
        },
        lacks: (index == refusal.charge).then_some(refusal.retry),
    });
    Paid {
        taken: false,
        told: told.collect(),
    }
}
