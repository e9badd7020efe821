//! The ledger in a database: SQLite within the process, or PostgreSQL.
//!
//! | module | for |
//! |---|---|
//! | [`columns`] | a row as columns, and back to the very bytes |
//! | [`measure`] | what is summed, and by what |
//! | [`rollup`] | sums kept with each batch: which levels, and why |
//! | [`period`] | hours, days and months of any time zone |
//! | [`query`], [`report`] | a report: what is read where; how parts become pages |
//! | [`verify`] | whether a chain is as it was written |
//! | `connect`, `engine`, `value`, `error` | the two engines behind one face |
//! | `remote` | PostgreSQL's connections, given up rather than waited for |
//! | `migrations` | the tables, by version |
//! | [`database`] | the same for whoever keeps tables of their own beside these |
//! | `write`, `copy`, `partitions`, `known` | batches in |
//! | `aside` | rows that were set aside, and another try |
//! | `told_twice` | a call that is told of as refused and as let through |
//! | `served` | which model served, in rollups |
//! | `granted` | what was used of grants |
//! | `usage`, `read`, `adjust`, `retention` | reports, rows, corrections, the end of rows and sums |
//!
//! Always holds:
//! - a row is counted once, however often it is delivered: by its event's id;
//! - rows, rollups and the heads of chains change in one transaction;
//! - a report is the sum of its rows, to the millisecond and the nano-dollar;
//! - both engines give the same answers: one suite runs on both.
//!
//! Left to others: when to deliver, retry, drop old rows (the relay, the
//! driver); what an event costs (`pricing`).

pub mod columns;
pub mod database;
pub mod measure;
pub mod period;
pub mod query;
pub mod report;
pub mod rollup;
pub mod verify;

mod adjust;
mod aside;
mod connect;
mod copy;
mod engine;
mod error;
mod granted;
mod known;
mod migrations;
mod partitions;
mod read;
mod remote;
mod retention;
mod served;
mod told_twice;
mod usage;
mod value;
mod write;

pub use adjust::{ADJUSTMENTS_MAX, Adjusted, Adjustment};
pub use aside::{ASIDE_ROWS, Again, Aside};
pub use connect::{PostgresConfig, StoreConfig};
pub use error::StoreError;
pub use read::{Chain, ChainRows, Of, SCAN_ROWS, Scan, Shown};
pub use retention::Rollup;

use super::row::{ChainId, Row};
use super::sink::{Sink, SinkError};
use crate::limits::HoldId;
use crate::units::{Millis, UnixMillis};
use engine::Pool;
use measure::{Dimension, Measure};
use query::{Condition, Order, Query};
use report::{Report, UsageRow};
use std::collections::HashMap;
use std::time::Duration;
use verify::{Fault, Place, Verifier};

/// How long a batch may take before the database counts as away. Far more than
/// it needs; a server that takes longer doesn't answer.
const DELIVER_TIMEOUT: Millis = Millis(30_000);

/// The ledger in a database. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    known: known::Known,
}

