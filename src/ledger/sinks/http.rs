//! Posting over HTTP/1.1, one request at a time over one connection.
//!
//! Always holds: a request and its answer take no longer than the time-out; of
//! an answer no more is read than [`ANSWER_BYTES_MAX`]; nothing is followed
//! elsewhere. A connection is kept only when its answer was read to its end.

use super::endpoint::{Endpoint, Stream};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, HeaderMap, USER_AGENT};
use hyper::{Request, Response};
use std::time::Duration;
use tokio::task::JoinSet;

/// An answer says whether rows were taken; this is far more than that takes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// An answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Of an answer's body, what is looked at: so much more than an error repeats
/// that a credential in it that is cut off here is none that is repeated.
const WORDS_BYTES_MAX: usize = 4 * 1024;

/// How long the rest of an answer is read whose status is known.
const REST_MAX: Duration = Duration::from_secs(1);

/// What the receiver said.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The beginning of the body of what is no success, fit for an error.
    pub words: String,
}

/// The way to the receiver.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    timeout: Duration,
    idle: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Carries the bytes; ends with the connection.
    _carrier: JoinSet<()>,
}

impl Client {
    pub fn new(endpoint: Endpoint, timeout: Duration) -> Self {
        Self {
            endpoint,
            timeout,
            idle: None,
        }
    }

    /// Posts a body with headers such as its type. Dropped meanwhile, it leaves no connection behind.
    ///
    /// # Errors
    /// Why there is no answer, fit for an error.
    pub async fn post(&mut self, headers: &HeaderMap, body: Bytes) -> Result<Reply, String> {
        let answered = tokio::time::timeout(self.timeout, self.exchange(headers, body)).await;
        let (connection, answer) = answered
            .map_err(|_| format!("{}: no answer within {:?}", self.endpoint, self.timeout))?
            .map_err(|why| format!("{}: {}", self.endpoint, self.endpoint.quoted(&why)))?;
        let status = answer.status().as_u16();
        let mut words = Vec::new();
        let rest = read(answer.into_body(), &mut words);
        if let Ok(true) = tokio::time::timeout(REST_MAX, rest).await {
            self.idle = Some(connection);
        }
        let words = match status {
            200..=299 => String::new(),
            _ => self.endpoint.quoted(&String::from_utf8_lossy(&words)),
        };
        Ok(Reply { status, words })
    }

    async fn exchange(
        &mut self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(Connection, Response<Incoming>), String> {
        if let Some(mut kept) = self.idle.take()
            && kept.sender.ready().await.is_ok()
        {
            let request = self.request(headers, body.clone())?;
            // The receiver may have closed it meanwhile: once more, on a new one.
            if let Ok(answer) = kept.sender.send_request(request).await {
                return Ok((kept, answer));
            }
        }
        let stream = self.endpoint.connect().await;
        let mut fresh = open(stream.map_err(|error| error.to_string())?).await?;
        let request = self.request(headers, body)?;
        let answer = fresh.sender.send_request(request).await;
        Ok((fresh, answer.map_err(|error| told(&error))?))
    }

    fn request(&self, headers: &HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let uri = &self.endpoint.uri;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some((name, value)) = self.endpoint.credential_header() {
            request = request.header(name, value);
        }
        // Its own words could repeat the URL.
        request
            .body(Full::new(body))
            .map_err(|_| "the request can't be made".to_owned())
    }
}

async fn open(stream: Stream) -> Result<Connection, String> {
    let opened = Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(stream)
        .await;
    let (sender, connection) = opened.map_err(|error| told(&error))?;
    let mut carrier = JoinSet::new();
    carrier.spawn(async move {
        // Whoever sends over it hears of its errors.
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        _carrier: carrier,
    })
}

/// Reads an answer to its end, unless that is too far away, and keeps its
/// beginning.
async fn read(mut body: Incoming, words: &mut Vec<u8>) -> bool {
    let mut bytes = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return false;
        };
        let Some(data) = frame.data_ref() else {
            continue;
        };
        bytes = bytes.saturating_add(data.len());
        let room = WORDS_BYTES_MAX.saturating_sub(words.len());
        words.extend(data.iter().take(room));
        if bytes > ANSWER_BYTES_MAX {
            return false;
        }
    }
    true
}

/// An error and what it came from.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
