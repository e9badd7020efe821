//! What limits tell the caller: of a refusal, and of what is left.

use super::open_call::OpenCall;
use crate::limits::period::{CalendarUnit, EVERY_MAX};
use crate::limits::{Algorithm, Charge, Limit, Mode, Refusal, Retry, Standing, Unit};
use crate::protocol::denial::{Denial, RateDenial, RateRetry, RateStanding, RateUnit};
use crate::protocol::rate_headers::{self, Standings};
use crate::protocol::{Dialect, ietf_rate_limit};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// How long a caller is asked to wait for a slot, which nobody can foresee.
const SLOT_RETRY_HINT_MS: u64 = 1_000;

pub(super) fn denial(
    charges: &[Charge],
    standings: &[Standing],
    refusal: Refusal,
    call: &OpenCall,
) -> Denial {
    let Some(charge) = charges.get(refusal.charge) else {
        return Denial::LimitsUnavailable;
    };
    Denial::Rate(Box::new(RateDenial {
        unit: match charge.limit.unit {
            Unit::Requests => RateUnit::Requests,
            Unit::InputTokens => RateUnit::InputTokens,
            Unit::OutputTokens => RateUnit::OutputTokens,
            Unit::Tokens => RateUnit::Tokens,
            Unit::Cost => RateUnit::Cost,
            Unit::Concurrency => RateUnit::Concurrency,
        },
        limit_name: Arc::clone(&charge.limit.name),
        scope: charge.limit.scope.to_string(),
        tenant: Arc::clone(&call.tenant),
        model: Arc::clone(&call.model),
        limit: match refusal.retry {
            // What a bucket can give at once is what a call must fit into.
            Retry::Never => charge.limit.most(),
            _ => standings
                .get(refusal.charge)
                .map_or(charge.limit.amount, |s| s.whole(charge.limit.amount)),
        },
        used: refusal.used,
        requested: refusal.requested,
        remaining: refusal.remaining,
        window_ms: window_min(&charge.limit).map(|window| window.0),
        retry: match refusal.retry {
            Retry::After(span) => RateRetry::AfterMillis(span.0),
            Retry::WhenOneEnds => RateRetry::WhenOneEnds {
                hint_ms: SLOT_RETRY_HINT_MS,
            },
            Retry::Never => RateRetry::Never,
        },
    }))
}

/// How long a limit's amount is for; of a calendar's windows, the usual hour, or
/// a day where it is one or more.
fn window_min(limit: &Limit) -> Option<Millis> {
    let calendar = match &limit.algorithm {
        Algorithm::FixedWindow { period, .. } if period.is_forever() => return Some(EVERY_MAX),
        Algorithm::FixedWindow { period, .. } => period.calendar_unit(),
        _ => None,
    };
    let usual = calendar.map(|unit| match unit {
        CalendarUnit::Hour => Millis::from_mins(60),
        CalendarUnit::Day | CalendarUnit::Week(_) | CalendarUnit::Month(_) => {
            Millis::from_mins(24 * 60)
        }
    });
    limit.window().or(usual)
}

/// The limits in shadow mode that the call went past.
pub(super) fn would_refuse(charges: &[Charge], standings: &[Standing]) -> Vec<Arc<str>> {
    charges
        .iter()
        .zip(standings)
        .filter(|(charge, standing)| charge.limit.mode == Mode::Shadow && standing.exceeded)
        .map(|(charge, _)| Arc::clone(&charge.limit.name))
        .collect()
}

/// How a call's limits stand after its decision.
#[derive(Debug)]
pub(super) struct Stand<'c> {
    charges: &'c [Charge],
    /// Of the first charges, as far as they were looked at.
    standings: &'c [Standing],
    /// The one that refused.
    refusing: Option<(&'c Charge, Standing)>,
}

impl<'c> Stand<'c> {
    pub fn admitted(charges: &'c [Charge], standings: &'c [Standing]) -> Self {
        Self {
            charges,
            standings,
            refusing: None,
        }
    }

