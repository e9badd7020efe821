//! Reservations and answers that a share makes up by itself.

use crate::limits::counter::HOLD_TTL_MAX;
use crate::limits::toll::Told;
use crate::limits::{Charge, HoldId, Limit, Paid, Refusal, Reservation, Standing, Toll};
use std::sync::Arc;

/// A toll that a share of nothing refuses.
pub(super) fn no_share(toll: &Toll, refusal: Refusal) -> Paid {
    let told = (0..toll.charges.len()).map(|index| Told {
        standing: Standing {
            used: refusal.used,
            exceeded: false,
            remaining: refusal.remaining,
            reset_after: None,
        },
        lacks: (index == refusal.charge).then_some(refusal.retry),
    });
    Paid {
        taken: false,
        told: told.collect(),
    }
}

/// A reservation of one charge, under a name that no call has.
pub(super) fn single(
    part: &Reservation,
    index: usize,
    charge: &Charge,
    amount: u64,
) -> Reservation {
    let mut name = part.hold.0.into_bytes();
    // Another version of UUID; and one name for each charge.
    name[6] = (name[6] & 0x0f) | 0xf0;
    name[15] ^= u8::try_from(index).unwrap_or(u8::MAX);
    one_charge(
        HoldId(uuid::Uuid::from_bytes(name)),
        &part.slot,
        &charge.counter,
        &charge.limit,
        amount,
    )
}

/// A reservation of one charge, that nothing refuses.
pub(in crate::driver) fn one_charge(
    hold: HoldId,
    slot: &Arc<str>,
    counter: &str,
    limit: &Limit,
    amount: u64,
) -> Reservation {
    Reservation {
        hold,
        slot: Arc::clone(slot),
        charges: vec![Charge::new(Arc::new(limit.shadowed()), counter, amount)],
        shared: Vec::new(),
        hold_ttl: HOLD_TTL_MAX,
        lease_ttl: HOLD_TTL_MAX,
        context: "".into(),
    }
}
