//! Reports, against a model that adds up rows one by one.

use super::*;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashMap};
use weir::ledger::rerating::walk::{Run, Span, rerate};
use weir::ledger::store::columns::at;
use weir::ledger::store::measure::{Dimension, Measure, Sums};
use weir::ledger::store::period::Unit;
use weir::ledger::store::query::{Condition, Cursor, Order, Query};
use weir::ledger::store::report::UsageRow;
use weir::ledger::store::{Adjusted, Adjustment, Of, StoreError};
use weir::pricing::{ModelPrice, Schedule, notation};

on_each_ledger!(
    any_report_is_the_sum_of_its_rows,
    rollups_of_before_who_served_was_told,
    days_of_23_and_25_hours,
    corrections_count_once_and_at_the_calls_time,
    re_ratings_at_once_correct_each_call_once,
    pages_follow_each_other,
    the_largest_come_first,
    a_scan_gives_what_its_conditions_say,
    windows_are_summed_for_counters,
    what_grants_let_through_is_summed_by_grant_and_tenant,
);

const MARCH: u64 = 1_772_323_200_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

type Label = (String, Vec<Option<String>>);

/// What a report says, by what its periods are called.
type Said = BTreeMap<Label, Sums>;

/// What clocks show, down to the unit; the offset tells hours that come twice
/// apart.
fn label(at_ms: u64, unit: Option<Unit>, zone: &TimeZone) -> String {
    let Some(unit) = unit else {
        return String::new();
    };
    let at = Timestamp::from_millisecond(at_ms as i64).unwrap();
    let at = at.to_zoned(zone.clone());
    match unit {
        Unit::Hour => at.strftime("%Y-%m-%d %H %z").to_string(),
        Unit::Day => at.strftime("%Y-%m-%d").to_string(),
        Unit::Month => at.strftime("%Y-%m").to_string(),
    }
}

/// The model: every row, one by one.
fn expected(rows: &[Row], adjustments: &[Adjustment], query: &Query) -> Said {
    let mut said = Said::new();
    let mut add = |row: &Row, sums: &Sums| {
        let time = at(&row.event);
        let holds = |c: &Condition| c.holds(c.dimension.of(&row.event));
        if time < query.since || time >= query.until || !query.only.iter().all(holds) {
            return;
        }
        let name = |d: &Dimension| d.of(&row.event).map(str::to_owned);
        let labels = row.event.labels.as_deref().unwrap_or_default();
        let value = |label: &Arc<str>| {
            let mut labels = labels.iter();
            let known = labels.find(|(name, _)| name == label);
            known.map(|(_, value)| value.to_string())
        };
        let names = query.group_by.iter().map(name);
        let names = names.chain(query.labels.iter().map(value)).collect();
        let label = (label(time.0, query.unit, &query.zone), names);
        said.entry(label).or_default().merge(sums);
    };
    let by_id: HashMap<HoldId, &Row> = rows.iter().map(|row| (row.event.id, row)).collect();
    for row in rows {
        add(row, &Sums::of(&row.event));
    }
    for adjustment in adjustments {
        if let Some(row) = by_id.get(&adjustment.event) {
            add(row, &Sums::of_adjustment(adjustment.delta_nanos));
        }
    }
    said.retain(|_, sums| !sums.is_zero());
    said
}

fn said(rows: &[UsageRow], query: &Query) -> Said {
    let mut said = Said::new();
    for row in rows {
        let from = row.period.map_or(0, |period| period.from.0);
        let label = (label(from, query.unit, &query.zone), row.names.clone());
        assert!(said.insert(label, row.sums).is_none(), "twice: {row:?}");
    }
    said
}

const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
];

/// A moment in the twelve days around the night that Europe sets its clocks;
/// often one at which something begins.
fn moment(dice: &mut Dice) -> u64 {
    let at = MARCH + 22 * DAY + dice.roll(12 * DAY);
    match dice.roll(4) {
        0 => at,
        1 => at - at % (15 * 60_000),
        2 => at - at % HOUR,
        _ => at - at % DAY,
    }
}

