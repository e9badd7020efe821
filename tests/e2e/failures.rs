//! What goes wrong on the way, and what a call comes to then.

use super::calls::hello;
use crate::support::client;
use crate::support::stack::{Engine, Setup, Stack};
use crate::support::until;
use serde_json::Value;
use std::time::{Duration, Instant};
use weir::counters::redis::{Redis, RedisConfig};
use weir::exchange::event::{Known, Outcome};
use weir::units::Millis;

pub fn streamed() -> Value {
    let mut body = hello();
    body["stream"] = true.into();
    body
}

/// A stream whose first token has come; the gate `rest` holds the others back.
pub async fn half_answered(stack: &Stack) -> client::Open {
    let gate = [("x-fake-gate", "rest"), ("x-fake-gate-after", "1")];
    let mut open = stack.open(stack.chat(&streamed(), &gate)).await;
    open.chunk().await.unwrap().unwrap();
    open
}

const ENGINES: [Engine; 2] = [Engine::Memory, Engine::Redis];
const ONE_SLOT: &str = "[ { per: tenant, unit: concurrency, amount: 1 } ]";

#[tokio::test]
async fn a_client_that_leaves_pays_what_it_saw_and_frees_its_slot_at_once() {
    for engine in ENGINES {
        let stack = Stack::start(Setup {
            engine,
            limits: ONE_SLOT.into(),
            ..Setup::default()
        })
        .await;
        let request = stack.chat(
            &streamed(),
            &[
                ("x-fake-output", "50"),
                ("x-fake-gate", "never"),
                ("x-fake-gate-after", "3"),
            ],
        );
        let mut open = stack.open(request).await;
        let mut text = String::new();
        while text.matches("apple").count() < 3 {
            text.push_str(std::str::from_utf8(&open.chunk().await.unwrap().unwrap()).unwrap());
        }
        let left = Instant::now();
        drop(open);
        let stack = &stack;
        until("the slot to be free", Duration::from_secs(5), || async {
            (stack.send(stack.chat(&hello(), &[])).await.status == 200).then_some(())
        })
        .await;
        assert!(
            left.elapsed() < Duration::from_secs(1),
            "{:?}",
            left.elapsed()
        );
        // Written when the store has answered: the next call may be first.
        let event = until("the event", Duration::from_secs(5), || async {
            stack.events().into_iter().find(|event| event.stream)
        })
        .await;
        assert_eq!(
            (event.outcome, event.known),
            (Outcome::Estimated, Some(Known::Counted))
        );
        assert_eq!(event.output_tokens, Some(3), "the streamed part");
        stack.provider.open_gate("never");
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_provider_that_fails_or_hangs_up_leaves_nothing_open() {
    for engine in ENGINES {
        let stack = Stack::start(Setup {
            engine,
            ..Setup::default()
        })
        .await;
        for (headers, status) in [
            ([("x-fake-status", "500"), ("x-a", "b")], 500),
            ([("x-fake-status", "503"), ("x-a", "b")], 503),
            ([("x-fake-status", "400"), ("x-a", "b")], 400),
            ([("x-fake-status", "429"), ("x-a", "b")], 429),
        ] {
            assert_eq!(
                stack.send(stack.chat(&hello(), &headers)).await.status,
                status
            );
        }
        // Between the chunks there is time for each to be sent.
        let cut = [("x-fake-hang-up", "2"), ("x-fake-delay-ms", "30")];
        let (text, whole) = stack.open(stack.chat(&streamed(), &cut)).await.rest().await;
        assert!(!whole, "a broken answer must not look whole: {text}");
        assert_eq!(
            stack
                .send(stack.chat(&hello(), &[("x-fake-hang-up", "0")]))
                .await
                .status,
            503
        );

        let events = stack.wait_for_events(6).await;
        let seen: Vec<_> = events
            .iter()
            .map(|event| (event.outcome, event.known, event.total_tokens()))
            .collect();
        let input = events[0].input_tokens.unwrap();
        let counted = Some(Known::Counted);
        assert_eq!(
            seen,
            [
                (Outcome::Estimated, counted, input),
                (Outcome::Estimated, counted, input),
                (Outcome::Void, None, 0),
                (Outcome::Void, None, 0),
                (Outcome::Estimated, counted, input + 2),
                // Nothing of it was seen: what was reserved.
                (Outcome::Estimated, Some(Known::Reserved), input + 100),
            ]
        );
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_costs_nothing() {
    let stack = Stack::start(Setup {
        limits: "[ { per: tenant, unit: requests, amount: 1, every: 1h } ]".into(),
        // A port on which nothing listens.
        envoy_edits: vec![
            ("cluster: provider", "cluster: nowhere"),
            ("- name: weir\n    type", NOWHERE),
        ],
        ..Setup::default()
    })
    .await;
    for _ in 0..3 {
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 503, "never 429: nothing is charged");
    }
    let events = stack.wait_for_events(3).await;
    assert!(
        events
            .iter()
            .all(|event| event.outcome == Outcome::Void && event.total_tokens() == 0)
    );
    stack.log_and_events_agree().await;
}

const NOWHERE: &str = "- name: nowhere
    type: STATIC
    connect_timeout: 1s
    load_assignment: { cluster_name: nowhere, endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } } ] } ] }
  - name: weir
    type";

