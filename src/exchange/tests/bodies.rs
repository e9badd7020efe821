//! What a body asks, what is written into it, and what is refused.

use super::*;
use crate::protocol::inflate::Encoding;
use crate::protocol::inflate::encode::{CODED, bare_deflate, bomb, encode};

fn judge(path: &str, bytes: Vec<u8>) -> Step {
    let mut exchange = exchange(Role::Full);
    let events = vec![Event::RequestHeaders(request_head(path)), body(bytes)];
    run(&mut exchange, events).pop().unwrap()
}

fn reserved(step: &Step) -> u64 {
    match step.effects.first() {
        Some(Effect::Reserve(reservation)) => reservation.charges[1].amount,
        other => panic!("no reservation: {other:?} {:?}", step.reply),
    }
}

/// The body that goes on to the provider.
fn sent(path: &str, bytes: Vec<u8>) -> Option<serde_json::Value> {
    let mut exchange = exchange(Role::Full);
    let events = vec![
        Event::RequestHeaders(request_head(path)),
        body(bytes),
        admitted(),
    ];
    match run(&mut exchange, events).pop().unwrap().reply {
        Some(Reply::RequestBody { body, .. }) => body.map(|b| serde_json::from_slice(&b).unwrap()),
        other => panic!("{other:?}"),
    }
}

const CHAT: &str = "/v1/chat/completions";

