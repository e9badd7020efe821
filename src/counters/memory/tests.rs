//! What only the engine in memory promises: that it stays small.

use super::*;
use crate::limits::{Algorithm, Charge, Limit, Mode, Scope, Unit};
use std::sync::Arc;

fn call(n: u32, slot: &str, counter: &str) -> Reservation {
    let [a, b, c, d] = n.to_be_bytes();
    let limit = Limit {
        name: "rpm".into(),
        scope: Scope::TENANT,
        unit: Unit::Requests,
        amount: 10,
        algorithm: Algorithm::SlidingWindow {
            every: Millis::from_mins(1),
        },
        mode: Mode::Enforce,
    };
    Reservation {
        hold: HoldId::new(UnixMillis(1), &[0, 0, 0, 0, 0, 0, a, b, c, d]),
        slot: slot.into(),
        charges: vec![Charge::new(Arc::new(limit), counter, 1)].into(),
        shared: Arc::default(),
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(15),
        context: "".into(),
    }
}

/// One that was settled would be answered as ended.
#[test]
fn a_dropped_hold_may_be_taken_again() {
    let (memory, now) = (Memory::default(), UnixMillis(1_000));
    let call = call(1, "acme", "user");
    for _ in 0..3 {
        let taken = memory.reserve(&call, now).unwrap();
        assert!(matches!(taken, Decision::Admitted(_)), "{taken:?}");
        assert_eq!(memory.open_holds(), 1);
        memory.drop_hold("acme", call.hold);
        assert_eq!(memory.open_holds(), 0);
    }
}

/// Ever new tenants, and ever new users of one tenant: what is at rest goes.
#[test]
fn counters_at_rest_are_dropped_as_others_are_used() {
    let memory = Memory::default();
    for n in 0..200_000_u32 {
        // 1,000 calls a second, so some 66,000 counters in any 66 s.
        let now = UnixMillis(1_800_000_000_000 + u64::from(n));
        let call = call(
            n,
            &format!("tenant {}", n % 50_000 * (n % 2)),
            &format!("user {n}"),
        );
        assert!(matches!(
            memory.reserve(&call, now),
            Ok(Decision::Admitted(_))
        ));
        let actual = Actual {
            requests: 1,
            ..Actual::VOID
        };
        assert_eq!(
            memory.settle(&call.slot, call.hold, actual, now),
            Settled::Applied
        );
    }
    assert!(memory.counters() > 60_000, "{}", memory.counters());
    assert!(memory.counters() < 140_000, "{}", memory.counters());
    let remembered: usize = memory.shards.iter().map(|shard| lock(shard).ended()).sum();
    assert!(remembered < 70_000, "{remembered}");
    for _ in 0..20 {
        memory.expire_due(UnixMillis(1_800_001_000_000), 1, Millis(1));
    }
    assert_eq!((memory.counters(), memory.open_holds()), (0, 0));
}
