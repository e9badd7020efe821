//! What is left of its limits, in the headers of an answer that was let
//! through, as the dialect's own API tells it.
//!
//! OpenAI and Anthropic have such headers; the others have none.

use super::denial::RateStanding;
use super::{Dialect, anthropic, ietf_rate_limit, openai};
use crate::units::UnixMillis;

/// The tightest limit of each unit that some dialect tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standings {
    pub requests: Option<RateStanding>,
    pub tokens: Option<RateStanding>,
    pub input_tokens: Option<RateStanding>,
    pub output_tokens: Option<RateStanding>,
}

/// The headers of a dialect. `now` is what times are told from.
pub fn render(
    dialect: Dialect,
    standings: &Standings,
    now: UnixMillis,
) -> Vec<(&'static str, String)> {
    match dialect {
        Dialect::OpenAi => openai::rate_headers::render(standings),
        Dialect::Anthropic => anthropic::rate_headers::render(standings, now),
        Dialect::Gemini | Dialect::Bedrock | Dialect::Cohere | Dialect::Ollama => Vec::new(),
    }
}

/// The name of a header that [`render`] or [`ietf_rate_limit`] gives.
pub fn known(name: &str) -> Option<&'static str> {
    let names = [
        openai::rate_headers::REQUESTS,
        openai::rate_headers::TOKENS,
        anthropic::rate_headers::REQUESTS,
        anthropic::rate_headers::TOKENS,
        anthropic::rate_headers::INPUT_TOKENS,
        anthropic::rate_headers::OUTPUT_TOKENS,
    ];
    let names = names.into_iter().flatten().chain(ietf_rate_limit::NAMES);
    names.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(limit: u64) -> Option<RateStanding> {
        Some(RateStanding {
            limit,
            remaining: limit - 1,
            reset_ms: 6_500,
        })
    }

    #[test]
    fn each_dialect_tells_in_its_own_headers() {
        let standings = Standings {
            requests: standing(10),
            tokens: standing(20),
            input_tokens: standing(30),
            output_tokens: standing(40),
        };
        let now = UnixMillis(1_700_000_000_000);
        let told = |dialect| {
            let lines = render(dialect, &standings, now).into_iter();
            let lines: Vec<String> = lines.map(|(n, v)| format!("{n}: {v}")).collect();
            lines
        };
        assert_eq!(
            told(Dialect::OpenAi),
            [
                "x-ratelimit-limit-requests: 10",
                "x-ratelimit-remaining-requests: 9",
                "x-ratelimit-reset-requests: 6.5s",
                "x-ratelimit-limit-tokens: 20",
                "x-ratelimit-remaining-tokens: 19",
                "x-ratelimit-reset-tokens: 6.5s",
            ]
        );
        assert_eq!(
            told(Dialect::Anthropic),
            [
                "anthropic-ratelimit-requests-limit: 10",
                "anthropic-ratelimit-requests-remaining: 9",
                "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:27Z",
                "anthropic-ratelimit-tokens-limit: 20",
                "anthropic-ratelimit-tokens-remaining: 19",
                "anthropic-ratelimit-tokens-reset: 2023-11-14T22:13:27Z",
                "anthropic-ratelimit-input-tokens-limit: 30",
                "anthropic-ratelimit-input-tokens-remaining: 29",
                "anthropic-ratelimit-input-tokens-reset: 2023-11-14T22:13:27Z",
                "anthropic-ratelimit-output-tokens-limit: 40",
                "anthropic-ratelimit-output-tokens-remaining: 39",
                "anthropic-ratelimit-output-tokens-reset: 2023-11-14T22:13:27Z",
            ]
        );
        for dialect in [
            Dialect::Gemini,
            Dialect::Bedrock,
            Dialect::Cohere,
            Dialect::Ollama,
        ] {
            assert!(told(dialect).is_empty(), "{dialect:?}");
        }
    }

    #[test]
    fn what_no_limit_counts_is_not_told() {
        let standings = Standings {
            input_tokens: standing(30),
            ..Standings::default()
        };
        assert!(render(Dialect::OpenAi, &standings, UnixMillis(0)).is_empty());
        assert_eq!(
            render(Dialect::Anthropic, &standings, UnixMillis(0)).len(),
            3
        );
    }

    #[test]
    fn every_header_that_is_given_is_known_and_no_other() {
        let standings = Standings {
            requests: standing(1),
            tokens: standing(1),
            input_tokens: standing(1),
            output_tokens: standing(1),
        };
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            for (name, _) in render(dialect, &standings, UnixMillis(0)) {
                assert_eq!(known(name), Some(name));
            }
        }
        assert_eq!(known("ratelimit"), Some("ratelimit"));
        assert_eq!(known("set-cookie"), None);
    }
}
