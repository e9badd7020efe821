//! Prompts and answers of models that count in their own way: estimates,
//! holds, and what is learned from settlements.

use super::*;
use crate::policy::token_ratios::{RatioLearner, RatioLesson};
use crate::policy::{ModelRatio, Ratio};
use crate::tokens::Stopwatch;
use std::sync::atomic::{AtomicU64, Ordering};

fn ratio(per_mille: u64) -> Ratio {
    Ratio::from_per_mille(per_mille).unwrap()
}

/// The usual snapshot, whose gpt-4o counts like this.
fn counting_like(token_ratio: ModelRatio) -> Arc<Snapshot> {
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    let mut model = Model::clone(&snapshot.models["gpt-4o"]);
    model.token_ratio = token_ratio;
    Arc::make_mut(&mut snapshot.models).insert("gpt-4o".into(), Arc::new(model));
    Arc::new(snapshot)
}

fn exchange_with(token_ratio: ModelRatio, learned: Learned, counting: Counting) -> Exchange {
    let hold = HoldId::new(NOW, &[7; 10]);
    let snapshot = counting_like(token_ratio);
    Exchange::new(Role::Full, settings(), snapshot, learned, hold, counting)
}

fn guessed(per_mille: u64) -> ModelRatio {
    ModelRatio {
        ratio: ratio(per_mille),
        learned: true,
    }
}

fn asked(exchange: &mut Exchange, body_bytes: Vec<u8>) -> OpenCall {
    let head = request_head("/v1/chat/completions");
    let steps = run(
        exchange,
        vec![Event::RequestHeaders(head), body(body_bytes)],
    );
    let Some(Effect::Reserve(reservation)) = steps[1].effects.first() else {
        panic!("no reservation: {steps:?}")
    };
    let call = OpenCall::from_json(&reservation.context).unwrap();
    let tokens = &reservation.charges[1];
    assert_eq!(tokens.amount, call.estimate().total_tokens());
    call
}

#[test]
fn a_prompt_is_held_at_its_models_ratio() {
    let learned = |per_mille| Learned {
        ratios: Arc::new([("gpt-4o".into(), ratio(per_mille))].into_iter().collect()),
        ..Learned::default()
    };
    // "user" and "hello world" are 3 tokens, the rest of the chat 6 more.
    for (token_ratio, learned, held) in [
        (ModelRatio::EXACT, Learned::default(), 9),
        (ModelRatio::EXACT, learned(2_000), 9),
        (ModelRatio::fixed(ratio(2_000)), learned(3_000), 12),
        (guessed(2_000), Learned::default(), 12),
        (guessed(2_000), learned(3_000), 15),
        // As far from what is known of its family as may be learned.
        (guessed(2_000), learned(500), 10),
    ] {
        let mut exchange = exchange_with(token_ratio, learned, Counting::unbounded());
        let call = asked(&mut exchange, chat(""));
        assert_eq!(call.input_estimate(), held, "{token_ratio:?}");
        let a_guess = token_ratio.learned && call.input_tokens > held;
        assert!(call.input_tokens == held || a_guess, "{call:?}");
        assert_eq!(call.input_basis.is_some(), token_ratio.learned);
    }
}

/// Each look takes a millisecond.
#[derive(Debug)]
struct Slow(AtomicU64);

impl Stopwatch for Slow {
    fn nanos(&self) -> u64 {
        self.0.fetch_add(1_000_000, Ordering::Relaxed)
    }
}

#[test]
fn what_there_was_no_time_to_count_is_held_at_its_upper_bound_and_teaches_nothing() {
    let counting = Counting::new(1, Arc::new(Slow(AtomicU64::new(0))));
    let mut settings = settings();
    settings.body_bytes_max = 1 << 20;
    let hold = HoldId::new(NOW, &[7; 10]);
    let snapshot = counting_like(guessed(1_000));
    let mut exchange = Exchange::new(
        Role::Full,
        settings,
        snapshot,
        Learned::default(),
        hold,
        counting,
    );
    let text = r"some words \u00e9t\u00e9\n".repeat(20_000);
    let long = format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let call = asked(&mut exchange, long.into_bytes());
    assert!(
        call.input_estimate
            .is_some_and(|estimate| estimate < call.input_tokens)
    );
    assert_eq!(call.input_basis, None);
    // Without a usage in the answer, the estimate is charged and not the bound.
    let answer = ANSWER.replace("usage", "used");
    let steps = run(
        &mut exchange,
        vec![
            admitted(),
            response_head("200", "application/json"),
            chunk(&answer, true),
        ],
    );
    let settled = settlements(&steps)[0];
    assert_eq!(settled.actual.input_tokens, call.input_estimate());
    assert_eq!(settled.ratio_lesson, None);
}

#[test]
fn an_answer_without_usage_is_charged_at_its_models_ratio() {
    let mut exchange = exchange_with(guessed(2_000), Learned::default(), Counting::unbounded());
    asked(&mut exchange, chat(""));
    let answer = ANSWER.replace("usage", "used");
    let steps = run(
        &mut exchange,
        vec![
            admitted(),
            response_head("200", "application/json"),
            chunk(&answer, true),
        ],
    );
    let settled = settlements(&steps)[0];
    // "hi there" is two tokens.
    assert_eq!(
        (settled.actual.input_tokens, settled.actual.output_tokens),
        (12, 4)
    );
    assert_eq!(settled.ratio_lesson, None, "nobody said anything");
}

#[test]
fn settlements_teach_what_a_model_counts() {
    let mut learner = RatioLearner::default();
    let text = "Limits of many tenants are charged at once, or not at all. ".repeat(20);
    let body_bytes =
        format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let mut learned = Learned::default();
    for round in 0..2 {
        for _ in 0..20 {
            let mut exchange =
                exchange_with(guessed(1_000), learned.clone(), Counting::unbounded());
            let call = asked(&mut exchange, body_bytes.clone().into_bytes());
            let counted = call.input_basis.unwrap().counted;
            let actual = counted * 14 / 10 + 6;
            let off = call.input_tokens.abs_diff(actual) as f64 / actual as f64;
            assert_eq!(off < 0.01, round == 1, "{off}");
            let answer = ANSWER.replace(
                r#""prompt_tokens":12"#,
                &format!(r#""prompt_tokens":{actual}"#),
            );
            let steps = run(
                &mut exchange,
                vec![
                    admitted(),
                    response_head("200", "application/json"),
                    chunk(&answer, true),
                ],
            );
            let lesson = settlements(&steps)[0].ratio_lesson.clone().unwrap();
            let expected = RatioLesson {
                model: "gpt-4o".into(),
                counted,
                actual: actual - 6,
            };
            assert_eq!(lesson, expected);
            learner.learn(&lesson);
        }
        if let Some(news) = learner.news() {
            learned.ratios = Arc::new(news);
        }
    }
}
