//! Batches in: once each, whatever happens.

use super::*;
use crate::link::Link;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::time::Duration;
use weir::ledger::sink::SinkError;
use weir::ledger::store::measure::Measure;
use weir::ledger::store::query::Query;
use weir::ledger::store::report::UsageRow;
use weir::ledger::store::{Again, Aside, Of, Rollup, StoreError};
use weir::units::Millis;

on_each_ledger!(
    a_row_is_read_back_to_the_byte,
    a_batch_is_counted_once_however_often_it_comes,
    a_batch_that_was_committed_unheard_is_counted_once,
    writers_at_once_lose_nothing,
    of_two_rows_with_one_id_the_first_counts,
    of_a_refusal_and_a_call_with_one_id_the_first_counts,
    a_poison_row_is_named_and_set_aside,
    a_sum_that_does_not_fit_is_poison,
    rows_at_the_edges_of_months,
    old_rows_are_dropped_and_their_sums_stay,
    old_sums_are_dropped_when_they_may_be,
    what_was_set_aside_is_dropped_with_its_chain,
    several_open_it_at_once,
    a_newer_ledger_is_left_alone,
    an_older_ledger_keeps_its_chains,
    what_was_set_aside_is_taken_once_when_it_fits,
);

/// 2026-03-01T00:00:00Z.
const MARCH: u64 = 1_772_323_200_000;
const DAY: u64 = 86_400_000;

async fn total(ledger: &Ledger) -> UsageRow {
    let query = Query::of(UnixMillis(0), UnixMillis(4_000_000_000_000));
    let mut rows = ledger.store.usage(&query).await.unwrap().rows;
    assert!(rows.len() <= 1);
    rows.pop().unwrap_or(UsageRow {
        period: None,
        names: Vec::new(),
        sums: Default::default(),
    })
}

async fn calls(ledger: &Ledger) -> i128 {
    total(ledger).await.sums.get(Measure::Calls)
}

async fn a_row_is_read_back_to_the_byte(ledger: Ledger) {
    let mut dice = Dice(1);
    let mut chain = Chain::new(&mut dice);
    let most = i64::MAX as u64 / 1_000;
    let mut rows = Vec::new();
    for n in 0..400 {
        let event = any_event(&mut dice, MARCH + n * DAY / 8, most);
        rows.push(chain.link(event));
    }
    for batch in rows.chunks(150) {
        ledger.deliver(batch).await;
    }
    for row in &rows {
        let shown = ledger.store.show(row.event.id).await.unwrap().unwrap();
        assert_eq!(&shown.row, row);
        assert_eq!(wire::encode(&shown.row), wire::encode(row));
    }
    let mut scanned = Vec::new();
    for of in [Of::Calls, Of::Refusals] {
        let span = (UnixMillis(0), UnixMillis(i64::MAX as u64));
        let mut scan = ledger.store.scan(of, span, Vec::new());
        scanned.extend(scan.next_rows().await.unwrap());
        assert!(scan.next_rows().await.unwrap().is_empty());
    }
    let sort = |rows: &mut Vec<Row>| rows.sort_by_key(|row| row.event.id);
    sort(&mut scanned);
    sort(&mut rows);
    assert!(scanned == rows);
}

async fn a_batch_is_counted_once_however_often_it_comes(ledger: Ledger) {
    let mut dice = Dice(2);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 300);
    // All, again, a part, and a part of it with new ones behind.
    for batch in [&rows[..200], &rows[..200], &rows[50..60], &rows[150..]] {
        ledger.deliver(batch).await;
    }
    let total = total(&ledger).await;
    assert_eq!(total.sums.get(Measure::Calls), 300);
    assert_eq!(total.sums.get(Measure::CostNanos), 30_000);
    assert_eq!(total.sums.total_tokens(), 300 * 15);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM calls").await, 300);
    let query = "SELECT CAST(SUM(calls) AS BIGINT) FROM usage_day";
    assert_eq!(ledger.count(query).await, 300);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM set_aside").await, 0);
}

