//! Which model served, in rollups.
//!
//! Providers make these names up, so their number is bounded where that of
//! configured names needn't be. A call whose name isn't told apart goes to a
//! group that says so (`tells_served`), as do all calls of rollups that were kept
//! before names were.
//!
//! Always holds: where a group doesn't tell, no report on the names is answered
//! from rollups of its time or of any before it; so every report is exact.

use super::engine::Tx;
use super::error::StoreError;
use super::rollup::{DAY_MS, QUARTER_MS};
use super::value::{Type, Value};
use std::collections::HashSet;

/// The most names that one process tells apart: some hundred times what providers
/// offer.
const NAMES_MAX: usize = 1_000;

/// The longest of them, as of those that calls ask for: a Bedrock ARN may have as
/// many.
const NAME_BYTES_MAX: usize = 2_048;

/// The names so far.
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// Whether rollups tell this one apart. Absence is told too.
    pub fn tell(&mut self, name: Option<&str>) -> bool {
        let Some(name) = name else {
            return true;
        };
        if self.0.contains(name) {
            return true;
        }
        let takes = self.0.len() < NAMES_MAX && is_short(name);
        if takes {
            self.0.insert(name.to_owned());
        }
        takes
    }
}

/// Whether a name isn't too long to be told apart.
pub fn is_short(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
}

/// The time in this span from which rollups tell which model served. Where
/// quarters of an hour are no longer kept, days say it.
pub async fn told_from(
    tx: &mut Tx,
    (from_ms, until_ms): (i64, i64),
    quarters_from_ms: i64,
) -> Result<i64, StoreError> {
    let quarters = ("usage_quarter", QUARTER_MS, until_ms);
    let days = ("usage_day", DAY_MS, until_ms.min(quarters_from_ms));
    let mut told_from_ms = from_ms;
    for (table, long_ms, until_ms) in [quarters, days] {
        let first = from_ms - from_ms.rem_euclid(long_ms);
        if first >= until_ms {
            continue;
        }
        // The last of each group, through an index.
        let sql = tx
            .sql(&format!(
                "SELECT MAX(last) FROM (SELECT (SELECT MAX(r.bucket_ms) FROM {table} r \
                 WHERE r.group_key = g.group_key AND r.bucket_ms >= "
            ))
            .bind(Value::Int(first))
            .and(" AND r.bucket_ms < ")
            .bind(Value::Int(until_ms))
            .and(") AS last FROM usage_group g WHERE g.tells_served = ")
            .bind(Value::Bool(false))
            .and(") untold");
        let rows = tx.fetch(sql, &[Type::Int]).await?;
        if let Some([Value::Int(last)]) = rows.first().map(Vec::as_slice) {
            told_from_ms = told_from_ms.max(last.saturating_add(long_ms));
        }
    }
    Ok(told_from_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let mut names = Names::default();
        assert!(names.tell(None) && names.tell(Some("")));
        assert!(!names.tell(Some(&"x".repeat(NAME_BYTES_MAX + 1))));
        for n in 1..NAMES_MAX {
            assert!(names.tell(Some(&format!("model-{n}"))), "{n}");
        }
        assert!(!names.tell(Some("one more")));
        assert!(names.tell(Some("model-7")) && names.tell(None));
    }
}
