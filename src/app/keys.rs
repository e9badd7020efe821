//! Follows the keys that are kept in the ledger's database: what is made or
//! withdrawn there counts here within a second or two.
//!
//! Always holds: while the database is away, what was read last counts, for
//! `identity.stale_max` at most; then stored keys are refused, as nobody knows
//! which of them still count. A sidecar that starts meanwhile goes on from the copy
//! that the last one left. What is withdrawn while the database is away counts no
//! more here, after a restart too, and the database is told when it is back. Nothing
//! here makes a call wait: it has a thread of its own.
//!
//! | module | for |
//! |---|---|
//! | [`allowed`] | grants, denials and top-ups, in the same way |
//! | [`announced`] | what is withdrawn by way of the counter store, while the database is away |
//! | [`apply`] | what is read, in the snapshot that calls are judged by |
//! | [`asked`] | what calls ask approval for, written there |
//! | [`copies`] | the files beside the spool |
//! | [`late`] | what was withdrawn without the database, until it is told |
//! | [`used`] | when keys were used, written back |
//! | [`watch`] | what can't wait for the database |

mod allowed;
mod announced;
mod apply;
mod asked;
mod copies;
mod late;
mod used;
mod watch;

pub use apply::carry_over;
pub(super) use late::withdrawals;

use super::reports::database;
use crate::accounts::approvals::asker::Asker;
use crate::accounts::follow::{self, Load};
use crate::accounts::withdrawals::Withdrawals;
use crate::accounts::{Accounts, AccountsError};
use crate::config::{AlertsConfig, Config, LedgerConfig};
use crate::driver::Driver;
use crate::identity::{Change, KeyTable, KeyTableBuilder};
use crate::ledger::store::{StoreConfig, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::units::Millis;
use anyhow::Context;
use asked::Writing;
use copies::Copies;
use late::keep;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use used::Used;
use watch::{ReadAt, Watch};

/// A key that is withdrawn counts nowhere five seconds later: this and the time
/// that reading takes.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// A database that takes longer is away.
const POLL_TIMEOUT: Duration = Duration::from_secs(3);

/// Nobody is served before all keys were read, or the copy of them: a few seconds
/// for a million.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may take.
const CONNECT_TIMEOUT: Millis = Millis(2_000);

/// Two connections: one reads, one writes back.
const CONNECTIONS: u32 = 2;

/// The most changes that are read at once.
const CHANGES_MAX: usize = 4_096;

/// How long the last writing back may take.
const LAST_WRITE_MAX: Duration = Duration::from_millis(1_500);

/// What is followed, and for whom.
pub(super) struct Following {
    store: StoreConfig,
    folder: PathBuf,
    withdrawals: Arc<Withdrawals>,
    stale_max: Millis,
    alerts: Arc<AlertsConfig>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// The thread that follows.
pub(super) struct Keys {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Following {
    /// `None` where the ledger has no database.
    pub fn of(
        config: &Config,
        withdrawals: &Arc<Withdrawals>,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Option<Self> {
        let ledger: &LedgerConfig = config.ledger.as_ref()?;
        let mut store = database(ledger)?;
        if let StoreConfig::Postgres(postgres) = &mut store {
            postgres.connect_timeout = CONNECT_TIMEOUT;
            postgres.connections_max = CONNECTIONS;
        }
        Some(Self {
            store,
            folder: ledger.path.clone(),
            withdrawals: Arc::clone(withdrawals),
            stale_max: config.keys_stale_max,
            alerts: Arc::clone(&config.alerts),
            metrics: Arc::clone(metrics),
            readiness: Arc::clone(readiness),
        })
    }

    /// Starts the thread; returns when the keys are known, or that nobody can tell.
    async fn start(self, driver: &Arc<Driver>) -> anyhow::Result<Keys> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("can't start the runtime of the keys")?;
        let stop = CancellationToken::new();
        let (known, is_known) = oneshot::channel();
        let mut follower = Follower::new(self, Arc::clone(driver));
        let (asker, waiting) = Asker::new();
        driver.recorder().ask_through(asker);
        let writing = Writing {
            waiting,
            accounts: Arc::clone(&follower.accounts),
            driver: Arc::clone(driver),
            alerts: Arc::clone(&follower.of.alerts),
            metrics: Arc::clone(&follower.of.metrics),
        };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("weir-keys".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::join!(follower.run(known, &stopped), writing.run(&stopped));
                    follower.finish().await;
                });
                // A file may still be being written.
                runtime.shutdown_timeout(LAST_WRITE_MAX);
            })
            .context("can't start the thread of the keys")?;
        is_known.await.context("the thread of the keys ended")?;
        Ok(Keys { stop, thread })
    }
}