fn any_query(dice: &mut Dice) -> Query {
    let (one, other) = (moment(dice), moment(dice));
    let mut query = Query::of(UnixMillis(one.min(other)), UnixMillis(one.max(other)));
    query.zone = TimeZone::get(ZONES[dice.roll(5) as usize]).unwrap();
    query.unit = *dice.pick(&[
        None,
        None,
        Some(Unit::Hour),
        Some(Unit::Day),
        Some(Unit::Month),
    ]);
    let of_rollups = dice.one_in(2);
    let dimensions: &[Dimension] = if of_rollups {
        &Dimension::OF_ROLLUPS
    } else {
        &Dimension::ALL
    };
    for _ in 0..dice.roll(3) {
        query.group_by.push(*dice.pick(dimensions));
    }
    while dice.one_in(4) {
        let label = *dice.pick(&NAMES);
        query.labels.push(label.into());
    }
    for _ in 0..dice.roll(3) {
        let names = (0..=dice.roll(2)).map(|_| {
            let names = ["acme", "O'Neil", "", "exact", "refused", "gone"];
            (!dice.one_in(4)).then(|| (*dice.pick(&names)).to_owned())
        });
        let names = names.collect();
        let dimension = *dice.pick(dimensions);
        let among = dice.one_in(2);
        query.only.push(Condition {
            dimension,
            among,
            names,
        });
    }
    query
}

/// Rows of those days, delivered with parts of them again, and corrections.
async fn filled(ledger: &Ledger, dice: &mut Dice, number: u64) -> (Vec<Row>, Vec<Adjustment>) {
    let mut chain = Chain::new(dice);
    let mut row = |dice: &mut Dice| {
        let at = moment(dice);
        let at = if dice.one_in(3) { at - 1 } else { at };
        chain.link(any_event(dice, at, 1 << 40))
    };
    let rows: Vec<Row> = std::iter::repeat_with(|| row(dice))
        .take(number as usize)
        .collect();
    for batch in rows.chunks(190) {
        ledger.deliver(batch).await;
        ledger
            .deliver(&batch[dice.roll(batch.len() as u64) as usize..])
            .await;
    }
    let mut adjustments = Vec::new();
    for row in &rows {
        if row.event.outcome == Outcome::Refused || !dice.one_in(5) {
            continue;
        }
        for run in 0..=dice.roll(2) {
            adjustments.push(adjustment(row, run, dice.roll(2_000) as i64 - 1_000));
        }
    }
    let done = ledger.store.adjust(&adjustments).await.unwrap();
    assert_eq!(done.applied, adjustments.len());
    (rows, adjustments)
}

fn adjustment(row: &Row, run: u64, delta_nanos: i64) -> Adjustment {
    Adjustment {
        event: row.event.id,
        run: Uuid::from_u128(u128::from(run)),
        at: UnixMillis(MARCH),
        delta_nanos,
        price_version: Some("2026-04".into()),
        reason: "price".into(),
    }
}

async fn any_report_is_the_sum_of_its_rows(ledger: Ledger) {
    for seed in 0..3 {
        let mut dice = Dice(20 + seed);
        // Each seed's rows come to those of the seeds before.
        let (rows, adjustments) = filled(&ledger, &mut dice, 700).await;
        let mut asked = 0;
        for _ in 0..120 {
            let query = any_query(&mut dice);
            let report = ledger.store.usage(&query).await.unwrap();
            assert_eq!(report.next, None);
            let expected = expected(&rows, &adjustments, &query);
            asked += usize::from(!expected.is_empty());
            assert_eq!(
                said(&report.rows, &query),
                expected,
                "seed {seed}, {query:?}"
            );
        }
        assert!(asked > 60, "only {asked} reports had rows");
        let nothing = "DELETE FROM calls; DELETE FROM refusals; DELETE FROM adjustments; \
                       DELETE FROM usage_day; DELETE FROM usage_quarter";
        for sql in nothing.split(';') {
            ledger.raw(sql).await;
        }
    }
}