async fn a_batch_that_was_committed_unheard_is_counted_once(ledger: Ledger) {
    let mut dice = Dice(3);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 64);
    // Given up at any moment, then offered again, as after a crash.
    for micros in (0..6_000).step_by(400) {
        let mut sink = ledger.store.clone();
        let patience = Duration::from_micros(micros);
        let _ = tokio::time::timeout(patience, sink.deliver(&rows)).await;
    }
    ledger.deliver(&rows).await;
    assert_eq!(calls(&ledger).await, 64);
    let chains = ledger.store.chains().await.unwrap();
    assert_eq!(
        ledger.store.verify(&chains[0]).await.unwrap(),
        Ok(chain.last)
    );
}

async fn writers_at_once_lose_nothing(ledger: Ledger) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let mut store = ledger.another().await;
        writers.spawn(async move {
            let mut dice = Dice(100 + writer);
            let mut chain = Chain::new(&mut dice);
            for batch in 0..8 {
                // Months that nobody has seen yet, among others.
                let from = MARCH + (batch % 3) * 31 * DAY;
                let rows = chain.calls(&mut dice, from, 40);
                store.deliver(&rows).await.unwrap();
                store.deliver(&rows[20..]).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(calls(&ledger).await, 4 * 8 * 40);
    for chain in ledger.store.chains().await.unwrap() {
        let end = ledger.store.verify(&chain).await.unwrap().unwrap();
        assert_eq!(end.sequence, 8 * 40);
    }
}

async fn of_two_rows_with_one_id_the_first_counts(ledger: Ledger) {
    let mut dice = Dice(4);
    let (mut here, mut there) = (Chain::new(&mut dice), Chain::new(&mut dice));
    let mine = here.calls(&mut dice, MARCH, 3);
    let mut theirs = there.calls(&mut dice, MARCH, 3);
    // Another sidecar told of the same call's end, and makes more of it.
    let mut other = theirs.remove(1).event;
    other.id = mine[1].event.id;
    other.cost_nanos = Some(1_000);
    let mut there = Chain {
        last: Place {
            sequence: 1,
            hash: theirs[0].link.hash,
        },
        ..there
    };
    let other = there.link(other);
    let last = there.link(theirs.pop().unwrap().event);
    theirs.extend([other.clone(), last]);
    ledger.deliver(&mine).await;
    ledger.deliver(&theirs).await;
    ledger.deliver(&theirs).await;
    ledger.deliver(&mine).await;
    let total = total(&ledger).await;
    assert_eq!(total.sums.get(Measure::Calls), 5);
    assert_eq!(total.sums.get(Measure::CostNanos), 500);
    let shown = ledger.store.show(other.event.id).await.unwrap().unwrap();
    assert_eq!(shown.row, mine[1]);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM set_aside").await, 1);
    // Both chains are whole.
    for chain in ledger.store.chains().await.unwrap() {
        let end = ledger.store.verify(&chain).await.unwrap().unwrap();
        assert_eq!(end.sequence, 3);
    }
    // Twice in one batch: the same.
    let mut third = Chain::new(&mut dice);
    let twice = third.calls(&mut dice, MARCH, 1);
    let again = third.link(twice[0].event.clone());
    ledger.deliver(&[twice[0].clone(), again]).await;
    assert_eq!(calls(&ledger).await, 6);
    for chain in ledger.store.chains().await.unwrap() {
        assert!(ledger.store.verify(&chain).await.unwrap().is_ok());
    }
}

/// A counter store that did not answer in time may have taken what was refused
/// then, and hands it over when it expires.
async fn of_a_refusal_and_a_call_with_one_id_the_first_counts(ledger: Ledger) {
    let mut dice = Dice(14);
    let mut chain = Chain::new(&mut dice);
    let mut refused = call(&mut dice, MARCH);
    refused.outcome = Outcome::Refused;
    refused.known = None;
    refused.cost_nanos = None;
    let mut expired = call(&mut dice, MARCH);
    expired.outcome = Outcome::Estimated;
    expired.known = Some(Known::Reserved);
    expired.id = refused.id;
    let (mut early, mut late) = (expired.clone(), refused.clone());
    early.id = dice.id(MARCH + 1);
    late.id = early.id;
    let rows = [refused, expired, early, late].map(|event| chain.link(event));
    // One by one, and all at once; again, as after a crash.
    for row in &rows {
        ledger.deliver(std::slice::from_ref(row)).await;
    }
    ledger.deliver(&rows).await;
    let [refused, expired, ..] = rows.map(|row| row.event);
    let again = [refused, expired].map(|mut event| {
        event.id = HoldId::new(UnixMillis(MARCH + 2), &[7; 10]);
        chain.link(event)
    });
    ledger.deliver(&again).await;
    ledger.deliver(&again).await;
    let total = total(&ledger).await;
    assert_eq!(total.sums.get(Measure::Refused), 2);
    assert_eq!(total.sums.get(Measure::Calls), 1);
    assert_eq!(total.sums.get(Measure::CostNanos), 100);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM calls").await, 1);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM refusals").await, 2);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM set_aside").await, 3);
    let chains = ledger.store.chains().await.unwrap();
    assert_eq!(
        ledger.store.verify(&chains[0]).await.unwrap(),
        Ok(chain.last)
    );
}

