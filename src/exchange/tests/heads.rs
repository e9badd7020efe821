//! Who may call, and with what.

use super::*;
use crate::exchange::message::Judged;

fn head(change: impl FnOnce(&mut Headers)) -> RequestHead {
    let mut head = request_head("/v1/chat/completions");
    change(&mut head.headers);
    head
}

fn set(headers: &mut Headers, name: &str, value: &str) {
    headers.retain(|(n, _)| n != name);
    headers.push((name.to_owned(), value.as_bytes().to_vec()));
}

fn first(head: RequestHead) -> Step {
    exchange(Role::Full).step(Event::RequestHeaders(head), NOW)
}

#[test]
fn heads_that_are_refused() {
    let table: Vec<(&str, RequestHead, u16, &str)> = vec![
        (
            "no key",
            head(|h| h.retain(|(n, _)| n != "authorization")),
            401,
            "invalid_api_key",
        ),
        (
            "unknown key",
            head(|h| set(h, "authorization", "Bearer nope")),
            401,
            "invalid_api_key",
        ),
        (
            "empty key",
            head(|h| set(h, "authorization", "Bearer ")),
            401,
            "invalid_api_key",
        ),
        (
            "no scheme",
            head(|h| set(h, "authorization", KEY)),
            401,
            "invalid_api_key",
        ),
        (
            "basic",
            head(|h| set(h, "authorization", &format!("Basic {KEY}"))),
            401,
            "invalid_api_key",
        ),
        (
            "joined",
            head(|h| set(h, "authorization", &format!("Bearer {KEY},Bearer {KEY}"))),
            401,
            "invalid_api_key",
        ),
        (
            "doubled",
            head(|h| h.push(("authorization".into(), format!("Bearer {KEY}").into()))),
            401,
            "invalid_api_key",
        ),
        (
            "a hash for a key",
            head(|h| {
                let digest = Pepper::new(b"0123456789abcdef")
                    .unwrap()
                    .digest(KEY.as_bytes());
                set(h, "authorization", &format!("Bearer {digest}"));
            }),
            401,
            "invalid_api_key",
        ),
        (
            "NUL",
            head(|h| h.push(("x-any".into(), vec![b'a', 0]))),
            400,
            "invalid_header",
        ),
        (
            "not UTF-8",
            head(|h| h.push(("x-any".into(), vec![0xff]))),
            400,
            "invalid_header",
        ),
        (
            "other path",
            request_head("/v1/batches"),
            404,
            "unknown_url",
        ),
        (
            "case",
            request_head("/v1/Chat/completions"),
            404,
            "unknown_url",
        ),
        (
            "double slash",
            request_head("//v1/chat/completions"),
            404,
            "unknown_url",
        ),
        (
            "dots",
            request_head("/v1/../v1/chat/completions"),
            404,
            "unknown_url",
        ),
        (
            "encoded",
            request_head("/v1%2fchat/completions"),
            404,
            "unknown_url",
        ),
        (
            "parameter",
            request_head("/v1/chat/completions;x"),
            404,
            "unknown_url",
        ),
        (
            "no path",
            head(|h| h.retain(|(n, _)| n != ":path")),
            404,
            "unknown_url",
        ),
        (
            "GET",
            head(|h| set(h, ":method", "GET")),
            405,
            "method_not_allowed",
        ),
        (
            "CONNECT",
            head(|h| set(h, ":method", "CONNECT")),
            404,
            "unknown_url",
        ),
        (
            "form",
            head(|h| set(h, "content-type", "application/x-www-form-urlencoded")),
            415,
            "unsupported_content_type",
        ),
        (
            "JSON where a form is due",
            request_head("/v1/audio/transcriptions"),
            415,
            "unsupported_content_type",
        ),
        (
            "a form where JSON is due",
            head(|h| set(h, "content-type", "multipart/form-data; boundary=B")),
            415,
            "unsupported_content_type",
        ),
        (
            "no type",
            head(|h| h.retain(|(n, _)| n != "content-type")),
            415,
            "unsupported_content_type",
        ),
        (
            "two types",
            head(|h| h.push(("content-type".into(), b"application/json".to_vec()))),
            415,
            "unsupported_content_type",
        ),
        (
            "utf-16",
            head(|h| set(h, "content-type", "application/json; charset=utf-16")),
            415,
            "unsupported_content_type",
        ),
        (
            "an unknown coding",
            head(|h| set(h, "content-encoding", "compress")),
            415,
            "unsupported_content_encoding",
        ),
        (
            "a coding without a name",
            head(|h| set(h, "content-encoding", "")),
            415,
            "unsupported_content_encoding",
        ),
        (
            "a coding over another",
            head(|h| set(h, "content-encoding", "gzip, br")),
            415,
            "unsupported_content_encoding",
        ),
        (
            "two codings",
            head(|h| {
                h.push(("content-encoding".into(), b"gzip".to_vec()));
                h.push(("content-encoding".into(), b"gzip".to_vec()));
            }),
            415,
            "unsupported_content_encoding",
        ),
        (
            "too long",
            head(|h| set(h, "content-length", "4097")),
            413,
            "request_too_large",
        ),
        (
            "no body",
            RequestHead {
                end: true,
                ..request_head("/v1/chat/completions")
            },
            400,
            "invalid_request_body",
        ),
    ];
    for (name, head, status, code) in table {
        let step = first(head);
        assert_eq!(refusal(&step), (status, code.to_owned()), "{name}");
        let steps = [step];
        assert_eq!(records(&steps).len(), 1, "{name}: one event");
        assert_eq!(records(&steps)[0].status, Some(status), "{name}");
    }
}

