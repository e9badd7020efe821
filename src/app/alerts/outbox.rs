//! Where alerts wait until they are delivered.
//!
//! Always holds: in the database they outlast this process, and many sidecars deliver
//! each once; in memory they have a bound, and the newest finds no room.

use crate::accounts::alerts::{Delivery, Raised};
use crate::accounts::{Accounts, AccountsError};
use crate::ledger::store::StoreConfig;
use crate::units::{Millis, UnixMillis};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// The most deliveries that wait in memory.
const WAITING_MAX: usize = 1_000;

pub(super) enum Outbox {
    Database {
        store: StoreConfig,
        /// Opened when first needed.
        opened: OnceCell<Accounts>,
    },
    Memory(Mutex<Vec<Waiting>>),
}

/// A delivery that waits in memory.
#[derive(Debug)]
pub(super) struct Waiting {
    delivery: Delivery,
    next_at: UnixMillis,
}

impl Outbox {
    /// `None`: there is no database.
    pub fn new(store: Option<StoreConfig>) -> Self {
        match store {
            Some(store) => Outbox::Database {
                store,
                opened: OnceCell::new(),
            },
            None => Outbox::Memory(Mutex::default()),
        }
    }

    pub async fn raise(&self, all: &[Raised]) -> Result<usize, AccountsError> {
        let waiting = match self {
            Outbox::Database { store, opened } => {
                return of(opened, store).await?.raise(all).await;
            }
            Outbox::Memory(waiting) => waiting,
        };
        let mut waiting = lock(waiting);
        let mut new = 0;
        for Raised { alert, webhooks } in all {
            let room = WAITING_MAX.saturating_sub(waiting.len());
            if webhooks.len() > room {
                tracing::warn!(alert = %alert.id, "there is no room for an alert");
                continue;
            }
            new += 1;
            waiting.extend(webhooks.iter().map(|webhook| Waiting {
                delivery: Delivery {
                    alert: alert.clone(),
                    webhook: Arc::clone(webhook),
                    tries: 0,
                },
                next_at: alert.at,
            }));
        }
        Ok(new)
    }

    pub async fn take(
        &self,
        webhook: &Arc<str>,
        now: UnixMillis,
        lease: Millis,
    ) -> Result<Option<Delivery>, AccountsError> {
        let waiting = match self {
            Outbox::Database { store, opened } => {
                let accounts = of(opened, store).await?;
                return accounts.take_delivery(webhook, now, lease).await;
            }
            Outbox::Memory(waiting) => waiting,
        };
        let mut waiting = lock(waiting);
        let is_due = |of: &&mut Waiting| of.next_at <= now && of.delivery.webhook == *webhook;
        let due = waiting.iter_mut().filter(is_due);
        let Some(first) = due.min_by_key(|of| of.next_at) else {
            return Ok(None);
        };
        first.delivery.tries += 1;
        first.next_at = now + lease;
        Ok(Some(first.delivery.clone()))
    }

    pub async fn delivered(&self, one: &Delivery, now: UnixMillis) -> Result<(), AccountsError> {
        match self {
            Outbox::Database { store, opened } => {
                of(opened, store).await?.delivered(one, now).await
            }
            Outbox::Memory(waiting) => {
                lock(waiting).retain(|of| !of.is(one));
                Ok(())
            }
        }
    }

    pub async fn not_delivered(
        &self,
        one: &Delivery,
        why: &str,
        next: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), AccountsError> {
        let waiting = match self {
            Outbox::Database { store, opened } => {
                let accounts = of(opened, store).await?;
                return accounts.not_delivered(one, why, next, now).await;
            }
            Outbox::Memory(waiting) => waiting,
        };
        let mut waiting = lock(waiting);
        match next {
            Some(next) => waiting
                .iter_mut()
                .filter(|of| of.is(one))
                .for_each(|of| of.next_at = next),
            None => waiting.retain(|of| !of.is(one)),
        }
        Ok(())
    }

    pub async fn forget(&self, now: UnixMillis) -> Result<(), AccountsError> {
        match self {
            Outbox::Database { store, opened } => of(opened, store).await?.forget_alerts(now).await,
            // What is over is gone already.
            Outbox::Memory(_) => Ok(()),
        }
    }

    pub async fn close(&self) {
        if let Outbox::Database { opened, .. } = self
            && let Some(accounts) = opened.get()
        {
            accounts.close().await;
        }
    }
}

impl Waiting {
    fn is(&self, one: &Delivery) -> bool {
        self.delivery.alert.id == one.alert.id && self.delivery.webhook == one.webhook
    }
}

async fn of<'a>(
    opened: &'a OnceCell<Accounts>,
    store: &StoreConfig,
) -> Result<&'a Accounts, AccountsError> {
    opened.get_or_try_init(|| Accounts::open(store)).await
}

fn lock(waiting: &Mutex<Vec<Waiting>>) -> MutexGuard<'_, Vec<Waiting>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