/// A ledger of the version before, with rows in it.
async fn rollups_of_before_who_served_was_told(ledger: Ledger) {
    let mut dice = Dice(23);
    let (mut rows, mut adjustments) = filled(&ledger, &mut dice, 500).await;
    ledger.undo_versions_from_3().await;
    for row in &mut rows {
        // Nor did it keep labels.
        row.event.labels = None;
    }
    for sql in [
        "ALTER TABLE usage_group DROP COLUMN model_served",
        "ALTER TABLE usage_group DROP COLUMN tells_served",
        "ALTER TABLE retention DROP COLUMN quarters_from_ms",
        "ALTER TABLE retention DROP COLUMN days_from_ms",
        "DELETE FROM ledger_version WHERE version = 2",
    ] {
        ledger.raw(sql).await;
    }
    let old = Store::open_to_read(&ledger.config).await;
    assert!(matches!(old, Err(StoreError::Older { found: 1, known: 4 })));
    // What opens it brings it along; another's statements are planned anew.
    let ledger = ledger.anew().await;
    // A correction of a call of before has a group of its own, which tells.
    let call = rows
        .iter()
        .find(|row| row.event.outcome != Outcome::Refused);
    let again = adjustment(call.unwrap(), 9, 77);
    adjustments.push(again);
    let again = adjustments.last().map(std::slice::from_ref);
    ledger.store.adjust(again.unwrap()).await.unwrap();
    let compare = async |dice: &mut Dice, rows: &[Row], adjustments: &[Adjustment]| {
        for _ in 0..80 {
            let mut query = any_query(dice);
            if dice.one_in(2) {
                query.group_by.push(Dimension::ModelServed);
            }
            let report = ledger.store.usage(&query).await.unwrap();
            let expected = expected(rows, adjustments, &query);
            assert_eq!(said(&report.rows, &query), expected, "{query:?}");
        }
    };
    compare(&mut dice, &rows, &adjustments).await;
    let (more, corrections) = filled(&ledger, &mut dice, 500).await;
    rows.extend(more);
    adjustments.extend(corrections);
    compare(&mut dice, &rows, &adjustments).await;
    // Later calls are told apart by rollups alone: their rows aren't needed.
    let mut chain = Chain::new(&mut dice);
    let from = MARCH + 60 * DAY;
    let later = (0..400).map(|n| {
        let event = any_event(&mut dice, from + n * HOUR / 4, 1 << 40);
        chain.link(UsageEvent {
            started_at_ms: event.id.made_at(),
            ..event
        })
    });
    let later: Vec<Row> = later.collect();
    ledger.deliver(&later).await;
    let mut query = Query::of(UnixMillis(from), UnixMillis(from + 5 * DAY));
    query.group_by = vec![Dimension::ModelServed, Dimension::Tenant];
    for table in ["calls", "refusals"] {
        ledger.raw(&format!("DELETE FROM {table}")).await;
    }
    let report = ledger.store.usage(&query).await.unwrap();
    assert_eq!(said(&report.rows, &query), expected(&later, &[], &query));
}

async fn days_of_23_and_25_hours(ledger: Ledger) {
    let mut dice = Dice(30);
    let mut chain = Chain::new(&mut dice);
    // A call every half hour of the year's two such days, and around them.
    let nights = [1_774_735_200_000, 1_792_879_200_000];
    for night in nights {
        let rows = (0..4 * 48).map(|n| call(&mut dice, night - DAY + n * HOUR / 2));
        let rows: Vec<Row> = rows
            .collect::<Vec<_>>()
            .into_iter()
            .map(|e| chain.link(e))
            .collect();
        ledger.deliver(&rows).await;
    }
    let days = async |unit, from: &str, until: &str| {
        let at = |text: &str| {
            let at = text.parse::<Timestamp>().unwrap().as_millisecond();
            UnixMillis(at as u64)
        };
        let mut query = Query::of(at(from), at(until));
        query.zone = TimeZone::get("Europe/Berlin").unwrap();
        query.unit = Some(unit);
        let report = ledger.store.usage(&query).await.unwrap();
        let calls = |row: &UsageRow| row.sums.get(Measure::Calls);
        report.rows.iter().map(calls).collect::<Vec<_>>()
    };
    // 2026-03-29 and 2026-10-25, from midnight to midnight there.
    let spring = days(Unit::Day, "2026-03-28T23:00Z", "2026-03-30T22:00Z").await;
    assert_eq!(spring, [46, 48]);
    let autumn = days(Unit::Day, "2026-10-24T22:00Z", "2026-10-26T23:00Z").await;
    assert_eq!(autumn, [50, 48]);
    let hours = days(Unit::Hour, "2026-10-25T00:00Z", "2026-10-25T02:00Z").await;
    assert_eq!(hours, [2, 2], "the hour that comes twice");
}

