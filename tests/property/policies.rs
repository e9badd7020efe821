//! What plans, budgets and rules make of calls: each action and how they compose,
//! over real counters.

use super::world::{NOON, Sent, World, problems};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use weir::exchange::message::Notice;
use weir::policy::grants::{Allowance, Denial, Grant, GrantChange};
use weir::units::{Millis, UnixMillis};

const TENANTS: &str = "tenants: { acme: { plan: team }, globex: { plan: team } }\n";

/// A plan with these rules and a budget of ten dollars a month.
fn team(rules: &str) -> World {
    World::of(&format!(
        "plans:\n  team:\n    budgets: [ {{ name: monthly, amount: 10 USD, every: month, warn_at: \
         [0.5, 0.8] }} ]\n    policies:\n{rules}\n{TENANTS}"
    ))
}

fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}

fn actions(world: &World) -> Vec<&str> {
    world
        .last_row()
        .actions
        .iter()
        .map(|action| &**action)
        .collect()
}

/// What a call goes to the provider as, which must be let through.
fn sent(world: &mut World, who: &str, model: &str) -> Sent {
    world
        .chat(who, model)
        .unwrap_or_else(|refused| panic!("{refused:?}"))
}

#[test]
fn a_block_refuses_with_its_own_status_and_words() {
    let mut world = team(
        "      - { name: no-premium, when: 'model.tier == \"premium\"', then: { block: { status: \
         451, code: not_here, message: Use the small model. } } }",
    );
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!((refused.status, code(&refused.body)), (451, "not_here"));
    assert_eq!(refused.body["error"]["message"], "Use the small model.");
    assert_eq!(refused.header("x-weir-decision"), Some("no-premium"));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(actions(&world), ["no-premium:block"]);
    assert_eq!(world.last_row().refusal.as_deref(), Some("blocked"));
    assert!(world.chat("ada", "small").is_ok());
}

#[test]
fn a_warning_is_in_the_answer_and_in_the_row() {
    let mut world = team(
        "      - { name: soon-gone, when: 'model.name == \"big\"', then: { warn: This model goes \
         away soon. } }\n      - { name: bare, then: { warn: true } }",
    );
    let headers = world.used("ada", "big", 5);
    let warning = headers.iter().find(|(name, _)| name == "x-weir-warning");
    assert_eq!(warning.unwrap().1, "This model goes away soon., bare");
    assert_eq!(actions(&world), ["soon-gone:warn", "bare:warn"]);
}

#[test]
fn the_smallest_clamp_counts_and_the_answer_says_so() {
    let mut world = team(
        "      - { name: a, then: { clamp_output: 500 } }\n      - { name: b, then: { \
         clamp_output: { max_tokens: 200 } } }",
    );
    let mut call = sent(&mut world, "ada", "big");
    assert_eq!(call.body["max_tokens"], 200);
    let headers = world.answer(&mut call, 10, 7);
    assert!(headers.contains(&("x-weir-clamped".into(), "max_tokens=200".into())));
    assert_eq!(actions(&world), ["b:clamp_output"]);
    // One that asks for less is left alone.
    let call = world.call(
        "ada",
        &json!({ "model": "big", "max_tokens": 50, "messages": [
        { "role": "user", "content": "x" }] }),
    );
    assert_eq!(call.unwrap_or_else(|_| panic!()).body["max_tokens"], 50);
}

#[test]
fn a_downgrade_goes_to_the_other_model_at_its_price_and_says_so() {
    let mut world = team(
        "      - { name: economy, when: 'budget.monthly.used > 0.8 && model.tier == \"premium\"', \
         then: { downgrade: small } }",
    );
    // 8.1 of 10 dollars: 270,000 tokens of output at 30 dollars a million.
    for _ in 0..89 {
        world.used("bob", "big", 3_000);
    }
    assert!(world.last_row().actions.is_empty());
    let mut call = sent(&mut world, "ada", "big");
    assert_eq!(call.body["model"], "small");
    assert_eq!(call.header("x-weir-model"), Some("small"));
    let headers = world.answer(&mut call, 10, 100);
    assert!(headers.contains(&("x-weir-downgraded-from".into(), "big".into())));
    assert!(headers.contains(&("x-weir-model".into(), "small".into())));
    let row = world.last_row();
    assert_eq!(row.model.as_deref(), Some("small"));
    assert_eq!(row.model_asked.as_deref(), Some("big"));
    assert_eq!(row.cost_nanos, Some(10 * 1_000 + 100 * 2_000));
    assert_eq!(actions(&world), ["economy:downgrade"]);
    // The small one is what it was asked for: nothing to do.
    assert!(
        sent(&mut world, "ada", "small")
            .header("x-weir-model")
            .is_none()
    );
}

#[test]
fn a_call_that_a_limit_refuses_may_pass_as_another_one() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ name: premium, per: tenant, unit: requests, amount: 2, \
         every: 1h, when: 'model.tier == \"premium\"' }} ]\n    policies:\n      - {{ name: \
         overflow, when: 'limit.premium.remaining < 1', then: {{ downgrade: small }} }}\n{TENANTS}"
    ));
    for model in ["big", "big", "small", "small"] {
        let mut call = sent(&mut world, "ada", "big");
        assert_eq!(call.body["model"], model);
        world.answer(&mut call, 1, 1);
    }
    // Nothing of the calls that weren't made is held.
    assert_eq!(world.counters.open_holds(), 0);
}

/// A refusal that is remembered says nothing of other counters than its own.
#[test]
fn a_refusal_that_is_remembered_is_enough_for_rules_about_its_limit() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ name: premium, per: tenant, unit: requests, amount: 1, \
         every: 1h, when: 'model.tier == \"premium\"' }} ]\n    policies:\n      - {{ name: \
         overflow, when: 'limit.premium.remaining < 1', then: {{ downgrade: small }} }}\n{TENANTS}"
    ));
    world.used("ada", "big", 1);
    world.remembers_refusals = true;
    assert_eq!(sent(&mut world, "ada", "big").body["model"], "small");
}

