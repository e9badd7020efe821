//! When keys were used last, written back to where they are kept: to the hour, and
//! once a minute, as that is enough to find those that nobody uses any more. Reading
//! what was withdrawn never waits for it.

use crate::accounts::Accounts;
use crate::identity::KeyTable;
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::JoinSet;

const HOUR_MS: u64 = 60 * 60 * 1_000;
const WRITE_EVERY_MS: u64 = 60 * 1_000;

/// The most keys that are written at once; the rest follows a minute later.
const WRITTEN_MAX: usize = 20_000;

/// What was written.
#[derive(Default)]
pub(super) struct Used {
    last_written: UnixMillis,
    /// Of keys that were used in this hour or the one before: which hour was
    /// written of them.
    written: HashMap<Arc<str>, u32>,
    /// What is being written, at most one at a time.
    writing: JoinSet<Hours>,
}

/// Keys by name, and the hours that they were used last.
type Hours = Vec<(Arc<str>, u32)>;

impl Used {
    /// Begins to, where it is time; waits for nothing.
    pub fn write_in_time(&mut self, accounts: &Accounts, keys: &KeyTable, now: UnixMillis) {
        if let Some(Ok(hours)) = self.writing.try_join_next() {
            self.written.extend(hours);
        }
        if self.writing.is_empty() && now.since(self.last_written).0 >= WRITE_EVERY_MS {
            self.begin(accounts, keys, now);
        }
    }

    /// To the end. What isn't written now is tried again.
    pub async fn write(&mut self, accounts: &Accounts, keys: &KeyTable, now: UnixMillis) {
        while let Some(written) = self.writing.join_next().await {
            self.written.extend(written.unwrap_or_default());
        }
        self.begin(accounts, keys, now);
        while let Some(written) = self.writing.join_next().await {
            self.written.extend(written.unwrap_or_default());
        }
    }

    fn begin(&mut self, accounts: &Accounts, keys: &KeyTable, now: UnixMillis) {
        self.last_written = now;
        let hours = self.unwritten(keys, now);
        if !hours.is_empty() {
            self.writing.spawn(written(accounts.clone(), hours));
        }
    }

    fn unwritten(&mut self, keys: &KeyTable, now: UnixMillis) -> Hours {
        let hour = u32::try_from(now.0 / HOUR_MS).unwrap_or(u32::MAX);
        let since = hour.saturating_sub(1);
        self.written.retain(|_, written| *written >= since);
        let used = keys.iter().filter(|key| key.used_hour() >= since.max(1));
        let unwritten = used.filter(|key| self.written.get(key.id()) != Some(&key.used_hour()));
        unwritten
            .map(|key| (Arc::clone(key.id()), key.used_hour()))
            .take(WRITTEN_MAX)
            .collect()
    }
}

/// Those that were.
async fn written(accounts: Accounts, hours: Hours) -> Hours {
    match accounts.used(hours.clone()).await {
        Ok(()) => hours,
        Err(error) => {
            tracing::debug!(%error, "when keys were used can't be written yet");
            Hours::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyDigest;
    use crate::identity::table::{Account, Key};
    use crate::ledger::store::{StoreConfig, database};
    use std::time::Duration;

    fn keys() -> KeyTable {
        let each = (1..=2u8).map(|n| Key {
            digest: KeyDigest([n; 32]),
            id: format!("k{n}").into(),
            user: None,
            account: Account::default(),
            ends_at: None,
            replaced: false,
        });
        KeyTable::of(each).unwrap()
    }

    /// Somebody else writes for long: what was withdrawn is read meanwhile.
    #[tokio::test]
    async fn nobody_waits_for_it_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::Sqlite {
            path: folder.path().join("weir.db"),
        };
        let accounts = Accounts::open(&config).await.unwrap();
        let other = database::connect(&config).await.unwrap();
        let lock = other.write().await.unwrap();
        let (keys, now) = (keys(), UnixMillis(100 * HOUR_MS));
        keys.by_id("k1").unwrap().touch(now);
        let mut used = Used::default();
        let begun = std::time::Instant::now();
        used.write_in_time(&accounts, &keys, now);
        tokio::time::timeout(Duration::from_secs(1), accounts.changes(0, 10))
            .await
            .unwrap()
            .unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(used.writing.len(), 1);
        lock.rollback().await.unwrap();
        used.write(&accounts, &keys, now).await;
        assert_eq!(used.written.get("k1"), Some(&100));
    }

    #[test]
    fn each_hour_of_a_key_is_written_once() {
        let keys = keys();
        let at = |hour: u64| UnixMillis(hour * HOUR_MS + 5);
        let mut used = Used::default();
        assert!(used.unwritten(&keys, at(100)).is_empty(), "none was used");
        keys.by_id("k1").unwrap().touch(at(100));
        let first = used.unwritten(&keys, at(100));
        assert_eq!(first, [("k1".into(), 100)]);
        assert_eq!(used.unwritten(&keys, at(100)), first, "it wasn't written");
        used.written.extend(first);
        assert!(used.unwritten(&keys, at(100)).is_empty());
        keys.by_id("k1").unwrap().touch(at(101));
        keys.by_id("k2").unwrap().touch(at(101));
        assert_eq!(used.unwritten(&keys, at(102)).len(), 2);
        assert!(used.unwritten(&keys, at(110)).is_empty());
        assert!(used.written.is_empty(), "what is over is forgotten");
    }
}