async fn corrections_count_once_and_at_the_calls_time(ledger: Ledger) {
    let mut dice = Dice(31);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 20);
    ledger.deliver(&rows).await;
    let mut all: Vec<Adjustment> = rows.iter().map(|row| adjustment(row, 1, -40)).collect();
    let stranger = dice.id(MARCH);
    all.push(Adjustment {
        event: stranger,
        ..all[0].clone()
    });
    let first = ledger.store.adjust(&all[..12]).await.unwrap();
    assert_eq!((first.applied, first.already), (12, 0));
    // Stopped there and run again, as a whole; then once more.
    let again = ledger.store.adjust(&all).await.unwrap();
    let unknown = vec![stranger];
    assert_eq!(
        again,
        Adjusted {
            applied: 8,
            already: 12,
            unknown,
            overtaken: Vec::new(),
        }
    );
    let twice = [all[3].clone(), all[3].clone()];
    assert_eq!(ledger.store.adjust(&twice).await.unwrap().already, 2);
    // Another run corrects again.
    let second = adjustment(&rows[0], 2, 7);
    let second = [second.clone(), second];
    let done = ledger.store.adjust(&second).await.unwrap();
    assert_eq!((done.applied, done.already), (1, 1));
    for (since, cost, delta) in [(MARCH, 2_000, -793), (MARCH + 1, 1_900, -760)] {
        let query = Query::of(UnixMillis(since), UnixMillis(MARCH + DAY));
        let report = ledger.store.usage(&query).await.unwrap();
        let sums = report.rows[0].sums;
        assert_eq!(sums.get(Measure::CostNanos), cost);
        assert_eq!(sums.get(Measure::AdjustmentNanos), delta);
        assert_eq!(sums.net_nanos(), cost + delta);
    }
    let shown = ledger.store.show(rows[0].event.id).await.unwrap().unwrap();
    assert_eq!(shown.row, rows[0], "the row itself is as it was");
    let deltas: Vec<i64> = shown.adjustments.iter().map(|a| a.delta_nanos).collect();
    assert_eq!(deltas, [-40, 7]);
    assert_eq!(shown.adjustments[1], second[0]);
}

async fn re_ratings_at_once_correct_each_call_once(ledger: Ledger) {
    let mut dice = Dice(33);
    let mut chain = Chain::new(&mut dice);
    let rows = chain.calls(&mut dice, MARCH, 1_300);
    for batch in rows.chunks(500) {
        ledger.deliver(batch).await;
    }
    let span = Span {
        since: UnixMillis(MARCH),
        until: UnixMillis(MARCH + DAY),
        only: Vec::new(),
    };
    // 10 tokens in and 5 out: 20_000 nano-dollars.
    let price = notation::read("input=1 output=2").unwrap();
    let price = Arc::new(ModelPrice::new(Schedule::always(price), "now"));
    let runs = [1, 2, 3].map(|id| {
        let run = Run {
            id: Uuid::from_u128(id),
            at: UnixMillis(MARCH + DAY),
        };
        let (span, price, config) = (span.clone(), Arc::clone(&price), ledger.config.clone());
        async move {
            let store = Store::open(&config).await.unwrap();
            let mut price_of = |_: &UsageEvent| Some(Arc::clone(&price));
            rerate(&store, &span, Some(run), &mut price_of, &mut |_, _| {})
                .await
                .unwrap()
        }
    });
    let [first, second, third] = runs;
    let (first, second, third) = tokio::join!(first, second, third);
    let changed = [&first, &second, &third].map(|tally| tally.total.changed);
    assert_eq!(changed.iter().sum::<u64>(), 1_300, "{changed:?}");
    let report = ledger.store.usage(&Query::of(span.since, span.until)).await;
    let sums = report.unwrap().rows[0].sums;
    assert_eq!(sums.get(Measure::CostNanos), 130_000);
    assert_eq!(sums.net_nanos(), 1_300 * 20_000);
}

