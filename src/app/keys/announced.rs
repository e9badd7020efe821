//! Keys, grants and top-ups that were withdrawn by way of the counter store: sidecars
//! that share one hear of it there though the database be away.
//!
//! Always holds: what was announced stays withdrawn here, whatever the database
//! says of it later: one that was away when a key was withdrawn doesn't know until
//! it is told.

use super::late::keep;
use super::{allowed, apply};
use crate::accounts::withdrawals::{Withdrawal, Withdrawals};
use crate::counters::Withdrawn;
use crate::driver::Driver;
use crate::identity::Change;
use std::sync::Arc;
use std::time::Duration;

/// A store that takes longer is away: it is asked again a second later.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The most pages of one round.
const PAGES_MAX: usize = 100;

/// Who did it, where nobody says.
const SOMEBODY: &str = "counter-store";

/// How far what was announced was read.
#[derive(Default)]
pub(super) struct Announced {
    /// The place in the list.
    place: Option<String>,
}

impl Announced {
    /// Withdraws here what was announced since.
    pub async fn follow(&mut self, driver: &Driver, withdrawals: &Arc<Withdrawals>) {
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
            take(driver, withdrawals, page.into_iter().map(heard).collect());
        }
    }
}

/// Has these count no more here, and the database told of those that it isn't known to
/// know of.
pub(super) fn take(driver: &Driver, withdrawals: &Arc<Withdrawals>, all: Vec<Withdrawal>) {
    let ids: Vec<Arc<str>> = all.iter().map(|one| Arc::clone(&one.id)).collect();
    // What the database has told of already isn't told to it again.
    let snapshot = driver.snapshot();
    let allowed = allowed::ids_where_named(&snapshot, &ids);
    let is_known = |id: &str| snapshot.keys.stored.by_id(id).is_none() && !allowed.contains(id);
    if withdrawals.hear(all, is_known) {
        keep(withdrawals);
    }
    allowed::take_back(driver, &ids);
    apply::changes(driver, ids.into_iter().map(Change::Remove).collect());
}

fn heard(told: Withdrawn) -> Withdrawal {
    Withdrawal {
        id: told.key.into(),
        actor: told.by.as_deref().unwrap_or(SOMEBODY).into(),
        at: told.at,
    }
}
