//! Providers' reports, right and wrong, and what differs.

use super::bill::{Figure, of_text};
use super::*;
use crate::ledger::store::measure::{Measure, Sums};
use crate::ledger::store::period::Period;
use crate::ledger::store::report::UsageRow;
use crate::units::UnixMillis;
use serde_json::json;

/// 2025-08-01.
const DAY: u64 = 1_754_006_400;

/// Day, model and figures.
type Told<'b> = (String, &'b str, Vec<(Figure, i128)>);

/// Each line of a bill.
fn lines(bill: &Bill) -> Vec<Told<'_>> {
    let of = |figures: &bill::Figures| {
        let all = Figure::ALL.into_iter();
        all.filter_map(|figure| Some((figure, figures.get(figure)?)))
            .collect()
    };
    bill.lines
        .iter()
        .map(|((day, model), figures)| (day.to_string(), model.as_str(), of(figures)))
        .collect()
}

fn openai_usage() -> String {
    json!({"object": "page", "has_more": true, "next_page": "x", "data": [
        {"object": "bucket", "start_time": DAY, "end_time": DAY + 3_600, "results": [
            {"object": "organization.usage.completions.result", "input_tokens": 1000,
             "output_tokens": 500, "input_cached_tokens": 800, "num_model_requests": 5,
             "model": "gpt-4o-2024-08-06", "batch": null},
            {"input_tokens": 7, "output_tokens": "3", "num_model_requests": 1.0,
             "model": "gpt-4o-2024-08-06", "a_new_field": {"x": 1}}]},
        {"object": "bucket", "start_time": DAY + 3_600, "results": [
            {"input_tokens": 1, "output_tokens": 1, "num_model_requests": 1, "model": "o3"}]},
        {"object": "bucket", "start_time": DAY + 86_400, "results": []}]})
    .to_string()
}

#[test]
fn openais_reports_are_read() {
    use Figure::*;
    let bill = of_text(&openai_usage(), Provider::Openai).unwrap();
    let day = || "2025-08-01".to_owned();
    assert_eq!(
        lines(&bill),
        [
            (
                day(),
                "gpt-4o-2024-08-06",
                vec![
                    (Requests, 6),
                    (InputTokens, 1007),
                    (CachedInputTokens, 800),
                    (OutputTokens, 503)
                ]
            ),
            (
                day(),
                "o3",
                vec![(Requests, 1), (InputTokens, 1), (OutputTokens, 1)]
            ),
        ]
    );
    assert!(bill.has_more && bill.by_model);
    let costs = json!({"data": [{"start_time": DAY, "results": [
        {"amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-4o-2024-08-06, input"},
        {"amount": {"value": "6e-05", "currency": "USD"}, "line_item": "gpt-4o-2024-08-06, output"},
        {"amount": {"value": 1, "currency": "usd"}, "line_item": null}]}], "has_more": false});
    let two_pages = format!("{costs}\n{costs}");
    let bill = of_text(&two_pages, Provider::Openai).unwrap();
    assert_eq!(
        lines(&bill),
        [
            (day(), "(all models)", vec![(CostNanos, 2_000_000_000)]),
            (day(), "gpt-4o-2024-08-06", vec![(CostNanos, 120_120_000)]),
        ]
    );
    let csv = "\u{feff}start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,input_tokens,output_tokens\r\n\
        1754006400,1754006460,2025-08-01T00:00:00+00:00,2025-08-01T00:01:00+00:00,3.0,o3,\"4212\",1673\r\n\
        1754006460,1754006520,2025-08-01T00:01:00+00:00,,,,,\r\n";
    let bill = of_text(csv, Provider::Openai).unwrap();
    let read = [(Requests, 3), (InputTokens, 4212), (OutputTokens, 1673)];
    assert_eq!(lines(&bill), [(day(), "o3", read.to_vec())]);
    let csv = "start_time_iso,amount_value,amount_currency,line_item\n2025-08-01T00:00:00+00:00,0.5,usd,\"o3, input\"\n";
    let bill = of_text(csv, Provider::Openai).unwrap();
    assert_eq!(
        lines(&bill),
        [(day(), "o3", vec![(CostNanos, 500_000_000)])]
    );
}

