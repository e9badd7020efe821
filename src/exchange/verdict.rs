//! What a call used, once it is over: the settlement and its event.
//!
//! Decided in this order, the first that applies:
//!
//! | what happened | outcome | charged |
//! |---|---|---|
//! | the provider was never reached | void | nothing |
//! | the provider refused (4xx) | void | the request, no tokens |
//! | the provider was reached and lost, or nothing of its answer was seen or could be read | estimated | the most that the call could use |
//! | the provider failed (5xx) | estimated | the input |
//! | the answer is whole and says what it used | exact | that |
//! | anything else: cut, or without usage | estimated | the larger of what it said and what was counted |
//!
//! What a call is charged never hangs on how much was held while it ran. A plan
//! that holds what is expected does so to let more calls run at once; it makes
//! none of them cheaper. Of a lost call nothing is known but its maximum: what
//! is expected is a percentile of answers that came whole, of which the long
//! ones are cut most often, and a client that could choose to lose its longest
//! calls would pay the percentile for them.
//!
//! A hold that expires is the exception: the counters keep what was held, since
//! nobody is left who could correct them, and its event says the same as they.

mod row;

use super::event::{Known, Outcome, UsageEvent};
use super::message::{Effect, Metadata, Origin, Settlement};
use super::open_call::OpenCall;
use crate::limits::Actual;
use crate::policy::expected::Lesson;
use crate::policy::failures::HealthLesson;
use crate::policy::token_ratios::RatioLesson;
use crate::protocol::{Answer, Endpoint, Usage};
use crate::units::UnixMillis;
use std::sync::Arc;

use row::event;
pub(super) use row::refused;

/// All that was seen of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub status: u16,
    pub origin: Origin,
    /// The gateway passed the answer's last byte on.
    pub whole: bool,
    pub answer: Answer,
    /// Output tokens counted from the texts that went by.
    pub counted_tokens: u64,
    pub first_token_at: Option<UnixMillis>,
}

/// What a call is charged.
struct Verdict {
    outcome: Outcome,
    known: Option<Known>,
    /// Of the input and of the output alone, where that is told apart.
    input_known: Option<Known>,
    output_known: Option<Known>,
    requests: u64,
    usage: Usage,
    /// As the provider said it.
    service_tier: Option<&'static str>,
}

impl Verdict {
    fn new(outcome: Outcome, known: Option<Known>, requests: u64, usage: Usage) -> Self {
        Self {
            outcome,
            known,
            input_known: None,
            output_known: None,
            requests,
            usage,
            service_tier: None,
        }
    }

    /// The larger of what a provider said of a call and of what is known
    /// otherwise, of input and output each.
    fn larger(call: &OpenCall, said: Usage, known: Known, own: Usage) -> Self {
        let most = believed(call);
        let of = |said: Option<u64>, most: Option<u64>, own: Option<u64>| {
            let is_said = said.is_some() && said >= own && said <= most;
            Some(if is_said { Known::Provider } else { known })
        };
        let usage = larger(clamped(call, said), own);
        Self {
            input_known: of(said.input_tokens, most.input_tokens, own.input_tokens),
            output_known: of(said.output_tokens, most.output_tokens, own.output_tokens),
            ..Self::new(Outcome::Estimated, Some(known), 1, usage)
        }
    }
}

/// The end of a call whose answer began.
pub(super) fn settle(call: OpenCall, seen: Seen, now: UnixMillis) -> (Effect, Metadata) {
    let verdict = Verdict {
        service_tier: seen.answer.service_tier,
        ..judge(&call, &seen)
    };
    let mut event = event(&call, &verdict, now);
    event.first_token_at_ms = seen.first_token_at;
    event.model_served = seen.answer.model;
    event.status = (seen.status != 0).then_some(seen.status);
    event.finish_reason = seen.answer.finish_reason;
    let metadata = Metadata {
        decision: Arc::from("admitted"),
        id: call.id,
        tenant: Some(Arc::clone(&call.tenant)),
        model: call.known_model(),
        outcome: Some(verdict.outcome.as_str()),
        input_tokens: event.input_tokens,
        output_tokens: event.output_tokens,
        handover: None,
    };
    let failed = matches!(seen.status, 429 | 500..) || seen.origin == Origin::Lost;
    let settlement = Settlement {
        health_lesson: health(&call, failed, now),
        ..settlement(&call, &verdict, event)
    };
    (Effect::Settle(Box::new(settlement)), metadata)
}

