//! Going down in order, so that no call is lost and none passes unseen.

use super::grpc::Grpc;
use crate::driver::Driver;
use crate::telemetry::readiness::Readiness;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long cut sessions may take to settle, and the store to answer what it
/// has not answered before and to be told what it missed.
const CUT_SETTLES_MAX: Duration = Duration::from_secs(5);

/// What asks the process to end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on none is lost.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next SIGTERM or SIGINT; says which.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Lets open calls end, cuts those that take longer than `drain_timeout`, and
/// stops the servers.
pub(super) async fn drain(
    driver: &Driver,
    readiness: &Readiness,
    grpc: &mut Grpc,
    stop: &CancellationToken,
    drain_timeout: Duration,
) {
    readiness.set_draining();
    if tokio::time::timeout(drain_timeout, driver.idle())
        .await
        .is_err()
    {
        tracing::warn!(
            ?drain_timeout,
            "calls are still open; they are settled and cut"
        );
        driver.cut_sessions();
        if tokio::time::timeout(CUT_SETTLES_MAX, driver.idle())
            .await
            .is_err()
        {
            tracing::error!("some calls could not be settled; their holds will expire");
        }
    }
    if tokio::time::timeout(CUT_SETTLES_MAX, driver.settled())
        .await
        .is_err()
    {
        tracing::error!(
            "the counter store did not answer some settlements, or could not be told of calls"
        );
    }
    stop.cancel();
    // Open connections are closed with the process; only the listeners' end is
    // waited for, and not for long.
    let _ = tokio::time::timeout(Duration::from_secs(1), grpc.ended()).await;
}
