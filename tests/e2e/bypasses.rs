//! Ways past the gateway, tried on the real Envoy with each shipped configuration:
//! none gets a call through that isn't judged, metered and sent on without what
//! says who calls. What arrived at the provider is its own log's to say.
//!
//! Requests are written byte by byte, as no client library would send them.

use crate::support::stack::{FOREIGN_KEY, KEY, OTHER_KEY, PEPPER, SOON, Setup, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir::exchange::event::Outcome;
use weir::identity::Pepper;

const ENVOYS: [&str; 4] = ["unix.yaml", "authz.yaml", "authz-http.yaml", "split.yaml"];

const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello out there"}]}"#;

/// What may become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is answered with one of these statuses, and never gets to the provider.
    Refused(&'static [u16]),
    /// No whole request comes to be: it is answered with 400, or the connection is
    /// closed over it.
    Broken,
    /// The client leaves in the middle of it: nobody is there to be answered.
    Left,
    /// It is a call of ada's like any other: metered, at this path.
    Metered(&'static str),
    /// Either: what was mangled may be mended before it is judged.
    Either(&'static [u16]),
}
use Verdict::{Broken, Either, Left, Metered, Refused};

struct Attempt {
    name: &'static str,
    request: Vec<u8>,
    verdict: Verdict,
}

const CHAT: &str = "/v1/chat/completions";
const GEMINI: &str = "/v1beta/models/gemini-2.5-pro:generateContent";
const GEMINI_BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello out there"}]}]}"#;

/// A request with these lines of headers behind the usual ones.
fn raw(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{line} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [request.as_bytes(), body].concat()
}

const JSON: &str = "content-type: application/json";

/// A chat call with these headers beside its content type.
fn chat(headers: &[&str]) -> Vec<u8> {
    raw(
        &format!("POST {CHAT}"),
        &[&[JSON], headers].concat(),
        BODY.as_bytes(),
    )
}

/// One of ada's to a path.
fn at(path: &str) -> Vec<u8> {
    raw(
        &format!("POST {path}"),
        &[JSON, &bearer(KEY)],
        BODY.as_bytes(),
    )
}

/// One of ada's with a body.
fn says(body: impl AsRef<[u8]>) -> Vec<u8> {
    raw(
        &format!("POST {CHAT}"),
        &[JSON, &bearer(KEY)],
        body.as_ref(),
    )
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}")
}

const UNKNOWN: Verdict = Refused(&[401]);
const NOWHERE: Verdict = Refused(&[400, 404]);
const NONSENSE: Verdict = Refused(&[400]);
const CALL: Verdict = Metered(CHAT);

/// Saying who one is by other means than a key.
fn identities() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let ada = &*bearer(KEY);
    let caller = r#"x-weir-caller: {"id":"x","tenant":"acme"}"#;
    let certificate = "x-forwarded-client-cert: Hash=1;URI=spiffe://cluster.local/ns/acme/sa/ada";
    let hash = Pepper::new(PEPPER.as_bytes())
        .unwrap()
        .digest(KEY.as_bytes())
        .to_string();
    vec![
        ("nobody", chat(&[]), UNKNOWN),
        (
            "a name of weir's",
            chat(&["x-weir-key-id: ada-key", "x-weir-tenant: acme"]),
            UNKNOWN,
        ),
        (
            "a name of its metadata",
            chat(&["weir_key_id: ada-key", "weir-key-id: ada-key"]),
            UNKNOWN,
        ),
        ("a caller", chat(&[caller, "weir_caller: {}"]), UNKNOWN),
        (
            "a namespace",
            chat(&["envoy.filters.http.ext_authz: weir_key_id=ada-key"]),
            UNKNOWN,
        ),
        (
            "a gateway's headers",
            chat(&["x-tenant: acme", "x-user: ada"]),
            UNKNOWN,
        ),
        ("a certificate", chat(&[certificate]), UNKNOWN),
        (
            "a verified token's claims",
            chat(&["x-jwt-payload: eyJzdWIiOiJhZGEifQ"]),
            UNKNOWN,
        ),
        (
            "an unsigned token",
            chat(&[&bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.")]),
            UNKNOWN,
        ),
        ("a stored hash", chat(&[&bearer(&hash)]), UNKNOWN),
        (
            "a stored hash beside",
            chat(&[&format!("x-api-key: {hash}")]),
            UNKNOWN,
        ),
        (
            "names of weir's beside a key",
            chat(&[
                ada,
                "x-weir-tenant: globex",
                "X-WEIR-Key-Id: eve-key",
                caller,
            ]),
            CALL,
        ),
        (
            "a certificate beside a key",
            chat(&[ada, certificate]),
            CALL,
        ),
        (
            "ext_authz's own answer",
            chat(&[
                "x-envoy-auth-headers-to-remove: x",
                "x-weir-decision: admitted",
            ]),
            UNKNOWN,
        ),
    ]
}

/// Keys in odd places, or several.
fn keys() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let ada = &*bearer(KEY);
    let bob = &*bearer(OTHER_KEY);
    let gemini = |query: &str, headers: &[&str]| {
        let line = format!("POST {GEMINI}{query}");
        raw(&line, &[&[JSON], headers].concat(), GEMINI_BODY.as_bytes())
    };
    let with_key = |rest: &str| format!("{rest}{KEY}");
    vec![
        ("twice the same", chat(&[ada, ada]), UNKNOWN),
        ("two keys", chat(&[ada, bob]), UNKNOWN),
        (
            "two keys in two places",
            chat(&[ada, &format!("x-api-key: {OTHER_KEY}")]),
            UNKNOWN,
        ),
        (
            "another tenant's beside",
            chat(&[ada, &format!("api-key: {FOREIGN_KEY}")]),
            UNKNOWN,
        ),
        (
            "a name in another case",
            chat(&[ada, &bob.to_uppercase()]),
            UNKNOWN,
        ),
        (
            "joined by a comma",
            chat(&[&format!("{ada},Bearer {KEY}")]),
            UNKNOWN,
        ),
        (
            "the wrong scheme",
            chat(&[&format!("authorization: Basic {KEY}")]),
            UNKNOWN,
        ),
        (
            "without a scheme",
            chat(&[&with_key("authorization: ")]),
            UNKNOWN,
        ),
        (
            "for the proxy",
            chat(&[&with_key("proxy-authorization: Bearer ")]),
            UNKNOWN,
        ),
        (
            "in a cookie",
            chat(&[&with_key("cookie: authorization=")]),
            UNKNOWN,
        ),
        (
            "in the query of another's",
            at(&with_key("/v1/chat/completions?key=")).clone(),
            Either(&[400]),
        ),
        (
            "in that query alone",
            raw(
                &with_key("POST /v1/chat/completions?key="),
                &[JSON],
                BODY.as_bytes(),
            ),
            UNKNOWN,
        ),
        (
            "a query against a header",
            gemini(&with_key("?key="), &[bob]),
            UNKNOWN,
        ),
        (
            "two in a query",
            gemini(&format!("?key={KEY}&key={OTHER_KEY}"), &[]),
            UNKNOWN,
        ),
        (
            "a query in another case",
            gemini(&with_key("?KEY="), &[]),
            Refused(&[400, 401]),
        ),
        (
            "a query's name encoded",
            gemini(&with_key("?%6bey="), &[]),
            Refused(&[400, 401]),
        ),
        (
            "a part of one",
            chat(&[&bearer(&KEY[..KEY.len() - 1])]),
            UNKNOWN,
        ),
        (
            "in another case",
            chat(&[&bearer(&KEY.to_uppercase())]),
            UNKNOWN,
        ),
        (
            "encoded",
            chat(&[&bearer(&KEY.replace('-', "%2d"))]),
            UNKNOWN,
        ),
        (
            "the same in two places",
            chat(&[ada, &with_key("x-api-key: ")]),
            CALL,
        ),
        (
            "a name in capitals",
            chat(&[&ada.replace("authorization", "AUTHORIZATION")]),
            CALL,
        ),
    ]
}

fn paths() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let ada = &*bearer(KEY);
    let connect = format!(
        "CONNECT gateway:443 HTTP/1.1\r\nhost: gateway:443\r\nconnection: close\r\n{ada}\r\n\r\n"
    );
    let no_path = format!(
        "POST  HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{ada}\r\ncontent-length: 0\r\n\r\n"
    );
    let upgrade = [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ada,
    ];
    let method = |method: &str, more: &[&str]| {
        let line = format!("{method} {CHAT}");
        raw(&line, &[&[JSON, ada], more].concat(), BODY.as_bytes())
    };
    vec![
        ("two slashes", at("/v1//chat/completions"), CALL),
        ("two at the front", at("//v1/chat/completions"), CALL),
        ("a folder up", at("/v1/x/../chat/completions"), CALL),
        (
            "a folder that is this one",
            at("/v1/./chat/completions"),
            CALL,
        ),
        ("above the root", at("/../../v1/chat/completions"), CALL),
        (
            "a whole address",
            at("http://gateway/v1/chat/completions"),
            CALL,
        ),
        ("an encoded slash", at("/v1%2fchat/completions"), NOWHERE),
        (
            "an encoded slash twice",
            at("/v1%252fchat/completions"),
            NOWHERE,
        ),
        (
            "a backslash",
            at("/v1\\chat/completions"),
            Either(&[400, 404]),
        ),
        (
            "an encoded folder up",
            at("/v1/x/%2e%2e%2fchat/completions"),
            NOWHERE,
        ),
        (
            "a parameter of the path",
            at("/v1/chat/completions;x"),
            NOWHERE,
        ),
        ("a parameter within", at("/v1;x/chat/completions"), NOWHERE),
        ("a fragment", at("/v1/chat/completions#x"), NOWHERE),
        (
            "an encoded fragment",
            at("/v1/chat/completions%23x"),
            NOWHERE,
        ),
        ("an encoded query", at("/v1/chat/completions%3fx"), NOWHERE),
        ("capitals", at("/V1/Chat/Completions"), NOWHERE),
        ("a slash at the end", at("/v1/chat/completions/"), NOWHERE),
        ("a NUL in the path", at("/v1/chat/completions%00"), NOWHERE),
        (
            "not UTF-8 in the path",
            at("/v1/chat/completions%ff"),
            NOWHERE,
        ),
        (
            "a model in the path",
            at("/v1beta/models/gemini-2.5-pro%3agenerateContent"),
            Refused(&[400, 404]),
        ),
        ("no path", no_path.into_bytes(), Broken),
        (
            "a tunnel",
            connect.into_bytes(),
            Refused(&[400, 403, 404, 405]),
        ),
        (
            "all of it",
            raw("OPTIONS *", &[ada], b""),
            Refused(&[400, 404, 405]),
        ),
        (
            "a WebSocket",
            raw(&format!("GET {CHAT}"), &upgrade, b""),
            Refused(&[403, 404, 405, 426]),
        ),
        (
            "a WebSocket elsewhere",
            raw("GET /v1/realtime", &upgrade, b""),
            Refused(&[403, 404]),
        ),
        ("another method", method("GET", &[]), Refused(&[405])),
        (
            "a method that it overrides",
            method("GET", &["x-http-method-override: POST"]),
            Refused(&[405]),
        ),
        (
            "an overridden method",
            method(
                "POST",
                &[
                    "x-http-method-override: GET",
                    "x-http-method: GET",
                    "x-method-override: GET",
                ],
            ),
            CALL,
        ),
        ("a method in small letters", method("post", &[]), Broken),
        (
            "another path in a header",
            method(
                "POST",
                &[
                    "x-original-url: /v1/models",
                    "x-rewrite-url: /v1/models",
                    "x-forwarded-uri: /v1/models",
                ],
            ),
            CALL,
        ),
    ]
}

fn heads_and_bodies() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let ada = &*bearer(KEY);
    let smuggled = raw(
        &format!("POST {CHAT}"),
        &[JSON, ada, "transfer-encoding: chunked"],
        BODY.as_bytes(),
    );
    let lengths = raw(
        &format!("POST {CHAT}"),
        &[JSON, ada, "content-length: 5"],
        BODY.as_bytes(),
    );
    let cut = raw(&format!("POST {CHAT}"), &[JSON, ada], BODY.as_bytes());
    let cut = cut[..cut.len() - 10].to_vec();
    let bytes = |header: &[u8]| {
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{JSON}\r\n{ada}\r\n"
        );
        let length = format!("\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
        [head.as_bytes(), header, length.as_bytes()].concat()
    };
    let doubled = |first: &str, second: &str| {
        says(format!(
            r#"{{{first},{second},"messages":[{{"role":"user","content":"hello"}}]}}"#
        ))
    };
    let mut invalid = BODY.as_bytes().to_vec();
    invalid[BODY.len() - 5] = 0xff;
    vec![
        (
            "a header that is not UTF-8",
            bytes(b"x-any: \xff\xfe"),
            NONSENSE,
        ),
        ("a NUL in a header", bytes(b"x-any: a\0b"), Broken),
        ("a name with a space", bytes(b"x any: 1"), Broken),
        ("a folded header", bytes(b"x-any: a\r\n b"), Either(&[400])),
        (
            "two content types",
            chat(&[ada, "content-type: text/plain"]),
            Refused(&[415]),
        ),
        (
            "another content type",
            raw(
                &format!("POST {CHAT}"),
                &[ada, "content-type: text/plain"],
                BODY.as_bytes(),
            ),
            Refused(&[415]),
        ),
        ("two hosts", chat(&[ada, "host: other"]), Either(&[400])),
        ("two lengths", lengths, Broken),
        ("a length and chunks", smuggled, Broken),
        ("a body that ends early", cut, Left),
        (
            "a false coding",
            chat(&[ada, "content-encoding: gzip"]),
            NONSENSE,
        ),
        (
            "an unknown coding",
            chat(&[ada, "content-encoding: x"]),
            Refused(&[415]),
        ),
        (
            "two codings",
            chat(&[ada, "content-encoding: identity", "content-encoding: gzip"]),
            Refused(&[400, 415]),
        ),
        (
            "a mask over the answer",
            chat(&[ada, "x-goog-fieldmask: x"]),
            CALL,
        ),
        (
            "a word of Envoy's on the body",
            chat(&[ada, "x-envoy-auth-partial-body: true"]),
            Either(&[413]),
        ),
        (
            "two models",
            doubled(r#""model":"gpt-4o""#, r#""model":"gpt-4o-mini""#),
            NONSENSE,
        ),
        (
            "two models, one escaped",
            doubled(r#""model":"gpt-4o-mini""#, r#""\u006dodel":"gpt-4o""#),
            NONSENSE,
        ),
        (
            "a model in capitals beside",
            doubled(r#""model":"gpt-4o-mini""#, r#""MODEL":"gpt-4o""#),
            Either(&[400]),
        ),
        (
            "two streams",
            doubled(r#""model":"gpt-4o""#, r#""stream":true,"stream":false"#),
            NONSENSE,
        ),
        (
            "two caps",
            doubled(r#""model":"gpt-4o""#, r#""max_tokens":1,"max_tokens":900"#),
            NONSENSE,
        ),
        ("something behind", says(format!("{BODY}{BODY}")), NONSENSE),
        ("a mark before", says(format!("\u{feff}{BODY}")), NONSENSE),
        ("not UTF-8", says(invalid), NONSENSE),
        (
            "too deep",
            says(format!(
                r#"{{"model":"gpt-4o","messages":{}{}}}"#,
                "[".repeat(100),
                "]".repeat(100)
            )),
            NONSENSE,
        ),
        ("no model", says(r#"{"messages":[]}"#), NONSENSE),
        (
            "an unknown model",
            says(r#"{"model":"free","messages":[{"role":"user","content":"hi"}]}"#),
            Refused(&[404]),
        ),
        ("nothing", says(""), NONSENSE),
    ]
}

fn attempts() -> Vec<Attempt> {
    let all = [identities(), keys(), paths(), heads_and_bodies()].concat();
    let each = all.into_iter().map(|(name, request, verdict)| Attempt {
        name,
        request,
        verdict,
    });
    each.collect()
}

/// Sends the bytes, and nothing more; the status, 0 without an answer.
///
/// Envoy drops a request whose client has closed its side, whatever it says.
async fn try_it(stack: &Stack, request: &[u8], verdict: Verdict) -> (u16, String) {
    let mut stream = TcpStream::connect(stack.front).await.unwrap();
    // Who has heard enough may close before all is sent.
    let _ = stream.write_all(request).await;
    if verdict == Left {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(read.is_ok(), "no end: {text}");
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), text)
}

/// What no provider may see.
fn secrets() -> [String; 4] {
    let hash = Pepper::new(PEPPER.as_bytes())
        .unwrap()
        .digest(KEY.as_bytes());
    [
        KEY.into(),
        OTHER_KEY.into(),
        FOREIGN_KEY.into(),
        hash.to_string(),
    ]
}

const NEVER_SENT_ON: [&str; 9] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-goog-fieldmask",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "content-encoding",
];

async fn none_gets_past(envoy: &'static str) {
    let stack = Stack::start(Setup {
        envoy,
        ..Setup::default()
    })
    .await;
    let mut odd = Vec::new();
    for Attempt {
        name,
        request,
        verdict,
    } in attempts()
    {
        let before = stack.provider.received();
        let metered = metered(&stack);
        let (status, answer) = try_it(&stack, &request, verdict).await;
        let arrived = stack.provider.log().split_off(before);
        let about = format!("{envoy}: {name}: {answer}");
        let as_expected = match (verdict, &arrived[..]) {
            (Metered(path), [call]) => (status, &*call.path) == (200, path),
            (Either(_), [call]) => (status, &*call.path) == (200, CHAT),
            (Left, []) => status == 0,
            (Broken, []) => matches!(status, 0 | 400),
            (Refused(statuses) | Either(statuses), []) => statuses.contains(&status),
            _ => false,
        };
        if !as_expected {
            let paths: Vec<_> = arrived.iter().map(|call| &*call.path).collect();
            odd.push(format!("{verdict:?}, arrived at {paths:?}: {about}"));
        }
        for call in &arrived {
            let hosts = call.headers.iter().filter(|(name, _)| name == "host");
            assert_eq!(hosts.count(), 1, "{about}");
            for (header, value) in &call.headers {
                assert!(!NEVER_SENT_ON.contains(&&**header), "{header}: {about}");
                assert!(!header.starts_with("x-weir-"), "{header}: {about}");
                let told = secrets().iter().any(|secret| value.contains(&**secret));
                // A cookie is the application's own.
                assert!(!told || header == "cookie", "{header}: {about}");
            }
            let told = secrets()
                .iter()
                .any(|secret| call.query.contains(&**secret));
            assert!(!told, "{about}");
        }
        // Each call that arrived has its own event, of ada's.
        let expected = metered + arrived.len();
        let what = format!("{expected} events: {about}");
        crate::support::until(&what, SOON, || async {
            (self::metered(&stack) >= expected).then_some(())
        })
        .await;
        assert_eq!(self::metered(&stack), expected, "{about}");
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
    for event in stack
        .events()
        .iter()
        .filter(|e| e.outcome != Outcome::Refused)
    {
        assert_eq!(
            event.key_id.as_deref(),
            Some("ada-key"),
            "{envoy}: {event:?}"
        );
        assert_eq!(event.tenant.as_deref(), Some("acme"));
    }
    stack.settle_the_books().await;
}

fn metered(stack: &Stack) -> usize {
    let events = stack.events();
    let admitted = events.iter().filter(|e| e.outcome != Outcome::Refused);
    admitted.count()
}

#[tokio::test]
async fn none_gets_past_ext_proc_alone() {
    none_gets_past(ENVOYS[0]).await;
}

#[tokio::test]
async fn none_gets_past_ext_authz_and_ext_proc() {
    none_gets_past(ENVOYS[1]).await;
}

#[tokio::test]
async fn none_gets_past_ext_authz_over_http_and_ext_proc() {
    none_gets_past(ENVOYS[2]).await;
}

#[tokio::test]
async fn none_gets_past_the_split_profile() {
    none_gets_past(ENVOYS[3]).await;
}

/// A client's own id is nobody's.
#[tokio::test]
async fn a_repeated_request_id_is_never_what_is_billed_by() {
    let id = "x-request-id: 00000000-0000-4000-8000-000000000000";
    for envoy in ENVOYS {
        let stack = Stack::start(Setup {
            envoy,
            ..Setup::default()
        })
        .await;
        for headers in [
            &[&*bearer(KEY), id][..],
            &[&bearer(KEY), id],
            &[&bearer(KEY), id, id],
        ] {
            assert_eq!(try_it(&stack, &chat(headers), CALL).await.0, 200, "{envoy}");
        }
        let events = stack.wait_for_events(3).await;
        let mut ids: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "{envoy}: {ids:?}");
        assert!(
            ids.iter().all(|id| !id.contains("00000000-0000")),
            "{ids:?}"
        );
        stack.settle_the_books().await;
    }
}
