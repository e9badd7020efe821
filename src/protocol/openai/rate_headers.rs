//! The `x-ratelimit-*` headers of OpenAI's answers, and its way of writing
//! durations (`12ms`, `1s`, `6m0s`).
//!
//! Source: OpenAI's guide "Rate limits", section "Rate limits in headers".

use crate::protocol::denial::RateStanding;
use crate::protocol::rate_headers::Standings;
use std::fmt::{self, Write};

/// The headers of a unit: its limit, what remains of it, when it is whole again.
pub type Names = [&'static str; 3];

pub const REQUESTS: Names = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
pub const TOKENS: Names = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

/// Room for any duration that is told: of a thousand years.
const DURATION_BYTES: usize = 24;

pub fn render(standings: &Standings) -> Vec<(&'static str, String)> {
    let units = [(REQUESTS, standings.requests), (TOKENS, standings.tokens)];
    let told = units
        .into_iter()
        .filter_map(|(names, standing)| Some(of_unit(names, standing?)));
    told.flatten().collect()
}

fn of_unit(
    [limit, remaining, reset]: Names,
    standing: RateStanding,
) -> [(&'static str, String); 3] {
    [
        (limit, standing.limit.to_string()),
        (remaining, standing.remaining.to_string()),
        (reset, duration(standing.reset_ms)),
    ]
}

/// A duration as OpenAI writes it: whole units from hours down to seconds with
/// up to three decimals, or milliseconds below one second.
pub fn duration(ms: u64) -> String {
    let mut text = String::with_capacity(DURATION_BYTES);
    // Writing to a String can't fail.
    let _ = write_duration(&mut text, ms);
    text
}

fn write_duration(text: &mut String, ms: u64) -> fmt::Result {
    if ms < 1_000 {
        return write!(text, "{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    if hours > 0 {
        write!(text, "{hours}h")?;
    }
    if hours > 0 || minutes > 0 {
        write!(text, "{minutes}m")?;
    }
    write_seconds(text, ms % 60_000)?;
    text.push('s');
    Ok(())
}

/// Seconds with as many decimals as they need, at most three.
pub fn seconds(ms: u64) -> String {
    let mut text = String::with_capacity(DURATION_BYTES);
    let _ = write_seconds(&mut text, ms);
    text
}

fn write_seconds(text: &mut String, ms: u64) -> fmt::Result {
    let (whole, rest) = (ms / 1_000, ms % 1_000);
    write!(text, "{whole}")?;
    if rest > 0 {
        write!(text, ".{rest:03}")?;
        text.truncate(text.trim_end_matches('0').len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_openai_writes_them() {
        for (ms, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1_000, "1s"),
            (1_574, "1.574s"),
            (1_500, "1.5s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