#[tokio::test]
async fn a_provider_that_takes_too_long_is_charged_what_was_reserved() {
    let stack = Stack::start(Setup {
        envoy_edits: vec![("timeout: 600s", "timeout: 1s")],
        ..Setup::default()
    })
    .await;
    let answer = stack
        .send(stack.chat(&hello(), &[("x-fake-gate", "late")]))
        .await;
    assert_eq!(answer.status, 504);
    let events = stack.wait_for_events(1).await;
    assert_eq!(
        (events[0].outcome, events[0].known),
        (Outcome::Estimated, Some(Known::Reserved))
    );
    stack.provider.open_gate("late");
    stack.settle_the_books().await;
}

#[tokio::test]
async fn without_weir_nothing_passes() {
    let mut stack = Stack::start(Setup::default()).await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    stack.kill_weir();
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert!(matches!(answer.status, 500 | 503), "{answer:?}");
    assert_eq!(stack.provider.received(), 1);
    stack.restart_weir().await;
    stack.settle_the_books().await;
}

#[tokio::test]
async fn without_its_redis_weir_refuses_and_recovers() {
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        ..Setup::default()
    })
    .await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    // Redis has answered its settlement, or it would be charged to the next one.
    stack.wait_for_events(1).await;
    stack.kill_redis();
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "limits_unavailable");
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!(stack.provider.received(), 1);
    let (admin, path) = (stack.admin, "/readyz");
    until(
        "readiness to say so",
        Duration::from_secs(10),
        || async move { (client::get(admin, path).await.status == 503).then_some(()) },
    )
    .await;
    stack.restart_redis().await;
    until(
        "readiness to come back",
        Duration::from_secs(10),
        || async move { (client::get(admin, path).await.status == 200).then_some(()) },
    )
    .await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    stack.settle_the_books().await;
}

/// The counters can't be mended then, but the call is still told of, once.
#[tokio::test]
async fn a_call_whose_hold_redis_lost_is_metered() {
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        ..Setup::default()
    })
    .await;
    let mut open = half_answered(&stack).await;
    stack.flush_redis().await;
    stack.provider.open_gate("rest");
    assert!(open.rest().await.1);
    let events = stack.wait_for_events(1).await;
    assert_eq!(events[0].outcome, Outcome::Exact);
    stack.settle_the_books().await;
}

/// A stack whose Redis can be cut off, and whose holds don't live long.
async fn linked() -> Stack {
    Stack::start(Setup {
        engine: Engine::Redis,
        link: true,
        more: "holds: { ttl: 3s, lease_ttl: 1s, renew_every: 500ms }".into(),
        ..Setup::default()
    })
    .await
}

/// How many holds in Redis are past their time; nobody has taken them yet.
async fn holds_due(stack: &Stack) -> u64 {
    let (secs, micros): (u64, u64) = stack.ask_redis(&redis::cmd("TIME")).await;
    let mut due = 0;
    for key in stack.sorted_sets().await {
        if key.ends_with(":open") {
            let mut count = redis::cmd("ZCOUNT");
            count
                .arg(key)
                .arg("-inf")
                .arg(secs * 1_000 + micros / 1_000);
            due += stack.ask_redis::<u64>(&count).await;
        }
    }
    due
}

async fn a_hold_is_due(stack: &Stack) {
    until("a hold to be due", Duration::from_secs(10), || async {
        (holds_due(stack).await == 1).then_some(())
    })
    .await;
}

async fn one_is_unsettled(stack: &Stack) {
    until("a settlement to wait", Duration::from_secs(10), || async {
        (stack.metric("weir_unsettled_holds").await == 1.0).then_some(())
    })
    .await;
}

