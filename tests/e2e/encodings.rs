//! Requests in a content coding: read as they would be without it, and sent on
//! as they were read.

use super::calls::hello;
use crate::support::stack::{Setup, Stack};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};
use weir::exchange::event::Outcome;

const CHAT: &str = "/v1/chat/completions";

async fn stack(envoy: &'static str) -> Stack {
    Stack::start(Setup {
        envoy,
        models: "  gpt-4o-transcribe: { max_input_tokens: 16_000, price: { input: 2.50, output: 10 } }\n",
        ..Setup::default()
    })
    .await
}

/// In every coding, by its name.
fn encoded(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(plain).unwrap();
    let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
    bare.write_all(plain).unwrap();
    vec![
        ("gzip", gzip(plain)),
        ("x-gzip", gzip(plain)),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", bare.finish().unwrap()),
        ("br", brotli(plain)),
        ("zstd", zstd::stream::encode_all(plain, 3).unwrap()),
    ]
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(plain).unwrap();
    gzip.finish().unwrap()
}

/// One meta-block that isn't compressed, and the end (RFC 7932, section 9.2).
fn brotli(plain: &[u8]) -> Vec<u8> {
    let length = u32::try_from(plain.len() - 1).unwrap();
    assert!(length < 1 << 16);
    let header = (length << 3 | 1 << 19) << 1;
    let mut out = header.to_le_bytes()[..3].to_vec();
    out.extend_from_slice(plain);
    out.push(0b11);
    out
}

