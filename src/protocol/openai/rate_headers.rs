//! The `x-ratelimit-*` headers of OpenAI's answers, and its way of writing
//! durations (`12ms`, `1s`, `6m0s`).
//!
//! Source: OpenAI's guide "Rate limits", section "Rate limits in headers".

use crate::protocol::denial::RateStanding;
use crate::protocol::rate_headers::Standings;

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
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    text.push_str(&seconds(ms % 60_000));
    text.push('s');
    text
}

/// Seconds with as many decimals as they need, at most three.
pub fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1_000, ms % 1_000);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').to_owned()
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
