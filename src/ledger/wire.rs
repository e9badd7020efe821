//! Rows as protobuf messages: `proto/weir/v1/usage_event.proto`.
//!
//! Always holds: the same event gives the same bytes, and an event that was read
//! from bytes written here gives them again, so that a chain can be verified
//! wherever its rows are.

use super::row::{Link, Row};
use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, Outcome, SCHEMA};
use crate::identity::labels;
use crate::limits::HoldId;
use crate::pricing::{CostPart, Kind};
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use prost::Message;
use std::sync::Arc;

// Made of the `.proto` file by `tests/golden/messages.rs`.
#[rustfmt::skip]
#[allow(clippy::doc_markdown, reason = "made by a program")]
pub mod v1;

/// Why bytes are no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("not a usage event: {0}")]
    Malformed(String),
    #[error("a usage event whose `{0}` is missing or not of this version")]
    Field(&'static str),
}

/// The event's message without a link: what a chain's hash is of.
pub fn encode_event(event: &UsageEvent) -> Vec<u8> {
    message(event).encode_to_vec()
}

/// The field that makes an event's message a row's: put behind
/// [`encode_event`]'s bytes.
pub fn encode_link(link: &Link, bytes: &mut Vec<u8>) {
    let message = v1::UsageEvent {
        link: Some(v1::Link {
            chain: link.chain.as_bytes().to_vec(),
            sequence: link.sequence,
            hash: link.hash.to_vec(),
        }),
        ..v1::UsageEvent::default()
    };
    // The only error is a buffer that can't grow, and a vector can.
    let _ = message.encode(bytes);
}

/// The whole row.
pub fn encode(row: &Row) -> Vec<u8> {
    let mut bytes = encode_event(&row.event);
    encode_link(&row.link, &mut bytes);
    bytes
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`WireError::Malformed`], [`WireError::Field`].
pub fn decode(bytes: &[u8]) -> Result<Row, WireError> {
    let message =
        v1::UsageEvent::decode(bytes).map_err(|error| WireError::Malformed(error.to_string()))?;
    let link = message.link.as_ref().ok_or(WireError::Field("link"))?;
    let link = read_link(link)?;
    Ok(Row {
        event: event(message)?,
        link,
    })
}

/// The id and the link of a row that [`encode`] wrote, without reading the rest.
pub fn peek(bytes: &[u8]) -> Option<(HoldId, Link)> {
    /// The message's fields that are wanted.
    #[derive(Clone, PartialEq, Message)]
    struct Peeked {
        #[prost(bytes = "vec", tag = "1")]
        id: Vec<u8>,
        #[prost(message, optional, tag = "100")]
        link: Option<v1::Link>,
    }
    let peeked = Peeked::decode(bytes).ok()?;
    Some((HoldId(uuid(&peeked.id)?), read_link(&peeked.link?).ok()?))
}

fn read_link(link: &v1::Link) -> Result<Link, WireError> {
    Ok(Link {
        chain: uuid(&link.chain).ok_or(WireError::Field("link.chain"))?,
        sequence: link.sequence,
        hash: link
            .hash
            .as_slice()
            .try_into()
            .map_err(|_| WireError::Field("link.hash"))?,
    })
}

fn uuid(bytes: &[u8]) -> Option<uuid::Uuid> {
    uuid::Uuid::from_slice(bytes).ok()
}

