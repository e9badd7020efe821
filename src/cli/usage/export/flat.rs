//! A call as a line of CSV.

use super::super::output::{guarded, record};
use crate::exchange::UsageEvent;
use crate::exchange::event::Known;
use crate::identity::labels;
use crate::ledger::reports::money;
use crate::ledger::row::Row;
use crate::ledger::store::Adjustment;
use crate::ledger::store::columns::{cached_counts, counts};
use crate::ledger::store::measure::Measure;
use crate::protocol::Endpoint;
use std::io::Write;

const HEAD: [&str; 24] = [
    "id",
    "outcome",
    "known",
    "started_at_ms",
    "first_token_at_ms",
    "ended_at_ms",
    "tenant",
    "project",
    "environment",
    "user",
    "key_id",
    "plan",
    "endpoint",
    "dialect",
    "provider",
    "model",
    "model_served",
    "service_tier",
    "stream",
    "status",
    "finish_reason",
    "refusal",
    "refused_by",
    "price_version",
];

const TAIL: [&str; 12] = [
    "cost_nanos",
    "adjustment_nanos",
    "net_nanos",
    "net_dollars",
    "chain",
    "sequence",
    // Later than the others, so that those keep their places.
    "cached_input_audio_tokens",
    "cached_input_image_tokens",
    "input_known",
    "output_known",
    "labels",
    "model_asked",
];

pub fn head() -> anyhow::Result<Vec<u8>> {
    record(HEAD.into_iter().chain(counted()).chain(TAIL))
}

/// The names of [`counts`], in its order.
fn counted() -> impl Iterator<Item = &'static str> {
    let all = Measure::ALL.into_iter().map(Measure::as_str);
    all.skip(Measure::InputTokens as usize)
        .take(Measure::CostNanos as usize - Measure::InputTokens as usize)
}

/// One line.
pub fn write(row: &Row, corrections: &[&Adjustment], to: &mut impl Write) -> anyhow::Result<u64> {
    let (event, link) = (&row.event, &row.link);
    let added: i128 = corrections
        .iter()
        .map(|one| i128::from(one.delta_nanos))
        .sum();
    let net = i128::from(event.cost_nanos.unwrap_or(0)) + added;
    let mut fields = facts(event);
    fields.extend(counts(event).map(|(count, _)| number(count)));
    fields.extend([
        number(event.cost_nanos),
        added.to_string(),
        net.to_string(),
        money::exact(net),
        link.chain.simple().to_string(),
        link.sequence.to_string(),
    ]);
    fields.extend(cached_counts(event).map(|(count, _)| number(count)));
    let own = [event.input_known, event.output_known];
    fields.extend(own.map(|known| known.map_or("", Known::as_str).to_owned()));
    fields.push(labels::written(event.labels.as_deref()).unwrap_or_default());
    fields.push(event.model_asked.as_deref().unwrap_or_default().to_owned());
    to.write_all(&record(fields)?)?;
    Ok(1)
}

/// What [`HEAD`] names.
fn facts(event: &UsageEvent) -> Vec<String> {
    let text = |text: Option<&str>| guarded(text.unwrap_or(""));
    vec![
        event.id.to_string(),
        event.outcome.as_str().to_owned(),
        text(event.known.map(Known::as_str)),
        event.started_at_ms.0.to_string(),
        number(event.first_token_at_ms.map(|at| at.0)),
        event.ended_at_ms.0.to_string(),
        text(event.tenant.as_deref()),
        text(event.project.as_deref()),
        text(event.environment.as_deref()),
        text(event.user.as_deref()),
        text(event.key_id.as_deref()),
        text(event.plan.as_deref()),
        text(event.endpoint.map(Endpoint::path)),
        text(Some(&event.dialect)),
        text(event.provider.as_deref()),
        text(event.model.as_deref()),
        text(event.model_served.as_deref()),
        text(event.service_tier.as_deref()),
        event.stream.to_string(),
        number(event.status.map(u64::from)),
        text(event.finish_reason.as_deref()),
        text(event.refusal.as_deref()),
        text(event.refused_by.as_deref()),
        text(event.price_version.as_deref()),
    ]
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_own_names() {
        let counts = counts(&super::super::super::format::tests::event());
        assert!(counted().eq(counts.map(|(_, name)| name)));
    }
}
