//! What every engine promises, as tables.

use crate::engine::*;
use std::collections::HashSet;
use std::sync::Arc;
use weir::counters::{CounterError, ExpiredHold};
use weir::limits::period::Period;
use weir::limits::*;
use weir::units::Millis;

/// One test for each engine.
macro_rules! on_each {
    ($($name:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $name() { super::$name(crate::engine::Engine::memory()).await; })* }
        mod redis { $(#[tokio::test] async fn $name() { super::$name(crate::engine::Engine::redis().await).await; })* }
        mod valkey { $(#[tokio::test] async fn $name() { super::$name(crate::engine::Engine::valkey().await).await; })* }
    };
}

on_each!(
    all_or_nothing,
    the_longest_wait_is_told,
    the_same_hold_again_charges_nothing,
    an_ended_hold_is_not_admitted,
    settlement_corrects_each_charge,
    overage_becomes_a_debt,
    settling_an_unknown_hold_stops_its_reservation,
    leases_lapse_and_are_back_when_they_are_renewed,
    expiry_keeps_charges_and_is_handed_out_once,
    an_expired_hold_is_handed_out_until_it_is_told_of,
    settlement_wins_until_expiry_was_taken,
    expiry_takes_no_more_than_asked,
    fifty_at_once_against_ten,
    a_changed_limit_keeps_what_is_charged,
    hostile_names_stay_apart,
    extreme_amounts,
    unfit_reservations_are_errors,
    what_was_said_of_retrying_is_true,
    each_unit_is_settled_by_its_own,
    a_fixed_window_takes_back_only_its_own,
    an_overage_is_charged_however_late,
    a_first_hit_that_was_given_back_opens_no_window,
    a_changed_limit_keeps_its_word,
    a_shadow_limit_counts_and_never_refuses,
    a_leaky_bucket_spaces_calls,
    a_toll_is_taken_whole_and_leaves_no_hold,
    a_toll_of_nothing_asks,
    a_toll_in_shadow_mode_becomes_a_debt,
    a_toll_waits_exactly,
    a_toll_that_cannot_be_counted_is_an_error,
    more_room_may_be_needed_than_is_taken,
    looking_takes_nothing_and_tells_what_is_held,
    counters_are_put_at_rest_and_holds_give_nothing_back_to_them,
    what_is_left_of_a_window_goes_into_the_next,
    a_window_that_carries_is_held_and_put_at_rest_like_others,
);

fn three(n: u16, tokens: u64) -> Reservation {
    let charges = vec![
        charge(&window("rpm", Unit::Requests, 3, DAY), 1),
        charge(&bucket("tpm", 1_000, DAY, 100), tokens),
        charge(&slots("slots", 2), 1),
    ];
    call(n, charges)
}

async fn all_or_nothing(engine: Engine) {
    assert_eq!(used(&engine.reserve(&three(1, 60)).await), [1, 60, 1]);
    let decision = engine.reserve(&three(2, 60)).await;
    let Decision::Refused(refusal, standings) = decision else {
        panic!("{decision:?}");
    };
    // Of every counter is told how it stands, and not only of the one that refused.
    let stand = |standing: &Standing| (standing.used, standing.remaining);
    let all: Vec<_> = standings.iter().map(stand).collect();
    assert_eq!(all, [(1, 2), (60, 40), (1, 1)]);
    assert_eq!(refusal.reset_after, standings[1].reset_after);
    assert_eq!(
        (
            refusal.charge,
            refusal.used,
            refusal.requested,
            refusal.remaining
        ),
        (1, 60, 60, 40)
    );
    assert_eq!(
        used(&engine.reserve(&three(3, 40)).await),
        [2, 100, 2],
        "the refused call charged"
    );
    assert_eq!(engine.open().await, 2);
    let refusal = refused(&engine.reserve(&three(4, 0)).await);
    assert_eq!((refusal.charge, refusal.retry), (2, Retry::WhenOneEnds));
    for n in [1, 3] {
        let actual = actual(1, 10);
        assert_eq!(engine.settle(hold(n), actual).await, Settled::Applied);
    }
    assert_eq!(used(&engine.reserve(&three(5, 0)).await), [3, 20, 1]);
    engine.settle(hold(5), Actual::VOID).await;
    assert_eq!(engine.open().await, 0);
}

async fn the_longest_wait_is_told(engine: Engine) {
    let fast = bucket("fast", 1_000, Millis(1_000), 10);
    let slow = bucket("slow", 10, DAY, 10);
    let lanes = slots("lanes", 1);
    let take = |n, a, b| {
        call(
            n,
            vec![charge(&lanes, 1), charge(&fast, a), charge(&slow, b)],
        )
    };
    admitted(&engine.reserve(&take(1, 1, 10)).await);
    let refusal = refused(&engine.reserve(&take(2, 1, 1)).await);
    assert_eq!(refusal.charge, 2);
    let Retry::After(wait) = refusal.retry else {
        panic!("{refusal:?}")
    };
    let tenth = DAY.0 / 10;
    assert!(wait.0 <= tenth && wait.0 > tenth - 10_000, "{wait:?}");
    let refusal = refused(&engine.reserve(&take(3, 11, 1)).await);
    assert_eq!((refusal.charge, refusal.retry), (1, Retry::Never));
    let refusal = refused(&engine.reserve(&take(4, 1, 0)).await);
    assert_eq!((refusal.charge, refusal.retry), (0, Retry::WhenOneEnds));
}

async fn the_same_hold_again_charges_nothing(engine: Engine) {
    let first = engine.reserve(&three(1, 60)).await;
    let again = engine.reserve(&three(1, 60)).await;
    assert_eq!(used(&first), [1, 60, 1]);
    assert_eq!(used(&again), [1, 60, 1]);
    assert_eq!(engine.open().await, 1);
}

async fn an_ended_hold_is_not_admitted(engine: Engine) {
    admitted(&engine.reserve(&three(1, 60)).await);
    assert_eq!(engine.settle(hold(1), Actual::VOID).await, Settled::Applied);
    assert_eq!(
        engine.settle(hold(1), actual(1, 90)).await,
        Settled::Already
    );
    assert_eq!(engine.reserve(&three(1, 60)).await, Decision::Ended);
    assert_eq!(used(&engine.reserve(&three(2, 5)).await), [1, 5, 1]);
}

async fn settlement_corrects_each_charge(engine: Engine) {
    for (n, requests, tokens, after) in
        [(1, 1, 60, [1, 60]), (2, 0, 0, [0, 0]), (3, 1, 25, [1, 25])]
    {
        let rpm = window(&format!("r{n}"), Unit::Requests, 100, DAY);
        let tpd = window(&format!("t{n}"), Unit::Tokens, 100, DAY);
        let take = |n, r, t| call(n, vec![charge(&rpm, r), charge(&tpd, t)]);
        assert_eq!(used(&engine.reserve(&take(n, 1, 60)).await), [1, 60]);
        engine.settle(hold(n), actual(requests, tokens)).await;
        assert_eq!(used(&engine.reserve(&take(n + 100, 0, 0)).await), after);
    }
}

async fn overage_becomes_a_debt(engine: Engine) {
    let tpm = bucket("tpm", 100, DAY, 100);
    let tpd = window("tpd", Unit::Tokens, 1_000, DAY);
    let take = |n, t| call(n, vec![charge(&tpm, t), charge(&tpd, t)]);
    admitted(&engine.reserve(&take(1, 100)).await);
    engine.settle(hold(1), actual(1, 250)).await;
    let refusal = refused(&engine.reserve(&take(2, 50)).await);
    assert_eq!(
        (refusal.charge, refusal.used, refusal.remaining),
        (0, 250, 0)
    );
    let Retry::After(wait) = refusal.retry else {
        panic!("{refusal:?}")
    };
    let due = 2 * DAY.0;
    assert!(wait.0 <= due && wait.0 > due - 10_000, "{wait:?}");
    let other = call(3, vec![charge(&tpd, 0)]);
    assert_eq!(used(&engine.reserve(&other).await), [250]);
}

async fn settling_an_unknown_hold_stops_its_reservation(engine: Engine) {
    assert_eq!(engine.settle(hold(1), Actual::VOID).await, Settled::Unknown);
    assert_eq!(engine.settle(hold(1), Actual::VOID).await, Settled::Already);
    assert_eq!(engine.reserve(&three(1, 60)).await, Decision::Ended);
    assert_eq!(used(&engine.reserve(&three(2, 0)).await), [1, 0, 1]);
}

async fn leases_lapse_and_are_back_when_they_are_renewed(engine: Engine) {
    let lanes = slots("lanes", 1);
    let mut first = call(1, vec![charge(&lanes, 1)]);
    first.lease_ttl = Millis(40);
    let second = call(2, vec![charge(&lanes, 1)]);
    admitted(&engine.reserve(&first).await);
    engine.pass(40).await;
    admitted(&engine.reserve(&second).await);
    assert!(
        engine.renew(hold(1), 60_000, 60_000).await,
        "the hold is still open"
    );
    let third = call(3, vec![charge(&lanes, 1)]);
    assert_eq!(
        refused(&engine.reserve(&third).await).used,
        2,
        "both run, whatever the limit"
    );
    engine.settle(hold(2), Actual::VOID).await;
    assert_eq!(refused(&engine.reserve(&third).await).used, 1);
    engine.settle(hold(1), Actual::VOID).await;
    assert!(
        !engine.renew(hold(1), 60_000, 60_000).await,
        "what was released stays so"
    );
    admitted(&engine.reserve(&third).await);
    // A lease that is there is kept, and moved later only.
    assert!(engine.renew(hold(3), 60_000, 30_000).await);
    assert!(engine.renew(hold(3), 60_000, 1).await);
    engine.pass(10).await;
    refused(&engine.reserve(&call(4, vec![charge(&lanes, 1)])).await);
    engine.settle(hold(3), Actual::VOID).await;
    assert!(
        !engine.renew(hold(3), 60_000, 60_000).await,
        "the hold has ended"
    );
    assert!(!engine.renew(hold(99), 60_000, 60_000).await);
    admitted(&engine.reserve(&call(5, vec![charge(&lanes, 1)])).await);
    let holds = [(hold(5), Arc::from(SLOT)), (hold(3), Arc::from(SLOT))];
    let all = engine
        .counters
        .renew_all(&holds, Millis(60_000), Millis(1), engine.now().await)
        .await;
    assert_eq!(all, [Ok(true), Ok(false)]);
}

async fn expiry_keeps_charges_and_is_handed_out_once(engine: Engine) {
    let mut first = three(1, 60);
    first.hold_ttl = Millis(20);
    admitted(&engine.reserve(&first).await);
    admitted(&engine.reserve(&three(2, 0)).await);
    assert!(engine.expire(0).await.is_empty());
    engine.pass(20).await;
    let now = engine.now().await;
    let looks = (0..8).map(|_| engine.counters.expire_due(now, 100, CLAIM));
    let looks = futures_util::future::join_all(looks).await;
    let taken: Vec<_> = looks.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (&*taken[0].slot, taken[0].hold, &*taken[0].context),
        (SLOT, hold(1), "context 1")
    );
    assert_eq!(engine.settle(hold(1), Actual::VOID).await, Settled::Expired);
    assert_eq!(engine.reserve(&first).await, Decision::Ended);
    assert_eq!(
        used(&engine.reserve(&three(3, 1)).await),
        [3, 61, 2],
        "charged, the lease released"
    );
}

/// Whoever was handed it may die before its row is safe.
async fn an_expired_hold_is_handed_out_until_it_is_told_of(engine: Engine) {
    for n in 1..=3 {
        let mut call = three(n, 0);
        call.charges = call.charges[..2].into();
        call.hold_ttl = Millis(20);
        admitted(&engine.reserve(&call).await);
    }
    engine.pass(20).await;
    let claim = Millis(500);
    let ids = |expired: &[ExpiredHold]| expired.iter().map(|one| one.hold).collect::<Vec<_>>();
    let first = engine.claim(2, claim).await;
    assert_eq!(ids(&first), [hold(1), hold(2)]);
    assert_eq!(ids(&engine.claim(9, CLAIM).await), [hold(3)]);
    assert_eq!(engine.open().await, 0);
    engine.counters.told(&first[..1]).await.unwrap();
    // Twice changes nothing.
    engine.counters.told(&first[..1]).await.unwrap();
    engine.pass(500).await;
    // Whole, to one alone, and ended for all others as before.
    let now = engine.now().await;
    let looks = (0..8).map(|_| engine.counters.expire_due(now, 100, CLAIM));
    let looks = futures_util::future::join_all(looks).await;
    let again: Vec<_> = looks.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(again, first[1..]);
    assert_eq!(engine.settle(hold(2), Actual::VOID).await, Settled::Expired);
    assert!(!engine.renew(hold(2), 60_000, 60_000).await);
    assert_eq!(engine.reserve(&three(2, 0)).await, Decision::Ended);
    // One that is told of isn't handed out, however long its claim is over.
    let mut last = call(4, vec![charge(&slots("others", 1), 1)]);
    last.hold_ttl = Millis(1);
    admitted(&engine.reserve(&last).await);
    engine.pass(1).await;
    let last = engine.claim(9, Millis(0)).await;
    assert_eq!(ids(&last), [hold(4)]);
    assert_eq!(engine.claim(9, Millis(0)).await, last);
    engine.counters.told(&last).await.unwrap();
    assert!(engine.claim(9, Millis(0)).await.is_empty());
}

async fn settlement_wins_until_expiry_was_taken(engine: Engine) {
    let mut first = three(1, 60);
    let mut second = three(2, 10);
    first.hold_ttl = Millis(10);
    second.hold_ttl = Millis(10);
    admitted(&engine.reserve(&first).await);
    admitted(&engine.reserve(&second).await);
    engine.pass(15).await;
    assert_eq!(engine.settle(hold(1), Actual::VOID).await, Settled::Applied);
    assert!(engine.renew(hold(2), 60_000, 60_000).await);
    assert!(engine.expire(10).await.is_empty());
    assert_eq!(engine.open().await, 1);
}

async fn expiry_takes_no_more_than_asked(engine: Engine) {
    let rpm = window("rpm", Unit::Requests, 100, DAY);
    for n in 0..20 {
        let mut call = call(n, vec![charge(&rpm, 1)]);
        call.hold_ttl = Millis(5);
        call.slot = format!("tenant {}", n % 4).into();
        admitted(&engine.reserve(&call).await);
    }
    engine.pass(5).await;
    let mut seen = HashSet::new();
    for expected in [7, 7, 6, 0] {
        let taken = engine.expire(7).await;
        assert_eq!(taken.len(), expected);
        seen.extend(taken.into_iter().map(|expired| expired.hold));
    }
    assert_eq!((seen.len(), engine.open().await), (20, 0));
}

async fn fifty_at_once_against_ten(engine: Engine) {
    for (base, limit) in [
        (0, window("w", Unit::Requests, 10, DAY)),
        (100, bucket("b", 10, DAY, 10)),
        (200, slots("c", 10)),
    ] {
        let now = engine.now().await;
        let calls: Vec<_> = (0..50)
            .map(|n| call(base + n, vec![charge(&limit, 1)]))
            .collect();
        let decisions = calls.iter().map(|call| engine.counters.reserve(call, now));
        let decisions = futures_util::future::join_all(decisions).await;
        let passed = decisions
            .iter()
            .filter(|d| matches!(d, Ok(Decision::Admitted(_))));
        assert_eq!(passed.count(), 10, "{}", limit.name);
    }
    assert_eq!(engine.open().await, 30);
}

async fn a_changed_limit_keeps_what_is_charged(engine: Engine) {
    let hour = Millis(3_600_000);
    let day_window = window("w", Unit::Tokens, 100, DAY);
    let day_bucket = bucket("b", 7, DAY, 50);
    admitted(
        &engine
            .reserve(&call(
                1,
                vec![charge(&day_window, 30), charge(&day_bucket, 30)],
            ))
            .await,
    );
    let hour_window = window("w", Unit::Tokens, 60, hour);
    let hour_bucket = bucket("b", 1, hour, 40);
    let probe = |n| call(n, vec![charge(&hour_window, 0), charge(&hour_bucket, 0)]);
    // 20 were left; 20 of a burst of 40 are left.
    let standing = engine.reserve(&probe(2)).await;
    assert_eq!(used(&standing), [30, 20]);
    // Settling under the old limit: its window is over, its bucket isn't.
    engine.settle(hold(1), actual(1, 45)).await;
    assert_eq!(used(&engine.reserve(&probe(3)).await), [45, 35]);
    let other_kind = call(4, vec![charge(&bucket("w", 1, DAY, 9), 9)]);
    assert_eq!(
        used(&engine.reserve(&other_kind).await),
        [9],
        "another algorithm, another counter"
    );
}

async fn hostile_names_stay_apart(engine: Engine) {
    let one = window("r", Unit::Requests, 1, DAY);
    let names = [
        "a",
        "{a}",
        "}{",
        "a,1:b,",
        "a\r\nFLUSHALL\r\n",
        "a\0",
        "*",
        "' or 1=1",
        "é",
        "",
    ];
    for (n, slot) in (0_u16..).zip(names) {
        for (m, who) in (0_u16..).zip(names) {
            let mut call = call(n * 100 + m, vec![charge(&one, 1)]);
            call.slot = slot.into();
            std::sync::Arc::make_mut(&mut call.charges)[0].counter =
                reservation::counter_id("r", &[who]).into();
            assert_eq!(used(&engine.reserve(&call).await), [1], "{slot:?} {who:?}");
        }
    }
    assert_eq!(engine.open().await, 100);
}

async fn extreme_amounts(engine: Engine) {
    let wide = window("w", Unit::Tokens, AMOUNT_MAX, DAY);
    let deep = bucket("b", AMOUNT_MAX, Millis(AMOUNT_MAX), token_bucket::LEVEL_MAX);
    for amount in [AMOUNT_MAX + 1, u64::MAX] {
        for limit in [&wide, &deep] {
            let refusal = refused(&engine.reserve(&call(1, vec![charge(limit, amount)])).await);
            assert_eq!((refusal.retry, refusal.requested), (Retry::Never, amount));
        }
    }
    let whole = call(2, vec![charge(&wide, AMOUNT_MAX)]);
    assert_eq!(used(&engine.reserve(&whole).await), [AMOUNT_MAX]);
    let more = call(3, vec![charge(&wide, 1)]);
    assert_eq!(refused(&engine.reserve(&more).await).used, AMOUNT_MAX);
    engine.settle(hold(2), actual(1, u64::MAX)).await;
    assert_eq!(
        refused(&engine.reserve(&more).await).used,
        AMOUNT_MAX,
        "clamped, not wrapped"
    );
    let level = token_bucket::LEVEL_MAX;
    admitted(&engine.reserve(&call(4, vec![charge(&deep, level)])).await);
    engine.settle(hold(4), actual(1, u64::MAX)).await;
    let refusal = refused(&engine.reserve(&call(5, vec![charge(&deep, 1)])).await);
    assert!(
        refusal.used > 2 * level - 60_000 && refusal.used <= 2 * level,
        "{refusal:?}"
    );
}

async fn unfit_reservations_are_errors(engine: Engine) {
    let rpm = window("rpm", Unit::Requests, 1, DAY);
    let lanes = slots("lanes", 1);
    let with = |limit: &Arc<Limit>, amount| call(1, vec![charge(limit, amount)]);
    let mut no_time = with(&rpm, 1);
    no_time.hold_ttl = Millis(0);
    let unfit = [
        with(&lanes, 2),
        with(&window("w", Unit::Requests, 0, DAY), 1),
        with(&window("w", Unit::Requests, AMOUNT_MAX + 1, DAY), 1),
        with(&window("w", Unit::Requests, 1, Millis(0)), 1),
        with(&window("w", Unit::Concurrency, 1, DAY), 1),
        with(&bucket("b", 200_003, DAY, AMOUNT_MAX), 1),
        call(1, vec![charge(&rpm, 1), charge(&rpm, 1)]),
        call(
            1,
            (0..33)
                .map(|n| charge(&slots(&n.to_string(), 1), 1))
                .collect(),
        ),
        no_time,
    ];
    for reservation in unfit {
        let answer = engine
            .counters
            .reserve(&reservation, engine.now().await)
            .await;
        assert!(matches!(answer, Err(CounterError::Unfit(_))), "{answer:?}");
    }
    let empty = call(2, vec![]);
    assert_eq!(engine.reserve(&empty).await, Decision::Admitted(vec![]));
    assert_eq!(engine.settle(hold(2), Actual::VOID).await, Settled::Applied);
}

async fn what_was_said_of_retrying_is_true(engine: Engine) {
    let rpm = window("rpm", Unit::Requests, 2, Millis(240));
    let tpm = bucket("tpm", 10, Millis(100), 10);
    for (base, limit) in [(0, rpm), (1_000, tpm)] {
        admitted(&engine.reserve(&call(base, vec![charge(&limit, 2)])).await);
        let full = limit.amount;
        let mut n = base;
        loop {
            n += 1;
            match engine.reserve(&call(n, vec![charge(&limit, full)])).await {
                Decision::Admitted(_) => break,
                Decision::Refused(
                    Refusal {
                        retry: Retry::After(wait),
                        ..
                    },
                    _,
                ) => {
                    assert!(n < base + 2, "refused after waiting as told");
                    assert!(wait.0 > 0);
                    engine.pass(wait.0).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn each_unit_is_settled_by_its_own(engine: Engine) {
    let units = [
        Unit::Requests,
        Unit::InputTokens,
        Unit::OutputTokens,
        Unit::Tokens,
        Unit::Cost,
    ];
    let limits = units.map(|unit| window(unit.as_str(), unit, 1_000, DAY));
    let take = |n, amount| {
        let charges = limits.iter().map(|limit| charge(limit, amount));
        call(n, charges.collect())
    };
    assert_eq!(used(&engine.reserve(&take(1, 100)).await), [100; 5]);
    let actual = Actual {
        requests: 1,
        input_tokens: 20,
        output_tokens: 300,
        cost_nanos: 4,
    };
    assert_eq!(engine.settle(hold(1), actual).await, Settled::Applied);
    assert_eq!(
        used(&engine.reserve(&take(2, 0)).await),
        [1, 20, 300, 320, 4]
    );
}

async fn a_fixed_window_takes_back_only_its_own(engine: Engine) {
    let short = fixed("s", Unit::Tokens, 100, Period::first_hit(Millis(2_000)));
    let long = fixed("l", Unit::Tokens, 100, Period::forever());
    let take = |n, amount| call(n, vec![charge(&short, amount), charge(&long, amount)]);
    assert_eq!(used(&engine.reserve(&take(1, 60)).await), [60, 60]);
    assert_eq!(used(&engine.reserve(&take(2, 30)).await), [90, 90]);
    let refusal = refused(&engine.reserve(&take(3, 20)).await);
    // The day's window is the one that takes longest to pass.
    assert_eq!((refusal.charge, refusal.remaining), (1, 10));
    let never = refused(&engine.reserve(&take(4, 101)).await);
    assert_eq!(never.retry, Retry::Never);
    engine.settle(hold(1), actual(1, 10)).await;
    assert_eq!(used(&engine.reserve(&take(5, 0)).await), [40, 40]);
    engine.pass(2_000).await;
    // The short window is over: nothing to give back to, nothing kept.
    engine.settle(hold(2), Actual::VOID).await;
    assert_eq!(used(&engine.reserve(&take(6, 50)).await), [50, 60]);
    // More than was held is a debt of the window that now is.
    engine.pass(2_000).await;
    engine.settle(hold(6), actual(1, 170)).await;
    let refusal = refused(&engine.reserve(&take(7, 0)).await);
    assert_eq!((refusal.charge, refusal.used), (1, 180));
}

/// A call that outlasts the windows that were known when it began.
async fn an_overage_is_charged_however_late(engine: Engine) {
    let limit = fixed("f", Unit::Tokens, 1_000, Period::aligned(Millis(1_000)));
    admitted(&engine.reserve(&call(1, vec![charge(&limit, 10)])).await);
    engine.pass(2_500).await;
    let all = fixed("f", Unit::Tokens, 1_000, Period::forever());
    engine.settle(hold(1), actual(1, 70)).await;
    // Under a longer period, which keeps the count, time doesn't matter.
    let used_now = used(&engine.reserve(&call(2, vec![charge(&all, 0)])).await);
    assert_eq!(used_now, [60]);
}

async fn a_first_hit_that_was_given_back_opens_no_window(engine: Engine) {
    let limit = fixed("f", Unit::Requests, 1, Period::first_hit(DAY));
    let take = |n| call(n, vec![charge(&limit, 1)]);
    admitted(&engine.reserve(&take(1)).await);
    engine.settle(hold(1), Actual::VOID).await;
    engine.pass(20).await;
    let standing = admitted(&engine.reserve(&take(2)).await)[0];
    assert_eq!((standing.used, standing.reset_after), (1, Some(DAY)));
    // The same where it is an overage that comes first.
    engine.settle(hold(2), Actual::VOID).await;
    let none = call(3, vec![charge(&limit, 0)]);
    admitted(&engine.reserve(&none).await);
    engine.pass(300).await;
    engine.settle(hold(3), actual(1, 0)).await;
    let refusal = refused(&engine.reserve(&take(4)).await);
    let Retry::After(wait) = refusal.retry else {
        panic!("{refusal:?}")
    };
    assert!(wait.0 > DAY.0 - 300, "{wait:?}");
}

/// Refused under a limit that was changed, a call passes when it was told to:
/// what it was told is not worked out anew each time that it comes.
async fn a_changed_limit_keeps_its_word(engine: Engine) {
    const SHORT: Millis = Millis(120);
    let day = |name: &str| match name {
        "w" => window(name, Unit::Tokens, 10, DAY),
        "b" => bucket(name, 10, DAY, 10),
        _ => fixed(name, Unit::Tokens, 10, Period::aligned(period::EVERY_MAX)),
    };
    let short = |name: &str| match name {
        "w" => window(name, Unit::Tokens, 10, SHORT),
        "b" => bucket(name, 10, SHORT, 10),
        "a" => fixed(name, Unit::Tokens, 10, Period::aligned(SHORT)),
        _ => fixed(name, Unit::Tokens, 10, Period::first_hit(SHORT)),
    };
    for (base, name) in [(0, "w"), (10, "b"), (20, "a"), (30, "f")] {
        let full = call(base, vec![charge(&day(name), 10)]);
        admitted(&engine.reserve(&full).await);
        let again = |n| call(base + n, vec![charge(&short(name), 10)]);
        let Retry::After(wait) = refused(&engine.reserve(&again(1)).await).retry else {
            panic!("{name}: it passes in time");
        };
        assert!(wait.0 <= 130, "{name}: {wait:?}");
        engine.pass(wait.0).await;
        let decision = engine.reserve(&again(2)).await;
        assert!(
            matches!(decision, Decision::Admitted(_)),
            "{name}: {decision:?}"
        );
    }
    // A toll, and one that only asks.
    for (amount, scope) in [(10, "taken"), (0, "asked")] {
        for name in ["w", "b", "a", "f"] {
            let of = |limit: &Arc<Limit>, amount| Charge {
                counter: reservation::counter_id(name, &[scope]).into(),
                ..match amount {
                    0 => ask(limit),
                    amount => charge(limit, amount),
                }
            };
            assert!(engine.charge(vec![of(&day(name), 10)]).await.taken);
            let again = || engine.charge(vec![of(&short(name), amount)]);
            let Some(Retry::After(wait)) = again().await.told[0].lacks else {
                panic!("{name}, {scope}: it passes in time");
            };
            assert!(wait.0 <= 130, "{name}, {scope}: {wait:?}");
            engine.pass(wait.0).await;
            assert!(again().await.taken, "{name}, {scope}");
        }
    }
}

async fn a_shadow_limit_counts_and_never_refuses(engine: Engine) {
    let limits = [
        window("w", Unit::Requests, 1, DAY),
        fixed("f", Unit::Requests, 1, Period::forever()),
        slots("c", 1),
        bucket("b", 1, DAY, 1),
    ];
    let take = |n| {
        let charges = limits.iter().map(|limit| charge(&shadow(limit), 1));
        call(n, charges.collect())
    };
    let exceeded = |decision: &Decision| {
        let standings = admitted(decision).iter();
        standings.map(|s| s.exceeded).collect::<Vec<_>>()
    };
    let first = engine.reserve(&take(1)).await;
    assert_eq!(
        (used(&first), exceeded(&first)),
        (vec![1; 4], vec![false; 4])
    );
    let second = engine.reserve(&take(2)).await;
    assert_eq!(
        (used(&second), exceeded(&second)),
        (vec![2; 4], vec![true; 4])
    );
    // Beside one that refuses, nothing is taken.
    let mut both = take(3);
    let more = charge(&window("e", Unit::Requests, 1, DAY), 2);
    both.charges = both.charges.iter().cloned().chain([more]).collect();
    assert_eq!(refused(&engine.reserve(&both).await).charge, 4);
    assert_eq!(used(&engine.reserve(&take(4)).await), [3; 4]);
}

async fn a_leaky_bucket_spaces_calls(engine: Engine) {
    let every = Millis(200);
    let limit = limit(
        "l",
        Unit::Requests,
        2,
        Algorithm::LeakyBucket { every, burst: 1 },
    );
    let take = |n| call(n, vec![charge(&limit, 1)]);
    admitted(&engine.reserve(&take(1)).await);
    let Retry::After(wait) = refused(&engine.reserve(&take(2)).await).retry else {
        panic!("it passes in time");
    };
    assert!((1..=100).contains(&wait.0), "{wait:?}");
    engine.pass(wait.0).await;
    admitted(&engine.reserve(&take(3)).await);
}

fn told_used(paid: &Paid) -> Vec<u64> {
    paid.told.iter().map(|told| told.standing.used).collect()
}

fn hourly(name: &str, amount: u64) -> Arc<Limit> {
    fixed(name, Unit::Requests, amount, Period::aligned(DAY))
}

async fn a_toll_is_taken_whole_and_leaves_no_hold(engine: Engine) {
    let (few, many) = (hourly("few", 2), window("many", Unit::Requests, 9, DAY));
    let level = bucket("level", 1_000, DAY, 100);
    let toll = |n| vec![charge(&few, 1), charge(&many, n), charge(&level, 10)];
    for (n, used) in [(1, [1, 1, 10]), (3, [2, 4, 20])] {
        let paid = engine.charge(toll(n)).await;
        assert!(paid.taken);
        assert_eq!(told_used(&paid), used);
        assert!(paid.told.iter().all(|told| told.lacks.is_none()));
    }
    let paid = engine.charge(toll(5)).await;
    assert!(!paid.taken);
    assert_eq!(told_used(&paid), [2, 4, 20], "nothing is taken");
    let lacks: Vec<bool> = paid.told.iter().map(|told| told.lacks.is_some()).collect();
    assert_eq!(lacks, [true, false, false], "each is told apart");
    assert_eq!(engine.open().await, 0, "no hold");
    assert_eq!(engine.expire(9).await, [], "nothing to expire");
    // The counters are those of reservations.
    let call = call(1, vec![charge(&many, 1), charge(&few, 1)]);
    assert_eq!(refused(&engine.reserve(&call).await).charge, 1);
}

async fn a_toll_of_nothing_asks(engine: Engine) {
    let every = Millis(60_000);
    let limits = [
        fixed("f", Unit::Requests, 3, Period::first_hit(DAY)),
        window("w", Unit::Requests, 3, DAY),
        bucket("b", 3, DAY, 3),
        limit(
            "l",
            Unit::Requests,
            3,
            Algorithm::LeakyBucket { every, burst: 1 },
        ),
    ];
    for limit in &limits {
        let asked = || engine.charge(vec![ask(limit)]);
        let paid = asked().await;
        assert!(paid.taken, "{limit:?}");
        assert_eq!((told_used(&paid), paid.told[0].lacks), (vec![0], None));
        assert!(engine.charge(vec![charge(limit, limit.most())]).await.taken);
        let paid = asked().await;
        assert!(!paid.taken, "{limit:?}");
        assert!(matches!(paid.told[0].lacks, Some(Retry::After(wait)) if wait.0 > 0));
        // One that asks and one that takes stand or fall together.
        let other = hourly(&format!("beside {}", limit.name), 1);
        let both = vec![charge(&other, 1), ask(limit)];
        assert!(!engine.charge(both).await.taken);
        assert!(engine.charge(vec![charge(&other, 1)]).await.taken);
        let watched = engine.charge(vec![ask(&shadow(limit))]).await;
        assert!(watched.taken && watched.told[0].lacks.is_some());
    }
}

async fn a_toll_in_shadow_mode_becomes_a_debt(engine: Engine) {
    for limit in [
        hourly("f", 5),
        window("w", Unit::Requests, 5, DAY),
        bucket("b", 5, DAY, 5),
    ] {
        let lenient = shadow(&limit);
        let paid = engine.charge(vec![charge(&lenient, 4)]).await;
        assert!(paid.taken && paid.told[0].lacks.is_none());
        let paid = engine.charge(vec![charge(&lenient, 4)]).await;
        assert!(paid.taken && paid.told[0].lacks.is_some(), "{limit:?}");
        assert_eq!(told_used(&paid), [8]);
        assert!(!engine.charge(vec![charge(&limit, 1)]).await.taken);
    }
}

async fn a_toll_waits_exactly(engine: Engine) {
    let limits = [
        fixed("f", Unit::Requests, 2, Period::first_hit(Millis(300))),
        window("w", Unit::Requests, 2, Millis(360)),
        bucket("b", 2, Millis(300), 2),
    ];
    for limit in &limits {
        assert!(engine.charge(vec![charge(limit, 2)]).await.taken);
        let paid = engine.charge(vec![charge(limit, 1)]).await;
        let Some(Retry::After(wait)) = paid.told[0].lacks else {
            panic!("{paid:?}")
        };
        engine.pass(wait.0).await;
        assert!(
            engine.charge(vec![charge(limit, 1)]).await.taken,
            "{limit:?}"
        );
        let never = engine.charge(vec![charge(limit, 3)]).await;
        assert_eq!(never.told[0].lacks, Some(Retry::Never));
    }
}

/// One of each kind; 40 of them wait, so that looks go in parts.
fn each_kind() -> Vec<Arc<Limit>> {
    let mut limits = vec![
        fixed("f", Unit::Tokens, 100, Period::aligned(DAY)),
        window("w", Unit::Tokens, 100, DAY),
        bucket("b", 1, DAY, 100),
        slots("c", 5),
    ];
    limits.extend((0..40).map(|n| window(&format!("idle {n}"), Unit::Tokens, 100, DAY)));
    limits
}

async fn looked(engine: &Engine, limits: &[Arc<Limit>]) -> Vec<(u64, u64)> {
    let looks: Vec<Charge> = limits.iter().map(|limit| charge(limit, 0)).collect();
    let now = engine.now().await;
    let standings = engine
        .counters
        .look(&SLOT.into(), &looks, now)
        .await
        .unwrap();
    let held = engine.counters.held(SLOT, &looks).await.unwrap().unwrap();
    assert_eq!((standings.len(), held.len()), (limits.len(), limits.len()));
    assert!(standings[4..].iter().all(|standing| standing.used == 0));
    let used = standings.iter().map(|standing| standing.used);
    used.zip(held).take(4).collect()
}

async fn looking_takes_nothing_and_tells_what_is_held(engine: Engine) {
    let limits = each_kind();
    let take = |n, tokens| {
        let charges = limits[..3].iter().map(|limit| charge(limit, tokens));
        call(n, charges.chain([charge(&limits[3], 1)]).collect())
    };
    assert_eq!(looked(&engine, &limits).await, [(0, 0); 4]);
    for (n, tokens) in [(1, 20), (2, 30), (3, 5)] {
        admitted(&engine.reserve(&take(n, tokens)).await);
    }
    engine.settle(hold(3), actual(1, 7)).await;
    // Another tenant's are its own.
    let mut other = take(4, 9);
    other.slot = "globex".into();
    admitted(&engine.reserve(&other).await);
    for _ in 0..3 {
        let (tokens, calls) = ((57, 50), (2, 2));
        assert_eq!(
            looked(&engine, &limits).await,
            [tokens, tokens, tokens, calls]
        );
    }
    assert_eq!(engine.open().await, 3);
}

async fn counters_are_put_at_rest_and_holds_give_nothing_back_to_them(engine: Engine) {
    let limits = each_kind();
    let take = |n, tokens| {
        let charges = limits[..3].iter().map(|limit| charge(limit, tokens));
        call(n, charges.chain([charge(&limits[3], 1)]).collect())
    };
    for n in [1, 2] {
        admitted(&engine.reserve(&take(n, 40)).await);
    }
    let looks: Vec<Charge> = limits.iter().map(|limit| charge(limit, 0)).collect();
    engine.counters.reset(SLOT, &looks).await.unwrap();
    let used = |looked: Vec<(u64, u64)>| looked.iter().map(|(used, _)| *used).collect::<Vec<_>>();
    assert_eq!(used(looked(&engine, &limits).await), [0, 0, 0, 2]);
    let held = engine.counters.held(SLOT, &looks).await.unwrap().unwrap();
    assert_eq!(held[..4], [0, 0, 0, 2]);
    // Others come, and what the first two used is charged beside what they took;
    // none of it is given back. A slot is.
    admitted(&engine.reserve(&take(3, 50)).await);
    assert_eq!(used(looked(&engine, &limits).await), [50, 50, 50, 3]);
    assert_eq!(
        engine.settle(hold(1), actual(1, 10)).await,
        Settled::Applied
    );
    assert_eq!(used(looked(&engine, &limits).await), [60, 60, 60, 2]);
    engine.settle(hold(2), Actual::VOID).await;
    assert_eq!(used(looked(&engine, &limits).await), [60, 60, 60, 1]);
    engine.settle(hold(3), actual(1, 20)).await;
    assert_eq!(used(looked(&engine, &limits).await), [30, 30, 30, 0]);
}

/// A hard limit: little is held, but there must be room for the most.
async fn more_room_may_be_needed_than_is_taken(engine: Engine) {
    for (base, limit) in [
        (0, fixed("f", Unit::Tokens, 100, Period::aligned(DAY))),
        (10, window("w", Unit::Tokens, 100, DAY)),
        (20, bucket("b", 1, DAY, 100)),
    ] {
        let hard = |n, room| call(base + n, vec![needing(charge(&limit, 20), room)]);
        assert_eq!(used(&engine.reserve(&hard(1, 80)).await), [20]);
        assert_eq!(used(&engine.reserve(&hard(2, 80)).await), [40]);
        let refusal = refused(&engine.reserve(&hard(3, 80)).await);
        let told = (refusal.used, refusal.requested, refusal.remaining);
        assert_eq!(told, (40, 80, 60), "{limit:?}");
        assert!(matches!(refusal.retry, Retry::After(_)));
        assert_eq!(used(&engine.reserve(&hard(4, 60)).await), [60]);
        let refusal = refused(&engine.reserve(&hard(5, 101)).await);
        assert_eq!(refusal.retry, Retry::Never);
        // What comes to more than was held is charged.
        engine.settle(hold(base + 4), actual(1, 60)).await;
        let look = call(base + 6, vec![charge(&limit, 0)]);
        assert_eq!(used(&engine.reserve(&look).await), [100]);
    }
}

async fn a_toll_that_cannot_be_counted_is_an_error(engine: Engine) {
    let one = charge(&hourly("f", 5), 1);
    let lease = charge(&slots("slots", 5), 1);
    let many: Vec<Charge> = (0..=CHARGES_MAX)
        .map(|n| charge(&hourly(&n.to_string(), 5), 1))
        .collect();
    for charges in [vec![one.clone(), one], vec![lease], many] {
        let slot = SLOT.into();
        let toll = Toll { slot, charges };
        let paid = engine.counters.charge(&toll, engine.now().await).await;
        assert!(matches!(paid, Err(CounterError::Unfit(_))), "{paid:?}");
    }
}

/// How a counter stands, and the number of the window that it was looked at in.
async fn stands_in(engine: &Engine, limit: &Arc<Limit>, period: &Period) -> (u64, Standing) {
    let (slot, looks) = (SLOT.into(), [charge(limit, 0)]);
    loop {
        let now = engine.now().await;
        let looked = engine.counters.look(&slot, &looks, now);
        let standing = looked.await.unwrap()[0];
        if period.number(now) == period.number(engine.now().await) {
            return (period.number(now), standing);
        }
    }
}

async fn what_is_left_of_a_window_goes_into_the_next(engine: Engine) {
    let period = Period::aligned(Millis(1_000));
    for n in 0.. {
        assert!(n < 30, "never within one window");
        let limit = rolling(&format!("r{n}"), Unit::Requests, 10, 15, period.clone());
        let begun = period.number(engine.now().await);
        let standing = admitted(&engine.reserve(&call(n + 1, vec![charge(&limit, 4)])).await)[0];
        if period.number(engine.now().await) != begun {
            continue;
        }
        assert_eq!(
            (standing.used, standing.remaining, standing.carried),
            (4, 6, 0)
        );
        // Too large for this window; told to come when enough is carried.
        let wanted = |amount| call(500 + n, vec![charge(&limit, amount)]);
        let never = refused(&engine.reserve(&wanted(26)).await);
        assert_eq!(never.retry, Retry::Never);
        let wait = match engine.reserve(&wanted(25)).await {
            Decision::Refused(refusal, _) => match refusal.retry {
                Retry::After(wait) => wait,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let mut seen = 0;
        for _ in 0..4 {
            engine.pass(1_000 - engine.now().await.0 % 1_000).await;
            let (number, standing) = stands_in(&engine, &limit, &period).await;
            let carried = match number - begun {
                0 => 0,
                1 => 6,
                _ => 15,
            };
            assert_eq!(
                standing.carried,
                carried,
                "{} windows later",
                number - begun
            );
            assert_eq!(
                (standing.used, standing.remaining),
                match carried {
                    0 => (4, 6),
                    carried => (0, 10 + carried),
                }
            );
            seen = number - begun;
        }
        assert!(seen >= 3);
        assert!(
            (1_001..=2_000).contains(&wait.0),
            "the window after the next: {wait:?}"
        );
        let standing = admitted(&engine.reserve(&wanted(25)).await)[0];
        assert_eq!(
            (standing.used, standing.carried, standing.remaining),
            (25, 15, 0)
        );
        return;
    }
}

async fn a_window_that_carries_is_held_and_put_at_rest_like_others(engine: Engine) {
    let limit = rolling("r", Unit::Tokens, 10, 15, Period::aligned(DAY));
    let looks = [charge(&limit, 0)];
    admitted(&engine.reserve(&call(1, vec![charge(&limit, 7)])).await);
    let held = || async { engine.counters.held(SLOT, &looks).await.unwrap() };
    assert_eq!(held().await, Some(vec![7]));
    engine.counters.reset(SLOT, &looks).await.unwrap();
    assert_eq!(held().await, Some(vec![0]));
    assert_eq!(engine.settle(hold(1), Actual::VOID).await, Settled::Applied);
    let standing = admitted(&engine.reserve(&call(2, vec![charge(&limit, 9)])).await)[0];
    assert_eq!((standing.used, standing.remaining), (9, 1));
    engine.settle(hold(2), actual(1, 3)).await;
    let standing = admitted(&engine.reserve(&call(3, vec![ask(&limit)])).await)[0];
    assert_eq!((standing.used, standing.remaining), (3, 7));
    // Nothing that can't be counted.
    for (amount, most) in [(0, 1), (10, 0), (10, 361)] {
        let algorithm = Algorithm::FixedWindow {
            period: Arc::new(Period::aligned(DAY)),
            rollover: Some(Rollover { amount, most }),
        };
        let odd = crate::engine::limit("odd", Unit::Tokens, 10, algorithm);
        let reservation = call(4, vec![charge(&odd, 1)]);
        let now = engine.now().await;
        let error = engine
            .counters
            .reserve(&reservation, now)
            .await
            .unwrap_err();
        assert!(matches!(error, CounterError::Unfit(_)), "{error:?}");
    }
}
