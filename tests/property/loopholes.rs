//! Ways around plans, rules and guardrails that are none.

use super::world::{NOON, World, problems};
use serde_json::{Value, json};
use std::sync::Arc;
use weir::exchange::message::Reply;

const TENANTS: &str = "tenants: { acme: { plan: team }, globex: { plan: team } }\n";
const ROOMY: &str =
    "limits: [ { name: roomy, per: tenant, unit: requests, amount: 999, every: 1h } ]";

fn chat_of(model: &str, more: Value) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "x" }] });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_child_without_parents_choices_cap() {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY} }} }}\ntenants: {{ acme: {{ plan: team, users: {{ ada: {{ output: {{ choices: {{ cap: 20 }} }} }} }} }}, globex: {{ plan: team }} }}\n"
    ));
    let body = chat_of("big", json!({ "n": 20, "max_tokens": 5 }));
    assert!(world.call("eve", &body).is_err(), "the plan alone takes 8");
    assert!(
        world.call("ada", &body).is_err(),
        "a child widens its parent"
    );
}

fn limit_when(when: &str, body: &Value) -> bool {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ limits: [ {{ name: once, per: tenant, unit: requests, amount: 1, every: 1h, when: '{when}' }} ] }} }}\n{TENANTS}"
    ));
    let _ = world.call("ada", body).unwrap_or_else(|r| panic!("{r:?}"));
    world.call("ada", body).is_err()
}

#[test]
fn a_limit_that_hangs_on_the_time() {
    assert!(limit_when("time.hour == 12", &chat_of("big", json!({}))));
}

#[test]
fn a_limit_that_hangs_on_metadata() {
    let body = chat_of("big", json!({ "metadata": { "team": "red" } }));
    assert!(limit_when(
        "request.metadata[\"team\"] in [\"red\"] && \"team\" in request.metadata",
        &body
    ));
}

#[test]
fn a_limit_that_hangs_on_tools() {
    let tool = json!([{ "type": "function", "function": { "name": "rm", "parameters": {} } }]);
    assert!(limit_when(
        "\"rm\" in request.tools",
        &chat_of("big", json!({ "tools": tool }))
    ));
}

#[test]
fn a_limit_that_hangs_on_the_task() {
    let body = chat_of("big", json!({ "metadata": { "task": "reason" } }));
    assert!(limit_when("request.task == \"reason\"", &body));
}

#[test]
fn a_topped_up_budget_lets_heads_pass() {
    use weir::limits::{Scope, Unit};
    use weir::policy::top_ups::{TopUp, TopUpChange};
    let _ = (Scope::TENANT, Unit::Cost);
    let mut world = World::of(&format!(
        "routes: [ {{ path: /v1/files, unknown_endpoints: pass }} ]\nplans: {{ team: {{ budgets: [ {{ name: b, unit: requests, amount: 2, every: month }} ] }} }}\n{TENANTS}"
    ));
    let top_up = TopUp {
        id: "t1".into(),
        tenant: "acme".into(),
        budget: "b".into(),
        counter: TopUp::counter_of("b", "acme", &[]),
        unit: Unit::Requests,
        amount: 10,
        from: NOON,
        until: weir::units::UnixMillis(NOON.0 + 86_400_000),
        of: Vec::new(),
        by: "olga".into(),
        note: None,
    };
    world.change(|s| s.top_ups = Arc::new(s.top_ups.changed([TopUpChange::Added(top_up)])));
    for _ in 0..3 {
        world.used("ada", "big", 1);
    }
    let reply = world.head("ada", "GET", "/v1/files");
    assert!(!matches!(reply, Some(Reply::Refuse { .. })), "{reply:?}");
}

#[test]
fn the_same_call_is_weighed_the_same() {
    let mut world = World::of(&format!(
        "models:\n  a: {{ price: free, max_output_tokens: 9 }}\n  b: {{ price: free, max_output_tokens: 9 }}\n  c: {{ price: free, max_output_tokens: 9 }}\n  auto: {{ choose: [ {{ use: {{ a: 3, b: 2, c: 2 }} }} ] }}\nplans: {{ team: {{ {ROOMY}, policies: [ {{ name: w, when: 'limit.roomy.used > 0.9', then: {{ warn: true }} }} ] }} }}\n{TENANTS}"
    ));
    for _ in 0..20 {
        world.used("ada", "auto", 1);
    }
    assert_eq!(world.asked.len(), 20, "calls are reserved for once");
}

#[test]
fn what_another_rule_to_the_same_model_drops() {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY}, policies: [ {{ name: a, when: 'limit.roomy.used < 0.9', then: {{ downgrade: {{ to: small, drop: [seed] }} }} }}, {{ name: b, then: {{ downgrade: small }} }} ] }} }}\n{TENANTS}"
    ));
    let call = world.call("ada", &chat_of("big", json!({ "seed": 1 })));
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    let actions = &call.body;
    assert_eq!(actions.get("seed"), None, "rule a counts: {actions}");
}