async fn a_poison_row_is_named_and_set_aside(ledger: Ledger) {
    let mut dice = Dice(5);
    let mut chain = Chain::new(&mut dice);
    let mut rows = chain.calls(&mut dice, MARCH, 5);
    let mut nul = call(&mut dice, MARCH);
    nul.model_served = Some("gpt\0".into());
    rows.push(chain.link(nul));
    let mut large = call(&mut dice, MARCH);
    large.cost_nanos = Some(u64::MAX);
    rows.push(chain.link(large));
    rows.extend(chain.calls(&mut dice, MARCH, 5));
    let mut sink = ledger.store.clone();
    let mut left = rows.clone();
    let mut why = Vec::new();
    loop {
        match sink.deliver(&left).await {
            Ok(()) => break,
            Err(SinkError::Poison { index, why: reason }) => {
                assert_eq!(calls(&ledger).await, 0, "none of the batch may be in");
                let row = left.remove(index);
                // Twice, as after a crash.
                sink.set_aside(&row, &reason).await.unwrap();
                sink.set_aside(&row, &reason).await.unwrap();
                why.push((row.link.sequence, reason));
            }
            Err(away) => panic!("{away}"),
        }
    }
    let sequences: Vec<u64> = why.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [6, 7]);
    assert!(
        why[0].1.contains("model_served") && why[1].1.contains("cost_nanos"),
        "{why:?}"
    );
    assert_eq!(calls(&ledger).await, 10);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM set_aside").await, 2);
    let chains = ledger.store.chains().await.unwrap();
    assert_eq!(
        ledger.store.verify(&chains[0]).await.unwrap(),
        Ok(chain.last)
    );
}

async fn a_sum_that_does_not_fit_is_poison(ledger: Ledger) {
    let mut dice = Dice(6);
    let mut chain = Chain::new(&mut dice);
    let mut rows = chain.calls(&mut dice, MARCH, 9);
    for row in [3, 7] {
        rows[row].event.cost_nanos = Some(i64::MAX as u64);
    }
    ledger.deliver(&rows[..3]).await;
    // Any one of them fits, but not beside what is there.
    match ledger.store.clone().deliver(&rows).await {
        Err(SinkError::Poison { index: 3, .. }) => {}
        other => panic!("{other:?}"),
    }
    rows.remove(3);
    match ledger.store.clone().deliver(&rows).await {
        Err(SinkError::Poison { index: 6, .. }) => {}
        other => panic!("{other:?}"),
    }
    rows.remove(6);
    ledger.deliver(&rows).await;
    assert_eq!(calls(&ledger).await, 7);
}

