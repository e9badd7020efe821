//! The admin runtime: one thread of its own for probes, scrapes and traces, from
//! which the configuration is read anew.

use super::health;
use super::keys;
use super::reload::{Origin, Reloader};
use super::reports::database;
use crate::accounts::withdrawals::Withdrawals;
use crate::admin::{
    self, Access, AccountsApi, AdminState, AlertsApi, ConfigurationApi, LimitsApi, ReloadApi,
    UsageApi,
};
use crate::config::{Address, Config, Process, Secret};
use crate::driver::Driver;
use crate::telemetry::metrics::{Listener, Metrics};
use crate::telemetry::readiness::Readiness;
use crate::telemetry::traces::Traces;
use crate::transport::{Follow, Incoming, TransportError};
use anyhow::Context;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How long reports that are being made may take once the thread ends.
const REPORTS_END_MAX: Duration = Duration::from_secs(1);

/// A running admin runtime.
pub(super) struct AdminThread {
    traces: Option<Arc<Traces>>,
    driver: Arc<OnceLock<Arc<Driver>>>,
    withdrawals: Arc<Withdrawals>,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl AdminThread {
    /// Opens the admin port and starts the thread; traces too, where configured.
    pub fn start(
        config: &Config,
        origin: Origin,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("can't start the admin runtime")?;
        let (incoming, follow) = open(&runtime, &config.listen.admin, Listener::Admin, metrics)
            .context("listen.admin")?;
        let health = config.listen.health.as_ref();
        let health = health.map(|address| open(&runtime, address, Listener::Health, metrics));
        let health = health.transpose().context("listen.health")?;
        let health = tell_health(health, Arc::clone(readiness));
        let traces = traces(config, metrics, &runtime)?;
        let driver = Arc::default();
        let withdrawals = keys::withdrawals(config)?;
        let (reload, asks) = ReloadApi::new();
        let state = state(config, metrics, readiness, &driver, reload, &withdrawals);
        let reloader = {
            let _within = runtime.enter();
            Reloader::new(config, origin, state.clone(), asks, Arc::clone(&driver))
                .context("can't wait for signals")?
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let thread = std::thread::Builder::new()
            .name("weir-admin".into())
            .spawn(move || {
                let serve = admin::serve(incoming, state, stopped);
                runtime.block_on(async {
                    tokio::select! {
                        () = serve => {}
                        () = follow.run() => {}
                        () = reloader.run() => {}
                        () = health => {}
                    }
                });
                // A report may still be made, or a configuration read; nobody waits
                // for it any more.
                runtime.shutdown_timeout(REPORTS_END_MAX);
            })
            .context("can't start the admin thread")?;
        Ok(Self {
            traces,
            driver,
            withdrawals,
            stop,
            thread,
        })
    }

    /// What it was asked to withdraw while the database was away.
    pub fn withdrawals(&self) -> &Arc<Withdrawals> {
        &self.withdrawals
    }

    pub fn traces(&self) -> Option<Arc<Traces>> {
        self.traces.clone()
    }

    /// From now on it can be asked how limits stand.
    pub fn tell_of(&self, driver: &Arc<Driver>) {
        // It is told once.
        let _ = self.driver.set(Arc::clone(driver));
    }

    /// Sends the last spans, which needs the runtime, and then ends it.
    pub fn stop(self) {
        if let Some(traces) = &self.traces {
            traces.shutdown();
        }
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the admin thread failed");
        }
    }
}

/// An address, and what follows its certificates.
fn open(
    runtime: &Runtime,
    address: &Address,
    listener: Listener,
    metrics: &Arc<Metrics>,
) -> Result<(Incoming, Follow), TransportError> {
    let incoming = runtime.block_on(Incoming::open(address, listener, &Process, metrics))?;
    let tls = incoming.tls().cloned().into_iter().collect();
    let follow = Follow::new(tls, listener, Arc::new(Process), Arc::clone(metrics));
    Ok((incoming, follow))
}

/// For as long as it is waited for, where it is asked for.
async fn tell_health(health: Option<(Incoming, Follow)>, readiness: Arc<Readiness>) {
    match health {
        Some((incoming, follow)) => {
            tokio::join!(health::serve_alone(incoming, readiness), follow.run());
        }
        None => std::future::pending().await,
    }
}

/// What the pages show of a process that starts with this configuration.
pub(super) fn state(
    config: &Config,
    metrics: &Arc<Metrics>,
    readiness: &Arc<Readiness>,
    driver: &Arc<OnceLock<Arc<Driver>>>,
    reload: ReloadApi,
    withdrawals: &Arc<Withdrawals>,
) -> AdminState {
    let token = config.listen.admin_token.as_ref();
    let store = config.ledger.as_ref().and_then(database);
    let peppers = config.snapshot.keys.peppers.clone();
    let accounts = AccountsApi::new(store.clone(), peppers, Arc::clone(withdrawals));
    let access = Access::new(token.map(Secret::expose), &config.admin, accounts.clone());
    AdminState {
        metrics: Arc::clone(metrics),
        readiness: Arc::clone(readiness),
        usage: UsageApi::new(store),
        limits: LimitsApi::new(Arc::clone(driver)),
        access: Arc::new(access),
        accounts,
        alerts: AlertsApi::new(&config.alerts),
        configuration: ConfigurationApi::new(config),
        reload,
    }
}

fn traces(
    config: &Config,
    metrics: &Arc<Metrics>,
    runtime: &Runtime,
) -> anyhow::Result<Option<Arc<Traces>>> {
    let Some(otlp) = &config.telemetry.otlp else {
        return Ok(None);
    };
    let (endpoint, name) = (&otlp.endpoint, &otlp.service_name);
    let traces = Traces::start(endpoint, name, Arc::clone(metrics), runtime.handle());
    Ok(Some(Arc::new(traces.context("telemetry.otlp")?)))
}
