//! Shares over outages, and over what lies between them.

use super::*;
use crate::limits::{Algorithm, Scope, Standing};
use futures_util::FutureExt;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn limit(unit: Unit, amount: u64, algorithm: Algorithm) -> Arc<Limit> {
    Arc::new(Limit {
        name: "l".into(),
        scope: Scope::TENANT,
        unit,
        amount,
        algorithm,
        mode: Mode::Enforce,
    })
}

fn slots(amount: u64) -> Arc<Limit> {
    limit(Unit::Concurrency, amount, Algorithm::Concurrency)
}

fn call(n: u8, limit: &Arc<Limit>) -> Reservation {
    Reservation {
        hold: HoldId::new(NOW, &[n; 10]),
        slot: "acme".into(),
        charges: vec![Charge::new(Arc::clone(limit), "c", 1)].into(),
        shared: Arc::default(),
        hold_ttl: Millis(60_000),
        lease_ttl: Millis(15_000),
        context: "".into(),
    }
}

/// One of so many sidecars.
fn local(on_failure: OnCounterFailure, sidecars: u64) -> (Local, Known) {
    let local = Local::new(on_failure);
    local.set_sidecars(sidecars);
    (local, Known::new(true))
}

fn admitted(local: &Local, part: &Reservation, known: &Known, at: u64) -> bool {
    let decided = local.decide(part, Whereabouts::Here, known, NOW + Millis(at));
    let decided = decided.unwrap();
    matches!(decided, Decision::Admitted(_))
}

/// A store that answers for a moment is told of calls, and gone again.
#[test]
fn what_the_store_was_told_of_has_its_share_until_the_books_are_closed() {
    let slots = slots(4);
    let (local, known) = local(OnCounterFailure::Share, 2);
    for n in [1, 2] {
        assert!(admitted(&local, &call(n, &slots), &known, 0));
    }
    for _ in 0..3 {
        for call in local.untold(|_| true) {
            assert!(local.told(call.hold).is_none());
        }
        assert!(!admitted(&local, &call(3, &slots), &known, 1));
    }
    // Ended, it is asked of the store, and its slot is free here.
    assert!(!local.end(call(1, &slots).hold, Actual::VOID, NOW));
    assert!(admitted(&local, &call(4, &slots), &known, 2));
    assert!(!admitted(&local, &call(5, &slots), &known, 2));
}

/// A store that comes and goes: what is open counts each time.
#[test]
fn leases_count_in_one_outage_after_the_other() {
    let slots = slots(2);
    let (local, known) = local(OnCounterFailure::Share, 1);
    let [early, late] = [1, 2].map(|n| Arc::new(call(n, &slots)));
    assert!(local.carry_over(Arc::clone(&early), NOW));
    assert!(admitted(&local, &late, &known, 0));
    for at in [0, 20_000, 40_000] {
        for open in [&early, &late] {
            local.carry_over(Arc::clone(open), NOW + Millis(at));
        }
        assert!(!admitted(&local, &call(3, &slots), &known, at), "{at}");
        for call in local.untold(|_| true) {
            local.told(call.hold);
        }
        local.close(|_| true, NOW + Millis(at));
        assert!(!local.has_news());
    }
}

/// What is used is told, whether it was counted by the whole limit or by a share,
/// and though there are more sidecars by then.
#[test]
fn what_was_used_of_a_bucket_is_owed_whatever_it_was_counted_by() {
    let every = Millis::from_mins(60);
    let bucket = Algorithm::TokenBucket { every, burst: 100 };
    let bucket = limit(Unit::Requests, 100, bucket);
    for (on_failure, sidecars, then) in [
        (OnCounterFailure::Allow, 1, 1),
        (OnCounterFailure::Allow, 4, 4),
        (OnCounterFailure::Share, 2, 4),
    ] {
        let (local, known) = local(on_failure, sidecars);
        for n in 0..40 {
            let one = call(n, &bucket);
            assert!(admitted(&local, &one, &known, 0));
            local.end(one.hold, Actual::only(Unit::Requests, 1), NOW);
        }
        local.set_sidecars(then);
        let name = || call(99, &bucket).hold;
        let owing = local.owing(|_| true);
        let debts = owing.iter().filter_map(|to| local.debt(to, name, NOW));
        let owed: u64 = debts.map(|debt| debt.amount).sum();
        assert_eq!(owed, 40, "{on_failure:?} {sidecars} {then}");
    }
}

/// One packet was lost, and the call it was about refused. An hour later the store
/// is away.
#[test]
fn a_share_that_refused_begins_the_next_outage_with_what_is_known_by_then() {
    let window = Algorithm::SlidingWindow {
        every: Millis::from_mins(1),
    };
    let ten = limit(Unit::Requests, 10, window);
    let (local, known) = local(OnCounterFailure::Share, 2);
    let learn = |used, at| {
        let standing = Standing {
            used,
            exceeded: false,
            remaining: 0,
            carried: 0,
            reset_after: Some(Millis::from_mins(1)),
        };
        let charges = &call(1, &ten).charges;
        known.learn("acme", charges, [standing].iter(), true, NOW + Millis(at));
    };
    for used in 1..7 {
        learn(used, 0);
    }
    assert!(
        !admitted(&local, &call(1, &ten), &known, 0),
        "six are its own"
    );
    let rung = local.stirred.notified().now_or_never();
    assert!(rung.is_some() && local.has_news());
    local.close(|_| true, NOW);
    assert!(!local.has_news());
    let later = Millis::from_mins(60).0;
    learn(10, later);
    let more = (10..20).filter(|n| admitted(&local, &call(*n, &ten), &known, later));
    assert_eq!(more.count(), 0);
}
