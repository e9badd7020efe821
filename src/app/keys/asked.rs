//! Writes what calls ask approval for to the database, and forgets there what is
//! over.
//!
//! Always holds: no call waits for it; while the database is away, what was asked
//! waits, up to a bound; what it refuses for what it is, is given up alone.

use super::in_time;
use crate::accounts::approvals::asker::Waiting;
use crate::accounts::{Accounts, AccountsError};
use crate::alerts::Kind;
use crate::config::AlertsConfig;
use crate::driver::Driver;
use crate::ledger::store::StoreError;
use crate::policy::grants::ApprovalRequest;
use crate::telemetry::metrics::{AlertOutcome, Metrics};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A database that takes longer is away.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one that is away is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often what is over is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// Who writes.
pub(super) struct Writing {
    pub waiting: Waiting,
    /// There once the database was reached.
    pub accounts: Arc<OnceLock<Accounts>>,
    pub driver: Arc<Driver>,
    pub alerts: Arc<AlertsConfig>,
    pub metrics: Arc<Metrics>,
}

impl Writing {
    /// Until it is told to stop.
    pub async fn run(mut self, stop: &CancellationToken) {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        forget.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                some = self.waiting.next() => {
                    if some.is_empty() {
                        break;
                    }
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.write(some) => {}
                    }
                }
                _ = forget.tick() => self.forget().await,
            }
        }
    }

    /// Until the database has taken it.
    async fn write(&self, some: Vec<ApprovalRequest>) {
        loop {
            match self.try_write(some.clone()).await {
                Ok(()) => return,
                Err(AccountsError::Database(StoreError::Away(error))) => {
                    tracing::debug!(error, "what calls ask approval for can't be written yet");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                // Something in there is refused: the rest is not to go with it.
                Err(_) if some.len() > 1 => {
                    for one in some {
                        self.try_one(one).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "a request for approval isn't taken");
                    return;
                }
            }
        }
    }

    async fn try_one(&self, one: ApprovalRequest) {
        let id = Arc::clone(&one.id);
        if let Err(error) = self.try_write(vec![one]).await {
            tracing::error!(%id, %error, "a request for approval isn't taken");
        }
    }

    async fn try_write(&self, some: Vec<ApprovalRequest>) -> Result<(), AccountsError> {
        let away = || AccountsError::Database(StoreError::Away("it wasn't reached yet".to_owned()));
        let accounts = self.accounts.get().ok_or_else(away)?;
        // In one go, so that what waits is told of though this process dies next.
        let wanting = |tenant: &str| self.alerts.wanting(Kind::Approval, Some(tenant));
        let asked = accounts.ask_and_tell(some, wanting);
        let told = in_time(WRITE_TIMEOUT, asked).await?;
        (0..told).for_each(|_| self.metrics.alert(AlertOutcome::Raised));
        Ok(())
    }

    async fn forget(&self) {
        let Some(accounts) = self.accounts.get() else {
            return;
        };
        let forgotten = accounts.forget_ended(self.driver.clock().now());
        if let Err(error) = in_time(WRITE_TIMEOUT, forgotten).await {
            tracing::debug!(%error, "requests that are over can't be forgotten yet");
        }
    }
}
