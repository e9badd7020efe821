//! Between callers that must not block and the thread that writes: two byte
//! buffers under one lock, bounded together.

use super::{LINE_BYTES_MAX, QUEUE_BYTES_MAX, UsageLogError, WAIT_MAX};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// How long the thread lets lines gather once it is woken: waking it and
/// writing costs as much for one line as for a hundred.
const GATHER: Duration = Duration::from_millis(1);

/// Lines on their way to the files.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writing thread.
    work: Condvar,
    /// Wakes callers that wait for room, a flush or the end.
    progress: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// Pushes so far, and how many of them are in the files.
    pushed: u64,
    written: u64,
    /// Lines of the batch that the thread has taken.
    lines_taken: usize,
    /// The thread sleeps and must be woken; while it is busy it looks by itself.
    writer_sleeps: bool,
    /// Somebody waits for what is queued: don't let lines gather.
    hurry: bool,
    closing: bool,
    /// Set by the thread when it is over: how many lines it had to give up.
    ended: Option<usize>,
}

/// What one round of writing takes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub events: Vec<u8>,
    pub journal: Vec<u8>,
    pub lines: usize,
    /// The count of pushes that are done once this is written.
    upto: u64,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.events.len().saturating_add(self.journal.len())
    }

    pub fn clear(&mut self) {
        self.events.clear();
        self.journal.clear();
        self.lines = 0;
    }
}

impl Queue {
    /// Queues an event's line, a journal's line, or both at once; each ends
    /// with a newline or is empty.
    pub async fn push(&self, event: &[u8], journal: &[u8]) -> Result<(), UsageLogError> {
        let bytes = event.len().max(journal.len());
        if bytes > LINE_BYTES_MAX {
            return Err(UsageLogError::TooLong { bytes });
        }
        if self.try_push(event, journal)? {
            return Ok(());
        }
        let pushed = tokio::time::timeout(WAIT_MAX, async {
            loop {
                let progress = self.progress.notified();
                if self.try_push(event, journal)? {
                    return Ok(());
                }
                progress.await;
            }
        });
        pushed.await.unwrap_or_else(|_| {
            let bytes = self.lock().waiting.bytes();
            Err(UsageLogError::Full { bytes })
        })
    }

    fn try_push(&self, event: &[u8], journal: &[u8]) -> Result<bool, UsageLogError> {
        let mut state = self.lock();
        if state.closing {
            return Err(UsageLogError::Closed);
        }
        let bytes = event.len().saturating_add(journal.len());
        if state.waiting.bytes().saturating_add(bytes) > QUEUE_BYTES_MAX {
            return Ok(false);
        }
        state.waiting.events.extend_from_slice(event);
        state.waiting.journal.extend_from_slice(journal);
        state.waiting.lines += usize::from(!event.is_empty()) + usize::from(!journal.is_empty());
        state.pushed += 1;
        let wake = std::mem::take(&mut state.writer_sleeps);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(true)
    }

    /// Waits until all that was pushed before is written, or the end.
    pub async fn flushed(&self) -> Result<(), UsageLogError> {
        let upto = {
            let mut state = self.lock();
            state.hurry = state.written < state.pushed;
            state.pushed
        };
        self.work.notify_one();
        loop {
            let progress = self.progress.notified();
            {
                let state = self.lock();
                if state.written >= upto {
                    return Ok(());
                }
                if let Some(lines) = state.ended {
                    return Err(UsageLogError::Lost { lines });
                }
            }
            progress.await;
        }
    }

    /// No more pushes; the thread ends when nothing waits.
    pub fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
        self.progress.notify_waiters();
    }

    /// Waits until the thread is over.
    pub async fn ended(&self) -> Result<(), UsageLogError> {
        loop {
            let progress = self.progress.notified();
            match self.lock().ended {
                Some(0) => return Ok(()),
                Some(lines) => return Err(UsageLogError::Lost { lines }),
                None => {}
            }
            progress.await;
        }
    }

    pub fn lines_unwritten(&self) -> usize {
        let state = self.lock();
        state.waiting.lines.saturating_add(state.lines_taken)
    }

    /// For the thread: waits for lines, lets more gather, and takes all of them
    /// in exchange for an empty batch; `None` when the log is closed and nothing
    /// waits.
    pub fn take(&self, mut empty: Batch) -> Option<Batch> {
        let mut state = self.lock();
        while state.waiting.lines == 0 {
            if state.closing {
                return None;
            }
            state.writer_sleeps = true;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.writer_sleeps = false;
        if !state.closing && state.waiting.bytes() < QUEUE_BYTES_MAX / 2 && !state.hurry {
            let hurried = |state: &mut State| !state.closing && !state.hurry;
            let gathered = self.work.wait_timeout_while(state, GATHER, hurried);
            state = gathered.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        state.hurry = false;
        std::mem::swap(&mut state.waiting, &mut empty);
        empty.upto = state.pushed;
        state.lines_taken = empty.lines;
        drop(state);
        // There is room again.
        self.progress.notify_waiters();
        Some(empty)
    }

    /// For the thread: a batch is in the files.
    pub fn written(&self, batch: &Batch) {
        let mut state = self.lock();
        state.written = batch.upto;
        state.lines_taken = 0;
        drop(state);
        self.progress.notify_waiters();
    }

    /// For the thread, after a failed write: pauses, less if the log closes
    /// meanwhile. Says whether the log is closing.
    pub fn pause(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited = self
            .work
            .wait_timeout_while(state, pause, |state| !state.closing);
        waited
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .0
            .closing
    }

    /// For the thread: it is over. `lines_lost` of its batch are not written.
    pub fn end(&self, lines_lost: usize) {
        let mut state = self.lock();
        state.closing = true;
        state.ended = Some(state.waiting.lines.saturating_add(lines_lost));
        drop(state);
        self.progress.notify_waiters();
    }

    /// A panic while the lock was held left whole buffers: each change is one
    /// call that can't panic but for want of memory.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
