//! Rows as OpenTelemetry log records, sent to a collector by OTLP over gRPC.
//!
//! The request is ours and not the SDK's: its answer decides whether rows are
//! safe. `record` says what a row looks like.
//!
//! | answer | means |
//! |---|---|
//! | OK | all taken |
//! | OK, with records rejected | halved, until the row is found that it is for |
//! | `INVALID_ARGUMENT` | the same |
//! | that the message is too large ([`TOO_LARGE`]) | the same, and smaller requests from now on |
//! | any other, or none in time | away: offered again |
//!
//! A receiver doesn't tell which records it rejects. So those it took beside
//! them are sent once more, with the same `weir.id`.
//!
//! Specification: <https://opentelemetry.io/docs/specs/otlp/>.

mod record;

use super::dead_letters::DeadLetters;
use super::endpoint::{Endpoint, EndpointConfig, EndpointError, Plain, Stream};
use super::halving::{self, Answer, Pace, Receiver, Taken};
use crate::ledger::row::Row;
use crate::ledger::sink::{BATCH_ROWS_MAX, Sink, SinkError};
use hyper::Uri;
use hyper::header::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// What the sink is called in configuration, logs and metrics.
const NAME: &str = "otlp";

/// The most bytes of a request, where nothing else is said: below the 4 MiB that
/// gRPC servers take by default, with room for what is not rows.
pub const REQUEST_BYTES_MAX: usize = 3 * 1024 * 1024 + 512 * 1024;

/// How servers in Go, C++, Java and Rust say that a message is too large for
/// them. The codes alone, `RESOURCE_EXHAUSTED` and `OUT_OF_RANGE`, mean other
/// things as well.
const TOO_LARGE: [&str; 3] = [
    "larger than max",
    "exceeds maximum size",
    "message length too large",
];

/// An answer is a number and a few words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// An answer's head.
const HEAD_BYTES_MAX: u32 = 16 * 1024;

/// A connection over which nothing comes back for this long is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// `https://host:port`; `http://` to this machine, or without a credential.
    pub endpoint: EndpointConfig,
    /// `service.name` of the resource.
    pub service_name: String,
    /// The most bytes of a request: [`REQUEST_BYTES_MAX`].
    pub request_bytes_max: usize,
    /// For a request and its answer, connecting included.
    pub timeout: Duration,
    /// The folder for `dead-letters-otlp.jsonl`: this sidecar's own, made if
    /// absent when it is needed.
    pub dead_letters_folder: PathBuf,
}

/// The sink.
#[derive(Debug)]
pub struct OtlpSink {
    exporter: Exporter,
    taken: Taken,
    dead_letters: DeadLetters,
}

/// The receiver's side of it.
#[derive(Debug)]
struct Exporter {
    endpoint: Endpoint,
    metadata: MetadataMap,
    resource: Resource,
    timeout: Duration,
    request_bytes_max: usize,
    pace: Pace,
    client: Option<LogsServiceClient<Channel>>,
}

impl OtlpSink {
    /// Checks the configuration; connects when the first row is delivered. May
    /// read the system's certificates: call it before serving.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(config: OtlpConfig) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::new(config.endpoint, b"h2", Plain::WithoutCredential)?;
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = endpoint.credential_header() {
            headers.insert(name, value.clone());
        }
        Ok(Self {
            exporter: Exporter {
                endpoint,
                metadata: MetadataMap::from_headers(headers),
                resource: record::resource(&config.service_name),
                timeout: config.timeout,
                request_bytes_max: config.request_bytes_max,
                pace: Pace::new(BATCH_ROWS_MAX),
                client: None,
            },
            taken: Taken::default(),
            dead_letters: DeadLetters::new(&config.dead_letters_folder, NAME),
        })
    }
}

impl Sink for OtlpSink {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn deliver(&mut self, rows: &[Row]) -> Result<(), SinkError> {
        halving::deliver(&mut self.exporter, &mut self.taken, rows).await
    }