/// The end of a call of whose answer nothing was seen.
pub(super) fn unseen(call: OpenCall, origin: Origin, now: UnixMillis) -> Effect {
    let verdict = match origin {
        Origin::NeverSent => never_sent(),
        Origin::Upstream | Origin::Lost | Origin::Unknown => lost(&call),
    };
    let event = event(&call, &verdict, now);
    let is_told = matches!(origin, Origin::NeverSent | Origin::Lost);
    Effect::Settle(Box::new(Settlement {
        health_lesson: health(&call, true, now).filter(|_| is_told),
        ..settlement(&call, &verdict, event)
    }))
}

/// What the end of a call teaches of its model's health.
fn health(call: &OpenCall, failed: bool, at: UnixMillis) -> Option<HealthLesson> {
    let model = call.known_model()?;
    Some(HealthLesson { model, failed, at })
}

/// The end of a call of which only its head counts.
pub(super) fn unread(call: &OpenCall, now: UnixMillis) -> Effect {
    let verdict = used_up_nothing(Outcome::Estimated);
    let event = event(call, &verdict, now);
    Effect::Settle(Box::new(settlement(call, &verdict, event)))
}

/// The event of a hold that nobody settled: of what stays charged.
pub fn expired(call: &OpenCall, now: UnixMillis) -> UsageEvent {
    event(call, &estimate(call, call.output_tokens), now)
}

/// The end of a call whose process died, and all that was counted with it.
pub fn interrupted(call: &OpenCall, now: UnixMillis) -> Settlement {
    let verdict = lost(call);
    let event = event(call, &verdict, now);
    settlement(call, &verdict, event)
}

/// The event of a hold that was given back before anything was sent.
pub(super) fn void(call: &OpenCall, now: UnixMillis) -> UsageEvent {
    event(call, &never_sent(), now)
}

fn judge(call: &OpenCall, seen: &Seen) -> Verdict {
    let counted = Usage {
        input_tokens: Some(call.input_estimate()),
        output_tokens: Some(seen.counted_tokens),
        ..Usage::default()
    };
    let usage_said = seen.answer.usage.map(|usage| searched(call, seen, usage));
    let usage_or_none = usage_said.unwrap_or_else(|| searched(call, seen, Usage::default()));
    let estimated = |usage| Verdict::larger(call, usage, Known::Counted, counted);
    let nothing_seen = seen.first_token_at.is_none() && seen.answer.usage.is_none();
    match (seen.origin, seen.status) {
        (Origin::NeverSent, _) => never_sent(),
        // What such a call uses nobody knows, and nothing is held for it.
        _ if call.endpoint == Endpoint::Other => used_up_nothing(Outcome::Estimated),
        (_, 200..=299) if call.endpoint.is_free_unless_said() && seen.answer.usage.is_none() => {
            used_up_nothing(Outcome::Exact)
        }
        (Origin::Lost, _) if nothing_seen => lost(call),
        (_, 400..=499) if seen.answer.usage.is_none() => used_up_nothing(Outcome::Void),
        (_, 200..=299) => match usage_said {
            Some(usage) if is_exact(call, &seen.answer, usage) && is_plausible(call, usage) => {
                Verdict::new(Outcome::Exact, Some(Known::Provider), 1, usage)
            }
            _ if is_silent(call, seen) => {
                Verdict::larger(call, usage_or_none, Known::Reserved, lost(call).usage)
            }
            _ => estimated(usage_or_none),
        },
        _ => estimated(usage_or_none),
    }
}

/// A usage with the searches that the answer shows; of a chat that asked for one,
/// which no answer counts, with that.
fn searched(call: &OpenCall, seen: &Seen, usage: Usage) -> Usage {
    let is_chat = call.endpoint == Endpoint::ChatCompletions;
    let asked =
        (is_chat && matches!(seen.status, 200..=299) && call.searches > 0).then_some(call.searches);
    Usage {
        searches: usage.searches.max(seen.answer.searches).or(asked),
        ..usage
    }
}

/// Whether a usage can be billed as it is: the whole answer was read, and both
/// sides are said (an embedding produces no tokens and says nothing of them).
fn is_exact(call: &OpenCall, answer: &Answer, usage: Usage) -> bool {
    let output_said = usage.output_tokens.is_some() || call.output_tokens_max() == 0;
    answer.complete && !answer.unreadable && usage.input_tokens.is_some() && output_said
}

/// Whether an answer showed nothing of what it holds and didn't come to an end
/// that says so: it was cut before, or in a form that isn't read here. What was
/// produced may be anything, thoughts that nobody is shown included.
fn is_silent(call: &OpenCall, seen: &Seen) -> bool {
    let answer = &seen.answer;
    let ended = seen.whole && answer.complete && !answer.unreadable;
    let told = answer.finish_reason.is_some() || answer.usage.is_some();
    call.output_tokens_max() > 0 && seen.first_token_at.is_none() && !(ended && told)
}

