//! Re-rating a ledger in SQLite.

use super::*;
use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, Outcome};
use crate::ledger::rerating::tests::{call, price};
use crate::ledger::row::{Link, NO_HASH, chained};
use crate::ledger::sink::Sink;
use crate::ledger::store::measure::{Dimension, Measure, Sums};
use crate::ledger::store::query::Query;
use crate::ledger::store::{SCAN_ROWS, StoreConfig};
use crate::ledger::wire;
use crate::pricing::ModelPrice;
use std::sync::Arc;

/// 2026-11-01.
const SINCE: u64 = 1_793_491_200_000;
const UNTIL: u64 = SINCE + 30 * 86_400_000;

/// What 10 tokens in and 5 out cost then: 75_000 nano-dollars.
const OLD: &str = "input=2.5 output=10";
/// 45_000.
const NEW: &str = "input=2 output=5";

struct Ledger {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Ledger {
    async fn with(events: Vec<UsageEvent>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mut store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
        let chain = Uuid::from_u128(7);
        let (mut hash, mut rows) = (NO_HASH, Vec::new());
        for (event, sequence) in events.into_iter().zip(1..) {
            hash = chained(&hash, &wire::encode_event(&event));
            let link = Link {
                chain,
                sequence,
                hash,
            };
            rows.push(Row { event, link });
        }
        for batch in rows.chunks(500) {
            store.deliver(batch).await.unwrap();
        }
        Self {
            store,
            _folder: folder,
        }
    }

    async fn sums(&self) -> Sums {
        let query = Query::of(UnixMillis(SINCE), UnixMillis(UNTIL));
        let rows = self.store.usage(&query).await.unwrap().rows;
        rows.first().map(|row| row.sums).unwrap_or_default()
    }

    async fn net(&self) -> i128 {
        self.sums().await.net_nanos()
    }

    async fn rerate(&self, run: Option<u64>, text: &str) -> Result<Tally, RerateError> {
        self.rerate_some(span(Vec::new()), run, &mut |event| {
            (event.model.as_deref() == Some("gpt-4o")).then(|| price(text))
        })
        .await
    }

