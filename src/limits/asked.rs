//! What a store would say to charges that it isn't asked to take.

use super::counter::wait;
use super::toll::Told;
use super::{Charge, Decision, Mode, Refusal, Standing};

/// A counter before a charge, and whether there is room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub told: Told,
    /// What of it open calls hold; `None` where that isn't known.
    pub held: Option<u64>,
}

impl Asked {
    /// Of a counter of which nothing is known: there is room.
    pub fn unknown(charge: &Charge) -> Self {
        Self {
            told: Told {
                standing: Standing {
                    used: 0,
                    exceeded: false,
                    remaining: charge.limit.most(),
                    carried: 0,
                    reset_after: None,
                },
                lacks: None,
            },
            held: None,
        }
    }
}

/// The decision on these charges, by their counters in order, as
/// [`judge`](super::counter::judge) makes it of a reservation.
pub fn decision(charges: &[Charge], asked: &[Asked]) -> Decision {
    let each = charges.iter().zip(asked).enumerate();
    let mut worst: Option<Refusal> = None;
    for (place, (charge, asked)) in each {
        let Told { standing, lacks } = asked.told;
        let Some(retry) = lacks.filter(|_| charge.limit.mode == Mode::Enforce) else {
            continue;
        };
        if worst.is_none_or(|worst| wait(worst.retry) < wait(retry)) {
            worst = Some(Refusal {
                charge: place,
                used: standing.used,
                requested: charge.wanted(),
                remaining: standing.remaining,
                reset_after: standing.reset_after,
                retry,
            });
        }
    }
    let told = charges.iter().zip(asked);
    match worst {
        Some(refusal) => Decision::Refused(
            refusal,
            told.map(|(_, asked)| asked.told.standing).collect(),
        ),
        None => Decision::Admitted(
            told.map(|(charge, Asked { told, .. })| {
                told.standing.with(charge.amount, told.lacks.is_none())
            })
            .collect(),
        ),
    }
}
