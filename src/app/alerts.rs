//! Tells webhooks what others than callers are to hear.
//!
//! ```text
//! driver ── Notice ──► ears (new? wanted?) ──► queue ──► outbox (database, memory)
//!    └── what waits for approval ──► keys (asked) ──────────────┘
//!                                                          │ one at a time, leased
//!                                          webhooks ◄──────┘ for each webhook
//! ```
//!
//! Always holds: no call waits for it; it has a thread of its own. What is in the
//! database is sent though this process dies: by another sidecar, or the next.
//! A webhook that is away keeps no other from hearing.
//!
//! | module | for |
//! |---|---|
//! | `ears` | what calls lead to, told once |
//! | `outbox` | where alerts wait: the ledger's database, or memory |

mod ears;
mod outbox;

use super::keys::in_time;
use super::reports::database;
use crate::accounts::alerts::{Delivery, Raised};
use crate::alerts::{Alert, retry};
use crate::config::{AlertsConfig, Config};
use crate::driver::Driver;
use crate::driver::clock::random;
use crate::ledger::store::StoreConfig;
use crate::telemetry::metrics::{AlertOutcome, Metrics};
use crate::units::Millis;
use crate::webhooks::Webhook;
use anyhow::Context;
use ears::Ears;
use futures_util::future::join_all;
use outbox::Outbox;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether something waits that another sidecar has raised,
/// or that is to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A database that takes longer is away.
const WORK_MAX: Duration = Duration::from_secs(5);

/// How long one that is away is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often what is over is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// The most alerts that are kept at once.
const RAISED_MAX: usize = 256;

/// What a taker needs besides the time-out to say what came of it.
const LEASE_SLACK: Millis = Millis::from_secs(30);

/// How long what is under way may take once the process ends.
const LAST_MAX: Duration = Duration::from_millis(1_500);

/// Names are looked up on threads of their own.
const LOOKUPS_MAX: usize = 4;

/// Connections to the database: each webhook's turn is short.
const CONNECTIONS: u32 = 2;

const CONNECT_TIMEOUT: Millis = Millis(2_000);

/// What is to be told to whom.
pub(super) struct Telling {
    config: Arc<AlertsConfig>,
    webhooks: Vec<Webhook>,
    store: Option<StoreConfig>,
    metrics: Arc<Metrics>,
}

/// The thread that tells.
pub(super) struct Alerts {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

/// What all tasks share.
struct Shared {
    outbox: Outbox,
    driver: Arc<Driver>,
    metrics: Arc<Metrics>,
    config: Arc<AlertsConfig>,
    /// Rung where something was raised here.
    raised: Notify,
}

impl Telling {
    /// `None`: nobody is to be told. Reads the system's certificates.
    ///
    /// # Errors
    /// A webhook can't be used.
    pub fn of(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Self>> {
        let alerts = &config.alerts;
        if alerts.webhooks.is_empty() {
            return Ok(None);
        }
        let webhooks = alerts.webhooks.iter().map(|settings| {
            let webhook = Webhook::new(settings);
            webhook.with_context(|| format!("alerts.webhooks: {}", settings.name))
        });
        let mut store = config.ledger.as_ref().and_then(database);
        if let Some(StoreConfig::Postgres(postgres)) = &mut store {
            postgres.connect_timeout = CONNECT_TIMEOUT;
            postgres.connections_max = CONNECTIONS;
        }
        if store.is_none() {
            tracing::warn!(
                "alerts wait in memory, as the ledger has no database: those that are not sent \
                 are lost at the end, and each sidecar sends its own"
            );
        }
        Ok(Some(Self {
            webhooks: webhooks.collect::<Result<_, _>>()?,
            config: Arc::clone(alerts),
            store,
            metrics: Arc::clone(metrics),
        }))
    }

    fn start(self, driver: &Arc<Driver>) -> anyhow::Result<Alerts> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(LOOKUPS_MAX)
            .enable_all()
            .build()
            .context("can't start the runtime of alerts")?;
        let stop = CancellationToken::new();
        let (mut ears, queue) = Ears::new(&self.config, driver, &self.metrics);
        if self.store.is_none() {
            ears.tell_approvals();
        }
        driver.listen(Box::new(ears));
        let driver = Arc::clone(driver);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("weir-alerts".into())
            .spawn(move || {
                runtime.block_on(self.run(driver, queue, &stopped));
                // A name may still be being looked up.
                runtime.shutdown_background();
            })
            .context("can't start the thread of alerts")?;
        Ok(Alerts { stop, thread })
    }

