//! A fake provider that speaks the dialects of OpenAI, Anthropic, Gemini,
//! Bedrock, Cohere and Ollama, and keeps its own log: the oracle that every
//! end-to-end test compares with.
//!
//! What it bills is a simple rule: 7 tokens of input and one for each word of
//! the prompt; output as the header `x-fake-output` says (5 by default), at most
//! the call's own cap in its dialect's field. A stream sends one token
//! (` apple`) a chunk, and about them what the dialect has. To a WebSocket it
//! sends back what it gets. Headers steer it:
//!
//! | header | what it does |
//! |---|---|
//! | `x-fake-status: 500` | answers that status with an error |
//! | `x-fake-output: 7` | produces so many tokens |
//! | `x-fake-delay-ms: 5` | waits before each chunk |
//! | `x-fake-hang-up: 3` | drops the connection after so many chunks |
//! | `x-fake-gate: name` | waits until the test opens the gate |
//! | `x-fake-gate-after: 2` | waits at the gate only after so many chunks |
//! | `x-fake-no-usage: 1` | never says what was used |
//! | `x-fake-encoding: gzip` | compresses a plain answer, whatever was asked for |

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod ollama;
mod openai;
mod received;
mod speech;
mod upgrade;

pub use received::Received;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use speech::Stream;
use std::collections::HashSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// The running provider.
#[derive(Clone)]
pub struct Provider {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Received>>>,
    open_gates: Arc<watch::Sender<HashSet<String>>>,
}

type Body = BoxBody<Bytes, io::Error>;

impl Provider {
    /// Starts on the given port (0: a free one), on the current runtime.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let provider = Self {
            address: listener.local_addr().unwrap(),
            log: Arc::default(),
            open_gates: Arc::new(watch::Sender::default()),
        };
        let accepting = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = accepting.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let provider = provider.clone();
                        async move { Ok::<_, io::Error>(provider.answer(request).await) }
                    });
                    let _ = stream.set_nodelay(true);
                    let io = TokioIo::new(stream);
                    // An answer that hangs up ends in an error here.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        provider
    }

    pub fn log(&self) -> Vec<Received> {
        self.log.lock().unwrap().clone()
    }

    /// How many calls have arrived.
    pub fn received(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// Lets those through who wait at the gate, now and later.
    pub fn open_gate(&self, name: &str) {
        self.open_gates.send_modify(|open| {
            open.insert(name.to_owned());
        });
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if upgrade::is_asked(&request) {
            return self.upgraded(request);
        }
        let (head, body) = request.into_parts();
        let raw_body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let mut received = Received::new(&head, raw_body);
        received.bills = speech::bills(&received);
        received.status = received
            .number("x-fake-status")
            .map_or(200, |s| u16::try_from(s).unwrap());
        let index = {
            let mut log = self.log.lock().unwrap();
            log.push(received.clone());
            log.len() - 1
        };
        if received.header("x-fake-gate-after").is_none() {
            self.wait_at_gate(&received).await;
        }
        let speech = speech::of(&received.path);
        if received.status != 200 {
            self.finish(index);
            let error = speech.error(received.status).to_string();
            return plain(received.status, "application/json", error.into());
        }
        if let Some(stream) = speech.stream(&received) {
            return self.stream(index, received, stream);
        }
        if received.number("x-fake-hang-up").is_some() {
            let cut = futures_util::stream::iter([
                Ok(Frame::data(Bytes::from_static(b"{\"choices\":["))),
                Err(io::ErrorKind::ConnectionReset.into()),
            ]);
            return Response::new(BodyExt::boxed(StreamBody::new(cut)));
        }
        let (content_type, bytes) = speech.sound(&received).unwrap_or_else(|| {
            let answer = speech.answer(&received).to_string();
            ("application/json", answer.into())
        });
        let (bytes, encoding) = match received.header("x-fake-encoding") {
            Some("gzip") => (gzip(&bytes), Some("gzip")),
            _ => (bytes, None),
        };
        self.sent(index, &bytes);
        self.finish(index);
        let mut response = plain(200, content_type, bytes);
        let encoding = encoding.map(|of| ("content-encoding", of.to_owned()));
        for (name, value) in speech.headers(&received).into_iter().chain(encoding) {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }

    async fn wait_at_gate(&self, received: &Received) {
        if let Some(gate) = received.header("x-fake-gate") {
            let mut open = self.open_gates.subscribe();
            let _ = open.wait_for(|open| open.contains(gate)).await;
        }
    }

    fn sent(&self, index: usize, bytes: &[u8]) {
        self.log.lock().unwrap()[index]
            .sent
            .extend_from_slice(bytes);
    }

    fn finish(&self, index: usize) {
        let call = &mut self.log.lock().unwrap()[index];
        call.finished = true;
        call.finished_at = Some(Instant::now());
    }

    fn stream(&self, index: usize, received: Received, stream: Stream) -> Response<Body> {
        let (sender, receiver) = mpsc::channel(1);
        let provider = self.clone();
        let content_type = stream.content_type;
        tokio::spawn(async move {
            let sent = provider.send(index, &received, stream, sender).await;
            if sent.is_ok() {
                provider.finish(index);
            }
        });
        let body =
            StreamBody::new(ReceiverStream::new(receiver).map(|chunk| chunk.map(Frame::data)));
        Response::builder()
            .header("content-type", content_type)
            .body(BodyExt::boxed(body))
            .unwrap()
    }

    async fn send(
        &self,
        index: usize,
        received: &Received,
        stream: Stream,
        to: mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), Gone> {
        let delay = Duration::from_millis(received.number("x-fake-delay-ms").unwrap_or(0));
        for piece in stream.before {
            self.send_piece(index, piece, &to).await?;
        }
        for (count, piece) in (0..).zip(stream.tokens) {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if received.number("x-fake-gate-after") == Some(count) {
                self.wait_at_gate(received).await;
            }
            if received.number("x-fake-hang-up") == Some(count) {
                let _ = to.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                return Err(Gone);
            }
            self.send_piece(index, piece, &to).await?;
            self.log.lock().unwrap()[index].chunks_sent += 1;
        }
        for piece in stream.after {
            let _ = self.send_piece(index, piece, &to).await;
        }
        Ok(())
    }

    async fn send_piece(
        &self,
        index: usize,
        piece: Bytes,
        to: &mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), Gone> {
        // In the log before anybody can have seen it.
        self.sent(index, &piece);
        to.send(Ok(piece)).await.map_err(|_| Gone)
    }
}

/// The connection ended before the answer.
struct Gone;

fn plain(status: u16, content_type: &str, body: Bytes) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(BodyExt::boxed(
            Full::new(body).map_err(|never| match never {}),
        ))
        .unwrap()
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}