async fn pages_follow_each_other(ledger: Ledger) {
    let mut dice = Dice(32);
    filled(&ledger, &mut dice, 300).await;
    for order in [
        Order::Groups,
        Order::Most(Measure::CostNanos),
        Order::MostTokens,
        Order::MostNet,
        Order::Most(Measure::Calls),
    ] {
        let mut query = Query::of(UnixMillis(MARCH), UnixMillis(MARCH + 60 * DAY));
        query.unit = Some(Unit::Day);
        query.group_by = vec![Dimension::Tenant, Dimension::Model];
        query.order = order;
        let whole = ledger.store.usage(&query).await.unwrap().rows;
        assert!(whole.len() > 50);
        query.limit = 7;
        let mut paged = Vec::new();
        loop {
            let page = ledger.store.usage(&query).await.unwrap();
            assert!(page.rows.len() <= 7);
            paged.extend(page.rows);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole);
        for rubbish in ["", "!", "bnVsbA", "W251bGwsW10sIjAiXQ"] {
            query.after = Some(Cursor(rubbish.into()));
            let refused = ledger.store.usage(&query).await;
            assert!(matches!(refused, Err(StoreError::Report(_))), "{rubbish}");
        }
    }
}

async fn the_largest_come_first(ledger: Ledger) {
    let mut dice = Dice(33);
    let mut chain = Chain::new(&mut dice);
    let mut rows = Vec::new();
    for (user, calls) in [("ada", 3), ("bob", 7), ("cy", 5)] {
        for n in 0..calls {
            let mut event = call(&mut dice, MARCH + n);
            event.user = Some(user.into());
            rows.push(chain.link(event));
        }
    }
    ledger.deliver(&rows).await;
    let span = (UnixMillis(MARCH), UnixMillis(MARCH + DAY));
    let by = [Dimension::User];
    let top = ledger
        .store
        .top(&by, Measure::CostNanos, span, 2)
        .await
        .unwrap();
    let users: Vec<_> = top
        .iter()
        .map(|row| row.names[0].as_deref().unwrap())
        .collect();
    assert_eq!(users, ["bob", "cy"]);
    assert_eq!(top[0].sums.get(Measure::CostNanos), 700);
}

async fn a_scan_gives_what_its_conditions_say(ledger: Ledger) {
    let mut dice = Dice(34);
    let (rows, _) = filled(&ledger, &mut dice, 600).await;
    for _ in 0..60 {
        let query = any_query(&mut dice);
        for of in [Of::Calls, Of::Refusals] {
            let span = (query.since, query.until);
            let mut scan = ledger.store.scan(of, span, query.only.clone());
            let found = scan.next_rows().await.unwrap();
            let mut expected: Vec<Row> = rows.clone();
            expected.retain(|row| {
                let time = at(&row.event);
                let refused = row.event.outcome == Outcome::Refused;
                let holds = |c: &Condition| c.holds(c.dimension.of(&row.event));
                refused == (of == Of::Refusals)
                    && (query.since..query.until).contains(&time)
                    && query.only.iter().all(holds)
            });
            expected.sort_by_key(|row| row.event.id);
            assert!(found == expected, "{of:?} {query:?}");
        }
    }
    // More than a page.
    let mut chain = Chain::new(&mut dice);
    let many = chain.calls(&mut dice, MARCH + 100 * DAY, 2_500);
    for batch in many.chunks(1_000) {
        ledger.deliver(batch).await;
    }
    let span = (UnixMillis(MARCH + 100 * DAY), UnixMillis(MARCH + 101 * DAY));
    let mut scan = ledger.store.scan(Of::Calls, span, Vec::new());
    let mut found = Vec::new();
    loop {
        let rows = scan.next_rows().await.unwrap();
        if rows.is_empty() {
            break;
        }
        found.extend(rows);
    }
    assert!(found == many);
}

