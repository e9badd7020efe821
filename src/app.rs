//! Wiring: from a configuration to a running process and back down.
//!
//! Runtimes of their own, so that a slow scrape never slows a call: the data runtime
//! serves Envoy; the admin runtime, on a thread of its own, serves health for probes,
//! readiness and metrics, carries traces out, and has the configuration read anew. The ledger has two threads of
//! its own, one that writes its spool and one that carries its rows out; keys that
//! are kept in its database are followed on another, and alerts are sent from one more.
//!
//! Going down: readiness and gRPC health turn first; new streams are still taken for
//! `shutdown_delay`, in which those who spread calls look elsewhere, then refused;
//! open calls have `drain_timeout` to end, what is left is settled and cut, and the
//! ledger is closed last.

mod admin_thread;
mod alerts;
mod grpc;
mod health;
pub mod keys;
mod learned;
mod ledger;
mod receivers;
mod reload;
pub mod replay;
pub mod reports;
mod shutdown;
mod signals;
mod vocabularies;

pub use reload::Origin;
pub use signals::Hearing;

use crate::config::{
    Config, CountersConfig, ExtAuthzLimits, RedisServers, Secret, Server, UpstreamAuthorization,
};
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::counters::redis::{Redis, RedisConfig, Servers};
use crate::driver::{Driver, Leases, Merge, Rebuild, Recorder, Upkeep};
use crate::exchange::Settings;
use crate::limits::share::OnCounterFailure;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::units::Millis;
use admin_thread::AdminThread;
use alerts::{Alerts, Telling};
use anyhow::Context;
use grpc::Grpc;
use keys::Following;
use learned::Keeper;
use ledger::Ledger;
use signals::Signals;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the upkeep may take to come to its end.
const UPKEEP_ENDS_MAX: Duration = Duration::from_secs(2);

/// Serves until told to stop; returns when everything is settled and closed. The
/// configuration is read anew from where it came from, as that changes.
pub fn serve(config: Config, origin: Origin, hearing: Hearing) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(&config))
        .thread_name("weir-data")
        .enable_all()
        .build()
        .context("can't start the data runtime")?;
    let Hearing {
        readiness,
        early,
        signals,
    } = hearing;
    let metrics = Arc::new(Metrics::new());
    let admin = AdminThread::start(&config, origin, &metrics, &readiness)?;
    let ledger = config.ledger.as_ref();
    let mut ledger = match ledger {
        Some(ledger) => Some(Ledger::start(ledger, &metrics, &readiness)?),
        None => None,
    };
    let run = run(config, &admin, ledger.as_mut(), metrics, readiness, signals);
    let served = runtime.block_on(async {
        tokio::select! {
            served = run => served,
            Ok(signal) = early => {
                tracing::info!(signal, "told to stop before it was ready");
                Ok(())
            }
        }
    });
    // What is still running is waiting on peers that are gone.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    if let Some(ledger) = ledger {
        ledger.finish();
    }
    admin.stop();
    served
}

/// As configured, else half of the cores: the other half is Envoy's, and
/// threads that take turns on a core cost more than they bring.
fn workers(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    config
        .server
        .workers
        .map_or(cores.div_ceil(2), NonZeroUsize::get)
}

async fn run(
    config: Config,
    admin: &AdminThread,
    ledger: Option<&mut Ledger>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let counters = connect(&config.counters).await?;
    let spool = ledger.as_ref().map(|ledger| ledger.spool());
    let recorder = Recorder::new(spool, Arc::clone(&metrics), admin.traces());
    vocabularies::warm(&config.snapshot).await?;
    let settings = settings(&config);
    let (holds, server) = (config.holds, config.server);
    let following = Following::of(&config, admin.withdrawals(), &metrics, &readiness);
    let telling = Telling::of(&config, &metrics)?;
    let driver = Driver::new(
        Arc::new(config.snapshot),
        settings,
        counters,
        recorder,
        Leases::default(),
        on_failure(&config.counters),
    );
    let keeper = config.learned_path.map(|path| Keeper::start(path, &driver));
    let keys = keys::start(following, &driver).await?;
    let alerts = alerts::start(telling, &driver)?;
    driver.join().await.context("counters.redis")?;
    let failed = ledger.map_or_else(CancellationToken::new, |ledger| ledger.go_on(&driver));
    driver.begin_counting().await.context("counters.redis")?;
    let stop = CancellationToken::new();
    let mut grpc = Grpc::start(&config.listen.grpc, &driver, &readiness, &metrics, &stop).await?;
    grpc.serve_http_authz(&config.listen, &driver, &readiness, &metrics, &stop)
        .await?;
    let mut upkeep = start_upkeep(&driver, &readiness, holds.renew_every, keeper, &stop);
    admin.tell_of(&driver);
    let outcome = going(
        &readiness,
        &failed,
        &mut upkeep,
        &mut grpc,
        server,
        &mut signals,
    )
    .await;
    let drain_max = server.drain_timeout.into();
    shutdown::drain(&driver, &readiness, &mut grpc, &stop, drain_max).await;
    if !upkeep.is_finished() {
        // It may be waiting for a store that is away.
        let _ = tokio::time::timeout(UPKEEP_ENDS_MAX, upkeep).await;
    }
    close(&driver, keys, alerts).await;
    outcome
}

