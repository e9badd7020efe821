//! An explanation for people: of its JSON, as a running weir answers it too.

use crate::cli::usage::format::table::{columns, printable};
use crate::ledger::reports::money::{exact, grouped};
use serde_json::Value;
use std::fmt::Write;

/// What stands where nothing is known.
const UNKNOWN: &str = "?";

/// All that is told.
pub(in crate::cli) fn of(told: &Value) -> String {
    let mut text = columns(&facts(told), 2);
    let limits = limits(told);
    if limits.len() > 1 {
        text.push('\n');
        text += &columns(&limits, 4);
    }
    let guardrails: Vec<Vec<String>> = items(&told["guardrails"]).map(guardrail).collect();
    if !guardrails.is_empty() {
        text += "\nguardrails\n";
        text += &columns(&guardrails, 2);
    }
    let rules: Vec<&Value> = items(&told["rules"]).collect();
    if !rules.is_empty() {
        text += "\nrules\n";
    }
    for one in rules {
        rule(one, &mut text);
    }
    text.push('\n');
    verdict(&told["verdict"], &mut text);
    text
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

fn word(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(printable)
}

fn words(list: &Value) -> Vec<String> {
    items(list).filter_map(word).collect()
}

/// A value as it is, a text without its quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => "no value".to_owned(),
        other => printable(&other.to_string()),
    }
}

fn number(value: &Value) -> String {
    let number = value.as_u64().map(|number| grouped(number.into()));
    number.unwrap_or_else(|| UNKNOWN.to_owned())
}

fn dollars(value: &Value) -> String {
    let nanos = value
        .as_u64()
        .map(|nanos| format!("${}", exact(nanos.into())));
    nanos.unwrap_or_else(|| "not known: the model has no price".to_owned())
}

/// Milliseconds as `1d 2h`, `3m 4s`, `750ms`.
fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let (mut left, mut parts) = (ms, Vec::new());
    for (unit, name) in UNITS {
        if left >= unit && parts.len() < 2 {
            parts.push(format!("{}{name}", left / unit));
        }
        left %= unit;
    }
    match parts.is_empty() {
        true => "now".to_owned(),
        false => parts.join(" "),
    }
}

fn facts(told: &Value) -> Vec<Vec<String>> {
    let line = |name: &str, text: String| vec![name.to_owned(), text];
    let caller = &told["caller"];
    let named = ["project", "environment", "user", "key"];
    let named = named
        .iter()
        .filter_map(|name| Some(format!("{name} {}", word(&caller[*name])?)));
    let who: Vec<String> = word(&caller["tenant"]).into_iter().chain(named).collect();
    let mut lines = vec![line(
        "caller",
        match who.is_empty() {
            true => "nobody that is known".to_owned(),
            false => who.join(", "),
        },
    )];
    let plans = words(&told["plans"]);
    if !plans.is_empty() {
        lines.push(line("plan", plans.join(", then ")));
    }
    if let Some(endpoint) = word(&told["endpoint"]) {
        let dialect = word(&told["dialect"]).unwrap_or_default();
        lines.push(line("endpoint", format!("{endpoint} ({dialect})")));
    }
    lines.extend(model(&told["model"]));
    let estimate = &told["estimate"];
    if estimate.is_object() {
        lines.push(line(
            "input",
            format!(
                "about {} tokens, {} are held",
                number(&estimate["input_tokens"]),
                number(&estimate["input_tokens_max"])
            ),
        ));
        lines.push(line(
            "output",
            format!(
                "at most {} tokens, {} are held",
                number(&estimate["output_tokens_max"]),
                number(&estimate["output_tokens_held"])
            ),
        ));
        lines.push(line(
            "cost",
            format!("at most {}", dollars(&estimate["cost_max_nanos"])),
        ));
    }
    lines
}

fn model(model: &Value) -> Vec<Vec<String>> {
    let Some(asked) = word(&model["asked"]) else {
        return Vec::new();
    };
    let served = word(&model["served"]);
    let text = match served {
        Some(served) if served != asked => format!("{asked}, goes to {served}"),
        _ => asked,
    };
    let mut lines = vec![vec!["model".to_owned(), text]];
    lines.extend(
        words(&model["why"])
            .into_iter()
            .map(|why| vec![String::new(), why]),
    );
    for way in items(&model["ways"]) {
        let when = word(&way["when"]).unwrap_or_else(|| "otherwise".to_owned());
        let models: Vec<String> = entries(&way["models"])
            .map(|(name, weight)| format!("{} ({weight})", printable(name)))
            .collect();
        let held = shown(&way["held"]);
        lines.push(vec![
            String::new(),
            format!("{held}: {when}: {}", models.join(", ")),
        ]);
    }
    lines
}

