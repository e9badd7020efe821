//! Rules, budgets and approvals through the real Envoy: each action as an official
//! SDK sees it, a budget's last dollar under fire, consent that two sidecars share.

use super::calls::hello;
use super::sdk;
use crate::support::stack::{ADMIN_TOKEN, Engine, Setup, Stack, weir_binary};
use crate::support::until;
use serde_json::json;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use weir::exchange::event::Outcome;

const RULES: &str = r#"
    policies:
      - { name: tell, when: 'request.task == "warned"', then: { warn: Please mind the cost. } }
      - { name: short, when: 'request.task == "clamped"', then: { clamp_output: 5 } }
      - { name: economy, when: 'request.task == "downgraded"', then: { downgrade: gpt-4o-mini } }
      - { name: slow, when: 'request.task == "throttled"', then: { throttle: { delay: 2s } } }
      - { name: elsewhere, when: 'request.task == "routed"', then: { route: cheap } }
      - { name: never, when: 'request.task == "blocked"', then: { block: { code: not_today, message: Not today. } } }
      - { name: ask-first, when: 'request.task == "approved"', then: { require_approval: { approvers: finance } } }
    guardrails: { forbid: [ logit_bias ] }"#;

const VIRTUAL: &str = "  auto: { choose: [ { when: 'request.task == \"classify\"', use: gpt-4o-mini }, { use: gpt-4o } ] }\n";

/// A route for the cluster that a rule chooses.
const ROUTE: (&str, &str) = (
    "              - name: llm\n",
    "              - match: { prefix: /, headers: [ { name: x-weir-cluster, string_match: { exact: cheap } } ] }\n                \
     route: { cluster: provider, timeout: 600s }\n                response_headers_to_add: [ { header: { key: x-went-to, value: cheap } } ]\n              \
     - name: llm\n",
);

#[tokio::test]
async fn an_official_sdk_sees_each_action() {
    let stack = Stack::start(Setup {
        plan: RULES.to_owned(),
        models: VIRTUAL,
        envoy_edits: vec![ROUTE],
        ..Setup::default()
    })
    .await;
    let told = sdk::run("sdk_policies.py", &stack).await;
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "warn: 200 x-weir-warning=Please mind the cost.",
            "clamp: 5 x-weir-clamped=max_tokens=5",
            "downgrade: gpt-4o-mini x-weir-model=gpt-4o-mini, x-weir-downgraded-from=gpt-4o",
            "throttle: 200 ok",
            "route: 200 x-went-to=cheap",
            "virtual: gpt-4o-mini x-weir-model=gpt-4o-mini",
            "block: PermissionDeniedError 403 not_today Not today.",
            "approval: PermissionDeniedError approval_required True True",
            "guardrail: BadRequestError 400 logit_bias",
            "downgraded stream: apple apple apple apple apple",
        ],
        "{told}"
    );
    // What the provider read is what the rows say.
    let sent: Vec<String> = stack
        .provider
        .log()
        .iter()
        .map(|call| call.body["model"].as_str().unwrap_or_default().to_owned())
        .collect();
    let mini = sent.iter().filter(|model| *model == "gpt-4o-mini").count();
    assert_eq!((sent.len(), mini), (7, 3), "{sent:?}");
    let events = stack.wait_for_events(10).await;
    let asked = |event: &&weir::exchange::UsageEvent| event.model_asked.is_some();
    assert_eq!(events.iter().filter(asked).count(), 3);
    for call in stack.provider.log() {
        assert_eq!(call.header("x-weir-task"), None, "a hint doesn't travel on");
    }
    stack.settle_the_books().await;
}

