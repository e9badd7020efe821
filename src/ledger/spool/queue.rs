//! Between callers that must not block, the thread that writes, and the relays
//! that read behind it.

use super::batch::{Batch, Entry, Standing, Waiter};
use super::position::Position;
use super::{SpoolError, WAIT_MAX};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// What may wait to be written before callers wait: some thousand records.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// So much more where an intent is only to be ended.
const DROPS_BYTES_MAX: usize = 1024 * 1024;

/// Entries on their way to the disk.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes callers that wait for room or the end.
    progress: Notify,
    synced: watch::Sender<Synced>,
    /// What all segments have on disk.
    size_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    standing: Standing,
    /// Positions of relays, by sink, and whether one has moved.
    positions: HashMap<&'static str, Position>,
    moved: bool,
    /// The thread sleeps and must be woken; while it is busy it looks by itself.
    writer_sleeps: bool,
    closing: bool,
    /// Entries that wait for room and must not be lost.
    owed: usize,
    /// Set by the thread when it is over.
    ended: Option<Standing>,
}

/// Up to where rows may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Synced {
    pub upto: Position,
    /// Nothing more will come.
    pub ended: bool,
}

/// When somebody came to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Now,
    /// It has waited for room since before the queue may have been closed.
    BeforeTheEnd,
}

/// One that waits for room and must not be lost.
struct Owed<'q>(&'q Queue);

impl<'q> Owed<'q> {
    fn new(queue: &'q Queue) -> Result<Self, SpoolError> {
        let mut state = queue.lock();
        if state.closing {
            return Err(SpoolError::Closed);
        }
        state.owed += 1;
        Ok(Self(queue))
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.owed = state.owed.saturating_sub(1);
        // The thread may wait for nobody else.
        if state.closing {
            self.0.wake(state);
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Notify::new(),
            synced: watch::Sender::new(Synced::default()),
            size_bytes: AtomicU64::new(0),
        }
    }
}

