//! Every order of messages, and a break at each point of each.

use super::*;
use crate::exchange::event::{Known, Outcome};
use crate::limits::Decision;
use crate::limits::{Actual, Refusal, Retry};

fn chat_call() -> Vec<Event> {
    vec![
        Event::RequestHeaders(request_head("/v1/chat/completions")),
        body(chat("")),
        admitted(),
    ]
}

fn with(events: Vec<Event>, more: Vec<Event>) -> Vec<Event> {
    events.into_iter().chain(more).collect()
}

#[test]
fn a_plain_call_is_admitted_and_settled_exactly() {
    let mut exchange = exchange(Role::Full);
    let steps = run(
        &mut exchange,
        with(
            chat_call(),
            vec![
                response_head("200", "application/json"),
                chunk(ANSWER, false),
                chunk("", true),
            ],
        ),
    );
    let settled = settlements(&steps);
    assert_eq!(settled.len(), 1);
    let actual = settled[0].actual;
    assert_eq!((actual.requests, actual.of(Unit::Tokens)), (1, 17));
    let event = settled[0].event.as_ref().unwrap();
    assert_eq!(
        (event.outcome, event.known),
        (Outcome::Exact, Some(Known::Provider))
    );
    assert_eq!(
        (event.input_tokens, event.output_tokens),
        (Some(12), Some(5))
    );
    assert_eq!(event.model_served.as_deref(), Some("gpt-4o-2024"));
    assert_eq!(event.finish_reason.as_deref(), Some("stop"));
    assert!(exchange.is_over() && !exchange.owes_settlement());
    assert!(records(&steps).is_empty());
}

#[test]
fn the_reservation_bounds_the_call() {
    let mut exchange = exchange(Role::Full);
    let steps = run(&mut exchange, chat_call());
    let Some(Effect::Reserve(reservation)) = steps[1].effects.first() else {
        panic!("no reservation: {:?}", steps[1]);
    };
    // "user" and "hello world" are 3 tokens; a message and the priming add 6.
    let amounts: Vec<u64> = reservation
        .charges
        .iter()
        .map(|charge| charge.amount)
        .collect();
    assert_eq!(amounts, [1, 9 + 100, 1]);
    let counters: Vec<&str> = reservation.charges.iter().map(|c| &*c.counter).collect();
    assert_eq!(
        counters,
        [
            "3:rpm,4:acme,",
            "3:tpm,4:acme,8:user=ann,",
            "5:slots,4:acme,"
        ]
    );
    assert_eq!(&*reservation.slot, "acme");
    assert!(steps[1].reply.is_none(), "no reply before the decision");
}

