//! What is asked of the spool, and what of it is written together.

use crate::limits::HoldId;
use tokio::sync::oneshot;

/// What is asked of the spool.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Intent { id: HoldId, context: &'a [u8] },
    Outcome { id: HoldId, message: &'a [u8] },
    Dropped { id: HoldId },
}

/// Whether calls are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    #[default]
    Well,
    Full,
    Failed,
}

/// What one round of writing takes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Entries: kind, length, body.
    bytes: Vec<u8>,
    pub waiters: Vec<Waiter>,
}

/// Someone who waits, for a write or for a sync.
#[derive(Debug)]
pub(super) struct Waiter {
    pub answer: oneshot::Sender<Standing>,
    pub for_sync: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.waiters.is_empty()
    }

    pub(super) fn wants_sync(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.for_sync)
    }

    /// The entries, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (head, behind) = rest.split_first_chunk::<5>()?;
            let [kind, len @ ..] = *head;
            let len = usize::try_from(u32::from_le_bytes(len)).ok()?;
            let (body, behind) = behind.split_at_checked(len)?;
            rest = behind;
            let (id, body) = body.split_first_chunk::<16>()?;
            let id = HoldId(uuid::Uuid::from_bytes(*id));
            Some(match kind {
                b'i' => Entry::Intent { id, context: body },
                b'o' => Entry::Outcome { id, message: body },
                _ => Entry::Dropped { id },
            })
        })
    }

    /// How much is to be written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let (kind, id, body): (u8, _, &[u8]) = match entry {
            Entry::Intent { id, context } => (b'i', id, context),
            Entry::Outcome { id, message } => (b'o', id, message),
            Entry::Dropped { id } => (b'd', id, &[]),
        };
        // Bodies are bounded far below.
        let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(id.0.as_bytes());
        self.bytes.extend_from_slice(body);
    }

    /// It is written: answers those who waited for that, and all where it is
    /// synced too, or refused.
    pub(super) fn answer(&mut self, standing: Standing, synced: bool) {
        let everyone = synced || standing != Standing::Well;
        let answered = |waiter: &mut Waiter| everyone || !waiter.for_sync;
        for waiter in self.waiters.extract_if(.., answered) {
            // Whoever no longer waits needs no answer.
            let _ = waiter.answer.send(standing);
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.waiters.clear();
    }
}
