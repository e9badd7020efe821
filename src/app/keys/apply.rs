//! What was read of keys, in the snapshot that calls are judged by.

use crate::accounts::withdrawals::Withdrawals;
use crate::config::keys::OwnLimits;
use crate::driver::Driver;
use crate::identity::{Change, KeyTable};
use crate::policy::{ByName, PlanLimit, Snapshot};
use std::collections::HashSet;
use std::sync::Arc;

/// So many texts of limits that no key has any more may be kept.
const TEXTS_SPARE: usize = 1_024;

type Resolved = ByName<Arc<[PlanLimit]>>;

/// All stored keys are these, but for what was withdrawn: whoever withdraws one tells
/// of it first and takes it out of the snapshot then, so it is in neither.
pub(super) fn whole(driver: &Driver, table: KeyTable, withdrawals: &Withdrawals) {
    driver.change_snapshot(|before| with_table(before, withdrawals.without(table)));
}

/// Some stored keys have become these.
pub(super) fn changes(driver: &Driver, changes: Vec<Change>) {
    driver.change_snapshot(|before| {
        let texts = changes.iter().filter_map(|change| match change {
            Change::Put(key) => key.account.limits.clone(),
            Change::Remove(_) => None,
        });
        let texts: HashSet<Arc<str>> = texts.collect();
        let table = before.keys.stored.changed(changes);
        let missing = |text: &&Arc<str>| !before.own_limits.contains_key(*text);
        if before.own_limits.len() > TEXTS_SPARE + table_texts_max(&table)
            && texts.iter().any(|text| missing(&text))
        {
            return with_table(before, table);
        }
        let mut after = before.clone();
        let missing: Vec<&Arc<str>> = texts.iter().filter(missing).collect();
        if !missing.is_empty() {
            let own = OwnLimits::of(before);
            let all = Arc::make_mut(&mut after.own_limits);
            all.extend(missing.into_iter().filter_map(|text| resolve(&own, text)));
        }
        after.keys.stored = Arc::new(table);
        after
    });
}

/// Whether nobody knows any more which stored keys count.
pub(super) fn stale(driver: &Driver, is_stale: bool) {
    driver.change_snapshot(|before| {
        let mut after = before.clone();
        after.keys.stored_is_stale = is_stale;
        after
    });
}

/// Takes over what a snapshot knows of stored keys, of grants and of top-ups into one
/// of a new configuration, by whose models their own limits are read again.
pub fn carry_over(before: &Snapshot, new: Snapshot) -> Snapshot {
    let mut after = with_table(&new, KeyTable::clone(&before.keys.stored));
    after.keys.stored_is_stale = before.keys.stored_is_stale;
    after.keys.uses = Arc::clone(&before.keys.uses);
    after.grants = Arc::clone(&before.grants);
    after.top_ups = Arc::clone(&before.top_ups);
    after
}

/// The limits of configured keys stay, and those that its keys have join them.
fn with_table(before: &Snapshot, table: KeyTable) -> Snapshot {
    let configured = before.keys.configured.iter();
    let configured: HashSet<&Arc<str>> = configured
        .filter_map(|key| key.account().limits.as_ref())
        .collect();
    let kept = before.own_limits.iter();
    let mut all: Resolved = kept
        .filter(|(name, _)| configured.contains(name))
        .map(|(name, limits)| (Arc::clone(name), Arc::clone(limits)))
        .collect();
    let texts: HashSet<&Arc<str>> = table
        .iter()
        .filter_map(|key| key.account().limits.as_ref())
        .collect();
    let own = OwnLimits::of(before);
    all.extend(texts.into_iter().filter_map(|text| resolve(&own, text)));
    let mut after = before.clone();
    after.own_limits = Arc::new(all);
    after.keys.stored = Arc::new(table);
    after
}

/// No more texts than keys can be in use.
fn table_texts_max(table: &KeyTable) -> usize {
    2 * table.len()
}

/// A key whose limits can't be read here is refused, as it is not let through
/// without them.
fn resolve(own: &OwnLimits, text: &Arc<str>) -> Option<(Arc<str>, Arc<[PlanLimit]>)> {
    match own.resolve(text) {
        Ok(limits) => Some((Arc::clone(text), limits)),
        Err(error) => {
            tracing::warn!(%error, "the limits of a stored key can't be applied; it is refused");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::table::{Account, Key};
    use crate::identity::{KeyDigest, KeyRing};

    const LIMITS: &str = "[{\"per\":\"key\",\"unit\":\"requests\",\"amount\":1,\"every\":\"1m\"}]";

    fn key(id: &str, n: u8, limits: Option<&str>) -> Key {
        Key {
            digest: KeyDigest([n; 32]),
            id: id.into(),
            user: None,
            account: Account {
                tenant: "acme".into(),
                limits: limits.map(Arc::from),
                ..Account::default()
            },
            ends_at: None,
            replaced: false,
        }
    }

    #[test]
    fn a_new_configuration_knows_the_stored_keys_and_only_limits_in_use() {
        let configured = KeyTable::of([key("file", 1, Some("identity.keys file"))]).unwrap();
        let mut before = Snapshot {
            keys: KeyRing {
                configured: Arc::new(configured),
                ..KeyRing::default()
            },
            ..Snapshot::default()
        };
        before.own_limits = Arc::new(
            [("identity.keys file", 1), ("of nobody", 2)]
                .map(|(name, _)| (name.into(), [].into()))
                .into_iter()
                .collect(),
        );
        let stored = [
            key("a", 2, Some(LIMITS)),
            key("b", 3, None),
            key("c", 4, Some("nonsense")),
        ];
        let with = with_table(&before, KeyTable::of(stored).unwrap());
        let mut names: Vec<&str> = with.own_limits.keys().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, [LIMITS, "identity.keys file"]);
        assert_eq!(with.own_limits[LIMITS].len(), 1);
        let after = carry_over(&with, before.clone());
        assert_eq!(after.keys.stored.len(), 3);
        assert_eq!(after.own_limits.len(), 2);
        assert!(Arc::ptr_eq(&after.keys.uses, &with.keys.uses));
    }
}