/// 1,000 calls at once, each of which may cost a cent, against the last dollar.
#[tokio::test]
async fn a_thousand_calls_at_once_never_overspend_the_last_dollar() {
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = Stack::start(Setup {
            engine,
            // A busy machine takes its time for a thousand at once.
            envoy_edits: vec![(" message_timeout: 1s", " message_timeout: 30s")],
            redis: "response_timeout: 10s, on_failure: deny",
            plan: "    budgets: [ { name: monthly, amount: 1 USD, every: month, warn_at: 0.5 } ]"
                .to_owned(),
            ..Setup::default()
        })
        .await;
        let stack = Arc::new(stack);
        // 5 of 1,000 tokens are used: 10,000 nano-dollars each.
        let ask = json!({ "model": "gpt-4o", "max_tokens": 1000, "messages": [
            { "role": "user", "content": "hi" }] });
        let ask = Arc::new(ask);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let (stack, ask) = (Arc::clone(&stack), Arc::clone(&ask));
            calls.spawn(async move {
                let output = [("x-fake-output", "1000")];
                stack.send(stack.chat(&ask, &output)).await.status
            });
        }
        let answers = calls.join_all().await;
        let known = |status: &u16| matches!(*status, 200 | 429);
        assert!(answers.iter().all(known), "{engine:?}: {answers:?}");
        assert!(answers.contains(&200) && answers.contains(&429));
        let spent = |events: &[weir::exchange::UsageEvent]| {
            let costs = events.iter().filter_map(|event| event.cost_nanos);
            costs.sum::<u64>()
        };
        // Holds came back: the rest of the budget is there to be used.
        while stack
            .send(stack.chat(&ask, &[("x-fake-output", "1000")]))
            .await
            .status
            != 429
        {}
        let events = stack.log_and_events_agree().await;
        let spent = spent(&events);
        assert!(spent <= 1_000_000_000, "{engine:?}: {spent}");
        assert!(spent >= 950_000_000, "{engine:?}: 95% are usable, {spent}");
    }
}

/// Asked on one sidecar, granted by the command line, used up by both.
#[tokio::test]
async fn consent_is_asked_for_given_and_used_up_across_two_sidecars() {
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        sqlite: true,
        plan: RULES.to_owned(),
        ..Setup::default()
    })
    .await;
    let (_other, _, other_admin) = stack.another_weir().await;
    let task = [("x-weir-task", "approved")];
    let refused = stack.send(stack.chat(&hello(), &task)).await;
    assert_eq!(refused.status, 403);
    let id = refused.header("x-weir-approval").unwrap().to_owned();
    let weir = |args: Vec<String>, server: std::net::SocketAddr| async move {
        let mut command = Command::new(weir_binary());
        command
            .args(args)
            .args(["--server", &format!("http://{server}")])
            .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    // The other sidecar's admin sees it too.
    until(
        "the request to be listed",
        Duration::from_secs(10),
        || async {
            let (ok, listed) = weir(words("approvals list"), other_admin).await;
            assert!(ok, "{listed}");
            listed.contains(&id).then_some(())
        },
    )
    .await;
    let (ok, told) = weir(
        words(&format!("approvals grant {id} --calls 2")),
        other_admin,
    )
    .await;
    assert!(ok, "{told}");
    let passed = until("the grant to be known", Duration::from_secs(5), || async {
        let answer = stack.send(stack.chat(&hello(), &task)).await;
        (answer.status == 200).then_some(())
    });
    passed.await;
    assert_eq!(stack.send(stack.chat(&hello(), &task)).await.status, 200);
    let refused = stack.send(stack.chat(&hello(), &task)).await;
    assert_eq!(refused.status, 403, "both calls are used up");
    assert_eq!(refused.header("x-weir-approval"), Some(id.as_str()));
    let events = stack.events();
    let granted = events
        .iter()
        .filter(|event| event.outcome == Outcome::Exact);
    for event in granted {
        let actions: Vec<&str> = event.actions.iter().map(|action| &**action).collect();
        assert_eq!(actions[0], "ask-first:require_approval");
        assert!(
            actions[1].starts_with("ask-first:grant=grt_"),
            "{actions:?}"
        );
        assert_eq!(actions.len(), 2);
    }
}
