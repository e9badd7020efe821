//! What limits tell the caller: of a refusal, and of what is left.

use super::open_call::OpenCall;
use crate::limits::{Charge, Mode, Refusal, Retry, Standing, Unit};
use crate::protocol::denial::{Denial, RateDenial, RateRetry, RateStanding, RateUnit};
use crate::protocol::ietf_rate_limit;
use crate::protocol::openai::rate_headers;
use crate::units::Millis;
use std::sync::Arc;

/// How long a caller is asked to wait for a slot, which nobody can foresee.
const SLOT_RETRY_HINT_MS: u64 = 1_000;

pub(super) fn denial(charges: &[Charge], refusal: Refusal, call: &OpenCall) -> Denial {
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
            _ => charge.limit.amount,
        },
        used: refusal.used,
        requested: refusal.requested,
        remaining: refusal.remaining,
        retry: match refusal.retry {
            Retry::After(span) => RateRetry::AfterMillis(span.0),
            Retry::WhenOneEnds => RateRetry::WhenOneEnds {
                hint_ms: SLOT_RETRY_HINT_MS,
            },
            Retry::Never => RateRetry::Never,
        },
    }))
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

/// The rate headers of an admitted call: for each unit, those of the limit with
/// the least left.
pub(super) fn headers(
    charges: &[Charge],
    standings: &[Standing],
    ietf: bool,
) -> Vec<(String, String)> {
    let tightest = |unit: Unit| {
        charges
            .iter()
            .zip(standings)
            .filter(|(charge, _)| charge.limit.unit == unit && charge.limit.mode == Mode::Enforce)
            .min_by_key(|(_, standing)| standing.remaining)
    };
    let of = |unit| {
        tightest(unit).map(|(charge, standing)| RateStanding {
            limit: charge.limit.amount,
            remaining: standing.remaining,
            reset_ms: standing.reset_after.unwrap_or(Millis(0)).0,
        })
    };
    let requests = of(Unit::Requests).map(rate_headers::requests);
    let tokens = of(Unit::Tokens).map(rate_headers::tokens);
    let dialect = requests.into_iter().chain(tokens).flatten();
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
    dialect
        .chain(more)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn item<'c>((charge, standing): (&'c Charge, &Standing)) -> ietf_rate_limit::Item<'c> {
    let limit = &charge.limit;
    ietf_rate_limit::Item {
        name: &limit.name,
        unit: limit.unit.as_str(),
        limit: limit.amount,
        window_ms: limit.window().map(|window| window.0),
        remaining: standing.remaining,
        reset_ms: standing.reset_after.map(|reset| reset.0),
    }
}
