//! Over real connections: what is answered, and peers that misbehave.

use super::*;
use crate::config::{Address, TcpSocket};
use crate::driver::tests::door::{KEY, Outside, driver};
use crate::telemetry::metrics::{Listener, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

struct Server {
    address: std::net::SocketAddr,
    readiness: Arc<Readiness>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(count_checks: bool) -> Server {
    start_with(|_| {}, count_checks).await
}

async fn start_with(change: impl FnOnce(&mut HttpAuthz), count_checks: bool) -> Server {
    let address = Address::Tcp(TcpSocket {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: None,
    });
    let metrics = Arc::new(Metrics::new());
    let opened = Incoming::open(&address, Listener::HttpAuthz, &Outside, &metrics).await;
    let incoming = opened.unwrap();
    let address = incoming.tcp_address().unwrap().unwrap();
    let readiness = Arc::<Readiness>::default();
    let mut service = HttpAuthz::new(driver(count_checks), Arc::clone(&readiness));
    change(&mut service);
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(service.serve(incoming, shutdown));
    Server {
        address,
        readiness,
        stop,
        task,
    }
}

/// An answer: status, lines of its head in lower case, body.
type Answered = (u16, Vec<String>, String);

/// One answer from a connection that goes on.
async fn read_answer(stream: &mut TcpStream) -> Answered {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let lines: Vec<String> = head.lines().map(str::to_owned).collect();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = lines
        .iter()
        .find_map(|l| l.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (status, lines, String::from_utf8(body).unwrap())
}

async fn ask(stream: &mut TcpStream, line: &str, headers: &[&str], body: &str) -> Answered {
    let mut request = format!("{line} HTTP/1.1\r\nhost: llm\r\ncontent-type: application/json\r\n");
    for header in headers {
        request.push_str(&format!("{header}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(stream).await
}

fn header<'a>(answered: &'a Answered, name: &str) -> Option<&'a str> {
    let mut lines = answered.1.iter();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const CHAT: &str = "POST /check/v1/chat/completions";

/// All on one connection.
#[tokio::test]
async fn calls_are_judged_and_told_whose_they_are() {
    let server = start(false).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let key = format!("authorization: Bearer {KEY}");
    let own = "x-weir-user: root";
    let passed = ask(&mut stream, CHAT, &[&key, own, "x-weir-any: 1"], "").await;
    assert_eq!((passed.0, &*passed.2), (200, ""), "{passed:?}");
    for (name, value) in [
        ("x-weir-tenant", "acme"),
        ("x-weir-project", "search"),
        ("x-weir-user", "ada"),
        ("x-weir-plan", "team"),
        ("x-weir-key-id", "ada-key"),
    ] {
        assert_eq!(header(&passed, name), Some(value), "{passed:?}");
    }
    let removed = header(&passed, "x-envoy-auth-headers-to-remove").unwrap();
    assert_eq!(
        removed,
        "x-weir-any,authorization,x-weir-environment,x-weir-caller"
    );
    // Without a key.
    let guest = ask(&mut stream, CHAT, &[], "").await;
    assert_eq!(guest.0, 200);
    assert_eq!(header(&guest, "x-weir-key-id"), None);
    let caller = header(&guest, "x-weir-caller").unwrap();
    let caller: serde_json::Value = serde_json::from_str(caller).unwrap();
    assert_eq!(caller["tenant"], "guests");

    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
    let partial = ["x-envoy-auth-partial-body: true", &key];
    let whole = ["x-envoy-auth-partial-body: false", &key];
    let twice = [&*key, &*key];
    let gemini = "POST /check/v1beta/models/gpt-4o:generateContent";
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(5_000));
    for (line, headers, body, status, decision) in [
        (CHAT, &whole[..], body, 200, ""),
        (CHAT, &whole, "", 400, "bad_body"),
        (
            CHAT,
            &whole,
            r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#,
            403,
            "model_not_allowed",
        ),
        (
            CHAT,
            &whole,
            r#"{"model":"gpt-5","model":"gpt-4o"}"#,
            400,
            "bad_body",
        ),
        (CHAT, &partial, body, 413, "body_too_large"),
        (CHAT, &whole, &large, 413, "body_too_large"),
        (CHAT, &twice, "", 401, "unauthenticated"),
        (
            CHAT,
            &["authorization: Bearer no"],
            "",
            401,
            "unauthenticated",
        ),
        (
            "GET /check/v1/chat/completions",
            &[&*key],
            "",
            405,
            "method_not_allowed",
        ),
        ("POST /check/v1/none", &[&*key], "", 404, "unknown_endpoint"),
        (
            "POST /check//v1/chat/completions",
            &[&*key],
            "",
            404,
            "unknown_endpoint",
        ),
        (gemini, &[&*key], "", 200, ""),
        (&format!("{gemini}?key={KEY}"), &[], "", 400, "bad_query"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let answered = ask(&mut stream, line, headers, body).await;
        assert_eq!(answered.0, status, "{line} {headers:?} {answered:?}");
        let decided = header(&answered, "x-weir-decision").unwrap_or("");
        assert_eq!(decided, decision, "{line} {headers:?}");
        if status != 200 {
            assert!(header(&answered, "x-weir-decision-id").is_some());
            let body: serde_json::Value = serde_json::from_str(&answered.2).unwrap();
            assert!(body["error"].is_object(), "{answered:?}");
        }
    }
}

#[tokio::test]
async fn forward_auth_is_judged_by_what_its_headers_tell() {
    let server = start(true).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let key = format!("authorization: Bearer {KEY}");
    let told = [
        &*key,
        "x-forwarded-method: POST",
        "x-forwarded-uri: /v1/chat/completions",
    ];
    for left in ["2", "1", "0"] {
        let answered = ask(&mut stream, "GET /forward", &told, "").await;
        assert_eq!(answered.0, 200, "{answered:?}");
        let told = header(&answered, "x-ratelimit-remaining-requests");
        assert_eq!(told, Some(left));
    }
    let answered = ask(&mut stream, "GET /forward", &told, "").await;
    assert_eq!(answered.0, 429, "{answered:?}");
    assert_eq!(
        header(&answered, "x-weir-decision"),
        Some("tenant-requests")
    );
    let body: serde_json::Value = serde_json::from_str(&answered.2).unwrap();
    assert_eq!(body["error"]["type"], "insufficient_quota", "{body}");
    let answered = ask(&mut stream, "GET /forward", &told[..2], "").await;
    assert_eq!(answered.0, 400);
    let answered = ask(&mut stream, "GET /elsewhere", &told, "").await;
    assert_eq!(answered.0, 404);
}

#[tokio::test]
async fn peers_that_misbehave_are_let_go() {
    let server = start(false).await;
    let long = format!("x: {}", "x".repeat(HEAD_BYTES_MAX));
    let many: Vec<String> = (0..HEADERS_MAX + 1).map(|n| format!("x-{n}: 1")).collect();
    let many = many.join("\r\n");
    for garbage in [&*long, &many, "a b: c", "x: \0"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /check/v1/chat/completions HTTP/1.1\r\nhost: llm\r\nconnection: close\r\n{garbage}\r\n\r\n"
        );
        // A server that has heard enough may close before all is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{garbage:.20}");
    }
    // A header that is no text.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("{CHAT} HTTP/1.1\r\nhost: llm\r\nauthorization: Bearer {KEY}\r\nx: ");
    let head = [head.as_bytes(), b"\xff\r\n\r\n"].concat();
    stream.write_all(&head).await.unwrap();
    let answered = read_answer(&mut stream).await;
    assert_eq!(answered.0, 400);
    assert_eq!(header(&answered, "x-weir-decision"), Some("bad_header"));
}

/// Each body fits, and not all of them at a time.
#[tokio::test]
async fn bodies_are_bounded_together() {
    let few = |service: &mut HttpAuthz| service.room = Room::of(4096, Duration::from_millis(50));
    let server = start_with(few, false).await;
    let key = format!("authorization: Bearer {KEY}");
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
    // One that takes all the room, and doesn't say all that it announces.
    let padding = " ".repeat(4000 - body.len());
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "{CHAT} HTTP/1.1\r\nhost: llm\r\ncontent-type: application/json\r\n{key}\r\ncontent-length: 4000\r\n\r\n{padding}"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let mut other = TcpStream::connect(server.address).await.unwrap();
        let (status, ..) = ask(&mut other, CHAT, &[&key], body).await;
        if status == 503 {
            break;
        }
        assert_eq!(status, 200);
        assert!(
            std::time::Instant::now() < deadline,
            "nobody waits for room"
        );
    }
    // Who brings no body needs none.
    let mut other = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(ask(&mut other, CHAT, &[&key], "").await.0, 200);
    slow.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut slow).await.0, 200);
    assert_eq!(ask(&mut other, CHAT, &[&key], body).await.0, 200);
    // One that leaves gives its room back.
    let mut gone = TcpStream::connect(server.address).await.unwrap();
    gone.write_all(head.as_bytes()).await.unwrap();
    drop(gone);
    let mut again = TcpStream::connect(server.address).await.unwrap();
    loop {
        match ask(&mut again, CHAT, &[&key], body).await.0 {
            200 => break,
            status => assert_eq!(status, 503),
        }
        again = TcpStream::connect(server.address).await.unwrap();
        assert!(std::time::Instant::now() < deadline, "room is lost");
    }
}

#[tokio::test]
async fn it_ends_when_told_though_connections_idle() {
    let server = start(false).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(ask(&mut stream, CHAT, &[], "").await.0, 200);
    server.readiness.set_draining();
    assert_eq!(ask(&mut stream, CHAT, &[], "").await.0, 503);
    server.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.task);
    ended.await.unwrap().unwrap();
}
