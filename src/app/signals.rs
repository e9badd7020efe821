//! What the kernel tells the process: to stop; and, where it is the first of its PID
//! namespace, as in a container, that an orphan ended.
//!
//! Always holds: no signal to stop is lost, also not one that comes while weir starts.
//! That is for a first process to see to: the kernel drops what it doesn't listen for.
//! Orphans that ended are reaped while weir starts, serves and drains; one that isn't
//! the first process of its namespace is told of none, and doesn't listen.
//!
//! weir starts no processes, so nothing else waits for one that ends here.

use crate::telemetry::readiness::Readiness;
use rustix::process::{WaitOptions, getpid, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// So many signals may wait to be heard: who has not heard as many is told nothing
/// new by another.
const UNHEARD_MAX: usize = 8;

/// What is listened for.
pub(super) struct Listener {
    terminate: Signal,
    interrupt: Signal,
    /// Where this process is who orphans are given to.
    children: Option<Signal>,
    told: mpsc::Sender<&'static str>,
}

/// The signals to stop that came since weir was ready.
pub(super) struct Signals(mpsc::Receiver<&'static str>);

/// Begins to listen; within a runtime.
pub(super) fn listen() -> std::io::Result<(Listener, Signals)> {
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
    /// Passes signals on and reaps, for as long as it is waited for. Resolves where one
    /// came before weir was ready, with its name: nothing is open then.
    pub async fn pass_on(mut self, readiness: &Readiness) -> &'static str {
        loop {
            let signal = tokio::select! {
                () = next(&mut self.terminate) => "SIGTERM",
                () = next(&mut self.interrupt) => "SIGINT",
                () = child_ended(self.children.as_mut()) => {
                    reap();
                    continue;
                }
            };
            if !readiness.has_started() {
                return signal;
            }
            // Full: see there.
            let _ = self.told.try_send(signal);
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
