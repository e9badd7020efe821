//! Where windows end, against dates written out.

use super::*;

fn at(text: &str) -> UnixMillis {
    let moment: Timestamp = text.parse().unwrap();
    UnixMillis(u64::try_from(moment.as_millisecond()).unwrap())
}

fn ends(unit: CalendarUnit, zone: &str, now: &str) -> (String, String) {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
    let Ends(first, second) = Period::calendar(Calendar { unit, zone }).ends(at(now));
    let text = |at: UnixMillis| {
        let ms = i64::try_from(at.0).unwrap();
        Timestamp::from_millisecond(ms).unwrap().to_string()
    };
    (text(first), text(second))
}

#[test]
fn a_calendars_windows_end_by_local_time() {
    use CalendarUnit::{Day, Hour, Month, Week};
    let berlin = "Europe/Berlin";
    for (unit, zone, now, first, second) in [
        (
            Hour,
            "UTC",
            "2026-11-23T18:00:00Z",
            "2026-11-23T19:00:00Z",
            "2026-11-23T20:00:00Z",
        ),
        (
            Hour,
            "Asia/Kolkata",
            "2026-11-23T18:29:59.999Z",
            "2026-11-23T18:30:00Z",
            "2026-11-23T19:30:00Z",
        ),
        // The hour that comes twice is two hours.
        (
            Hour,
            berlin,
            "2026-10-25T00:59:59Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ),
        (
            Day,
            "UTC",
            "2026-12-31T23:59:59.999Z",
            "2027-01-01T00:00:00Z",
            "2027-01-02T00:00:00Z",
        ),
        // 23 hours, then 24.
        (
            Day,
            berlin,
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
            "2026-03-30T22:00:00Z",
        ),
        // 25 hours.
        (
            Day,
            berlin,
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
            "2026-10-26T23:00:00Z",
        ),
        // Midnight doesn't exist: the day begins at one.
        (
            Day,
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            "2026-04-23T22:00:00Z",
            "2026-04-24T21:00:00Z",
        ),
        // Samoa had no 30 December 2011.
        (
            Day,
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-31T10:00:00Z",
        ),
        (
            Week(Weekday::Monday),
            "UTC",
            "2026-11-23T00:00:00Z",
            "2026-11-30T00:00:00Z",
            "2026-12-07T00:00:00Z",
        ),
        (
            Week(Weekday::Sunday),
            "UTC",
            "2026-11-23T00:00:00Z",
            "2026-11-29T00:00:00Z",
            "2026-12-06T00:00:00Z",
        ),
        (
            Month(1),
            "America/New_York",
            "2026-11-30T23:00:00Z",
            "2026-12-01T05:00:00Z",
            "2027-01-01T05:00:00Z",
        ),
        (
            Month(15),
            "UTC",
            "2026-11-15T00:00:00Z",
            "2026-12-15T00:00:00Z",
            "2027-01-15T00:00:00Z",
        ),
        // 31 is the last day, in leap years too.
        (
            Month(31),
            "UTC",
            "2028-01-31T00:00:00Z",
            "2028-02-29T00:00:00Z",
            "2028-03-31T00:00:00Z",
        ),
        (
            Month(30),
            "UTC",
            "2027-02-27T12:00:00Z",
            "2027-02-28T00:00:00Z",
            "2027-03-30T00:00:00Z",
        ),
    ] {
        let expected = (first.to_owned(), second.to_owned());
        assert_eq!(ends(unit, zone, now), expected, "{unit:?} {zone} {now}");
    }
}

/// Whatever the moment, windows follow one another without gap or overlap, and
/// last as long as [`Period::shortest`] says.
#[test]
fn windows_tile_time() {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Pacific/Apia",
    ];
    let units = [
        CalendarUnit::Hour,
        CalendarUnit::Day,
        CalendarUnit::Week(Weekday::Wednesday),
        CalendarUnit::Month(1),
        CalendarUnit::Month(31),
    ];
    for zone in zones {
        for unit in units {
            let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
            let period = Period::calendar(Calendar { unit, zone });
            let mut now = at("2011-11-01T00:00:00Z");
            for _ in 0..3_000 {
                let end = period.end(now);
                assert!(end > now, "{unit:?} {now:?}");
                let last_moment = UnixMillis(end.0 - 1);
                assert_eq!(period.end(last_moment), end, "{unit:?} {now:?}");
                let Ends(_, second) = period.ends(last_moment);
                assert!(
                    second.since(last_moment) >= period.shortest(),
                    "{unit:?} {now:?}"
                );
                now = end;
            }
        }
    }
}

#[test]
fn moments_beyond_any_calendar_have_an_end_too() {
    let zone = TimeZone::UTC;
    for unit in [CalendarUnit::Hour, CalendarUnit::Month(31)] {
        let zone = zone.clone();
        let period = Period::calendar(Calendar { unit, zone });
        for now in [0, 253_402_300_799_999, 1 << 60] {
            assert!(period.end(UnixMillis(now)) > UnixMillis(now));
        }
    }
}

