//! The provider behind every variant: reads the request, answers at once. JSON
//! as a chat completion, or, when the request says `"stream":true`, server-sent
//! events at a fixed pace, with usage at the end when asked for.
//!
//! `GET /bench/answered` says how many calls it has answered, so that nothing
//! that passed it goes uncounted. One thread: it shares the machine with what
//! is measured.

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// A stream's pieces of text, its closing piece and `[DONE]` aside.
pub const STREAM_PIECES: u32 = 100;

/// The pace of a stream: pieces must not meet in one read, or the filter would
/// see fewer messages than pieces.
const PIECE_EVERY: Duration = Duration::from_millis(5);

/// Where the number of answered calls is read.
pub const ANSWERED_PATH: &str = "/bench/answered";

const ANSWER: &str = r#"{"id":"chatcmpl-bench00000000000000000000000","object":"chat.completion","created":1760000000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"A weir is a low barrier across a river: it holds the water back to a chosen level and lets the rest flow over.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":58,"completion_tokens":26,"total_tokens":84,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_bench"}"#;

const PIECE: &str = "data: {\"id\":\"chatcmpl-bench00000000000000000000000\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" water\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"chatcmpl-bench00000000000000000000000\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"chatcmpl-bench00000000000000000000000\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],\"usage\":{\"prompt_tokens\":58,\"completion_tokens\":100,\"total_tokens\":158}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

type Pieces = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;
type Body = Either<Full<Bytes>, StreamBody<Pieces>>;

/// Serves on `address` until killed.
pub fn run(address: SocketAddr) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind(address).await?;
            let answered = Arc::new(AtomicU64::new(0));
            loop {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let answered = Arc::clone(&answered);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, &answered));
                    // A connection that breaks is the other side's business.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        })
}

async fn answer(
    request: Request<Incoming>,
    answered: &AtomicU64,
) -> Result<Response<Body>, hyper::Error> {
    if request.method() == Method::GET && request.uri().path() == ANSWERED_PATH {
        let count = answered.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(Either::Left(Full::from(count))));
    }
    let body = request.into_body().collect().await?.to_bytes();
    answered.fetch_add(1, Ordering::Relaxed);
    let streamed = memmem::find(&body, br#""stream":true"#).is_some();
    let (kind, body) = if streamed {
        let with_usage = memmem::find(&body, b"include_usage").is_some();
        let pieces: Pieces = Box::pin(pieces(with_usage));
        ("text/event-stream", Either::Right(StreamBody::new(pieces)))
    } else {
        let body = Full::new(Bytes::from_static(ANSWER.as_bytes()));
        ("application/json", Either::Left(body))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        hyper::header::HeaderValue::from_static(kind),
    );
    Ok(response)
}

/// The first piece at once, the others each a pace later, the end with the last.
fn pieces(with_usage: bool) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    stream::unfold(0, move |index| async move {
        if index > STREAM_PIECES {
            return None;
        }
        if index > 0 {
            tokio::time::sleep(PIECE_EVERY).await;
        }
        let bytes = if index < STREAM_PIECES {
            Bytes::from_static(PIECE.as_bytes())
        } else {
            let usage = if with_usage { USAGE } else { "" };
            Bytes::from(format!("{STOP}{usage}{DONE}"))
        };
        Some((Ok(Frame::data(bytes)), index + 1))
    })
}
