//! Calls ask for approval here, and don't wait for it.
//!
//! Always holds: asking takes a look at a small table, never a database; what waits
//! to be written, and what is remembered, has a bound; the same is written once in
//! [`AGAIN_AFTER`] at most.

use crate::policy::grants::ApprovalRequest;
use crate::units::{Millis, UnixMillis};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Requests that wait to be written: a database that is away for long gets the first
/// of them, and who asks later asks again.
const QUEUE_MAX: usize = 1_024;

/// The most that are written at once.
const WRITTEN_MAX: usize = 256;

/// So soon nobody looks whether it was asked again.
pub const AGAIN_AFTER: Millis = Millis::from_secs(5);

/// The most requests that are remembered as asked.
const REMEMBERED_MAX: usize = 4_096;

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noted {
    /// It will be written.
    Queued,
    /// The same was asked a moment ago.
    Already,
    /// Too many wait to be written: it must be asked again.
    Full,
}

/// Where calls ask.
#[derive(Debug)]
pub struct Asker {
    queue: mpsc::Sender<ApprovalRequest>,
    asked: Mutex<HashMap<Arc<str>, UnixMillis>>,
}

/// What was asked, for whoever writes it.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<ApprovalRequest>);

impl Asker {
    pub fn new() -> (Self, Waiting) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let asked = Mutex::default();
        (Self { queue, asked }, Waiting(waiting))
    }

    /// Asks for approval; never waits.
    pub fn ask(&self, request: ApprovalRequest) -> Noted {
        let (id, now) = (Arc::clone(&request.id), request.asked_at);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: UnixMillis| now.since(at) < AGAIN_AFTER;
        if asked.get(&id).is_some_and(|at| is_fresh(*at)) {
            return Noted::Already;
        }
        if self.queue.try_send(request).is_err() {
            return Noted::Full;
        }
        if asked.len() >= REMEMBERED_MAX {
            asked.retain(|_, at| is_fresh(*at));
        }
        // One more than can be remembered is written more often.
        if asked.len() < REMEMBERED_MAX {
            asked.insert(id, now);
        }
        Noted::Queued
    }
}

impl Waiting {
    /// Waits for something that was asked; gives all there is, up to a bound. Empty:
    /// nobody asks any more.
    pub async fn next(&mut self) -> Vec<ApprovalRequest> {
        let mut some = Vec::new();
        self.0.recv_many(&mut some, WRITTEN_MAX).await;
        some
    }

    /// What there is, without waiting.
    pub fn rest(&mut self) -> Vec<ApprovalRequest> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;

    #[tokio::test]
    async fn the_same_is_written_once_in_a_while_and_never_without_bound() {
        let (asker, mut waiting) = Asker::new();
        assert_eq!(asker.ask(request("a", 1_000)), Noted::Queued);
        assert_eq!(asker.ask(request("a", 5_999)), Noted::Already);
        assert_eq!(asker.ask(request("b", 5_999)), Noted::Queued);
        assert_eq!(asker.ask(request("a", 6_000)), Noted::Queued);
        let ids = |some: Vec<ApprovalRequest>| {
            let ids = some.into_iter().map(|one| one.id.to_string());
            ids.collect::<Vec<_>>()
        };
        assert_eq!(ids(waiting.next().await), ["a", "b", "a"]);
        assert!(waiting.rest().is_empty());
        for n in 0..QUEUE_MAX {
            assert_eq!(asker.ask(request(&format!("r{n}"), 9_000)), Noted::Queued);
        }
        assert_eq!(asker.ask(request("more", 9_000)), Noted::Full);
        assert_eq!(waiting.next().await.len(), WRITTEN_MAX);
        assert_eq!(asker.ask(request("more", 9_000)), Noted::Queued);
        for n in 0..4 * REMEMBERED_MAX {
            waiting.rest();
            asker.ask(request(&format!("s{n}"), 20_000));
        }
        let remembered = asker.asked.lock().unwrap().len();
        assert!(remembered <= REMEMBERED_MAX, "{remembered}");
        drop(asker);
        waiting.rest();
        assert!(waiting.next().await.is_empty());
    }
}
