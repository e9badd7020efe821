//! Hours, days and months of a time zone as spans of time.
//!
//! Always holds: the periods of a span cover it without gap or overlap, and each
//! is the whole time that clocks there showed the same hour, day or month: a day
//! of 23 or 25 hours is one period; an hour that comes twice, when clocks are
//! set back, is two.

use crate::units::UnixMillis;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// The most periods of one report: a year of hours.
pub const PERIODS_MAX: usize = 9_000;

const HOUR_MS: i64 = 3_600_000;

/// What a report is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    Hour,
    Day,
    Month,
}

/// A span of time: from its first millisecond to before its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period {
    pub from: UnixMillis,
    pub until: UnixMillis,
}

/// Why a span can't be divided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    #[error("a report has at most {PERIODS_MAX} periods; choose a shorter time or longer periods")]
    Many,
    #[error("a time beyond the year 9999")]
    Far,
}

/// The periods that have a part in the span, whole.
///
/// # Errors
/// [`PeriodError`].
pub fn periods(
    since: UnixMillis,
    until: UnixMillis,
    unit: Unit,
    zone: &TimeZone,
) -> Result<Vec<Period>, PeriodError> {
    let mut periods = Vec::new();
    let mut at = since;
    while at < until {
        if periods.len() == PERIODS_MAX {
            return Err(PeriodError::Many);
        }
        let (from, next) = around(at, unit, zone).ok_or(PeriodError::Far)?;
        let period = Period {
            from,
            until: next.max(at + crate::units::Millis(1)),
        };
        at = period.until;
        periods.push(period);
    }
    Ok(periods)
}

/// The period that a moment is in.
fn around(at: UnixMillis, unit: Unit, zone: &TimeZone) -> Option<(UnixMillis, UnixMillis)> {
    let at_ms = i64::try_from(at.0).ok()?;
    let zoned = Timestamp::from_millisecond(at_ms)
        .ok()?
        .to_zoned(zone.clone());
    let (from, until) = match unit {
        Unit::Hour => return hour(at_ms, &zoned),
        Unit::Day => {
            let day = zoned.date();
            (day, day.tomorrow().ok()?)
        }
        Unit::Month => {
            let first = zoned.date().first_of_month();
            (first, first.checked_add(1.month()).ok()?)
        }
    };
    let begin = |day: jiff::civil::Date| Some(unix(&day.to_zoned(zone.clone()).ok()?));
    Some((begin(from)?, begin(until)?))
}

/// The time around a moment that clocks showed its hour without being set.
fn hour(at_ms: i64, zoned: &Zoned) -> Option<(UnixMillis, UnixMillis)> {
    let time = zoned.time();
    let into_hour = i64::from(time.minute()) * 60_000
        + i64::from(time.second()) * 1_000
        + i64::from(time.millisecond());
    let (mut from, mut until) = (at_ms - into_hour, at_ms - into_hour + HOUR_MS);
    let zone = zoned.time_zone();
    let set_before = zone.preceding(Timestamp::from_millisecond(at_ms + 1).ok()?);
    if let Some(change) = set_before.take(1).next() {
        from = from.max(change.timestamp().as_millisecond());
    }
    if let Some(change) = zone.following(zoned.timestamp()).take(1).next() {
        until = until.min(change.timestamp().as_millisecond());
    }
    Some((millis(from), millis(until)))
}

fn unix(zoned: &Zoned) -> UnixMillis {
    millis(zoned.timestamp().as_millisecond())
}

fn millis(ms: i64) -> UnixMillis {
    UnixMillis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        millis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn hours(since: &str, until: &str, unit: Unit, zone: &str) -> Vec<f64> {
        let zone = TimeZone::get(zone).unwrap();
        let periods = periods(at(since), at(until), unit, &zone).unwrap();
        for pair in periods.windows(2) {
            assert_eq!(pair[0].until, pair[1].from);
        }
        let long = |p: &Period| p.until.since(p.from).0 as f64 / HOUR_MS as f64;
        periods.iter().map(long).collect()
    }

    #[test]
    fn days_when_clocks_are_set_have_23_and_25_hours() {
        let days = |since, until, zone| hours(since, until, Unit::Day, zone);
        let berlin = "Europe/Berlin";
        let spring = days("2026-03-28T12:00Z", "2026-03-30T12:00Z", berlin);
        assert_eq!(spring, [24.0, 23.0, 24.0]);
        let autumn = days("2026-10-24T12:00Z", "2026-10-26T12:00Z", berlin);
        assert_eq!(autumn, [24.0, 25.0, 24.0]);
        // Clocks there are set by half an hour.
        let howe = days(
            "2026-04-04T02:00Z",
            "2026-04-05T02:00Z",
            "Australia/Lord_Howe",
        );
        assert_eq!(howe, [24.0, 24.5]);
        // Midnight doesn't exist on the day that clocks are set there.
        let beirut = days("2026-03-28T12:00Z", "2026-03-29T12:00Z", "Asia/Beirut");
        assert_eq!(beirut, [24.0, 23.0]);
    }

    #[test]
    fn zones_off_the_hour_begin_their_days_off_it() {
        let zone = TimeZone::get("Asia/Kathmandu").unwrap();
        let days = periods(
            at("2026-06-01T00:00Z"),
            at("2026-06-01T01:00Z"),
            Unit::Day,
            &zone,
        );
        assert_eq!(days.unwrap()[0].from, at("2026-05-31T18:15:00Z"));
    }

    #[test]
    fn months_are_calendar_months() {
        let months = hours("2024-01-15T00:00Z", "2024-03-01T00:00Z", Unit::Month, "UTC");
        assert_eq!(months, [31.0 * 24.0, 29.0 * 24.0]);
    }

    #[test]
    fn an_hour_that_comes_twice_is_two() {
        let night = |zone, since, until| hours(since, until, Unit::Hour, zone);
        let berlin = night("Europe/Berlin", "2026-10-25T00:00Z", "2026-10-25T03:00Z");
        assert_eq!(berlin, [1.0, 1.0, 1.0]);
        let howe = night(
            "Australia/Lord_Howe",
            "2026-04-04T14:00Z",
            "2026-04-04T16:30Z",
        );
        assert_eq!(howe, [1.0, 0.5, 1.0]);
    }

    #[test]
    fn too_many_and_too_far_are_refused() {
        let all = |since, until| periods(since, until, Unit::Hour, &TimeZone::UTC);
        assert_eq!(
            all(UnixMillis(0), at("2026-01-01T00:00Z")),
            Err(PeriodError::Many)
        );
        let far = UnixMillis(u64::MAX - 5);
        assert_eq!(all(far, UnixMillis(u64::MAX)), Err(PeriodError::Far));
    }
}
