//! Room for bodies, all of those together that are held at a time.
//!
//! Always holds: a body is read only once there is room for all of it, and has that
//! until its call is judged; whoever waits in vain is told so.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For all bodies together, or for one that is larger: some hundred long prompts.
pub const BODIES_BYTES_MAX: usize = 256 << 20;

/// A body waits for others to be judged, which takes milliseconds. Less than a
/// gateway waits for its answer.
pub const WAIT_MAX: Duration = Duration::from_millis(400);

/// Room is given in such pieces, so that their number fits.
const PIECE_BYTES: usize = 1024;

/// Room that bodies share.
#[derive(Debug, Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    wait_max: Duration,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    _pieces: OwnedSemaphorePermit,
}

impl Room {
    /// For bodies of at most so many bytes each.
    pub fn new(body_bytes_max: usize) -> Self {
        Self::of(BODIES_BYTES_MAX.max(body_bytes_max), WAIT_MAX)
    }

    pub fn of(bytes: usize, wait_max: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(bytes.div_ceil(PIECE_BYTES))),
            wait_max,
        }
    }

    /// Room for a body; `None` where there is none in time.
    pub async fn take(&self, bytes: usize) -> Option<Taken> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).ok()?;
        let taken = Arc::clone(&self.free).acquire_many_owned(pieces);
        let taken = tokio::time::timeout(self.wait_max, taken).await;
        Some(Taken {
            _pieces: taken.ok()?.ok()?,
        })
    }
}