async fn rows_at_the_edges_of_months(ledger: Ledger) {
    let mut dice = Dice(7);
    let mut chain = Chain::new(&mut dice);
    let mut rows = Vec::new();
    for month in [
        MARCH,
        MARCH + 31 * DAY,
        MARCH - 28 * DAY,
        0,
        4_102_444_800_000,
    ] {
        for at in [month.saturating_sub(1), month, month + 1] {
            rows.push(chain.link(call(&mut dice, at)));
        }
    }
    // The last id there can be.
    rows.push(chain.link(call(&mut dice, (1 << 48) - 1)));
    ledger.deliver(&rows).await;
    ledger.deliver(&rows).await;
    let at = |at| UnixMillis(at);
    let sum = async |since, until| {
        let query = Query::of(at(since), at(until));
        let rows = ledger.store.usage(&query).await.unwrap().rows;
        rows.first().map_or(0, |row| row.sums.get(Measure::Calls))
    };
    assert_eq!(sum(MARCH, MARCH + 31 * DAY).await, 3);
    assert_eq!(sum(MARCH - 1, MARCH + 31 * DAY + 1).await, 5);
    assert_eq!(sum(0, 1 << 50).await, 16);
    assert_eq!(sum(MARCH, MARCH).await, 0);
    if ledger.is_postgres() {
        for (table, rows) in [
            ("calls_2026_03", 3),
            ("calls_2026_02", 3),
            ("calls_2026_04", 2),
        ] {
            let sql = format!("SELECT COUNT(*) FROM {table}");
            assert_eq!(ledger.count(&sql).await, rows, "{table}");
        }
    }
}

async fn old_rows_are_dropped_and_their_sums_stay(ledger: Ledger) {
    let mut dice = Dice(8);
    let mut chain = Chain::new(&mut dice);
    let mut rows = chain.calls(&mut dice, MARCH - 28 * DAY, 3_000);
    rows.extend(chain.calls(&mut dice, MARCH, 10));
    // A long call of February that ended in March.
    rows.push(chain.link(call(&mut dice, MARCH - 5_000)));
    rows.extend(chain.calls(&mut dice, MARCH + 60_000, 10));
    for batch in rows.chunks(500) {
        ledger.deliver(batch).await;
    }
    let before = UnixMillis(MARCH);
    let kept_from = ledger.store.drop_before(before).await.unwrap();
    assert!(kept_from >= before && kept_from <= before + Millis(60_000));
    assert_eq!(ledger.store.drop_before(before).await.unwrap(), kept_from);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM calls").await, 20);
    assert_eq!(ledger.store.show(rows[0].event.id).await.unwrap(), None);
    // Whole quarters of an hour are as before; less can't be told any more.
    let query = |since| Query::of(UnixMillis(since), UnixMillis(MARCH + DAY));
    let sums = ledger.store.usage(&query(MARCH - 28 * DAY)).await.unwrap();
    assert_eq!(sums.rows[0].sums.get(Measure::Calls), 3_021);
    match ledger.store.usage(&query(MARCH - 28 * DAY + 1)).await {
        Err(StoreError::NotKept(from)) => assert_eq!(from, kept_from),
        other => panic!("{other:?}"),
    }
    // What is left of the chain is verified from there.
    let chains = ledger.store.chains().await.unwrap();
    assert_eq!(chains[0].dropped.sequence, 3_011);
    assert_eq!(
        ledger.store.verify(&chains[0]).await.unwrap(),
        Ok(chain.last)
    );
    assert!(ledger.raw("DELETE FROM calls WHERE sequence = 3013").await == 1);
    assert!(ledger.store.verify(&chains[0]).await.unwrap().is_err());
}

