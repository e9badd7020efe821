//! Since when a store has kept what it was told: a mark in it that goes where
//! all the rest goes, so that a store without it, or with another, has lost
//! something.

use crate::limits::HoldId;
use crate::units::UnixMillis;
use std::fmt;

/// A time during which a store lost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Begins with the time at which it was made.
    pub id: HoldId,
    /// What ended before, by the clock of whoever ended it, may be lost; what ended
    /// later is told by whoever ended it.
    pub since: UnixMillis,
}

impl Epoch {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, since) = text.split_once(' ')?;
        Some(Self {
            id: HoldId::parse(id)?,
            since: UnixMillis(since.parse().ok()?),
        })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.since.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let epoch = Epoch {
            id: HoldId::new(UnixMillis(5), &[7; 10]),
            since: UnixMillis(99),
        };
        assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
        for odd in ["", "OK", "x 1", &format!("{} -1", epoch.id), "7"] {
            assert_eq!(Epoch::parse(odd), None, "{odd}");
        }
    }
}