    /// Of what the refusal knows; no counter was charged.
    pub fn refused(charges: &'c [Charge], standings: &'c [Standing], refusal: Refusal) -> Self {
        let standing = Standing {
            used: refusal.used,
            exceeded: true,
            remaining: refusal.remaining,
            carried: standings
                .get(refusal.charge)
                .map_or(0, |standing| standing.carried),
            reset_after: refusal.reset_after,
        };
        Self {
            refusing: charges.get(refusal.charge).map(|charge| (charge, standing)),
            ..Self::admitted(charges, standings)
        }
    }

    /// What is told of a unit: the limit that refused, else the one with the
    /// least left.
    fn tightest(&self, unit: Unit) -> Option<(&'c Charge, Standing)> {
        let refusing = self
            .refusing
            .filter(|(charge, _)| charge.limit.unit == unit);
        let least = || {
            let all = self.charges.iter().zip(self.standings.iter().copied());
            all.filter(|(charge, _)| charge.limit.unit == unit)
                .filter(|(charge, _)| charge.limit.mode == Mode::Enforce)
                .min_by_key(|(_, standing)| standing.remaining)
        };
        refusing.or_else(least)
    }
}

/// The rate headers of a call in its dialect.
pub(super) fn headers(
    stand: &Stand,
    (dialect, ietf): (Dialect, bool),
    now: UnixMillis,
) -> Vec<(&'static str, String)> {
    let tightest = |unit: Unit| stand.tightest(unit);
    let of = |unit| {
        tightest(unit).map(|(charge, standing)| RateStanding {
            limit: standing.whole(charge.limit.amount),
            remaining: standing.remaining,
            reset_ms: standing.reset_after.unwrap_or(Millis(0)).0,
        })
    };
    let told = Standings {
        requests: of(Unit::Requests),
        tokens: of(Unit::Tokens),
        input_tokens: of(Unit::InputTokens),
        output_tokens: of(Unit::OutputTokens),
    };
    let more = if ietf {
        let items: Vec<_> = Unit::ALL
            .into_iter()
            .filter_map(tightest)
            .map(item)
            .collect();
        ietf_rate_limit::headers(&items)
    } else {
        Vec::new()
    };
    let mut headers = rate_headers::render(dialect, &told, now);
    headers.extend(more);
    headers
}