async fn old_sums_are_dropped_when_they_may_be(ledger: Ledger) {
    let mut dice = Dice(14);
    let mut chain = Chain::new(&mut dice);
    // One call each quarter of an hour for six days.
    let calls = (0..6 * 96).map(|n| chain.link(call(&mut dice, MARCH + n * 900_000)));
    let calls: Vec<Row> = calls.collect();
    ledger.deliver(&calls).await;
    let at = |ms| UnixMillis(MARCH + ms);
    let sum = async |since, until| {
        let rows = ledger.store.usage(&Query::of(at(since), at(until))).await?;
        let rows = rows.rows.iter();
        Ok(rows.map(|row| row.sums.get(Measure::Calls)).sum::<i128>())
    };
    let quarter = 900_000;
    let drop = |rollup, ms| ledger.store.drop_rollups_before(rollup, at(ms));
    // Whole days only.
    let kept = drop(Rollup::Quarters, 3 * DAY - 1).await.unwrap();
    assert_eq!(kept, at(2 * DAY));
    for _ in 0..2 {
        let kept = drop(Rollup::Quarters, 3 * DAY + quarter).await.unwrap();
        assert_eq!(kept, at(3 * DAY));
    }
    let left = "SELECT COUNT(*) FROM usage_quarter";
    assert_eq!(ledger.count(left).await, 3 * 96);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM usage_day").await, 6);
    assert_eq!(sum(0, 6 * DAY).await.unwrap(), 6 * 96);
    assert_eq!(sum(3 * DAY + quarter, 6 * DAY).await.unwrap(), 3 * 96 - 1);
    assert_eq!(sum(DAY, 3 * DAY + 2 * quarter).await.unwrap(), 2 * 96 + 2);
    match sum(DAY + quarter, 6 * DAY).await {
        Err(StoreError::QuartersNotKept(from)) => assert_eq!(from, at(3 * DAY)),
        other => panic!("{other:?}"),
    }
    assert_eq!(drop(Rollup::Days, 2 * DAY).await.unwrap(), at(2 * DAY));
    // An earlier time brings nothing back.
    assert_eq!(drop(Rollup::Days, DAY).await.unwrap(), at(2 * DAY));
    assert_eq!(ledger.count("SELECT COUNT(*) FROM usage_day").await, 4);
    assert_eq!(sum(2 * DAY, 6 * DAY).await.unwrap(), 4 * 96);
    match sum(DAY, 6 * DAY).await {
        Err(StoreError::DaysNotKept(from)) => assert_eq!(from, at(2 * DAY)),
        other => panic!("{other:?}"),
    }
    // What comes late of a day that is gone goes the same way.
    let late = [chain.link(call(&mut dice, MARCH + 7))];
    ledger.deliver(&late).await;
    assert_eq!(drop(Rollup::Quarters, 3 * DAY).await.unwrap(), at(3 * DAY));
    assert_eq!(ledger.count(left).await, 3 * 96);
}

async fn what_was_set_aside_is_dropped_with_its_chain(ledger: Ledger) {
    let mut dice = Dice(15);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH - 28 * DAY, 20);
    let later = chain.calls(&mut dice, MARCH, 20);
    let mut sink = ledger.store.clone();
    for rows in [&rows, &later] {
        // The tenth of each is refused.
        ledger.deliver(&rows[..9]).await;
        sink.set_aside(&rows[9], "it is odd").await.unwrap();
        ledger.deliver(&rows[10..]).await;
    }
    let left = "SELECT COUNT(*) FROM set_aside";
    let drop = async |before| {
        let before = UnixMillis(before);
        ledger.store.drop_set_aside_before(before).await.unwrap()
    };
    // Its chain is kept from before it on.
    assert_eq!(drop(u64::MAX >> 1).await, 0);
    ledger.store.drop_before(UnixMillis(MARCH)).await.unwrap();
    // It was set aside a moment ago.
    assert_eq!(drop(MARCH).await, 0);
    assert_eq!(ledger.count(left).await, 2);
    assert_eq!(drop(u64::MAX >> 1).await, 1);
    assert_eq!(ledger.count(left).await, 1);
    let chains = ledger.store.chains().await.unwrap();
    assert_eq!(chains[0].dropped.sequence, 20);
    assert_eq!(
        ledger.store.verify(&chains[0]).await.unwrap(),
        Ok(chain.last)
    );
}