#[test]
fn a_throttle_of_limits_blocks_by_the_budget() {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY}, budgets: [ {{ name: monthly, amount: 10 USD, every: month }} ], policies: [ {{ name: slow, when: 'budget.monthly.used > 0.5', then: {{ throttle: {{ limits: 0.5 }} }} }} ] }} }}\n{TENANTS}"
    ));
    for _ in 0..60 {
        world.used("ada", "big", 900);
    }
    for _ in 0..150 {
        world.used("ada", "big", 1000);
    }
    let refused = world.chat("ada", "big").err();
    assert!(refused.is_none(), "{refused:?}");
}

#[test]
fn a_clamp_that_clamps_nothing_is_not_told() {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY}, policies: [ {{ name: c, then: {{ clamp_output: 500 }} }} ] }} }}\n{TENANTS}"
    ));
    let mut call = world
        .call("ada", &chat_of("big", json!({ "max_tokens": 50 })))
        .unwrap_or_else(|r| panic!("{r:?}"));
    world.answer(&mut call, 1, 1);
    assert!(
        world.last_row().actions.is_empty(),
        "{:?}",
        world.last_row().actions
    );
}

const SIZES: &str = "models:\n  large: { provider: openai, price: free, max_output_tokens: 16384 }\n  little: { provider: openai, price: free, max_output_tokens: 4096 }\n";

const BEDROCK: &str = "models:\n  anthropic.claude-x: { provider: bedrock, price: free, max_output_tokens: 4096 }\n  meta.llama3: { provider: bedrock, price: free, max_output_tokens: 4096 }\n  writer.palmyra: { provider: bedrock, price: free, max_output_tokens: 40960 }\n";

const FAMILIES: &str = "models:\n  gpt-4o: { provider: openai, price: free, max_output_tokens: 4096 }\n  o4-mini: { provider: openai, price: free, max_output_tokens: 4096 }\n  llama: { provider: openai, price: free, max_output_tokens: 4096 }\n";

#[test]
fn a_downgraded_call_asks_for_more_than_the_model_has() {
    let mut world = World::of(&format!(
        "{SIZES}plans: {{ team: {{ {ROOMY}, policies: [ {{ name: e, then: {{ downgrade: little }} }} ] }} }}\n{TENANTS}"
    ));
    let call = world.call("ada", &chat_of("large", json!({ "max_tokens": 10000 })));
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.body["model"], "little");
    assert!(
        call.body["max_tokens"].as_u64().unwrap() <= 4096,
        "{}",
        call.body
    );
}

#[test]
fn a_default_beyond_the_model() {
    let mut world = World::of(&format!(
        "{SIZES}plans: {{ team: {{ {ROOMY}, output: {{ max_tokens: {{ default: 8000 }} }} }} }}\n{TENANTS}"
    ));
    let call = world.call("ada", &chat_of("little", json!({})));
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    assert!(
        call.body["max_tokens"].as_u64().unwrap() <= 4096,
        "{}",
        call.body
    );
}

#[test]
fn a_cap_where_none_is_known() {
    let mut world = World::of(&format!(
        "{BEDROCK}plans: {{ team: {{ {ROOMY}, output: {{ max_tokens: {{ cap: 100, over: refuse }} }} }} }}\n{TENANTS}"
    ));
    let body = json!({ "prompt": "x", "max_tokens": 9000 });
    let call = world.call_with("ada", "/model/writer.palmyra/invoke", &[], &body);
    assert!(call.is_err(), "{}", call.ok().unwrap().body);
}

#[test]
fn a_cap_goes_over_into_the_field_of_the_other_model() {
    let mut world = World::of(&format!(
        "{FAMILIES}plans: {{ team: {{ {ROOMY}, policies: [ {{ name: e, then: {{ downgrade: o4-mini }} }} ] }} }}\n{TENANTS}"
    ));
    let call = world.call("ada", &chat_of("gpt-4o", json!({ "max_tokens": 100 })));
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.body["model"], "o4-mini");
    assert_eq!(
        (
            call.body.get("max_tokens"),
            call.body.get("max_completion_tokens")
        ),
        (None, Some(&json!(100))),
        "{}",
        call.body
    );
}

#[test]
fn and_the_other_way_round() {
    let mut world = World::of(&format!(
        "{FAMILIES}plans: {{ team: {{ {ROOMY}, policies: [ {{ name: e, then: {{ downgrade: llama }} }} ] }} }}\n{TENANTS}"
    ));
    let call = world.call(
        "ada",
        &chat_of("o4-mini", json!({ "max_completion_tokens": 100 })),
    );
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(call.body["model"], "llama");
    assert_eq!(
        call.body.get("max_tokens"),
        Some(&json!(100)),
        "{}",
        call.body
    );
}

