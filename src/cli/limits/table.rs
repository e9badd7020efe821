//! Counters as a table for people.

use crate::config::AsDollars;
use serde_json::Value;

const HEAD: [&str; 8] = [
    "LIMIT",
    "OF",
    "UNIT",
    "AT MOST",
    "USED",
    "HELD",
    "LEFT",
    "RESETS IN",
];

/// Columns of words; the others are numbers, which stand at the right.
const WORDS: usize = 3;

/// The table of an answer; `None` where it isn't one.
pub(super) fn of(answer: &Value) -> Option<String> {
    let counters = answer["limits"].as_array()?;
    if counters.is_empty() {
        return Some("no limit of that name counts this tenant's calls\n".to_owned());
    }
    let rows: Option<Vec<[String; 8]>> = counters.iter().map(row).collect();
    let mut rows = rows?;
    rows.insert(0, HEAD.map(str::to_owned));
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate();
        let line: Vec<String> = cells
            .map(|(column, (cell, width))| match column < WORDS {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            })
            .collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    if let Some(next) = answer["next"].as_str() {
        // A name may hold what ends a word of a shell.
        let next = next.replace('\'', r"'\''");
        text +=
            &format!("there are more: go on with --after '{next}', or name a limit with --limit\n");
    }
    Some(text)
}

fn row(counter: &Value) -> Option<[String; 8]> {
    let unit = counter["unit"].as_str()?;
    let number = |name: &str| -> Option<String> {
        let number = counter[name].as_u64()?;
        Some(match unit {
            "cost" => format!("${}", AsDollars(number)),
            _ => number.to_string(),
        })
    };
    let of = counter["of"].as_object()?;
    let of: Vec<String> = of
        .iter()
        .map(
            |(dimension, name)| match (dimension.as_str(), name.as_str().unwrap_or("")) {
                (dimension, "") => format!("no {dimension}"),
                // It says which of both it is.
                ("user", name) => name.replacen('=', " ", 1),
                (dimension, name) => format!("{dimension} {name}"),
            },
        )
        .collect();
    let of = match (of.is_empty(), counter["shared"].as_bool()?) {
        (true, true) => "all tenants".to_owned(),
        (true, false) => "the tenant".to_owned(),
        (false, true) => format!("{}, all tenants", of.join(", ")),
        (false, false) => of.join(", "),
    };
    let limit = counter["limit"].as_str()?;
    let notes = notes(counter, &number)?;
    Some([
        format!("{limit}{notes}"),
        of,
        unit.to_owned(),
        // A weir of an earlier release tells of no other.
        number("effective").or_else(|| number("most"))?,
        number("used")?,
        number("held").unwrap_or_else(|| "?".to_owned()),
        number("remaining")?,
        counter["reset_after_ms"]
            .as_u64()
            .map_or_else(|| "-".to_owned(), span),
    ])
}

/// What is to be known of a limit besides its numbers, in brackets.
fn notes(counter: &Value, number: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut notes = Vec::new();
    if counter["budget"].as_bool() == Some(true) {
        notes.push("budget".to_owned());
    }
    for (field, word) in [("topped_up", "added"), ("carried", "carried")] {
        if counter[field].as_u64().is_some_and(|amount| amount > 0) {
            notes.push(format!("{} {word}", number(field)?));
        }
    }
    if counter["shadow"].as_bool()? {
        notes.push("shadow".to_owned());
    }
    Some(match notes.is_empty() {
        true => String::new(),
        false => format!(" ({})", notes.join(", ")),
    })
}

/// In its two largest units, rounded up to a second.
fn span(ms: u64) -> String {
    let secs = ms.div_ceil(1_000);
    let (days, hours) = (secs / 86_400, secs / 3_600 % 24);
    let (minutes, rest) = (secs / 60 % 60, secs % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counters_stand_in_columns() {
        let answer = json!({ "tenant": "acme", "more": true, "next": "8:upstream,6:gpt-4o,", "limits": [
            { "limit": "rpm", "of": {}, "shared": false, "unit": "requests", "most": 600,
              "used": 3, "held": 1, "remaining": 597, "reset_after_ms": 59_001, "shadow": false },
            { "limit": "spend", "of": { "user": "user=ada", "project": "" }, "shared": false, "unit": "cost",
              "budget": true, "topped_up": 5_000_000_000_u64, "carried": 0,
              "effective": 25_000_000_000_u64,
              "most": 90_000_000_000_u64, "used": 1_500_000_000, "held": null,
              "remaining": 23_500_000_000_u64, "reset_after_ms": 90_061_000, "shadow": true },
            { "limit": "upstream", "of": { "model": "gpt-4o" }, "shared": true, "unit": "concurrency",
              "most": 5, "used": 2, "held": 2, "remaining": 3, "reset_after_ms": null, "shadow": false },
        ]});
        let expected = "\
LIMIT                             OF                         UNIT         AT MOST  USED  HELD   LEFT  RESETS IN
rpm                               the tenant                 requests         600     3     1    597      1m 0s
spend (budget, $5 added, shadow)  user ada, no project       cost             $25  $1.5     ?  $23.5      1d 1h
upstream                          model gpt-4o, all tenants  concurrency        5     2     2      3          -
there are more: go on with --after '8:upstream,6:gpt-4o,', or name a limit with --limit
";
        assert_eq!(of(&answer).as_deref(), Some(expected));
    }

    #[test]
    fn spans_are_short() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1s"),
            (61_000, "1m 1s"),
            (3_600_000, "1h 0m"),
            (90_000_000_000, "1041d 16h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn what_is_no_answer_is_no_table() {
        for odd in [
            json!(null),
            json!({}),
            json!({ "limits": [ {} ], "more": false }),
        ] {
            assert_eq!(of(&odd), None, "{odd}");
        }
    }
}
