//! The sink against collectors of all kinds.

use super::super::endpoint::Credential;
use super::super::tests::{id, ids, relay, row, row_with, rows};
use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Response;

const TOKEN: &str = "t0ken-of-the-collector";

#[derive(Debug, Clone)]
struct Got {
    request: ExportLogsServiceRequest,
    metadata: MetadataMap,
}

impl Got {
    fn records(&self) -> &[LogRecord] {
        &self.request.resource_logs[0].scope_logs[0].log_records
    }

    fn ids(&self) -> Vec<String> {
        let named = |record: &LogRecord| match &attributes(&record.attributes)["weir.id"] {
            Any::StringValue(id) => id.clone(),
            other => panic!("{other:?}"),
        };
        self.records().iter().map(named).collect()
    }
}

type Answered = Result<ExportLogsServiceResponse, Status>;
type Answering = Box<dyn Fn(usize, &Got) -> Option<Answered> + Send + Sync>;

/// A collector that answers as it is told to; `None` is never.
#[derive(Clone)]
struct Collector {
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Answering>,
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let got = Got { request, metadata };
        let nth = {
            let mut seen = self.got.lock().unwrap();
            seen.push(got.clone());
            seen.len() - 1
        };
        match (self.answer)(nth, &got) {
            Some(answer) => answer.map(Response::new),
            None => std::future::pending().await,
        }
    }
}

struct Running {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    place: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Running {
    async fn start(
        bytes_max: usize,
        answer: impl Fn(usize, &Got) -> Option<Answered> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Collector {
            got: Arc::default(),
            answer: Arc::new(Box::new(answer)),
        };
        let got = collector.got.clone();
        let service = LogsServiceServer::new(collector).max_decoding_message_size(bytes_max);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let _ = server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await;
        });
        Self {
            address,
            got,
            place: tempfile::tempdir().unwrap(),
            _tasks: tasks,
        }
    }

    fn config(&self) -> OtlpConfig {
        OtlpConfig {
            endpoint: EndpointConfig {
                url: format!("http://{}", self.address),
                ca_pem: None,
                credential: Some(Credential::bearer(TOKEN).unwrap()),
            },
            service_name: "weir-test".into(),
            request_bytes_max: REQUEST_BYTES_MAX,
            timeout: Duration::from_secs(20),
            dead_letters_folder: self.place.path().to_owned(),
        }
    }

    fn sink(&self) -> OtlpSink {
        OtlpSink::new(self.config()).unwrap()
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<Vec<String>> {
        self.got().iter().map(Got::ids).collect()
    }
}

const FOUR_MIB: usize = 4 * 1024 * 1024;

fn taken() -> Option<Answered> {
    Some(Ok(ExportLogsServiceResponse::default()))
}

fn rejected(number: usize, words: &str) -> Option<Answered> {
    Some(Ok(ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: number as i64,
            error_message: words.to_owned(),
        }),
    }))
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, Any> {
    let read = |pair: &KeyValue| (pair.key.clone(), pair.value.clone().unwrap().value.unwrap());
    let read: BTreeMap<_, _> = list.iter().map(read).collect();
    assert_eq!(read.len(), list.len(), "no name is there twice");
    read
}

