//! A slot's counters by name: one table while they are few, many small ones
//! where clients choose names and make a million of them.
//!
//! Always holds: no operation moves or looks at more than one small table, so
//! the lock above is never held for long; a few counters take little room.

use crate::limits::concurrency::Leases;
use crate::limits::counter::Rule;
use crate::limits::fixed_window::FixedWindow;
use crate::limits::sliding_window::Window;
use crate::limits::token_bucket::Bucket;
use ahash::RandomState;
use hashbrown::HashTable;

/// The most counters of one table before they are spread over many.
const TOGETHER_MAX: usize = 2_048;

/// So many tables: a million counters are 4,000 in each.
const TABLES: usize = 256;

/// A slot's counters.
#[derive(Debug)]
pub(super) enum Cells {
    Few(HashTable<Cell>),
    Many(Box<Many>),
}

#[derive(Debug)]
pub(super) struct Many {
    tables: Vec<HashTable<Cell>>,
    /// The table that is swept next.
    turn: usize,
}

/// A counter with its name. Counters of different kinds are never the same,
/// whatever their names.
#[derive(Debug)]
pub(super) struct Cell {
    name: Box<str>,
    state: State,
}

/// A counter as it is stored.
#[derive(Debug)]
pub(super) enum State {
    Fixed(FixedWindow),
    /// Many times as large as the others.
    Window(Box<Window>),
    Bucket(Bucket),
    Leases(Leases),
}

/// A counter's name, and where it is found by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    text: &'a str,
    hash: u64,
}

/// Which of the kinds a counter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed,
    Window,
    Bucket,
    Leases,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Swept {
    pub counters: usize,
    /// All of them have had their turn.
    pub whole: bool,
}

impl Default for Cells {
    fn default() -> Self {
        Self::Few(HashTable::new())
    }
}

impl State {
    fn kind(&self) -> Kind {
        match self {
            State::Fixed(_) => Kind::Fixed,
            State::Window(_) => Kind::Window,
            State::Bucket(_) => Kind::Bucket,
            State::Leases(_) => Kind::Leases,
        }
    }
}

impl Kind {
    pub(super) fn of(rule: &Rule) -> Self {
        match rule {
            Rule::Fixed { .. } => Kind::Fixed,
            Rule::Window { .. } => Kind::Window,
            Rule::Bucket(_) => Kind::Bucket,
            Rule::Leases { .. } => Kind::Leases,
        }
    }
}

impl<'a> Name<'a> {
    pub(super) fn new(hasher: &RandomState, text: &'a str) -> Self {
        Self {
            text,
            hash: hasher.hash_one(text),
        }
    }

    /// One that was hashed before, by the same hasher.
    pub(super) fn known(text: &'a str, hash: u64) -> Self {
        Self { text, hash }
    }

    pub(super) fn hash(self) -> u64 {
        self.hash
    }
}