#[test]
fn a_dropped_cap_bounds_nothing() {
    let policy = format!(
        "plans: {{ team: {{ budgets: [ {{ name: b, amount: 1, every: day }} ], guardrails: {{ drop: [max_tokens] }} }} }}\n{TENANTS}"
    );
    if !problems(&policy).is_empty() {
        return;
    }
    let mut world = World::of(&policy);
    let call = world.call("ada", &chat_of("big", json!({ "max_tokens": 10 })));
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    let held: u64 = world
        .asked
        .last()
        .unwrap()
        .charges
        .iter()
        .map(|c| c.amount)
        .max()
        .unwrap();
    let bounded = call.body.get("max_tokens").is_some();
    assert!(
        bounded || held > 4096 * 30_000,
        "held {held} nanos for {}",
        call.body
    );
}

#[test]
fn a_dropped_config_of_geminis() {
    let policy = format!(
        "models: {{ gem: {{ price: free, max_output_tokens: 4096 }} }}\nplans: {{ team: {{ limits: [ {{ name: t, per: tenant, unit: tokens, amount: 99999, every: 1h }} ], guardrails: {{ drop: [generationConfig] }} }} }}\n{TENANTS}"
    );
    if !problems(&policy).is_empty() {
        return;
    }
    let mut world = World::of(&policy);
    let body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "x" }] }], "generationConfig": { "maxOutputTokens": 10 } });
    let call = world.call_with("ada", "/v1beta/models/gem:generateContent", &[], &body);
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    let held = world.asked.last().unwrap().charges[0].amount;
    assert!(
        call.body
            .pointer("/generationConfig/maxOutputTokens")
            .is_some()
            || held > 4096,
        "held {held} for {}",
        call.body
    );
}

#[test]
fn a_forbidden_field_within_another() {
    let policy = format!(
        "plans: {{ team: {{ {ROOMY}, guardrails: {{ forbid: [reasoning.effort] }} }} }}\n{TENANTS}"
    );
    if !problems(&policy).is_empty() {
        return;
    }
    let mut world = World::of(&policy);
    let body = json!({ "model": "big", "input": "x", "reasoning": { "effort": "high" } });
    let call = world.call_with("ada", "/v1/responses", &[], &body);
    assert!(call.is_err(), "{}", call.ok().unwrap().body);
}

#[test]
fn a_makers_form_goes_to_another_maker() {
    let mut world = World::of(&format!(
        "{BEDROCK}plans: {{ team: {{ {ROOMY}, policies: [ {{ name: e, then: {{ downgrade: meta.llama3 }} }} ] }} }}\n{TENANTS}"
    ));
    let body = json!({ "anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{ "role": "user", "content": "x" }] });
    let call = world.call_with("ada", "/model/anthropic.claude-x/invoke", &[], &body);
    let call = call.unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(
        call.header("x-weir-model"),
        None,
        "{:?} {}",
        call.head,
        call.body
    );
}

#[test]
fn tools_in_the_models_own_fields() {
    let mut world = World::of(&format!(
        "{BEDROCK}plans: {{ team: {{ {ROOMY}, allow: {{ tools: [calc] }} }} }}\n{TENANTS}"
    ));
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "x" }] }],
        "additionalModelRequestFields": { "tools": [{ "type": "computer_20241022", "name": "computer" }] } });
    let call = world.call_with("ada", "/model/anthropic.claude-x/converse", &[], &body);
    assert!(call.is_err(), "{}", call.ok().unwrap().body);
}

#[test]
fn that_nothing_can_be_are_told_of() {
    for (when, said) in [
        (
            r#"time.weekday == "Monday""#,
            "there is no weekday \"Monday\"; did you mean \"monday\"?",
        ),
        (
            r#"request.dialect in ["opnai"]"#,
            "there is no dialect \"opnai\"; did you mean \"openai\"?",
        ),
        (
            r#"request.endpoint != "chat_completions""#,
            "there is no endpoint \"chat_completions\"",
        ),
    ] {
        let found = problems(&format!(
            "plans: {{ team: {{ {ROOMY}, policies: [ {{ name: c, when: '{when}', then: {{ block: true }} }} ] }} }}\n{TENANTS}"
        ));
        assert!(
            found.first().is_some_and(|found| found.contains(said)),
            "{when} {found:?}"
        );
    }
}

#[test]
fn the_time_zone_below_a_plan() {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY} }} }}\ntenants: {{ acme: {{ plan: team, time_zone: Asia/Tokyo, policies: [ {{ name: night, when: 'time.hour == 21', then: {{ block: true }} }} ] }}, globex: {{ plan: team }} }}\n"
    ));
    assert!(world.chat("ada", "big").is_err(), "it is 21:00 in Tokyo");
}

