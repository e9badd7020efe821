//! A small HTTP client: one connection a call, headers and body to look at, a
//! stream that can be left midway.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// Nothing in a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer that is still coming. Dropping it closes the connection.
pub struct Open {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    body: Incoming,
    _connection: Connection,
}

/// Ends with whoever waits for its answer.
struct Connection(AbortHandle);

impl Open {
    /// The next bytes; `None` at the end. An error is a connection that broke.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = tokio::time::timeout(CALL_MAX, self.body.frame())
                .await
                .expect("a chunk in time")?;
            match frame {
                Ok(frame) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Some(Ok(bytes)),
                    _ => {}
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads to the end; whether it came whole.
    pub async fn rest(&mut self) -> (String, bool) {
        let mut text = String::new();
        while let Some(chunk) = self.chunk().await {
            match chunk {
                Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => return (text, false),
            }
        }
        (text, true)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends one request and gives back its answer as it begins.
pub async fn open(address: SocketAddr, request: Request<Full<Bytes>>) -> Open {
    try_open(address, request).await.expect("an answer")
}

/// The same, of a server that may be dying.
pub async fn try_open(address: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<Open> {
    tokio::time::timeout(CALL_MAX, open_now(address, request))
        .await
        .expect("an answer in time")
}

async fn open_now(address: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<Open> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let connection = Connection(tokio::spawn(connection).abort_handle());
    let response: Response<Incoming> = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    Ok(Open {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body,
        _connection: connection,
    })
}

/// Sends one request and reads the whole answer.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let mut open = open(address, request).await;
    let mut body = Vec::new();
    while let Some(chunk) = open.chunk().await {
        body.extend_from_slice(&chunk.expect("a whole answer"));
    }
    Answer {
        status: open.status,
        headers: open.headers.clone(),
        body: body.into(),
    }
}

/// Sends one request over HTTP/2 with trailers behind its body; the status.
pub async fn send_with_trailers(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    trailers: HeaderMap,
) -> u16 {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let io = TokioIo::new(stream);
    let handshake = http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.unwrap();
    let connection = tokio::spawn(connection).abort_handle();
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let frames = [Frame::data(body), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let sent = sender.send_request(Request::from_parts(head, body));
    let answer = tokio::time::timeout(CALL_MAX, sent).await;
    let answer = answer.expect("an answer in time").expect("an answer");
    let status = answer.status().as_u16();
    answer.into_body().collect().await.expect("a whole answer");
    connection.abort();
    status
}

/// A GET without a body.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Full::default())
        .unwrap();
    send(address, request).await
}

/// Whether anything accepts connections there.
pub async fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}