fn text(text: &Option<Arc<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

fn texts(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

fn message(event: &UsageEvent) -> v1::UsageEvent {
    v1::UsageEvent {
        id: event.id.0.as_bytes().to_vec(),
        hold_id: Vec::new(),
        outcome: outcome(event.outcome).into(),
        refusal: text(&event.refusal),
        refused_by: text(&event.refused_by),
        would_refuse: texts(&event.would_refuse),
        actions: texts(&event.actions),
        started_at_ms: event.started_at_ms.0,
        first_token_at_ms: event.first_token_at_ms.map(|at| at.0),
        ended_at_ms: event.ended_at_ms.0,
        tenant: text(&event.tenant),
        project: text(&event.project),
        environment: text(&event.environment),
        user: text(&event.user),
        key_id: text(&event.key_id),
        plan: text(&event.plan),
        endpoint: event.endpoint.map(|endpoint| endpoint.path().to_owned()),
        dialect: event.dialect.to_string(),
        provider: text(&event.provider),
        model: text(&event.model),
        model_served: event.model_served.clone(),
        service_tier: text(&event.service_tier),
        stream: event.stream,
        status: event.status.map(u32::from),
        finish_reason: event.finish_reason.clone(),
        cache_hit: event.cache_hit,
        known: known(event.known).into(),
        input_known: known(event.input_known).into(),
        output_known: known(event.output_known).into(),
        input_tokens: event.input_tokens,
        cached_input_tokens: event.cached_input_tokens,
        cache_write_tokens: event.cache_write_tokens,
        cache_write_1h_tokens: event.cache_write_1h_tokens,
        input_audio_tokens: event.input_audio_tokens,
        input_image_tokens: event.input_image_tokens,
        cached_input_audio_tokens: event.cached_input_audio_tokens,
        cached_input_image_tokens: event.cached_input_image_tokens,
        output_tokens: event.output_tokens,
        reasoning_tokens: event.reasoning_tokens,
        output_audio_tokens: event.output_audio_tokens,
        output_image_tokens: event.output_image_tokens,
        searches: event.searches,
        reserved_tokens: event.reserved_tokens,
        cost_nanos: event.cost_nanos,
        cost_parts: event.cost_parts.iter().map(part).collect(),
        price_version: text(&event.price_version),
        request_bytes: event.request_bytes,
        traceparent: event.traceparent.clone(),
        labels: event
            .labels
            .iter()
            .flat_map(|all| all.iter())
            .map(label)
            .collect(),
        model_asked: text(&event.model_asked),
        link: None,
    }
}

fn event(message: v1::UsageEvent) -> Result<UsageEvent, WireError> {
    let arc = |text: Option<String>| text.map(Arc::from);
    let arcs = |texts: Vec<String>| texts.into_iter().map(Arc::from).collect();
    let status = message.status.map(u16::try_from).transpose();
    Ok(UsageEvent {
        schema: SCHEMA.to_owned(),
        id: HoldId(uuid(&message.id).ok_or(WireError::Field("id"))?),
        outcome: read_outcome(message.outcome).ok_or(WireError::Field("outcome"))?,
        refusal: arc(message.refusal),
        refused_by: arc(message.refused_by),
        would_refuse: arcs(message.would_refuse),
        actions: arcs(message.actions),
        started_at_ms: UnixMillis(message.started_at_ms),
        first_token_at_ms: message.first_token_at_ms.map(UnixMillis),
        ended_at_ms: UnixMillis(message.ended_at_ms),
        tenant: arc(message.tenant),
        project: arc(message.project),
        environment: arc(message.environment),
        user: arc(message.user),
        key_id: arc(message.key_id),
        plan: arc(message.plan),
        endpoint: read_endpoint(message.endpoint.as_deref())?,
        dialect: message.dialect.into(),
        provider: arc(message.provider),
        model: arc(message.model),
        model_served: message.model_served,
        service_tier: arc(message.service_tier),
        stream: message.stream,
        status: status.map_err(|_| WireError::Field("status"))?,
        finish_reason: message.finish_reason,
        cache_hit: message.cache_hit,
        known: read_known(message.known)?,
        input_known: read_known(message.input_known)?,
        output_known: read_known(message.output_known)?,
        input_tokens: message.input_tokens,
        cached_input_tokens: message.cached_input_tokens,
        cache_write_tokens: message.cache_write_tokens,
        cache_write_1h_tokens: message.cache_write_1h_tokens,
        input_audio_tokens: message.input_audio_tokens,
        input_image_tokens: message.input_image_tokens,
        cached_input_audio_tokens: message.cached_input_audio_tokens,
        cached_input_image_tokens: message.cached_input_image_tokens,
        output_tokens: message.output_tokens,
        reasoning_tokens: message.reasoning_tokens,
        output_audio_tokens: message.output_audio_tokens,
        output_image_tokens: message.output_image_tokens,
        searches: message.searches,
        reserved_tokens: message.reserved_tokens,
        cost_nanos: message.cost_nanos,
        cost_parts: read_parts(&message.cost_parts)?,
        price_version: arc(message.price_version),
        request_bytes: message.request_bytes,
        traceparent: message.traceparent,
        labels: labels::sorted(message.labels.into_iter().map(read_label).collect()),
        model_asked: arc(message.model_asked),
    })
}

fn label((name, value): &(Arc<str>, Arc<str>)) -> v1::Label {
    v1::Label {
        name: name.to_string(),
        value: value.to_string(),
    }
}

fn read_label(label: v1::Label) -> (Arc<str>, Arc<str>) {
    (label.name.into(), label.value.into())
}

fn read_endpoint(path: Option<&str>) -> Result<Option<Endpoint>, WireError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let known = Endpoint::all().find(|endpoint| endpoint.path() == path);
    known.map(Some).ok_or(WireError::Field("endpoint"))
}

fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Exact => v1::Outcome::Exact,
        Outcome::Estimated => v1::Outcome::Estimated,
        Outcome::Void => v1::Outcome::Void,
        Outcome::Refused => v1::Outcome::Refused,
    }
}