    async fn set_aside(&mut self, row: &Row, why: &str) -> Result<(), SinkError> {
        self.dead_letters.add(row, why).await
    }
}

impl Receiver for Exporter {
    type Item = LogRecord;

    fn item(&self, row: &Row) -> Result<LogRecord, String> {
        Ok(record::of(row))
    }

    fn item_bytes(&self, item: &LogRecord) -> usize {
        // Its tag and its length go before it.
        item.encoded_len().saturating_add(6)
    }

    fn request_bytes_max(&self) -> usize {
        self.request_bytes_max
    }

    fn request_rows_max(&self) -> usize {
        self.pace.rows()
    }

    async fn offer(&mut self, items: &[LogRecord]) -> Answer {
        let mut request = Request::new(self.message(items));
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        let mut client = self.client.take().unwrap_or_else(|| self.connect());
        let answered = tokio::time::timeout(self.timeout, client.export(request)).await;
        match answered {
            Ok(Ok(answer)) => {
                self.client = Some(client);
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                match partial.rejected_log_records {
                    ..=0 => {
                        self.pace.taken(items.len());
                        Answer::Taken
                    }
                    rejected => Answer::Refused(format!(
                        "{rejected} of {} rejected: {}",
                        items.len(),
                        self.endpoint.quoted(&partial.error_message)
                    )),
                }
            }
            Ok(Err(status)) => self.judge(client, &status, items.len()),
            // The connection is left too: it may be one that nobody answers on.
            Err(_) => Answer::Away(self.late()),
        }
    }
}

impl Exporter {
    fn judge(
        &mut self,
        client: LogsServiceClient<Channel>,
        status: &Status,
        rows: usize,
    ) -> Answer {
        let words = self.endpoint.quoted(&told(status));
        let says = format!("{}: {:?}: {words}", self.endpoint, status.code());
        match status.code() {
            Code::InvalidArgument => {
                self.client = Some(client);
                Answer::Refused(says)
            }
            Code::ResourceExhausted | Code::OutOfRange => {
                self.client = Some(client);
                if !TOO_LARGE.iter().any(|said| status.message().contains(said)) {
                    return Answer::Away(says);
                }
                self.pace.too_large(rows);
                Answer::Refused(says)
            }
            Code::Cancelled | Code::DeadlineExceeded => Answer::Away(self.late()),
            // A new connection may lead to another that takes them.
            _ => Answer::Away(says),
        }
    }

    fn late(&self) -> String {
        format!("{}: no answer within {:?}", self.endpoint, self.timeout)
    }

    fn message(&self, items: &[LogRecord]) -> ExportLogsServiceRequest {
        let scope = InstrumentationScope {
            name: "weir".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let records = ScopeLogs {
            scope: Some(scope),
            log_records: items.to_vec(),
            schema_url: String::new(),
        };
        let logs = ResourceLogs {
            resource: Some(self.resource.clone()),
            scope_logs: vec![records],
            schema_url: String::new(),
        };
        ExportLogsServiceRequest {
            resource_logs: vec![logs],
        }
    }

    /// A connection that is made when it is used.
    fn connect(&self) -> LogsServiceClient<Channel> {
        let connector = Connector(self.endpoint.clone());
        // What is connected to is the connector's; this is what requests say.
        let channel = Channel::builder(self.endpoint.uri.clone())
            .connect_timeout(self.timeout)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .http2_max_header_list_size(HEAD_BYTES_MAX)
            .connect_with_connector_lazy(connector);
        LogsServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}

/// A status' words, and where it is the connection's fault, what that came from.
fn told(status: &Status) -> String {
    let mut words = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// Opens connections for the channel.
struct Connector(Endpoint);

impl tonic::codegen::Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let endpoint = self.0.clone();
        Box::pin(async move { endpoint.connect().await })
    }
}

#[cfg(test)]
mod tests;
