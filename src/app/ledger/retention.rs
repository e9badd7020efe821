//! Dropping what the ledger's database has kept for long enough.

use crate::config::LedgerRetention;
use crate::driver::clock::Clock;
use crate::ledger::store::{Rollup, Store, StoreError};
use crate::units::UnixMillis;
use std::time::Duration;

/// How often what may go is looked for.
const EVERY: Duration = Duration::from_secs(3_600);

/// Runs until it is dropped.
pub(super) async fn retain(store: Store, retention: LedgerRetention) {
    let clock = Clock::start();
    loop {
        if let Err(error) = drop_old(&store, &retention, clock.now()).await {
            tracing::warn!(%error, "what the ledger has kept for long enough can't be dropped yet");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn drop_old(
    store: &Store,
    retention: &LedgerRetention,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let ends = Ends::of(retention, now);
    if let Some(before) = ends.rows {
        store.drop_before(before).await?;
    }
    for (rollup, before) in [(Rollup::Quarters, ends.quarters), (Rollup::Days, ends.days)] {
        if let Some(before) = before {
            store.drop_rollups_before(rollup, before).await?;
        }
    }
    if let Some(before) = ends.set_aside {
        store.drop_set_aside_before(before).await?;
    }
    Ok(())
}

/// What is from before these times goes.
#[derive(Debug, PartialEq, Eq)]
struct Ends {
    rows: Option<UnixMillis>,
    quarters: Option<UnixMillis>,
    days: Option<UnixMillis>,
    set_aside: Option<UnixMillis>,
}

impl Ends {
    /// What was set aside is kept as long as rows, unless something else is said.
    fn of(retention: &LedgerRetention, now: UnixMillis) -> Self {
        let before = |kept| now - kept;
        Self {
            rows: retention.rows.map(before),
            quarters: retention.quarters.map(before),
            days: retention.days.map(before),
            set_aside: retention.set_aside.or(retention.rows).map(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::row::{Link, NO_HASH, Row};
    use crate::ledger::sink::Sink;
    use crate::ledger::store::StoreConfig;
    use crate::ledger::store::measure::Measure;
    use crate::ledger::store::query::Query;
    use crate::units::Millis;

    const DAY: Millis = Millis::from_mins(24 * 60);

    #[test]
    fn what_is_not_said_is_kept_and_what_was_set_aside_goes_with_rows() {
        let now = UnixMillis(100 * DAY.0);
        let nothing = LedgerRetention::default();
        let kept = Ends::of(&nothing, now);
        assert_eq!(
            (kept.rows, kept.quarters, kept.days, kept.set_aside),
            (None, None, None, None)
        );
        let rows = LedgerRetention {
            rows: Some(DAY),
            ..nothing
        };
        let ends = Ends::of(&rows, now);
        assert_eq!(
            (ends.rows, ends.set_aside),
            (Some(now - DAY), Some(now - DAY))
        );
        assert_eq!((ends.quarters, ends.days), (None, None));
        let longer = LedgerRetention {
            set_aside: Some(Millis(2 * DAY.0)),
            ..rows
        };
        assert_eq!(Ends::of(&longer, now).set_aside, Some(now - DAY - DAY));
    }

    #[tokio::test]
    async fn rows_go_first_then_quarters_then_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let config = StoreConfig::Sqlite { path };
        let mut store = Store::open(&config).await.unwrap();
        let begin = UnixMillis(20_000 * DAY.0);
        let rows: Vec<Row> = (0..10u64).map(|day| row(begin, day)).collect();
        store.deliver(&rows).await.unwrap();
        let retention = LedgerRetention {
            rows: Some(Millis(2 * DAY.0)),
            quarters: Some(Millis(5 * DAY.0)),
            days: Some(Millis(8 * DAY.0)),
            set_aside: None,
        };
        let now = UnixMillis(begin.0 + 10 * DAY.0);
        drop_old(&store, &retention, now).await.unwrap();
        // Of the days since then: by days, by quarters, by rows.
        for (since, calls) in [
            (2 * DAY.0, Some(8)),
            (2 * DAY.0 - 1, None),
            (5 * DAY.0 + 900_000, Some(4)),
            (5 * DAY.0 - 900_000, None),
            (8 * DAY.0 + 60_001, Some(1)),
            (7 * DAY.0 + 1, None),
        ] {
            let report = store
                .usage(&Query::of(UnixMillis(begin.0 + since), now))
                .await;
            let told = report.ok().map(|report| {
                let rows = report.rows.iter();
                rows.map(|row| row.sums.get(Measure::Calls)).sum::<i128>()
            });
            assert_eq!(told, calls, "{since}");
        }
    }

    fn row(begin: UnixMillis, day: u64) -> Row {
        let at = UnixMillis(begin.0 + day * DAY.0);
        let id = crate::limits::HoldId::new(at, &[u8::try_from(day).unwrap(); 10]);
        let event = serde_json::json!({
            "schema": crate::exchange::event::SCHEMA, "id": id.to_string(), "outcome": "exact",
            "started_at_ms": at.0, "ended_at_ms": at.0, "dialect": "openai", "stream": false,
            "request_bytes": 0,
        });
        Row {
            event: serde_json::from_value(event).unwrap(),
            link: Link {
                chain: uuid::Uuid::from_u128(1),
                sequence: day + 1,
                hash: NO_HASH,
            },
        }
    }
}
