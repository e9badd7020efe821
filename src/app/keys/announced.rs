//! Keys, grants and top-ups that were withdrawn by way of the counter store: sidecars
//! that share one hear of it there though the database be away.
//!
//! Always holds: what was announced stays withdrawn here, whatever the database
//! says of it later: one that was away when a key was withdrawn doesn't know.

use super::allowed::Following;
use super::apply;
use crate::driver::Driver;
use crate::identity::{Change, KeyTable, format};
use crate::policy::grants::GrantChange;
use crate::policy::top_ups::TopUpChange;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A store that takes longer is away: it is asked again a second later.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The most pages of one round.
const PAGES_MAX: usize = 100;

/// What was announced.
#[derive(Default)]
pub(super) struct Announced {
    /// The place in the list that is read.
    place: Option<String>,
    keys: HashSet<Arc<str>>,
}

impl Announced {
    /// Withdraws here what was announced since.
    pub async fn follow(&mut self, driver: &Driver, allowed: &mut Following) {
        for _ in 0..PAGES_MAX {
            let asked = driver.counters().withdrawn(self.place.as_deref());
            let page = match tokio::time::timeout(TIMEOUT, asked).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the counter store can't be asked for withdrawn keys");
                    return;
                }
                Err(_) => return,
            };
            let Some(last) = page.last() else { return };
            self.place = Some(last.place.clone());
            let keys: Vec<Arc<str>> = page.into_iter().map(|entry| entry.key.into()).collect();
            self.keys.extend(keys.iter().map(Arc::clone));
            allowed.take_back(driver, &keys);
            apply::changes(driver, keys.into_iter().map(Change::Remove).collect());
        }
    }

    /// Keys without those that were announced.
    pub fn without(&self, table: KeyTable) -> KeyTable {
        match self.keys.is_empty() {
            true => table,
            false => table.changed(self.keys.iter().map(Arc::clone).map(Change::Remove)),
        }
    }

    /// Changes that bring none of them back.
    pub fn without_those_of(&self, mut changes: Vec<Change>) -> Vec<Change> {
        for change in &mut changes {
            if let Change::Put(key) = change
                && self.keys.contains(&key.id)
            {
                *change = Change::Remove(Arc::clone(&key.id));
            }
        }
        changes
    }

    /// The ids of grants and top-ups among them.
    pub fn of_the_allowed(&self) -> impl Iterator<Item = Arc<str>> {
        let ids = self.keys.iter().filter(|id| format::is_of_the_allowed(id));
        ids.map(Arc::clone)
    }

    /// Changes that bring no grant of them back.
    pub fn without_grants(&self, mut changes: Vec<GrantChange>) -> Vec<GrantChange> {
        for change in &mut changes {
            if let GrantChange::Granted(grant) = change
                && self.keys.contains(&grant.id)
            {
                *change = GrantChange::Revoked(Arc::clone(&grant.id));
            }
        }
        changes
    }

    /// Changes that bring no top-up of them back.
    pub fn without_top_ups(&self, mut changes: Vec<TopUpChange>) -> Vec<TopUpChange> {
        for change in &mut changes {
            if let TopUpChange::Added(top_up) = change
                && self.keys.contains(&top_up.id)
            {
                *change = TopUpChange::Revoked(Arc::clone(&top_up.id));
            }
        }
        changes
    }
}
