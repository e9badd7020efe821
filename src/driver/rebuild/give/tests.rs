//! Names of what counters are given.

use super::*;
use crate::units::UnixMillis;

fn epoch(n: u8) -> Epoch {
    Epoch {
        id: HoldId::new(UnixMillis(1_000), &[n; 10]),
        since: UnixMillis(1),
    }
}

#[test]
fn a_name_hangs_on_epoch_ledger_and_counter_alone() {
    let ledger = ChainId::from_u128(1);
    let name = hold_name(epoch(1), ledger, "acme", "c");
    assert_eq!(name, hold_name(epoch(1), ledger, "acme", "c"));
    assert!(name.is_shared(), "its expiry is told to nobody");
    assert_eq!(name.made_at(), UnixMillis(1_000));
    for other in [
        hold_name(epoch(2), ledger, "acme", "c"),
        hold_name(epoch(1), ChainId::nil(), "acme", "c"),
        hold_name(epoch(1), ledger, "acmec", ""),
        hold_name(epoch(1), ledger, "", "acmec"),
    ] {
        assert_ne!(name, other);
    }
}
