//! Sliding windows: time is cut into sub-windows of a twelfth of `every`,
//! rounded up to a millisecond. The twelve newest count whole; the one before
//! them by the part of it that lies less than twelve sub-windows back, in
//! 1/65536ths, rounded up, and so is the product.

use super::{Answer, Entry, Move, Whole, div_up, narrow};
use weir::limits::{HoldId, Retry, Standing};
use weir::units::Millis;

const WHOLE_ONES: Whole = 12;
const PARTS: Whole = 65_536;

/// What is on record of one counter.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The number of the newest sub-window that was seen; time doesn't go back
    /// behind it. `None` where nothing is kept.
    newest: Option<Whole>,
    /// Sub-windows, and what was charged to them or given back.
    rows: Vec<(Whole, Whole)>,
    /// Which sub-window each hold was charged to.
    places: Vec<(HoldId, Whole)>,
}

pub fn sub_window(every: Whole) -> Whole {
    div_up(every, WHOLE_ONES)
}

impl Record {
    fn newest(&self, sub: Whole, at: Whole) -> Whole {
        let now = at.div_euclid(sub);
        self.newest.map_or(now, |newest| newest.max(now))
    }

    fn sum(&self, from: Whole, to: Whole) -> Whole {
        let inside = self
            .rows
            .iter()
            .filter(|(place, _)| (from..=to).contains(place));
        inside.map(|(_, amount)| amount).sum()
    }

    fn used(&self, sub: Whole, at: Whole) -> Whole {
        let newest = self.newest(sub, at);
        let oldest = newest - WHOLE_ONES;
        let into = (at - newest * sub).max(0);
        let weight = div_up((sub - into) * PARTS, sub);
        let share = div_up(self.sum(oldest, oldest) * weight, PARTS);
        self.sum(oldest + 1, newest) + share
    }

    /// The first moment, from now on, at which no more than this is used if
    /// nothing else comes. It only ever falls, so halving finds it.
    fn falls_to(&self, most: Whole, sub: Whole, now: Whole) -> Whole {
        let mut early = now;
        let mut late = (self.newest(sub, now) + WHOLE_ONES + 2) * sub;
        while early < late {
            let middle = (early + late).div_euclid(2);
            if self.used(sub, middle) <= most {
                late = middle;
            } else {
                early = middle + 1;
            }
        }
        early
    }

    fn correct(&mut self, hold: HoldId, change: Whole, newest: Whole) {
        let charged = self.places.iter().rfind(|(owner, _)| *owner == hold);
        let there = charged
            .map(|(_, place)| *place)
            .filter(|place| (newest - WHOLE_ONES..=newest).contains(place));
        match there {
            // No more is given back than is there.
            Some(place) if change < 0 => {
                let back = change.max(-self.sum(place, place));
                self.rows.push((place, back));
            }
            Some(place) => self.rows.push((place, change)),
            None if change > 0 => self.rows.push((newest, change)),
            None => {}
        }
    }

    fn of(entries: &[Entry], sub: Whole) -> Self {
        let mut record = Self::default();
        for Entry { at, what } in entries {
            let newest = record.newest(sub, *at);
            match what {
                Move::Take { hold, amount, .. } => {
                    record.newest = Some(newest);
                    record.rows.push((newest, *amount));
                    record.places.push((*hold, newest));
                }
                Move::Correct { hold, held, used } => {
                    let change = used - held;
                    if change > 0 || change < 0 && record.newest.is_some() {
                        record.newest = Some(newest);
                        record.correct(*hold, change, newest);
                    }
                }
                Move::Look if record.newest.is_some() => {
                    let rest = record.sum(newest - WHOLE_ONES, newest) == 0;
                    record.newest = (!rest).then_some(newest);
                    if rest {
                        record.rows.clear();
                    }
                }
                Move::Look
                | Move::Expire { .. }
                | Move::Renew { .. }
                | Move::Read
                | Move::Refused => {}
            }
        }
        record
    }
}

pub fn answer(entries: &[Entry], every: Whole, most: Whole, amount: Whole, now: Whole) -> Answer {
    let sub = sub_window(every);
    let record = Record::of(entries, sub);
    let used = record.used(sub, now);
    let refuses = if amount > most {
        Some(Retry::Never)
    } else if used + amount <= most {
        None
    } else {
        let passes = record.falls_to(most - amount, sub, now);
        Some(Retry::After(Millis(narrow(passes - now))))
    };
    Answer {
        standing: Standing {
            used: narrow(used),
            exceeded: used > most,
            remaining: narrow((most - used).max(0)),
            carried: 0,
            reset_after: Some(Millis(narrow(record.falls_to(0, sub, now) - now))),
        },
        refuses,
        kept: record.newest.is_some(),
    }
}
