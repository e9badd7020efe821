//! Reports as texts, held against files.

use super::*;
use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, Outcome, SCHEMA};
use crate::ledger::reports::instant::zone;
use crate::ledger::store::measure::{Dimension, Measure};
use crate::ledger::store::period::{Unit, periods};
use crate::limits::HoldId;
use crate::pricing::{CostPart, Kind};
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use std::path::Path;

/// 2026-11-03T10:00:00Z.
const AT: UnixMillis = UnixMillis(1_793_700_000_000);

/// A call that cost $0.0035.
pub(in crate::cli::usage) fn event() -> UsageEvent {
    UsageEvent {
        schema: SCHEMA.to_owned(),
        id: HoldId::new(AT, &[7; 10]),
        outcome: Outcome::Exact,
        refusal: None,
        refused_by: None,
        would_refuse: Vec::new(),
        started_at_ms: AT,
        first_token_at_ms: Some(UnixMillis(AT.0 + 300)),
        ended_at_ms: UnixMillis(AT.0 + 1_200),
        tenant: Some("acme".into()),
        project: None,
        environment: Some("prod".into()),
        user: Some("ada, \"the first\"".into()),
        key_id: Some("ada-key".into()),
        plan: Some("team".into()),
        labels: Some([("team".into(), "search, \"x\"".into())].into()),
        endpoint: Some(Endpoint::ChatCompletions),
        dialect: "openai".into(),
        provider: Some("openai".into()),
        model: Some("gpt-4o".into()),
        model_asked: None,
        model_served: Some("gpt-4o-2024-08-06".into()),
        service_tier: None,
        stream: true,
        status: Some(200),
        finish_reason: Some("stop".into()),
        known: Some(Known::Provider),
        input_tokens: Some(1_000),
        cached_input_tokens: None,
        cache_write_tokens: None,
        cache_write_1h_tokens: None,
        input_audio_tokens: None,
        input_image_tokens: None,
        cached_input_audio_tokens: None,
        cached_input_image_tokens: None,
        input_known: None,
        output_known: None,
        output_tokens: Some(100),
        reasoning_tokens: None,
        output_audio_tokens: None,
        output_image_tokens: None,
        searches: None,
        reserved_tokens: Some(2_000),
        cost_nanos: Some(3_500_000),
        cost_parts: vec![
            CostPart {
                kind: Kind::Input,
                units: 1_000,
                cost_nanos: 2_500_000,
            },
            CostPart {
                kind: Kind::Output,
                units: 100,
                cost_nanos: 1_000_000,
            },
        ],
        price_version: Some("1".into()),
        actions: Vec::new(),
        cache_hit: false,
        request_bytes: 400,
        traceparent: None,
    }
}

/// The text is that of the file; with `WEIR_WRITE_GOLDEN` it is written there.
pub(in crate::cli::usage) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/usage")
        .join(name);
    if std::env::var_os("WEIR_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{}", path.display());
}

fn query(unit: Option<Unit>) -> Query {
    Query {
        zone: zone("Asia/Kolkata").unwrap(),
        unit,
        group_by: vec![Dimension::Tenant, Dimension::ModelServed],
        ..Query::of(UnixMillis(AT.0 - 86_400_000), UnixMillis(AT.0 + 86_400_000))
    }
}

fn rows(query: &Query) -> Vec<UsageRow> {
    let names = [
        [Some("acme"), Some("gpt-4o, new")],
        [Some("=HYPERLINK(\"x\")"), None],
        [Some("\u{1b}[2Jglobex"), Some("o\"3")],
    ];
    let all = query
        .unit
        .map(|unit| periods(query.since, query.until, unit, &query.zone).unwrap());
    let row = |(at, names): (usize, [Option<&str>; 2])| {
        let mut sums = Sums::of(&event());
        let more = i128::try_from(at).unwrap();
        sums.add(Measure::CostNanos, 1_234_567_890_123 * more);
        sums.add(Measure::AdjustmentNanos, -150_000 * more);
        sums.add(Measure::ReasoningTokens, 40 * more);
        sums.add(Measure::Unpriced, more / 2);
        UsageRow {
            period: all.as_ref().map(|all| all[at]),
            names: names.map(|name| name.map(str::to_owned)).to_vec(),
            sums,
        }
    };
    names.into_iter().enumerate().map(row).collect()
}

