//! Exports, line by line.

use super::super::format::tests::{event, golden};
use super::*;
use crate::ledger::row::Link;
use crate::units::UnixMillis;

fn row(change: impl Fn(&mut crate::exchange::UsageEvent)) -> Row {
    let mut event = event();
    change(&mut event);
    let link = Link {
        chain: uuid::Uuid::from_u128(7),
        sequence: 12,
        hash: [0; 32],
    };
    Row { event, link }
}

fn correction(row: &Row) -> Adjustment {
    Adjustment {
        event: row.event.id,
        run: uuid::Uuid::from_u128(9),
        at: UnixMillis(1_793_800_000_000),
        delta_nanos: -500,
        price_version: Some("2".into()),
        reason: "=price, was wrong".into(),
    }
}

fn written(form: Form, rows: &[Row], corrections: &[Adjustment]) -> String {
    let mut bytes = head(form).unwrap();
    Page::new(rows, corrections)
        .write(form, &mut bytes)
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The fields of each line by column.
fn read(text: &str) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

#[test]
fn focus_has_a_line_for_each_charge_and_its_sum_is_what_calls_cost() {
    use crate::exchange::event::Outcome;
    let priced = row(|_| {});
    let unpriced = row(|event| {
        event.cost_nanos = None;
        event.cost_parts.clear();
        event.tenant = Some("@evil".into());
    });
    let reserved = row(|event| event.cost_parts.clear());
    let void = row(|event| {
        event.outcome = Outcome::Void;
        event.cost_nanos = None;
        event.cost_parts.clear();
    });
    let rows = [priced, unpriced, reserved, void];
    let text = written(Form::Focus, &rows, &[]);
    let lines = read(&text);
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[2]["SubAccountId"], "'@evil");
    assert!(lines[2]["Tags"].contains(r#""unpriced":"true""#));
    let sum: i128 = lines
        .iter()
        .map(|line| crate::ledger::reports::money::decimal(&line["BilledCost"], 9).unwrap())
        .sum();
    assert_eq!(sum, 2 * 3_500_000);
    for line in &lines {
        for cost in ["EffectiveCost", "ListCost", "ContractedCost"] {
            assert_eq!(line[cost], line["BilledCost"]);
        }
    }
}

#[test]
fn exports_are_as_they_were() {
    let rows = [row(|_| {})];
    let corrections = [correction(&rows[0])];
    golden("focus.csv", &written(Form::Focus, &rows, &corrections));
    golden("calls.csv", &written(Form::Csv, &rows, &corrections));
    golden("calls.jsonl", &written(Form::Jsonl, &rows, &[]));
}
