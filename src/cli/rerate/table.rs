//! What a re-rating changes, for people and for programs.

use crate::ledger::rerating::Left;
use crate::ledger::rerating::tally::{Difference, LeftAlone, Tally};
use crate::ledger::rerating::walk::{Run, Span};
use crate::pricing::date;
use serde_json::{Value, json};
use std::fmt::Write;

const COLUMNS: usize = 7;

const HEAD: [&str; COLUMNS] = [
    "TENANT",
    "CALLS",
    "CHANGED",
    "LEFT ALONE",
    "BEFORE",
    "AFTER",
    "DIFFERENCE",
];

/// A line for each tenant, one for all, and what is left alone.
pub(super) fn text(tally: &Tally, span: &Span, run: Option<Run>) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for (tenant, difference) in &tally.tenants {
        let name = tenant.as_deref().map_or_else(|| "(none)".into(), printable);
        lines.push(line(name, difference));
    }
    if tally.other_tenants.calls > 0 {
        lines.push(line("(others)".into(), &tally.other_tenants));
    }
    lines.push(line("in all".into(), &tally.total));
    let mut text = columns(&lines);
    let (since, until) = (date::Written(span.since), date::Written(span.until));
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "Costs in dollars, corrections included, of calls from {since} until {until}."
    );
    left_alone(&mut text, tally);
    let _ = match run {
        Some(run) => writeln!(
            text,
            "Run {}: {} corrected.",
            run.id,
            calls(tally.total.changed)
        ),
        None => writeln!(text, "A dry run: nothing was written."),
    };
    text
}

fn left_alone(text: &mut String, tally: &Tally) {
    let mut last = None;
    for (alike, count) in &tally.left {
        if last != Some(alike.why) {
            last = Some(alike.why);
            let _ = writeln!(text, "{}", why(alike.why));
        }
        let _ = writeln!(text, "  {}: {}", named(alike), calls(*count));
    }
    if tally.other_left > 0 {
        let _ = writeln!(text, "  of others: {}", calls(tally.other_left));
    }
}

fn why(left: Left) -> &'static str {
    match left {
        Left::NoPrice => "Left alone, as no price is known of them:",
        Left::UnknownTier => "Left alone, as their tier of service isn't known:",
        Left::TooLarge => "Left alone, as their cost would be beyond what the ledger holds:",
        Left::Dropped => "Left alone, as their rows were dropped meanwhile:",
    }
}

fn named(alike: &LeftAlone) -> String {
    let provider = alike.provider.as_deref();
    let mut text = provider.map_or_else(String::new, |name| printable(name) + "/");
    text += &alike.model.as_deref().map_or("(none)".into(), printable);
    if let Some(served) = &alike.model_served
        && alike.model.as_deref() != Some(served)
    {
        let _ = write!(text, " (answered by {})", printable(served));
    }
    text
}

fn calls(count: u64) -> String {
    format!("{count} call{}", if count == 1 { "" } else { "s" })
}

fn line(name: String, difference: &Difference) -> [String; COLUMNS] {
    let change = difference.nanos();
    let plus = if change > 0 { "+" } else { "" };
    [
        name,
        difference.calls.to_string(),
        difference.changed.to_string(),
        difference.left.to_string(),
        dollars(difference.before_nanos),
        dollars(difference.after_nanos),
        format!("{plus}{}", dollars(change)),
    ]
}

fn columns(lines: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ = match at {
                0 => write!(text, "{cell:width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

/// Exact, without zeros at its end.
fn dollars(nanos: i128) -> String {
    const NANOS: u128 = 1_000_000_000;
    let sign = if nanos < 0 { "-" } else { "" };
    let amount = nanos.unsigned_abs();
    let decimals = format!("{:09}", amount % NANOS);
    match decimals.trim_end_matches('0') {
        "" => format!("{sign}{}", amount / NANOS),
        decimals => format!("{sign}{}.{decimals}", amount / NANOS),
    }
}

/// A name that can't move the cursor, as it may be anybody's.
fn printable(name: &str) -> String {
    let chars = name.chars();
    let safe = chars.map(|c| if c.is_control() { '\u{fffd}' } else { c });
    safe.collect()
}

pub(super) fn json(tally: &Tally, span: &Span, run: Option<Run>) -> Value {
    let tenants = tally.tenants.iter().map(|(tenant, difference)| {
        let mut line = sums(difference);
        line["tenant"] = tenant.as_deref().into();
        line
    });
    let left = tally.left.iter().map(|(alike, calls)| {
        json!({
            "why": alike.why.as_str(),
            "provider": alike.provider.as_deref(),
            "model": alike.model.as_deref(),
            "model_served": alike.model_served,
            "calls": calls,
        })
    });
    json!({
        "dry_run": run.is_none(),
        "run": run.map(|run| run.id.to_string()),
        "since_ms": span.since.0,
        "until_ms": span.until.0,
        "tenants": tenants.collect::<Vec<Value>>(),
        "other_tenants": sums(&tally.other_tenants),
        "total": sums(&tally.total),
        "left_alone": left.collect::<Vec<Value>>(),
        "other_left_alone": tally.other_left,
    })
}

fn sums(difference: &Difference) -> Value {
    json!({
        "calls": difference.calls,
        "changed": difference.changed,
        "left_alone": difference.left,
        "before_nanos": nanos(difference.before_nanos),
        "after_nanos": nanos(difference.after_nanos),
        "difference_nanos": nanos(difference.nanos()),
    })
}

/// A number as far as JSON's are read exactly, else text.
fn nanos(nanos: i128) -> Value {
    i64::try_from(nanos).map_or_else(|_| nanos.to_string().into(), Value::from)
}