/// What a provider may claim beyond what can be explained before it is no
/// longer believed: tools and files that it fetched itself add to the input,
/// and a cap on the output is not kept to the token.
const INPUT_UNEXPLAINED_MAX: u64 = 1_000_000;
const OUTPUT_UNEXPLAINED_MAX: u64 = 4_096;

/// The same of searches: research takes some hundred.
const SEARCHES_UNEXPLAINED_MAX: u64 = 1_000;

/// The most usage that is believed. A provider's mistake must not put a tenant
/// into a debt that takes years to pay.
fn believed(call: &OpenCall) -> Usage {
    Usage {
        input_tokens: Some(
            call.request_bytes
                .max(call.input_tokens)
                .saturating_add(INPUT_UNEXPLAINED_MAX),
        ),
        output_tokens: Some(
            call.output_tokens_max()
                .saturating_mul(2)
                .saturating_add(OUTPUT_UNEXPLAINED_MAX),
        ),
        searches: Some(call.searches.saturating_add(SEARCHES_UNEXPLAINED_MAX)),
        ..Usage::default()
    }
}

fn is_plausible(call: &OpenCall, usage: Usage) -> bool {
    let most = believed(call);
    usage.input_tokens <= most.input_tokens
        && usage.output_tokens <= most.output_tokens
        && usage.searches <= most.searches
}

fn clamped(call: &OpenCall, usage: Usage) -> Usage {
    let most = believed(call);
    Usage {
        input_tokens: usage.input_tokens.min(most.input_tokens),
        output_tokens: usage.output_tokens.min(most.output_tokens),
        searches: usage.searches.min(most.searches),
        ..usage
    }
}

fn larger(said: Usage, counted: Usage) -> Usage {
    Usage {
        input_tokens: said.input_tokens.max(counted.input_tokens),
        output_tokens: said.output_tokens.max(counted.output_tokens),
        searches: said.searches.max(counted.searches),
        ..said
    }
}

/// One request, and no tokens.
fn used_up_nothing(outcome: Outcome) -> Verdict {
    Verdict::new(outcome, None, 1, Usage::default())
}

fn never_sent() -> Verdict {
    Verdict::new(Outcome::Void, None, 0, Usage::default())
}

/// It may have produced all that it could.
fn lost(call: &OpenCall) -> Verdict {
    estimate(call, call.output_tokens_max())
}

/// Nothing is known but what was asked for.
fn estimate(call: &OpenCall, output_tokens: u64) -> Verdict {
    let usage = Usage {
        input_tokens: Some(call.input_tokens),
        output_tokens: Some(output_tokens),
        searches: (call.searches > 0).then_some(call.searches),
        ..Usage::default()
    };
    Verdict::new(Outcome::Estimated, Some(Known::Reserved), 1, usage)
}

fn settlement(call: &OpenCall, verdict: &Verdict, event: UsageEvent) -> Settlement {
    Settlement {
        slot: Arc::clone(&call.tenant),
        hold: call.id,
        shared: call.shared,
        actual: Actual {
            requests: verdict.requests,
            input_tokens: event.input_tokens.unwrap_or(0),
            output_tokens: event.output_tokens.unwrap_or(0),
            cost_nanos: event.cost_nanos.unwrap_or(0),
        },
        lesson: lesson(call, verdict),
        ratio_lesson: ratio_lesson(call, verdict),
        health_lesson: None,
        event: Some(event),
    }
}

/// What a call teaches whose provider said what it produced.
///
/// Of one that was cut, or whose output had to be counted, only the least is
/// known that it would have produced. That teaches something where it is more
/// than was held: it lies above the percentile then, wherever it would have
/// ended, so it can't teach too little. Left out, the long answers would be
/// missing, which are cut most often.
fn lesson(call: &OpenCall, verdict: &Verdict) -> Option<Lesson> {
    let expected = call.expected?;
    let produced = verdict.usage.output_tokens?;
    let teaches = match (verdict.outcome, verdict.known) {
        (Outcome::Exact, _) => true,
        (Outcome::Estimated, Some(Known::Counted)) => produced > call.output_tokens,
        _ => false,
    };
    teaches.then(|| Lesson {
        tenant: Arc::clone(&call.tenant),
        model: Arc::clone(&call.model),
        percentile: expected.percentile,
        output_tokens: produced.div_ceil(expected.answers.max(1)),
    })
}

/// What a call teaches of the model's tokens whose provider said how many there
/// were.
fn ratio_lesson(call: &OpenCall, verdict: &Verdict) -> Option<RatioLesson> {
    let basis = call.input_basis?;
    let said = verdict.usage.input_tokens?;
    (verdict.outcome == Outcome::Exact).then(|| RatioLesson {
        model: Arc::clone(&call.model),
        counted: basis.counted,
        actual: said.saturating_sub(basis.overhead),
    })
}
