//! Dates of prices as they are written: `2026-10-12`, or to the millisecond
//! `2026-10-12T08:30:00.250Z`. A date alone is its first moment in UTC.

use crate::units::UnixMillis;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fmt;

/// Reads a date; `None` where the text is none, or lies before 1970.
pub fn read(text: &str) -> Option<UnixMillis> {
    let moment = match text.len() {
        10 => text
            .parse::<Date>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp(),
        _ => text.parse::<Timestamp>().ok()?,
    };
    u64::try_from(moment.as_millisecond()).ok().map(UnixMillis)
}

/// A moment as [`read`] takes it.
pub struct Written(pub UnixMillis);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0.0)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(moment) = moment else {
            return write!(f, "{} ms", self.0.0);
        };
        let text = moment.to_string();
        f.write_str(text.strip_suffix("T00:00:00Z").unwrap_or(&text))
    }
}