#[test]
fn grants_beside_as_many_limits_as_fit() {
    use weir::policy::grants::{Allowance, Grant, GrantChange};
    let limits: Vec<String> = (0..31)
        .map(|n| format!("{{ name: l{n}, per: tenant, unit: requests, amount: 99, every: 1h }}"))
        .collect();
    let mut world = World::of(&format!(
        "plans: {{ team: {{ limits: [ {} ], policies: [ {{ name: ask, then: {{ require_approval: true }} }} ] }} }}\n{TENANTS}",
        limits.join(", ")
    ));
    let grant = Grant {
        id: "g1".into(),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: Some("ask".into()),
        models: vec!["big".into()],
        allowance: Allowance::Calls(9),
        from: NOON,
        until: weir::units::UnixMillis(NOON.0 + 3_600_000),
        granted_by: "olga".into(),
    };
    world.change(|s| s.grants = Arc::new(s.grants.changed([GrantChange::Granted(grant)])));
    assert!(world.chat("ada", "big").is_ok());
    // A limit of a key's own beside them is one too many.
    let own: Arc<[weir::policy::PlanLimit]> =
        [weir::policy::PlanLimit::from(weir::limits::Limit {
            name: "own:x".into(),
            scope: weir::limits::Scope::TENANT,
            unit: weir::limits::Unit::Requests,
            amount: 9,
            algorithm: weir::limits::Algorithm::SlidingWindow {
                every: weir::units::Millis(3_600_000),
            },
            mode: weir::limits::Mode::Enforce,
        })]
        .into();
    world.change(|s| {
        let who = s.principals_of("acme").next().unwrap();
        let mut who = who;
        who.limits = Some("x".into());
        s.own_limits = Arc::new([("x".into(), Arc::clone(&own))].into_iter().collect());
        assert!(
            s.own_limits(&who).is_none(),
            "with a grant it is one too many"
        );
    });
}

#[test]
fn a_throttled_bucket_is_slower() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ name: rpm, per: tenant, unit: requests, algorithm: token_bucket, amount: 60, every: 1m }} ]\n    policies: [ {{ name: half, then: {{ throttle: {{ limits: 0.5 }} }} }} ]\n{TENANTS}"
    ));
    let mut passed = 0;
    // Ten minutes, two calls a second.
    for _ in 0..1_200 {
        if let Ok(mut call) = world.chat("ada", "small") {
            world.answer(&mut call, 1, 1);
            passed += 1;
        }
        world.now = world.now + weir::units::Millis(500);
    }
    assert!(passed <= 30 + 300, "half of 600 and a burst, not {passed}");
}

#[test]
fn a_throttled_call_within_one_sidecars_share() {
    use weir::limits::{Decision, HoldId};
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ name: rpm, per: tenant, unit: requests, amount: 100, every: 1h }} ]\n    policies: [ {{ name: half, then: {{ throttle: {{ limits: 0.5 }} }} }} ]\n{TENANTS}"
    ));
    world.used("ada", "small", 1);
    // As `driver::local` has it while the store is away, with three sidecars.
    let mut part = world.asked.last().unwrap().clone();
    part.hold = HoldId::new(NOON, &[9; 10]);
    for charge in Arc::make_mut(&mut part.charges) {
        charge.limit = Arc::new(charge.limit.share(3).unwrap());
    }
    let decision = weir::counters::memory::Memory::default()
        .reserve(&part, NOON)
        .unwrap();
    assert!(
        matches!(decision, Decision::Admitted(_)),
        "the first of 16: {decision:?}"
    );
}

#[test]
fn a_throttled_call_is_told_of_the_part_that_it_has() {
    let policy = |limits: &str| {
        format!(
            "plans:\n  team:\n    limits: [ {limits} ]\n    policies: [ {{ name: half, then: {{ throttle: {{ limits: 0.5 }} }} }} ]\n{TENANTS}"
        )
    };
    let mut world = World::of(&policy(
        "{ name: rpm, per: tenant, unit: requests, algorithm: fixed_window, amount: 9, every: 1h }, { name: at-once, per: tenant, unit: concurrency, amount: 1 }",
    ));
    for _ in 0..4 {
        world.used("ada", "small", 1);
    }
    let refused = world.chat("ada", "small").err().unwrap();
    assert_eq!(refused.header("x-weir-decision"), Some("throttled:rpm"));
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("4"));
    let text = refused.body.to_string();
    for said in ["throttled:rpm", "Limit 4, Used 4, Requested 1."] {
        assert!(text.contains(said), "{text}");
    }
    // Each that has a part counts twice.
    let limits = |count: u8| {
        let all = (0..count).map(|n| {
            format!("{{ name: l{n}, per: tenant, unit: requests, amount: 9, every: 1h }}")
        });
        all.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(problems(&policy(&limits(16))), Vec::<String>::new());
    let found = problems(&policy(&limits(17)));
    assert!(
        found[0].contains("at most 32 limits (got 34): what a throttle"),
        "{found:?}"
    );
}