    async fn rerate_some(
        &self,
        span: Span,
        run: Option<u64>,
        price_of: &mut PriceOf<'_>,
    ) -> Result<Tally, RerateError> {
        let run = run.map(|id| Run {
            id: Uuid::from_u128(id.into()),
            at: UnixMillis(UNTIL),
        });
        rerate(&self.store, &span, run, price_of, &mut |_, _| {}).await
    }
}

fn span(only: Vec<Condition>) -> Span {
    Span {
        since: UnixMillis(SINCE),
        until: UnixMillis(UNTIL),
        only,
    }
}

fn calls(number: u64) -> Vec<UsageEvent> {
    let charged = |n| call(SINCE + n * 7_000, n, Some(75_000));
    (0..number).map(charged).collect()
}

#[tokio::test]
async fn pages_of_calls_come_to_the_new_price_and_back() {
    let number = SCAN_ROWS as u64 * 2 + 300;
    let ledger = Ledger::with(calls(number)).await;
    let (old, new) = (i128::from(number) * 75_000, i128::from(number) * 45_000);
    let dry = ledger.rerate(None, NEW).await.unwrap();
    assert_eq!(dry.total.changed, number);
    assert_eq!((dry.total.before_nanos, dry.total.after_nanos), (old, new));
    assert_eq!(ledger.net().await, old, "a dry run writes nothing");
    assert_eq!(ledger.rerate(Some(1), NEW).await.unwrap(), dry);
    assert_eq!(ledger.net().await, new);
    for run in [1, 2] {
        let again = ledger.rerate(Some(run), NEW).await.unwrap();
        assert_eq!((again.total.calls, again.total.changed), (number, 0));
    }
    assert_eq!(ledger.net().await, new);
    ledger.rerate(Some(3), OLD).await.unwrap();
    let sums = ledger.sums().await;
    assert_eq!(sums.net_nanos(), old);
    assert_eq!(sums.get(Measure::AdjustmentNanos), 0);
}

#[tokio::test]
async fn rows_stay_as_they_were_written() {
    let ledger = Ledger::with(calls(5)).await;
    let id = calls(1)[0].id;
    let before = ledger.store.show(id).await.unwrap().unwrap();
    ledger.rerate(Some(1), NEW).await.unwrap();
    let after = ledger.store.show(id).await.unwrap().unwrap();
    assert_eq!(after.row, before.row);
    assert_eq!(after.row.event.price_version.as_deref(), Some("old"));
    let [one] = after.adjustments.as_slice() else {
        panic!("{:?}", after.adjustments)
    };
    assert_eq!((one.delta_nanos, one.run), (-30_000, Uuid::from_u128(1)));
    assert_eq!(one.price_version.as_deref(), Some(NEW));
    assert_eq!(one.reason, REASON);
    let chains = ledger.store.chains().await.unwrap();
    assert!(ledger.store.verify(&chains[0]).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_was_cut_off_is_finished_by_the_same_run_or_another() {
    for finishing in [1, 2] {
        let number = SCAN_ROWS as u64 + 200;
        let ledger = Ledger::with(calls(number)).await;
        // Dies at the second page.
        let mut left = SCAN_ROWS + 50;
        let died = {
            let mut price_of = |_: &UsageEvent| -> Option<Arc<ModelPrice>> {
                left = left.checked_sub(1).expect("dies");
                Some(price(NEW))
            };
            let walked = ledger.rerate_some(span(Vec::new()), Some(1), &mut price_of);
            futures_unwind(walked).await
        };
        assert!(died);
        let half = SCAN_ROWS as i128 * 45_000 + 200 * 75_000;
        assert_eq!(ledger.net().await, half);
        let rest = ledger.rerate(Some(finishing), NEW).await.unwrap();
        assert_eq!(rest.total.changed, 200);
        assert_eq!(ledger.net().await, i128::from(number) * 45_000);
    }
}

/// Whether it panicked.
async fn futures_unwind(work: impl Future<Output = Result<Tally, RerateError>>) -> bool {
    let mut work = Box::pin(work);
    std::future::poll_fn(move |context| {
        let poll = || work.as_mut().poll(context);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)) {
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Ok(std::task::Poll::Ready(_)) => std::task::Poll::Ready(false),
            Err(_) => std::task::Poll::Ready(true),
        }
    })
    .await
}

#[tokio::test]
async fn calls_without_a_price_are_named_and_left_alone() {
    let mut events = calls(6);
    events[0].model = Some("own".into());
    events[1].outcome = Outcome::Void;
    (events[1].known, events[1].cost_nanos) = (None, None);
    events[2].outcome = Outcome::Estimated;
    events[2].known = Some(Known::Counted);
    events[3].cost_nanos = None;
    events[4].outcome = Outcome::Refused;
    (events[4].known, events[4].cost_nanos) = (None, None);
    events[5].tenant = None;
    let ledger = Ledger::with(events).await;
    let tally = ledger.rerate(Some(1), NEW).await.unwrap();
    assert_eq!(
        (tally.total.calls, tally.total.changed, tally.total.left),
        (5, 3, 1)
    );
    let own = tally.left.first_key_value().unwrap();
    assert_eq!((own.0.model.as_deref(), *own.1), (Some("own"), 1));
    // Estimated, without a cost before, without a tenant.
    let changes = -30_000 + 45_000 - 30_000;
    assert_eq!(tally.total.nanos(), changes);
    assert_eq!(tally.tenants[&None].nanos(), -30_000);
    let sums = ledger.sums().await;
    assert_eq!(sums.get(Measure::CostNanos), 3 * 75_000);
    assert_eq!(sums.net_nanos(), 3 * 75_000 + changes);
    assert_eq!(tally.total.after_nanos, sums.net_nanos());
}

#[tokio::test]
async fn conditions_and_times_choose_the_calls() {
    let mut events = calls(6);
    events[0].tenant = Some("globex".into());
    events[1].tenant = Some("globex".into());
    let ledger = Ledger::with(events).await;
    let mut price_of = |_: &UsageEvent| Some(price(NEW));
    let chosen = Span {
        since: UnixMillis(SINCE + 7_000),
        ..span(vec![Condition::is(Dimension::Tenant, "globex")])
    };
    let tally = ledger
        .rerate_some(chosen, Some(1), &mut price_of)
        .await
        .unwrap();
    assert_eq!((tally.total.calls, tally.tenants.len()), (1, 1));
    assert_eq!(ledger.net().await, 6 * 75_000 - 30_000);
}

#[tokio::test]
async fn a_run_corrects_a_call_once() {
    let ledger = Ledger::with(calls(3)).await;
    ledger.rerate(Some(1), NEW).await.unwrap();
    let taken = ledger.rerate(Some(1), "free").await.unwrap_err();
    assert!(matches!(taken, RerateError::RunIsTaken(_)), "{taken}");
    assert_eq!(ledger.net().await, 3 * 45_000);
}

#[tokio::test]
async fn a_correction_that_is_overtaken_is_not_written() {
    let ledger = Ledger::with(calls(2)).await;
    let [one, two] = [0, 1].map(|at: usize| Adjustment {
        event: calls(2)[at].id,
        run: Uuid::from_u128(1),
        at: UnixMillis(UNTIL),
        delta_nanos: -100,
        price_version: None,
        reason: REASON.to_owned(),
    });
    ledger
        .store
        .adjust(std::slice::from_ref(&one))
        .await
        .unwrap();
    let second = |adjustment: &Adjustment| Adjustment {
        run: Uuid::from_u128(2),
        ..adjustment.clone()
    };
    let both = [(0, second(&one)), (0, second(&two))];
    let done = ledger.store.adjust_after(&both).await.unwrap();
    assert_eq!((done.applied, done.overtaken), (1, vec![one.event]));
    let done = ledger
        .store
        .adjust_after(&[(-100, second(&one))])
        .await
        .unwrap();
    assert_eq!((done.applied, done.overtaken.len()), (1, 0));
    let sums = ledger.store.adjustment_sums(&[one.event, two.event]).await;
    assert_eq!(
        sums.unwrap(),
        HashMap::from([(one.event, -200), (two.event, -100)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn re_ratings_at_once_correct_each_call_once() {
    let number = SCAN_ROWS as u64 + 500;
    let ledger = Arc::new(Ledger::with(calls(number)).await);
    let runs = [1, 2, 3].map(|run| {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move { ledger.rerate(Some(run), NEW).await.unwrap() })
    });
    let mut changed = 0;
    for run in runs {
        changed += run.await.unwrap().total.changed;
    }
    assert_eq!(changed, number);
    assert_eq!(ledger.net().await, i128::from(number) * 45_000);
}

#[tokio::test]
async fn a_time_whose_rows_are_dropped_is_refused() {
    let ledger = Ledger::with(calls(10)).await;
    let kept_from = UnixMillis(SINCE + 5 * 7_000);
    let kept_from = ledger.store.drop_before(kept_from).await.unwrap();
    let before = ledger
        .store
        .adjustment_sums(&[calls(10)[9].id])
        .await
        .unwrap();
    let refused = ledger.rerate(Some(1), NEW).await.unwrap_err();
    assert!(
        matches!(refused, RerateError::Store(StoreError::NotKept(from)) if from == kept_from),
        "{refused}"
    );
    let after = ledger
        .store
        .adjustment_sums(&[calls(10)[9].id])
        .await
        .unwrap();
    assert_eq!(before, after);
}
