//! What the kernel tells the process: to stop; and, where it is the first of its PID
//! namespace, as in a container, that an orphan ended.
//!
//! Always holds: no signal to stop is lost from the moment on at which [`Hearing`]
//! begins, which is the first thing that `weir serve` does. That is for a first process
//! to see to: the kernel drops what it doesn't listen for. One that comes while weir
//! starts counts as soon as what is being opened is open.
//! Orphans that ended are reaped while weir starts, serves and drains; one that isn't
//! the first process of its namespace is told of none, and doesn't listen.
//!
//! weir starts no processes, so nothing else waits for one that ends here.

use crate::telemetry::readiness::Readiness;
use rustix::process::{WaitOptions, getpid, wait};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// So many signals may wait to be heard: who has not heard as many is told nothing
/// new by another.
const UNHEARD_MAX: usize = 8;

/// What is listened for.
struct Listener {
    terminate: Signal,
    interrupt: Signal,
    /// Where this process is who orphans are given to.
    children: Option<Signal>,
    told: mpsc::Sender<&'static str>,
}

/// The signals to stop that came since weir was ready.
pub(super) struct Signals(mpsc::Receiver<&'static str>);

/// Signals, heard by a thread of its own for as long as the process runs.
pub struct Hearing {
    pub(super) readiness: Arc<Readiness>,
    /// One that came before weir was ready, with its name: nothing is open then.
    pub(super) early: oneshot::Receiver<&'static str>,
    pub(super) signals: Signals,
}

impl Hearing {
    /// Begins to listen.
    ///
    /// # Errors
    /// There is no thread or no file descriptor left for it.
    pub fn begin() -> std::io::Result<Self> {
        let readiness = Arc::new(Readiness::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (listener, signals) = {
            let _within = runtime.enter();
            listen()?
        };
        let (stop, early) = oneshot::channel();
        let known = Arc::clone(&readiness);
        std::thread::Builder::new()
            .name("weir-signals".to_owned())
            .spawn(move || runtime.block_on(listener.pass_on(&known, stop)))?;
        Ok(Self {
            readiness,
            early,
            signals,
        })
    }
}

/// Begins to listen; within a runtime.
fn listen() -> std::io::Result<(Listener, Signals)> {
    let (told, signals) = mpsc::channel(UNHEARD_MAX);
    let children = match getpid().is_init() {
        true => Some(signal(SignalKind::child())?),
        false => None,
    };
    let listener = Listener {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        children,
        told,
    };
    Ok((listener, Signals(signals)))
}

impl Listener {
    /// Passes signals on and reaps. `early` is told of the first that comes before weir
    /// is ready.
    async fn pass_on(mut self, readiness: &Readiness, early: oneshot::Sender<&'static str>) {
        let mut early = Some(early);
        loop {
            let signal = tokio::select! {
                () = next(&mut self.terminate) => "SIGTERM",
                () = next(&mut self.interrupt) => "SIGINT",
                () = child_ended(self.children.as_mut()) => {
                    reap();
                    continue;
                }
            };
            if readiness.has_started() {
                // Full: see there.
                let _ = self.told.try_send(signal);
            } else if let Some(early) = early.take() {
                let _ = early.send(signal);
            }
        }
    }
}

impl Signals {
    /// The next signal to stop: `SIGTERM` or `SIGINT`.
    pub async fn next(&mut self) -> &'static str {
        match self.0.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

async fn next(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending().await
    }
}

async fn child_ended(children: Option<&mut Signal>) {
    match children {
        Some(children) => next(children).await,
        None => std::future::pending().await,
    }
}

/// All that have ended: one signal may stand for several.
fn reap() {
    while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
        tracing::debug!(pid = pid.as_raw_nonzero().get(), "reaped an orphan");
    }
}