/// Where keys are followed, starts to; see [`Following::start`].
pub(super) async fn start(
    following: Option<Following>,
    driver: &Arc<Driver>,
) -> anyhow::Result<Option<Keys>> {
    match following {
        Some(following) => following.start(driver).await.map(Some),
        None => Ok(None),
    }
}

/// Writes back what is left, in bounded time.
pub(super) fn finish(keys: Option<Keys>) {
    let Some(Keys { stop, thread }) = keys else {
        return;
    };
    stop.cancel();
    if thread.join().is_err() {
        tracing::error!("the thread of the keys failed");
    }
}

struct Follower {
    of: Following,
    driver: Arc<Driver>,
    /// There once the database was reached.
    accounts: Arc<OnceLock<Accounts>>,
    /// The database that was read.
    database: Arc<str>,
    /// The last change that is known.
    changed: i64,
    read_at: ReadAt,
    /// Whether it has been said that the database is away.
    is_away: bool,
    copies: Copies,
    used: Used,
    allowed: allowed::Following,
}

impl Follower {
    fn new(of: Following, driver: Arc<Driver>) -> Self {
        Self {
            copies: Copies::new(of.folder.clone()),
            allowed: allowed::Following::new(&of.folder, &of.withdrawals),
            of,
            driver,
            accounts: Arc::default(),
            database: Arc::default(),
            changed: 0,
            read_at: ReadAt::default(),
            is_away: false,
            used: Used::default(),
        }
    }

    async fn run(&mut self, known: oneshot::Sender<()>, stop: &CancellationToken) {
        let mut watch = Watch::new(&self.of, &self.driver, &self.read_at);
        if let Err(error) = self.load().await {
            self.away(&error);
            self.go_on_from_copy();
        }
        watch.round().await;
        // Whoever waits for it may have ended.
        let _ = known.send(());
        tokio::select! {
            () = self.read_on(stop) => {}
            () = watch.run() => {}
        }
    }

    /// Writes back what is left.
    async fn finish(&mut self) {
        let last = async {
            if let Some(accounts) = self.accounts.get() {
                let (now, snapshot) = (self.driver.clock().now(), self.driver.snapshot());
                self.used.write(accounts, &snapshot.keys.stored, now).await;
                accounts.close().await;
            }
        };
        let _ = tokio::time::timeout(LAST_WRITE_MAX, last).await;
    }

