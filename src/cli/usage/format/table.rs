//! A report as a table for people.

use super::Told;
use crate::ledger::reports::money::{grouped, rounded};
use crate::ledger::reports::tell;
use crate::ledger::store::measure::{Measure, Sums};

/// Measures that stand in a table only where they aren't nothing everywhere.
const RARE: [(Measure, &str); 12] = [
    (Measure::CachedInputTokens, "CACHED"),
    (Measure::CacheWriteTokens, "CACHE WRITES"),
    (Measure::CacheWrite1hTokens, "1H WRITES"),
    (Measure::InputAudioTokens, "AUDIO IN"),
    (Measure::InputImageTokens, "IMAGES IN"),
    (Measure::ReasoningTokens, "REASONING"),
    (Measure::OutputAudioTokens, "AUDIO OUT"),
    (Measure::OutputImageTokens, "IMAGES OUT"),
    (Measure::Searches, "SEARCHES"),
    (Measure::Refused, "REFUSED"),
    (Measure::Unpriced, "UNPRICED"),
    (Measure::AdjustmentNanos, "CORRECTED"),
];

/// Absent names.
const NOBODY: &str = "-";

/// The table, its total, and what it leaves out.
pub(in crate::cli::usage) fn of(told: &Told) -> String {
    if told.rows.is_empty() {
        let since = crate::ledger::reports::instant::told(told.query.since, &told.query.zone);
        let until = crate::ledger::reports::instant::told(told.query.until, &told.query.zone);
        return format!("no calls from {since} to {until}\n");
    }
    let rare: Vec<(Measure, &str)> = RARE
        .into_iter()
        .filter(|(measure, _)| is_there(told, *measure))
        .collect();
    let names = told.query.names_len() + usize::from(told.query.unit.is_some());
    let mut lines = vec![head(told, &rare)];
    for row in told.rows {
        let mut line: Vec<String> = told.period(row).into_iter().collect();
        let names = row.names.iter();
        line.extend(names.map(|name| printable(name.as_deref().unwrap_or(NOBODY))));
        line.extend(numbers(&row.sums, &rare));
        lines.push(line);
    }
    let mut total = vec![String::new(); names];
    if let Some(first) = total.first_mut() {
        "total".clone_into(first);
        total.extend(numbers(told.total, &rare));
        lines.push(total);
    }
    let mut text = columns(&lines, names);
    let left_out = told.all - told.rows.len();
    if left_out > 0 {
        text += &format!("rows of the total that are not shown: {left_out}; --limit shows more\n");
    }
    if told.total.get(Measure::Unpriced) > 0 {
        text += "UNPRICED calls have no price and count as $0: give their models one\n";
    }
    text
}

fn is_there(told: &Told, measure: Measure) -> bool {
    told.total.get(measure) != 0 || told.rows.iter().any(|row| row.sums.get(measure) != 0)
}

fn head(told: &Told, rare: &[(Measure, &str)]) -> Vec<String> {
    let unit = told.query.unit.map(|unit| tell::unit(unit).to_uppercase());
    let mut head: Vec<String> = unit.into_iter().collect();
    let names = told.query.group_by.iter();
    head.extend(names.map(|name| name.as_str().to_uppercase().replace('_', " ")));
    head.extend(told.query.labels.iter().map(|label| printable(label)));
    head.extend(["CALLS", "INPUT", "OUTPUT"].map(str::to_owned));
    head.extend(rare.iter().map(|(_, name)| (*name).to_owned()));
    head.push("COST $".to_owned());
    head
}

fn numbers(sums: &Sums, rare: &[(Measure, &str)]) -> Vec<String> {
    let first = [Measure::Calls, Measure::InputTokens, Measure::OutputTokens];
    let others = rare.iter().map(|(measure, _)| *measure);
    let cell = |measure: Measure| match measure {
        Measure::AdjustmentNanos => rounded(sums.get(measure)),
        _ => count(sums.get(measure)),
    };
    let cost = std::iter::once(rounded(sums.net_nanos()));
    first
        .into_iter()
        .chain(others)
        .map(cell)
        .chain(cost)
        .collect()
}

fn count(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// What moves a terminal's cursor, or changes its colours, is shown as `?`.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Lines in columns: the first ones at the left, the others at the right.
pub fn columns(lines: &[Vec<String>], at_left: usize) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(at, (cell, width))| match at < at_left {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            })
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}
