//! `weir limits`, as an operator runs it beside a weir that serves.

use super::calls::hello;
use super::failures::streamed;
use crate::support::stack::{ADMIN_TOKEN, Engine, OTHER_KEY, PEPPER, Setup, Stack, weir_binary};
use crate::support::{client, until};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

const LIMITS: &str = "[
      { name: rpm, per: tenant, unit: requests, amount: 3, every: 1h },
      { name: by-user, per: user, unit: tokens, amount: 900, every: 1h },
      { name: spend, per: [ user, model ], unit: cost, amount: 20, period: month },
      { name: slots, per: tenant, unit: concurrency, amount: 5 } ]";

/// Whether it went well, and what it printed.
fn limits(stack: &Stack, arguments: &[&str], token: Option<&str>) -> (bool, String, String) {
    let mut command = Command::new(weir_binary());
    command.arg("limits").args(arguments);
    command
        .arg("--config")
        .arg(stack.dir.path().join("weir.yaml"));
    command.env("WEIR_PEPPER", PEPPER);
    if let Some(token) = token {
        command.env("WEIR_ADMIN_TOKEN", token);
    }
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

fn shown(stack: &Stack, limit: &str) -> Vec<Value> {
    let arguments = ["show", "--tenant", "acme", "--json", "--limit", limit];
    let (fine, out, err) = limits(stack, &arguments, Some(ADMIN_TOKEN));
    assert!(fine, "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&answer["tenant"], &answer["more"]),
        (&json!("acme"), &json!(false))
    );
    answer["limits"].as_array().unwrap().clone()
}

fn numbers(counter: &Value) -> [Option<u64>; 4] {
    ["most", "used", "held", "remaining"].map(|name| counter[name].as_u64())
}

#[tokio::test]
async fn limits_are_shown_and_reset() {
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = Stack::start(Setup {
            engine,
            limits: LIMITS.to_owned(),
            more: "limits: [ { name: upstream, per: provider, unit: requests, amount: 1k, every: 1h } ]".to_owned(),
            ..Setup::default()
        })
        .await;
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        let gate = [("x-fake-gate", "end"), ("x-fake-gate-after", "1")];
        let mut open = stack.open(stack.chat(&streamed(), &gate)).await;
        stack.wait_for_events(1).await;
        let all = |numbers: [u64; 4]| numbers.map(Some);
        until("the first call's settlement", SOON, || async {
            let rpm = shown(&stack, "rpm");
            (numbers(&rpm[0]) == all([3, 2, 1, 1])).then_some(())
        })
        .await;
        assert_eq!(numbers(&shown(&stack, "slots")[0]), all([5, 1, 1, 4]));
        assert_eq!(
            numbers(&shown(&stack, "upstream")[1]),
            all([1_000, 2, 1, 998])
        );
        let users = shown(&stack, "by-user");
        let of: Vec<&Value> = users.iter().map(|user| &user["of"]["user"]).collect();
        assert_eq!(of, ["user=ada", "user=bob"]);
        let [most, used, held, remaining] = numbers(&users[0]).map(Option::unwrap);
        assert!(held >= 100 && used > held, "{users:?}");
        assert_eq!((most, used + remaining), (900, 900));
        assert_eq!(numbers(&users[1]), all([900, 0, 0, 900]));
        // Each of two users with each of the models.
        assert_eq!(shown(&stack, "spend").len(), 2 * 13);
        let (fine, table, err) = limits(&stack, &["show", "--tenant", "acme"], Some(ADMIN_TOKEN));
        assert!(fine, "{err}");
        let line = |start: &str| {
            table
                .lines()
                .find(|line| line.starts_with(start) && !line.contains("no provider"))
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        assert!(
            line("LIMIT")
                .unwrap()
                .ends_with("AT MOST USED HELD LEFT RESETS IN"),
            "{table}"
        );
        assert_eq!(
            line("slots").as_deref(),
            Some("slots the tenant concurrency 5 1 1 4 -")
        );
        assert!(
            line("upstream")
                .unwrap()
                .starts_with("upstream provider fake, all tenants requests 1000 2 1 998 ")
        );
        reset_lets_calls_through(&stack).await;
        stack.provider.open_gate("end");
        assert!(open.rest().await.1);
        until("the slot to be free", SOON, || async {
            (numbers(&shown(&stack, "slots")[0]) == all([5, 0, 0, 5])).then_some(())
        })
        .await;
        let idle = ["reset", "--tenant", "acme", "--limit", "slots"];
        assert_eq!(
            limits(&stack, &idle, Some(ADMIN_TOKEN)).1,
            "acme: 0 counters reset\nno call that they count is in flight\n"
        );
        stack.settle_the_books().await;
    }
}

async fn reset_lets_calls_through(stack: &Stack) {
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    let bob = [("authorization", &*format!("Bearer {OTHER_KEY}"))];
    for _ in 0..2 {
        assert_eq!(stack.send(stack.chat(&hello(), &bob)).await.status, 429);
    }
    let reset = |limit| {
        limits(
            stack,
            &["reset", "--tenant", "acme", "--limit", limit],
            Some(ADMIN_TOKEN),
        )
    };
    assert_eq!(reset("rpm").1, "acme: 1 counter reset\n");
    assert_eq!(numbers(&shown(stack, "rpm")[0]), [3, 0, 0, 3].map(Some));
    assert_eq!(stack.send(stack.chat(&hello(), &bob)).await.status, 200);
    // Of what is in flight nothing is forgotten.
    assert_eq!(
        reset("slots").1,
        "acme: 0 counters reset\n1 counter of calls in flight stay as they are\n"
    );
}

#[tokio::test]
async fn who_may_not_ask_is_told_nothing() {
    let stack = Stack::start(Setup::default()).await;
    let show = ["show", "--tenant", "acme"];
    for (arguments, token, expected) in [
        (
            &show,
            Some("another-token-of-tests"),
            "401 Unauthorized: a token that counts is needed",
        ),
        (
            &show,
            Some("short"),
            "listen.admin_token.env: must have 16 to 1024 visible ASCII characters",
        ),
        (
            &show,
            None,
            "listen.admin_token.env: names an environment variable that is not set",
        ),
        (
            &["show", "--tenant", "nobody"],
            Some(ADMIN_TOKEN),
            "404 Not Found: no key belongs to such a tenant",
        ),
    ] {
        let (fine, out, err) = limits(&stack, arguments, token);
        assert!(!fine && out.is_empty());
        assert!(err.contains(expected), "{err}");
        assert!(!err.contains(token.unwrap_or("no token at all")), "{err}");
    }
    for (path, status) in [("/v1/limits?tenant=acme", 401), ("/v1/limits", 401)] {
        let answer = client::get(stack.admin, path).await;
        assert_eq!(answer.status, status);
        assert!(!answer.text().contains("rpm"));
    }
    stack.settle_the_books().await;
}