    /// Until it is told to stop.
    async fn read_on(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_EVERY) => {}
            }
            let polled = tokio::select! {
                () = stop.cancelled() => return,
                polled = self.poll() => polled,
            };
            match polled {
                Ok(()) => self.is_away = false,
                Err(error) => self.away(&error),
            }
            let (now, table) = (self.driver.clock().now(), self.driver.snapshot());
            let (table, read_at) = (&table.keys.stored, self.read_at.get());
            self.copies
                .keep(&self.database, self.changed, read_at, table);
            self.allowed.keep(&self.driver);
            if let Some(accounts) = self.accounts.get() {
                self.used.write_in_time(accounts, table, now);
            }
        }
    }

    /// Reads all keys, and all that is allowed.
    async fn load(&mut self) -> Result<(), AccountsError> {
        in_time(LOAD_TIMEOUT, self.load_whole()).await
    }

    async fn load_whole(&mut self) -> Result<(), AccountsError> {
        let accounts = match self.accounts.get() {
            Some(accounts) => accounts.clone(),
            None => Accounts::open(&self.of.store).await?,
        };
        let read_at = self.driver.clock().now();
        let mut load = accounts.load().await?;
        let table = read_table(&mut load).await?;
        let (database, changed) = (Arc::clone(load.database()), load.changed());
        drop(load);
        // First, as what follows is true only where both were read.
        self.allowed.load(&accounts, &self.driver).await?;
        let withdrawals = &self.of.withdrawals;
        if withdrawals.hold_against(|id| table.by_id(id).is_some()) {
            keep(withdrawals);
        }
        apply::whole(&self.driver, table, withdrawals);
        self.database = database;
        self.changed = changed;
        self.read_at.set(read_at);
        // The same is there already, or this is it.
        let _ = self.accounts.set(accounts);
        self.copies.begin_anew();
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), AccountsError> {
        let Some(accounts) = self.accounts.get().cloned() else {
            return self.load().await;
        };
        loop {
            let read_at = self.driver.clock().now();
            let changes = accounts.changes(self.changed, CHANGES_MAX);
            let changes = in_time(POLL_TIMEOUT, changes).await?;
            // Another database, or the same at an earlier time.
            let known = self.changed.max(self.allowed.known());
            if changes.database != self.database || changes.head < known {
                tracing::warn!(
                    "the database of the keys is another than before; all are read anew"
                );
                return self.load().await;
            }
            let more = changes.keys.len() >= CHANGES_MAX;
            if let Some(last) = changes.keys.last() {
                self.changed = follow::changed_of(last);
                let changes = changes.keys.iter().map(change);
                let changes = self.of.withdrawals.without_those_of(changes.collect());
                self.copies.add(&changes);
                apply::changes(&self.driver, changes);
            }
            if !more {
                self.read_at.set(read_at);
                let head = changes.head;
                self.allowed.follow(head, &accounts, &self.driver).await?;
                return late::tell(&accounts, &self.of.withdrawals).await;
            }
        }
    }

    fn go_on_from_copy(&mut self) {
        self.allowed.go_on_from_copy(&self.driver);
        match copies::read(&self.of.folder) {
            Ok(Some(copy)) => {
                tracing::warn!(
                    keys = copy.table.len(),
                    "the keys of an earlier process count until the database answers"
                );
                apply::whole(&self.driver, copy.table, &self.of.withdrawals);
                // A clock that was set back makes nothing younger than it is.
                self.read_at
                    .set(copy.read_at.min(self.driver.clock().now()));
            }
            Ok(None) => {
                tracing::warn!(
                    "no copy of the keys is there: stored keys are refused until the database answers"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "the copy of the keys can't be read: stored keys are refused until the database answers");
            }
        }
    }

    fn away(&mut self, error: &AccountsError) {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(%error, "the database of the keys is away; those that are known count");
        }
    }
}

/// What takes too long is away.
pub(super) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, AccountsError>>,
) -> Result<T, AccountsError> {
    let late = || AccountsError::Database(StoreError::Away("no answer in time".to_owned()));
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(late()))
}

async fn read_table(load: &mut Load) -> Result<KeyTable, AccountsError> {
    let mut builder = KeyTableBuilder::with_capacity(load.count);
    loop {
        let keys = load.next().await?;
        if keys.is_empty() {
            let table = builder.build();
            return table.map_err(|_| AccountsError::Unreadable("two keys have one secret"));
        }
        for key in &keys {
            if let Change::Put(key) = change(key) {
                builder.push(key);
            }
        }
    }
}

/// One that isn't understood counts no more: what it may is not known.
fn change(key: &Result<crate::accounts::StoredKey, follow::Unread>) -> Change {
    match key {
        Ok(key) => key.change(),
        Err(unread) => {
            tracing::error!(key = %unread.id, "a stored key can't be read; it doesn't count");
            Change::Remove(Arc::clone(&unread.id))
        }
    }
}

#[cfg(test)]
mod tests;