/// As the body is read without its coding.
#[tokio::test]
async fn a_compressed_request_is_metered_and_sent_on_as_it_was_read() {
    let mut capped = hello();
    capped["max_tokens"] = 3.into();
    let mut streamed = hello();
    streamed["stream"] = true.into();
    let embedding = json!({"model": "text-embedding-3-small", "input": ["one two", "three"]});
    let form = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ngpt-4o-transcribe\r\n\
        --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nsound\r\n--b--\r\n";
    let calls = [
        (CHAT, "application/json", hello().to_string()),
        (CHAT, "application/json", capped.to_string()),
        (CHAT, "application/json", streamed.to_string()),
        ("/v1/embeddings", "application/json", embedding.to_string()),
        (
            "/v1/audio/transcriptions",
            "multipart/form-data; boundary=b",
            form.to_owned(),
        ),
    ];
    for envoy in ["unix.yaml", "tcp.yaml", "authz.yaml", "split.yaml"] {
        let stack = stack(envoy).await;
        let mut count = 0;
        for (path, content_type, body) in &calls {
            let send = async |coding: Option<&str>, bytes: Vec<u8>| {
                let mut request = stack.post(path, bytes, &[]);
                let headers = request.headers_mut();
                headers.insert("content-type", content_type.parse().unwrap());
                if let Some(coding) = coding {
                    headers.insert("content-encoding", coding.parse().unwrap());
                }
                let answer = stack.send(request).await;
                assert_eq!(answer.status, 200, "{envoy} {path} {coding:?}: {answer:?}");
                (answer, stack.provider.log().pop().unwrap())
            };
            let (answer, plain) = send(None, body.clone().into()).await;
            count += 1;
            let event = stack.wait_for_events(count).await.pop().unwrap();
            for (coding, bytes) in encoded(body.as_bytes()) {
                let (told, received) = send(Some(coding), bytes).await;
                assert!(told.body == answer.body, "{envoy} {path} {coding}");
                assert_eq!(received.header("content-encoding"), None, "{coding}");
                assert_eq!(received.raw_body, plain.raw_body, "{envoy} {path} {coding}");
                let length = received.header("content-length").map(str::to_owned);
                assert_eq!(length, Some(plain.raw_body.len().to_string()), "{coding}");
                count += 1;
                let own = stack.wait_for_events(count).await.pop().unwrap();
                assert_eq!(own.outcome, Outcome::Exact, "{envoy} {path} {coding}");
                let used = |event: &weir::exchange::UsageEvent| {
                    (
                        event.input_tokens,
                        event.output_tokens,
                        event.reserved_tokens,
                        event.request_bytes,
                    )
                };
                assert_eq!(used(&own), used(&event), "{envoy} {path} {coding}");
                assert_eq!(own.request_bytes, body.len() as u64);
            }
        }
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_decoded_is_refused() {
    let stack = stack("unix.yaml").await;
    let good = gzip(hello().to_string().as_bytes());
    let junk = [&good[..], b"{}"].concat();
    let mut broken = good.clone();
    let at = broken.len() - 5;
    broken[at] ^= 1;
    let large = format!("{}{}", " ".repeat(11 << 20), hello());
    for (what, coding, bytes, status) in [
        ("unknown", "compress", good.clone(), 415),
        ("no name", "", good.clone(), 415),
        ("one over the other", "gzip, gzip", gzip(&good), 415),
        ("another", "br", good.clone(), 400),
        ("plain", "gzip", hello().to_string().into(), 400),
        ("nothing", "zstd", Vec::new(), 400),
        ("cut", "gzip", good[..good.len() - 4].to_vec(), 400),
        ("followed", "gzip", junk, 400),
        ("of a wrong checksum", "gzip", broken, 400),
        ("twice", "gzip", gzip(&good), 400),
        ("too large", "gzip", gzip(large.as_bytes()), 413),
    ] {
        let mut request = stack.post(CHAT, bytes, &[]);
        let headers = request.headers_mut();
        headers.insert("content-encoding", coding.parse().unwrap());
        let answer = stack.send(request).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let known = (status == 415).then_some("gzip, deflate, br, zstd");
        assert_eq!(answer.header("accept-encoding"), known, "{what}");
        assert!(answer.json()["error"]["message"].is_string(), "{what}");
    }
    let mut twice = stack.post(CHAT, good.clone(), &[]);
    for _ in 0..2 {
        let headers = twice.headers_mut();
        headers.append("content-encoding", "gzip".parse().unwrap());
    }
    assert_eq!(stack.send(twice).await.status, 415);
    assert_eq!(stack.provider.received(), 0);
    stack.wait_for_events(12).await;
    stack.settle_the_books().await;
}

/// However much a body expands to: weir's memory and time stay bounded.
#[tokio::test]
async fn bombs_cost_little_memory_and_time() {
    let stack = stack("unix.yaml").await;
    // Beyond all proportion; and within it, but far beyond what a body may have.
    let zeros = vec![0; 64 << 20];
    let mut text = Vec::new();
    while text.len() < 64 << 20 {
        writeln!(text, "{:09}{}", text.len(), "x".repeat(600)).unwrap();
    }
    let zstd = |plain: &[u8]| zstd::stream::encode_all(plain, 3).unwrap();
    let bombs = [
        ("gzip", gzip(&zeros)),
        ("zstd", zstd(&zeros)),
        ("gzip", gzip(&text)),
        ("zstd", zstd(&text)),
    ];
    drop((zeros, text));
    let ok = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(ok.status, 200);
    let before = high_water_kib(&stack);
    let begun = Instant::now();
    for (coding, bomb) in &bombs {
        assert!(bomb.len() < 10 << 20, "{coding}: {}", bomb.len());
        let each = (0..6).map(|_| {
            let request = stack.post(CHAT, bomb.clone(), &[("content-encoding", coding)]);
            stack.send(request)
        });
        for answer in futures_util::future::join_all(each).await {
            assert_eq!(answer.status, 413, "{coding}: {answer:?}");
        }
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?} for 24 of them");
    let grown = high_water_kib(&stack).saturating_sub(before);
    // The largest body that is allowed, some for each thread.
    assert!(grown < 96 << 10, "{grown} KiB");
    assert_eq!(stack.provider.received(), 1);
    stack.wait_for_events(25).await;
    stack.settle_the_books().await;
}

/// The most memory that weir had.
fn high_water_kib(stack: &Stack) -> u64 {
    let path = format!("/proc/{}/status", stack.weir.pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

/// What a coded request asks is limited as ever.
#[tokio::test]
async fn a_compressed_request_is_held_to_its_limits() {
    let stack = Stack::start(Setup {
        limits: "[ { per: tenant, unit: tokens, amount: 300, every: 1h } ]".to_owned(),
        ..Setup::default()
    })
    .await;
    let words = "word ".repeat(400);
    let body: Value = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": words}]});
    let coded = gzip(body.to_string().as_bytes());
    assert!(coded.len() < 200);
    let request = stack.post(CHAT, coded, &[("content-encoding", "gzip")]);
    let answer = stack.send(request).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let said = answer.json()["error"]["message"].to_string();
    assert!(said.contains("Request too large"), "{said}");
    assert_eq!(stack.provider.received(), 0);
    stack.wait_for_events(1).await;
    stack.settle_the_books().await;
}
