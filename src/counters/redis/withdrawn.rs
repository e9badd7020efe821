//! Keys that were withdrawn, told to all sidecars of a store at once: a way beside
//! the database where they are kept, for when that is away.
//!
//! Always holds: the list is in the order in which keys were withdrawn; it is
//! bounded, and lives longer than any sidecar goes on without the database.

use super::keys::Bucket;
use super::{Redis, UPKEEP_PATIENCE};
use crate::counters::{CounterError, Withdrawn};

/// The most keys of the list: the oldest are dropped first, about so.
const WITHDRAWN_MAX: u64 = 100_000;

/// The most keys that are read at once.
const READ_MAX: u64 = 1_000;

/// 31 days: a sidecar goes on without the database for 30 at most.
const TTL_SECONDS: u64 = 31 * 24 * 60 * 60;

/// The longest name of a key.
const NAME_BYTES_MAX: usize = 128;

impl Redis {
    /// Tells all sidecars that a key counts no more.
    pub async fn withdraw(&self, key: &str) -> Result<(), CounterError> {
        let list = Bucket::of("").withdrawn();
        let mut add = ::redis::cmd("XADD");
        add.arg(&list).arg("MAXLEN").arg("~").arg(WITHDRAWN_MAX);
        add.arg("*").arg("key").arg(key);
        let _: String = self.query(UPKEEP_PATIENCE, add).await?;
        let mut expire = ::redis::cmd("EXPIRE");
        expire.arg(&list).arg(TTL_SECONDS);
        let _: u64 = self.query(UPKEEP_PATIENCE, expire).await?;
        Ok(())
    }

    /// Keys that were withdrawn after a place of the list; `None`: from its
    /// beginning.
    pub async fn withdrawn(&self, after: Option<&str>) -> Result<Vec<Withdrawn>, CounterError> {
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut range = ::redis::cmd("XRANGE");
        range.arg(Bucket::of("").withdrawn());
        range.arg(from).arg("+").arg("COUNT").arg(READ_MAX);
        let entries: Vec<(String, Vec<String>)> = self.query(UPKEEP_PATIENCE, range).await?;
        let withdrawn = entries.into_iter().map(|(place, fields)| {
            // One field, its name and its value.
            let key = fields.into_iter().nth(1).unwrap_or_default();
            Withdrawn { place, key }
        });
        Ok(withdrawn
            .filter(|entry| entry.key.len() <= NAME_BYTES_MAX)
            .collect())
    }
}
