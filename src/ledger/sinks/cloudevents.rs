//! Rows as CloudEvents 1.0 posted over HTTP, as metering services take them in.
//!
//! | attribute | is |
//! |---|---|
//! | `specversion` | `1.0` |
//! | `id` | the event's id, by which the receiver counts it once |
//! | `source` | as configured, else `weir/CHAIN` |
//! | `type` | `weir.usage.v1` |
//! | `subject` | one of the event's names, the tenant's say |
//! | `time` | when the call was over, RFC 3339 |
//! | `data` | the event, as the usage log has it |
//!
//! Specification: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | all taken |
//! | 408, 425, 429, 5xx, no answer | away: offered again |
//! | 3xx | away: nothing is followed elsewhere |
//! | 401 to 407, 410, 411, 415, 421, 426, 431, 451 | away: the receiver refuses whatever we send, not a row |
//! | 413 | smaller requests; of one row, that row |
//! | other 4xx | halved, until the row is found that it is for |

mod envelope;

use super::dead_letters::DeadLetters;
use super::endpoint::{Endpoint, EndpointConfig, EndpointError, Plain};
use super::halving::{self, Answer, Pace, Receiver, Taken};
use super::http::{Client, Reply};
use crate::ledger::row::Row;
use crate::ledger::sink::{Sink, SinkError};
pub use envelope::Subject;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use std::path::PathBuf;
use std::time::Duration;

/// What the sink is called in configuration, logs and metrics.
const NAME: &str = "cloudevents";

/// How rows are put into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A request has one row: `application/cloudevents+json`.
    Single,
    /// A request has a list of rows: `application/cloudevents-batch+json`.
    Batch,
}

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct CloudEventsConfig {
    /// `https://`, or `http://` to this machine.
    pub endpoint: EndpointConfig,
    pub mode: Mode,
    /// `weir/CHAIN` where there is none.
    pub source: Option<String>,
    pub subject: Subject,
    /// The subject of an event that has not that name, like one of a call with
    /// no known caller; without it the attribute is left out, which not every
    /// receiver takes.
    pub subject_otherwise: Option<String>,
    /// The most rows of a request; some receivers have a bound of their own.
    pub request_rows_max: usize,
    /// The most bytes of a request's body.
    pub request_bytes_max: usize,
    /// For a request and its answer, connecting included.
    pub timeout: Duration,
    /// The folder for `dead-letters-cloudevents.jsonl`: this sidecar's own, made
    /// if absent when it is needed.
    pub dead_letters_folder: PathBuf,
}

/// Why the sink can't start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudEventsError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("the source must be a URI or a path, without spaces")]
    Source,
}

/// The sink.
#[derive(Debug)]
pub struct CloudEventsSink {
    poster: Poster,
    taken: Taken,
    dead_letters: DeadLetters,
}

/// The receiver's side of it.
#[derive(Debug)]
struct Poster {
    config: CloudEventsConfig,
    client: Client,
    pace: Pace,
}

impl CloudEventsSink {
    /// Checks the configuration; connects when the first row is delivered. May
    /// read the system's certificates: call it before serving.
    ///
    /// # Errors
    /// [`CloudEventsError`].
    pub fn new(config: CloudEventsConfig) -> Result<Self, CloudEventsError> {
        let is_uri = |source: &String| {
            !source.is_empty() && source.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !config.source.as_ref().is_none_or(is_uri) {
            return Err(CloudEventsError::Source);
        }
        let endpoint = Endpoint::new(config.endpoint.clone(), b"http/1.1", Plain::ThisMachine)?;
        let rows_max = match config.mode {
            Mode::Single => 1,
            Mode::Batch => config.request_rows_max,
        };
        Ok(Self {
            dead_letters: DeadLetters::new(&config.dead_letters_folder, NAME),
            poster: Poster {
                client: Client::new(endpoint, config.timeout),
                pace: Pace::new(rows_max),
                config,
            },
            taken: Taken::default(),
        })
    }
}

impl Sink for CloudEventsSink {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn deliver(&mut self, rows: &[Row]) -> Result<(), SinkError> {
        halving::deliver(&mut self.poster, &mut self.taken, rows).await
    }

    async fn set_aside(&mut self, row: &Row, why: &str) -> Result<(), SinkError> {
        self.dead_letters.add(row, why).await
    }
}

impl Receiver for Poster {
    type Item = Vec<u8>;

    fn item(&self, row: &Row) -> Result<Vec<u8>, String> {
        envelope::json(row, &self.config).map_err(|error| error.to_string())
    }

    fn item_bytes(&self, item: &Vec<u8>) -> usize {
        // A bracket or a comma goes with it.
        item.len().saturating_add(2)
    }

    fn request_bytes_max(&self) -> usize {
        self.config.request_bytes_max
    }

    fn request_rows_max(&self) -> usize {
        self.pace.rows()
    }

    async fn offer(&mut self, items: &[Vec<u8>]) -> Answer {
        let (content_type, body) = match (self.config.mode, items) {
            (Mode::Single, [item]) => ("application/cloudevents+json", item.clone()),
            _ => ("application/cloudevents-batch+json", envelope::list(items)),
        };
        let content_type = HeaderValue::from_static(content_type);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        match self.client.post(&headers, body.into()).await {
            Ok(reply) => self.judge(&reply, items.len()),
            Err(why) => Answer::Away(why),
        }
    }
}

impl Poster {
    fn judge(&mut self, reply: &Reply, rows: usize) -> Answer {
        let words = &reply.words;
        let status = reply.status;
        let says = match words.as_str() {
            "" => format!("answered {status}"),
            words => format!("answered {status}: {words}"),
        };
        match status {
            200..=299 => {
                self.pace.taken(rows);
                Answer::Taken
            }
            300..=399 => Answer::Away(format!("{says} (a redirect, which is not followed)")),
            413 => {
                self.pace.too_large(rows);
                Answer::Refused(says)
            }
            401..=408 | 410 | 411 | 415 | 421 | 425 | 426 | 429 | 431 | 451 => Answer::Away(says),
            400..=499 => Answer::Refused(says),
            _ => Answer::Away(says),
        }
    }
}

#[cfg(test)]
mod tests;