fn read_outcome(number: i32) -> Option<Outcome> {
    match v1::Outcome::try_from(number).ok()? {
        v1::Outcome::Unspecified => None,
        v1::Outcome::Exact => Some(Outcome::Exact),
        v1::Outcome::Estimated => Some(Outcome::Estimated),
        v1::Outcome::Void => Some(Outcome::Void),
        v1::Outcome::Refused => Some(Outcome::Refused),
    }
}

fn known(known: Option<Known>) -> v1::Known {
    match known {
        None => v1::Known::Unspecified,
        Some(Known::Provider) => v1::Known::Provider,
        Some(Known::Counted) => v1::Known::Counted,
        Some(Known::Reserved) => v1::Known::Reserved,
    }
}

fn read_known(number: i32) -> Result<Option<Known>, WireError> {
    match v1::Known::try_from(number) {
        Ok(v1::Known::Unspecified) => Ok(None),
        Ok(v1::Known::Provider) => Ok(Some(Known::Provider)),
        Ok(v1::Known::Counted) => Ok(Some(Known::Counted)),
        Ok(v1::Known::Reserved) => Ok(Some(Known::Reserved)),
        Err(_) => Err(WireError::Field("known")),
    }
}

fn part(part: &CostPart) -> v1::CostPart {
    v1::CostPart {
        // The message's kinds are in the same order, from 1: see the tests.
        kind: part.kind as i32 + 1,
        units: part.units,
        cost_nanos: part.cost_nanos,
    }
}

fn read_parts(parts: &[v1::CostPart]) -> Result<Vec<CostPart>, WireError> {
    parts.iter().map(read_part).collect()
}

