//! Offering rows to a receiver that judges requests, not rows: a request that is
//! refused is halved until the row is found that it was refused for.
//!
//! Always holds: rows go in order, and none that the receiver has said it took
//! is sent to it again, also where the rest of a batch is offered once more. A
//! request that failed without an answer, or was refused in part, is sent again
//! with the same ids.

use crate::ledger::row::Row;
use crate::ledger::sink::SinkError;
use crate::limits::HoldId;
use std::collections::HashSet;
use std::iter;
use std::ops::Range;

/// Rows made to items before other tasks get their turn.
const ROWS_A_TURN: usize = 64;

/// So many full requests are taken before larger ones are tried again: seldom
/// enough for a receiver that always refuses them, soon enough after a single
/// row made one too large.
const GROW_AFTER: u32 = 32;

/// What a receiver says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it is safe there.
    Taken,
    /// It is refused for one of its rows or more, or is too large.
    Refused(String),
    /// Nothing can be said of the rows.
    Away(String),
}

/// Takes requests of some rows.
pub(super) trait Receiver: Send {
    /// A row as it is sent.
    type Item: Send + Sync;

    /// Makes a row ready; an error is why it never can be.
    fn item(&self, row: &Row) -> Result<Self::Item, String>;

    /// What the row adds to a request.
    fn item_bytes(&self, item: &Self::Item) -> usize;

    /// The most that the rows of a request may have.
    fn request_bytes_max(&self) -> usize;

    /// The most rows of a request, at least 1.
    fn request_rows_max(&self) -> usize;

    /// Sends one request.
    fn offer(&mut self, items: &[Self::Item]) -> impl Future<Output = Answer> + Send;
}

/// How many rows go into a request: fewer once the receiver has said that one is
/// too large.
#[derive(Debug)]
pub(super) struct Pace {
    rows: usize,
    rows_max: usize,
    taken: u32,
}

impl Pace {
    pub fn new(rows_max: usize) -> Self {
        let rows_max = rows_max.max(1);
        Self {
            rows: rows_max,
            rows_max,
            taken: 0,
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A request of so many rows is too large.
    pub fn too_large(&mut self, rows: usize) {
        self.rows = self.rows.min((rows / 2).max(1));
        self.taken = 0;
    }

    /// A request of so many rows was taken.
    pub fn taken(&mut self, rows: usize) {
        if rows < self.rows {
            return;
        }
        self.taken = self.taken.saturating_add(1);
        if self.taken >= GROW_AFTER {
            self.taken = 0;
            self.rows = self.rows.saturating_mul(2).min(self.rows_max);
        }
    }
}

/// The rows of the batch under way that the receiver has taken.
#[derive(Debug, Default)]
pub(super) struct Taken(HashSet<HoldId>);

/// Offers those rows that it has not taken yet.
///
/// # Errors
/// [`SinkError`], as soon as there is one; the rows before it are taken.
pub(super) async fn deliver<R: Receiver>(
    receiver: &mut R,
    taken: &mut Taken,
    rows: &[Row],
) -> Result<(), SinkError> {
    let offered: HashSet<HoldId> = rows.iter().map(|row| row.event.id).collect();
    taken.0.retain(|id| offered.contains(id));
    let mut request = Request::default();
    let mut seen = HashSet::new();
    for (index, row) in rows.iter().enumerate() {
        let id = row.event.id;
        if taken.0.contains(&id) || !seen.insert(id) {
            continue;
        }
        let unfit = |why| SinkError::Poison { index, why };
        let item = receiver.item(row).map_err(unfit);
        let bytes = item.as_ref().map_or(0, |item| receiver.item_bytes(item));
        let full = request.items.len() >= receiver.request_rows_max().max(1)
            || request.bytes.saturating_add(bytes) > receiver.request_bytes_max();
        if full || item.is_err() {
            send(receiver, taken, &std::mem::take(&mut request)).await?;
        }
        if bytes > receiver.request_bytes_max() {
            let most = receiver.request_bytes_max();
            let why = format!("it has {bytes} bytes, more than the {most} of a request");
            return Err(unfit(why));
        }
        request.push(index, id, item?, bytes);
        if index % ROWS_A_TURN == ROWS_A_TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    send(receiver, taken, &request).await?;
    taken.0.clear();
    Ok(())
}

struct Request<I> {
    items: Vec<I>,
    places: Vec<(usize, HoldId)>,
    bytes: usize,
}

impl<I> Default for Request<I> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            places: Vec::new(),
            bytes: 0,
        }
    }
}

impl<I> Request<I> {
    fn push(&mut self, index: usize, id: HoldId, item: I, bytes: usize) {
        self.items.push(item);
        self.places.push((index, id));
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

async fn send<R: Receiver>(
    receiver: &mut R,
    taken: &mut Taken,
    request: &Request<R::Item>,
) -> Result<(), SinkError> {
    // The first part is on top. It is halved at most as often as a batch can be.
    let mut parts: Vec<Range<usize>> = iter::once(0..request.items.len()).collect();
    while let Some(part) = parts.pop() {
        // Smaller than when it was made, perhaps.
        let most = receiver.request_rows_max().max(1);
        if part.len() > most {
            parts.push(part.start + most..part.end);
            parts.push(part.start..part.start + most);
            continue;
        }
        let items = request.items.get(part.clone()).unwrap_or_default();
        let places = request.places.get(part.clone()).unwrap_or_default();
        let Some((index, _)) = places.first() else {
            continue;
        };
        match receiver.offer(items).await {
            Answer::Taken => taken.0.extend(places.iter().map(|(_, id)| *id)),
            Answer::Away(why) => return Err(SinkError::Away(why)),
            Answer::Refused(why) if items.len() == 1 => {
                return Err(SinkError::Poison { index: *index, why });
            }
            Answer::Refused(_) => {
                let middle = part.start + items.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
