//! The event of a call, field by field.

use super::Verdict;
use crate::exchange::admit::Refused;
use crate::exchange::cost;
use crate::exchange::event::{Known, Outcome, SCHEMA, UsageEvent};
use crate::exchange::open_call::OpenCall;
use crate::limits::HoldId;
use crate::pricing::{ServiceTier, total_nanos};
use crate::protocol::Dialect;
use crate::units::UnixMillis;
use std::sync::Arc;

/// The event of a call that was refused, in this dialect and with this status.
pub(in crate::exchange) fn refused(
    refused: Refused,
    refused_by: Arc<str>,
    (dialect, status): (Dialect, u16),
    id: HoldId,
    now: UnixMillis,
) -> UsageEvent {
    let who = refused.principal.as_deref();
    UsageEvent {
        refusal: Some(Arc::from(refused.denial.reason())),
        refused_by: Some(refused_by),
        started_at_ms: refused.started_at,
        tenant: who.map(|who| Arc::clone(&who.tenant)),
        project: who.and_then(|who| who.project.clone()),
        environment: who.and_then(|who| who.environment.clone()),
        user: who.and_then(|who| who.user.clone()),
        key_id: who.map(|who| Arc::clone(&who.key_id)),
        plan: who.map(|who| Arc::clone(&who.plan)),
        labels: who.and_then(|who| who.labels.clone()),
        endpoint: refused.endpoint,
        model: refused.model,
        status: Some(status),
        actions: refused.actions,
        ..nothing(id, dialect, now)
    }
}

/// Of a call of which nothing is known but that it was refused.
fn nothing(id: HoldId, dialect: Dialect, now: UnixMillis) -> UsageEvent {
    UsageEvent {
        schema: SCHEMA.to_owned(),
        id,
        outcome: Outcome::Refused,
        refusal: None,
        refused_by: None,
        would_refuse: Vec::new(),
        started_at_ms: now,
        first_token_at_ms: None,
        ended_at_ms: now,
        tenant: None,
        project: None,
        environment: None,
        user: None,
        key_id: None,
        plan: None,
        labels: None,
        endpoint: None,
        dialect: Arc::from(dialect.as_str()),
        provider: None,
        model: None,
        model_asked: None,
        model_served: None,
        service_tier: None,
        stream: false,
        status: None,
        finish_reason: None,
        known: None,
        input_known: None,
        output_known: None,
        input_tokens: None,
        cached_input_tokens: None,
        cache_write_tokens: None,
        cache_write_1h_tokens: None,
        input_audio_tokens: None,
        input_image_tokens: None,
        cached_input_audio_tokens: None,
        cached_input_image_tokens: None,
        output_tokens: None,
        reasoning_tokens: None,
        output_audio_tokens: None,
        output_image_tokens: None,
        searches: None,
        reserved_tokens: None,
        cost_nanos: None,
        cost_parts: Vec::new(),
        price_version: None,
        actions: Vec::new(),
        cache_hit: false,
        request_bytes: 0,
        traceparent: None,
    }
}

/// The event of a call that was admitted, as it ends.
pub(super) fn event(call: &OpenCall, verdict: &Verdict, now: UnixMillis) -> UsageEvent {
    let usage = &verdict.usage;
    let charged = cost::charged(call, verdict.known, usage, verdict.service_tier);
    let is_special = charged.tier != ServiceTier::Standard;
    let price = call.price.as_ref().filter(|_| charged.is_known);
    let is_own = |known: &Known| Some(*known) != verdict.known;
    UsageEvent {
        schema: SCHEMA.to_owned(),
        id: call.id,
        outcome: verdict.outcome,
        refusal: None,
        refused_by: None,
        would_refuse: call.would_refuse.clone(),
        started_at_ms: call.started_at,
        first_token_at_ms: None,
        ended_at_ms: now,
        tenant: Some(Arc::clone(&call.tenant)),
        project: call.project.clone(),
        environment: call.environment.clone(),
        user: call.user.clone(),
        key_id: Some(Arc::clone(&call.key_id)),
        plan: Some(Arc::clone(&call.plan)),
        labels: call.labels.clone(),
        endpoint: Some(call.endpoint),
        dialect: Arc::from(call.endpoint.dialect().as_str()),
        provider: call.provider.clone(),
        model: call.known_model(),
        model_asked: call.asked.clone(),
        model_served: None,
        service_tier: is_special.then(|| Arc::from(charged.tier.as_str())),
        stream: call.stream,
        status: None,
        finish_reason: None,
        known: verdict.known,
        input_known: verdict.input_known.filter(is_own),
        output_known: verdict.output_known.filter(is_own),
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cache_write_1h_tokens: usage.cache_write_1h_tokens,
        input_audio_tokens: usage.input_audio_tokens,
        input_image_tokens: usage.input_image_tokens,
        cached_input_audio_tokens: usage.cached_input_audio_tokens,
        cached_input_image_tokens: usage.cached_input_image_tokens,
        output_tokens: usage.output_tokens,
        reasoning_tokens: usage.reasoning_tokens,
        output_audio_tokens: usage.output_audio_tokens,
        output_image_tokens: usage.output_image_tokens,
        searches: usage.searches,
        reserved_tokens: Some(call.estimate().total_tokens()),
        cost_nanos: price.map(|_| total_nanos(&charged.parts)),
        cost_parts: charged.parts,
        price_version: price.map(|price| Arc::clone(price.version())),
        actions: call.actions.clone(),
        cache_hit: false,
        request_bytes: call.request_bytes,
        traceparent: call.traceparent.clone(),
    }
}