#[test]
fn what_only_embeds_takes_no_chats() {
    let mut world = World::of(&format!(
        "models:\n  big: {{ price: free, max_output_tokens: 9 }}\n  embed: {{ price: free, \
         max_output_tokens: 0 }}\n  other: {{ price: free, max_output_tokens: 9 }}\nplans:\n  \
         team:\n    limits: [ {{ per: tenant, unit: requests, amount: 9, every: 1h }} ]\n    \
         policies: [ {{ name: r, when: 'model.name != \"other\"', then: {{ downgrade: [embed, other] }} }} ]\n{TENANTS}"
    ));
    assert_eq!(sent(&mut world, "ada", "big").body["model"], "other");
    let embeddings = json!({ "model": "embed", "input": "x" });
    let call = world.call_with("ada", "/v1/embeddings", &[], &embeddings);
    assert_eq!(
        call.unwrap_or_else(|r| panic!("{r:?}")).body["model"],
        "embed"
    );
}

#[test]
fn a_downgrade_stays_within_what_the_caller_may_use() {
    let mut world = World::of(
        "plans:\n  team:\n    limits: [ { name: l, per: tenant, unit: requests, amount: 99, every: \
         1h } ]\n    policies: [ { name: economy, then: { downgrade: [small, claude, big] } } ]\n\
         tenants:\n  acme: { plan: team, allow: { models: [big, claude] } }\n  globex: { plan: team \
         }\n",
    );
    // Not one that it may not use, nor one that doesn't speak its dialect.
    assert_eq!(sent(&mut world, "ada", "big").body["model"], "big");
    assert_eq!(
        sent(&mut world, "eve", "big").body["model"],
        "big",
        "it is among the good ones"
    );
    let refused = world.chat("ada", "small").err().unwrap();
    assert_eq!(refused.header("x-weir-decision"), Some("models"));
}

#[test]
fn fields_that_the_other_model_lacks_are_dropped_or_refused() {
    let mut world = team(
        "      - { name: economy, when: 'model.name == \"big\"', then: { downgrade: { to: small, \
         drop: [logit_bias], refuse: [seed] } } }",
    );
    let with = |field: &str| {
        let mut body = json!({ "model": "big", "messages": [{ "role": "user", "content": "x" }] });
        body[field] = json!(1);
        body
    };
    let call = world
        .call("ada", &with("logit_bias"))
        .unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.body["model"], "small");
    assert!(call.body.get("logit_bias").is_none());
    let refused = world.call("ada", &with("seed")).err().unwrap();
    assert_eq!(
        (refused.status, refused.body["error"]["param"].as_str()),
        (400, Some("seed"))
    );
}

#[test]
fn a_throttled_call_waits_holding_nothing_and_goes_on() {
    let mut world = team(
        "      - { name: slow, when: 'budget.monthly.used > 0.5', then: { throttle: { delay: 750ms } } }\n\
         \x20     - { name: slower, when: 'principal.user == \"bob\"', then: { throttle: { delay: 2s } } }",
    );
    assert_eq!(sent(&mut world, "ada", "big").waited, Millis(0));
    assert_eq!(sent(&mut world, "bob", "big").waited, Millis(2_000));
    for _ in 0..60 {
        world.used("dev", "big", 3_000);
    }
    assert_eq!(sent(&mut world, "ada", "big").waited, Millis(750));
    assert_eq!(
        sent(&mut world, "bob", "big").waited,
        Millis(2_000),
        "the longest, once"
    );
}

#[test]
fn a_throttle_scales_limits() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ name: rpm, per: tenant, unit: requests, amount: 10, \
         every: 1h }} ]\n    policies: [ {{ name: half, when: 'principal.user == \"bob\"', then: {{ \
         throttle: {{ limits: 0.5 }} }} }} ]\n{TENANTS}"
    ));
    for _ in 0..5 {
        world.used("bob", "small", 1);
    }
    let refused = world.chat("bob", "small").err().unwrap();
    assert_eq!(
        (refused.status, refused.header("x-weir-decision")),
        (429, Some("throttled:rpm"))
    );
    for _ in 0..5 {
        world.used("ada", "small", 1);
    }
    assert!(world.chat("ada", "small").is_err());
}

#[test]
fn a_route_sends_the_call_to_another_cluster() {
    let mut world = World::of(&format!(
        "conditions: {{ headers: [x-class] }}\nplans: {{ team: {{ budgets: [ {{ name: monthly, amount: \
         10 USD, every: month }} ], policies: [ {{ name: batch, when: 'request.headers[\"x-class\"] == \
         \"batch\"', then: {{ route: cheap-cluster }} }} ] }} }}\n{TENANTS}"
    ));
    let body = json!({ "model": "big", "messages": [{ "role": "user", "content": "x" }] });
    let path = "/v1/chat/completions";
    let call = world.call_with("ada", path, &[("x-class", "batch")], &body);
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.header("x-weir-cluster"), Some("cheap-cluster"));
    let call = world
        .call_with("ada", path, &[], &body)
        .unwrap_or_else(|r| panic!("{r:?}"));
    assert!(call.head.is_empty());
}

fn grant(allowance: Allowance, until: UnixMillis) -> GrantChange {
    GrantChange::Granted(Grant {
        id: "g1".into(),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: Some("big-spend".into()),
        models: vec!["big".into()],
        allowance,
        from: NOON,
        until,
        granted_by: "olga".into(),
    })
}