fn read_part(part: &v1::CostPart) -> Result<CostPart, WireError> {
    let place = usize::try_from(part.kind)
        .ok()
        .and_then(|n| n.checked_sub(1));
    let kind = place.and_then(|place| Kind::ALL.get(place));
    Ok(CostPart {
        kind: *kind.ok_or(WireError::Field("cost_parts.kind"))?,
        units: part.units,
        cost_nanos: part.cost_nanos,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_have_the_same_words_in_both() {
        for kind in Kind::ALL {
            let number = kind as i32 + 1;
            let word = v1::Kind::try_from(number).unwrap().as_str_name();
            assert_eq!(word, format!("KIND_{}", kind.as_str().to_uppercase()));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("{:?}", kind.as_str()));
        }
        assert!(v1::Kind::try_from(Kind::ALL.len() as i32 + 1).is_err());
    }

    fn name() -> impl Strategy<Value = Option<Arc<str>>> {
        proptest::option::of(".{0,8}".prop_map(Arc::from))
    }

    fn count() -> impl Strategy<Value = Option<u64>> {
        proptest::option::of(any::<u64>())
    }

    prop_compose! {
        fn parts()(parts in proptest::collection::vec(
            (0..Kind::ALL.len(), any::<u64>(), any::<u64>()), 0..4,
        )) -> Vec<CostPart> {
            parts.into_iter().map(|(kind, units, cost_nanos)| CostPart {
                kind: Kind::ALL[kind],
                units,
                cost_nanos,
            }).collect()
        }
    }

    const KNOWN: [Option<Known>; 4] = [
        None,
        Some(Known::Provider),
        Some(Known::Counted),
        Some(Known::Reserved),
    ];

    prop_compose! {
        fn any_row()(
            id in any::<u128>(),
            outcome in 0..4usize,
            known in proptest::array::uniform3(0..4usize),
            endpoint in proptest::option::of(0..Endpoint::ALL.len()),
            names in proptest::array::uniform14(name()),
            counts in proptest::array::uniform16(count()),
            flags in any::<(bool, bool)>(),
            status in proptest::option::of(any::<u16>()),
            times in any::<(u64, Option<u64>, u64)>(),
            labels in proptest::collection::btree_map(".{0,4}", ".{0,4}", 0..3),
            lists in proptest::array::uniform2(proptest::collection::vec(".{0,5}", 0..3)),
            cost_parts in parts(),
            link in any::<(u128, u64, Hash)>(),
        ) -> Row {
            let [refusal, refused_by, tenant, project, environment, user, key_id, plan, dialect,
                provider, model, tier, price_version, other] = names;
            let [would_refuse, actions] = lists.map(|l| l.into_iter().map(Arc::from).collect());
            let [input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens,
                input_audio_tokens, input_image_tokens, output_tokens, reasoning_tokens,
                output_audio_tokens, output_image_tokens, searches, reserved_tokens, cost_nanos,
                request_bytes, cached_input_audio_tokens, cached_input_image_tokens] = counts;
            let other = other.map(|o| o.to_string());
            let event = UsageEvent {
                schema: SCHEMA.to_owned(),
                id: HoldId(uuid::Uuid::from_u128(id)),
                outcome: [Outcome::Exact, Outcome::Estimated, Outcome::Void, Outcome::Refused][outcome],
                refusal, refused_by, would_refuse, actions,
                started_at_ms: UnixMillis(times.0),
                first_token_at_ms: times.1.map(UnixMillis),
                ended_at_ms: UnixMillis(times.2),
                tenant, project, environment, user, key_id, plan,
                labels: labels::sorted(
                    labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
                ),
                endpoint: endpoint.map(|e| Endpoint::ALL[e]),
                dialect: dialect.unwrap_or_else(|| "openai".into()),
                provider,
                model_asked: model.clone(),
                model,
                model_served: other.clone(),
                service_tier: tier,
                stream: flags.0,
                status,
                finish_reason: other.clone(),
                known: KNOWN[known[0]],
                input_known: KNOWN[known[1]],
                output_known: KNOWN[known[2]],
                input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens,
                input_audio_tokens, input_image_tokens, output_tokens, reasoning_tokens,
                cached_input_audio_tokens, cached_input_image_tokens,
                output_audio_tokens, output_image_tokens, searches, reserved_tokens, cost_nanos,
                cost_parts, price_version,
                request_bytes: request_bytes.unwrap_or(0),
                cache_hit: flags.1,
                traceparent: other,
            };
            let link = Link { chain: uuid::Uuid::from_u128(link.0), sequence: link.1, hash: link.2 };
            Row { event, link }
        }
    }

    use crate::ledger::row::Hash;

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(row in any_row()) {
            let bytes = encode(&row);
            let read = decode(&bytes).unwrap();
            prop_assert_eq!(&read, &row);
            prop_assert_eq!(encode_event(&read.event), encode_event(&row.event));
            prop_assert_eq!(peek(&bytes), Some((row.event.id, row.link)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (decode(&bytes), peek(&bytes));
        }
    }
}
