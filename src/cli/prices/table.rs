//! Prices for people and for programs.

use crate::pricing::notation::dollars;
use crate::pricing::price::Tariff;
use crate::pricing::{Dated, Kind, Price, Rates, Schedule, date};
use crate::units::UnixMillis;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// A model of a list.
pub(super) struct Row {
    pub key: String,
    /// What it is another name of.
    pub target: Option<String>,
    pub price: Price,
}

const HEAD: [&str; 5] = ["MODEL", "INPUT", "CACHED", "OUTPUT", "BESIDES"];

/// One line a model, its usual figures in columns.
pub(super) fn of(rows: &[Row], version: &str) -> String {
    let cells: Vec<[String; 5]> = rows.iter().map(cells).collect();
    let mut widths = HEAD.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    line(&mut text, &widths, &HEAD.map(str::to_owned));
    for row in &cells {
        line(&mut text, &widths, row);
    }
    let count = rows.len();
    let models = if count == 1 { "model" } else { "models" };
    let _ = writeln!(
        text,
        "{count} {models}; prices {version}, in dollars per million tokens"
    );
    text
}

fn line(text: &mut String, widths: &[usize; 5], cells: &[String; 5]) {
    let [model, input, cached, output, besides] = cells;
    let [w0, w1, w2, w3, _] = widths;
    let row = format!("{model:w0$}  {input:>w1$}  {cached:>w2$}  {output:>w3$}  {besides}");
    let _ = writeln!(text, "{}", row.trim_end());
}

fn cells(row: &Row) -> [String; 5] {
    let rates = &row.price.standard.rates;
    let figure = |kind: Kind| {
        let rate = rates.get(kind);
        rate.map_or_else(|| "-".to_owned(), |rate| dollars(kind, rate).to_string())
    };
    let mut besides: Vec<String> = Vec::new();
    besides.extend(row.target.as_ref().map(|target| format!("= {target}")));
    let usual = [Kind::Input, Kind::CachedInput, Kind::Output];
    let others = rates.said().filter(|(kind, _)| !usual.contains(kind));
    besides.extend(others.map(|(kind, rate)| format!("{}={}", kind.as_str(), dollars(kind, rate))));
    let lengths = row.price.standard.longer.iter();
    besides.extend(lengths.map(|longer| format!(">{}", longer.input_tokens)));
    besides.extend(row.price.tiers.iter().map(|(tier, _)| format!("/{tier}")));
    [
        row.key.clone(),
        figure(Kind::Input),
        figure(Kind::CachedInput),
        figure(Kind::Output),
        besides.join(" "),
    ]
}

pub(super) fn json_lines(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let mut object = Map::new();
        object.insert("model".into(), row.key.clone().into());
        if let Some(target) = &row.target {
            object.insert("same_as".into(), target.clone().into());
        }
        object.extend(price(&row.price));
        format!("{}\n", Value::Object(object))
    });
    lines.collect()
}

/// All prices of a model, or the one that holds at that time.
pub(super) fn all(
    name: &str,
    schedule: &Schedule,
    at: Option<UnixMillis>,
    now: UnixMillis,
) -> String {
    let mut text = format!("{name}\n");
    let current = schedule.at(at.unwrap_or(now)).from;
    for (dated, until) in schedule.spans() {
        if at.is_some() && dated.from != current {
            continue;
        }
        let is_now = at.is_none() && dated.from == current;
        let now = if is_now { " (today's)" } else { "" };
        let _ = writeln!(text, "{}{now}", span(dated, until));
        tariff(&mut text, "standard", &dated.price.standard);
        for (tier, other) in &dated.price.tiers {
            tariff(&mut text, tier.as_str(), other);
        }
    }
    text.push_str("Dollars per million tokens; of request and search, for each. ");
    text.push_str("What a tier or length says nothing of costs as before.\n");
    text
}

fn span(dated: &Dated, until: Option<UnixMillis>) -> String {
    let until = until.map(date::Written);
    match (dated.from.0, until) {
        (0, None) => "always".to_owned(),
        (0, Some(until)) => format!("before {until}"),
        (_, None) => format!("from {}", date::Written(dated.from)),
        (_, Some(until)) => format!("from {} until {until}", date::Written(dated.from)),
    }
}

fn tariff(text: &mut String, tier: &str, tariff: &Tariff) {
    if !tariff.rates.is_empty() {
        let _ = writeln!(text, "  {tier:34}{}", figures(&tariff.rates));
    }
    for longer in &tariff.longer {
        let name = format!("{tier}, above {} input", longer.input_tokens);
        let _ = writeln!(text, "  {name:34}{}", figures(&longer.rates));
    }
}

fn figures(rates: &Rates) -> String {
    let said = rates.said();
    let said = said.map(|(kind, rate)| format!("{} {}", kind.as_str(), dollars(kind, rate)));
    said.collect::<Vec<_>>().join(", ")
}

pub(super) fn json(name: &str, schedule: &Schedule, at: Option<UnixMillis>) -> Value {
    let current = at.map(|at| schedule.at(at).from);
    let spans = schedule
        .spans()
        .filter(|(dated, _)| current.is_none_or(|current| dated.from == current));
    let prices = spans.map(|(dated, until)| {
        let from = (dated.from.0 > 0).then(|| date::Written(dated.from).to_string());
        let until = until.map(|until| date::Written(until).to_string());
        let mut object = Map::new();
        object.insert("from".into(), from.into());
        object.insert("until".into(), until.into());
        object.extend(price(&dated.price));
        Value::Object(object)
    });
    json!({ "model": name, "prices": prices.collect::<Vec<_>>() })
}

fn price(price: &Price) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("standard".into(), tariff_json(&price.standard));
    for (tier, other) in &price.tiers {
        object.insert(tier.as_str().into(), tariff_json(other));
    }
    object
}

fn tariff_json(tariff: &Tariff) -> Value {
    let mut object = rates_json(&tariff.rates);
    let longer = tariff.longer.iter().map(|longer| {
        let mut object = Map::new();
        object.insert("input_tokens".into(), longer.input_tokens.into());
        object.extend(rates_json(&longer.rates));
        Value::Object(object)
    });
    let longer: Vec<Value> = longer.collect();
    if !longer.is_empty() {
        object.insert("above".into(), longer.into());
    }
    Value::Object(object)
}

fn rates_json(rates: &Rates) -> Map<String, Value> {
    let said = rates.said();
    said.map(|(kind, rate)| (kind.as_str().into(), dollars(kind, rate).to_string().into()))
        .collect()
}
