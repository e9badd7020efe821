//! What is explained of a call is what becomes of it: each call of a random history is
//! asked about first, on the very counters that it meets then.

use super::world::{Refused, World};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use weir::counters::Counters;
use weir::exchange::explain::{Explanation, Inquiry, Question, Whom};
use weir::exchange::{Exchange, Role};
use weir::limits::HoldId;
use weir::tokens::Counting;
use weir::units::Millis;

const POLICY: &str = r#"models:
  big: { tier: premium, provider: openai, price: { input: 10, output: 30 }, max_output_tokens: 4096 }
  small: { tier: standard, provider: openai, price: { input: 1, output: 2 }, max_output_tokens: 4096 }
  claude: { tier: premium, provider: anthropic, price: { input: 3, output: 15 }, max_output_tokens: 4096 }
  auto: { choose: [ { when: 'budget.monthly.used > 0.2', use: small }, { use: big } ] }
limits: [ { name: upstream, per: provider, unit: requests, amount: 9, every: 1m } ]
plans:
  team:
    limits:
      - { name: rpm, per: user, unit: requests, amount: 6, every: 1m }
      - { name: tpm, per: tenant, unit: tokens, amount: 9k, every: 1m, algorithm: token_bucket }
      - { name: slots, per: tenant, unit: concurrency, amount: 3 }
    budgets: [ { name: monthly, amount: 0.5 USD, every: month, warn_at: [0.5] } ]
    policies:
      - { name: economy, when: 'budget.monthly.used > 0.4 && model.tier == "premium"', then: { downgrade: small } }
      - { name: short, when: 'limit.tpm.used > 0.5', then: { clamp_output: 100 } }
      - { name: slow, when: 'limit.rpm.used > 0.6', then: { throttle: { delay: 200ms, limits: 0.9 } } }
      - { name: ask, when: 'request.output_max > 3000', then: { require_approval: true } }
      - { name: soon, when: 'principal.user == "bob"', then: { warn: Soon. } }
      - { name: stop, when: 'budget.monthly.used > 0.9', then: { block: { status: 451 } } }
      - { name: maybe, when: 'request.choices > 1', mode: shadow, then: { block: true } }
tenants: { acme: { plan: team }, globex: { plan: team } }
"#;

#[derive(Debug, Clone)]
struct Step {
    who: &'static str,
    model: &'static str,
    max_tokens: u64,
    choices: u64,
    /// Whether it ends at once.
    ends: bool,
    then_ms: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let who = prop::sample::select(vec!["ada", "bob", "eve", "dev"]);
    let model = prop::sample::select(vec!["big", "big", "small", "auto", "claude", "none"]);
    let tokens = prop::sample::select(vec![10_u64, 500, 2_000, 3_500]);
    (who, model, tokens, 1..3_u64, any::<bool>(), 0..30_000_u64).prop_map(
        |(who, model, max_tokens, choices, ends, then_ms)| Step {
            who,
            model,
            max_tokens,
            choices,
            ends,
            then_ms,
        },
    )
}

fn explained(world: &mut World, who: &str, body: &Value) -> Explanation {
    let exchange = Exchange::new(
        Role::Full,
        super::settings(),
        Arc::clone(&world.snapshot),
        world.learned.clone(),
        HoldId::new(world.now, &[7; 10]),
        Counting::unbounded(),
    );
    let whom = Whom::Key(who.to_owned());
    let body = serde_json::to_vec(body).unwrap();
    let question = Question::new(whom, "/v1/chat/completions", [], None, body);
    let inquiry = Inquiry::begin(exchange, question, world.now);
    let counters = Counters::Memory(std::mem::take(&mut world.counters));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let told = runtime.block_on(counters.explain(inquiry, world.now));
    let Counters::Memory(memory) = counters else {
        unreachable!()
    };
    world.counters = memory;
    told.unwrap()
}

fn same_refusal(told: &Explanation, refused: &Refused) {
    let answer = told.verdict.answer.as_ref();
    let answer = answer.unwrap_or_else(|| panic!("{told:#?}\n{refused:?}"));
    assert_eq!(
        (answer.status, &answer.body),
        (refused.status, &refused.body)
    );
    for (name, value) in &answer.headers {
        assert_eq!(refused.header(name), Some(value.as_str()), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn an_explanation_is_what_happens(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::of(POLICY);
        let mut open = Vec::new();
        for step in steps {
            let body = json!({ "model": step.model, "max_tokens": step.max_tokens, "n":
                step.choices, "messages": [ { "role": "user", "content": "hello" } ] });
            let told = explained(&mut world, step.who, &body);
            let made = world.call(step.who, &body);
            if told.verdict.delay_ms > 0 {
                // Its counters are those of a later moment.
                open.extend(made);
                continue;
            }
            match made {
                Err(refused) => same_refusal(&told, &refused),
                Ok(mut sent) => {
                    prop_assert_eq!(told.verdict.decision, "allowed");
                    let model = told.model.as_ref().unwrap();
                    prop_assert_eq!(model.served.as_deref(), sent.body["model"].as_str());
                    let estimate = told.estimate.as_ref().unwrap();
                    prop_assert_eq!(Some(estimate.max_tokens), sent.body["max_tokens"].as_u64());
                    prop_assert_eq!(sent.waited, Millis(0));
                    let on = told.verdict.sent.as_ref().unwrap();
                    for (field, edit) in &on.edits {
                        prop_assert_eq!(&edit.to, &sent.body[field]);
                    }
                    for (name, value) in &on.headers {
                        prop_assert_eq!(sent.header(name), Some(value.as_str()));
                    }
                    if step.ends {
                        let answered = world.answer(&mut sent, 10, step.max_tokens / 2);
                        // When limits are at rest is told as of before the call.
                        let told_after = |name: &str| name.contains("-reset-");
                        for (name, value) in &on.answer_headers {
                            if told_after(name) {
                                continue;
                            }
                            prop_assert!(
                                answered.contains(&(name.clone(), value.clone())),
                                "{}: {} in {:?}", name, value, answered
                            );
                        }
                        let row = world.last_row();
                        let actions: Vec<&str> = row.actions.iter().map(|a| &**a).collect();
                        prop_assert_eq!(&told.verdict.actions, &actions);
                    } else {
                        open.push(sent);
                    }
                }
            }
            world.now = world.now + Millis(step.then_ms);
        }
    }
}