#[test]
fn periods_are_told_apart_by_their_kind() {
    let zone = |name| jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap();
    let calendar = |unit, zone| Period::calendar(Calendar { unit, zone });
    let kinds = [
        Period::first_hit(Millis(60_000)),
        Period::aligned(Millis(60_000)),
        Period::forever(),
        Period::aligned(Millis(61_000)),
        calendar(CalendarUnit::Day, zone("UTC")),
        calendar(CalendarUnit::Day, zone("Europe/Berlin")),
        calendar(CalendarUnit::Month(1), zone("UTC")),
        calendar(CalendarUnit::Month(2), zone("UTC")),
        calendar(CalendarUnit::Week(Weekday::Monday), zone("UTC")),
    ]
    .map(|period| period.kind());
    let distinct: std::collections::HashSet<u64> = kinds.into_iter().collect();
    assert_eq!(distinct.len(), kinds.len());
    assert!(kinds.iter().all(|kind| *kind < 1 << 53));
    // Stored, so never to change.
    assert_eq!(
        Period::first_hit(Millis(60_000)).kind(),
        4_147_731_801_964_770
    );
}

#[test]
fn a_window_begins_where_the_one_before_ends() {
    use proptest::prelude::*;
    let zones = [
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Asia/Beirut",
    ];
    proptest!(|(
        ms in 1_500_000_000_000_u64..2_000_000_000_000, zone in 0..zones.len(),
        unit in 0..4_usize, anchor in 1..=31_u8,
    )| {
        let unit = match unit {
            0 => CalendarUnit::Hour,
            1 => CalendarUnit::Day,
            2 => CalendarUnit::Week(Weekday::Thursday),
            _ => CalendarUnit::Month(anchor),
        };
        let zone = TimeZone::get(zones[zone]).unwrap();
        let now = UnixMillis(ms);
        for period in [
            Period::calendar(Calendar { unit, zone }),
            Period::aligned(Millis(ms % 1_000_000_007 + 1)),
        ] {
            let start = period.start(now).unwrap();
            prop_assert!(start <= now);
            prop_assert_eq!(period.end(start), period.end(now));
            prop_assert_eq!(period.end(start - Millis(1)), start);
        }
    });
    assert_eq!(Period::first_hit(Millis(7)).start(UnixMillis(9)), None);
}

/// What lies between two windows is told by their numbers.
#[test]
fn each_window_has_one_more_than_the_number_of_the_one_before() {
    use CalendarUnit::{Day, Hour, Month, Week};
    let zone = |name| jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap();
    let calendar = |unit, name| {
        Period::calendar(Calendar {
            unit,
            zone: zone(name),
        })
    };
    let periods = [
        Period::aligned(Millis(7_000_000)),
        calendar(Hour, "Europe/Berlin"),
        calendar(Hour, "Asia/Kolkata"),
        calendar(Day, "Europe/Berlin"),
        calendar(Day, "Australia/Lord_Howe"),
        calendar(Day, "America/Sao_Paulo"),
        calendar(Week(Weekday::Monday), "UTC"),
        calendar(Week(Weekday::Saturday), "America/New_York"),
        calendar(Month(1), "America/New_York"),
        calendar(Month(15), "Pacific/Apia"),
        calendar(Month(31), "Europe/Berlin"),
    ];
    for period in periods {
        for begin in [at("1970-01-03T00:00:00Z"), at("2017-12-31T22:30:00Z")] {
            let mut now = begin;
            for _ in 0..2_000 {
                let (end, number) = (period.end(now), period.number(now));
                assert!(number > 0);
                assert_eq!(period.number(end - Millis(1)), number, "{period:?} {now:?}");
                assert_eq!(period.number(end), number + 1, "{period:?} {now:?}");
                now = end;
            }
        }
    }
    assert_eq!(
        Period::first_hit(Millis(5)).number(at("2026-01-01T00:00:00Z")),
        0
    );
}

#[test]
fn what_is_for_ever_has_one_window() {
    let forever = Period::forever();
    for now in [0, 1_794_830_400_000, FOREVER.0 - 1] {
        let now = UnixMillis(now);
        assert_eq!(forever.start(now), Some(UnixMillis(0)));
        assert_eq!(forever.number(now), 1);
        let Ends(first, second) = forever.ends(now);
        assert_eq!(first.0.max(now.0 + 86_400_000), first.0);
        assert!(now < first && first < second);
    }
    assert_eq!(forever.end(UnixMillis(1_794_830_400_000)), FOREVER);
    assert_eq!((forever.length(), forever.calendar_unit()), (None, None));
    assert!(forever.is_forever() && !Period::aligned(EVERY_MAX).is_forever());
}
