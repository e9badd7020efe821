//! Whether a chain of rows is as it was written.
//!
//! Always holds: of a chain that was tampered with, the first place is found
//! where a row was changed, removed or inserted, or that the end was cut.
//!
//! What can't be found here: that somebody wrote a chain anew from some place
//! on, its head too. Only a head kept elsewhere tells (a spool, a file, a
//! collector that gets the rows as well).

use crate::ledger::row::{Hash, NO_HASH, chained};

/// A place in a chain: a row's sequence and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub sequence: u64,
    pub hash: Hash,
}

impl Place {
    /// Before a chain's first row.
    pub const START: Place = Place {
        sequence: 0,
        hash: NO_HASH,
    };
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub place: Place,
    /// The event's message, made again of what is stored. `None`: it can't be
    /// read any more.
    pub message: Option<Vec<u8>>,
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It isn't what was written, or what was before it was removed and the
    /// rows after that were numbered anew.
    #[error("row {0} was changed, or doesn't follow the row before it")]
    Changed(u64),
    /// The rows from the first to the last of these numbers aren't there.
    #[error("rows {0} to {1} were removed")]
    Removed(u64, u64),
    #[error("row {0} was inserted")]
    Inserted(u64),
    /// The rows after this one, up to the chain's head, aren't there.
    #[error("the chain was cut after row {0}")]
    Cut(u64),
    /// The last row isn't the one that the chain's head names.
    #[error("the head of the chain was changed: it doesn't name row {0}")]
    Head(u64),
}

/// Walks along a chain.
#[derive(Debug, Clone)]
pub struct Verifier {
    last: Place,
    /// The hash before `last`'s.
    before: Option<Hash>,
    head: Place,
}

impl Verifier {
    /// From after a place that is trusted ([`Place::START`], or where retention
    /// ended) to the chain's head.
    pub fn new(trusted: Place, head: Place) -> Self {
        Self {
            last: trusted,
            before: None,
            head,
        }
    }

    /// The last row that was taken.
    pub fn last(&self) -> Place {
        self.last
    }

    /// The chain's head, as far as it is known.
    pub fn head(&self) -> Place {
        self.head
    }

    /// The chain was written to meanwhile, up to this head.
    pub fn goes_on_to(&mut self, head: Place) {
        self.head = head;
    }

    /// Takes the next row, by sequence.
    ///
    /// # Errors
    /// [`Fault`]: the chain is broken here.
    pub fn step(&mut self, entry: &Entry) -> Result<(), Fault> {
        let sequence = entry.place.sequence;
        let expected = self.last.sequence.saturating_add(1);
        if sequence < expected || sequence > self.head.sequence {
            return Err(Fault::Inserted(sequence));
        }
        if sequence > expected {
            return Err(Fault::Removed(expected, sequence - 1));
        }
        let message = entry.message.as_ref().ok_or(Fault::Changed(sequence))?;
        if chained(&self.last.hash, message) != entry.place.hash {
            let follows_the_one_before = self
                .before
                .is_some_and(|before| chained(&before, message) == entry.place.hash);
            return Err(if follows_the_one_before {
                Fault::Inserted(self.last.sequence)
            } else {
                Fault::Changed(sequence)
            });
        }
        self.before = Some(self.last.hash);
        self.last = entry.place;
        Ok(())
    }

    /// After the last row.
    ///
    /// # Errors
    /// [`Fault::Cut`], [`Fault::Head`].
    pub fn finish(self) -> Result<Place, Fault> {
        if self.last.sequence < self.head.sequence {
            return Err(Fault::Cut(self.last.sequence));
        }
        if self.last != self.head {
            return Err(Fault::Head(self.last.sequence));
        }
        Ok(self.last)
    }
}

/// The whole walk.
///
/// # Errors
/// [`Fault`], the first one.
pub fn verify<'a>(
    trusted: Place,
    head: Place,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<Place, Fault> {
    let mut verifier = Verifier::new(trusted, head);
    for entry in entries {
        verifier.step(entry)?;
    }
    verifier.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(messages: &[&str]) -> Vec<Entry> {
        let mut last = Place::START;
        let link = |message: &&str| {
            last = Place {
                sequence: last.sequence + 1,
                hash: chained(&last.hash, message.as_bytes()),
            };
            Entry {
                place: last,
                message: Some(message.as_bytes().to_vec()),
            }
        };
        messages.iter().map(link).collect()
    }

    fn number(entries: &mut [Entry]) {
        for (at, entry) in entries.iter_mut().enumerate() {
            entry.place.sequence = at as u64 + 1;
        }
    }

    #[test]
    fn each_kind_of_tampering_is_found_and_placed() {
        let good = chain(&["a", "b", "c", "d", "e"]);
        let head = good[4].place;
        let check = |entries: &[Entry]| verify(Place::START, head, entries);
        assert_eq!(check(&good), Ok(head));

        let mut changed = good.clone();
        changed[2].message = Some(b"C".to_vec());
        assert_eq!(check(&changed), Err(Fault::Changed(3)));
        changed[2].message = None;
        assert_eq!(check(&changed), Err(Fault::Changed(3)));

        let mut removed = good.clone();
        removed.drain(1..3);
        assert_eq!(check(&removed), Err(Fault::Removed(2, 3)));
        number(&mut removed);
        assert_eq!(check(&removed), Err(Fault::Changed(2)));

        let mut twice = good.clone();
        twice.insert(3, good[2].clone());
        assert_eq!(check(&twice), Err(Fault::Inserted(3)));

        let mut inserted = good.clone();
        let hash = chained(&good[1].place.hash, b"x");
        let message = Some(b"x".to_vec());
        let place = Place { sequence: 3, hash };
        inserted.insert(2, Entry { place, message });
        number(&mut inserted);
        assert_eq!(check(&inserted), Err(Fault::Inserted(3)));

        let mut longer = good.clone();
        let hash = chained(&head.hash, b"f");
        let place = Place { sequence: 6, hash };
        let message = Some(b"f".to_vec());
        longer.push(Entry { place, message });
        assert_eq!(check(&longer), Err(Fault::Inserted(6)));

        assert_eq!(check(&good[..3]), Err(Fault::Cut(3)));
        assert_eq!(check(&[]), Err(Fault::Cut(0)));
        let other = Place {
            hash: [1; 32],
            ..head
        };
        assert_eq!(verify(Place::START, other, &good), Err(Fault::Head(5)));
    }

    #[test]
    fn a_chain_whose_first_rows_are_gone_is_verified_from_there() {
        let good = chain(&["a", "b", "c"]);
        let head = good[2].place;
        assert_eq!(verify(good[0].place, head, &good[1..]), Ok(head));
        assert_eq!(
            verify(good[0].place, head, &good[2..]),
            Err(Fault::Removed(2, 2))
        );
    }
}
