//! Fake receivers of the ledger's rows, each behind a link that can fall: a
//! collector that takes OTLP over gRPC, and a meter that takes CloudEvents over
//! HTTP. They keep what arrived, how often, and misbehave as they are told to.

use crate::support::link::Link;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use weir::exchange::UsageEvent;

/// What shows weir to the receivers.
pub const TOKEN: &str = "t0ken-that-only-receivers-know";

/// How long a link is down after it has lost an answer.
const DOWN: Duration = Duration::from_millis(50);

/// What both kinds of receivers say of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub tenant: Option<String>,
    pub outcome: String,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub cost_nanos: Option<u64>,
}

impl Arrived {
    /// As they should say it.
    pub fn of(event: &UsageEvent) -> Self {
        Self {
            tenant: event.tenant.as_deref().map(str::to_owned),
            outcome: event.outcome.as_str().to_owned(),
            input_tokens: event.input_tokens,
            output_tokens: event.output_tokens,
            cost_nanos: event.cost_nanos,
        }
    }

    fn of_json(data: &Value) -> Self {
        let text = |name: &str| data[name].as_str().map(str::to_owned);
        Self {
            tenant: text("tenant"),
            outcome: text("outcome").unwrap(),
            input_tokens: data["input_tokens"].as_u64(),
            output_tokens: data["output_tokens"].as_u64(),
            cost_nanos: data["cost_nanos"].as_u64(),
        }
    }

    fn of_record(attributes: &BTreeMap<&str, Any>) -> Self {
        let number = |name: &str| match attributes.get(name) {
            Some(Any::IntValue(number)) => Some(*number as u64),
            _ => None,
        };
        Self {
            tenant: word(attributes, "weir.tenant"),
            outcome: word(attributes, "weir.outcome").unwrap(),
            input_tokens: number("gen_ai.usage.input_tokens"),
            output_tokens: number("gen_ai.usage.output_tokens"),
            cost_nanos: number("weir.cost_nanos"),
        }
    }
}

fn word(attributes: &BTreeMap<&str, Any>, name: &str) -> Option<String> {
    match attributes.get(name) {
        Some(Any::StringValue(text)) => Some(text.clone()),
        _ => None,
    }
}

/// What a receiver does with the next requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// 500, or `UNAVAILABLE`.
    Fails,
    /// Takes the rows of so many requests, and the connection falls instead of an
    /// answer.
    LosesAnswers(u32),
    /// Each request with a row of this tenant: 400, or `INVALID_ARGUMENT`.
    Refuses(&'static str),
}

#[derive(Debug)]
struct State {
    mood: Mood,
    rows: BTreeMap<String, Vec<Arrived>>,
    misbehaved: usize,
    /// Requests that didn't show who asks.
    strangers: usize,
}

/// What is to be answered.
enum Verdict {
    Taken,
    Failed,
    Lost,
    Refused,
}

/// A receiver and the link to it.
#[derive(Clone)]
pub struct Receiver {
    pub name: &'static str,
    pub link: Link,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Takes OTLP.
    pub async fn collector() -> Self {
        let (receiver, listener) = Self::listen("otlp").await;
        let service = LogsServiceServer::new(Collector(receiver.clone()));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        receiver
    }

    /// Takes CloudEvents.
    pub async fn meter() -> Self {
        let (receiver, listener) = Self::listen("cloudevents").await;
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = serving.clone();
                let service = service_fn(move |request| {
                    let receiver = receiver.clone();
                    async move { Ok::<_, Infallible>(receiver.posted(request).await) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        receiver
    }

    async fn listen(name: &'static str) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            name,
            link: Link::start(listener.local_addr().unwrap()).await,
            state: Arc::new(Mutex::new(State {
                mood: Mood::Takes,
                rows: BTreeMap::new(),
                misbehaved: 0,
                strangers: 0,
            })),
        };
        (receiver, listener)
    }

    /// Where weir reaches it.
    pub fn address(&self) -> SocketAddr {
        self.link.address
    }

    pub fn becomes(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Each row that it took, and each time that it did, by its id.
    pub fn rows(&self) -> BTreeMap<String, Vec<Arrived>> {
        self.state().rows.clone()
    }

    /// How many requests it didn't answer as they hoped.
    pub fn misbehaved(&self) -> usize {
        self.state().misbehaved
    }

    pub fn strangers(&self) -> usize {
        self.state().strangers
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn judge(&self, authorization: Option<&str>, rows: Vec<(String, Arrived)>) -> Verdict {
        let mut state = self.state();
        if authorization != Some(&format!("Bearer {TOKEN}")) {
            state.strangers += 1;
        }
        let verdict = match state.mood {
            Mood::Fails => Verdict::Failed,
            Mood::Refuses(tenant)
                if rows
                    .iter()
                    .any(|(_, row)| row.tenant.as_deref() == Some(tenant)) =>
            {
                Verdict::Refused
            }
            Mood::LosesAnswers(left @ 1..) => {
                state.mood = Mood::LosesAnswers(left - 1);
                Verdict::Lost
            }
            _ => Verdict::Taken,
        };
        if matches!(verdict, Verdict::Taken | Verdict::Lost) {
            for (id, row) in rows {
                state.rows.entry(id).or_default().push(row);
            }
        }
        if !matches!(verdict, Verdict::Taken) {
            state.misbehaved += 1;
        }
        verdict
    }

    /// The connection falls, and new ones are taken a moment later. Never ends:
    /// there is no answer, even should the link be mended before it has fallen.
    async fn lose<T>(&self) -> T {
        self.link.fall();
        let link = self.link.clone();
        tokio::spawn(async move {
            tokio::time::sleep(DOWN).await;
            link.mend();
        });
        std::future::pending().await
    }

    async fn posted(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
        let rows = events.iter().map(|event| {
            let id = event["id"].as_str().unwrap();
            assert_eq!(event["data"]["id"], event["id"]);
            (id.to_owned(), Arrived::of_json(&event["data"]))
        });
        let authorization = head.headers.get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let status = match self.judge(authorization, rows.collect()) {
            Verdict::Taken => 204,
            Verdict::Failed => 500,
            Verdict::Refused => 400,
            Verdict::Lost => self.lose().await,
        };
        let words = format!("to {}", authorization.unwrap_or_default());
        let body = if status == 204 {
            Full::default()
        } else {
            Full::new(Bytes::from(words))
        };
        Response::builder().status(status).body(body).unwrap()
    }
}

struct Collector(Receiver);

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let records = request.resource_logs.iter();
        let records = records.flat_map(|resource| &resource.scope_logs);
        let rows = records.flat_map(|scope| &scope.log_records).map(named);
        let authorization = metadata.get("authorization");
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let words = format!("to {}", authorization.unwrap_or_default());
        match self.0.judge(authorization, rows.collect()) {
            Verdict::Taken => Ok(tonic::Response::new(ExportLogsServiceResponse::default())),
            Verdict::Failed => Err(Status::unavailable(words)),
            Verdict::Refused => Err(Status::invalid_argument(words)),
            Verdict::Lost => self.0.lose().await,
        }
    }
}

/// A record's row by its id.
fn named(record: &LogRecord) -> (String, Arrived) {
    let attributes = record.attributes.iter().filter_map(|pair| {
        let value = pair.value.clone()?.value?;
        Some((pair.key.as_str(), value))
    });
    let attributes: BTreeMap<&str, Any> = attributes.collect();
    let id = word(&attributes, "weir.id").unwrap();
    (id, Arrived::of_record(&attributes))
}