    async fn run(
        self,
        driver: Arc<Driver>,
        queue: mpsc::Receiver<Alert>,
        stop: &CancellationToken,
    ) {
        let shared = Shared {
            outbox: Outbox::new(self.store),
            driver,
            metrics: self.metrics,
            config: self.config,
            raised: Notify::new(),
        };
        let senders = self.webhooks.into_iter();
        let senders = join_all(senders.map(|webhook| shared.send(webhook, stop)));
        let all = async {
            tokio::join!(shared.keep(queue, stop), shared.forget(stop), senders);
        };
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_MAX).await;
        };
        tokio::select! {
            () = all => {}
            () = late => {}
        }
        let _ = tokio::time::timeout(LAST_MAX, shared.outbox.close()).await;
    }
}

/// Where somebody is to be told, starts to.
pub(super) fn start(
    telling: Option<Telling>,
    driver: &Arc<Driver>,
) -> anyhow::Result<Option<Alerts>> {
    telling.map(|telling| telling.start(driver)).transpose()
}

/// Keeps what was raised last, in bounded time.
pub(super) fn finish(alerts: Option<Alerts>) {
    let Some(Alerts { stop, thread }) = alerts else {
        return;
    };
    stop.cancel();
    if thread.join().is_err() {
        tracing::error!("the thread of alerts failed");
    }
}

impl Shared {
    /// Puts what is raised into the outbox, until it is told to stop; then what is
    /// left.
    async fn keep(&self, mut queue: mpsc::Receiver<Alert>, stop: &CancellationToken) {
        let mut some = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = queue.recv_many(&mut some, RAISED_MAX) => {
                    if some.is_empty() {
                        return;
                    }
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.raise(&some) => some.clear(),
                    }
                }
            }
        }
        some.extend(std::iter::from_fn(|| queue.try_recv().ok()));
        if !some.is_empty() {
            self.raise(&some).await;
        }
    }

    /// Until the database has taken it.
    async fn raise(&self, some: &[Alert]) {
        let raised: Vec<Raised> = some.iter().map(|alert| self.to(alert)).collect();
        loop {
            match in_time(WORK_MAX, self.outbox.raise(&raised)).await {
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(%error, "alerts can't be kept yet");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
        self.raised.notify_waiters();
    }

    fn to(&self, alert: &Alert) -> Raised {
        let (kind, tenant) = (alert.kind(), alert.tenant.as_deref());
        Raised {
            alert: alert.clone(),
            webhooks: self.config.wanting(kind, tenant),
        }
    }

    /// Sends what waits for one webhook.
    async fn send(&self, mut webhook: Webhook, stop: &CancellationToken) {
        let lease = webhook.settings().timeout.0.saturating_add(LEASE_SLACK.0);
        while !stop.is_cancelled() {
            let name = Arc::clone(webhook.name());
            let now = self.driver.clock().now();
            let taken = self.outbox.take(&name, now, Millis(lease));
            match in_time(WORK_MAX, taken).await {
                Ok(Some(delivery)) => {
                    self.try_one(&mut webhook, &delivery).await;
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(webhook = %name, %error, "no alert can be taken");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.raised.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn try_one(&self, webhook: &mut Webhook, delivery: &Delivery) {
        let clock = self.driver.clock();
        let sent = webhook.send(&delivery.alert, clock.now()).await;
        let now = clock.now();
        let noted = match sent {
            Ok(()) => {
                self.metrics.alert(AlertOutcome::Sent);
                in_time(WORK_MAX, self.outbox.delivered(delivery, now)).await
            }
            Err(not_sent) => {
                let made_at = delivery.alert.at;
                let next = retry::next_try(delivery.tries, made_at, now, random().seed);
                let next = next.filter(|_| !not_sent.for_good);
                let (webhook, why) = (&delivery.webhook, not_sent.why);
                self.metrics.alert(AlertOutcome::Failed);
                if next.is_none() {
                    self.metrics.alert(AlertOutcome::Dead);
                    tracing::error!(%webhook, alert = %delivery.alert.id, why, "an alert is given up");
                } else if delivery.tries == 1 {
                    tracing::warn!(%webhook, alert = %delivery.alert.id, why, "an alert isn't taken; it is tried again");
                }
                let noted = self.outbox.not_delivered(delivery, &why, next, now);
                in_time(WORK_MAX, noted).await
            }
        };
        if let Err(error) = noted {
            // Its lease ends, and it is tried again under the same id.
            tracing::debug!(%error, "what came of an alert can't be kept");
        }
    }

    async fn forget(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let now = self.driver.clock().now();
            if let Err(error) = in_time(WORK_MAX, self.outbox.forget(now)).await {
                tracing::debug!(%error, "alerts that are over can't be forgotten yet");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