#[test]
fn each_approval_that_is_needed_is_asked_for() {
    use weir::policy::grants::{Allowance, Grant, GrantChange};
    use weir::units::UnixMillis;
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY}, policies: [ {{ name: money, then: {{ require_approval: true }} }}, {{ name: security, when: 'model.tier == \"premium\"', then: {{ require_approval: true }} }} ] }} }}\n{TENANTS}"
    ));
    let grant = Grant {
        id: "g1".into(),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: Some("money".into()),
        models: vec!["big".into()],
        allowance: Allowance::Calls(9),
        from: NOON,
        until: UnixMillis(NOON.0 + 3_600_000),
        granted_by: "olga".into(),
    };
    world.change(|s| s.grants = Arc::new(s.grants.changed([GrantChange::Granted(grant.clone())])));
    let refused = world
        .chat("ada", "big")
        .err()
        .expect("nobody granted it for security");
    assert_eq!(refused.header("x-weir-decision"), Some("security"));
    // One for whatever rule asks is used once by a call.
    let for_all = Grant {
        id: "g2".into(),
        rule: None,
        allowance: Allowance::Calls(2),
        from: UnixMillis(NOON.0 - 1),
        ..grant.clone()
    };
    world.change(|s| {
        let security = GrantChange::Granted(Grant {
            id: "g3".into(),
            rule: Some("security".into()),
            ..grant
        });
        s.grants = Arc::new(s.grants.changed([GrantChange::Granted(for_all), security]));
    });
    assert!(world.chat("ada", "big").is_ok());
    let names: Vec<&str> = world
        .asked
        .last()
        .unwrap()
        .charges
        .iter()
        .map(|charge| &*charge.limit.name)
        .collect();
    assert_eq!(names, ["roomy", "grant:g1", "grant:g3"]);
    world.change(|s| {
        let revoked = ["g1", "g3"].map(|id| GrantChange::Revoked(id.into()));
        s.grants = Arc::new(s.grants.changed(revoked));
    });
    for passes in [true, true, false] {
        assert_eq!(world.chat("ada", "big").is_ok(), passes);
    }
}

#[test]
fn a_remembered_refusal_asks_the_store_for_nothing() {
    let mut world = World::of(&format!(
        "plans:\n  team:\n    limits: [ {{ name: few, per: tenant, unit: requests, amount: 1, every: 1h }} ]\n    policies:\n      - {{ name: gone, when: 'limit.few.remaining < 1', then: {{ block: {{ status: 402 }} }} }}\n{TENANTS}"
    ));
    world.used("ada", "big", 1);
    world.remembers_refusals = true;
    let before = world.settled;
    assert_eq!(world.chat("ada", "big").err().unwrap().status, 402);
    assert_eq!(
        world.settled, before,
        "a hold that was never taken is given back, which makes a sidecar forget the refusal"
    );
}

#[test]
fn a_block_sees_calls_that_pass_unread() {
    let mut world = World::of(&format!(
        "routes: [ {{ path: /v1/files, unknown_endpoints: pass }} ]\nplans: {{ team: {{ {ROOMY}, policies: [ {{ name: no-ada, when: 'principal.user == \"ada\"', then: {{ block: true }} }} ] }} }}\n{TENANTS}"
    ));
    assert!(world.chat("ada", "big").is_err());
    let reply = world.head("ada", "GET", "/v1/files");
    assert!(matches!(reply, Some(Reply::Refuse { .. })), "{reply:?}");
    let row = world.last_row();
    assert_eq!(
        row.actions.iter().map(|a| &**a).collect::<Vec<_>>(),
        ["no-ada:block"]
    );
    let reply = world.head("bob", "GET", "/v1/files");
    assert!(
        matches!(reply, Some(Reply::RequestHeaders { .. })),
        "{reply:?}"
    );
}