#[test]
fn what_needs_approval_goes_on_by_a_grant_until_that_is_used_up() {
    let rule = "      - { name: big-spend, when: 'request.cost_max > usd(0.02)', then: { \
                require_approval: { approvers: finance@acme.com, valid_for: 2h } } }";
    let hour = NOON + Millis::from_mins(60);
    let mut world = team(rule);
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!(
        (refused.status, code(&refused.body)),
        (403, "approval_required")
    );
    let id = refused.header("x-weir-approval").unwrap().to_owned();
    let Some(Notice::Approval(asked)) = world.notices.last() else {
        panic!("{:?}", world.notices)
    };
    assert_eq!(
        (&*asked.id, &*asked.rule, asked.cost_max_nanos > 30_000_000),
        (&*id, "big-spend", true)
    );
    assert_eq!(asked.valid_for, Millis::from_mins(120));
    assert!(world.chat("ada", "small").is_ok(), "it costs less");
    // Two calls.
    world.change(|s| s.grants = Arc::new(s.grants.changed([grant(Allowance::Calls(2), hour)])));
    for _ in 0..2 {
        world.used("ada", "big", 900);
        let granted = "big-spend:grant=g1";
        assert_eq!(actions(&world), ["big-spend:require_approval", granted]);
    }
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!(code(&refused.body), "approval_required");
    assert_eq!(refused.header("x-weir-approval"), Some(id.as_str()));
    // So much money, by what calls really cost.
    let mut world = team(rule);
    let money = grant(Allowance::CostNanos(100_000_000), hour);
    world.change(|s| s.grants = Arc::new(s.grants.changed([money])));
    for _ in 0..2 {
        world.used("ada", "big", 900);
    }
    // 54 of 100 thousandths of a dollar are gone, and one more needs at least 30.
    let held = sent(&mut world, "ada", "big");
    assert!(world.chat("ada", "big").is_err(), "the grant is held");
    drop(held);
    // Over by its own time.
    let mut world = team(rule);
    world.change(|s| s.grants = Arc::new(s.grants.changed([grant(Allowance::Unlimited, hour)])));
    assert!(world.chat("ada", "big").is_ok());
    world.now = hour;
    assert!(world.chat("ada", "big").is_err());
}

#[test]
fn a_budget_warns_before_it_bites_and_can_be_topped_up() {
    let mut world = team("      - { name: none, when: 'false', then: { warn: true } }");
    for _ in 0..57 {
        world.used("ada", "big", 3_000);
    }
    let headers = world.used("ada", "big", 3_000);
    let warning = headers.iter().find(|(name, _)| name == "x-weir-warning");
    assert_eq!(warning.unwrap().1, "budget monthly is over 50%");
    let thresholds: Vec<u64> = world
        .notices
        .iter()
        .map(|notice| match notice {
            Notice::Budget { passed, .. } => passed.threshold_per_mille,
            Notice::Approval(_) => 0,
        })
        .collect();
    assert!(thresholds.iter().all(|at| *at == 500), "{thresholds:?}");
    while world
        .chat("ada", "big")
        .map(|mut call| world.answer(&mut call, 10, 900))
        .is_ok()
    {}
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!(
        (refused.status, code(&refused.body)),
        (429, "insufficient_quota")
    );
    assert!(matches!(
        world.notices.last(),
        Some(Notice::Budget { refused: true, .. })
    ));
    let spent: u64 = world.rows.iter().filter_map(|row| row.cost_nanos).sum();
    assert!(spent <= 10_000_000_000, "never overspent: {spent}");
    assert!(spent >= 9_950_000_000, "and usable to the end: {spent}");
}

/// Nobody is told that a call waits which was denied already.
#[test]
fn what_was_denied_asks_nobody_until_the_denial_is_over() {
    let rule =
        "      - { name: ask, when: 'request.model == \"big\"', then: { require_approval: true } }";
    let mut world = team(rule);
    let refused = world.chat("ada", "big").err().unwrap();
    let id = refused.header("x-weir-approval").unwrap().to_owned();
    assert_eq!(world.notices.len(), 1);
    let denied = GrantChange::Denied(Denial {
        request: id.as_str().into(),
        tenant: "acme".into(),
        denied_by: "olga".into(),
        until: world.now + Millis(5_000),
    });
    world.change(|s| s.grants = Arc::new(s.grants.changed([denied])));
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!(refused.header("x-weir-approval"), Some(id.as_str()));
    let told = refused.body["error"]["message"].as_str().unwrap();
    assert!(told.contains("was not approved by olga"), "{told}");
    assert_eq!(world.notices.len(), 1);
    world.now = world.now + Millis(5_000);
    assert!(world.chat("ada", "big").is_err());
    assert_eq!(world.notices.len(), 2);
}

/// A call that is larger than what is left of a budget says nothing of the budget,
/// however often it is made.
#[test]
fn a_large_call_uses_up_no_budget() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    budgets: [ {{ name: monthly, amount: 0.02 USD, every: month }} ]\n{TENANTS}"
    ));
    for _ in 0..3 {
        let refused = world.chat("ada", "big").err().unwrap();
        assert_eq!(refused.header("x-weir-decision"), Some("monthly"));
        assert!(world.notices.is_empty(), "none of it is used");
    }
}

#[test]
fn nobody_below_exceeds_a_plan() {
    let mut world = World::of(
        "plans:\n  team:\n    limits: [ { name: rph, per: tenant, unit: requests, amount: 6, every: \
         1h } ]\n    output: { max_tokens: { cap: 500 } }\n  small-team:\n    extends: team\n    \
         limits: [ { name: rph, per: tenant, unit: requests, amount: 3, every: 1h } ]\ntenants:\n  \
         acme:\n    plan: team\n    projects:\n      bot: { plan: small-team, environments: { prod: { \
         output: { max_tokens: { cap: 9000 } } } } }\n    users: { bob: { allow: { models: [small] } \
         } }\n  globex: { plan: small-team }\n",
    );
    assert_eq!(sent(&mut world, "ada", "big").body["max_tokens"], 500);
    for _ in 0..2 {
        sent(&mut world, "ada", "big");
    }
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!(refused.header("x-weir-decision"), Some("project:rph"));
    assert!(
        world.chat("bob", "big").is_err(),
        "its user may use the small one alone"
    );
    for _ in 0..3 {
        sent(&mut world, "bob", "small");
    }
    let refused = world.chat("bob", "small").err().unwrap();
    assert_eq!(
        refused.header("x-weir-decision"),
        Some("rph"),
        "the tenant's own"
    );
    assert!(world.chat("eve", "big").is_ok());
}