#[test]
fn rate_headers_come_from_the_decision() {
    let mut exchange = exchange(Role::Full);
    let steps = run(
        &mut exchange,
        with(chat_call(), vec![response_head("200", "application/json")]),
    );
    let Some(Reply::ResponseHeaders { edits, .. }) = &steps[3].reply else {
        panic!("{:?}", steps[3]);
    };
    let get = |name| {
        edits
            .set
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(get("x-ratelimit-limit-requests"), Some("10"));
    assert_eq!(get("x-ratelimit-remaining-requests"), Some("9"));
    assert_eq!(get("x-ratelimit-reset-requests"), Some("6s"));
    assert_eq!(get("x-ratelimit-limit-tokens"), Some("1000"));
    assert_eq!(get("x-ratelimit-remaining-tokens"), Some("787"));
}

/// What a call must come to when its stream breaks after so many events.
#[test]
fn a_break_at_any_point_leaves_nothing_open() {
    let stream = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one two\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" three\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n",
        "data: [DONE]\n\n",
    ];
    let mut whole = vec![
        Event::RequestHeaders(request_head("/v1/chat/completions")),
        body(chat(r#","stream":true"#)),
        admitted(),
        response_head("200", "text/event-stream"),
    ];
    whole.extend(stream.iter().map(|text| chunk(text, false)));
    whole.push(chunk("", true));
    // After n events: the settlement's outcome and tokens, if one is due.
    let expected = [
        None,
        None,
        Some((Outcome::Void, 0)),
        Some((Outcome::Estimated, 109)),
        Some((Outcome::Estimated, 109)),
        Some((Outcome::Estimated, 9 + 2)),
        Some((Outcome::Estimated, 9 + 3)),
        // The usage came and every choice had ended: only [DONE] is missing.
        Some((Outcome::Exact, 12)),
        Some((Outcome::Exact, 12)),
        Some((Outcome::Exact, 12)),
    ];
    for (events, expected) in expected.iter().enumerate() {
        let mut exchange = exchange(Role::Full);
        let until = with(whole[..events].to_vec(), vec![Event::Closed]);
        let steps = run(&mut exchange, until);
        let settled = settlements(&steps);
        let got = settled
            .first()
            .map(|s| (ended_as(s), s.actual.of(Unit::Tokens)));
        assert!(settled.len() <= 1);
        assert_eq!(got, *expected, "broken after {events} events");
        assert!(!exchange.owes_settlement());
        // Nothing that comes later settles again.
        let more = run(
            &mut exchange,
            vec![chunk("x", true), Event::ResponseTrailers, Event::Closed],
        );
        assert!(settlements(&more).is_empty());
    }
}

#[test]
fn trailers_end_an_answer_too() {
    let mut exchange = exchange(Role::Full);
    let steps = run(
        &mut exchange,
        with(
            chat_call(),
            vec![
                response_head("200", "application/json"),
                chunk(ANSWER, false),
                Event::ResponseTrailers,
            ],
        ),
    );
    assert_eq!(settlements(&steps).len(), 1);
    assert_eq!(settlements(&steps)[0].actual.of(Unit::Tokens), 17);
}

#[test]
fn what_the_provider_answered_decides_what_is_charged() {
    let table = [
        ("400", Origin::Upstream, Outcome::Void, 1, 0),
        ("429", Origin::Upstream, Outcome::Void, 1, 0),
        ("500", Origin::Upstream, Outcome::Estimated, 1, 9),
        ("503", Origin::Upstream, Outcome::Estimated, 1, 9),
        ("503", Origin::NeverSent, Outcome::Void, 0, 0),
        ("503", Origin::Lost, Outcome::Estimated, 1, 109),
        ("504", Origin::Lost, Outcome::Estimated, 1, 109),
        ("302", Origin::Upstream, Outcome::Estimated, 1, 9),
    ];
    for (status, origin, outcome, requests, tokens) in table {
        let mut exchange = exchange(Role::Full);
        let head = ResponseHead {
            headers: headers(&[(":status", status)]),
            origin,
            end: true,
            ..ResponseHead::default()
        };
        let steps = run(
            &mut exchange,
            with(chat_call(), vec![Event::ResponseHeaders(head)]),
        );
        let settled = settlements(&steps);
        assert_eq!(settled.len(), 1, "{status} {origin:?}");
        assert_eq!(ended_as(settled[0]), outcome, "{status} {origin:?}");
        let actual = settled[0].actual;
        assert_eq!(
            (actual.requests, actual.of(Unit::Tokens)),
            (requests, tokens),
            "{status} {origin:?}"
        );
    }
}

#[test]
fn a_refusal_of_each_limit_is_recorded_and_holds_nothing() {
    for (charge, retry, wait_ms) in [
        (0, Retry::After(Millis(1_500)), Some("1500")),
        (1, Retry::Never, None),
        (2, Retry::WhenOneEnds, Some("1000")),
    ] {
        let mut exchange = exchange(Role::Full);
        let refusal = Refusal {
            charge,
            used: 10,
            requested: 1,
            remaining: 0,
            reset_after: Some(Millis(2_000)),
            retry,
        };
        let refused = Decision::Refused(refusal, Vec::new());
        let mut events = chat_call();
        events[2] = Event::Decided(Some(refused));
        let steps = run(&mut exchange, events);
        let Some(Reply::Refuse { rendered, metadata }) = &steps[2].reply else {
            panic!("{:?}", steps[2]);
        };
        assert_eq!(rendered.status, 429);
        let header = |name| {
            rendered
                .headers
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(header("retry-after-ms"), wait_ms);
        assert_eq!(
            header("x-weir-decision"),
            Some(["rpm", "tpm", "slots"][charge])
        );
        assert_eq!(&*metadata.decision, ["rpm", "tpm", "slots"][charge]);
        let told = [
            Some("x-ratelimit-remaining-requests"),
            Some("x-ratelimit-remaining-tokens"),
            None,
        ];
        for (index, name) in told.into_iter().enumerate() {
            let left = name.and_then(header);
            let known = (index == charge && name.is_some()).then_some("0");
            assert_eq!(left, known, "of the limit that refused: {charge}");
        }
        assert_eq!(records(&steps).len(), 1);
        assert_eq!(records(&steps)[0].outcome, Outcome::Refused);
        assert_eq!(records(&steps)[0].model.as_deref(), Some("gpt-4o"));
        assert!(settlements(&steps).is_empty());
        assert!(exchange.is_over());
    }
}

#[test]
fn a_store_that_gives_no_answer_refuses_and_gives_back() {
    for decision in [None, Some(Decision::Ended)] {
        let mut exchange = exchange(Role::Full);
        let mut events = chat_call();
        events[2] = Event::Decided(decision);
        let steps = run(&mut exchange, events);
        assert_eq!(refusal(&steps[2]), (503, "limits_unavailable".into()));
        let settled = settlements(&steps);
        assert_eq!(settled.len(), 1, "whatever was taken is given back");
        assert_eq!(settled[0].actual, Actual::VOID);
        assert!(
            settled[0].event.is_none(),
            "the refusal is the call's one event"
        );
        assert_eq!(records(&steps).len(), 1);
    }
}

#[test]
fn a_response_that_no_request_led_to_passes_uncharged() {
    for role in [Role::Full, Role::Meter] {
        let mut exchange = exchange(role);
        let steps = run(
            &mut exchange,
            vec![
                Event::ResponseHeaders(ResponseHead {
                    headers: headers(&[(":status", "402")]),
                    origin: Origin::NeverSent,
                    ..ResponseHead::default()
                }),
                chunk("{}", true),
                Event::Closed,
            ],
        );
        assert!(steps.iter().all(|step| step.effects.is_empty()));
        assert!(steps[0].reply.is_some() && steps[1].reply.is_some());
    }
}

#[test]
fn an_answer_to_a_request_that_was_never_shown_is_stopped() {
    let mut exchange = exchange(Role::Full);
    let steps = run(
        &mut exchange,
        vec![response_head("200", "application/json")],
    );
    assert_eq!(refusal(&steps[0]).0, 500);
    assert_eq!(records(&steps).len(), 1);
}

#[test]
fn the_gateways_own_answer_before_the_body_costs_nothing() {
    let mut exchange = exchange(Role::Full);
    let local = Event::ResponseHeaders(ResponseHead {
        headers: headers(&[(":status", "413")]),
        origin: Origin::Lost,
        end: true,
        ..ResponseHead::default()
    });
    let steps = run(
        &mut exchange,
        vec![
            Event::RequestHeaders(request_head("/v1/chat/completions")),
            local,
            Event::Closed,
        ],
    );
    assert!(steps.iter().all(|step| step.effects.is_empty()));
}

#[test]
fn an_answer_to_a_body_that_was_never_shown_is_stopped() {
    let mut exchange = exchange(Role::Full);
    let steps = run(
        &mut exchange,
        vec![
            Event::RequestHeaders(request_head("/v1/chat/completions")),
            response_head("200", "application/json"),
        ],
    );
    assert_eq!(refusal(&steps[1]).0, 500);
    assert_eq!(records(&steps).len(), 1);
}

#[test]
fn a_door_hands_over_and_a_meter_settles() {
    let mut door = exchange(Role::Door);
    let steps = run(&mut door, chat_call());
    assert!(
        door.is_over() && !door.owes_settlement(),
        "the door's stream may end"
    );
    let Some(Reply::RequestBody {
        metadata: Some(metadata),
        ..
    }) = &steps[2].reply
    else {
        panic!("{:?}", steps[2]);
    };
    let handover = metadata.handover.clone().unwrap();
    assert!(!handover.contains("hello"), "no prompt travels");
    assert!(settlements(&run(&mut door, vec![Event::Closed])).is_empty());

    let mut meter = exchange(Role::Meter);
    let head = ResponseHead {
        headers: headers(&[(":status", "200"), ("content-type", "application/json")]),
        origin: Origin::Upstream,
        handed_over: Some(handover),
        end: false,
    };
    let steps = run(
        &mut meter,
        vec![Event::ResponseHeaders(head), chunk(ANSWER, true)],
    );
    assert!(matches!(steps[0].effects[0], Effect::Adopt { .. }));
    let settled = settlements(&steps);
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0].actual.of(Unit::Tokens), 17);
    assert_eq!(
        settled[0].hold,
        HoldId::new(NOW, &[7; 10]),
        "the door's hold"
    );
}