/// Each form of a report.
fn all(unit: Option<Unit>) -> [String; 4] {
    let query = query(unit);
    let rows = rows(&query);
    let told = Told {
        query: &query,
        total: &tell::total(&rows),
        all: 5,
        rows: &rows,
    };
    let bytes = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        String::from_utf8(bytes).unwrap()
    };
    [
        table::of(&told),
        bytes(&|to| csv::write(&told, to).unwrap()),
        bytes(&|to| json::write(&told, to).unwrap()),
        bytes(&|to| json::write_lines(&told, to).unwrap()),
    ]
}

#[test]
fn reports_are_as_they_were() {
    for (unit, name) in [(None, "plain"), (Some(Unit::Day), "days")] {
        for (text, end) in all(unit).iter().zip(["txt", "csv", "json", "jsonl"]) {
            golden(&format!("{name}.{end}"), text);
        }
    }
}

#[test]
fn no_form_lets_a_formula_or_a_control_character_through() {
    let [table, csv, json, lines] = all(None);
    assert!(!table.contains('\u{1b}'), "{table}");
    let mut read = ::csv::Reader::from_reader(csv.as_bytes());
    for record in read.records() {
        let record = record.unwrap();
        assert!(!record[0].starts_with('='), "{record:?}");
    }
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["rows"][1]["tenant"], "=HYPERLINK(\"x\")");
    assert_eq!(document["rows"][1]["model_served"], serde_json::Value::Null);
    assert_eq!(
        document["total"]["cost_nanos"],
        3 * 3_500_000 + 3 * 1_234_567_890_123_i64
    );
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn a_total_is_of_nano_dollars_and_not_of_what_is_shown() {
    let query = Query {
        group_by: vec![Dimension::Tenant],
        ..query(None)
    };
    let row = |name: &str| {
        let mut sums = Sums::default();
        sums.add(Measure::Calls, 1);
        sums.add(Measure::CostNanos, 40_000);
        UsageRow {
            period: None,
            names: vec![Some(name.to_owned())],
            sums,
        }
    };
    let rows = ["a", "b", "c"].map(row);
    let told = Told {
        query: &query,
        total: &tell::total(&rows),
        all: 3,
        rows: &rows,
    };
    let table = table::of(&told);
    assert_eq!(table.matches("<0.0001").count(), 3, "{table}");
    assert!(table.trim_end().ends_with("0.0001"), "{table}");
}

#[test]
fn a_program_without_parquet_says_how_to_get_it() {
    let built = Format::Parquet.is_built();
    match cfg!(feature = "parquet") {
        true => built.unwrap(),
        false => {
            let error = built.unwrap_err().to_string();
            assert!(error.contains("--features parquet"), "{error}");
        }
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_the_rows() {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;
    let query = query(Some(Unit::Day));
    let rows = rows(&query);
    let told = Told {
        query: &query,
        total: &tell::total(&rows),
        all: 3,
        rows: &rows,
    };
    let mut bytes = Vec::new();
    parquet::write(&told, &mut bytes).unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let read: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(read.len(), 3);
    for (read, row) in read.iter().zip(&rows) {
        let period = row.period.unwrap();
        assert_eq!(
            read.get_timestamp_millis(1).unwrap(),
            i64::try_from(period.from.0).unwrap()
        );
        assert_eq!(read.get_string(3).ok(), row.names[0].as_ref());
        let net = read.get_column_iter().last().unwrap().1.to_string();
        assert_eq!(net, row.sums.net_nanos().to_string());
    }
}