async fn several_open_it_at_once(ledger: Ledger) {
    // A database that nobody has opened yet.
    let folder = tempfile::tempdir().unwrap();
    let config = if ledger.is_postgres() {
        let server = crate::postgres::Server::shared().await;
        StoreConfig::Postgres(PostgresConfig::new(server.database().await))
    } else {
        let path = folder.path().join("ledger.db");
        StoreConfig::Sqlite { path }
    };
    let mut programs = tokio::task::JoinSet::new();
    for program in 0..6 {
        let config = config.clone();
        programs.spawn(async move {
            let mut store = Store::open(&config).await.unwrap();
            let mut dice = Dice(200 + program);
            let rows = Chain::new(&mut dice).calls(&mut dice, MARCH, 10);
            store.deliver(&rows).await.unwrap();
        });
    }
    while let Some(done) = programs.join_next().await {
        done.unwrap();
    }
    let store = Store::open(&config).await.unwrap();
    assert_eq!(store.chains().await.unwrap().len(), 6);
}

/// A file that has no write-ahead log yet must be had alone to get one, and SQLite
/// turns away at once whoever finds another there.
#[tokio::test]
async fn a_new_file_that_another_writes_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut writer = options.connect().await.unwrap();
    for statement in ["CREATE TABLE other (n)", "BEGIN IMMEDIATE"] {
        sqlx::query(statement).execute(&mut writer).await.unwrap();
    }
    let config = StoreConfig::Sqlite { path };
    let mut opening = std::pin::pin!(Store::open(&config));
    let soon = tokio::time::timeout(Duration::from_millis(300), &mut opening).await;
    assert!(
        soon.is_err(),
        "it waits: {:?}",
        soon.map(|store| store.map(drop))
    );
    sqlx::query("COMMIT").execute(&mut writer).await.unwrap();
    opening.await.unwrap();
}

/// Columns that came later are absent in rows from before, so their hashes stay.
async fn an_older_ledger_keeps_its_chains(ledger: Ledger) {
    let mut dice = Dice(15);
    let mut chain = Chain::new(&mut dice);
    ledger.deliver(&chain.calls(&mut dice, MARCH, 3)).await;
    ledger.undo_versions_from_3().await;
    match Store::open_to_read(&ledger.config).await {
        Err(StoreError::Older { found: 2, known: 4 }) => {}
        other => panic!("{other:?}"),
    }
    let mut store = ledger.another().await;
    let mut newer = call(&mut dice, MARCH + 10_000);
    newer.cached_input_audio_tokens = Some(7);
    newer.output_known = Some(Known::Counted);
    let newer = chain.link(newer);
    store.deliver(std::slice::from_ref(&newer)).await.unwrap();
    let shown = store.show(newer.event.id).await.unwrap().unwrap();
    assert_eq!(shown.row, newer);
    let chains = store.chains().await.unwrap();
    assert_eq!(store.verify(&chains[0]).await.unwrap(), Ok(chain.last));
}

