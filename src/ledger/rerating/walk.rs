//! Walks along the calls of a span of time, rates them and writes corrections.
//!
//! Always holds: a page of rows at most is in memory; a page's corrections are
//! written before the next one is read.

use super::tally::Tally;
use super::{Left, PriceOf, Rated, rate};
use crate::ledger::row::Row;
use crate::ledger::store::columns::at;
use crate::ledger::store::query::Condition;
use crate::ledger::store::{Adjustment, Of, Store, StoreError};
use crate::limits::HoldId;
use crate::units::UnixMillis;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What corrections say they were made for.
pub const REASON: &str = "re-rated";

/// How often calls are rated again that another re-rating was quicker with.
/// Each time all of a page may meet another one, which moves on then.
const ATTEMPTS_MAX: usize = 10;

/// Which calls.
#[derive(Debug, Clone)]
pub struct Span {
    /// From this millisecond on.
    pub since: UnixMillis,
    /// Before this one.
    pub until: UnixMillis,
    /// All must hold.
    pub only: Vec<Condition>,
}

/// Under what corrections are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub id: Uuid,
    pub at: UnixMillis,
}

#[derive(Debug, thiserror::Error)]
pub enum RerateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the run {0} has corrected calls by other prices before: take another one")]
    RunIsTaken(Uuid),
    #[error("another re-rating corrects the same calls: begin again when it is over")]
    Overtaken,
}

/// Hears up to which moment calls are rated, and what they came to so far.
pub type Heard<'a> = dyn FnMut(UnixMillis, &Tally) + Send + 'a;

/// Rates the calls of the span; with a run, writes their corrections. What was
/// written before an error stays. Without a run nothing is written, so that a
/// store that was opened to read will do.
///
/// # Errors
/// [`StoreError::NotKept`] where rows of the span may be dropped, before anything
/// is written; [`RerateError`].
pub async fn rerate(
    store: &Store,
    span: &Span,
    run: Option<Run>,
    price_of: &mut PriceOf<'_>,
    heard: &mut Heard<'_>,
) -> Result<Tally, RerateError> {
    let kept_from = store.kept_from().await?;
    if span.since < kept_from {
        return Err(StoreError::NotKept(kept_from).into());
    }
    let mut scan = store.scan(Of::Calls, (span.since, span.until), span.only.clone());
    let mut tally = Tally::default();
    loop {
        let rows = scan.next_rows().await?;
        let Some(last) = rows.last() else {
            return Ok(tally);
        };
        let to = at(&last.event);
        page(store, rows, run, price_of, &mut tally).await?;
        heard(to, &tally);
    }
}

async fn page(
    store: &Store,
    mut rows: Vec<Row>,
    run: Option<Run>,
    price_of: &mut PriceOf<'_>,
    tally: &mut Tally,
) -> Result<(), RerateError> {
    for _ in 0..ATTEMPTS_MAX {
        let ids: Vec<HoldId> = rows.iter().map(|row| row.event.id).collect();
        let sums = store.adjustment_sums(&ids).await?;
        let mut rated = rated(&rows, &sums, price_of);
        let overtaken = match run {
            Some(run) => write(store, run, &mut rated).await?,
            None => HashSet::new(),
        };
        for (row, corrected, rated) in &rated {
            if !overtaken.contains(&row.event.id) {
                tally.add(&row.event, *corrected, rated);
            }
        }
        if overtaken.is_empty() {
            return Ok(());
        }
        rows.retain(|row| overtaken.contains(&row.event.id));
    }
    Err(RerateError::Overtaken)
}

/// A row, what it was corrected by before, and what becomes of it.
type RatedRow<'a> = (&'a Row, i64, Rated);

fn rated<'a>(
    rows: &'a [Row],
    sums: &HashMap<HoldId, i64>,
    price_of: &mut PriceOf<'_>,
) -> Vec<RatedRow<'a>> {
    let rated = rows.iter().map(|row| {
        let corrected = sums.get(&row.event.id).copied().unwrap_or(0);
        (row, corrected, rate(&row.event, corrected, price_of))
    });
    rated.collect()
}

/// Gives the calls that something else has corrected meanwhile.
async fn write(
    store: &Store,
    run: Run,
    rated: &mut [RatedRow<'_>],
) -> Result<HashSet<HoldId>, RerateError> {
    let corrections = rated.iter().filter_map(|(row, corrected, rated)| {
        let Rated::Priced {
            delta_nanos,
            version,
        } = rated
        else {
            return None;
        };
        (*delta_nanos != 0).then(|| {
            let adjustment = Adjustment {
                event: row.event.id,
                run: run.id,
                at: run.at,
                delta_nanos: *delta_nanos,
                price_version: Some(version.to_string()),
                reason: REASON.to_owned(),
            };
            (*corrected, adjustment)
        })
    });
    let corrections: Vec<(i64, Adjustment)> = corrections.collect();
    if corrections.is_empty() {
        return Ok(HashSet::new());
    }
    let adjusted = store.adjust_after(&corrections).await?;
    // Its corrections so far were seen, and yet there is something to correct.
    if adjusted.already > 0 {
        return Err(RerateError::RunIsTaken(run.id));
    }
    let dropped: HashSet<HoldId> = adjusted.unknown.into_iter().collect();
    for (row, _, rated) in rated {
        if dropped.contains(&row.event.id) {
            *rated = Rated::Left(Left::Dropped);
        }
    }
    Ok(adjusted.overtaken.into_iter().collect())
}

#[cfg(test)]
mod tests;
