//! Where the windows of a fixed window end: every so often, from the first hit,
//! by a calendar, or never.
//!
//! A window is known by its end alone. Ends by a calendar are those of local
//! time: a day may have 23 or 25 hours. The time zone is given; finding it is
//! left to `config`.

use crate::units::{Millis, UnixMillis};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use std::hash::Hasher;

/// The longest that a window from the first hit, or every so often, may be:
/// 50 years.
pub const EVERY_MAX: Millis = Millis(50 * 366 * 86_400_000);

/// The end of the one window that never ends: 9999-12-31T00:00:00Z, the last day that
/// a calendar knows.
pub const FOREVER: UnixMillis = UnixMillis(253_402_214_400_000);

/// Where time is beyond what a calendar knows (the year 9999), a day is this.
const DAY_MS: u64 = 86_400_000;

const HOUR_MS: i64 = 3_600_000;

/// How long windows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    rule: Rule,
    kind: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    FirstHit { every: Millis },
    Aligned { every: Millis },
    Calendar(Calendar),
    Forever,
}

/// A calendar's hour, day, week or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    pub unit: CalendarUnit,
    pub zone: TimeZone,
}

/// The ends of the window that holds a moment, and of the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends(pub UnixMillis, pub UnixMillis);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarUnit {
    Hour,
    Day,
    /// Begins with this day.
    Week(Weekday),
    /// Begins with this day of the month, 1 to 31; where a month is shorter,
    /// with its last.
    Month(u8),
}

impl Period {
    /// From the first charge after the last window, this long.
    pub fn first_hit(every: Millis) -> Self {
        Self::of(Rule::FirstHit { every })
    }

    /// To the multiples of this since 1970-01-01T00:00:00Z.
    pub fn aligned(every: Millis) -> Self {
        Self::of(Rule::Aligned { every })
    }

    pub fn calendar(calendar: Calendar) -> Self {
        Self::of(Rule::Calendar(calendar))
    }

    /// One window for all time.
    pub fn forever() -> Self {
        Self::of(Rule::Forever)
    }

    pub fn is_forever(&self) -> bool {
        self.rule == Rule::Forever
    }

    fn of(rule: Rule) -> Self {
        let name = match &rule {
            Rule::FirstHit { every } => format!("first {}", every.0),
            Rule::Aligned { every } => format!("aligned {}", every.0),
            Rule::Forever => "forever".to_owned(),
            Rule::Calendar(Calendar { unit, zone }) => {
                let zone = zone.iana_name().unwrap_or("UTC");
                match unit {
                    CalendarUnit::Hour => format!("hour {zone}"),
                    CalendarUnit::Day => format!("day {zone}"),
                    CalendarUnit::Week(first) => {
                        format!("week {} {zone}", first.to_monday_one_offset())
                    }
                    CalendarUnit::Month(anchor) => format!("month {anchor} {zone}"),
                }
            }
        };
        let kind = kind(&name);
        Self { rule, kind }
    }

    /// Tells periods apart, in whatever process: below 2^53.
    pub fn kind(&self) -> u64 {
        self.kind
    }

    /// How long windows from the first hit are; `None` for others.
    pub fn from_first_hit(&self) -> Option<Millis> {
        match self.rule {
            Rule::FirstHit { every } => Some(every),
            Rule::Aligned { .. } | Rule::Calendar(_) | Rule::Forever => None,
        }
    }

    /// What a calendar goes by; `None` for others.
    pub fn calendar_unit(&self) -> Option<CalendarUnit> {
        match &self.rule {
            Rule::Calendar(calendar) => Some(calendar.unit),
            Rule::FirstHit { .. } | Rule::Aligned { .. } | Rule::Forever => None,
        }
    }