impl Store {
    /// Connects, and brings the tables to this program's version. Several may do
    /// so at once.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::Newer`], [`StoreError::Away`].
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let pool = connect::connect(config).await?;
        migrations::migrate(&pool, &migrations::LEDGER).await?;
        partitions::ahead(&pool).await?;
        let known = known::Known::default();
        Ok(Self { pool, known })
    }

    /// Connects to read: nothing is made and nothing is changed, and what isn't
    /// there isn't made.
    ///
    /// # Errors
    /// [`StoreError::NoLedger`], [`StoreError::Older`], and as [`Store::open`].
    pub async fn open_to_read(config: &StoreConfig) -> Result<Self, StoreError> {
        let pool = connect::connect_to_read(config).await?;
        migrations::check(&pool, &migrations::LEDGER).await?;
        let known = known::Known::default();
        Ok(Self { pool, known })
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// One page of a report.
    ///
    /// # Errors
    /// [`StoreError::NotKept`], [`StoreError::QuartersNotKept`] and
    /// [`StoreError::DaysNotKept`] where it needs what is dropped; what can't be
    /// asked for; [`StoreError::Away`].
    pub async fn usage(&self, query: &Query) -> Result<Report, StoreError> {
        usage::usage(&self.pool, query).await
    }

    /// The groups with the most of a measure.
    ///
    /// # Errors
    /// As [`Store::usage`].
    pub async fn top(
        &self,
        by: &[Dimension],
        most: Measure,
        (since, until): (UnixMillis, UnixMillis),
        limit: usize,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let query = Query {
            group_by: by.to_vec(),
            order: Order::Most(most),
            limit,
            ..Query::of(since, until)
        };
        Ok(self.usage(&query).await?.rows)
    }

    /// The sums of every group of the calls that ended before a time, by the clock of
    /// whoever ended them: what rebuilds counters that were lost then. One that lasted
    /// longer than a day counts as ended.
    ///
    /// # Errors
    /// As [`Store::usage`].
    pub async fn sums_of_ended(
        &self,
        query: &Query,
        ended_before: UnixMillis,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let parts = usage::ended(&self.pool, query, ended_before).await?;
        Ok(parts.rows(query.order))
    }

    /// A report without pages: all of its groups, in its order, as of one moment.
    /// The query's `limit` and `after` count for nothing.
    ///
    /// # Errors
    /// As [`Store::usage`].
    pub async fn groups(&self, query: &Query) -> Result<Vec<UsageRow>, StoreError> {
        Ok(usage::parts(&self.pool, query).await?.rows(query.order))
    }

    /// The corrections of some calls, by call, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn corrections(&self, events: &[HoldId]) -> Result<Vec<Adjustment>, StoreError> {
        adjust::of_events(&self.pool, events).await
    }

    /// A call, by its id, and its corrections.
    ///
    /// # Errors
    /// [`StoreError::Row`] where the row isn't as it was written;
    /// [`StoreError::Away`].
    pub async fn show(&self, id: HoldId) -> Result<Option<Shown>, StoreError> {
        read::show(&self.pool, id).await
    }

    /// The rows of a span of time, a page at a time.
    pub fn scan(
        &self,
        of: Of,
        (since, until): (UnixMillis, UnixMillis),
        only: Vec<Condition>,
    ) -> Scan {
        Scan::new(self.pool.clone(), of, since, until, only)
    }

    /// Every chain that has rows here. One without a head has rows that were
    /// never delivered.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn chains(&self) -> Result<Vec<Chain>, StoreError> {
        read::chains(&self.pool).await
    }

    /// The rows of a chain from a sequence on, refused and set aside ones too, a
    /// page at a time.
    pub fn chain_rows(&self, chain: ChainId, from_sequence: u64) -> ChainRows {
        ChainRows::new(self.pool.clone(), chain, from_sequence)
    }

    /// Walks along a chain, from where retention ended, to its head, which may
    /// move meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Away`]. That the chain is broken is an answer.
    pub async fn verify(&self, chain: &Chain) -> Result<Result<Place, Fault>, StoreError> {
        let mut verifier = Verifier::new(chain.dropped, chain.head);
        let from = match chain.dropped.sequence {
            0 => 0,
            dropped => dropped.saturating_add(1),
        };
        let mut rows = self.chain_rows(chain.id, from);
        loop {
            let entries = rows.next_entries().await?;
            if let Some(seen) = rows.chain() {
                verifier.see(seen.dropped, seen.head);
            }
            if entries.is_empty() {
                return Ok(verifier.finish());
            }
            for entry in &entries {
                if let Err(fault) = verifier.step(entry) {
                    return Ok(Err(fault));
                }
            }
        }
    }

    /// Corrects what calls cost. Repeating a run changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Large`] where a sum would no longer fit;
    /// [`StoreError::Away`]. What was applied before stays.
    pub async fn adjust(&self, adjustments: &[Adjustment]) -> Result<Adjusted, StoreError> {
        adjust::adjust(&self.pool, adjustments).await
    }

    /// As [`Store::adjust`], each with what the corrections of its call came to
    /// when it was made: where they come to something else by now, it isn't
    /// written, and told as overtaken. At most one for each call.
    ///
    /// # Errors
    /// As [`Store::adjust`].
    pub async fn adjust_after(
        &self,
        adjustments: &[(i64, Adjustment)],
    ) -> Result<Adjusted, StoreError> {
        adjust::adjust_after(&self.pool, adjustments).await
    }

    /// What the corrections of calls come to, in nano-dollars; a call without any
    /// isn't among them.
    ///
    /// # Errors
    /// [`StoreError::Large`] where a sum doesn't fit; [`StoreError::Away`].
    pub async fn adjustment_sums(
        &self,
        events: &[HoldId],
    ) -> Result<HashMap<HoldId, i64>, StoreError> {
        adjust::sums(&self.pool, events).await
    }

    /// The moment from which rows of all calls are kept; 0 where none was dropped.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn kept_from(&self) -> Result<UnixMillis, StoreError> {
        let mut tx = self.pool.read().await?;
        let kept = usage::kept(&mut tx).await?;
        tx.rollback().await?;
        Ok(kept.rows_from)
    }

    /// Drops rows from before this time (PostgreSQL: whole months of them), and
    /// makes the next month's partitions. Gives the time from which rows are
    /// kept; for calls before it there are only rollups.
    ///
    /// # Errors
    /// [`StoreError::Away`]: call it again later.
    pub async fn drop_before(&self, before: UnixMillis) -> Result<UnixMillis, StoreError> {
        partitions::ahead(&self.pool).await?;
        retention::drop_before(&self.pool, before).await
    }

    /// Drops the sums of whole days (UTC) before this time: those by quarter of an
    /// hour, or those by day. Gives the time from which they are kept.
    ///
    /// # Errors
    /// [`StoreError::Away`]: call it again later.
    pub async fn drop_rollups_before(
        &self,
        rollup: Rollup,
        before: UnixMillis,
    ) -> Result<UnixMillis, StoreError> {
        retention::drop_rollups_before(&self.pool, rollup, before).await
    }

    /// Drops what was set aside before this time, as far as the rows of its chain
    /// up to it are dropped: what is left of a chain needs it to be whole. Gives
    /// how many there were.
    ///
    /// # Errors
    /// [`StoreError::Away`]: call it again later.
    pub async fn drop_set_aside_before(&self, before: UnixMillis) -> Result<u64, StoreError> {
        retention::drop_set_aside_before(&self.pool, before).await
    }

    /// Writes in time, or is away.
    async fn write(&self, rows: &[Row], commit: bool) -> Result<(), StoreError> {
        in_time(write::write(&self.pool, &self.known, rows, commit)).await
    }

    /// The row that the database refuses, found by halving the batch.
    async fn find_poison(&self, rows: &[Row], error: StoreError) -> SinkError {
        let mut why = error;
        let (mut good, mut bad) = (0, rows.len());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let Some(some) = rows.get(..middle) else {
                break;
            };
            match self.write(some, false).await {
                Ok(()) => good = middle,
                Err(error) if is_of_data(&error) => (bad, why) = (middle, error),
                Err(error) => return error.into(),
            }
        }
        SinkError::Poison {
            index: bad.saturating_sub(1),
            why: why.to_string(),
        }
    }
}

fn is_of_data(error: &StoreError) -> bool {
    matches!(error, StoreError::Data(_) | StoreError::Large)
}

/// What takes too long is away.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let limit = Duration::from(DELIVER_TIMEOUT);
    let late = || StoreError::Away("no answer in time".to_owned());
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(late()))
}

impl Sink for Store {
    fn name(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgres",
        }
    }

    async fn deliver(&mut self, rows: &[Row]) -> Result<(), SinkError> {
        if rows.is_empty() {
            return Ok(());
        }
        for (index, row) in rows.iter().enumerate() {
            columns::check(row).map_err(|why| SinkError::Poison {
                index,
                why: why.to_string(),
            })?;
        }
        match self.write(rows, true).await {
            Err(error) if is_of_data(&error) => Err(self.find_poison(rows, error).await),
            Err(error) => {
                self.known.forget();
                Err(error.into())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn set_aside(&mut self, row: &Row, why: &str) -> Result<(), SinkError> {
        Ok(in_time(write::set_aside(&self.pool, row, why)).await?)
    }
}
