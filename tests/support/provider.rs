//! A fake provider that speaks OpenAI's dialect and keeps its own log: the
//! oracle that every end-to-end test compares with.
//!
//! What it bills is a simple rule: 7 tokens of input and one for each word of
//! the prompt; output as the header `x-fake-output` says (5 by default), at most
//! the call's `max_tokens`. A stream sends one token (` apple`) a chunk. Headers
//! steer it:
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

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// One call as the provider saw it.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub raw_body: Bytes,
    /// What it bills if the answer is whole: input and output.
    pub bills: (u64, u64),
    pub chunks_sent: u64,
    /// The whole answer was handed to the connection.
    pub finished: bool,
    pub status: u16,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.header(name).and_then(|text| text.parse().ok())
    }
}

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
        let (head, body) = request.into_parts();
        let raw_body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let body: Value = serde_json::from_slice(&raw_body).unwrap_or_default();
        let headers = head.headers.iter().map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let mut received = Received {
            path: head.uri.path().to_owned(),
            headers: headers.collect(),
            body,
            raw_body,
            bills: (0, 0),
            chunks_sent: 0,
            finished: false,
            status: 200,
        };
        received.bills = bills(&received);
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
        if received.status != 200 {
            self.finish(index);
            let error = json!({"error": {"message": "made to fail", "type": "server_error", "code": null, "param": null}});
            return plain(received.status, error.to_string().into(), None);
        }
        if received.body["stream"] == true {
            return self.stream(index, received);
        }
        if received.number("x-fake-hang-up").is_some() {
            let cut = futures_util::stream::iter([
                Ok(Frame::data(Bytes::from_static(b"{\"choices\":["))),
                Err(io::ErrorKind::ConnectionReset.into()),
            ]);
            return Response::new(BodyExt::boxed(StreamBody::new(cut)));
        }
        self.finish(index);
        let bytes = Bytes::from(answer(&received).to_string());
        match received.header("x-fake-encoding") {
            Some("gzip") => plain(200, gzip(&bytes), Some("gzip")),
            _ => plain(200, bytes, None),
        }
    }

    async fn wait_at_gate(&self, received: &Received) {
        if let Some(gate) = received.header("x-fake-gate") {
            let mut open = self.open_gates.subscribe();
            let _ = open.wait_for(|open| open.contains(gate)).await;
        }
    }

    fn finish(&self, index: usize) {
        self.log.lock().unwrap()[index].finished = true;
    }

    fn stream(&self, index: usize, received: Received) -> Response<Body> {
        let (sender, receiver) = mpsc::channel(1);
        let provider = self.clone();
        tokio::spawn(async move {
            provider.send_stream(index, received, sender).await;
        });
        let body =
            StreamBody::new(ReceiverStream::new(receiver).map(|chunk| chunk.map(Frame::data)));
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(BodyExt::boxed(body))
            .unwrap()
    }

    async fn send_stream(
        &self,
        index: usize,
        received: Received,
        to: mpsc::Sender<io::Result<Bytes>>,
    ) {
        let delay = Duration::from_millis(received.number("x-fake-delay-ms").unwrap_or(0));
        let chat = received.path.ends_with("chat/completions");
        for sent in 0..received.bills.1 {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if received.number("x-fake-hang-up") == Some(sent) {
                let _ = to.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                return;
            }
            if received.number("x-fake-gate-after") == Some(sent) {
                self.wait_at_gate(&received).await;
            }
            let last = sent + 1 == received.bills.1;
            if to
                .send(Ok(event(&chunk(chat, &received.body["model"], last))))
                .await
                .is_err()
            {
                return;
            }
            self.log.lock().unwrap()[index].chunks_sent += 1;
        }
        let asked = received.body["stream_options"]["include_usage"] == true;
        if asked && received.header("x-fake-no-usage").is_none() {
            let usage = json!({"id": "x", "object": "chat.completion.chunk", "model": received.body["model"], "choices": [], "usage": usage(received.bills)});
            let _ = to.send(Ok(event(&usage))).await;
        }
        let _ = to.send(Ok(Bytes::from_static(b"data: [DONE]\n\n"))).await;
        self.finish(index);
    }
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

fn chunk(chat: bool, model: &Value, last: bool) -> Value {
    let finish = if last { json!("stop") } else { Value::Null };
    if chat {
        json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": [{"index": 0, "delta": {"content": " apple"}, "finish_reason": finish}]})
    } else {
        json!({"id": "x", "object": "text_completion", "created": 1, "model": model,
            "choices": [{"index": 0, "text": " apple", "finish_reason": finish}]})
    }
}

fn plain(status: u16, body: Bytes, encoding: Option<&str>) -> Response<Body> {
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    if let Some(encoding) = encoding {
        response = response.header("content-encoding", encoding);
    }
    response
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

/// Input and output that the provider bills for a call.
fn bills(received: &Received) -> (u64, u64) {
    let words = |value: &Value| {
        value
            .as_str()
            .map_or(0, |text| text.split_whitespace().count() as u64)
    };
    let body = &received.body;
    let input = if let Some(messages) = body["messages"].as_array() {
        messages
            .iter()
            .map(|message| words(&message["content"]))
            .sum()
    } else if let Some(inputs) = body["input"].as_array() {
        inputs.iter().map(words).sum()
    } else {
        words(&body["prompt"]) + words(&body["input"])
    };
    if received.path.ends_with("embeddings") {
        return (input + 7, 0);
    }
    let asked = received.number("x-fake-output").unwrap_or(5);
    let caps = [&body["max_tokens"], &body["max_completion_tokens"]];
    let cap = caps
        .into_iter()
        .filter_map(Value::as_u64)
        .min()
        .unwrap_or(u64::MAX);
    (input + 7, asked.min(cap))
}

fn usage((input, output): (u64, u64)) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn answer(received: &Received) -> Value {
    let (input, output) = received.bills;
    let model = &received.body["model"];
    let text = " apple".repeat(usize::try_from(output).unwrap());
    let mut answer = if received.path.ends_with("embeddings") {
        json!({"object": "list", "model": model,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
            "usage": {"prompt_tokens": input, "total_tokens": input}})
    } else if received.path.ends_with("chat/completions") {
        json!({"id": "x", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": usage((input, output))})
    } else {
        json!({"id": "x", "object": "text_completion", "created": 1, "model": model,
            "choices": [{"index": 0, "text": text, "finish_reason": "stop"}],
            "usage": usage((input, output))})
    };
    if received.header("x-fake-no-usage").is_some() {
        answer.as_object_mut().unwrap().remove("usage");
    }
    answer
}