/// Until the process is told to stop and has gone on for as long as it must then, or
/// can't go on.
async fn going(
    readiness: &Readiness,
    failed: &CancellationToken,
    upkeep: &mut JoinHandle<()>,
    grpc: &mut Grpc,
    server: Server,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    readiness.set_started();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    let mut broken = std::pin::pin!(async {
        tokio::select! {
            () = failed.cancelled() => anyhow::anyhow!("the ledger's disk failed"),
            _ = upkeep => anyhow::anyhow!("the upkeep ended by itself"),
            ended = grpc.ended() => ended.err().unwrap_or_else(|| anyhow::anyhow!("a server ended by itself")),
        }
    });
    let signal = tokio::select! {
        signal = signals.next() => signal,
        error = &mut broken => return Err(error),
    };
    readiness.set_leaving();
    let delay: Duration = server.shutdown_delay.into();
    if !delay.is_zero() {
        tracing::info!(
            signal,
            ?delay,
            "going down: calls are still taken, and should go elsewhere"
        );
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            signal = signals.next() => tracing::info!(signal, "going down without waiting longer"),
            error = broken => return Err(error),
        }
    }
    tracing::info!(signal, "draining");
    Ok(())
}

async fn close(driver: &Driver, keys: Option<keys::Keys>, alerts: Option<Alerts>) {
    driver.record_unanswered();
    keys::finish(keys);
    alerts::finish(alerts);
    driver.recorder().close().await;
    tracing::info!("stopped");
}

/// Starts what must happen at intervals; resolves when that has ended.
#[expect(clippy::disallowed_methods, reason = "all are awaited by the caller")]
fn start_upkeep(
    driver: &Arc<Driver>,
    readiness: &Arc<Readiness>,
    renew_every: Millis,
    keeper: Option<Keeper>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let upkeep = Upkeep::new(Arc::clone(driver), Arc::clone(readiness), renew_every);
    let upkeep = upkeep.run(stop.clone());
    let merge = Merge::new(Arc::clone(driver)).run(stop.clone());
    let rebuild = Rebuild::new(Arc::clone(driver)).run(stop.clone());
    let stop = stop.clone();
    tokio::spawn(async move {
        // On tasks of their own: none waits for another.
        let mut all = tokio::task::JoinSet::new();
        all.spawn(upkeep);
        all.spawn(merge);
        all.spawn(rebuild);
        if let Some(keeper) = keeper {
            all.spawn(keeper.run(stop.clone()));
        }
        // One that ends by itself is as bad as all.
        all.join_next().await;
        while stop.is_cancelled() && all.join_next().await.is_some() {}
    })
}

fn on_failure(config: &CountersConfig) -> OnCounterFailure {
    match config {
        CountersConfig::Memory => OnCounterFailure::Deny,
        CountersConfig::Redis(settings) => settings.on_failure,
    }
}

/// Connects to the store of counters.
pub async fn connect(config: &CountersConfig) -> anyhow::Result<Counters> {
    match config {
        CountersConfig::Memory => Ok(Counters::Memory(Memory::default())),
        CountersConfig::Redis(settings) => {
            let all = |urls: &[Secret]| urls.iter().map(|url| url.expose().to_owned()).collect();
            let config = RedisConfig {
                servers: match &settings.servers {
                    RedisServers::Single(url) => Servers::Single {
                        url: url.expose().to_owned(),
                    },
                    RedisServers::Cluster(urls) => Servers::Cluster { urls: all(urls) },
                    RedisServers::Sentinel { urls, master } => Servers::Sentinel {
                        urls: all(urls),
                        master: master.clone(),
                    },
                },
                username: settings.username.clone(),
                password: settings.password.as_ref().map(|p| p.expose().to_owned()),
                ca_pem: settings.ca_pem.clone(),
                response_timeout: settings.response_timeout,
                connect_timeout: settings.connect_timeout,
            };
            let redis = Redis::connect(&config).await;
            Ok(Counters::Redis(Box::new(redis.context("counters.redis")?)))
        }
    }
}

/// What holds for every exchange by a configuration.
pub fn settings(config: &Config) -> Settings {
    Settings {
        body_bytes_max: config.server.body_bytes_max,
        keep_authorization: config.server.upstream_authorization == UpstreamAuthorization::Keep,
        ietf_rate_limit_headers: config.server.ietf_rate_limit_headers,
        quota_status: config.server.quota_status,
        trust_ext_authz: config.trust_ext_authz,
        count_checks: config.server.ext_authz_limits == ExtAuthzLimits::Requests,
        hold_ttl: config.holds.ttl,
        lease_ttl: config.holds.lease_ttl,
        handover_max: config.holds.handover,
    }
}
