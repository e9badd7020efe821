//! What a usage event looks like as a span.
//!
//! | attribute | from |
//! |---|---|
//! | `gen_ai.operation.name` | the endpoint: `chat`, `text_completion`, `embeddings` |
//! | `gen_ai.provider.name` | the dialect, under the convention's name |
//! | `gen_ai.request.model`, `.response.model` | the model asked for, the model that served |
//! | `gen_ai.request.stream` | present if true |
//! | `gen_ai.response.finish_reasons` | the provider's own word |
//! | `gen_ai.response.time_to_first_chunk` | seconds, streams only |
//! | `gen_ai.usage.input_tokens`, `.output_tokens` | the tokens that are charged |
//! | `gen_ai.usage.cache_read.input_tokens`, `.cache_creation.input_tokens`, `.reasoning.output_tokens` | parts of them |
//! | `http.response.status_code` | what the caller got |
//! | `error.type` | who refused; else a status from 400 on; else `no_answer` |
//! | `weir.id`, `.outcome`, `.known`, `.tenant`, `.project`, `.user`, `.key_id`, `.plan`, `.refused_by`, `.reserved_tokens` | the event's fields of these names |

use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, Outcome};
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use std::time::{Duration, SystemTime};

/// A longer text of the provider's is cut: it is a word, or it is nonsense.
const TEXT_BYTES_MAX: usize = 256;

/// The span, begun; its end and status are set when it is ended.
pub(super) fn builder(event: &UsageEvent) -> SpanBuilder {
    // Client: the convention's kind for a call to a provider, which is what
    // weir sees of it.
    SpanBuilder::from_name(name(event))
        .with_kind(SpanKind::Client)
        .with_start_time(time(event.started_at_ms))
        .with_attributes(attributes(event))
}

/// `chat gpt-4o`: the operation, and the model if it is known.
fn name(event: &UsageEvent) -> String {
    let operation = operation(event.endpoint);
    match &event.model {
        Some(model) => format!("{operation} {model}"),
        None => operation.to_owned(),
    }
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

/// Errors are errors of the call, whoever made them; a call that was cut or not
/// measured exactly is not by itself one.
pub(super) fn status(event: &UsageEvent) -> Status {
    match error_type(event) {
        Some(error) => Status::error(error),
        None => Status::Unset,
    }
}

fn error_type(event: &UsageEvent) -> Option<String> {
    if event.outcome == Outcome::Refused {
        return Some(event.refused_by.as_deref().unwrap_or("refused").to_owned());
    }
    match event.status {
        Some(status) if status >= 400 => Some(status.to_string()),
        Some(_) => None,
        None => Some("no_answer".to_owned()),
    }
}

/// A moment as the SDK wants it.
pub(super) fn time(moment: UnixMillis) -> SystemTime {
    let since = Duration::from_millis(moment.0);
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A dialect as the semantic conventions for generative AI name it.
fn provider(dialect: &str) -> Value {
    match dialect {
        "gemini" => "gcp.gemini".into(),
        "bedrock" => "aws.bedrock".into(),
        other => text(other),
    }
}

fn attributes(event: &UsageEvent) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", operation(event.endpoint)),
        KeyValue::new("gen_ai.provider.name", provider(&event.dialect)),
        KeyValue::new("weir.id", event.id.to_string()),
        KeyValue::new("weir.outcome", event.outcome.as_str()),
    ];
    let mut add = |name: &'static str, value: Option<Value>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    add("gen_ai.request.model", event.model.as_deref().map(text));
    add("gen_ai.request.stream", event.stream.then_some(true.into()));
    add(
        "gen_ai.response.model",
        event.model_served.as_deref().map(text),
    );
    let reasons = event.finish_reason.as_deref().map(|reason| {
        let reasons = vec![StringValue::from(cut(reason).to_owned())];
        Value::Array(Array::String(reasons))
    });
    add("gen_ai.response.finish_reasons", reasons);
    add(
        "gen_ai.response.time_to_first_chunk",
        first_chunk_seconds(event),
    );
    add("gen_ai.usage.input_tokens", number(event.input_tokens));
    add(
        "gen_ai.usage.cache_read.input_tokens",
        number(event.cached_input_tokens),
    );
    add(
        "gen_ai.usage.cache_creation.input_tokens",
        number(event.cache_write_tokens),
    );
    add("gen_ai.usage.output_tokens", number(event.output_tokens));
    add(
        "gen_ai.usage.reasoning.output_tokens",
        number(event.reasoning_tokens),
    );
    add(
        "http.response.status_code",
        number(event.status.map(u64::from)),
    );
    add("error.type", error_type(event).as_deref().map(text));
    add(
        "weir.known",
        event.known.map(|known| known_name(known).into()),
    );
    add("weir.tenant", event.tenant.as_deref().map(text));
    add("weir.project", event.project.as_deref().map(text));
    add("weir.user", event.user.as_deref().map(text));
    add("weir.key_id", event.key_id.as_deref().map(text));
    add("weir.plan", event.plan.as_deref().map(text));
    add("weir.refused_by", event.refused_by.as_deref().map(text));
    add("weir.reserved_tokens", number(event.reserved_tokens));
    attributes
}

fn known_name(known: Known) -> &'static str {
    match known {
        Known::Provider => "provider",
        Known::Counted => "counted",
        Known::Reserved => "reserved",
    }
}

fn first_chunk_seconds(event: &UsageEvent) -> Option<Value> {
    let first = event.first_token_at_ms.filter(|_| event.stream)?;
    let took: Duration = first.since(event.started_at_ms).into();
    Some(took.as_secs_f64().into())
}

fn number(value: Option<u64>) -> Option<Value> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX).into())
}

fn text(value: &str) -> Value {
    Value::String(StringValue::from(cut(value).to_owned()))
}

fn cut(text: &str) -> &str {
    let mut ends = (0..=text.len().min(TEXT_BYTES_MAX)).rev();
    let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
