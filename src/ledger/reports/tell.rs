//! Rows, sums and calls as JSON. Costs are whole nano-dollars; absent is `null`.

use super::instant::told;
use crate::ledger::store::Shown;
use crate::ledger::store::measure::{Measure, Sums};
use crate::ledger::store::period::{Period, Unit};
use crate::ledger::store::query::Query;
use crate::ledger::store::report::UsageRow;
use jiff::tz::TimeZone;
use serde_json::{Map, Number, Value, json};

/// The word of a period.
pub fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Hour => "hour",
        Unit::Day => "day",
        Unit::Month => "month",
    }
}

/// A period by its name: `2026-11`, `2026-11-01`, `2026-11-01T09:00:00+05:30`.
pub fn period(period: Period, unit: Unit, zone: &TimeZone) -> String {
    let from = told(period.from, zone);
    let name = match unit {
        Unit::Hour => None,
        Unit::Day => from.get(..10),
        Unit::Month => from.get(..7),
    };
    name.map_or_else(|| from.clone(), str::to_owned)
}

/// A sum as a number; one that no JSON number of a database could hold, as text.
pub fn number(sum: i128) -> Value {
    Number::from_i128(sum).map_or_else(|| Value::String(sum.to_string()), Value::Number)
}

/// What was asked, for the head of an answer.
pub fn asked(query: &Query) -> Map<String, Value> {
    let period = query.unit.map(|period| unit(period).to_owned());
    let by: Vec<String> = period.into_iter().chain(query.names()).collect();
    let mut map = Map::new();
    map.insert("since".into(), json!(told(query.since, &query.zone)));
    map.insert("until".into(), json!(told(query.until, &query.zone)));
    let zone = query.zone.iana_name().unwrap_or("UTC");
    map.insert("time_zone".into(), json!(zone));
    map.insert("by".into(), json!(by));
    map
}

/// A row: its period (name, from, until), its names, its sums.
pub fn row(row: &UsageRow, query: &Query) -> Value {
    let mut map = Map::new();
    if let (Some(of), Some(by)) = (row.period, query.unit) {
        map.insert(unit(by).into(), json!(period(of, by, &query.zone)));
        map.insert("from".into(), json!(told(of.from, &query.zone)));
        map.insert("until".into(), json!(told(of.until, &query.zone)));
    }
    for (of, name) in query.names().zip(&row.names) {
        map.insert(of, json!(name));
    }
    map.extend(sums(&row.sums));
    Value::Object(map)
}

/// Every measure, and what follows from them.
pub fn sums(sums: &Sums) -> Map<String, Value> {
    let mut map = Map::new();
    for measure in Measure::ALL {
        map.insert(measure.as_str().into(), number(sums.get(measure)));
    }
    map.insert("total_tokens".into(), number(sums.total_tokens()));
    map.insert("net_nanos".into(), number(sums.net_nanos()));
    map
}

/// The sum of rows.
pub fn total(rows: &[UsageRow]) -> Sums {
    let mut sums = Sums::default();
    for row in rows {
        sums.merge(&row.sums);
    }
    sums
}

/// A call: its event, its place in its chain, its corrections.
pub fn call(shown: &Shown) -> Value {
    let corrections: Vec<Value> = shown
        .adjustments
        .iter()
        .map(|one| {
            json!({
                "run": one.run.simple().to_string(),
                "at_ms": one.at.0,
                "delta_nanos": one.delta_nanos,
                "price_version": one.price_version,
                "reason": one.reason,
            })
        })
        .collect();
    let link = &shown.row.link;
    // The event has no map whose keys aren't text.
    let event = serde_json::to_value(&shown.row.event).unwrap_or(Value::Null);
    json!({
        "event": event,
        "chain": {
            "id": link.chain.simple().to_string(),
            "sequence": link.sequence,
            "hash": hex(&link.hash),
        },
        "adjustments": corrections,
        "net_nanos": net_nanos(shown).map(number),
    })
}

/// What the call costs after corrections, where it has a cost.
pub fn net_nanos(shown: &Shown) -> Option<i128> {
    let added = shown
        .adjustments
        .iter()
        .map(|one| i128::from(one.delta_nanos));
    let added: i128 = added.sum();
    match shown.row.event.cost_nanos {
        Some(cost) => Some(i128::from(cost) + added),
        None => (added != 0).then_some(added),
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
