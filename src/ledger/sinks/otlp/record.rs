//! A row as a log record.
//!
//! The record's event name is `weir.usage`; its time, and the time at which it
//! was observed, is when the call was over; its trace and span are the caller's,
//! where it told them. Attributes have the names of the GenAI semantic
//! conventions (status: development), as of 1.41, where there are such:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/>.
//!
//! | attribute | from |
//! |---|---|
//! | `gen_ai.operation.name` | the endpoint: `chat`, `text_completion`, `embeddings` |
//! | `gen_ai.provider.name` | the provider as configured, else the dialect under the convention's name |
//! | `gen_ai.request.model`, `.response.model` | the model asked for, the model that served |
//! | `gen_ai.request.stream` | present if true |
//! | `gen_ai.response.finish_reasons` | the provider's own word |
//! | `gen_ai.usage.input_tokens`, `.output_tokens` | the tokens that are charged |
//! | `gen_ai.usage.cache_read.input_tokens`, `.cache_creation.input_tokens`, `.reasoning.output_tokens` | parts of them |
//! | `http.response.status_code` | what the caller got |
//! | `weir.id` | the event's id, by which the receiver can count it once |
//! | `weir.cost.KIND.units`, `.nanos` | the parts of the cost |
//! | `weir.chain`, `.sequence`, `.hash` | the row's link |
//! | `weir.NAME` | the event's other fields, by their names |

use crate::exchange::UsageEvent;
use crate::exchange::event::Known;
use crate::identity::labels;
use crate::ledger::row::{Link, Row};
use crate::pricing::{CostPart, Kind};
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::fmt::Write as _;
use std::sync::Arc;

/// What kind of record it is.
pub(super) const EVENT_NAME: &str = "weir.usage";

/// Who sends.
pub(super) fn resource(service_name: &str) -> Resource {
    let mut attributes = Attributes::default();
    attributes.text("service.name", Some(service_name));
    attributes.text("service.version", Some(env!("CARGO_PKG_VERSION")));
    Resource {
        attributes: attributes.0,
        ..Resource::default()
    }
}

/// The row's record.
pub(super) fn of(row: &Row) -> LogRecord {
    let event = &row.event;
    let mut attributes = Attributes::default();
    conventional(event, &mut attributes);
    own_words(event, &mut attributes);
    own_numbers(event, &mut attributes);
    cost(event, &mut attributes);
    link(&row.link, &mut attributes);
    let (trace_id, span_id, flags) = event
        .traceparent
        .as_deref()
        .and_then(trace)
        .unwrap_or_default();
    let ended = nanos(event.ended_at_ms);
    LogRecord {
        time_unix_nano: ended,
        observed_time_unix_nano: ended,
        severity_number: SeverityNumber::Info.into(),
        event_name: EVENT_NAME.to_owned(),
        attributes: attributes.0,
        trace_id,
        span_id,
        flags,
        ..LogRecord::default()
    }
}

/// What the conventions have a name for.
fn conventional(event: &UsageEvent, to: &mut Attributes) {
    to.text("gen_ai.operation.name", Some(operation(event.endpoint)));
    let provider = event.provider.as_deref();
    let provider = provider.unwrap_or_else(|| named_by_convention(&event.dialect));
    to.text("gen_ai.provider.name", Some(provider));
    to.text("gen_ai.request.model", event.model.as_deref());
    to.flag("gen_ai.request.stream", event.stream);
    to.text("gen_ai.response.model", event.model_served.as_deref());
    to.texts(
        "gen_ai.response.finish_reasons",
        event.finish_reason.as_deref(),
    );
    to.number("gen_ai.usage.input_tokens", event.input_tokens);
    to.number(
        "gen_ai.usage.cache_read.input_tokens",
        event.cached_input_tokens,
    );
    to.number(
        "gen_ai.usage.cache_creation.input_tokens",
        event.cache_write_tokens,
    );
    to.number("gen_ai.usage.output_tokens", event.output_tokens);
    to.number(
        "gen_ai.usage.reasoning.output_tokens",
        event.reasoning_tokens,
    );
    to.number("http.response.status_code", event.status.map(u64::from));
}

fn own_words(event: &UsageEvent, to: &mut Attributes) {
    to.text("weir.schema", Some(&event.schema));
    to.text("weir.id", Some(&event.id.to_string()));
    to.text("weir.outcome", Some(event.outcome.as_str()));
    to.text("weir.refusal", event.refusal.as_deref());
    to.text("weir.refused_by", event.refused_by.as_deref());
    to.texts(
        "weir.would_refuse",
        event.would_refuse.iter().map(Arc::as_ref),
    );
    to.texts("weir.actions", event.actions.iter().map(Arc::as_ref));
    to.text("weir.tenant", event.tenant.as_deref());
    to.text("weir.project", event.project.as_deref());
    to.text("weir.environment", event.environment.as_deref());
    to.text("weir.user", event.user.as_deref());
    to.text("weir.key_id", event.key_id.as_deref());
    to.text("weir.plan", event.plan.as_deref());
    to.text(
        "weir.labels",
        labels::written(event.labels.as_deref()).as_deref(),
    );
    to.text("weir.model_asked", event.model_asked.as_deref());
    to.text("weir.endpoint", event.endpoint.map(Endpoint::path));
    to.text("weir.dialect", Some(&event.dialect));
    to.text("weir.service_tier", event.service_tier.as_deref());
    to.text("weir.known", event.known.map(Known::as_str));
    to.text("weir.input_known", event.input_known.map(Known::as_str));
    to.text("weir.output_known", event.output_known.map(Known::as_str));
    to.text("weir.price_version", event.price_version.as_deref());
    to.flag("weir.cache_hit", event.cache_hit);
}