#[test]
fn a_virtual_model_is_chosen_by_what_the_call_is_for() {
    let mut world = World::of(&format!(
        "models:\n  big: {{ provider: openai, price: {{ input: 10, output: 30 }}, \
         max_output_tokens: 4096 }}\n  small: {{ provider: openai, price: {{ input: 1, output: 2 }}, \
         max_output_tokens: 4096 }}\n  claude: {{ provider: anthropic, price: {{ input: 1, output: 2 \
         }}, max_output_tokens: 4096 }}\n  auto:\n    choose:\n      - {{ when: 'request.task == \
         \"classify\"', use: small }}\n      - {{ when: 'budget.daily.used >= 0.5', use: small }}\n      - \
         {{ use: {{ big: 3, small: 1, claude: 9 }} }}\n  alias: {{ choose: big }}\nplans:\n  \
         team:\n    budgets: [ {{ name: daily, amount: 1, every: day }} ]\n{TENANTS}"
    ));
    assert_eq!(sent(&mut world, "ada", "alias").body["model"], "big");
    let path = "/v1/chat/completions";
    let body = json!({ "model": "auto", "max_tokens": 9, "messages": [
        { "role": "user", "content": "x" }] });
    let task = [("x-weir-task", "classify")];
    let call = world
        .call_with("ada", path, &task, &body)
        .unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(
        (call.body["model"].as_str(), call.header("x-weir-model")),
        (Some("small"), Some("small"))
    );
    let mut of_body = body.clone();
    of_body["metadata"] = json!({ "task": "classify" });
    let call = world
        .call("ada", &of_body)
        .unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.body["model"], "small");
    // By weight, and only what speaks the call's dialect.
    let mut big = 0;
    for _ in 0..400 {
        let mut call = world.call("ada", &body).unwrap_or_else(|r| panic!("{r:?}"));
        big += usize::from(call.body["model"] == "big");
        world.answer(&mut call, 1, 1);
    }
    assert!((240..360).contains(&big), "{big} of 400");
    for _ in 0..6 {
        world.used("ada", "big", 3_000);
    }
    let call = world.call("ada", &body).unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.body["model"], "small", "half of the budget is used");
    // One that fails gives way.
    let mut world = World::of(&format!(
        "models:\n  big: {{ price: free, max_output_tokens: 9 }}\n  small: {{ price: free, max_output_tokens: 9 }}\n  fast: {{ \
         choose: [ {{ use: {{ big: 99, small: 1 }} }} ] }}\nplans: {{ team: {{ limits: [ {{ per: \
         tenant, unit: requests, amount: 999, every: 1h }} ] }} }}\n{TENANTS}"
    ));
    world.learned.failures = Arc::new([("big".into(), 900)].into());
    for _ in 0..20 {
        assert_eq!(sent(&mut world, "ada", "fast").body["model"], "small");
    }
}