/// What the body would say isn't known of a call that passes unread: neither that it
/// is so nor that it isn't.
#[test]
fn what_a_body_would_say_holds_for_no_head() {
    for (when, holds) in [
        ("true", true),
        ("principal.user == \"ada\"", true),
        ("request.task == \"\"", false),
        ("request.tokens < 10", false),
        ("request.tokens >= 10", false),
        ("!(\"a\" in metadata)", false),
        ("!(\"rm\" in request.tools)", false),
        ("request.stream || !request.stream", false),
        ("model.tier != \"premium\"", false),
        ("request.model != \"big\"", false),
        ("request.endpoint != \"/v1/chat/completions\"", true),
        ("request.route == \"files\"", true),
        ("request.route == \"\"", false),
        ("time.hour == 12", true),
        ("limit.roomy.remaining > 0", false),
    ] {
        let mut world = World::of(&format!(
            "routes: [ {{ name: files, path: /v1/files, unknown_endpoints: pass }} ]\nplans: {{ team: {{ {ROOMY}, policies: [ {{ name: r, when: '{when}', then: {{ block: true }} }} ] }} }}\n{TENANTS}"
        ));
        let reply = world.head("ada", "GET", "/v1/files");
        let refused = matches!(reply, Some(Reply::Refuse { .. }));
        assert_eq!(refused, holds, "{when}: {reply:?}");
    }
}

#[test]
fn a_head_asks_for_approval_and_is_warned_and_throttled() {
    use weir::exchange::message::Notice;
    use weir::policy::grants::{Allowance, Grant, GrantChange};
    let mut world = World::of(&format!(
        "routes: [ {{ path: /v1/files, unknown_endpoints: pass }} ]\nplans: {{ team: {{ {ROOMY}, policies: [ {{ name: ask, when: 'principal.user == \"ada\"', then: {{ require_approval: true }} }}, {{ name: told, then: {{ warn: files are not metered, throttle: {{ delay: 2s, limits: 0.5 }} }} }}, {{ name: small, then: {{ clamp_output: 5 }} }} ] }} }}\n{TENANTS}"
    ));
    let reply = world.head("ada", "GET", "/v1/files");
    assert!(matches!(reply, Some(Reply::Refuse { .. })), "{reply:?}");
    let Some(Notice::Approval(request)) = world.notices.pop() else {
        panic!("{:?}", world.notices)
    };
    let grant = Grant {
        id: "g1".into(),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: Some(Arc::clone(&request.rule)),
        models: Vec::new(),
        allowance: Allowance::Calls(1),
        from: NOON,
        until: weir::units::UnixMillis(NOON.0 + 3_600_000),
        granted_by: "olga".into(),
    };
    world.change(|s| s.grants = Arc::new(s.grants.changed([GrantChange::Granted(grant)])));
    for passes in [true, false] {
        let reply = world.head("ada", "GET", "/v1/files");
        let passed = matches!(reply, Some(Reply::RequestHeaders { .. }));
        assert_eq!(passed, passes, "{reply:?}");
    }
    let asked = world.asked.last().unwrap();
    let names: Vec<&str> = asked.charges.iter().map(|c| &*c.limit.name).collect();
    assert_eq!(names, ["roomy", "throttled:roomy", "grant:g1"]);
    // Its row tells the grant, which is used up after a loss of counters too.
    let call: Value = serde_json::from_str(&asked.context).unwrap();
    let actions = call["actions"].as_array().unwrap();
    assert!(actions.contains(&json!("ask:grant=g1")), "{actions:?}");
    assert_eq!(world.now, NOON, "it waits for nothing");
    assert!(matches!(world.notices.last(), Some(Notice::Approval(_))));
}

