//! That no secret, prompt or answer is let out is looked for when each test's stack
//! goes (`support::canaries`). Here: that it would be found, and where most is told.

use super::calls::hello;
use crate::support::client;
use crate::support::stack::{KEY, OTHER_KEY, SOON, Setup, Stack, TOKEN_KEY};
use crate::support::until;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use weir::identity::format;

#[tokio::test]
async fn what_is_let_out_is_found_wherever_it_is() {
    let stack = Stack::start(Setup::default()).await;
    let refused = json!({ "model": "none", "messages": [{ "role": "user", "content": "nobody hears this" }] });
    assert_eq!(stack.send(stack.chat(&refused, &[])).await.status, 404);
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    stack.settle_the_books().await;
    assert_eq!(stack.leaks(), [""; 0]);

    let own = format::key([9; 32], true);
    let spoken_of = own.replace(|c: char| c.is_ascii_digit(), "x");
    let signing = String::from_utf8_lossy(TOKEN_KEY);
    let deep = stack.dir.path().join("one").join("two");
    fs::create_dir_all(&deep).unwrap();
    for (text, expected) in [
        (KEY, Some("a caller's key")),
        (&signing, Some("what tokens are signed with")),
        (&own, Some("a key or token of weir's own")),
        (&spoken_of, None),
        ("{\"content\":\"hello out there\"}", Some("a prompt")),
        ("nobody hears this", Some("a prompt")),
        ("apple", Some("an answer")),
        ("tenant acme, key ada-key", None),
    ] {
        let planted = deep.join("planted");
        let mut bytes = vec![0xff; 5_000];
        bytes.extend_from_slice(text.as_bytes());
        fs::write(&planted, bytes).unwrap();
        let leaks = stack.leaks();
        assert_eq!(leaks.len(), usize::from(expected.is_some()), "{leaks:?}");
        if let (Some(expected), [leak]) = (expected, &leaks[..]) {
            let place = format!("{expected} is in {}", planted.display());
            assert!(leak.starts_with(&place), "{leak}");
        }
        fs::remove_file(&planted).unwrap();
    }
}

/// Calls of each kind, with all that weir can be made to log of them.
#[tokio::test]
async fn the_finest_log_says_nothing_of_them() {
    let stack = Stack::start(Setup {
        more: "telemetry: { log: { level: trace } }".to_owned(),
        sqlite: true,
        ..Setup::default()
    })
    .await;
    let mut streamed = hello();
    streamed["stream"] = true.into();
    let key = format!("Bearer {KEY}x");
    let twice = ("x-api-key", OTHER_KEY);
    for (body, headers, status) in [
        (hello().to_string(), &[][..], 200),
        (streamed.to_string(), &[], 200),
        (hello().to_string(), &[("authorization", key.as_str())], 401),
        (hello().to_string(), &[("authorization", KEY)], 401),
        (hello().to_string(), &[twice], 401),
        (hello().to_string().replace("gpt-4o", "none"), &[], 404),
        (hello().to_string() + "trailing words of somebody", &[], 400),
        (hello().to_string(), &[("x-fake-status", "500")], 500),
    ] {
        let call = stack.post("/v1/chat/completions", body.clone(), headers);
        let answer = stack.send(call).await;
        assert_eq!(answer.status, status, "{body} {headers:?} {answer:?}");
    }
    let query = format!("/v1/models?key={KEY}");
    let _ = stack.send(stack.post(&query, "{}", &[])).await;
    assert_eq!(client::get(stack.admin, "/v1/usage").await.status, 401);
    stack.log_and_events_agree().await;
    // What can't be read is told of in the finest log alone.
    let mut admin = TcpStream::connect(stack.admin).unwrap();
    let odd = format!("GET /v1/keys/{KEY} HTTP/1.1\r\nauthorization {KEY}\r\n\r\n");
    admin.write_all(odd.as_bytes()).unwrap();
    until("the log to tell of it", SOON, || async {
        let log = fs::read_to_string(&stack.weir.stderr).unwrap();
        log.contains("an admin connection failed").then_some(())
    })
    .await;
    assert_eq!(stack.leaks(), [""; 0]);
}
