//! When fixed windows begin and end.

use super::{at, surplus};
use crate::config::problem::{Findings, did_you_mean, shown};
use crate::config::raw::limits::{Anchor, PeriodWord, RawLimit, StartsWord};
use crate::config::reader::Located;
use crate::limits::Algorithm;
use crate::limits::period::{Calendar, CalendarUnit, Period};
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::sync::Arc;

pub(super) fn fixed_window(raw: &RawLimit, findings: &Findings) -> Option<Algorithm> {
    let period = match &raw.period {
        None => {
            let every = raw.every.as_ref()?.value;
            match raw.starts.as_ref().map(|starts| starts.value) {
                Some(StartsWord::FirstHit) => Period::first_hit(every),
                Some(StartsWord::Aligned) | None => Period::aligned(every),
            }
        }
        Some(period) => {
            let text = "has no meaning with a period, which says how long and from when";
            surplus([at(&raw.every), at(&raw.starts)], text, findings);
            match calendar_unit(period.value, raw.anchor.as_ref().map(|a| a.value)) {
                Some(unit) => Period::calendar(Calendar {
                    unit,
                    zone: zone(raw, findings)?,
                }),
                None => Period::forever(),
            }
        }
    };
    Some(Algorithm::FixedWindow {
        period: Arc::new(period),
        rollover: None,
    })
}

/// `None` where no calendar ends it.
fn calendar_unit(period: PeriodWord, anchor: Option<Anchor>) -> Option<CalendarUnit> {
    Some(match (period, anchor) {
        (PeriodWord::Hour, _) => CalendarUnit::Hour,
        (PeriodWord::Day, _) => CalendarUnit::Day,
        (PeriodWord::Week, Some(Anchor::Weekday(day))) => CalendarUnit::Week(day),
        (PeriodWord::Week, _) => CalendarUnit::Week(Weekday::Monday),
        (PeriodWord::Month, Some(Anchor::DayOfMonth(day))) => CalendarUnit::Month(day),
        (PeriodWord::Month, _) => CalendarUnit::Month(1),
        (PeriodWord::Forever, _) => return None,
    })
}

/// From the database that weir brings, so that all sidecars agree.
fn zone(raw: &RawLimit, findings: &Findings) -> Option<TimeZone> {
    match &raw.zone {
        Some(written) => zone_of(written, findings),
        None => Some(TimeZone::UTC),
    }
}

/// The time zone of this name.
pub fn zone_of(written: &Located<String>, findings: &Findings) -> Option<TimeZone> {
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(&written.value) {
        return Some(zone);
    }
    let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
    let hint = did_you_mean(&written.value, names.iter().map(String::as_str));
    let text = format!(
        "must be an IANA time zone such as Europe/Berlin (got {}){hint}",
        shown(&written.value)
    );
    findings.problem(&written.at, text);
    None
}
