//! A plan that holds what is expected of a call instead of its maximum.

use super::*;
use crate::policy::expected::{Expected, Lesson};

/// The usual plan, holding this; its token limit is hard.
fn plan_holding(hold: Hold) -> Arc<Snapshot> {
    let usual = snapshot();
    let mut plan = Plan::clone(&usual.plans["team"]);
    plan.output.hold = hold;
    plan.limits[1].hard = true;
    let mut snapshot = Arc::into_inner(usual).unwrap();
    snapshot.plans.insert("team".into(), Arc::new(plan));
    Arc::new(snapshot)
}

fn exchange_holding(hold: Hold, known: Option<u64>) -> Exchange {
    let known = known.map(|tokens| ("acme".into(), "gpt-4o".into(), tokens));
    let expected: Expected = known.into_iter().collect();
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

#[test]
fn a_call_teaches_what_its_provider_said_it_produced() {
    let plain = || response_head("200", "application/json");
    let cut = || chunk(r#"{"choices":[{"#, false);
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

/// Nothing is known of the answer: what was held is charged.
#[test]
fn a_lost_call_is_charged_what_was_held() {
    let mut exchange = exchange_holding(HALF, Some(30));
    let mut events = ask(chat(""));
    events.extend([admitted(), Event::Closed]);
    let steps = run(&mut exchange, events);
    let settled = settlements(&steps);
    assert_eq!(ended_as(settled[0]), Outcome::Estimated);
    assert_eq!(settled[0].actual.of(Unit::Tokens), 39);
}