/// The door alone needs to see nothing of answers: for it there is a meter.
#[test]
fn a_stream_that_would_see_no_answer_is_refused_before_the_call_leaves() {
    let unseen = || RequestHead {
        answer_unseen: true,
        ..request_head("/v1/chat/completions")
    };
    let step = exchange(Role::Full).step(Event::RequestHeaders(unseen()), NOW);
    assert_eq!(refusal(&step), (500, "unmetered".to_owned()));
    assert_eq!(records(&[step]).len(), 1);
    let step = exchange(Role::Door).step(Event::RequestHeaders(unseen()), NOW);
    assert!(matches!(step.reply, Some(Reply::RequestHeaders { .. })));
}

#[test]
fn heads_that_pass() {
    for head in [
        request_head("/v1/chat/completions"),
        request_head("/v1/completions?x=1"),
        request_head("/v1/embeddings"),
        head(|h| set(h, "content-type", "application/json; charset=UTF-8")),
        head(|h| set(h, "authorization", &format!("bearer {KEY}"))),
        head(|h| set(h, "content-encoding", "identity")),
        head(|h| set(h, "content-encoding", "GZIP")),
        head(|h| set(h, "content-encoding", "deflate")),
        head(|h| set(h, "content-encoding", "br")),
        head(|h| set(h, "content-encoding", "zstd")),
    ] {
        let step = first(head.clone());
        assert!(
            matches!(step.reply, Some(Reply::RequestHeaders { .. })),
            "{head:?}"
        );
        assert!(step.effects.is_empty());
    }
}

#[test]
fn the_gateways_own_headers_and_the_callers_key_do_not_travel_on() {
    let step = first(head(|h| {
        set(h, "x-weir-tenant", "other");
        set(h, "x-weir-role", "admin");
        set(h, "accept-encoding", "br");
    }));
    let Some(Reply::RequestHeaders { edits, .. }) = step.reply else {
        panic!("refused");
    };
    for name in ["x-weir-tenant", "x-weir-role", "authorization"] {
        assert!(edits.remove.iter().any(|n| n == name), "{name}");
    }
    assert_eq!(edits.set, [("accept-encoding", "identity".to_owned())]);
}