/// Its calls, by path and body; which of them pass where no pictures may be sent.
fn pictures_let_through(calls: &[(&'static str, Value)]) -> Vec<&'static str> {
    let mut world = World::of(&format!(
        "models:\n  anthropic.claude-x: {{ provider: bedrock, price: free, max_output_tokens: 9, max_input_tokens: 1000, image_tokens: 9 }}\n  gem: {{ provider: gemini, price: free, max_output_tokens: 9, max_input_tokens: 1000, image_tokens: 9 }}\n  gpt: {{ provider: openai, price: free, max_output_tokens: 9, max_input_tokens: 1000, image_tokens: 9 }}\nplans: {{ team: {{ {ROOMY}, guardrails: {{ images_max: 0 }} }} }}\n{TENANTS}"
    ));
    let passed = calls.iter().filter(|(path, body)| {
        let call = world.call_with("ada", path, &[], body);
        call.is_ok()
    });
    passed.map(|(path, _)| *path).collect()
}

const CONVERSE: &str = "/model/anthropic.claude-x/converse";
const GENERATE: &str = "/v1beta/models/gem:generateContent";
const RESPONSES: &str = "/v1/responses";

#[test]
fn pictures_that_the_provider_fetches() {
    let converse = |block: Value| {
        (
            CONVERSE,
            json!({ "messages": [{ "role": "user", "content": [block] }] }),
        )
    };
    let generate = |file: Value| {
        (
            GENERATE,
            json!({ "contents": [{ "role": "user", "parts": [{ "fileData": file }] }] }),
        )
    };
    let responses = |part: Value| {
        (
            RESPONSES,
            json!({ "model": "gpt", "input": [{ "role": "user", "content": [part] }] }),
        )
    };
    let s3 = json!({ "s3Location": { "uri": "s3://b/x.png" } });
    let pictures = [
        converse(json!({ "image": { "format": "png", "source": s3 } })),
        generate(json!({ "mimeType": "image/png", "fileUri": "gs://b/x.png" })),
        generate(json!({ "mime_type": "Image/png", "file_uri": "gs://b/x.png" })),
        generate(json!({ "fileUri": "gs://b/x" })),
        responses(json!({ "type": "input_image", "file_id": "file-1" })),
        responses(json!({ "file_id": "file-1", "type": "input_image" })),
    ];
    assert_eq!(pictures_let_through(&pictures), [""; 0]);
    let others = [
        converse(json!({ "document": { "format": "pdf", "name": "x", "source": s3 } })),
        generate(json!({ "mimeType": "application/pdf", "fileUri": "gs://b/x.pdf" })),
        responses(json!({ "type": "input_file", "file_id": "file-1" })),
    ];
    assert_eq!(
        pictures_let_through(&others),
        [CONVERSE, GENERATE, RESPONSES],
        "these are no pictures"
    );
}

#[test]
fn a_shadow_that_looks_at_metadata() {
    let rule = |rules: &str| {
        World::of(&format!(
            "plans: {{ team: {{ {ROOMY}{rules} }} }}\n{TENANTS}"
        ))
    };
    let looks = |mode: &str| {
        format!(
            ", policies: [ {{ name: s, mode: {mode}, when: 'metadata[\"a\"] == \"3\"', then: {{ block: true }} }} ]"
        )
    };
    let body = r#"{"model":"big","messages":[{"role":"user","content":"x"}],"metadata":{"a":"1","a":"2"}}"#;
    assert!(rule("").call_text("ada", body).is_ok());
    let shadowed = rule(&looks("shadow")).call_text("ada", body);
    assert!(shadowed.is_ok(), "{:?}", shadowed.err());
    let refused = rule(&looks("enforce"))
        .call_text("ada", body)
        .err()
        .unwrap();
    assert_eq!(refused.status, 400, "what it is judged by is said twice");
}

/// A model of two prices, and a budget, at a plan that says this as well.
fn flexible(more: &str) -> World {
    World::of(&format!(
        "models: {{ m: {{ provider: openai, max_output_tokens: 1000, price: {{ input: 10, output: 30, flex: {{ input: 1, output: 3 }} }} }}, o: {{ provider: openai, max_output_tokens: 1000, price: {{ input: 10, output: 30, flex: {{ input: 1, output: 3 }} }} }} }}\nplans: {{ team: {{ budgets: [ {{ name: b, amount: 1, every: day }} ]{more} }} }}\n{TENANTS}"
    ))
}

#[test]
fn a_tier_of_service_that_is_left_out() {
    for (more, goes) in [
        ("", false),
        (", guardrails: { drop: [service_tier] }", true),
        (
            ", policies: [ { name: r, then: { downgrade: { to: o, drop: [serviceTier] } } } ]",
            true,
        ),
        (
            ", policies: [ { name: r, then: { downgrade: { to: o, drop: [seed] } } } ]",
            false,
        ),
    ] {
        let mut world = flexible(more);
        let call = world
            .call("ada", &chat_of("m", json!({ "service_tier": "flex" })))
            .unwrap_or_else(|r| panic!("{r:?}"));
        assert_eq!(call.body.get("service_tier").is_none(), goes, "{more}");
        let held = world.asked.last().unwrap().charges[0].amount;
        assert_eq!(held >= 1000 * 30_000, goes, "{more}: {held}");
    }
}

/// What is held for a call, of which 20 tokens of output are expected, where this is
/// said in the plan and below it.
fn held_where(plan: &str, below: &str) -> u64 {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ limits: [ {{ name: t, per: tenant, unit: output_tokens, amount: 99999, every: 1h }} ], output: {{ {plan} }} }} }}\ntenants: {{ acme: {{ plan: team, users: {{ ada: {{ output: {{ {below} }} }} }} }}, globex: {{ plan: team }} }}\n"
    ));
    let news = weir::policy::expected::News {
        tenant: "acme".into(),
        model: "big".into(),
        output_tokens: Some(20),
    };
    world.learned.expected = Arc::new(world.learned.expected.with([news]));
    let _ = world.chat("ada", "big").unwrap_or_else(|r| panic!("{r:?}"));
    world.asked.last().unwrap().charges[0].amount
}

#[test]
fn what_is_held_below_a_plan() {
    for (plan, below, held) in [
        ("hold: expected", "", 20),
        ("hold: expected", "max_tokens: { cap: 4000 }", 20),
        ("hold: expected", "hold: maximum", 1000),
        ("hold: expected", "hold: expected, percentile: 50", 20),
        ("hold: maximum", "hold: expected", 1000),
        ("", "hold: expected", 1000),
    ] {
        assert_eq!(held_where(plan, below), held, "{plan} above {below}");
    }
}

