//! Prices and the dates from which they hold.
//!
//! A price holds from its date until the next one's begins: the last has no
//! end, and before the first date the first price counts. So there is a price
//! at any time, and no gap in which a call would cost nothing.

use super::price::Price;
use crate::units::UnixMillis;

/// The most dates of one model.
pub const DATES_MAX: usize = 100;

/// A model's prices over time; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    first: Dated,
    /// By rising date, each above that of the first.
    later: Vec<Dated>,
}

/// A price and when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// The first moment of it; 0 where nothing is known of a time before.
    pub from: UnixMillis,
    pub price: Price,
}

/// Why prices are no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("there is no price")]
    Empty,
    #[error("prices must stand in the order of their dates, each of another date")]
    Order,
    #[error("there are more than {DATES_MAX} dates")]
    TooMany,
}

impl Schedule {
    /// # Errors
    /// Without a price, with too many, or where dates don't rise.
    pub fn new(dated: Vec<Dated>) -> Result<Self, ScheduleError> {
        if dated.len() > DATES_MAX {
            return Err(ScheduleError::TooMany);
        }
        let rises = dated.windows(2).all(|pair| match pair {
            [earlier, later] => earlier.from < later.from,
            _ => true,
        });
        if !rises {
            return Err(ScheduleError::Order);
        }
        let mut dated = dated.into_iter();
        let first = dated.next().ok_or(ScheduleError::Empty)?;
        Ok(Self {
            first,
            later: dated.collect(),
        })
    }

    /// One price, always.
    pub fn always(price: Price) -> Self {
        Self {
            first: Dated {
                from: UnixMillis(0),
                price,
            },
            later: Vec::new(),
        }
    }

    /// The price at that time.
    pub fn at(&self, time: UnixMillis) -> &Dated {
        let begun = self.later.iter().rev().find(|dated| dated.from <= time);
        begun.unwrap_or(&self.first)
    }

    /// The last one that is known.
    pub fn last(&self) -> &Dated {
        self.later.last().unwrap_or(&self.first)
    }

    /// All of them, the earliest first, each with the moment at which it is over.
    pub fn spans(&self) -> impl Iterator<Item = (&Dated, Option<UnixMillis>)> {
        let starts = self.later.iter().map(|dated| Some(dated.from));
        self.iter().zip(starts.chain([None]))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Dated> {
        std::iter::once(&self.first).chain(&self.later)
    }
}
