//! Dropping rows of the ledger that have been kept for long enough.

use crate::driver::clock::Clock;
use crate::ledger::store::Store;
use crate::units::Millis;
use std::time::Duration;

/// How often rows are looked for that may go.
const EVERY: Duration = Duration::from_secs(3_600);

/// Runs until it is dropped.
pub(super) async fn retain(store: Store, retention: Millis) {
    let clock = Clock::start();
    loop {
        let before = clock.now() - retention;
        if let Err(error) = store.drop_before(before).await {
            tracing::warn!(%error, "rows of the ledger that have been kept for long enough can't be dropped yet");
        }
        tokio::time::sleep(EVERY).await;
    }
}