#[test]
fn what_ext_authz_judged_is_taken_only_where_it_is_trusted() {
    let judged = |key_id: &str, trust| {
        let mut settings = settings();
        settings.trust_ext_authz = trust;
        let mut head = head(|h| h.retain(|(n, _)| n != "authorization"));
        head.judged = Some(Judged::Key(key_id.to_owned()));
        let hold = HoldId::new(NOW, &[7; 10]);
        let (learned, counting) = (Learned::default(), Counting::unbounded());
        let mut exchange = Exchange::new(Role::Full, settings, snapshot(), learned, hold, counting);
        exchange.step(Event::RequestHeaders(head), NOW)
    };
    assert!(matches!(
        judged("key-1", true).reply,
        Some(Reply::RequestHeaders { .. })
    ));
    assert_eq!(refusal(&judged("key-1", false)).0, 401);
    assert_eq!(refusal(&judged("withdrawn", true)).0, 401);
}

#[test]
fn the_door_alone_judges_as_an_exchange_does() {
    match at_door(&request_head("/v1/embeddings"), &snapshot()) {
        Judgement::Passed(passed) => assert_eq!(passed.judged, Judged::Key("key-1".to_owned())),
        other => panic!("{other:?}"),
    }
    match at_door(&request_head("/other"), &snapshot()) {
        Judgement::Refused {
            rendered, event, ..
        } => {
            assert_eq!(rendered.status, 404);
            assert_eq!(event.tenant.as_deref(), Some("acme"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_head_is_refused_in_its_callers_dialect() {
    let id = HoldId::new(NOW, &[7; 10]).to_string();
    let unauthorized = |path: &str, name: &str| {
        let mut head = request_head(path);
        head.headers.retain(|(n, _)| n != "authorization");
        head.headers.push((name.to_owned(), b"k".to_vec()));
        head
    };
    for (head, dialect, status, pointer, expected) in [
        (
            request_head("/v1/messages/batches"),
            "anthropic",
            404,
            "/error/type",
            "not_found_error",
        ),
        (
            unauthorized("/v1/models", "x-api-key"),
            "anthropic",
            401,
            "/request_id",
            &*id,
        ),
        (
            unauthorized("/v1beta/models/g:generateContent", "accept"),
            "gemini",
            401,
            "/error/status",
            "UNAUTHENTICATED",
        ),
        (
            unauthorized("/v1beta/models/g:streamGenerateContent", "accept"),
            "gemini",
            401,
            "/0/error/status",
            "UNAUTHENTICATED",
        ),
        (
            unauthorized("/v1beta/models/g:streamGenerateContent?alt=sse", "accept"),
            "gemini",
            401,
            "/error/status",
            "UNAUTHENTICATED",
        ),
        (
            unauthorized("/model/m/converse", "accept"),
            "bedrock",
            403,
            "/message",
            "You didn't provide an API key. Send it as one header, and no other key: \
             Authorization: Bearer YOUR_KEY.",
        ),
        (
            unauthorized("/v2/chat", "accept"),
            "cohere",
            401,
            "/id",
            &*id,
        ),
        (
            request_head("/api/pull"),
            "ollama",
            404,
            "/error",
            "Unknown request URL. This gateway serves POST /api/chat, /api/generate and /api/embed.",
        ),
        (
            request_head("/v1/files"),
            "openai",
            404,
            "/error/code",
            "unknown_url",
        ),
    ] {
        let asked = format!("{:?}", head.headers[1]);
        let judged = at_door(&head, &snapshot());
        let Judgement::Refused {
            rendered: at_door,
            event: event_at_door,
            ..
        } = judged
        else {
            panic!("{asked} passed the door");
        };
        let steps = [first(head)];
        let Some(Reply::Refuse { rendered, .. }) = &steps[0].reply else {
            panic!("{asked}: {steps:?}");
        };
        assert_eq!(*rendered, at_door, "{asked}");
        assert_eq!(rendered.status, status, "{asked}");
        let body: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
        let found = body.pointer(pointer).and_then(|value| value.as_str());
        assert_eq!(found, Some(expected), "{asked}");
        assert_eq!(&*records(&steps)[0].dialect, dialect, "{asked}");
        assert_eq!(&*event_at_door.dialect, dialect, "{asked}");
        let header = |name: &str| rendered.headers.iter().any(|(n, _)| *n == name);
        for name in [
            "x-weir-decision",
            "x-weir-decision-id",
            "x-should-retry",
            "content-type",
        ] {
            assert!(header(name), "{asked}: {name}");
        }
    }
}
