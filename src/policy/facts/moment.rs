//! The time of day, as conditions see it.

use crate::units::UnixMillis;
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// A time of day, as conditions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    pub(super) unix: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) day: i64,
    pub(super) month: i64,
    /// From Monday, 0.
    weekday: usize,
}

impl Moment {
    pub fn of(now: UnixMillis, zone: &TimeZone) -> Self {
        let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
        let Ok(time) = Timestamp::from_millisecond(millis) else {
            return Self::default();
        };
        let local = zone.to_datetime(time);
        let weekday = local.date().weekday().to_monday_zero_offset();
        Self {
            unix: time.as_second(),
            hour: local.hour().into(),
            minute: local.minute().into(),
            day: local.day().into(),
            month: local.month().into(),
            weekday: usize::try_from(weekday).unwrap_or_default(),
        }
    }

    pub(super) fn weekday(self) -> Option<&'static str> {
        WEEKDAYS.get(self.weekday).copied()
    }
}