fn item((charge, standing): (&Charge, Standing)) -> ietf_rate_limit::Item<'_> {
    let limit = &charge.limit;
    ietf_rate_limit::Item {
        name: &limit.name,
        unit: limit.unit.as_str(),
        limit: standing.whole(limit.amount),
        window_ms: limit.window().map(|window| window.0),
        remaining: standing.remaining,
        reset_ms: standing.reset_after.map(|reset| reset.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Scope;
    use crate::limits::period::{Calendar, Period};
    use jiff::tz::TimeZone;

    fn limit(unit: Unit, algorithm: Algorithm) -> Limit {
        Limit {
            name: unit.as_str().into(),
            scope: Scope::TENANT,
            unit,
            amount: 100,
            algorithm,
            mode: Mode::Enforce,
        }
    }

    fn sliding(unit: Unit) -> Charge {
        let every = Millis::from_mins(1);
        let limit = limit(unit, Algorithm::SlidingWindow { every });
        Charge::new(Arc::new(limit), unit.as_str(), 1)
    }

    #[test]
    fn an_admitted_call_is_told_of_its_limits_in_its_dialect() {
        let units = [Unit::Requests, Unit::InputTokens, Unit::OutputTokens];
        let charges = units.map(sliding);
        let standing = |remaining| Standing {
            used: 1,
            exceeded: false,
            remaining,
            carried: 0,
            reset_after: Some(Millis(1_500)),
        };
        let standings = [standing(99), standing(80), standing(60)];
        let now = UnixMillis(1_700_000_000_000);
        let told = |dialect, ietf| {
            let stand = Stand::admitted(&charges, &standings);
            let headers = headers(&stand, (dialect, ietf), now);
            let lines = headers.iter().map(|(n, v)| format!("{n}: {v}"));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            told(Dialect::Anthropic, false),
            [
                "anthropic-ratelimit-requests-limit: 100",
                "anthropic-ratelimit-requests-remaining: 99",
                "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:22Z",
                "anthropic-ratelimit-input-tokens-limit: 100",
                "anthropic-ratelimit-input-tokens-remaining: 80",
                "anthropic-ratelimit-input-tokens-reset: 2023-11-14T22:13:22Z",
                "anthropic-ratelimit-output-tokens-limit: 100",
                "anthropic-ratelimit-output-tokens-remaining: 60",
                "anthropic-ratelimit-output-tokens-reset: 2023-11-14T22:13:22Z",
            ]
        );
        assert_eq!(
            told(Dialect::OpenAi, false),
            [
                "x-ratelimit-limit-requests: 100",
                "x-ratelimit-remaining-requests: 99",
                "x-ratelimit-reset-requests: 1.5s",
            ]
        );
        for dialect in [
            Dialect::Gemini,
            Dialect::Bedrock,
            Dialect::Cohere,
            Dialect::Ollama,
        ] {
            assert!(told(dialect, false).is_empty(), "{dialect:?}");
            let ietf = told(dialect, true);
            assert_eq!(ietf.len(), 2, "{dialect:?}");
            assert!(ietf[0].starts_with("ratelimit-policy: "), "{ietf:?}");
        }
    }

    /// The limit that refused is told of its unit, whatever else has less left;
    /// of the others those that were looked at.
    #[test]
    fn a_refused_call_is_told_of_the_limit_that_refused_it() {
        let charges = [
            sliding(Unit::Requests),
            sliding(Unit::Tokens),
            sliding(Unit::Tokens),
        ];
        let standing = |remaining, reset_ms| Standing {
            used: 1,
            exceeded: false,
            remaining,
            carried: 0,
            reset_after: Some(Millis(reset_ms)),
        };
        let standings = [standing(99, 1_500), standing(2, 1_500), standing(7, 9_000)];
        let refusal = |charge| Refusal {
            charge,
            used: 93,
            requested: 8,
            remaining: 7,
            reset_after: Some(Millis(9_000)),
            retry: Retry::After(Millis(8_000)),
        };
        let told = |standings: &[Standing], charge, ietf| {
            let stand = Stand::refused(&charges, standings, refusal(charge));
            let headers = headers(&stand, (Dialect::OpenAi, ietf), UnixMillis(0));
            let lines = headers.iter().map(|(n, v)| format!("{n}: {v}"));
            lines.collect::<Vec<_>>()
        };
        let of_tokens = [
            "x-ratelimit-limit-tokens: 100",
            "x-ratelimit-remaining-tokens: 7",
            "x-ratelimit-reset-tokens: 9s",
        ];
        let of_requests = [
            "x-ratelimit-limit-requests: 100",
            "x-ratelimit-remaining-requests: 99",
            "x-ratelimit-reset-requests: 1.5s",
        ];
        assert_eq!(
            told(&standings, 2, false),
            [of_requests, of_tokens].concat()
        );
        // What was remembered of an earlier refusal is the refusal alone.
        assert_eq!(told(&[], 2, false), of_tokens);
        assert_eq!(
            told(&[], 2, true)[3..],
            [
                r#"ratelimit-policy: "tokens";q=100;qu="tokens";w=60"#,
                r#"ratelimit: "tokens";r=7;t=9"#
            ]
        );
        assert_eq!(told(&[], 9, false), [""; 0], "a charge that isn't there");
    }

    #[test]
    fn a_calendars_window_is_about_as_long_as_it_is_called() {
        let fixed = |period| Algorithm::FixedWindow {
            period: Arc::new(period),
            rollover: None,
        };
        let calendar = |unit| {
            fixed(Period::calendar(Calendar {
                unit,
                zone: TimeZone::UTC,
            }))
        };
        let hours = |hours: u64| Some(Millis::from_mins(60 * hours));
        for (algorithm, window) in [
            (calendar(CalendarUnit::Hour), hours(1)),
            (calendar(CalendarUnit::Day), hours(24)),
            (calendar(CalendarUnit::Month(1)), hours(24)),
            (
                fixed(Period::aligned(Millis::from_mins(60 * 48))),
                hours(48),
            ),
            (Algorithm::Concurrency, None),
        ] {
            assert_eq!(window_min(&limit(Unit::Tokens, algorithm)), window);
        }
    }
}
