//! Keys that were withdrawn, told to all sidecars of a store at once: a way beside
//! the database where they are kept, for when that is away.
//!
//! Always holds: the list is in the order in which keys were withdrawn; it is
//! bounded, and lives longer than any sidecar goes on without the database.

use super::keys::Bucket;
use super::{Redis, UPKEEP_PATIENCE};
use crate::counters::{CounterError, Withdrawn};
use crate::units::UnixMillis;

/// The most keys of the list: the oldest are dropped first, about so.
const WITHDRAWN_MAX: u64 = 100_000;

/// The most keys that are read at once.
const READ_MAX: u64 = 1_000;

/// 31 days: a sidecar goes on without the database for 30 at most.
const TTL_SECONDS: u64 = 31 * 24 * 60 * 60;

/// The longest name of a key.
const NAME_BYTES_MAX: usize = 128;

/// The longest name of whoever withdraws one: `oidc/` and 255 bytes fit.
const ACTOR_BYTES_MAX: usize = 512;

impl Redis {
    /// Tells all sidecars that a key counts no more.
    pub async fn withdraw(&self, key: &str, by: &str) -> Result<(), CounterError> {
        let list = Bucket::of("").withdrawn();
        let mut add = ::redis::cmd("XADD");
        add.arg(&list).arg("MAXLEN").arg("~").arg(WITHDRAWN_MAX);
        add.arg("*").arg("key").arg(key).arg("by").arg(by);
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
            // Names and values by turns: the key's, and since it is told, by whom.
            let mut fields = fields.into_iter();
            let (key, by) = (fields.nth(1).unwrap_or_default(), fields.nth(1));
            // A place begins with the server's time in milliseconds.
            let at = place.split('-').next().and_then(|ms| ms.parse().ok());
            Withdrawn {
                at: UnixMillis(at.unwrap_or_default()),
                by: by.filter(|by| by.len() <= ACTOR_BYTES_MAX),
                place,
                key,
            }
        });
        Ok(withdrawn
            .filter(|entry| entry.key.len() <= NAME_BYTES_MAX)
            .collect())
    }
}
