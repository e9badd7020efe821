//! Counters from the ledger, where the store lost them.
//!
//! What is added to a counter: the sum over the ledger's calls that began in the
//! window now running and ended before the loss ([`Epoch::since`]). Those that
//! were open then, and those that ended since, are told by others (`losses`).
//! What a counter is given has a name that hangs on the epoch, the ledger and the
//! counter alone, and is taken once whoever brings it, however often: several
//! sidecars, attempts and lives of a process make no difference.
//!
//! Left out, and said so: windows that are not a calendar's or aligned to the
//! clock, limits whose condition asks for more than rows tell, and what windows before
//! had left for this one. Sliding windows and buckets are at rest by themselves soon;
//! where a window began with its first hit isn't known any more, but for that of a
//! grant, which outlasts it.

mod give;
mod granted;
mod lost;
mod sums;

use super::losses::Due;
use super::{Driver, clock};
use crate::counters::CounterError;
use crate::ledger::spool::Spool;
use crate::ledger::store::{StoreConfig, StoreError};
use crate::limits::Unit;
use crate::units::Millis;
pub use lost::LeftOut;
pub(super) use lost::{Tenants, used_at};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How long a process that begins waits for counters to be rebuilt in a remote
/// store; after that it goes on beside the calls.
const BEGIN_MAX: Duration = Duration::from_secs(5);

/// The pause before what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A window that ends within this time is left alone: what belongs to it must not
/// be charged to the next.
const NEARLY_OVER: Millis = Millis(5_000);

/// After this time nobody rebuilds any more: a store remembers names for twice as
/// long, and no longer.
const EPOCH_REBUILT_FOR: Millis = Millis::from_mins(7 * 24 * 60);

/// The ledger's database, and the spool that its rows come from.
#[derive(Debug)]
pub struct LedgerSource {
    pub store: StoreConfig,
    pub spool: Arc<Spool>,
}

/// What was rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebuilt {
    pub limits: Vec<RebuiltLimit>,
    pub left_out: Vec<LeftOut>,
    /// Counters that had been given theirs before.
    pub already: usize,
    /// Rows were still on their way to the ledger's database.
    pub may_lack: bool,
}

/// A limit whose counters were rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuiltLimit {
    pub limit: Arc<str>,
    /// `None`: of all tenants together.
    pub plan: Option<Arc<str>>,
    pub unit: Unit,
    pub counters: usize,
    /// Their sum.
    pub amount: u64,
}

/// Why counters are not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("there is no ledger in a database to rebuild counters from")]
    NoLedger,
    #[error("the ledger: {0}")]
    Ledger(#[from] StoreError),
    #[error(transparent)]
    Store(#[from] CounterError),
    #[error("nobody rebuilds: weir is stopping")]
    Stopping,
}

/// What came of the last attempt; `None` where nothing was lost.
pub type Outcome = Arc<Result<Option<Rebuilt>, RebuildError>>;

/// Those who wait to hear what came of it.
#[derive(Default)]
pub(super) struct Asks(Mutex<Vec<oneshot::Sender<Outcome>>>);

impl Asks {
    fn add(&self) -> oneshot::Receiver<Outcome> {
        let (ask, answer) = oneshot::channel();
        self.lock().push(ask);
        answer
    }

    fn take(&self) -> Vec<oneshot::Sender<Outcome>> {
        std::mem::take(&mut self.lock())
    }

    /// A panic while it was locked left it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Outcome>>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Rebuilds what was lost, whenever that is noticed.
pub struct Rebuild {
    driver: Arc<Driver>,
}

impl Rebuild {
    pub fn new(driver: Arc<Driver>) -> Self {
        Self { driver }
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let driver = &self.driver;
        let rebuilding = async {
            loop {
                let again = !driver.losses.due().is_empty();
                tokio::select! {
                    biased;
                    () = driver.losses.stirred.notified() => {}
                    () = tokio::time::sleep(RETRY_AFTER), if again => {}
                }
                let asks = driver.asks.take();
                let outcome = Arc::new(rebuild(driver).await);
                for ask in asks {
                    // Whoever no longer waits needs no answer.
                    let _ = ask.send(Arc::clone(&outcome));
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(rebuilding).await;
        drop(driver.asks.take());
    }
}

impl Driver {
    /// Before the first call: what an empty store lost, or this process's memory, is
    /// rebuilt.
    ///
    /// # Errors
    /// Where the store can't be asked.
    pub async fn begin_counting(&self) -> Result<(), CounterError> {
        if self.counters.is_remote() {
            self.look_for_losses().await?;
            let begun = tokio::time::timeout(BEGIN_MAX, rebuild(self)).await;
            if begun.is_err() {
                tracing::warn!("counters are still being rebuilt from the ledger");
            }
            return Ok(());
        }
        let now = self.clock.now();
        let memory = self.losses.fresh(0, now, &clock::random().id);
        self.losses.heard(0, memory, now);
        // Told of already, and tried again.
        let _ = rebuild(self).await;
        Ok(())
    }

    /// Says where counters can be rebuilt from.
    pub fn rebuild_from(&self, ledger: LedgerSource) {
        let _ = self.ledger.set(ledger);
    }

    /// Looks for losses and rebuilds now; what came of it.
    pub async fn rebuild(&self) -> Outcome {
        // First, so that it hears of what this look finds.
        let answer = self.asks.add();
        if let Err(error) = self.look_for_losses().await {
            return Arc::new(Err(error.into()));
        }
        self.losses.stirred.notify_one();
        let stopping = |_| Arc::new(Err(RebuildError::Stopping));
        answer.await.unwrap_or_else(stopping)
    }
}

/// Rebuilds all that is due, and says so.
async fn rebuild(driver: &Driver) -> Result<Option<Rebuilt>, RebuildError> {
    let now = driver.clock.now();
    let (due, late): (Vec<Due>, Vec<Due>) = driver
        .losses
        .due()
        .into_iter()
        .partition(|due| now.since(due.epoch.id.made_at()) < EPOCH_REBUILT_FOR);
    driver.losses.done(&late);
    if due.is_empty() {
        return Ok(None);
    }
    let rebuilt = sums::of_lanes(driver, &due).await;
    match &rebuilt {
        Ok(rebuilt) => {
            driver.losses.done(&due);
            say(rebuilt);
        }
        Err(error @ RebuildError::NoLedger) => {
            // It won't be there the next time either.
            driver.losses.done(&due);
            tracing::warn!(%error, "whenever the counter store loses them, quotas begin anew");
        }
        Err(error) => {
            tracing::error!(%error, "counters can't be rebuilt from the ledger yet; it is tried again");
        }
    }
    rebuilt.map(Some)
}

fn say(rebuilt: &Rebuilt) {
    for of in &rebuilt.limits {
        let plan = of.plan.as_deref().unwrap_or("");
        let (limit, unit) = (&*of.limit, of.unit.as_str());
        let (counters, amount) = (of.counters, of.amount);
        tracing::warn!(
            limit,
            plan,
            unit,
            counters,
            amount,
            "counters were rebuilt from the ledger"
        );
    }
    if rebuilt.already > 0 {
        let counters = rebuilt.already;
        tracing::info!(counters, "counters had been rebuilt from the ledger before");
    }
    for left in &rebuilt.left_out {
        let (limit, why) = (&*left.limit, &*left.why);
        tracing::info!(limit, why, "counters of a limit are not rebuilt");
    }
    if rebuilt.may_lack {
        tracing::warn!("rows were still on their way to the ledger: counters may lack their calls");
    }
}
