//! A plan that holds what is expected of a call instead of its maximum.

use super::*;
use crate::exchange::event::Known;
use crate::policy::expected::{Expected, Lesson, News};

/// The usual plan, holding this; its token limit is hard.
fn plan_holding(hold: Hold) -> Arc<Snapshot> {
    let usual = snapshot();
    let mut plan = Plan::clone(&usual.plans["team"]);
    plan.output.hold = Some(hold);
    plan.limits[1].hard = true;
    let mut snapshot = Arc::into_inner(usual).unwrap();
    Arc::make_mut(&mut snapshot.plans).insert("team".into(), Arc::new(plan));
    Arc::new(snapshot)
}

fn exchange_holding(hold: Hold, known: Option<u64>) -> Exchange {
    let known = known.map(|tokens| News {
        tenant: "acme".into(),
        model: "gpt-4o".into(),
        output_tokens: Some(tokens),
    });
    let expected = Expected::default().with(known);
    let id = HoldId::new(NOW, &[7; 10]);
    let learned = Learned {
        expected: Arc::new(expected),
        ..Learned::default()
    };
    let counting = Counting::unbounded();
    Exchange::new(
        Role::Full,
        settings(),
        plan_holding(hold),
        learned,
        id,
        counting,
    )
}

const HALF: Hold = Hold::Expected { percentile: 50 };

fn ask(bytes: Vec<u8>) -> Vec<Event> {
    let head = request_head("/v1/chat/completions");
    vec![Event::RequestHeaders(head), body(bytes)]
}

#[test]
fn what_is_expected_is_held_and_the_most_must_have_room() {
    // The input is 9 tokens, the plan's default 100.
    for (hold, known, extra, held, room) in [
        (HALF, None, "", 109, 109),
        (HALF, Some(30), "", 39, 109),
        (HALF, Some(30), r#","n":2"#, 69, 209),
        (HALF, Some(30), r#","max_tokens":20"#, 29, 29),
        (HALF, Some(150), "", 109, 109),
        (Hold::Maximum, Some(30), "", 109, 109),
    ] {
        let mut exchange = exchange_holding(hold, known);
        let steps = run(&mut exchange, ask(chat(extra)));
        let Some(Effect::Reserve(reservation)) = steps[1].effects.first() else {
            panic!("no reservation: {steps:?}")
        };
        let tokens = &reservation.charges[1];
        assert_eq!((tokens.amount, tokens.wanted()), (held, room), "{extra}");
        let requests = &reservation.charges[0];
        assert_eq!((requests.amount, requests.wanted()), (1, 1));
        let call = OpenCall::from_json(&reservation.context).unwrap();
        assert_eq!(call.estimate().total_tokens(), held);
        assert_eq!(call.output_tokens_max(), room - 9);
    }
}

/// An answer of so many tokens.
fn answer(output_tokens: u64) -> Event {
    chunk(
        &ANSWER.replace(
            r#""completion_tokens":5"#,
            &format!(r#""completion_tokens":{output_tokens}"#),
        ),
        true,
    )
}

const STREAM: &str = r#","stream":true"#;
const TWO_STREAMED: &str = r#","stream":true,"n":2"#;

#[test]
fn a_call_teaches_what_its_provider_said_it_produced() {
    let plain = || response_head("200", "application/json");
    let cut = || chunk(r#"{"choices":[{"#, false);
    // A stream that is cut after its provider said so much.
    let said = |output_tokens: u64| {
        let usage = format!(
            "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{output_tokens}}}}}\n\n"
        );
        let head = response_head("200", "text/event-stream");
        let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
        vec![
            head,
            chunk(text, false),
            chunk(&usage, false),
            Event::Closed,
        ]
    };
    let lesson = |output_tokens| {
        Some(Lesson {
            tenant: "acme".into(),
            model: "gpt-4o".into(),
            percentile: 50,
            output_tokens,
        })
    };
    for (hold, extra, events, taught) in [
        (HALF, "", vec![plain(), answer(5)], lesson(5)),
        (HALF, r#","n":2"#, vec![plain(), answer(5)], lesson(3)),
        // More than was held, as nobody could know; it is believed.
        (HALF, "", vec![plain(), answer(100)], lesson(100)),
        (HALF, "", vec![plain(), cut(), Event::Closed], None),
        (HALF, "", vec![Event::Closed], None),
        (
            HALF,
            "",
            vec![response_head("500", "text/plain"), chunk("", true)],
            None,
        ),
        (Hold::Maximum, "", vec![plain(), answer(5)], None),
        // Cut, it teaches only that it had come further than was expected.
        (HALF, STREAM, said(7), None),
        (HALF, STREAM, said(10), None),
        (HALF, STREAM, said(11), lesson(11)),
        (HALF, TWO_STREAMED, said(20), None),
        (HALF, TWO_STREAMED, said(21), lesson(11)),
        (Hold::Maximum, STREAM, said(200), None),
    ] {
        let mut exchange = exchange_holding(hold, Some(10));
        let mut all = ask(chat(extra));
        all.push(admitted());
        all.extend(events);
        let steps = run(&mut exchange, all);
        let settled = settlements(&steps);
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].lesson, taught, "{hold:?} {extra}");
    }
}

/// Nothing is known of the answer: whatever was held, it may be the longest.
#[test]
fn a_lost_call_is_charged_the_most_that_it_could_use() {
    for (hold, known) in [(HALF, Some(30)), (HALF, None), (Hold::Maximum, None)] {
        let reset = || response_head("200", "application/json");
        for lost in [vec![Event::Closed], vec![reset(), Event::Closed]] {
            let mut exchange = exchange_holding(hold, known);
            let mut events = ask(chat(""));
            events.push(admitted());
            events.extend(lost);
            let steps = run(&mut exchange, events);
            let settled = settlements(&steps);
            assert_eq!(ended_as(settled[0]), Outcome::Estimated);
            assert_eq!(settled[0].actual.of(Unit::Tokens), 109, "{hold:?}");
            assert_eq!(settled[0].lesson, None);
        }
    }
}

/// Its counters keep what was held, and the event says no other.
#[test]
fn a_call_whose_hold_expired_is_told_of_with_what_was_held() {
    let mut exchange = exchange_holding(HALF, Some(30));
    let steps = run(&mut exchange, ask(chat("")));
    let Some(Effect::Reserve(reservation)) = steps[1].effects.first() else {
        panic!("no reservation: {steps:?}")
    };
    let call = OpenCall::from_json(&reservation.context).unwrap();
    let event = expired_event(&call, NOW);
    assert_eq!(
        (event.input_tokens, event.output_tokens),
        (Some(9), Some(30))
    );
    assert_eq!(event.known, Some(Known::Reserved));
    // With a process, its counters die too: nothing says less than the most.
    let event = interrupted_settlement(&call, NOW).event.unwrap();
    assert_eq!(
        (event.input_tokens, event.output_tokens),
        (Some(9), Some(100))
    );
}