/// What a refused call may have taken is given back, however long that takes.
#[tokio::test]
async fn a_reservation_whose_answer_is_lost_costs_nothing() {
    let stack = linked().await;
    let link = stack.link.clone().unwrap();
    // Of all that is told to Redis, only a reservation names an endpoint.
    link.fall_after("/v1/chat/completions");
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "limits_unavailable");
    assert!(link.is_down());
    one_is_unsettled(&stack).await;
    a_hold_is_due(&stack).await;
    link.mend();
    until("Redis to be settled", Duration::from_secs(10), || async {
        stack.sorted_sets().await.is_empty().then_some(())
    })
    .await;
    stack.settle_the_books().await;
    let events = stack.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].outcome, Outcome::Refused);
}

/// A call that was answered while Redis was away.
async fn answered_without_redis(stack: &Stack) {
    let mut open = half_answered(stack).await;
    stack.link.as_ref().unwrap().fall();
    stack.provider.open_gate("rest");
    let (text, whole) = open.rest().await;
    assert!(whole && text.ends_with("data: [DONE]\n\n"), "{text}");
    one_is_unsettled(stack).await;
    assert_eq!(stack.events(), [], "nobody has ended the hold");
}

#[tokio::test]
async fn a_call_that_ends_while_redis_is_away_is_settled_when_it_is_back() {
    for loses_all in [false, true] {
        let stack = linked().await;
        answered_without_redis(&stack).await;
        if loses_all {
            stack.flush_redis().await;
        } else {
            a_hold_is_due(&stack).await;
        }
        stack.link.as_ref().unwrap().mend();
        let events = stack.wait_for_events(1).await;
        assert_eq!(events[0].outcome, Outcome::Exact);
        stack.settle_the_books().await;
    }
}

async fn hold_key(stack: &Stack) -> String {
    let mut keys = redis::cmd("KEYS");
    keys.arg("weir:1:*}:h:*");
    let [key]: [String; 1] = stack.ask_redis::<Vec<_>>(&keys).await.try_into().unwrap();
    key
}

#[tokio::test]
async fn a_call_outlives_an_outage_of_redis_that_outlives_its_hold() {
    let stack = linked().await;
    let mut open = half_answered(&stack).await;
    let link = stack.link.clone().unwrap();
    link.fall();
    a_hold_is_due(&stack).await;
    link.mend();
    let address = stack.admin;
    until(
        "weir to see Redis",
        Duration::from_secs(10),
        || async move { (client::get(address, "/readyz").await.status == 200).then_some(()) },
    )
    .await;
    // The hold is renewed before anyone may take it for a dead one's.
    until(
        "the hold to be renewed",
        Duration::from_secs(10),
        || async { (holds_due(&stack).await == 0).then_some(()) },
    )
    .await;
    assert_eq!(stack.events(), []);
    stack.provider.open_gate("rest");
    assert!(open.rest().await.1);
    let events = stack.wait_for_events(1).await;
    assert_eq!(events[0].outcome, Outcome::Exact);
    stack.settle_the_books().await;
}

/// A counter that something else has overwritten.
#[tokio::test]
async fn a_hold_that_cant_be_settled_expires_and_its_call_is_told_of_as_it_was() {
    let stack = linked().await;
    let mut open = half_answered(&stack).await;
    let mut find = redis::cmd("KEYS");
    let keys: Vec<String> = stack.ask_redis(find.arg("weir:1:*:w:*audit-tokens*")).await;
    for key in keys {
        let () = stack.ask_redis(redis::cmd("DEL").arg(&key)).await;
        let () = stack.ask_redis(redis::cmd("LPUSH").arg(&key).arg(1)).await;
    }
    stack.provider.open_gate("rest");
    assert!(open.rest().await.1);
    let event = until("its event", Duration::from_secs(25), || async {
        stack.events().into_iter().next()
    })
    .await;
    assert_eq!(event.outcome, Outcome::Exact);
    until("no hold to be left", Duration::from_secs(10), || async {
        stack.sorted_sets().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(stack.events().len(), 1);
}

#[tokio::test]
async fn a_stop_waits_for_settlements_and_records_what_goes_unanswered() {
    for redis_comes_back in [true, false] {
        let mut stack = linked().await;
        answered_without_redis(&stack).await;
        stack.weir.terminate();
        if redis_comes_back {
            stack.link.as_ref().unwrap().mend();
        }
        stack.weir.wait_for_end(Duration::from_secs(20)).await;
        let events = stack.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].outcome, Outcome::Exact);
        if redis_comes_back {
            assert_eq!(stack.sorted_sets().await, Vec::<String>::new());
        }
    }
}