impl Queue {
    /// Queues an entry of a call that isn't let through before it is safe, and
    /// waits for that; for room and for the disk together no longer than
    /// [`WAIT_MAX`]. Given up, what is queued is still written.
    pub(super) async fn push_and_wait(
        &self,
        entry: &Entry<'_>,
        for_sync: bool,
    ) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        let mut waiter = Some(Waiter { answer, for_sync });
        let safe = async {
            self.when_there_is_room(entry, &mut waiter, Came::Now)
                .await?;
            said(answered.await.unwrap_or(Standing::Failed))
        };
        let safe = tokio::time::timeout(WAIT_MAX, safe).await;
        safe.unwrap_or(Err(SpoolError::Slow))
    }

    /// Queues an entry if there is room now.
    pub(super) fn push_now(&self, entry: &Entry) -> Result<bool, SpoolError> {
        self.try_push(entry, &mut None, Came::Now)
    }

    /// Queues an entry, once there is room. Whoever waits when the queue is closed
    /// is still waited for.
    pub(super) async fn push(&self, entry: &Entry<'_>) -> Result<(), SpoolError> {
        if self.try_push(entry, &mut None, Came::Now)? {
            return Ok(());
        }
        let _owed = Owed::new(self)?;
        self.when_there_is_room(entry, &mut None, Came::BeforeTheEnd)
            .await
    }

    async fn when_there_is_room(
        &self,
        entry: &Entry<'_>,
        waiter: &mut Option<Waiter>,
        came: Came,
    ) -> Result<(), SpoolError> {
        loop {
            let progress = self.progress.notified();
            if self.try_push(entry, waiter, came)? {
                return Ok(());
            }
            progress.await;
        }
    }

    /// False where there is no room.
    fn try_push(
        &self,
        entry: &Entry,
        waiter: &mut Option<Waiter>,
        came: Came,
    ) -> Result<bool, SpoolError> {
        let mut state = self.lock();
        if state.ended.is_some() || state.closing && came == Came::Now {
            return Err(SpoolError::Closed);
        }
        match (state.standing, entry) {
            (Standing::Failed, _) => return Err(SpoolError::Failed),
            (Standing::Full, Entry::Intent { .. }) => return Err(SpoolError::Full),
            (Standing::Full | Standing::Well, _) => {}
        }
        let most = match entry {
            Entry::Intent { .. } | Entry::Outcome { .. } => QUEUE_BYTES_MAX,
            Entry::Dropped { .. } => QUEUE_BYTES_MAX + DROPS_BYTES_MAX,
        };
        if state.waiting.bytes() > most {
            return Ok(false);
        }
        state.waiting.add(entry);
        state.waiting.waiters.extend(waiter.take());
        self.wake(state);
        Ok(true)
    }

    fn wake(&self, mut state: MutexGuard<State>) {
        let wake = std::mem::take(&mut state.writer_sleeps);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits until all that was pushed before is on disk.
    pub(super) async fn flushed(&self) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.lock();
            if let Some(ended) = state.ended {
                return said(ended);
            }
            let waiter = Waiter {
                answer,
                for_sync: true,
            };
            state.waiting.waiters.push(waiter);
            self.wake(state);
        }
        said(answered.await.unwrap_or(Standing::Failed))
    }

    /// No more pushes; the thread ends when nothing waits, for room neither.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.wake(state);
        self.progress.notify_waiters();
    }

    /// Waits until the thread is over.
    pub(super) async fn ended(&self) -> Result<(), SpoolError> {
        loop {
            let progress = self.progress.notified();
            if let Some(ended) = self.lock().ended {
                return said(ended);
            }
            progress.await;
        }
    }

    /// What waits, for the thread: it sleeps until something does, a relay has
    /// moved, or `most` is over. `None` when the queue is closed and empty.
    pub(super) fn take(&self, spare: Batch, most: Duration) -> Option<Batch> {
        let mut state = self.lock();
        let over = |state: &State| state.closing && state.owed == 0;
        if state.waiting.is_empty() && !state.moved && !over(&state) {
            state.writer_sleeps = true;
            let woken = self.work.wait_timeout(state, most);
            state = woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            state.writer_sleeps = false;
        }
        state.moved = false;
        if state.waiting.is_empty() && over(&state) {
            return None;
        }
        let batch = std::mem::replace(&mut state.waiting, spare);
        drop(state);
        self.progress.notify_waiters();
        Some(batch)
    }

    /// Sleeps before a write is tried again, no longer than until the queue is
    /// closed, if that wasn't known; true where it is.
    pub(super) fn pause(&self, pause: Duration, closing: bool) -> bool {
        let state = self.lock();
        let sleep = self
            .work
            .wait_timeout_while(state, pause, |state| closing || !state.closing);
        sleep
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .0
            .closing
    }

    /// No call is admitted, nor one that waits already: nobody knows for how long.
    pub(super) fn refuse(&self) {
        let mut state = self.lock();
        state.standing = Standing::Full;
        state.waiting.answer(Standing::Full, true);
        drop(state);
        self.progress.notify_waiters();
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.lock().standing = standing;
        self.progress.notify_waiters();
    }

    /// The thread is over: whoever waits is told.
    pub(super) fn end(&self, standing: Standing) {
        let mut state = self.lock();
        state.closing = true;
        state.standing = standing;
        state.ended = Some(standing);
        state.waiting.answer(standing, true);
        drop(state);
        self.progress.notify_waiters();
        self.synced.send_modify(|synced| synced.ended = true);
    }

    /// All segments have so many bytes on disk.
    pub(super) fn grown(&self, bytes: u64) {
        self.size_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, upto: Position) {
        self.synced.send_modify(|synced| synced.upto = upto);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Synced> {
        self.synced.subscribe()
    }

    /// A relay has come so far.
    pub(super) fn moved(&self, sink: &'static str, position: Position) {
        let mut state = self.lock();
        let before = state.positions.insert(sink, position);
        if before.is_none_or(|before| before.segment < position.segment) {
            state.moved = true;
            self.wake(state);
        }
    }

    /// All before this place is on disk.
    pub(super) fn synced_upto(&self) -> Position {
        self.synced.borrow().upto
    }

    /// Whether a relay has come to this place.
    pub(super) fn has_come(&self, sink: &'static str, place: Position) -> bool {
        let state = self.lock();
        let position = state.positions.get(sink);
        position.is_some_and(|position| *position >= place)
    }

    /// The segment that the last of these sinks is in; `None` where one isn't
    /// heard of yet.
    pub(super) fn last_of(&self, sinks: &[&'static str]) -> Option<u64> {
        let state = self.lock();
        let segments = sinks
            .iter()
            .map(|sink| state.positions.get(sink).map(|position| position.segment));
        segments.min().unwrap_or(Some(u64::MAX))
    }

    /// A panic while it was locked left it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn said(standing: Standing) -> Result<(), SpoolError> {
    match standing {
        Standing::Well => Ok(()),
        Standing::Full => Err(SpoolError::Full),
        Standing::Failed => Err(SpoolError::Failed),
    }
}