    /// The time zone of a calendar, by its IANA name; `None` for others.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone().map(|zone| zone.iana_name().unwrap_or("UTC"))
    }

    /// The time zone that a calendar goes by; `None` for others.
    pub fn zone(&self) -> Option<&TimeZone> {
        match &self.rule {
            Rule::Calendar(calendar) => Some(&calendar.zone),
            Rule::FirstHit { .. } | Rule::Aligned { .. } | Rule::Forever => None,
        }
    }

    /// How long each window is; `None` where a calendar says, or it never ends.
    pub fn length(&self) -> Option<Millis> {
        match self.rule {
            Rule::FirstHit { every } | Rule::Aligned { every } => Some(every),
            Rule::Calendar(_) | Rule::Forever => None,
        }
    }

    /// The end of a window that is opened now.
    pub fn end(&self, now: UnixMillis) -> UnixMillis {
        match &self.rule {
            Rule::FirstHit { every } => now + *every,
            Rule::Aligned { every } => {
                let every = every.0.max(1);
                UnixMillis((now.0 / every + 1).saturating_mul(every))
            }
            Rule::Calendar(calendar) => calendar.end(now),
            Rule::Forever => FOREVER.max(now + Millis(DAY_MS)),
        }
    }

    /// The beginning of the window that holds this moment; `None` where its first
    /// hit tells.
    pub fn start(&self, now: UnixMillis) -> Option<UnixMillis> {
        let calendar = match &self.rule {
            Rule::FirstHit { .. } => return None,
            Rule::Forever => return Some(UnixMillis(0)),
            Rule::Aligned { every } => {
                let every = every.0.max(1);
                return Some(UnixMillis(now.0 / every * every));
            }
            Rule::Calendar(calendar) => calendar,
        };
        // From a moment in an earlier window on, end by end.
        let back = Millis(match calendar.unit {
            CalendarUnit::Hour => DAY_MS / 8,
            CalendarUnit::Day => 2 * DAY_MS,
            CalendarUnit::Week(_) => 9 * DAY_MS,
            CalendarUnit::Month(_) => 33 * DAY_MS,
        });
        let mut start = now - back;
        loop {
            let end = calendar.end(start);
            if end > now {
                return Some(start);
            }
            start = end;
        }
    }

    /// The number of the window that holds a moment: one more than that of the
    /// window before it, at least 1. 0 where windows begin with their first hit. A
    /// day that a zone's calendar leaves out counts as one, and an hour that a
    /// clock's shift cuts in two parts may.
    pub fn number(&self, now: UnixMillis) -> u64 {
        match &self.rule {
            Rule::FirstHit { .. } => 0,
            Rule::Forever => 1,
            Rule::Aligned { every } => now.0 / every.0.max(1) + 1,
            Rule::Calendar(calendar) => {
                let number = calendar.number(now);
                number.unwrap_or(now.0 / DAY_MS).max(1)
            }
        }
    }

    pub fn ends(&self, now: UnixMillis) -> Ends {
        let first = self.end(now);
        Ends(first, self.end(first))
    }

    /// What the two windows of [`Period::ends`] last at least, from within the
    /// first.
    pub fn shortest(&self) -> Millis {
        match &self.rule {
            Rule::FirstHit { every } | Rule::Aligned { every } => *every,
            Rule::Forever => EVERY_MAX,
            Rule::Calendar(calendar) => Millis(match calendar.unit {
                CalendarUnit::Hour => DAY_MS / 48,
                CalendarUnit::Day => DAY_MS / 2,
                CalendarUnit::Week(_) => 6 * DAY_MS,
                CalendarUnit::Month(_) => 27 * DAY_MS,
            }),
        }
    }
}

/// FNV-1a, 64 bit, folded. Fixed for good, as it is stored.
fn kind(name: &str) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(name.as_bytes());
    let hash = hasher.finish();
    (hash >> 52) ^ (hash & ((1 << 52) - 1))
}

impl Calendar {
    /// The first end after `now`.
    fn end(&self, now: UnixMillis) -> UnixMillis {
        let end = self.try_end(now).filter(|end| *end > now);
        end.unwrap_or_else(|| now + Millis(DAY_MS))
    }

    /// See [`Period::number`].
    fn number(&self, now: UnixMillis) -> Option<u64> {
        let ms = i64::try_from(now.0).ok()?;
        let here = Timestamp::from_millisecond(ms)
            .ok()?
            .to_zoned(self.zone.clone());
        let today = here.date();
        let number = match self.unit {
            CalendarUnit::Hour => {
                let local = ms + i64::from(here.offset().seconds()) * 1_000;
                (ms - local.rem_euclid(HOUR_MS)).div_euclid(HOUR_MS) + 1
            }
            CalendarUnit::Day => days(today),
            CalendarUnit::Week(first) => {
                let into = first.until(today.weekday());
                (days(today) - i64::from(into) + 13).div_euclid(7)
            }
            CalendarUnit::Month(anchor) => {
                let begun = anchored(today, anchor)? <= today;
                let months = i64::from(today.year()) * 12 + i64::from(today.month());
                months - i64::from(!begun)
            }
        };
        u64::try_from(number).ok()
    }

    fn try_end(&self, now: UnixMillis) -> Option<UnixMillis> {
        let ms = i64::try_from(now.0).ok()?;
        let here = Timestamp::from_millisecond(ms)
            .ok()?
            .to_zoned(self.zone.clone());
        let today = here.date();
        let begins = match self.unit {
            // By the offset that holds now: an hour that comes twice is two.
            CalendarUnit::Hour => {
                let local = ms + i64::from(here.offset().seconds()) * 1_000;
                let end = ms + HOUR_MS - local.rem_euclid(HOUR_MS);
                return u64::try_from(end).ok().map(UnixMillis);
            }
            CalendarUnit::Day => today.tomorrow().ok()?,
            CalendarUnit::Week(first) => {
                let days = today.weekday().until(first);
                let days = if days == 0 { 7 } else { days };
                today.checked_add(i64::from(days).days()).ok()?
            }
            CalendarUnit::Month(anchor) => next_month(today, anchor)?,
        };
        // The first moment of that day, where its midnight doesn't exist.
        let begin = begins.to_zoned(self.zone.clone()).ok()?;
        millis(&begin)
    }
}

/// How many days a day is after 1969-12-31.
fn days(day: Date) -> i64 {
    let first = Date::constant(1969, 12, 31);
    first
        .until(day)
        .map_or(0, |span| i64::from(span.get_days()))
}

/// The next day on which a month begins.
fn next_month(today: Date, anchor: u8) -> Option<Date> {
    let this = anchored(today, anchor)?;
    if this > today {
        return Some(this);
    }
    let next = today.first_of_month().checked_add(1.month()).ok()?;
    anchored(next, anchor)
}

/// The day of this month on which it begins.
fn anchored(month: Date, anchor: u8) -> Option<Date> {
    let day = i8::try_from(anchor).ok()?.min(month.days_in_month());
    Date::new(month.year(), month.month(), day).ok()
}

fn millis(at: &Zoned) -> Option<UnixMillis> {
    u64::try_from(at.timestamp().as_millisecond())
        .ok()
        .map(UnixMillis)
}

#[cfg(test)]
mod tests;
