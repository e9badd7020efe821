//! `weir explain` beside a weir that serves, and `weir policy test` as a CI runs it.

use super::calls::hello;
use crate::support::stack::{ADMIN_TOKEN, Engine, SOON, Setup, Stack, weir_binary};
use crate::support::until;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const LIMITS: &str = "[
      { name: rpm, per: tenant, unit: requests, amount: 2, every: 1h },
      { name: slots, per: tenant, unit: concurrency, amount: 5 } ]";

fn weir(arguments: &[&str]) -> Output {
    let mut command = Command::new(weir_binary());
    command.args(arguments).env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN);
    command.env_remove("WEIR_PEPPER").output().unwrap()
}

fn told(stack: &Stack, call: &Path, more: &[&str]) -> Value {
    let server = format!("http://{}", stack.admin);
    let call = call.to_str().unwrap();
    let usual = ["explain", "--server", &server, "--request", call];
    let arguments = [&usual, more, &["--format", "json"]].concat();
    let done = weir(&arguments);
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{error}");
    serde_json::from_slice(&done.stdout).unwrap()
}

#[tokio::test]
async fn a_running_weir_explains_by_its_own_counters_and_charges_nothing() {
    // Not in a stack's folder, where no prompt may be.
    let folder = tempfile::tempdir().unwrap();
    let call = folder.path().join("call.json");
    std::fs::write(&call, hello().to_string()).unwrap();
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = Stack::start(Setup {
            engine,
            limits: LIMITS.to_owned(),
            ..Setup::default()
        })
        .await;
        let who = ["--tenant", "acme", "--user", "ada"];
        let rpm = |told: &Value| {
            let limits = told["limits"].as_array().unwrap().iter();
            let rpm = limits.clone().find(|limit| limit["name"] == "rpm").unwrap();
            (
                rpm["used"].clone(),
                rpm["remaining"].clone(),
                rpm["fits"].clone(),
            )
        };
        for _ in 0..3 {
            let told = told(&stack, &call, &who);
            assert_eq!(rpm(&told), (json!(0), json!(2), json!(true)), "{told:#}");
            assert_eq!(told["verdict"]["decision"], "allowed");
        }
        for _ in 0..2 {
            assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        }
        stack.wait_for_events(2).await;
        let refused = until("both to be told of", SOON, || async {
            let told = told(&stack, &call, &who);
            (rpm(&told).0 == json!(2)).then_some(told)
        })
        .await;
        assert_eq!(rpm(&refused).2, json!(false));
        let verdict = &refused["verdict"];
        assert_eq!(
            (&verdict["decision"], &verdict["by"]),
            (&json!("refused"), &json!("rpm"))
        );
        // What its client really gets.
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 429);
        assert_eq!(verdict["answer"]["status"], 429);
        let really: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            verdict["answer"]["body"]["error"]["code"],
            really["error"]["code"]
        );
        stack.settle_the_books().await;
    }
}

const CONFIG: &str = "
listen: { grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }
identity: { pepper: { env: WEIR_PEPPER } }
models: { m: { price: { input: 1, output: 2 }, max_output_tokens: 100 } }
plans:
  team: { policies: [ { name: stop, when: 'request.output_max > 50', then: { block: true } } ] }
tenants: { acme: { plan: team } }
";

#[test]
fn policy_test_tells_a_ci_how_it_went_without_any_secret() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    write("weir.yaml", CONFIG);
    let cases = |expect: &str| {
        format!(
            "config: weir.yaml\ncases: [ {{ name: large ones, given: {{ tenant: acme }}, when: {{ \
             body: {{ model: m, max_tokens: 60, messages: [ {{ role: user, content: hi }} ] }} }}, \
             expect: {expect} }} ]\n"
        )
    };
    for (expect, code, said) in [
        (
            "{ verdict: blocked, status: 403, rule: stop }",
            0,
            "1 case, 0 failed",
        ),
        (
            "{ verdict: allowed }",
            1,
            "verdict: expected allowed, got refused",
        ),
        ("{ verdit: allowed }", 2, "did you mean \"verdict\"?"),
    ] {
        let path = write("cases.yaml", &cases(expect));
        let done = weir(&["policy", "test", &path]);
        let text = [done.stdout, done.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(done.status.code(), Some(code), "{text}");
        assert!(text.contains(said), "{text}");
    }
}
