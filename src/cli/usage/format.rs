//! A report as text or columns.

pub(super) mod csv;
pub(super) mod json;
pub(super) mod parquet;
pub(in crate::cli) mod table;

use crate::ledger::reports::tell;
use crate::ledger::store::measure::Sums;
use crate::ledger::store::query::Query;
use crate::ledger::store::report::UsageRow;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people: dollars, rounded to four decimals.
    Table,
    /// For spreadsheets: a row each, every measure.
    Csv,
    /// For programs: one document, with the total.
    Json,
    /// For programs: a line of JSON for each row.
    Jsonl,
    /// For data tools: columns; needs a weir that was built with it.
    Parquet,
}

impl Format {
    /// Whether this program can write it.
    pub fn is_built(self) -> anyhow::Result<()> {
        if self == Format::Parquet && !cfg!(feature = "parquet") {
            anyhow::bail!(
                "--format parquet: this weir was built without it; build one with \
                 `cargo build --release --features parquet`, or use --format csv or jsonl"
            );
        }
        Ok(())
    }
}

/// A report that was read.
pub(super) struct Told<'a> {
    pub query: &'a Query,
    /// What is shown.
    pub rows: &'a [UsageRow],
    /// Of all rows, the ones that aren't shown too.
    pub total: &'a Sums,
    /// How many rows there are.
    pub all: usize,
}

impl Told<'_> {
    /// The name of a row's period.
    fn period(&self, row: &UsageRow) -> Option<String> {
        let (period, unit) = (row.period?, self.query.unit?);
        Some(tell::period(period, unit, &self.query.zone))
    }
}

#[cfg(test)]
pub(in crate::cli::usage) mod tests;