impl Cell {
    fn is(&self, kind: Kind, name: Name) -> bool {
        *self.name == *name.text && self.state.kind() == kind
    }
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        match self {
            Cells::Few(table) => table.len(),
            Cells::Many(many) => many.tables.iter().map(HashTable::len).sum(),
        }
    }

    pub(super) fn get(&self, kind: Kind, name: Name) -> Option<&State> {
        let table = match self {
            Cells::Few(table) => table,
            Cells::Many(many) => many.tables.get(place(name.hash))?,
        };
        let cell = table.find(name.hash, |cell| cell.is(kind, name))?;
        Some(&cell.state)
    }

    pub(super) fn get_mut(&mut self, kind: Kind, name: Name) -> Option<&mut State> {
        let table = self.table(name.hash)?;
        let cell = table.find_mut(name.hash, |cell| cell.is(kind, name))?;
        Some(&mut cell.state)
    }

    /// Stores a counter, in place of what was stored of it.
    pub(super) fn put(&mut self, hasher: &RandomState, name: Name, state: State) {
        let kind = state.kind();
        self.spread(hasher);
        let Some(table) = self.table(name.hash) else {
            return;
        };
        match table.find_mut(name.hash, |cell| cell.is(kind, name)) {
            Some(cell) => cell.state = state,
            None => {
                let cell = Cell {
                    name: name.text.into(),
                    state,
                };
                table.insert_unique(name.hash, cell, |cell| hasher.hash_one(&*cell.name));
            }
        }
    }

    pub(super) fn remove(&mut self, kind: Kind, name: Name) {
        if let Some(table) = self.table(name.hash)
            && let Ok(cell) = table.find_entry(name.hash, |cell| cell.is(kind, name))
        {
            cell.remove();
        }
    }

    /// Drops those that aren't to be kept, from a part of all.
    pub(super) fn sweep(
        &mut self,
        hasher: &RandomState,
        mut keep: impl FnMut(&mut State) -> bool,
    ) -> Swept {
        let (table, whole) = match self {
            Cells::Few(table) => (table, true),
            Cells::Many(many) => {
                let turn = many.turn;
                many.turn = (turn + 1) % TABLES;
                match many.tables.get_mut(turn) {
                    Some(table) => (table, many.turn == 0),
                    None => {
                        return Swept {
                            counters: 0,
                            whole: true,
                        };
                    }
                }
            }
        };
        let counters = table.len();
        table.retain(|cell| keep(&mut cell.state));
        // What thousands needed is given back when few are left.
        if table.capacity() > 4 * table.len().max(TOGETHER_MAX / TABLES) {
            table.shrink_to_fit(|cell| hasher.hash_one(&*cell.name));
        }
        Swept { counters, whole }
    }

    fn table(&mut self, hash: u64) -> Option<&mut HashTable<Cell>> {
        match self {
            Cells::Few(table) => Some(table),
            Cells::Many(many) => many.tables.get_mut(place(hash)),
        }
    }

    /// Makes many tables of one that has grown large.
    fn spread(&mut self, hasher: &RandomState) {
        let Cells::Few(table) = self else {
            return;
        };
        if table.len() < TOGETHER_MAX {
            return;
        }
        let mut tables: Vec<HashTable<Cell>> = Vec::new();
        tables.resize_with(TABLES, HashTable::new);
        for cell in table.drain() {
            let hash = hasher.hash_one(&*cell.name);
            if let Some(table) = tables.get_mut(place(hash)) {
                table.insert_unique(hash, cell, |cell| hasher.hash_one(&*cell.name));
            }
        }
        *self = Cells::Many(Box::new(Many { tables, turn: 0 }));
    }
}

/// By bits that a table doesn't go by itself.
fn place(hash: u64) -> usize {
    usize::try_from((hash >> 40) % TABLES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::token_bucket::Rate;
    use crate::units::{Millis, UnixMillis};

    fn bucket(n: u64) -> State {
        let rate = Rate::new(n + 1, Millis(1_000), 1_000).unwrap();
        State::Bucket(Bucket::full(rate, UnixMillis(0)))
    }

    fn number(state: &State) -> u64 {
        match state {
            State::Bucket(bucket) => bucket.rate().parts().0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_million_counters_are_kept_and_swept_in_small_parts() {
        let (hasher, mut cells) = (RandomState::new(), Cells::default());
        let get = |cells: &Cells, kind, n: u64| {
            let name = n.to_string();
            cells.get(kind, Name::new(&hasher, &name)).map(number)
        };
        let of = |cells: &Cells, n| get(cells, Kind::Bucket, n);
        for n in 0..100_000 {
            cells.put(&hasher, Name::new(&hasher, &n.to_string()), bucket(n));
        }
        let rate = |n| number(&bucket(n));
        for n in (0..100_000).step_by(97) {
            assert_eq!(of(&cells, n), Some(rate(n)));
            assert!(get(&cells, Kind::Fixed, n).is_none());
        }
        // A second time in its place.
        let seven = Name::new(&hasher, "7");
        cells.put(&hasher, seven, bucket(8));
        assert_eq!((cells.len(), of(&cells, 7)), (100_000, Some(rate(8))));
        cells.remove(Kind::Bucket, seven);
        assert_eq!((cells.len(), of(&cells, 7)), (99_999, None));
        let (mut parts, mut seen) = (0, 0);
        loop {
            let swept = cells.sweep(&hasher, |state| number(state).is_multiple_of(2));
            parts += 1;
            seen += swept.counters;
            assert!(swept.counters < 2_000, "{swept:?}");
            if swept.whole {
                break;
            }
        }
        assert_eq!((parts, seen), (TABLES, 99_999));
        assert!((1_000..99_000).contains(&cells.len()), "{}", cells.len());
    }

    #[test]
    fn few_counters_are_in_one_table() {
        let (hasher, mut cells) = (RandomState::new(), Cells::default());
        for n in 0..TOGETHER_MAX as u64 {
            cells.put(&hasher, Name::new(&hasher, &n.to_string()), bucket(n));
        }
        assert!(matches!(&cells, Cells::Few(_)));
        let swept = cells.sweep(&hasher, |_| false);
        assert_eq!(
            swept,
            Swept {
                counters: TOGETHER_MAX,
                whole: true
            }
        );
        assert!(matches!(&cells, Cells::Few(table) if table.capacity() < 64));
        assert_eq!(cells.len(), 0);
    }
}