fn own_numbers(event: &UsageEvent, to: &mut Attributes) {
    to.number("weir.started_at_ms", Some(event.started_at_ms.0));
    to.number(
        "weir.first_token_at_ms",
        event.first_token_at_ms.map(|at| at.0),
    );
    to.number("weir.ended_at_ms", Some(event.ended_at_ms.0));
    to.number("weir.cache_write_1h_tokens", event.cache_write_1h_tokens);
    to.number("weir.input_audio_tokens", event.input_audio_tokens);
    to.number("weir.input_image_tokens", event.input_image_tokens);
    let cached = "weir.cached_input_audio_tokens";
    to.number(cached, event.cached_input_audio_tokens);
    let cached = "weir.cached_input_image_tokens";
    to.number(cached, event.cached_input_image_tokens);
    to.number("weir.output_audio_tokens", event.output_audio_tokens);
    to.number("weir.output_image_tokens", event.output_image_tokens);
    to.number("weir.searches", event.searches);
    to.number("weir.reserved_tokens", event.reserved_tokens);
    to.number("weir.request_bytes", Some(event.request_bytes));
}

fn cost(event: &UsageEvent, to: &mut Attributes) {
    to.number("weir.cost_nanos", event.cost_nanos);
    for kind in Kind::ALL {
        let parts = event.cost_parts.iter().filter(|part| part.kind == kind);
        let sum = |sum: Option<CostPart>, part: &CostPart| {
            let sum = sum.map_or((0, 0), |sum| (sum.units, sum.cost_nanos));
            Some(CostPart {
                kind,
                units: part.units.saturating_add(sum.0),
                cost_nanos: part.cost_nanos.saturating_add(sum.1),
            })
        };
        if let Some(part) = parts.fold(None, sum) {
            let kind = kind.as_str();
            to.number(&format!("weir.cost.{kind}.units"), Some(part.units));
            to.number(&format!("weir.cost.{kind}.nanos"), Some(part.cost_nanos));
        }
    }
}

fn link(link: &Link, to: &mut Attributes) {
    to.text("weir.chain", Some(&link.chain.to_string()));
    to.number("weir.sequence", Some(link.sequence));
    let mut hash = String::with_capacity(64);
    for byte in link.hash {
        // A string takes what it is given.
        let _ = write!(hash, "{byte:02x}");
    }
    to.text("weir.hash", Some(&hash));
}

fn operation(endpoint: Option<Endpoint>) -> &'static str {
    match endpoint {
        Some(Endpoint::ChatCompletions) => "chat",
        Some(Endpoint::Completions) => "text_completion",
        Some(Endpoint::Embeddings) => "embeddings",
        Some(other) => other.path(),
        None => "unknown",
    }
}

fn named_by_convention(dialect: &str) -> &str {
    match dialect {
        "gemini" => "gcp.gemini",
        "bedrock" => "aws.bedrock",
        other => other,
    }
}

fn nanos(time: UnixMillis) -> u64 {
    time.0.saturating_mul(1_000_000)
}

/// The trace, span and flags of a W3C `traceparent`.
fn trace(traceparent: &str) -> Option<(Vec<u8>, Vec<u8>, u32)> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = hex_bytes::<16>(parts.next()?)?;
    let span = hex_bytes::<8>(parts.next()?)?;
    let [flags] = hex_bytes::<1>(parts.next()?)?;
    Some((trace.to_vec(), span.to_vec(), u32::from(flags)))
}

fn hex_bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// What is there, by name.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &str, value: Value) {
        self.0.push(KeyValue {
            key: name.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.add(name, Value::StringValue(text.to_owned()));
        }
    }

    fn texts<'a>(&mut self, name: &str, texts: impl IntoIterator<Item = &'a str>) {
        let value = |text: &str| AnyValue {
            value: Some(Value::StringValue(text.to_owned())),
        };
        let values: Vec<AnyValue> = texts.into_iter().map(value).collect();
        if !values.is_empty() {
            self.add(name, Value::ArrayValue(ArrayValue { values }));
        }
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.add(name, Value::IntValue(number));
        }
    }

    /// Absent where it isn't so.
    fn flag(&mut self, name: &str, is_so: bool) {
        if is_so {
            self.add(name, Value::BoolValue(true));
        }
    }
}
