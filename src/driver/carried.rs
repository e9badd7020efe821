//! What is carried from one store to another: leases, and reservations of one
//! charge, that nothing refuses.

use crate::limits::counter::HOLD_TTL_MAX;
use crate::limits::{Charge, HoldId, Limit, Reservation, Unit};
use std::sync::Arc;

/// What of a call are leases, that nothing refuses.
pub(super) fn leases_of(call: &Reservation) -> Reservation {
    let mut leases = call.unrefused();
    leases.retain(|charge| charge.limit.unit == Unit::Concurrency);
    leases.shared = Arc::default();
    (leases.hold_ttl, leases.lease_ttl) = (HOLD_TTL_MAX, HOLD_TTL_MAX);
    leases
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
pub(super) fn one_charge(
    hold: HoldId,
    slot: &Arc<str>,
    counter: &str,
    limit: &Limit,
    amount: u64,
) -> Reservation {
    Reservation {
        hold,
        slot: Arc::clone(slot),
        charges: [Charge::new(Arc::new(limit.shadowed()), counter, amount)].into(),
        shared: Arc::default(),
        hold_ttl: HOLD_TTL_MAX,
        lease_ttl: HOLD_TTL_MAX,
        context: "".into(),
    }
}