#[test]
fn guardrails_say_what_is_at_fault() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ per: tenant, unit: requests, amount: 99, every: 1h }} ]\n    \
         output: {{ max_tokens: {{ cap: 100, over: refuse, required: true }}, choices: {{ cap: 2, \
         over: clamp }} }}\n    allow: {{ endpoints: [chat_completions], tools: [\"get_*\"] }}\n    \
         guardrails: {{ input_tokens_max: 50, body_bytes_max: 2KiB, tools_max: 1, forbid: \
         [logit_bias], drop: [user] }}\n{TENANTS}"
    ));
    let usual = json!({ "model": "big", "max_tokens": 50, "messages": [
        { "role": "user", "content": "x" }] });
    let with = |field: &str, value: Value| {
        let mut body = usual.clone();
        body[field] = value;
        body
    };
    let tool =
        |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
    let long = json!([{ "role": "user", "content": "word ".repeat(100) }]);
    let table = [
        (with("max_tokens", json!(null)), Some((400, "max_tokens"))),
        (with("max_tokens", json!(101)), Some((400, "max_tokens"))),
        (with("logit_bias", json!({})), Some((400, "logit_bias"))),
        (
            with("tools", json!([tool("get_a"), tool("get_b")])),
            Some((400, "tools")),
        ),
        (with("tools", json!([tool("rm_rf")])), Some((403, ""))),
        (with("tools", json!([tool("get_a")])), None),
        (with("messages", long), Some((400, ""))),
        (with("n", json!(2)), None),
        (usual.clone(), None),
    ];
    for (body, expected) in table {
        let got = world.call("ada", &body).err().map(|refused| {
            let param = refused.body["error"]["param"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (refused.status, param)
        });
        let expected = expected.map(|(status, param)| (status, param.to_owned()));
        assert_eq!(got, expected, "{body}");
    }
    let clamped = world
        .call("ada", &with("n", json!(5)))
        .unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(clamped.body["n"], 2);
    let dropped = world
        .call("ada", &with("user", json!("u")))
        .unwrap_or_else(|r| panic!("{r:?}"));
    assert!(dropped.body.get("user").is_none());
    let embeddings = json!({ "model": "big", "input": "x" });
    let refused = world
        .call_with("ada", "/v1/embeddings", &[], &embeddings)
        .err()
        .unwrap();
    assert_eq!(refused.header("x-weir-decision"), Some("endpoints"));
}

/// In each dialect's own field, and where the path names the model, there.
#[test]
fn every_dialect_is_clamped_and_downgraded_in_its_own_words() {
    let mut world = World::of(&format!(
        "models:\n  big: {{ price: free, max_output_tokens: 9000 }}\n  small: {{ price: free, \
         max_output_tokens: 9000 }}\nplans:\n  team:\n    limits: [ {{ per: tenant, unit: requests, \
         amount: 99, every: 1h }} ]\n    policies:\n      - {{ name: short, then: {{ clamp_output: 70 \
         }} }}\n      - {{ name: economy, when: 'request.model == \"big\"', then: {{ downgrade: small }} \
         }}\n{TENANTS}"
    ));
    let messages = json!([{ "role": "user", "content": "x" }]);
    let texts = json!([{ "role": "user", "content": [{ "text": "x" }] }]);
    let contents = json!([{ "role": "user", "parts": [{ "text": "x" }] }]);
    let table = [
        (
            "/v1/chat/completions",
            json!({ "model": "big", "messages": messages, "max_tokens": 900 }),
            "/max_tokens",
        ),
        (
            "/v1/chat/completions",
            json!({ "model": "big", "messages": messages, "max_completion_tokens": 900 }),
            "/max_completion_tokens",
        ),
        (
            "/v1/responses",
            json!({ "model": "big", "input": "x", "max_output_tokens": 900 }),
            "/max_output_tokens",
        ),
        (
            "/v1/messages",
            json!({ "model": "big", "messages": messages, "max_tokens": 900 }),
            "/max_tokens",
        ),
        (
            "/v1beta/models/big:generateContent",
            json!({ "contents": contents, "generationConfig": { "maxOutputTokens": 900 } }),
            "/generationConfig/maxOutputTokens",
        ),
        (
            "/model/big/converse",
            json!({ "messages": texts, "inferenceConfig": { "maxTokens": 900 } }),
            "/inferenceConfig/maxTokens",
        ),
        (
            "/v2/chat",
            json!({ "model": "big", "messages": messages, "max_tokens": 900 }),
            "/max_tokens",
        ),
        (
            "/api/chat",
            json!({ "model": "big", "messages": messages, "options": { "num_predict": 900 } }),
            "/options/num_predict",
        ),
    ];
    for (path, body, field) in table {
        let max_completion = field == "/max_completion_tokens";
        if max_completion {
            world.change(|snapshot| {
                let models = Arc::make_mut(&mut snapshot.models);
                for model in models.values_mut() {
                    Arc::make_mut(model).output_field = weir::policy::OutputField::Either;
                }
            });
        }
        let call = world.call_with("ada", path, &[], &body);
        let call = call.unwrap_or_else(|refused| panic!("{path} {refused:?}"));
        assert_eq!(call.body.pointer(field), Some(&json!(70)), "{path}");
        let named = call.body.get("model").and_then(Value::as_str);
        let path_sent = call.header(":path");
        match body.get("model") {
            Some(_) => assert_eq!((named, path_sent), (Some("small"), None), "{path}"),
            None => assert_eq!(path_sent, Some(&*path.replace("big", "small")), "{path}"),
        }
        assert_eq!(call.header("x-weir-model"), Some("small"));
    }
}

/// A rule of some kind, in some mode.
fn any_rule() -> impl Strategy<Value = String> {
    let action = prop_oneof![
        Just("warn: true"),
        Just("throttle: { delay: 10ms }"),
        Just("throttle: { limits: 0.5 }"),
        Just("clamp_output: 10"),
        Just("downgrade: small"),
        Just("downgrade: { to: small, drop: [seed], refuse: [logit_bias] }"),
        Just("route: elsewhere"),
        Just("require_approval: true"),
    ];
    let when = prop_oneof![
        Just(""),
        Just("when: 'model.tier == \"premium\"', "),
        Just("when: 'budget.monthly.used < 0.9', "),
        Just("when: 'budget.monthly.used > 0.9', "),
        Just("when: 'principal.labels[\"team\"] == \"red\"', "),
        Just("when: 'request.metadata[\"a\"] == \"1\"', "),
        Just("when: 'request.task == \"reason\"', "),
        Just("when: '\"rm\" in request.tools', "),
    ];
    (action, when).prop_map(|(action, when)| format!("{when}then: {{ {action} }}"))
}

/// A chat with something odd in it, which a provider may take or not.
fn odd_body() -> impl Strategy<Value = String> {
    let metadata = prop_oneof![
        Just(r#""metadata":{"a":"1","a":"2"}"#.to_owned()),
        Just(r#""metadata":{"a":"1","\u0061":"1"}"#.to_owned()),
        Just(r#""metadata":{"a":1,"b":null}"#.to_owned()),
        Just(r#""metadata":[]"#.to_owned()),
        Just(format!(
            r#""metadata":{{"{}":"x","a":"{}"}}"#,
            "n".repeat(999),
            "v".repeat(9999)
        )),
    ];
    let function = r#"{"type":"function","function":{"name":"rm","name":"ls"}}"#;
    let tools = prop_oneof![
        Just(format!(r#""tools":[{function}]"#)),
        Just(r#""tools":[{"type":"function","type":"custom","name":"rm"}]"#.to_owned()),
        Just(r#""tools":[{"Type":"function","name":"rm"},3,null]"#.to_owned()),
        Just(format!(r#""tools":[{{"name":"{}"}}]"#, "rm".repeat(999))),
        Just(format!(
            r#""tools":[{}]"#,
            vec![r#"{"name":"rm"}"#; 1_100].join(",")
        )),
    ];
    let fields = prop_oneof![
        Just(r#""seed":1,"logit_bias":{}"#.to_owned()),
        Just(r#""Seed":1,"LOGIT_BIAS":{"a":1,"a":2}"#.to_owned()),
        Just(format!(r#""{}":1"#, "x".repeat(300))),
        Just(
            (0..1_100)
                .map(|n| format!(r#""x{n}":1"#))
                .collect::<Vec<_>>()
                .join(",")
        ),
        Just(
            (0..200)
                .map(|n| format!(r#""x{n}":1"#))
                .collect::<Vec<_>>()
                .join(",")
        ),
    ];
    let model = prop_oneof![Just("big"), Just("small")];
    let odd = prop_oneof![
        metadata.boxed(),
        tools.boxed(),
        fields.boxed(),
        Just(r#""n":1"#.to_owned()).boxed(),
    ];
    (model, odd).prop_map(|(model, odd)| {
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}],"max_tokens":9,{odd}}}"#)
    })
}

fn plan_of(rules: &[String], mode: &str) -> String {
    let rules = rules.iter().enumerate();
    let rules = rules.map(|(n, rule)| format!("      - {{ name: r{n}, mode: {mode}, {rule} }}\n"));
    rules.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever other rules say, before it or behind it.
    #[test]
    fn a_block_always_wins(
        before in prop::collection::vec(any_rule(), 0..5),
        behind in prop::collection::vec(any_rule(), 0..5),
    ) {
        let block = ["when: 'request.stream == false', then: { block: true }".to_owned()];
        let all = [&before[..], &block, &behind].concat();
        let mut world = team(&plan_of(&all, "enforce"));
        let refused = world.chat("bob", "big").err().unwrap();
        prop_assert_eq!(refused.status, 403);
        let name = format!("r{}", before.len());
        prop_assert_eq!(refused.header("x-weir-decision"), Some(name.as_str()));
        prop_assert_eq!(world.counters.open_holds(), 0);
    }

    /// Rules in shadow mode change nothing of a call but what is told of it.
    #[test]
    fn a_shadow_changes_no_verdict(rules in prop::collection::vec(any_rule(), 1..6)) {
        let all = [&rules[..], &["then: { block: true }".to_owned()]].concat();
        let mut shadowed = team(&plan_of(&all, "shadow"));
        let mut bare = team("      - { name: none, when: 'false', then: { warn: true } }");
        for model in ["big", "small"] {
            let mut with = sent(&mut shadowed, "bob", model);
            let mut without = sent(&mut bare, "bob", model);
            prop_assert_eq!(&with.body, &without.body);
            prop_assert_eq!((&with.head, with.waited), (&without.head, without.waited));
            let headers = shadowed.answer(&mut with, 5, 50);
            prop_assert_eq!(headers, bare.answer(&mut without, 5, 50));
            let (row, other) = (shadowed.last_row(), bare.last_row());
            prop_assert_eq!(row.cost_nanos, other.cost_nanos);
            let all = row.actions.iter().all(|action| action.starts_with("shadow:"));
            prop_assert!(all && !row.actions.is_empty(), "{:?}", row.actions);
        }
    }

    /// Nor do they of a body that could be read in two ways, or is more than is kept.
    #[test]
    fn a_shadow_changes_no_verdict_on_odd_bodies(
        rules in prop::collection::vec(any_rule(), 1..6),
        bodies in prop::collection::vec(odd_body(), 1..4),
    ) {
        let mut shadowed = team(&plan_of(&rules, "shadow"));
        let mut bare = team("      - { name: none, when: 'false', then: { warn: true } }");
        for body in bodies {
            let seen = [&mut shadowed, &mut bare].map(|world| {
                let call = world.call_text("bob", &body);
                let call = call.map(|call| (call.body.clone(), call.head.clone(), call.waited));
                call.map_err(|refused| (refused.status, refused.body))
            });
            prop_assert_eq!(&seen[0], &seen[1], "{}", body);
        }
    }

    /// Concurrent calls, whatever they ask for and use: a budget that bounds each of
    /// them is never overspent, and what isn't used is there for others.
    #[test]
    fn a_budget_is_never_overspent(calls in prop::collection::vec((1u64..4096, 0.0f64..1.0), 50..400)) {
        let mut world = World::of(&format!(
            "plans: {{ team: {{ budgets: [ {{ name: b, amount: 1, every: day }} ] }} }}\n{TENANTS}"
        ));
        let mut open: Vec<(Sent, u64)> = Vec::new();
        for (n, (max_tokens, share)) in calls.iter().enumerate() {
            let body = json!({ "model": "big", "max_tokens": max_tokens, "messages": [
                { "role": "user", "content": "x" }] });
            if let Ok(call) = world.call("ada", &body) {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                open.push((call, (*max_tokens as f64 * share) as u64));
            }
            if n % 3 == 0 && !open.is_empty() {
                let (mut call, output) = open.remove(n % open.len());
                world.answer(&mut call, 1, output);
            }
        }
        for (mut call, output) in open {
            world.answer(&mut call, 1, output);
        }
        let spent: u64 = world.rows.iter().filter_map(|row| row.cost_nanos).sum();
        prop_assert!(spent <= 1_000_000_000, "{}", spent);
        prop_assert_eq!(world.counters.open_holds(), 0);
    }

    /// A project's limits may say what they like: its tenant's count too.
    #[test]
    fn a_child_never_exceeds_its_parent(parent in 1u64..20, child in 1u64..40, calls in 1usize..60) {
        let limit = |amount| format!("limits: [ {{ per: tenant, unit: requests, amount: {amount}, every: 1h }} ]");
        let mut world = World::of(&format!(
            "plans: {{ team: {{ {} }} }}\ntenants: {{ acme: {{ plan: team, projects: {{ bot: {{ {} }} }} }}, globex: {{ plan: team }} }}\n",
            limit(parent), limit(child)
        ));
        let passed = (0..calls).filter(|_| world.chat("ada", "big").is_ok()).count() as u64;
        prop_assert_eq!(passed, parent.min(child).min(calls as u64));
    }
    /// Nor by its caps, bounds and lists, wherever it stands: what is sent on below a
    /// plan the plan alone would send on, with as much in it or more.
    #[test]
    fn a_child_asks_for_no_more_than_its_parent(
        parent in narrowing(),
        child in narrowing(),
        place in 0usize..5,
        calls in prop::collection::vec(any_call(), 1..12),
    ) {
        let below = match place {
            0 => child,
            1 => format!("environments: {{ prod: {{ {child} }} }}"),
            2 => format!("projects: {{ bot: {{ {child} }} }}"),
            3 => format!("projects: {{ bot: {{ environments: {{ prod: {{ {child} }} }} }} }}"),
            _ => format!("users: {{ ada: {{ {child} }} }}"),
        };
        let model = |name, tier| format!(
            "{name}: {{ tier: {tier}, provider: openai, price: free, max_output_tokens: 4096, image_tokens: 9 }}"
        );
        let models = [("big", "premium"), ("small", "standard"), ("claude", "premium")];
        let models = models.map(|(name, tier)| model(name, tier)).join(", ");
        let world = |below: &str| World::of(&format!(
            "models: {{ {models} }}\nplans: {{ team: {{ limits: [ {{ per: tenant, unit: tokens, amount: 99G, every: 1h }} ], {parent} }} }}\n\
             tenants: {{ acme: {{ plan: team, {below} }}, globex: {{ plan: team }} }}\n"
        ));
        let (mut alone, mut both) = (world(""), world(&below));
        for (path, body) in calls {
            let above = alone.call_with("ada", path, &[], &body);
            let Ok(sent) = both.call_with("ada", path, &[], &body) else { continue };
            let told = format!("{parent} above {below}: {body}");
            let most = |body: &Value, name: &str, otherwise| {
                body.get(name).map_or(otherwise, |number| number.as_u64().unwrap())
            };
            let held = |world: &World| world.asked.last().unwrap().charges[0].amount;
            match above {
                Ok(above) => {
                    for (name, otherwise) in [("max_tokens", 4096), ("n", 1)] {
                        let mine = most(&sent.body, name, otherwise);
                        prop_assert!(mine <= most(&above.body, name, otherwise), "{}", told);
                    }
                    prop_assert!(held(&both) <= held(&alone), "{}", told);
                    for name in sent.body.as_object().unwrap().keys() {
                        let is_there = name == "max_tokens" || above.body.get(name).is_some();
                        prop_assert!(is_there, "{}: {}", name, told);
                    }
                }
                Err(refused) => prop_assert!(false, "{:?}: {}", refused, told),
            }
        }
    }
}

/// What a plan, or something below it, may say of what calls ask for.
fn narrowing() -> impl Strategy<Value = String> {
    let over = || prop_oneof![Just(""), Just(", over: clamp"), Just(", over: refuse")];
    let all = (1u64..300, 1u64..300, any::<bool>(), over());
    let all = all.prop_map(|(a, b, required, over)| {
        let (default, cap) = (a.min(b), a.max(b));
        format!("max_tokens: {{ default: {default}, cap: {cap}, required: {required}{over} }}")
    });
    let default = (1u64..300).prop_map(|default| format!("max_tokens: {{ default: {default} }}"));
    let choices = (1u64..12, over());
    let choices = choices.prop_map(|(cap, over)| format!("choices: {{ cap: {cap}{over} }}"));
    let output = (
        prop::option::of(prop_oneof![all, default]),
        prop::option::of(choices),
    );
    let output = output.prop_map(|(tokens, choices)| {
        let all: Vec<String> = tokens.into_iter().chain(choices).collect();
        format!("output: {{ {} }}", all.join(", "))
    });
    let guardrail = prop_oneof![
        (1u64..400).prop_map(|most| format!("input_tokens_max: {most}")),
        (100u64..900).prop_map(|most| format!("body_bytes_max: {most}")),
        (0u64..3).prop_map(|most| format!("images_max: {most}")),
        (0u64..3).prop_map(|most| format!("tools_max: {most}")),
        Just("forbid: [seed]".to_owned()),
        Just("drop: [user]".to_owned()),
    ];
    let guardrails = prop::option::of(guardrail);
    let guardrails =
        guardrails.prop_map(|one| format!("guardrails: {{ {} }}", one.unwrap_or_default()));
    let allow = prop_oneof![
        Just(""),
        Just("models: [big]"),
        Just("models: [\"s*\", claude]"),
        Just("tiers: [premium]"),
        Just("tiers: [standard]"),
        Just("endpoints: [chat_completions]"),
        Just("endpoints: [embeddings]"),
        Just("tools: [\"r*\"]"),
        Just("tools: [ls]"),
    ];
    (output, guardrails, allow).prop_map(|(output, guardrails, allow)| {
        format!("{output}, {guardrails}, allow: {{ {allow} }}")
    })
}

/// A call of any kind that a plan may have something against.
fn any_call() -> impl Strategy<Value = (&'static str, Value)> {
    let model = prop_oneof![Just("big"), Just("small")];
    let numbers = (prop::option::of(1u64..400), prop::option::of(1u64..14));
    let tools = prop::sample::subsequence(vec!["rm", "ls", "ru"], 0..3);
    let parts = (0usize..3, 1usize..300, any::<bool>(), any::<bool>());
    (model, numbers, tools, parts, 0u8..6).prop_map(
        |(model, (max_tokens, n), tools, (images, words, seed, user), kind)| {
            let text = "a ".repeat(words);
            if kind == 0 {
                return ("/v1/embeddings", json!({ "model": model, "input": text }));
            }
            let mut content = vec![json!({ "type": "text", "text": text })];
            let image = json!({ "type": "image_url", "image_url": { "url": "https://x/y.png" } });
            content.extend(vec![image; images]);
            let messages = json!([{ "role": "user", "content": content }]);
            let mut body = json!({ "model": model, "messages": messages });
            let mut set = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    body[name] = value;
                }
            };
            set("max_tokens", max_tokens.map(Value::from));
            set("n", n.map(Value::from));
            set("seed", seed.then(|| json!(1)));
            set("user", user.then(|| json!("u")));
            let tools: Vec<Value> = tools
                .iter()
                .map(|name| json!({ "type": "function", "function": { "name": name } }))
                .collect();
            set("tools", (!tools.is_empty()).then(|| tools.into()));
            ("/v1/chat/completions", body)
        },
    )
}

#[test]
fn wrong_rules_say_where_and_what_would_be_right() {
    let rule = |text: &str| {
        let found = problems(&format!(
            "plans:\n  team:\n    budgets: [ {{ name: monthly, amount: 10, every: month }} ]\n    \
             policies: [ {text} ]\n{TENANTS}"
        ));
        let first = found.first().cloned().unwrap_or_default();
        first
            .split_once(": ")
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default()
    };
    let when = |text: &str| {
        rule(&format!(
            "{{ name: r, when: '{text}', then: {{ warn: true }} }}"
        ))
    };
    for (found, expected) in [
        (
            when("model.teir == \"x\""),
            "plans.team.policies[0].when: there is no model.teir; did you mean model.tier?",
        ),
        (
            when("model.tier == 3"),
            "plans.team.policies[0].when: model.tier is text and can't be compared with 3, an int",
        ),
        (
            when("budget.daily.used > 0.5"),
            "plans.team.policies[0].when: there is no budget.daily",
        ),
        (
            when("request.cost_max"),
            "plans.team.policies[0].when: must be true or false (is an int)",
        ),
        (
            when("model.name == \"bigg\""),
            "plans.team.policies[0].when: there is no model \"bigg\"; did you mean \"big\"?",
        ),
        (
            when("model.tier == \"premum\""),
            "plans.team.policies[0].when: there is no model of tier \"premum\"; did you mean \"premium\"?",
        ),
        (
            rule("{ name: r, then: {} }"),
            "plans.team.policies[0].then: must have one of warn, throttle, clamp_output, downgrade, route, require_approval, block",
        ),
        (
            rule("{ name: r, then: { downgrade: tiny } }"),
            "plans.team.policies[0].then.downgrade: there is no model \"tiny\"",
        ),
        (
            rule("{ name: r, then: { throttle: { delay: 60s } } }"),
            "plans.team.policies[0].then.throttle.delay: must be at most 30s (got 60s)",
        ),
        (
            rule("{ name: r, then: { block: { status: 500 } } }"),
            "plans.team.policies[0].then.block.status: must be at most 499 (got 500)",
        ),
        (
            rule("{ then: { block: true } }"),
            "plans.team.policies[0].name: is required",
        ),
        (
            rule("{ name: r, then: { block: true } }, { name: r, then: { warn: true } }"),
            "plans.team.policies[1].name: plans.team.policies[0] is named \"r\" already",
        ),
    ] {
        assert!(found.contains(expected), "{found}\n  has no\n{expected}");
    }
}

const DAY_MS: u64 = 86_400_000;

/// Adds so much to a budget of acme's from now on.
fn top_up(world: &mut World, id: &str, budget: &str, nanos: u64, until: UnixMillis) {
    use weir::policy::top_ups::{TopUp, TopUpChange};
    let added = TopUp {
        id: id.into(),
        tenant: "acme".into(),
        budget: budget.into(),
        of: Vec::new(),
        counter: TopUp::counter_of(budget, "acme", &[]),
        unit: weir::limits::Unit::Cost,
        amount: nanos,
        from: world.now,
        until,
        by: "cli/ann".into(),
        note: None,
    };
    world.change(|s| s.top_ups = Arc::new(s.top_ups.changed([TopUpChange::Added(added)])));
}

/// Calls until one is refused; what they cost.
fn spend_all(world: &mut World) -> u64 {
    let before = world.rows.len();
    while let Ok(mut call) = world.chat("ada", "big") {
        world.answer(&mut call, 10, 900);
    }
    let new = world.rows[before..].iter();
    new.filter_map(|row| row.cost_nanos).sum()
}

/// As `weir config example prepaid` has it.
#[test]
fn a_credit_is_spent_once_and_what_is_bought_later_comes_to_it() {
    let budget = "{ name: credit, amount: 0.000000001 USD, every: forever }";
    let mut world = World::of(&format!(
        "plans:\n  team:\n    budgets: [ {budget} ]\n{TENANTS}"
    ));
    let forever = weir::limits::period::FOREVER;
    assert_eq!(spend_all(&mut world), 0, "nothing was bought");
    top_up(&mut world, "top_a", "credit", 1_000_000_000, forever);
    let first = spend_all(&mut world);
    assert!((900_000_000..=1_000_000_000).contains(&first), "{first}");
    for years in [1, 10, 50] {
        world.now = world.now + Millis(years * 366 * DAY_MS);
        assert_eq!(spend_all(&mut world), 0, "the same dollar, once more");
    }
    top_up(&mut world, "top_b", "credit", 2_000_000_000, forever);
    let both = first + spend_all(&mut world);
    assert!((2_900_000_000..=3_000_000_000).contains(&both), "{both}");
}

#[test]
fn what_is_added_once_is_not_added_to_each_month() {
    let mut world = team("      - { name: none, when: 'false', then: { warn: true } }");
    let sixty_days = world.now + Millis(60 * DAY_MS);
    top_up(&mut world, "top_a", "monthly", 5_000_000_000, sixty_days);
    let first = spend_all(&mut world);
    assert!(
        (14_900_000_000..=15_000_000_000).contains(&first),
        "{first}"
    );
    world.now = world.now + Millis(31 * DAY_MS);
    let second = spend_all(&mut world);
    assert!(
        (9_900_000_000..=10_000_000_000).contains(&second),
        "{second}"
    );
}

#[test]
fn a_used_up_grant_takes_no_others_place() {
    let rule =
        "      - { name: ask, when: 'request.model == \"big\"', then: { require_approval: true } }";
    let mut world = team(rule);
    let until = world.now + Millis(3_600_000);
    let grant = |id: &str, from: UnixMillis, calls: u64| {
        GrantChange::Granted(Grant {
            id: id.into(),
            tenant: "acme".into(),
            project: None,
            environment: None,
            user: None,
            key_id: None,
            rule: None,
            models: Vec::new(),
            allowance: Allowance::Calls(calls),
            from,
            until,
            granted_by: "cli/ann".into(),
        })
    };
    let (old, new) = (UnixMillis(world.now.0 - 1_000), world.now);
    let both = [grant("grt_old", old, 100), grant("grt_new", new, 1)];
    world.change(|s| s.grants = Arc::new(s.grants.changed(both)));
    world.used("ada", "big", 100);
    // The new one is used up; of the old one a hundred calls are left.
    for left in (0..100).rev() {
        let asked = world.asked.len();
        let mut call = world
            .chat("ada", "big")
            .unwrap_or_else(|r| panic!("{left}: {r:?}"));
        world.answer(&mut call, 1, 1);
        assert_eq!(world.asked.len() - asked, 2);
        assert_eq!(
            world.last_row().outcome,
            weir::exchange::event::Outcome::Exact
        );
    }
    let refused = world.chat("ada", "big").err().unwrap();
    assert_eq!(
        (refused.status, refused.header("x-weir-decision")),
        (403, Some("ask"))
    );
    assert!(refused.header("x-weir-approval").is_some());
    // However many are used up, a new one is found at once, and no more are looked at
    // than there is a bound for.
    let many = (0..20).map(|n| grant(&format!("grt_{n}"), new + Millis(n), 1));
    world.now = new + Millis(60);
    world.change(|s| s.grants = Arc::new(s.grants.changed(many)));
    for passes in 0..20 {
        assert!(world.chat("ada", "big").is_ok() || passes > 16, "{passes}");
    }
    let asked = world.asked.len();
    let _ = world.chat("ada", "big");
    assert!(world.asked.len() - asked <= 17);
    let newest = grant("grt_newest", new + Millis(50), 1);
    world.change(|s| s.grants = Arc::new(s.grants.changed([newest])));
    assert!(world.chat("ada", "big").is_ok());
}
