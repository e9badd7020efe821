//! The `anthropic-ratelimit-*` headers of Anthropic's answers.
//!
//! Source: Anthropic's reference "Rate limits", section "Response headers":
//! for requests, tokens, input tokens and output tokens each the limit, what
//! remains, and when it is whole again, as an RFC 3339 time.

use crate::protocol::denial::RateStanding;
use crate::protocol::rate_headers::Standings;
use crate::units::{Millis, UnixMillis};
use jiff::Timestamp;

/// The headers of a unit: its limit, what remains of it, when it is whole again.
pub type Names = [&'static str; 3];

pub const REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
pub const TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];
pub const INPUT_TOKENS: Names = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
pub const OUTPUT_TOKENS: Names = [
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];

pub fn render(standings: &Standings, now: UnixMillis) -> Vec<(&'static str, String)> {
    let units = [
        (REQUESTS, standings.requests),
        (TOKENS, standings.tokens),
        (INPUT_TOKENS, standings.input_tokens),
        (OUTPUT_TOKENS, standings.output_tokens),
    ];
    let told = units
        .into_iter()
        .filter_map(|(names, standing)| Some(of_unit(names, standing?, now)));
    told.flatten().collect()
}

fn of_unit(
    [limit, remaining, reset]: Names,
    standing: RateStanding,
    now: UnixMillis,
) -> [(&'static str, String); 3] {
    [
        (limit, standing.limit.to_string()),
        (remaining, standing.remaining.to_string()),
        (reset, rfc3339(now + Millis(standing.reset_ms))),
    ]
}

/// In whole seconds, rounded up, so that nobody comes back too early; what lies
/// beyond any calendar is its end.
fn rfc3339(time: UnixMillis) -> String {
    let seconds = i64::try_from(time.0.div_ceil(1_000)).unwrap_or(i64::MAX);
    let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    moment.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_whole_seconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20Z"),
            (1_700_000_000_001, "2023-11-14T22:13:21Z"),
        ] {
            assert_eq!(rfc3339(UnixMillis(ms)), text);
        }
        assert!(rfc3339(UnixMillis(u64::MAX)).starts_with("9999-12-"));
    }
}
