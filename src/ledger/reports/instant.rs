//! Moments as people write them, in a time zone.
//!
//! Always holds: a time that clocks there never showed, or showed twice, is not
//! guessed at.

use crate::units::UnixMillis;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};

/// Names that are listed beside a wrong one.
const LIKE_MAX: usize = 3;

/// Why a moment, or a zone, isn't one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error(
        "{0:?} is no date: write 2026-11-01, 2026-11, 2026-11-01T09:30, \
         2026-11-01T09:30:00+05:30, today, yesterday or now"
    )]
    Form(String),
    #[error("clocks in {zone} never showed {text}: they are set forward there at that time")]
    Skipped { text: String, zone: String },
    #[error(
        "clocks in {zone} showed {text} twice: add which of both, as in {text}{before} or {text}{after}"
    )]
    Twice {
        text: String,
        zone: String,
        before: String,
        after: String,
    },
    #[error("{0:?} lies outside the years 1970 to 9999")]
    Far(String),
    #[error("{name:?} is no time zone{}", meant(.like))]
    Zone { name: String, like: Vec<String> },
}

/// What might have been meant.
fn meant(names: &[String]) -> String {
    match names.is_empty() {
        true => ": names are as in Asia/Kolkata, Europe/Berlin or UTC".to_owned(),
        false => format!("; did you mean {}?", names.join(", or ")),
    }
}

/// A zone of the IANA database, which is within the program.
///
/// # Errors
/// [`TimeError::Zone`], with names that look like it.
pub fn zone(name: &str) -> Result<TimeZone, TimeError> {
    if let Ok(zone) = TimeZone::get(name) {
        return Ok(zone);
    }
    // Longer ones are none; comparing them would take long.
    const NAME_CHARS_MAX: usize = 64;
    let mut near: Vec<(usize, String)> = Vec::new();
    if name.chars().count() <= NAME_CHARS_MAX {
        let wanted = name.to_lowercase().replace(' ', "_");
        for known in jiff::tz::db().available() {
            let known = known.as_str();
            let lower = known.to_lowercase();
            let city = lower.rsplit('/').next().unwrap_or(&lower);
            let by = [&*lower, city].map(|name| strsim::damerau_levenshtein(&wanted, name));
            let distance = by.into_iter().min().unwrap_or(usize::MAX);
            if distance <= wanted.chars().count() / 4 {
                near.push((distance, known.to_owned()));
            }
        }
    }
    near.sort();
    let nearest = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| *distance == nearest);
    near.truncate(LIKE_MAX);
    Err(TimeError::Zone {
        name: name.chars().take(NAME_CHARS_MAX).collect(),
        like: near.into_iter().map(|(_, name)| name).collect(),
    })
}

/// A moment: a date or month (its first moment in the zone), a time in the zone
/// or with its own offset, or `today`, `yesterday`, `now`.
///
/// # Errors
/// [`TimeError`].
pub fn moment(text: &str, zone: &TimeZone, now: UnixMillis) -> Result<UnixMillis, TimeError> {
    const TEXT_BYTES_MAX: usize = 64;
    let form = || TimeError::Form(text.chars().take(TEXT_BYTES_MAX).collect());
    let far = || TimeError::Far(text.to_owned());
    match text {
        "now" => return Ok(now),
        "today" | "yesterday" => {
            let today = zoned(now, zone).ok_or_else(far)?.date();
            let day = match text {
                "today" => today,
                _ => today.yesterday().map_err(|_| far())?,
            };
            return first_of(day, zone).ok_or_else(far);
        }
        _ => {}
    }
    if text.len() > TEXT_BYTES_MAX || !text.is_ascii() || text.contains('[') {
        return Err(form());
    }
    if let Some(day) = date(text) {
        return first_of(day.ok_or_else(form)?, zone).ok_or_else(far);
    }
    // There are other ways to write a time; nobody means them.
    if text.get(4..5) != Some("-") {
        return Err(form());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return unix(moment).ok_or_else(far);
    }
    let civil: DateTime = text.parse().map_err(|_| form())?;
    let ambiguous = zone.to_ambiguous_zoned(civil);
    let zone_name = || zone.iana_name().unwrap_or("UTC").to_owned();
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => {}
        AmbiguousOffset::Gap { .. } => {
            return Err(TimeError::Skipped {
                text: text.to_owned(),
                zone: zone_name(),
            });
        }
        AmbiguousOffset::Fold { before, after } => {
            return Err(TimeError::Twice {
                text: text.to_owned(),
                zone: zone_name(),
                before: offset(before),
                after: offset(after),
            });
        }
    }
    let zoned = ambiguous.compatible().map_err(|_| far())?;
    unix(zoned.timestamp()).ok_or_else(far)
}

/// The first moment of the month that a moment is in.
pub fn month_of(at: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
    first_of(zoned(at, zone)?.date().first_of_month(), zone)
}

/// A moment on the clocks of a zone; `None` beyond the year 9999.
pub fn zoned(at: UnixMillis, zone: &TimeZone) -> Option<Zoned> {
    let ms = i64::try_from(at.0).ok()?;
    let moment = Timestamp::from_millisecond(ms).ok()?;
    Some(moment.to_zoned(zone.clone()))
}

