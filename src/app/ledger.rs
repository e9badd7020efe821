//! The ledger: its spool, the relays that carry its rows out on a thread of
//! their own, and what an earlier process left open in it.

mod measure;
mod postgres;
mod retention;

use super::receivers;
use crate::config::{LedgerConfig, LedgerDurability, SqliteSettings};
use crate::driver::clock::{self, Clock};
use crate::driver::{Driver, LedgerSource};
use crate::exchange::OpenCall;
use crate::ledger::faults::{self, die};
use crate::ledger::relay::{Relay, Watch};
use crate::ledger::sink::Sink;
use crate::ledger::sinks::file::{FileConfig, FileSink};
use crate::ledger::spool::{
    Durability, Health, Interrupted, Opened, SEGMENT_BYTES, Spool, SpoolConfig,
};
use crate::ledger::store::{Store, StoreConfig};
use crate::limits::HoldId;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use anyhow::Context;
use measure::Counting;
use postgres::Postgres;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the relays may take, at the end, for what is on their way.
const RELAYS_END_MAX: Duration = Duration::from_secs(5);

/// A running ledger.
pub(super) struct Ledger {
    spool: Arc<Spool>,
    sqlite: Option<StoreConfig>,
    postgres: Option<StoreConfig>,
    interrupted: Vec<Interrupted>,
    /// Cancelled when the disk failed: the process must end.
    failed: CancellationToken,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Ledger {
    /// Opens the spool and the sinks, and starts the relays.
    pub fn start(
        config: &LedgerConfig,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> anyhow::Result<Self> {
        let failed = CancellationToken::new();
        let opened = open_spool(config, readiness, &failed)?;
        let Opened {
            spool,
            interrupted,
            lost_bytes,
        } = opened;
        metrics.ledger_lost(lost_bytes);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("can't start the ledger's runtime")?;
        let stop = CancellationToken::new();
        let watch = Arc::new(Counting::of(metrics));
        let relays = Relays {
            config,
            spool: &spool,
            watch: Arc::clone(&watch),
            stop: &stop,
            runtime: &runtime,
        };
        let (relays, mut upkeep) = relays.start()?;
        let measured = measure::measure(spool.size(), config.spool_bytes_max, watch);
        upkeep.spawn_on(measured, runtime.handle());
        let thread = std::thread::Builder::new()
            .name("weir-ledger".into())
            .spawn(move || {
                runtime.block_on(relays.join_all());
                drop(upkeep);
            })
            .context("can't start the ledger's thread")?;
        Ok(Self {
            spool: Arc::new(spool),
            sqlite: config.sqlite.as_ref().map(sqlite),
            postgres: config
                .postgres
                .as_ref()
                .map(|settings| StoreConfig::Postgres(postgres::config(settings))),
            interrupted,
            failed,
            stop,
            thread,
        })
    }

    pub fn spool(&self) -> Arc<Spool> {
        Arc::clone(&self.spool)
    }

    /// Records what the last process left open, and tells the driver where counters
    /// are rebuilt from. Resolved when the disk has failed.
    pub fn go_on(&mut self, driver: &Arc<Driver>) -> CancellationToken {
        self.record_interrupted(driver);
        if let Some(source) = self.source(driver.counters().is_remote()) {
            driver.rebuild_from(source);
        }
        self.failed.clone()
    }

    /// Where counters are rebuilt from: the rows of those who count in the same store.
    /// Of memory these are this sidecar's own; of a store in common, everybody's
    /// where they are in one database, else each tells of its own.
    fn source(&self, counters_in_common: bool) -> Option<LedgerSource> {
        let store = match counters_in_common {
            true => self.postgres.as_ref().or(self.sqlite.as_ref()),
            false => self.sqlite.as_ref(),
        };
        store.map(|store| LedgerSource {
            store: store.clone(),
            spool: Arc::clone(&self.spool),
        })
    }

    /// Records the calls that were open when the last process died: what they used
    /// is not known, so the most that they could use is charged.
    fn record_interrupted(&mut self, driver: &Arc<Driver>) {
        let interrupted = std::mem::take(&mut self.interrupted);
        if !interrupted.is_empty() {
            let calls = interrupted.len();
            tracing::warn!(
                calls,
                "calls were open when weir last ended; they are recorded as estimated"
            );
        }
        for call in interrupted {
            let context = std::str::from_utf8(&call.context).ok();
            if let Some(open) = context.and_then(OpenCall::from_json) {
                driver.settle_interrupted(&open);
                die("die::interrupted");
            } else if let Some(open) = context.and_then(OpenCall::from_json_unpriced) {
                tracing::error!(id = %call.id, "the price of an open call in the ledger can't be read; its row has none");
                driver.record_interrupted(&open);
            } else {
                tracing::error!(id = %call.id, "an open call in the ledger can't be read; it is dropped");
                driver.recorder().forget(call.id);
            }
        }
    }

    /// After the spool was closed: the relays carry out what they can in time.
    /// The rest waits in the spool for the next process.
    pub fn finish(self) {
        // Where weir never came to serve, nobody else has closed it.
        drop(self.spool);
        let begun = clock::Clock::start();
        let end = begun.instant() + RELAYS_END_MAX;
        while !self.thread.is_finished() && begun.instant() < end {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the ledger's thread failed");
        }
    }
}

fn sqlite(settings: &SqliteSettings) -> StoreConfig {
    StoreConfig::Sqlite {
        path: settings.path.clone(),
    }
}

fn open_spool(
    config: &LedgerConfig,
    readiness: &Arc<Readiness>,
    failed: &CancellationToken,
) -> anyhow::Result<Opened> {
    let spool = SpoolConfig {
        path: config.path.clone(),
        durability: match config.durability {
            LedgerDurability::Strict => Durability::Strict,
            LedgerDurability::Relaxed => Durability::Relaxed,
        },
        bytes_max: config.spool_bytes_max,
        segment_bytes: faults::segment_bytes(SEGMENT_BYTES),
        sinks: config.sinks(),
    };
    let (readiness, failed) = (Arc::clone(readiness), failed.clone());
    let tell = Box::new(move |health| tell(&health, &readiness, &failed));
    let random = HoldId::new(Clock::start().now(), &clock::random().id);
    Spool::open(&spool, random.0, tell).context("ledger")
}

fn tell(health: &Health, readiness: &Readiness, failed: &CancellationToken) {
    readiness.set_ledger(*health == Health::Well);
    match health {
        Health::Well => tracing::info!("the ledger takes calls again"),
        Health::NoRoom(error) => {
            tracing::error!(
                error,
                "the ledger's disk takes nothing; no call is admitted until it does"
            );
        }
        Health::Behind { bytes } => tracing::error!(
            bytes,
            "the ledger's spool is full, as a sink is behind; no call is admitted until it has caught up"
        ),
        Health::Failed(error) => {
            tracing::error!(
                error,
                "a sync of the ledger failed: what is on disk isn't known; weir ends"
            );
            failed.cancel();
        }
    }
}

/// What the relays are made of.
struct Relays<'a> {
    config: &'a LedgerConfig,
    spool: &'a Spool,
    watch: Arc<Counting>,
    stop: &'a CancellationToken,
    runtime: &'a Runtime,
}

impl Relays<'_> {
    /// The relays, and what goes on beside them for as long as they do.
    fn start(&self) -> anyhow::Result<(JoinSet<()>, JoinSet<()>)> {
        let (mut relays, mut upkeep) = (JoinSet::new(), JoinSet::new());
        if let Some(sqlite) = &self.config.sqlite {
            let store = self.runtime.block_on(Store::open(&self::sqlite(sqlite)));
            let store = store.context("ledger.sqlite")?;
            upkeep.spawn_on(
                retention::retain(store.clone(), sqlite.retention),
                self.runtime.handle(),
            );
            self.relay(store, &mut relays)?;
        }
        if let Some(postgres) = &self.config.postgres {
            let sink = Postgres::new(postgres);
            self.relay(sink, &mut relays)?;
        }
        if let Some(file) = &self.config.file {
            let sink = FileSink::open(FileConfig {
                path: file.path.clone(),
                sync: file.sync,
                links: file.links,
                dead_letters_folder: self.config.path.clone(),
            });
            self.relay(sink.context("ledger.file")?, &mut relays)?;
        }
        if let Some(otlp) = &self.config.otlp {
            let sink = receivers::otlp(otlp, &self.config.path);
            self.relay(sink.context("ledger.otlp")?, &mut relays)?;
        }
        if let Some(cloudevents) = &self.config.cloudevents {
            let sink = receivers::cloudevents(cloudevents, &self.config.path);
            self.relay(sink.context("ledger.cloudevents")?, &mut relays)?;
        }
        Ok((relays, upkeep))
    }

    fn relay(&self, sink: impl Sink + 'static, relays: &mut JoinSet<()>) -> anyhow::Result<()> {
        let reader = self.spool.reader(sink.name()).context("ledger")?;
        let watch = Arc::clone(&self.watch) as Arc<dyn Watch>;
        let relay = Relay::new(reader, sink, watch, self.stop.clone());
        relays.spawn_on(relay.run(), self.runtime.handle());
        Ok(())
    }
}
