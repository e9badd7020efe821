//! Which calls are asked for: from when, until when, of what names.

use super::Rerate;
use crate::ledger::rerating::walk::Span;
use crate::ledger::store::measure::Dimension;
use crate::ledger::store::query::Condition;
use crate::pricing::date;
use crate::units::UnixMillis;
use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Values of all conditions together: far from what a database takes in a
/// statement.
const CONDITIONS_MAX: usize = 100;

pub(super) fn read(args: &Rerate, now: UnixMillis) -> anyhow::Result<Span> {
    let name = &args.time_zone;
    let zone = TimeZone::get(name).map_err(|_| {
        anyhow!("--time-zone: {name:?} is no time zone: names are as in Asia/Kolkata or UTC")
    })?;
    let since = moment(&args.since, &zone).context("--since")?;
    let until = match &args.until {
        Some(text) => moment(text, &zone).context("--until")?,
        None => now,
    };
    if until <= since {
        bail!(
            "--until: must be later than --since ({} is not later than {})",
            date::Written(until),
            date::Written(since)
        );
    }
    if args.only.len() > CONDITIONS_MAX {
        bail!("--where: may be given {CONDITIONS_MAX} times at most");
    }
    let only = args.only.iter().map(|text| condition(text));
    let only: anyhow::Result<Vec<Condition>> = only.collect();
    Ok(Span {
        since,
        until,
        only: only.context("--where")?,
    })
}

/// A date or a month is its first moment in the zone.
fn moment(text: &str, zone: &TimeZone) -> anyhow::Result<UnixMillis> {
    let wrong = || {
        anyhow!(
            "{text:?} is no time: write 2026-11-01, 2026-11, 2026-11-01T09:30 or \
             2026-11-01T09:30:00+05:30"
        )
    };
    let whole_month = text.len() == "2026-11".len();
    let day = match whole_month {
        true => format!("{text}-01").parse::<Date>().ok(),
        false => text.parse::<Date>().ok().filter(|_| text.len() == 10),
    };
    let moment = if let Some(day) = day {
        let first = day.to_zoned(zone.clone()).map_err(|_| wrong())?;
        first.timestamp()
    } else if let Ok(moment) = text.parse::<Timestamp>() {
        moment
    } else {
        let civil: DateTime = text.parse().map_err(|_| wrong())?;
        let once = zone.to_ambiguous_zoned(civil).unambiguous();
        let once = once.map_err(|_| {
            anyhow!(
                "clocks there showed {text} twice or never, as they were set: add the offset, \
                 as in +02:00"
            )
        })?;
        once.timestamp()
    };
    let ms = u64::try_from(moment.as_millisecond());
    ms.map(UnixMillis)
        .map_err(|_| anyhow!("{text:?} lies before 1970"))
}

fn condition(text: &str) -> anyhow::Result<Condition> {
    let Some((name, value)) = text.split_once('=') else {
        bail!("{text:?} must be a name, = or !=, and a value, as in tenant=acme");
    };
    let (name, among) = match name.strip_suffix('!') {
        Some(name) => (name, false),
        None => (name, true),
    };
    let Some(dimension) = Dimension::parse(name) else {
        let known = Dimension::ALL.map(Dimension::as_str);
        bail!(
            "{name:?} is nothing that calls are told apart by; known are {}",
            known.join(", ")
        );
    };
    let value = (!value.is_empty()).then(|| value.to_owned());
    Ok(Condition {
        dimension,
        among,
        names: vec![value],
    })
}