#[test]
fn anthropics_reports_are_read() {
    use Figure::*;
    let usage = json!({"data": [{"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z",
        "results": [{"uncached_input_tokens": 1500, "cache_creation":
            {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
            "cache_read_input_tokens": 200, "output_tokens": 500, "model": "claude-sonnet-4"}]}]});
    let bill = of_text(&usage.to_string(), Provider::Anthropic).unwrap();
    let figures = vec![
        (InputTokens, 3_200),
        (CachedInputTokens, 200),
        (OutputTokens, 500),
    ];
    assert_eq!(
        lines(&bill),
        [("2025-08-01".to_owned(), "claude-sonnet-4", figures)]
    );
    let costs = json!({"data": [{"starting_at": "2025-08-01T00:00:00Z", "results": [
        {"currency": "USD", "amount": "123.78912", "model": "claude-sonnet-4", "cost_type": "tokens"},
        {"currency": "USD", "amount": "100", "model": null, "description": "Web Search Usage"}]}]});
    let bill = of_text(&costs.to_string(), Provider::Anthropic).unwrap();
    assert_eq!(
        lines(&bill),
        [
            (
                "2025-08-01".to_owned(),
                "Web Search Usage",
                vec![(CostNanos, 1_000_000_000)]
            ),
            (
                "2025-08-01".to_owned(),
                "claude-sonnet-4",
                vec![(CostNanos, 1_237_891_200)]
            ),
        ]
    );
}

#[test]
fn what_is_no_report_is_said_with_its_place() {
    let result = |result: serde_json::Value| {
        json!({"data": [{"start_time": DAY, "results": [result]}]}).to_string()
    };
    use Provider::{Anthropic, Openai};
    for (text, provider, expected) in [
        ("{".to_owned(), Openai, "page 1 is no JSON"),
        (
            json!({"error": {"message": "no"}}).to_string(),
            Openai,
            "an error that the provider answered",
        ),
        (json!({"x": 1}).to_string(), Anthropic, "it has no `data`"),
        (
            json!({"data": [{"results": []}]}).to_string(),
            Openai,
            "data[0]: has none of start_time",
        ),
        (
            json!({"data": [{"start_time": "soon", "results": []}]}).to_string(),
            Openai,
            "\"soon\" is no time",
        ),
        (
            json!({"data": [{"start_time": u64::MAX, "results": []}]}).to_string(),
            Openai,
            "is no time",
        ),
        (
            json!({"data": [{"start_time": DAY}]}).to_string(),
            Openai,
            "data[0]: has no `results`",
        ),
        (result(json!(5)), Openai, "data[0]: results[0]"),
        (
            result(json!({"uncached_input_tokens": 5})),
            Openai,
            "no result of OpenAI's",
        ),
        (
            result(json!({"input_tokens": 5})),
            Anthropic,
            "no result of Anthropic's",
        ),
        (
            result(json!({"input_tokens": "many"})),
            Openai,
            "results[0]: `input_tokens` is no number: \"many\"",
        ),
        (
            result(json!({"amount": {"value": 5, "currency": "eur"}})),
            Openai,
            "in eur; weir's are in USD",
        ),
        (
            result(json!({"amount": {"currency": "usd"}})),
            Openai,
            "has no `value`",
        ),
        (
            "a,b\n1,2\n".to_owned(),
            Openai,
            "its first line has no start_time",
        ),
        (
            "start_time,x,y,z,w\n1,2\n".to_owned(),
            Openai,
            "neither input_tokens nor amount_value",
        ),
        (
            "start_time,input_tokens\n1754006400,x\n".to_owned(),
            Openai,
            "line 2: `input_tokens` is no number",
        ),
        ("a,b\n".to_owned(), Anthropic, "the API's JSON can be read"),
    ] {
        let error = format!("{:#}", of_text(&text, provider).unwrap_err());
        assert!(error.contains(expected), "{text}: {error}");
    }
    let empty = of_text(
        "start_time,end_time,start_time_iso,end_time_iso\n1,2,3,4\n",
        Openai,
    );
    assert_eq!(empty.unwrap().span(), None);
}

fn row(day: u64, served: Option<&str>, asked: &str, input: i128) -> UsageRow {
    let at = UnixMillis((DAY + day * 86_400) * 1_000);
    let mut sums = Sums::default();
    sums.add(Measure::Calls, 1);
    sums.add(Measure::InputTokens, input);
    UsageRow {
        period: Some(Period {
            from: at,
            until: UnixMillis(at.0 + 86_400_000),
        }),
        names: vec![served.map(str::to_owned), Some(asked.to_owned())],
        sums,
    }
}

fn bill(usage: &[(u64, Option<&str>, u64)]) -> Bill {
    let buckets: Vec<_> = usage
        .iter()
        .map(|(day, model, input)| {
            json!({"start_time": DAY + day * 86_400,
                "results": [{"input_tokens": input, "model": model}]})
        })
        .collect();
    of_text(&json!({ "data": buckets }).to_string(), Provider::Openai).unwrap()
}

#[test]
fn differences_are_by_day_and_model_and_a_threshold_is_of_each() {
    let bill = bill(&[(0, Some("a"), 1_000), (0, Some("b"), 5), (1, Some("a"), 10)]);
    assert_eq!(bill.span().unwrap().0, UnixMillis(DAY * 1_000));
    assert_eq!(
        bill.span().unwrap().1,
        UnixMillis((DAY + 2 * 86_400) * 1_000)
    );
    let rows = [
        row(0, Some("a"), "x", 600),
        row(0, None, "a", 385),
        row(1, Some("a"), "a", 10),
        row(1, Some("c"), "c", 4),
    ];
    let lines = differences(&bill, &rows);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.day.to_string(),
                &*line.model,
                line.provider,
                line.weir,
                percent(line),
            )
        })
        .collect();
    let (first, second) = ("2025-08-01".to_owned(), "2025-08-02".to_owned());
    assert_eq!(
        told,
        [
            (first.clone(), "a", 1_000, 985, "-1.50%".to_owned()),
            (first, "b", 5, 0, "-100.00%".to_owned()),
            (second.clone(), "a", 10, 10, "0.00%".to_owned()),
            (second, "c", 0, 4, "-".to_owned()),
        ]
    );
    for (most, expected) in [
        ("1.4", [true, true, false, true]),
        ("1.5%", [false, true, false, true]),
        ("100", [false, false, false, true]),
    ] {
        let most = percentage(most).unwrap();
        let over: Vec<bool> = lines.iter().map(|line| line.is_over(most)).collect();
        assert_eq!(over, expected);
    }
    for wrong in ["", "-1", "x", "1,5"] {
        assert!(percentage(wrong).is_err(), "{wrong}");
    }
    let shown: Vec<&Line> = lines.iter().collect();
    super::super::format::tests::golden("differences.txt", &table(&shown, 6));
    super::super::format::tests::golden("differences.csv", &csv(&shown).unwrap());
    super::super::format::tests::golden("differences.json", &json(&shown, 6, 1));
}

#[test]
fn a_report_without_models_is_compared_by_day() {
    let bill = bill(&[(0, None, 10)]);
    let rows = [row(0, Some("a"), "x", 4), row(0, Some("b"), "y", 6)];
    let lines = differences(&bill, &rows);
    assert_eq!((lines.len(), lines[0].difference()), (1, 0));
    assert_eq!(table(&[], 1), "the only figure agrees\n");
}