fn limits(told: &Value) -> Vec<Vec<String>> {
    const HEAD: [&str; 11] = [
        "LIMIT",
        "OF",
        "PER",
        "UNIT",
        "AT MOST",
        "USED",
        "HELD",
        "TAKES",
        "LEFT",
        "RESETS IN",
        "ROOM",
    ];
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for limit in items(&told["limits"]) {
        let unit = shown(&limit["unit"]);
        let amount = |name: &str| match (limit[name].as_u64(), unit.as_str()) {
            (Some(nanos), "cost") => format!("${}", exact(nanos.into())),
            (Some(amount), _) => grouped(amount.into()),
            (None, _) => UNKNOWN.to_owned(),
        };
        let shadow = limit["mode"] == "shadow";
        let room = match (limit["fits"].as_bool(), limit["retry_after_ms"].as_u64()) {
            (None, _) => UNKNOWN.to_owned(),
            (Some(true), _) => "yes".to_owned(),
            (Some(false), _) if shadow => "no (shadow)".to_owned(),
            (Some(false), Some(after)) => format!("in {}", span(after)),
            (Some(false), None) => match limit["retry"].as_str() {
                Some("never") => "never".to_owned(),
                _ => "no".to_owned(),
            },
        };
        rows.push(vec![
            shown(&limit["name"]),
            shown(&limit["of"]),
            shown(&limit["per"]),
            unit.clone(),
            amount("amount"),
            amount("used"),
            amount("held"),
            amount("takes"),
            amount("remaining"),
            limit["resets_in_ms"]
                .as_u64()
                .map_or_else(|| "-".to_owned(), span),
            room,
        ]);
    }
    rows
}

fn guardrail(guardrail: &Value) -> Vec<String> {
    let name = format!("  {}", shown(&guardrail["name"]));
    let names = words(&guardrail["names"]);
    if !names.is_empty() {
        return vec![name, names.join(", ")];
    }
    let asked = match &guardrail["asked"] {
        Value::Null => "nothing is asked for".to_owned(),
        asked => format!("{} asked for", number(asked)),
    };
    vec![
        name,
        format!("{asked}, at most {}", number(&guardrail["most"])),
    ]
}

fn rule(rule: &Value, text: &mut String) {
    let shadow = if rule["mode"] == "shadow" {
        ", shadow"
    } else {
        ""
    };
    let held = match rule["held"].as_str() {
        Some("yes") => "holds",
        Some("no") => "doesn't hold",
        Some("waits") => "waits for counters",
        _ => "has no value",
    };
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "  {} (of {}{shadow}) {held}",
        shown(&rule["name"]),
        shown(&rule["plan"])
    );
    let when = word(&rule["when"]).unwrap_or_else(|| "always".to_owned());
    let _ = writeln!(text, "      when  {when}");
    for (name, value) in entries(&rule["facts"]) {
        let _ = writeln!(text, "            {} is {}", printable(name), shown(value));
    }
    let _ = writeln!(text, "      then  {}", words(&rule["then"]).join("; "));
}

fn verdict(verdict: &Value, text: &mut String) {
    let is = words(&verdict["is"]);
    let mut line = shown(&verdict["decision"]);
    if let Some(by) = word(&verdict["by"]) {
        let _ = write!(line, " by {by}");
    }
    if !is.is_empty() {
        let _ = write!(line, " ({})", is.join(", "));
    }
    let mut lines = vec![vec!["verdict".to_owned(), line]];
    let mut add = |name: &str, text: String| lines.push(vec![name.to_owned(), text]);
    let actions = words(&verdict["actions"]);
    if !actions.is_empty() {
        add("actions", actions.join(", "));
    }
    let would_refuse = words(&verdict["would_refuse"]);
    if !would_refuse.is_empty() {
        add("would refuse", would_refuse.join(", "));
    }
    if let Some(delay) = verdict["delay_ms"].as_u64().filter(|delay| *delay > 0) {
        add("held back", span(delay));
    }
    for (budget, percent) in entries(&verdict["passed"]) {
        add(
            "budget",
            format!("{} is over {percent}%", printable(budget)),
        );
    }
    let sent = &verdict["sent"];
    for (name, value) in entries(&sent["headers"]) {
        add(
            "routed by",
            format!("{}: {}", printable(name), shown(value)),
        );
    }
    for (field, edit) in entries(&sent["edits"]) {
        let (from, to) = (shown(&edit["from"]), shown(&edit["to"]));
        add("edited", format!("{}: {from} -> {to}", printable(field)));
    }
    for (name, value) in entries(&sent["answer_headers"]) {
        add(
            "answer has",
            format!("{}: {}", printable(name), shown(value)),
        );
    }
    let answer = &verdict["answer"];
    if answer.is_object() {
        add("status", number(&answer["status"]));
        for (name, value) in entries(&answer["headers"]) {
            add(
                "answer has",
                format!("{}: {}", printable(name), shown(value)),
            );
        }
        add("body", printable(&answer["body"].to_string()));
    }
    *text += &columns(&lines, 2);
}