fn text(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

fn away(outcome: Result<(), SinkError>) -> String {
    let Err(SinkError::Away(why)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(!why.contains(TOKEN), "{why}");
    why
}

#[tokio::test]
async fn a_record_as_the_conventions_have_it() {
    let collector = Running::start(FOUR_MIB, |_, _| taken()).await;
    let full = row_with(
        7,
        json!({
            "provider": "azure",
            "cost_nanos": 1_500,
            "cost_parts": [
                { "kind": "input", "units": 60, "cost_nanos": 600 },
                { "kind": "cached_input", "units": 40, "cost_nanos": 200 },
                { "kind": "input", "units": 1, "cost_nanos": 700 },
            ],
            "would_refuse": ["day", "month"],
            "cache_hit": true,
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }),
    );
    collector.sink().deliver(&[full]).await.unwrap();
    let [got] = collector.got().try_into().unwrap();
    let authorization = got.metadata.get("authorization").unwrap();
    assert_eq!(authorization.to_str().unwrap(), format!("Bearer {TOKEN}"));
    let resource = got.request.resource_logs[0].resource.clone().unwrap();
    assert_eq!(
        attributes(&resource.attributes)["service.name"],
        text("weir-test")
    );
    let record = &got.records()[0];
    assert_eq!(record.event_name, "weir.usage");
    assert_eq!(record.time_unix_nano, 1_700_000_002_000_000_000);
    assert_eq!(record.observed_time_unix_nano, 1_700_000_002_000_000_000);
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128;
    assert_eq!(record.trace_id, trace.to_be_bytes());
    assert_eq!(record.span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(record.flags, 1);
    let found = attributes(&record.attributes);
    for (name, value) in [
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.provider.name", text("azure")),
        ("gen_ai.request.model", text("gpt-4o")),
        ("gen_ai.response.model", text("gpt-4o-2024-08-06")),
        ("gen_ai.request.stream", Any::BoolValue(true)),
        ("gen_ai.usage.input_tokens", Any::IntValue(100)),
        ("gen_ai.usage.cache_read.input_tokens", Any::IntValue(40)),
        ("gen_ai.usage.output_tokens", Any::IntValue(7)),
        ("http.response.status_code", Any::IntValue(200)),
        ("weir.id", text(&id(7).to_string())),
        ("weir.tenant", text("acme")),
        ("weir.outcome", text("exact")),
        ("weir.known", text("provider")),
        ("weir.started_at_ms", Any::IntValue(1_700_000_000_000)),
        ("weir.cost_nanos", Any::IntValue(1_500)),
        ("weir.cost.input.units", Any::IntValue(61)),
        ("weir.cost.input.nanos", Any::IntValue(1_300)),
        ("weir.cost.cached_input.nanos", Any::IntValue(200)),
        ("weir.cache_hit", Any::BoolValue(true)),
        ("weir.chain", text(&row(7).link.chain.to_string())),
        ("weir.sequence", Any::IntValue(7)),
        ("weir.hash", text(&"07".repeat(32))),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}");
    }
    let both = ["day", "month"].map(|name| AnyValue {
        value: Some(text(name)),
    });
    let both = ArrayValue {
        values: both.to_vec(),
    };
    assert_eq!(found["weir.would_refuse"], Any::ArrayValue(both));
    assert!(!found.contains_key("gen_ai.usage.reasoning.output_tokens"));
}

/// No field of the event is forgotten in its record.
#[test]
fn each_field_of_the_event_changes_the_record() {
    let without = record::of(&row_with(
        1,
        json!({ "tenant": null, "user": null, "key_id": null, "plan": null, "endpoint": null,
            "model": null, "model_served": null, "finish_reason": null, "known": null,
            "input_tokens": null, "cached_input_tokens": null, "output_tokens": null,
            "reserved_tokens": null, "status": null, "first_token_at_ms": null,
            "stream": false, "request_bytes": 0 }),
    ));
    let row = row(1);
    let mut names: Vec<String> = serde_json::to_value(&row.event)
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    // Those that the row above lacks.
    let others = json!({
        "refusal": "tokens", "refused_by": "day", "would_refuse": ["x"], "project": "p",
        "environment": "e", "provider": "azure", "service_tier": "flex", "cache_write_tokens": 1,
        "cache_write_1h_tokens": 1, "input_audio_tokens": 1, "input_image_tokens": 1,
        "cached_input_audio_tokens": 1, "cached_input_image_tokens": 1,
        "input_known": "provider", "output_known": "counted",
        "reasoning_tokens": 1, "output_audio_tokens": 1, "output_image_tokens": 1, "searches": 1,
        "cost_nanos": 1, "cost_parts": [{ "kind": "input", "units": 1, "cost_nanos": 1 }],
        "price_version": "v", "actions": ["a"], "cache_hit": true,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    let own = serde_json::to_value(&row.event).unwrap();
    let others = others.as_object().unwrap();
    names.extend(others.keys().cloned());
    let told_always = [
        "schema",
        "id",
        "outcome",
        "started_at_ms",
        "ended_at_ms",
        "dialect",
    ];
    for name in names
        .iter()
        .filter(|name| !told_always.contains(&name.as_str()))
    {
        let value = others.get(name).unwrap_or_else(|| &own[name]);
        let mut fields = json!({ "tenant": null, "user": null, "key_id": null, "plan": null,
            "endpoint": null, "model": null, "model_served": null, "finish_reason": null,
            "known": null, "input_tokens": null, "cached_input_tokens": null,
            "output_tokens": null, "reserved_tokens": null, "status": null,
            "first_token_at_ms": null, "stream": false, "request_bytes": 0 });
        fields[name] = value.clone();
        let with = record::of(&row_with(1, fields));
        assert_ne!(with, without, "{name} is not told");
    }
}

#[tokio::test]
async fn rows_go_in_order_in_requests_of_a_bounded_size() {
    let collector = Running::start(FOUR_MIB, |_, _| taken()).await;
    let words = "w".repeat(20_000);
    let large = |n| row_with(n, json!({ "finish_reason": words }));
    let batch: Vec<Row> = (0..400).map(large).collect();
    collector.sink().deliver(&batch).await.unwrap();
    let got = collector.got();
    assert!(got.len() >= 3, "{}", got.len());
    for got in &got {
        let bytes = got.request.encoded_len();
        assert!(bytes <= FOUR_MIB, "{bytes}");
    }
    assert_eq!(collector.ids().concat(), ids(0..400));
}

#[tokio::test]
async fn what_is_away_is_offered_again_with_the_same_ids() {
    for code in [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::Internal,
        Code::Unknown,
    ] {
        let answer = move |nth: usize, got: &Got| {
            let said = got.metadata.get("authorization").unwrap();
            let words = format!("no: {}", said.to_str().unwrap());
            match nth {
                0 => Some(Err(Status::new(code, words))),
                _ => taken(),
            }
        };
        let collector = Running::start(FOUR_MIB, answer).await;
        let mut sink = collector.sink();
        let why = away(sink.deliver(&rows(0..4)).await);
        assert!(why.contains(&collector.address.to_string()), "{why}");
        assert_eq!(collector.ids(), [ids(0..4)], "{code:?}");
        sink.deliver(&rows(0..4)).await.unwrap();
        assert_eq!(collector.ids()[1..].concat(), ids(0..4), "{code:?}");
    }
}

#[tokio::test]
async fn poison_rows_are_found_whichever_way_they_are_refused() {
    for by_status in [true, false] {
        let poison = ids([3, 4, 11]);
        let refuse = move |_: usize, got: &Got| {
            let odd = got.ids().iter().filter(|id| poison.contains(id)).count();
            match (odd, by_status) {
                (0, _) => taken(),
                (_, true) => Some(Err(Status::invalid_argument("odd"))),
                (odd, false) => rejected(odd, "odd"),
            }
        };
        let collector = Running::start(FOUR_MIB, refuse).await;
        let mut sink = collector.sink();
        let aside = relay(&mut sink, &rows(0..16)).await;
        assert_eq!(aside, [id(3), id(4), id(11)]);
        let path = collector.place.path().join("dead-letters-otlp.jsonl");
        let letters = std::fs::read_to_string(path).unwrap();
        assert_eq!(letters.lines().count(), 3);
        assert!(letters.contains("odd"), "{letters}");
        let poison = ids([3, 4, 11]);
        let whole = collector.ids().into_iter();
        let whole = whole.filter(|ids| !ids.iter().any(|id| poison.contains(id)));
        let expected = ids((0..16).filter(|n| ![3, 4, 11].contains(n)));
        assert_eq!(whole.flatten().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_warning_that_rejects_nothing_is_taken() {
    let collector = Running::start(FOUR_MIB, |_, _| rejected(0, "deprecated")).await;
    collector.sink().deliver(&rows(0..4)).await.unwrap();
    assert_eq!(collector.ids(), [ids(0..4)]);
}

/// A receiver that takes smaller messages than is usual; a row that is too large
/// for it by itself.
#[tokio::test]
async fn messages_get_smaller_until_they_are_taken() {
    let collector = Running::start(8 * 1024, |_, _| taken()).await;
    let mut sink = collector.sink();
    sink.deliver(&rows(0..64)).await.unwrap();
    assert_eq!(collector.ids().concat(), ids(0..64));
    let mut batch = rows(100..104);
    batch[1] = row_with(101, json!({ "finish_reason": "w".repeat(9_000) }));
    assert_eq!(relay(&mut sink, &batch).await, [id(101)]);
    let rest = collector.ids().concat().split_off(64);
    assert_eq!(rest, ids([100, 102, 103]));
    // In the words of others.
    for words in [
        "grpc: received message larger than max (9 vs. 8)",
        "gRPC message exceeds maximum size 8: 9",
    ] {
        let small = move |_: usize, got: &Got| match got.ids().len() {
            0..=3 => taken(),
            _ => Some(Err(Status::resource_exhausted(words))),
        };
        let collector = Running::start(FOUR_MIB, small).await;
        let mut sink = collector.sink();
        sink.deliver(&rows(0..16)).await.unwrap();
        sink.deliver(&rows(16..32)).await.unwrap();
        let tried = collector.ids().into_iter();
        let too_large = tried.filter(|ids| ids.len() > 3).count();
        assert_eq!(too_large, 3, "of 16, 8 and 4, each once");
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_is_away_in_time() {
    let answer = |nth: usize, _: &Got| if nth == 0 { None } else { taken() };
    let collector = Running::start(FOUR_MIB, answer).await;
    let mut config = collector.config();
    config.timeout = Duration::from_millis(200);
    let mut sink = OtlpSink::new(config).unwrap();
    let why = away(sink.deliver(&rows(0..4)).await);
    assert!(why.contains("no answer within 200ms"), "{why}");
    for _ in 0..50 {
        if sink.deliver(&rows(0..4)).await.is_ok() {
            return;
        }
    }
    panic!("it answers now");
}

#[tokio::test]
async fn a_peer_that_is_silent_or_not_there_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = Running::start(FOUR_MIB, |_, _| taken()).await;
    let mut config = collector.config();
    config.endpoint.url = format!("http://{}", listener.local_addr().unwrap());
    config.timeout = Duration::from_millis(100);
    let mut sink = OtlpSink::new(config).unwrap();
    // The system accepts for it, and nobody speaks.
    away(sink.deliver(&rows(0..2)).await);
    drop(listener);
    let why = away(sink.deliver(&rows(0..2)).await);
    assert!(why.contains("127.0.0.1:"), "{why}");
    assert_eq!(collector.got().len(), 0);
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own_and_no_other() {
    let signed = || rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (own, other) = (signed(), signed());
    for (trusted, is_taken) in [(&own, true), (&other, false)] {
        let collector = Running::start(FOUR_MIB, |_, _| taken()).await;
        let (port, _tasks) = in_front_of(collector.address, &own).await;
        let mut config = collector.config();
        config.endpoint.url = format!("https://localhost:{port}");
        config.endpoint.ca_pem = Some(trusted.cert.pem().into_bytes());
        let mut sink = OtlpSink::new(config).unwrap();
        let outcome = sink.deliver(&rows(0..3)).await;
        if is_taken {
            outcome.unwrap();
            assert_eq!(collector.ids(), [ids(0..3)]);
        } else {
            let why = away(outcome);
            assert!(why.contains("certificate"), "{why}");
            assert_eq!(collector.got().len(), 0);
        }
    }
}

/// Ends TLS and passes the bytes on.
async fn in_front_of(
    address: SocketAddr,
    signed: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> (u16, JoinSet<()>) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::from_pem_slice(signed.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(signed.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut passing = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            passing.spawn(async move {
                let Ok(mut outside) = tls.accept(stream).await else {
                    return;
                };
                let mut inside = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (port, tasks)
}