/// Another sidecar takes the expired hold meanwhile, and tells of it.
#[tokio::test]
async fn a_hold_that_expired_elsewhere_is_told_of_there_alone() {
    let stack = linked().await;
    answered_without_redis(&stack).await;
    a_hold_is_due(&stack).await;
    let config = RedisConfig {
        response_timeout: Millis::from_secs(5),
        ..RedisConfig::new(stack.redis_url())
    };
    let other = Redis::connect(&config).await.unwrap();
    let claim = Millis::from_mins(10);
    let taken = other.expire_due(10, claim).await.unwrap().answer;
    assert_eq!(taken.len(), 1);
    assert!(taken[0].context.contains(r#""tenant":"acme""#));
    // However late weir comes, it must not take the hold for a lost one.
    let left: i64 = stack
        .ask_redis(redis::cmd("PTTL").arg(hold_key(&stack).await))
        .await;
    assert!(left > 7 * 86_400_000, "{left}");
    stack.link.as_ref().unwrap().mend();
    until("weir to know", Duration::from_secs(10), || async {
        let unsettled = stack.metric("weir_unsettled_holds").await;
        let open = stack.metric("weir_open_holds").await;
        (unsettled + open == 0.0).then_some(())
    })
    .await;
    assert_eq!(stack.events(), []);
    assert_eq!(stack.provider.received(), 1);
    other.told(&taken).await.unwrap();
    assert_eq!(stack.sorted_sets().await, Vec::<String>::new());
}

/// Nor does the one that took it over come back, and its own is still away.
#[tokio::test]
async fn an_expired_hold_whose_taker_dies_is_told_of_by_the_next() {
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        more: "holds: { ttl: 2s, lease_ttl: 1s, renew_every: 500ms }".into(),
        ..Setup::default()
    })
    .await;
    let open = half_answered(&stack).await;
    stack.kill_weir();
    drop(open);
    let (mut taker, ..) = stack.weir_beside("taker", "die::expired=return");
    until("the taker to die with it", Duration::from_secs(30), || {
        let gone = !taker.is_running();
        async move { gone.then_some(()) }
    })
    .await;
    assert_eq!(taker.ended(), Some(false));
    let taken = stack.sorted_sets().await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    let next = stack.weir_beside("next", "");
    let told = until("the next to tell", Duration::from_secs(30), || async {
        let told = stack.events_beside("next");
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(
        (told[0].outcome, told[0].known),
        (Outcome::Estimated, Some(Known::Reserved))
    );
    until("the store to be told", Duration::from_secs(10), || async {
        stack.sorted_sets().await.is_empty().then_some(())
    })
    .await;
    // Its own, when it comes back, tells of it by the same id.
    stack.restart_weir().await;
    let own = stack.wait_for_events(1).await;
    let events = ["", "taker", "next"].map(|name| stack.events_beside(name));
    assert_eq!(events.each_ref().map(Vec::len), [1, 0, 1], "{events:#?}");
    assert_eq!(own[0].id, told[0].id);
    drop(next);
}

#[tokio::test]
async fn a_killed_weirs_open_calls_become_estimated_events() {
    for engine in ENGINES {
        let holds = "holds: { ttl: 2s, lease_ttl: 1s, renew_every: 500ms }";
        let mut stack = Stack::start(Setup {
            engine,
            limits: ONE_SLOT.into(),
            more: holds.into(),
            ..Setup::default()
        })
        .await;
        let mut open = half_answered(&stack).await;
        stack.kill_weir();
        let (_, whole) = open.rest().await;
        assert!(!whole, "with one filter the answer is cut");
        stack.restart_weir().await;
        let events = stack.wait_for_events(1).await;
        assert_eq!(events.len(), 1, "{engine:?}: {events:?}");
        assert_eq!(
            (events[0].outcome, events[0].known),
            (Outcome::Estimated, Some(Known::Reserved))
        );
        // The slot of the dead comes back.
        let stack = &stack;
        until("the slot to be free", Duration::from_secs(10), || async {
            (stack.send(stack.chat(&hello(), &[])).await.status == 200).then_some(())
        })
        .await;
        stack.provider.open_gate("rest");
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_long_answer_keeps_its_slot_while_its_weir_lives() {
    for engine in ENGINES {
        let holds = "holds: { ttl: 2s, lease_ttl: 1s, renew_every: 250ms }";
        let stack = Stack::start(Setup {
            engine,
            limits: ONE_SLOT.into(),
            more: holds.into(),
            ..Setup::default()
        })
        .await;
        // Thirty tokens, 100 ms apart: three times a lease's life.
        let request = stack.chat(
            &streamed(),
            &[("x-fake-output", "30"), ("x-fake-delay-ms", "100")],
        );
        let mut open = stack.open(request).await;
        let mut refused = 0;
        while let Some(chunk) = open.chunk().await {
            let last = std::str::from_utf8(&chunk.unwrap())
                .unwrap()
                .contains("[DONE]");
            // With its last tokens the answer may be over for weir already.
            if last || refused == 27 {
                break;
            }
            let status = stack.send(stack.chat(&hello(), &[])).await.status;
            assert_eq!(status, 429, "after {refused} tokens");
            refused += 1;
        }
        assert!(refused >= 25, "{refused}");
        open.rest().await;
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        stack.settle_the_books().await;
        let events = stack.events();
        assert!(
            events
                .iter()
                .all(|event| event.outcome != Outcome::Estimated),
            "no hold expired"
        );
    }
}

/// Path, body, headers and the status that is due.
type Case<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, u16);

#[tokio::test]
async fn bad_requests_are_refused_and_never_sent() {
    let stack = Stack::start(Setup::default()).await;
    let ok = hello().to_string();
    let chat = "/v1/chat/completions";
    let huge = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "a ".repeat(5_400_000)
    );
    let deep = format!(
        r#"{{"model":"gpt-4o","x":{}1{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let table: Vec<Case> = vec![
        (chat, ok.clone(), vec![("authorization", "")], 401),
        (
            chat,
            ok.clone(),
            vec![("authorization", "Bearer wrong")],
            401,
        ),
        (
            chat,
            ok.clone(),
            vec![("authorization", "Bearer a"), ("authorization", "Bearer b")],
            401,
        ),
        (chat, ok.clone(), vec![("x-api-key", "another")], 401),
        (chat, ok.clone(), vec![("api-key", "another")], 401),
        ("/v1/other", ok.clone(), vec![], 404),
        (
            chat,
            r#"{"model":"gpt-4o","\u006dodel":"gpt-5","messages":[]}"#.into(),
            vec![],
            400,
        ),
        (chat, format!("{ok} x"), vec![], 400),
        (chat, format!("\u{feff}{ok}"), vec![], 400),
        (chat, deep, vec![], 400),
        (chat, ok.replace("gpt-4o", "unknown"), vec![], 404),
        (
            chat,
            ok.replacen('{', r#"{"max_tokens":1e400,"#, 1),
            vec![],
            400,
        ),
        (chat, ok.replacen('{', r#"{"n":9,"#, 1), vec![], 400),
        (chat, huge, vec![], 413),
        (
            chat,
            ok.clone(),
            vec![("content-encoding", "compress")],
            415,
        ),
    ];
    for (path, body, headers, status) in table {
        let start: String = body.chars().take(60).collect();
        let answer = stack.send(stack.post(path, body, &headers)).await;
        assert_eq!(
            answer.status, status,
            "{path} {start} {headers:?}: {answer:?}"
        );
        if status != 413 {
            assert!(answer.json()["error"]["message"].is_string());
        }
    }
    assert_eq!(stack.provider.received(), 0);
    stack.wait_for_events(12).await;
    assert_eq!(
        stack.send(stack.post(chat, ok, &[])).await.status,
        200,
        "and weir still serves"
    );
    stack.settle_the_books().await;
}

/// Without a content-length only the body itself tells its size; Envoy buffers
/// more of it than weir allows.
#[tokio::test]
async fn a_body_of_unsaid_length_that_is_too_large_never_passes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for envoy in ["unix.yaml", "split.yaml"] {
        for (more, bytes) in [
            ("server: { body_bytes_max: 1MiB }", 3 << 20),
            // As much as Envoy buffers with the shipped configuration.
            ("", 11_534_336),
        ] {
            let stack = Stack::start(Setup {
                envoy,
                more: more.into(),
                ..Setup::default()
            })
            .await;
            let mut body = hello().to_string().into_bytes();
            body.resize(bytes, b' ');
            let mut request = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n\
                 authorization: Bearer {}\r\ncontent-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n",
                crate::support::stack::KEY
            )
            .into_bytes();
            request.extend(body);
            request.extend(b"\r\n0\r\n\r\n");
            let mut connection = tokio::net::TcpStream::connect(stack.front).await.unwrap();
            let (mut reader, mut writer) = connection.split();
            let mut status = [0; 12];
            // Envoy may answer before it has read all.
            let (_, read) =
                tokio::join!(writer.write_all(&request), reader.read_exact(&mut status));
            read.unwrap();
            assert_eq!(
                std::str::from_utf8(&status).unwrap(),
                "HTTP/1.1 413",
                "{envoy} {more}"
            );
            assert_eq!(stack.provider.received(), 0, "{envoy} {more}");
            stack.settle_the_books().await;
        }
    }
}
