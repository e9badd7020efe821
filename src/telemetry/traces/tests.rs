//! Spans as a collector receives them.

use super::*;
use crate::telemetry::tests::event;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, span::SpanKind, status::StatusCode};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A collector that hands on what it gets.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0
            .send(request.into_inner())
            .map_err(|_| Status::unavailable("over"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn collector(
    runtime: &Runtime,
) -> (
    SocketAddr,
    mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (address, receiver)
}

/// Records the events and gives the spans as the collector got them, with the
/// attributes of their resource.
fn sent(events: &[UsageEvent]) -> (Vec<OtlpSpan>, BTreeMap<String, Any>) {
    let runtime = runtime();
    let (address, mut received) = collector(&runtime);
    let metrics = Arc::new(Metrics::new());
    let endpoint = format!("http://{address}");
    let traces = Traces::start(
        &endpoint,
        "weir-test",
        Arc::clone(&metrics),
        runtime.handle(),
    )
    .unwrap();
    for event in events {
        traces.record(event);
    }
    traces.shutdown();
    assert!(
        metrics
            .encode()
            .contains(r#"weir_spans_lost_total{reason="export_failed"} 0"#)
    );
    let (mut spans, mut resource) = (Vec::new(), BTreeMap::new());
    while let Ok(request) = received.try_recv() {
        for batch in request.resource_spans {
            resource = attributes(&batch.resource.unwrap_or_default().attributes);
            spans.extend(batch.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    (spans, resource)
}

fn attributes(list: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, Any> {
    let value = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        pair.value.clone().and_then(|any| any.value).unwrap()
    };
    list.iter()
        .map(|pair| (pair.key.clone(), value(pair)))
        .collect()
}

fn string(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

#[test]
fn a_provider_goes_by_the_conventions_name() {
    for (dialect, provider) in [
        ("anthropic", "anthropic"),
        ("gemini", "gcp.gemini"),
        ("bedrock", "aws.bedrock"),
        ("ollama", "ollama"),
    ] {
        let (spans, _) = sent(&[event(1, json!({ "dialect": dialect }))]);
        let found = attributes(&spans[0].attributes);
        let expected = string(provider);
        assert_eq!(found.get("gen_ai.provider.name"), Some(&expected));
    }
}

#[test]
fn a_call_is_one_span_with_the_names_of_the_convention() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (spans, resource) = sent(&[event(1, json!({ "traceparent": parent }))]);
    assert_eq!(spans.len(), 1);
    let span = &spans[0];
    assert_eq!(span.name, "chat gpt-4o");
    assert_eq!(span.kind, SpanKind::Client as i32);
    assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_700_000_002_000_000_000);
    assert!(
        span.status
            .clone()
            .is_none_or(|status| status.code == StatusCode::Unset as i32)
    );
    let found = attributes(&span.attributes);
    let expected = [
        ("gen_ai.operation.name", string("chat")),
        ("gen_ai.provider.name", string("openai")),
        ("gen_ai.request.model", string("gpt-4o")),
        ("gen_ai.request.stream", Any::BoolValue(true)),
        ("gen_ai.response.model", string("gpt-4o-2024-08-06")),
        (
            "gen_ai.response.time_to_first_chunk",
            Any::DoubleValue(0.25),
        ),
        ("gen_ai.usage.input_tokens", Any::IntValue(100)),
        ("gen_ai.usage.cache_read.input_tokens", Any::IntValue(40)),
        ("gen_ai.usage.output_tokens", Any::IntValue(7)),
        ("http.response.status_code", Any::IntValue(200)),
        ("weir.id", string(&event(1, json!({})).id.to_string())),
        ("weir.outcome", string("exact")),
        ("weir.known", string("provider")),
        ("weir.tenant", string("acme")),
        ("weir.user", string("ann")),
        ("weir.key_id", string("key-1")),
        ("weir.plan", string("team")),
        ("weir.reserved_tokens", Any::IntValue(1_124)),
    ];
    for (name, value) in &expected {
        assert_eq!(found.get(*name), Some(value), "{name}");
    }
    let Some(Any::ArrayValue(reasons)) = found.get("gen_ai.response.finish_reasons") else {
        panic!("an array of reasons in {found:?}");
    };
    assert_eq!(reasons.values.len(), 1);
    assert_eq!(reasons.values[0].value, Some(string("stop")));
    assert_eq!(
        found.len(),
        expected.len() + 1,
        "and nothing else: {found:?}"
    );
    assert_eq!(resource.get("service.name"), Some(&string("weir-test")));
}

#[test]
fn a_call_without_a_parent_begins_a_trace_and_one_that_is_not_sampled_leaves_none() {
    let (spans, _) = sent(&[
        event(1, json!({ "traceparent": "00-xyz-nonsense-01" })),
        event(
            2,
            json!({ "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00" }),
        ),
        event(3, json!({ "traceparent": null })),
    ]);
    assert_eq!(spans.len(), 2);
    for span in &spans {
        assert!(span.parent_span_id.iter().all(|byte| *byte == 0));
        assert_eq!(span.trace_id.len(), 16);
    }
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
}

#[test]
fn failed_calls_say_what_failed() {
    let refused = json!({ "outcome": "refused", "refused_by": "acme-rpm", "status": 429,
        "endpoint": null, "model": null, "known": null });
    let (spans, _) = sent(&[
        event(1, refused),
        event(
            2,
            json!({ "outcome": "estimated", "status": 503, "endpoint": "/v1/embeddings" }),
        ),
        event(
            3,
            json!({ "outcome": "estimated", "status": null, "endpoint": "/v1/completions" }),
        ),
    ]);
    let found: Vec<_> = spans
        .iter()
        .map(|span| {
            let status = span.status.clone().unwrap();
            assert_eq!(status.code, StatusCode::Error as i32);
            (
                span.name.as_str(),
                attributes(&span.attributes)["error.type"].clone(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("unknown", string("acme-rpm")),
            ("embeddings gpt-4o", string("503")),
            ("text_completion gpt-4o", string("no_answer")),
        ]
    );
}

#[test]
fn long_words_are_cut_at_a_character() {
    let long = "é".repeat(1_000);
    let (spans, _) = sent(&[event(1, json!({ "model_served": format!("x{long}") }))]);
    let found = attributes(&spans[0].attributes);
    assert_eq!(
        found["gen_ai.response.model"],
        string(&format!("x{}", "é".repeat(127)))
    );
}

#[test]
fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let runtime = runtime();
    // Bound and closed at once: nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let metrics = Arc::new(Metrics::new());
    let endpoint = format!("http://{gone}");
    let traces = Traces::start(&endpoint, "weir", Arc::clone(&metrics), runtime.handle()).unwrap();
    let lost = |reason: &str| -> usize {
        let text = metrics.encode();
        let series = format!("weir_spans_lost_total{{reason=\"{reason}\"}} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&series))
            .unwrap()
            .parse()
            .unwrap()
    };
    // Until it can't keep up, which on a busy machine takes a while.
    let mut spans = 0;
    while lost("queue_full") == 0 && spans < 1_000 * QUEUE_SPANS_MAX {
        for _ in 0..3 * QUEUE_SPANS_MAX {
            traces.record(&event(1, json!({})));
        }
        spans += 3 * QUEUE_SPANS_MAX;
    }
    traces.shutdown();
    assert_eq!(lost("queue_full") + lost("export_failed"), spans);
    assert!(lost("queue_full") > 0 && lost("export_failed") > 0);
    traces.record(&event(1, json!({})));
    assert_eq!(
        lost("queue_full") + lost("export_failed"),
        spans + 1,
        "after the end"
    );
}

#[test]
fn an_endpoint_that_is_none_is_an_error() {
    let runtime = runtime();
    let metrics = Arc::new(Metrics::new());
    let outcome = Traces::start("not an endpoint", "weir", metrics, runtime.handle());
    assert!(outcome.is_err());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