async fn what_was_set_aside_is_taken_once_when_it_fits(ledger: Ledger) {
    let mut dice = Dice(16);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 100);
    let mut nul = call(&mut dice, MARCH);
    nul.model_served = Some("gpt\0".into());
    let nul = chain.link(nul);
    let again = chain.link(rows[0].event.clone());
    let (fits, others): (Vec<Row>, Vec<Row>) =
        (rows.into_iter()).partition(|row| row.link.sequence % 2 == 0);
    let mut sink = ledger.store.clone();
    ledger.deliver(&others).await;
    for row in fits.iter().chain([&nul]) {
        sink.set_aside(row, "no room").await.unwrap();
    }
    ledger.deliver(std::slice::from_ref(&again)).await;
    // All of them, page by page, by their place.
    let mut asides = Vec::new();
    let mut after = None;
    loop {
        let page = ledger.store.set_asides(after).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.chain, last.sequence));
        asides.extend(page);
    }
    let found = |aside: &Aside| (aside.row.clone().unwrap(), aside.why.clone());
    let expected = fits.iter().chain([&nul]).map(|row| (row, "no room"));
    let expected = expected.chain([(&again, "another row has its id")]);
    let expected = expected.map(|(row, why)| (row.clone(), why.to_owned()));
    assert!(asides.iter().map(found).eq(expected));
    let counted: Vec<bool> = asides.iter().map(Aside::is_counted).collect();
    assert_eq!(counted.iter().filter(|is| **is).count(), 1);
    // Two at once, and again later: each counts once.
    let another = ledger.another().await;
    for row in &fits {
        let both = tokio::join!(ledger.store.take_again(row), another.take_again(row));
        assert_eq!(
            (both.0.unwrap(), both.1.unwrap()),
            (Again::Taken, Again::Taken)
        );
    }
    let refused = ledger.store.take_again(&nul).await.unwrap();
    assert!(
        matches!(&refused, Again::Refused(why) if why.contains("model_served")),
        "{refused:?}"
    );
    let counted = ledger.store.take_again(&again).await.unwrap();
    assert_eq!(counted, Again::Counted);
    let total = total(&ledger).await;
    assert_eq!(total.sums.get(Measure::Calls), 100);
    assert_eq!(total.sums.get(Measure::CostNanos), 10_000);
    assert_eq!(ledger.count("SELECT COUNT(*) FROM set_aside").await, 2);
    let chains = ledger.store.chains().await.unwrap();
    assert_eq!(
        ledger.store.verify(&chains[0]).await.unwrap(),
        Ok(chain.last)
    );
}