async fn windows_are_summed_for_counters(ledger: Ledger) {
    let mut dice = Dice(35);
    let (rows, _) = filled(&ledger, &mut dice, 300).await;
    let span = (
        UnixMillis(MARCH + 25 * DAY + 17),
        UnixMillis(MARCH + 28 * DAY + 5),
    );
    let by = [Dimension::Tenant, Dimension::User];
    // In the midst of the calls: what ended later isn't summed.
    let mut ends: Vec<UnixMillis> = rows.iter().map(|row| row.event.ended_at_ms).collect();
    ends.sort_unstable();
    let before = ends[ends.len() * 9 / 10];
    let query = Query {
        group_by: by.to_vec(),
        ..Query::of(span.0, span.1)
    };
    let sums = ledger.store.sums_of_ended(&query, before).await.unwrap();
    let mut tokens: HashMap<Vec<Option<String>>, i128> = HashMap::new();
    for row in rows
        .iter()
        .filter(|row| row.event.outcome != Outcome::Refused)
    {
        let ended = row.event.ended_at_ms < before;
        if (span.0..span.1).contains(&at(&row.event)) && ended {
            let names = by.map(|d| d.of(&row.event).map(str::to_owned)).to_vec();
            *tokens.entry(names).or_default() += i128::from(row.event.total_tokens());
        }
    }
    assert!(tokens.len() > 20);
    for (names, tokens) in tokens {
        let row = sums.iter().find(|row| row.names == names).unwrap();
        assert_eq!(row.sums.total_tokens(), tokens);
    }
}

async fn what_grants_let_through_is_summed_by_grant_and_tenant(ledger: Ledger) {
    let mut dice = Dice(11);
    let mut chain = Chain::new(&mut dice);
    let mut rows = Vec::new();
    let mut expected: BTreeMap<(String, String), (i128, i128)> = BTreeMap::new();
    let (since, until) = (UnixMillis(MARCH), UnixMillis(MARCH + HOUR));
    let ended_before = UnixMillis(MARCH + 50 * 60_000);
    for n in 0..400 {
        let mut event = call(&mut dice, MARCH - 10 * 60_000 + n * 12_000);
        let grant = format!("grt_{}", dice.roll(3));
        let tenant = *dice.pick(&["acme", "globex", "initech"]);
        event.tenant = Some(tenant.into());
        event.outcome = *dice.pick(&[Outcome::Exact, Outcome::Estimated, Outcome::Void]);
        event.actions = match dice.roll(4) {
            0 => vec![],
            1 => vec!["big:require_approval".into(), "a:grant".into()],
            2 => vec![format!("big:grant={grant}").into()],
            _ => vec![
                "big:require_approval".into(),
                format!("big%:grant={grant}").into(),
                "shadow:\"x:block".into(),
            ],
        };
        let counts = event.actions.iter().any(|one| one.ends_with(&*grant))
            && tenant != "initech"
            && event.outcome != Outcome::Void
            && (since..until).contains(&at(&event))
            && event.ended_at_ms < ended_before;
        if counts {
            let of = expected.entry((tenant.to_owned(), grant)).or_default();
            *of = (of.0 + 1, of.1 + i128::from(event.cost_nanos.unwrap_or(0)));
        }
        rows.push(chain.link(event));
    }
    ledger.deliver(&rows).await;
    let tenants = ["acme", "globex"];
    let summed = ledger
        .store
        .sums_of_granted(&tenants, (since, until), ended_before);
    let (sums, kept_from) = summed.await.unwrap();
    assert_eq!(kept_from, UnixMillis(0));
    let sums = sums.into_iter().map(|(grant, sums)| {
        let of = (sums.get(Measure::Calls), sums.get(Measure::CostNanos));
        (grant, of)
    });
    let sums: BTreeMap<_, _> = sums.collect();
    assert!(expected.len() == 6 && expected.values().all(|of| of.0 > 5 && of.1 > 0));
    assert_eq!(sums, expected);
}