#[test]
fn bodies_that_are_refused() {
    let table: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("not JSON", b"hello".to_vec(), 400, "invalid_request_body"),
        ("junk behind", [chat(""), b"x".to_vec()].concat(), 400, "invalid_request_body"),
        ("a second model", chat(r#","model":"gpt-5""#), 400, "invalid_request_body"),
        ("a second model, hidden", chat(r#","\u006dodel":"gpt-5""#), 400, "invalid_request_body"),
        ("unknown model", br#"{"model":"none","messages":[{"role":"user","content":"x"}]}"#.to_vec(), 404, "model_not_found"),
        ("too many choices", chat(r#","n":5"#), 400, "invalid_request_body"),
        ("zero output", chat(r#","max_tokens":0"#), 400, "invalid_request_body"),
        ("text output", chat(r#","max_tokens":"9""#), 400, "invalid_request_body"),
        ("an image of a model without a rule", br#"{"model":"embed","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:"}}]}]}"#.to_vec(), 400, "invalid_request_body"),
        ("deep", format!("{{\"model\":\"gpt-4o\",\"x\":{}1{}}}", "[".repeat(70), "]".repeat(70)).into_bytes(), 400, "invalid_request_body"),
        ("too large", vec![b' '; 4097], 413, "request_too_large"),
    ];
    for (name, bytes, status, code) in table {
        let step = judge(CHAT, bytes);
        assert_eq!(refusal(&step), (status, code.to_owned()), "{name}");
    }
}

#[test]
fn a_body_that_is_not_whole_is_never_parsed() {
    let mut exchange = exchange(Role::Full);
    let part = Event::RequestBody {
        body: chat(""),
        end: false,
    };
    let steps = run(
        &mut exchange,
        vec![Event::RequestHeaders(request_head(CHAT)), part],
    );
    assert_eq!(refusal(&steps[1]).0, 413);
}

#[test]
fn the_output_that_is_held() {
    // The input is 9 tokens; the plan's default is 100, its cap 200.
    for (extra, tokens) in [
        ("", 9 + 100),
        (r#","max_tokens":null"#, 9 + 100),
        (r#","max_tokens":50"#, 9 + 50),
        (r#","max_tokens":5000"#, 9 + 200),
        (r#","max_completion_tokens":60"#, 9 + 60),
        (r#","max_tokens":50,"n":3"#, 9 + 150),
        (r#","n":2"#, 9 + 200),
    ] {
        assert_eq!(reserved(&judge(CHAT, chat(extra))), tokens, "{extra}");
    }
    let completion = br#"{"model":"gpt-4o","prompt":["hello","world"],"max_tokens":7,"n":2}"#;
    assert_eq!(
        reserved(&judge("/v1/completions", completion.to_vec())),
        2 + 7 * 4
    );
    let embedding = br#"{"model":"embed","input":["hello","hello world"]}"#;
    assert_eq!(reserved(&judge("/v1/embeddings", embedding.to_vec())), 3);
}

#[test]
fn what_is_written_into_the_body() {
    assert_eq!(sent(CHAT, chat("")).unwrap()["max_tokens"], 100);
    assert_eq!(
        sent(CHAT, chat(r#","max_tokens":5000"#)).unwrap()["max_tokens"],
        200
    );
    assert_eq!(
        sent(CHAT, chat(r#","max_tokens":50"#)),
        None,
        "nothing to change"
    );
    let newer = br#"{"model":"gpt-5","messages":[{"role":"user","content":"x"}]}"#;
    let newer = sent(CHAT, newer.to_vec()).unwrap();
    assert_eq!(newer["max_completion_tokens"], 100);
    assert!(newer.get("max_tokens").is_none());
    let stream = sent(CHAT, chat(r#","max_tokens":5,"stream":true"#)).unwrap();
    assert_eq!(stream["stream_options"]["include_usage"], true);
    let asked = chat(r#","max_tokens":5,"stream":true,"stream_options":{"include_usage":true}"#);
    assert_eq!(sent(CHAT, asked), None);
    assert_eq!(
        sent(
            "/v1/embeddings",
            br#"{"model":"embed","input":"x"}"#.to_vec()
        ),
        None
    );
}

/// A call whose body is in this coding.
fn encoded(coding: &str, bytes: Vec<u8>) -> Vec<Step> {
    let mut head = request_head(CHAT);
    let coding = ("content-encoding".to_owned(), coding.as_bytes().to_vec());
    head.headers.push(coding);
    let mut exchange = exchange(Role::Full);
    let judged = run(
        &mut exchange,
        vec![Event::RequestHeaders(head), body(bytes)],
    );
    let decided = match judged[1].reply {
        None => run(&mut exchange, vec![admitted()]),
        Some(_) => Vec::new(),
    };
    judged.into_iter().chain(decided).collect()
}

fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Identity => "identity",
        Encoding::Gzip => "gzip",
        Encoding::Deflate => "deflate",
        Encoding::Brotli => "br",
        Encoding::Zstd => "zstd",
    }
}

/// What goes on is what was read, byte for byte, and not what came: decoders
/// differ.
#[test]
fn a_body_in_a_coding_is_judged_and_sent_on_without_it() {
    for extra in [
        "",
        r#","max_tokens":50"#,
        r#","max_tokens":5,"stream":true"#,
    ] {
        let plain = chat(extra);
        let expected = sent(CHAT, plain.clone());
        let mut forms: Vec<_> = CODED.map(|of| (name(of), encode(of, &[&plain]))).to_vec();
        forms.push(("deflate", bare_deflate(&plain)));
        for (coding, bytes) in forms {
            let steps = encoded(coding, bytes);
            let Some(Reply::RequestHeaders { edits, .. }) = &steps[0].reply else {
                panic!("{coding}: {:?}", steps[0]);
            };
            let removed = edits
                .remove
                .iter()
                .filter(|name| *name == "content-encoding");
            assert_eq!(removed.count(), 1, "{coding}");
            assert_eq!(reserved(&steps[1]), reserved(&judge(CHAT, plain.clone())));
            let Some(Reply::RequestBody {
                body: Some(body), ..
            }) = &steps[2].reply
            else {
                panic!("{coding}: {:?}", steps[2]);
            };
            match &expected {
                Some(edited) => {
                    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
                    assert_eq!(body, *edited, "{coding}");
                }
                None => assert_eq!(*body, plain, "{coding}"),
            }
        }
    }
}

#[test]
fn a_body_that_cannot_be_decoded_is_refused() {
    let large = format!(
        "{}{}",
        " ".repeat(4_096),
        String::from_utf8(chat("")).unwrap()
    );
    for encoding in CODED {
        let coding = name(encoding);
        let good = encode(encoding, &[&chat("")]);
        let refused = |bytes: &[u8]| {
            let steps = encoded(coding, bytes.to_vec());
            assert_eq!(records(&steps).len(), 1, "{coding}: one event");
            refusal(&steps[1])
        };
        let malformed = (400, "invalid_request_body".to_owned());
        assert_eq!(refused(&good[..good.len() - 1]), malformed, "{coding}: cut");
        assert_eq!(refused(b""), malformed, "{coding}: nothing");
        let followed = [&good[..], b"{}"].concat();
        assert_eq!(refused(&followed), malformed, "{coding}: followed");
        assert_eq!(refused(&[0x77; 40]), malformed, "{coding}: of no coding");
        assert_eq!(refused(&encode(encoding, &[b"hello"])), malformed);
        let too_large = (413, "request_too_large".to_owned());
        let coded = encode(encoding, &[large.as_bytes()]);
        assert_eq!(refused(&coded), too_large, "{coding}: large");
        // The first that passes a bound: that on what is coded, here.
        let bomb = bomb(encoding, 1);
        assert_eq!(refused(&bomb), too_large, "{coding}: {}", bomb.len());
    }
}

#[test]
fn nobody_can_ask_for_more_than_any_model_could_produce() {
    let asked = |tokens: u64| {
        let mut snapshot = Arc::into_inner(snapshot()).unwrap();
        let models = Arc::make_mut(&mut snapshot.models);
        Arc::make_mut(models.get_mut("gpt-4o").unwrap()).max_output_tokens = None;
        let plans = Arc::make_mut(&mut snapshot.plans);
        let plan = Arc::make_mut(plans.get_mut("team").unwrap());
        plan.output.max_tokens_cap = None;
        plan.limits.clear();
        let hold = HoldId::new(NOW, &[7; 10]);
        let (learned, counting) = (Learned::default(), Counting::unbounded());
        let snapshot = Arc::new(snapshot);
        let mut exchange = Exchange::new(Role::Full, settings(), snapshot, learned, hold, counting);
        let head = request_head("/v1/chat/completions");
        exchange.step(Event::RequestHeaders(head), NOW);
        let body = chat(&format!(r#","max_tokens":{tokens}"#));
        exchange.step(Event::RequestBody { body, end: true }, NOW)
    };
    assert!(matches!(
        asked(10_000_000).effects[..],
        [Effect::Reserve(_)]
    ));
    for tokens in [10_000_001, 9_007_199_254_740_991] {
        assert_eq!(refusal(&asked(tokens)).0, 400, "{tokens}");
    }
}
