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

/// What a column must hold.
enum Holds {
    /// Digits with a point.
    Decimal,
    /// `2026-11-01T00:00:00Z`.
    Time,
    Text,
    Json,
    /// One of these.
    Word(&'static [&'static str]),
}

/// When it may be null: never, for corrections, or whenever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Null {
    Never,
    Correction,
    Allowed,
    /// It always is.
    Always,
}

/// FOCUS 1.2's columns that are written, by its own rules, in its order; all that
/// it calls mandatory are among them.
const FOCUS: &[(&str, Holds, Null)] = &[
    ("BilledCost", Holds::Decimal, Null::Never),
    ("BillingAccountId", Holds::Text, Null::Never),
    ("BillingAccountName", Holds::Text, Null::Allowed),
    ("BillingCurrency", Holds::Word(&["USD"]), Null::Never),
    ("BillingPeriodEnd", Holds::Time, Null::Never),
    ("BillingPeriodStart", Holds::Time, Null::Never),
    (
        "ChargeCategory",
        Holds::Word(&["Usage", "Purchase", "Tax", "Credit", "Adjustment"]),
        Null::Never,
    ),
    ("ChargeClass", Holds::Word(&["Correction"]), Null::Allowed),
    ("ChargeDescription", Holds::Text, Null::Allowed),
    (
        "ChargeFrequency",
        Holds::Word(&["One-Time", "Recurring", "Usage-Based"]),
        Null::Never,
    ),
    ("ChargePeriodEnd", Holds::Time, Null::Never),
    ("ChargePeriodStart", Holds::Time, Null::Never),
    ("CommitmentDiscountCategory", Holds::Text, Null::Always),
    ("CommitmentDiscountId", Holds::Text, Null::Always),
    ("CommitmentDiscountName", Holds::Text, Null::Always),
    ("CommitmentDiscountStatus", Holds::Text, Null::Always),
    ("CommitmentDiscountType", Holds::Text, Null::Always),
    ("ConsumedQuantity", Holds::Decimal, Null::Correction),
    (
        "ConsumedUnit",
        Holds::Word(&["Tokens", "Requests", "Searches"]),
        Null::Correction,
    ),
    ("ContractedCost", Holds::Decimal, Null::Never),
    ("ContractedUnitPrice", Holds::Decimal, Null::Correction),
    ("EffectiveCost", Holds::Decimal, Null::Never),
    ("InvoiceIssuerName", Holds::Text, Null::Never),
    ("ListCost", Holds::Decimal, Null::Never),
    ("ListUnitPrice", Holds::Decimal, Null::Correction),
    (
        "PricingCategory",
        Holds::Word(&["Standard", "Dynamic", "Committed", "Other"]),
        Null::Correction,
    ),
    ("PricingQuantity", Holds::Decimal, Null::Correction),
    (
        "PricingUnit",
        Holds::Word(&["Tokens", "Requests", "Searches"]),
        Null::Correction,
    ),
    ("ProviderName", Holds::Text, Null::Never),
    ("PublisherName", Holds::Text, Null::Never),
    ("RegionId", Holds::Text, Null::Always),
    ("RegionName", Holds::Text, Null::Always),
    ("ResourceId", Holds::Text, Null::Allowed),
    ("ResourceName", Holds::Text, Null::Allowed),
    ("ResourceType", Holds::Text, Null::Allowed),
    (
        "ServiceCategory",
        Holds::Word(&["AI and Machine Learning"]),
        Null::Never,
    ),
    ("ServiceName", Holds::Text, Null::Never),
    (
        "ServiceSubcategory",
        Holds::Word(&["Generative AI"]),
        Null::Never,
    ),
    ("SkuId", Holds::Text, Null::Correction),
    ("SkuMeter", Holds::Text, Null::Correction),
    ("SkuPriceId", Holds::Text, Null::Correction),
    ("SubAccountId", Holds::Text, Null::Allowed),
    ("SubAccountName", Holds::Text, Null::Allowed),
    ("Tags", Holds::Json, Null::Allowed),
];

fn holds(holds: &Holds, value: &str) -> bool {
    use crate::ledger::reports::instant;
    match holds {
        Holds::Text => true,
        Holds::Word(words) => words.contains(&value),
        Holds::Json => serde_json::from_str::<HashMap<String, String>>(value).is_ok(),
        Holds::Decimal => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
            [whole, rest]
                .into_iter()
                .all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()))
        }
        Holds::Time => {
            let zone = instant::zone("UTC").unwrap();
            let read = instant::moment(value, &zone, UnixMillis(0));
            read.is_ok_and(|at| instant::told(at, &zone) == value)
        }
    }
}

#[test]
fn focus_keeps_the_rules_of_its_columns() {
    use crate::exchange::event::Outcome;
    use crate::pricing::{CostPart, Kind};
    let all_kinds = row(|event| {
        event.cost_parts = Kind::ALL
            .into_iter()
            .map(|kind| CostPart {
                kind,
                units: 3,
                cost_nanos: 7,
            })
            .collect();
        event.cost_nanos = Some(7 * 14);
    });
    let nameless = row(|event| {
        event.model = None;
        event.provider = None;
        event.tenant = None;
        event.key_id = None;
        event.outcome = Outcome::Estimated;
    });
    let unpriced = row(|event| {
        event.cost_nanos = None;
        event.price_version = None;
        event.cost_parts.clear();
    });
    let rows = [row(|_| {}), all_kinds, nameless, unpriced];
    let corrections = rows.each_ref().map(correction);
    let text = written(Form::Focus, &rows, &corrections);
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let own = |name: &&&str| !name.starts_with("x_");
    let columns: Vec<&str> = head.iter().filter(own).copied().collect();
    let known: Vec<&str> = FOCUS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(columns, known);
    let lines = read(&text);
    assert!(lines.len() > 20, "{}", lines.len());
    for line in &lines {
        let is_correction = line["ChargeClass"] == "Correction";
        for (name, what, null) in FOCUS {
            let value = &line[*name];
            let may_be_null = match null {
                Null::Never => false,
                Null::Correction => is_correction,
                Null::Allowed | Null::Always => true,
            };
            match value.is_empty() {
                true => assert!(may_be_null, "{name} is null: {line:?}"),
                false => assert!(
                    *null != Null::Always && holds(what, value),
                    "{name}: {value:?}"
                ),
            }
        }
        // A name goes with its id.
        assert_eq!(
            line["SubAccountId"].is_empty(),
            line["SubAccountName"].is_empty()
        );
        assert!(line["ChargePeriodStart"] < line["ChargePeriodEnd"]);
        assert!(line["BillingPeriodStart"] <= line["ChargePeriodStart"]);
        assert!(line["ChargePeriodStart"] < line["BillingPeriodEnd"]);
    }
}

/// Its price times its quantity is what a charge costs, but for rounding.
#[test]
fn unit_prices_are_those_of_charges() {
    use crate::ledger::reports::money::decimal;
    let lines = read(&written(Form::Focus, &[row(|_| {})], &[]));
    for (line, each) in lines.iter().zip(["0.000002500000000", "0.000010000000000"]) {
        assert_eq!(line["ListUnitPrice"], each);
        assert_eq!(line["ContractedUnitPrice"], each);
        let each = decimal(each, 15).unwrap();
        let quantity: i128 = line["PricingQuantity"].parse().unwrap();
        let cost = decimal(&line["ListCost"], 15).unwrap();
        assert_eq!(each * quantity, cost);
    }
}
