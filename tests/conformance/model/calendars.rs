//! The calendars that histories go by. A period doesn't tell its own, so the
//! model finds it here.

use jiff::civil::Weekday;
use jiff::tz::TimeZoneDatabase;
use std::sync::OnceLock;
use weir::limits::period::{Calendar, CalendarUnit, Period};

/// Hours through a shift of 30 minutes; days of 23 and 25 hours, north and
/// south; a calendar without 2011-12-30; months that begin with their last day.
const KNOWN: [(CalendarUnit, &str); 9] = [
    (CalendarUnit::Hour, "Australia/Lord_Howe"),
    (CalendarUnit::Day, "Europe/Berlin"),
    (CalendarUnit::Day, "Australia/Lord_Howe"),
    (CalendarUnit::Day, "Pacific/Apia"),
    (CalendarUnit::Week(Weekday::Sunday), "America/New_York"),
    (CalendarUnit::Month(31), "Europe/Berlin"),
    (CalendarUnit::Month(30), "Pacific/Apia"),
    (CalendarUnit::Month(1), "America/New_York"),
    (CalendarUnit::Day, "America/Sao_Paulo"),
];

pub fn known() -> &'static [(Calendar, Period)] {
    static CALENDARS: OnceLock<Vec<(Calendar, Period)>> = OnceLock::new();
    CALENDARS.get_or_init(|| {
        let zones = TimeZoneDatabase::bundled();
        let calendars = KNOWN.map(|(unit, zone)| Calendar {
            unit,
            zone: zones.get(zone).unwrap(),
        });
        let periods = calendars.map(|calendar| (calendar.clone(), Period::calendar(calendar)));
        periods.to_vec()
    })
}

pub(super) fn of(period: &Period) -> Calendar {
    let found = known().iter().find(|(_, known)| known == period);
    found.expect("a calendar that is listed above").0.clone()
}