#[test]
fn utc_below_a_plan_of_another_zone() {
    let mut world = World::of(&format!(
        "plans: {{ team: {{ {ROOMY}, time_zone: Asia/Tokyo }} }}\ntenants: {{ acme: {{ plan: team, time_zone: UTC, policies: [ {{ name: noon, when: 'time.hour == 12', then: {{ block: true }} }} ] }}, globex: {{ plan: team }} }}\n"
    ));
    assert!(world.chat("ada", "big").is_err(), "it is 12:00 at UTC");
}

#[test]
fn what_conditions_can_not_see_is_told_of() {
    for (when, said) in [
        (
            r#"request.headers["x-clas"] == "batch""#,
            "there is no header \"x-clas\" in conditions.headers; did you mean \"x-class\"?",
        ),
        (
            r#"request.headers["X-Class"] == "batch""#,
            "there is no header \"X-Class\" in conditions.headers; did you mean \"x-class\"?",
        ),
        (
            r#"principal.plan == "teem""#,
            "there is no plan \"teem\"; did you mean \"team\"?",
        ),
        (
            r#"model.provider == "opnai""#,
            "there is no model of provider \"opnai\"; did you mean \"openai\"?",
        ),
        (
            r#"model.tier == "premum""#,
            "there is no model of tier \"premum\"; did you mean \"premium\"?",
        ),
    ] {
        for where_it_stands in [
            format!("policies: [ {{ name: c, when: '{when}', then: {{ block: true }} }} ]"),
            format!(
                "limits: [ {{ per: tenant, unit: requests, amount: 9, every: 1h, when: '{when}' }} ]"
            ),
        ] {
            let found = problems(&format!(
                "conditions: {{ headers: [x-class] }}\nplans: {{ team: {{ {where_it_stands} }} }}\n{TENANTS}"
            ));
            assert!(
                found.iter().any(|found| found.contains(said)),
                "{when} {found:?}"
            );
        }
    }
    let right = r#"request.headers["x-class"] == "batch" && principal.plan == "team" && model.provider != """#;
    let found = problems(&format!(
        "conditions: {{ headers: [x-class] }}\nplans: {{ team: {{ {ROOMY}, policies: [ {{ name: c, when: '{right}', then: {{ block: true }} }} ] }} }}\n{TENANTS}"
    ));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_plan_that_allows_a_virtual_model_alone() {
    let policy = |allow: &str| {
        format!(
            "models:\n  a: {{ price: free, max_output_tokens: 9, tier: low }}\n  b: {{ price: free, max_output_tokens: 9, tier: high }}\n  auto: {{ choose: a }}\nplans: {{ team: {{ {ROOMY}, allow: {{ {allow} }} }} }}\n{TENANTS}"
        )
    };
    for (allow, said) in [
        (
            "models: [auto]",
            "plans.team.allow.models[0]: allows no model: name those that may be chosen, too",
        ),
        (
            "models: [a], tiers: [high]",
            "plans.team.allow.models[0]: allows no model: none that it names is of a tier that is allowed",
        ),
    ] {
        let found = problems(&policy(allow));
        assert!(
            found.len() == 2 && found[0].ends_with(said),
            "{allow} {found:?}"
        );
    }
    let mut world = World::of(&policy("models: [auto, a]"));
    for model in ["a", "auto"] {
        let call = world.call("ada", &chat_of(model, json!({})));
        assert!(call.is_ok(), "{:?}", call.err());
    }
    assert!(world.call("ada", &chat_of("b", json!({}))).is_err());
}

#[test]
fn a_model_without_a_price_and_a_rule_on_cost() {
    let mut world = World::of(&format!(
        "models: {{ m: {{ provider: openai, price: unpriced, max_output_tokens: 100000 }}, p: {{ provider: openai, price: free, max_output_tokens: 9 }} }}\nplans: {{ team: {{ {ROOMY}, policies: [ {{ name: dear, when: 'request.cost_max > usd(0.01)', then: {{ block: true }} }}, {{ name: cheap, when: 'request.cost_max < usd(0.01)', then: {{ warn: true }} }}, {{ name: told, when: 'has(request.cost_max)', then: {{ warn: true }} }} ] }} }}\n{TENANTS}"
    ));
    for (model, actions) in [("m", &[][..]), ("p", &["cheap:warn", "told:warn"])] {
        let mut call = world
            .call("ada", &chat_of(model, json!({})))
            .unwrap_or_else(|r| panic!("{r:?}"));
        world.answer(&mut call, 1, 1);
        let taken: Vec<&str> = world.last_row().actions.iter().map(|a| &**a).collect();
        assert_eq!(taken, actions, "{model}");
    }
}