/// A moment with its zone's offset, as in `2026-11-01T00:00:00+05:30`.
pub fn told(at: UnixMillis, zone: &TimeZone) -> String {
    match zoned(at, zone) {
        Some(zoned) => {
            let own = offset(zoned.offset());
            let own = if own == "+00:00" { "Z" } else { &own };
            let form = match at.0 % 1_000 {
                0 => "%Y-%m-%dT%H:%M:%S",
                _ => "%Y-%m-%dT%H:%M:%S%.3f",
            };
            format!("{}{own}", zoned.strftime(form))
        }
        None => format!("{} ms", at.0),
    }
}

/// `+05:30`.
fn offset(offset: jiff::tz::Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A date or a month by its form; the inner `None` where there is no such day.
fn date(text: &str) -> Option<Option<Date>> {
    let digits = |text: &str, count| {
        (text.len() == count && text.bytes().all(|c| c.is_ascii_digit()))
            .then(|| text.parse::<i16>().ok())
            .flatten()
    };
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = i8::try_from(digits(parts.next()?, 2)?).ok()?;
    let day = match parts.next() {
        Some(day) => i8::try_from(digits(day, 2)?).ok()?,
        None => 1,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(Date::new(year, month, day).ok())
}

/// Where clocks are set at midnight, a day may begin later.
fn first_of(day: Date, zone: &TimeZone) -> Option<UnixMillis> {
    unix(day.to_zoned(zone.clone()).ok()?.timestamp())
}

fn unix(moment: Timestamp) -> Option<UnixMillis> {
    u64::try_from(moment.as_millisecond()).ok().map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_793_700_000_000);

    fn read(text: &str, zone_name: &str) -> Result<String, String> {
        let zone = zone(zone_name).unwrap();
        let at = moment(text, &zone, NOW).map_err(|error| error.to_string())?;
        Ok(told(at, &TimeZone::UTC))
    }

    #[test]
    fn moments_are_those_of_the_zone() {
        for (text, zone, expected) in [
            ("2026-11-01", "UTC", "2026-11-01T00:00:00Z"),
            ("2026-11", "UTC", "2026-11-01T00:00:00Z"),
            ("2026-11-01", "Asia/Kolkata", "2026-10-31T18:30:00Z"),
            ("2026-11-01T09:30", "Asia/Kolkata", "2026-11-01T04:00:00Z"),
            (
                "2026-11-01 09:30:15",
                "asia/kolkata",
                "2026-11-01T04:00:15Z",
            ),
            (
                "2026-11-01T09:30:00Z",
                "Asia/Kolkata",
                "2026-11-01T09:30:00Z",
            ),
            ("2026-11-01T09:30+01:00", "UTC", "2026-11-01T08:30:00Z"),
            (
                "2026-11-01T09:30:00.250Z",
                "UTC",
                "2026-11-01T09:30:00.250Z",
            ),
            // Clocks were set between these two midnights.
            ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z"),
            ("2026-10-26", "Europe/Berlin", "2026-10-25T23:00:00Z"),
            // A day without midnight.
            ("2026-03-29", "Asia/Beirut", "2026-03-28T22:00:00Z"),
            ("now", "UTC", "2026-11-03T10:00:00Z"),
            ("today", "Pacific/Kiritimati", "2026-11-03T10:00:00Z"),
            ("yesterday", "Europe/Berlin", "2026-11-01T23:00:00Z"),
        ] {
            assert_eq!(read(text, zone).as_deref(), Ok(expected), "{text} {zone}");
        }
    }

    #[test]
    fn what_clocks_never_or_twice_showed_is_not_guessed_at() {
        let berlin = "Europe/Berlin";
        let skipped = read("2026-03-29T02:30", berlin).unwrap_err();
        assert!(
            skipped.contains("never showed 2026-03-29T02:30"),
            "{skipped}"
        );
        let twice = read("2026-10-25T02:30", berlin).unwrap_err();
        let both = "as in 2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00";
        assert!(twice.contains(both), "{twice}");
        for (offset, utc) in [("+02:00", "00:30"), ("+01:00", "01:30")] {
            let read = read(&format!("2026-10-25T02:30{offset}"), berlin);
            assert_eq!(read, Ok(format!("2026-10-25T{utc}:00Z")));
        }
    }

    #[test]
    fn what_is_no_date_is_told_what_would_be() {
        for text in [
            "",
            "tomorrow",
            "01.11.2026",
            "2026-13",
            "2026-02-30",
            "2026-1-1",
            "20261101",
            "2026-11-01T25:00",
            "2026-11-01T09:30[Asia/Kolkata]",
            "-2026-11-01",
            "2026-11-01x",
            "\u{0662}\u{0660}26-11-01",
        ] {
            let error = read(text, "UTC").unwrap_err();
            assert!(
                error.contains("is no date: write 2026-11-01"),
                "{text}: {error}"
            );
        }
        let early = read("1969-12-31", "UTC").unwrap_err();
        assert!(early.contains("outside the years"), "{early}");
        assert!(read(&"9".repeat(100_000), "UTC").unwrap_err().len() < 300);
    }

    #[test]
    fn a_wrong_zone_is_told_a_right_one() {
        for (name, right) in [
            ("Kolkata", "Asia/Kolkata"),
            ("Asia/Kolkatta", "Asia/Kolkata"),
            ("Europe/Berlni", "Europe/Berlin"),
            ("new york", "America/New_York"),
        ] {
            let error = zone(name).unwrap_err().to_string();
            assert!(error.contains(right), "{error}");
        }
        let error = zone("Middle/Earth-and-beyond").unwrap_err().to_string();
        assert!(error.contains("names are as in Asia/Kolkata"), "{error}");
        assert!(zone(&"x".repeat(100_000)).unwrap_err().to_string().len() < 300);
    }
}