async fn a_newer_ledger_is_left_alone(ledger: Ledger) {
    ledger.raw("INSERT INTO ledger_version VALUES (99)").await;
    match Store::open(&ledger.config).await {
        Err(StoreError::Newer {
            found: 99,
            known: 4,
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_away_and_comes_back() {
    let mut server = crate::postgres::Server::start(&[]).await;
    // Anybody is let in, with a password too.
    let url = server.database().await.replace("weir@", "weir:hunter2@");
    let mut config = PostgresConfig::new(url);
    config.connect_timeout = Millis(300);
    let mut store = Store::open(&StoreConfig::Postgres(config)).await.unwrap();
    assert!(!format!("{store:?}").contains("hunter2"));
    let mut dice = Dice(9);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 100);
    store.deliver(&rows[..50]).await.unwrap();
    server.kill();
    match store.deliver(&rows).await {
        Err(SinkError::Away(why)) => assert!(!why.contains("127.0.0.1"), "{why}"),
        other => panic!("{other:?}"),
    }
    server.run();
    server.answers().await;
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while store.deliver(&rows).await.is_err() {
        assert!(std::time::Instant::now() < until, "it never came back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let chains = store.chains().await.unwrap();
    assert_eq!(store.verify(&chains[0]).await.unwrap(), Ok(chain.last));
}

/// A copy of before is put in place while nothing is written, so no batch fails.
#[tokio::test]
async fn a_database_of_before_gets_the_names_of_groups_again() {
    let server = crate::postgres::Server::shared().await;
    let url = server.database().await;
    let config = StoreConfig::Postgres(PostgresConfig::new(&url));
    let mut store = Store::open(&config).await.unwrap();
    let mut dice = Dice(17);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 60);
    store.deliver(&rows[..30]).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "TRUNCATE calls, refusals, chains, usage_group, usage_quarter, usage_day; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut other)
    .await
    .unwrap();
    store.deliver(&rows).await.unwrap();
    let query = Query::of(UnixMillis(0), UnixMillis(MARCH + 365 * DAY));
    let report = store.usage(&query).await.unwrap();
    assert_eq!(report.rows[0].sums.get(Measure::Calls), 60);
    store.close().await;
}

/// As where packets are dropped: nothing is reset.
#[tokio::test]
async fn a_server_that_falls_silent_is_away_in_time_and_comes_back() {
    let server = crate::postgres::Server::shared().await;
    let link = Link::start(server.address()).await;
    let url = server.database().await;
    let direct = StoreConfig::Postgres(PostgresConfig::new(&url));
    Store::open(&direct).await.unwrap().close().await;
    let url = url.replace(&server.address().to_string(), &link.address.to_string());
    let mut config = PostgresConfig::new(url);
    // Long enough for a machine that has other work, and far below the defaults.
    let limit = Millis(1_500);
    (config.write_timeout, config.read_timeout) = (limit, limit);
    (config.connections_max, config.connect_timeout) = (2, Millis(2_500));
    let mut store = Store::open(&StoreConfig::Postgres(config)).await.unwrap();
    let mut dice = Dice(16);
    let mut chain = Chain::new(&mut dice);
    let mut delivered = 0;
    // More often than there are connections, at any part of a batch.
    for round in 0..5 {
        let rows = chain.calls(&mut dice, MARCH + round * DAY, 3_000);
        let falls = async {
            tokio::time::sleep(Duration::from_millis(round * 10)).await;
            link.fall_silent();
        };
        let began = std::time::Instant::now();
        let (done, ()) = tokio::join!(store.deliver(&rows), falls);
        if let Err(SinkError::Poison { why, .. }) = done {
            panic!("{why}");
        }
        let query = Query::of(UnixMillis(0), UnixMillis(MARCH + 365 * DAY));
        match store.usage(&query).await {
            Err(StoreError::Away(_)) => {}
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(15), "round {round}");
        link.mend();
        delivered += rows.len();
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let told = match store.deliver(&rows).await {
                Ok(()) => store.usage(&query).await.ok(),
                Err(_) => None,
            };
            if let Some(report) = told {
                let calls = report.rows[0].sums.get(Measure::Calls);
                assert_eq!(calls, delivered as i128, "round {round}");
                break;
            }
            assert!(std::time::Instant::now() < until, "it never came back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let chains = store.chains().await.unwrap();
    assert_eq!(store.verify(&chains[0]).await.unwrap(), Ok(chain.last));
    store.close().await;
}

#[tokio::test]
async fn addresses_are_checked_and_never_shown() {
    for url in [
        "mysql://u:hunter2@h/d",
        "postgres://u:hunter2@[::1/d",
        "postgres://u:hunter2@127.0.0.1:1/d",
    ] {
        let mut config = PostgresConfig::new(url);
        config.connect_timeout = Millis(200);
        let config = StoreConfig::Postgres(config);
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = Store::open(&config).await.unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
    let config = StoreConfig::Sqlite {
        path: "/nonexistent/ledger.db".into(),
    };
    assert!(matches!(
        Store::open(&config).await,
        Err(StoreError::Away(_))
    ));
}

#[tokio::test]
async fn a_file_that_another_holds_is_away_until_it_lets_go() {
    let ledger = Ledger::sqlite().await;
    let StoreConfig::Sqlite { path } = &ledger.config else {
        panic!("a file");
    };
    let url = format!("sqlite://{}", path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let mut dice = Dice(12);
    let rows = Chain::new(&mut dice).calls(&mut dice, MARCH, 3);
    let mut sink = ledger.store.clone();
    match sink.deliver(&rows).await {
        Err(SinkError::Away(_)) => {}
        other => panic!("{other:?}"),
    }
    // Reading goes on meanwhile.
    assert_eq!(calls(&ledger).await, 0);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    ledger.deliver(&rows).await;
    assert_eq!(calls(&ledger).await, 3);
}
