//! The command as it is used, by a configuration alone.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Weir {
    #[command(flatten)]
    explain: ExplainArgs,
}

/// A budget near whose end calls go to the small model.
pub(in crate::cli) const CONFIG: &str = r#"
listen: { grpc: "127.0.0.1:0", admin: "127.0.0.1:0" }
counters: { redis: { url: { env: REDIS_URL } } }
identity: { pepper: { env: NO_SUCH_PEPPER } }
models:
  big: { tier: premium, provider: openai, price: { input: 10, output: 30 }, max_output_tokens: 4096 }
  small: { tier: standard, provider: openai, price: { input: 1, output: 2 }, max_output_tokens: 4096 }
plans:
  team:
    limits: [ { name: rpm, per: user, unit: requests, amount: 5, every: 1m } ]
    budgets: [ { name: monthly, amount: 10 USD, every: month, warn_at: [0.5] } ]
    policies:
      - { name: economy, when: 'budget.monthly.used > 0.8 && model.tier == "premium"', then: { downgrade: small } }
      - { name: ask, when: 'request.cost_max > usd(0.05)', then: { require_approval: true } }
      - { name: slow, when: 'request.task == "batch"', then: { throttle: { delay: 750ms } } }
tenants: { acme: { plan: team } }
"#;

/// A file beside others, by its name.
pub(in crate::cli) struct Site(tempfile::TempDir);

impl Site {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

const CALL: &str =
    r#"{"model":"big","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}"#;

fn weir(site: &Site, more: &[&str]) -> Result<String, String> {
    let (config, call) = (site.path("weir.yaml"), site.path("call.json"));
    let usual = ["weir", "--config", &config, "--request", &call];
    let args = usual.iter().chain(more).copied();
    let parsed = Weir::try_parse_from(args).map_err(|error| error.to_string())?;
    explained(&parsed.explain, &Process).map_err(|error| format!("{error:#}"))
}

fn site(state: &str) -> Site {
    Site::new(&[
        ("weir.yaml", CONFIG),
        ("call.json", CALL),
        ("state.yaml", state),
    ])
}

fn json(site: &Site, more: &[&str]) -> Value {
    let more = [more, &["--format", "json"]].concat();
    serde_json::from_str(&weir(site, &more).unwrap()).unwrap()
}

#[test]
fn an_unused_budget_lets_the_call_through_as_it_is() {
    let site = site("");
    let told = json(&site, &["--tenant", "acme", "--user", "ada"]);
    assert_eq!(told["plans"], json!(["team"]));
    assert_eq!(told["caller"]["user"], "ada");
    let estimate = &told["estimate"];
    let input = estimate["input_tokens_max"].as_u64().unwrap();
    assert_eq!(estimate["output_tokens_max"], 1000);
    assert_eq!(estimate["cost_max_nanos"], input * 10_000 + 30_000_000);
    let limits = told["limits"].as_array().unwrap();
    let of = |name: &str| limits.iter().find(|limit| limit["name"] == name).unwrap();
    assert_eq!(of("rpm")["remaining"], 5);
    assert_eq!(of("rpm")["takes"], 1);
    assert_eq!(of("monthly")["kind"], "budget");
    assert_eq!(of("monthly")["amount"], 10_000_000_000_u64);
    assert_eq!(of("monthly")["takes"], estimate["cost_max_nanos"]);
    assert_eq!(of("monthly")["fits"], true);
    let rules = told["rules"].as_array().unwrap();
    let held: Vec<&str> = rules
        .iter()
        .map(|rule| rule["held"].as_str().unwrap())
        .collect();
    assert_eq!(held, ["no", "no", "no"]);
    assert_eq!(rules[0]["facts"]["budget.monthly.used"], 0.0);
    assert_eq!(rules[0]["facts"]["model.tier"], "premium");
    assert_eq!(
        rules[1]["facts"]["request.cost_max"],
        estimate["cost_max_nanos"]
    );
    assert_eq!(told["verdict"]["decision"], "allowed");
    assert_eq!(told["verdict"]["sent"]["edits"], json!({}));
}

#[test]
fn a_state_downgrades_the_call_and_says_why() {
    let site = site("budgets: { monthly: { used: 0.85 } }\ntime: 2026-11-16T12:00:00Z\n");
    let state = site.path("state.yaml");
    let more = ["--tenant", "acme", "--state", &state];
    let told = json(&site, &more);
    assert_eq!(told["at_ms"], 1_794_830_400_000_u64);
    assert_eq!(told["model"]["served"], "small");
    let verdict = &told["verdict"];
    assert_eq!(verdict["is"], json!(["downgraded", "warned"]));
    assert_eq!(verdict["actions"], json!(["economy:downgrade"]));
    assert_eq!(
        verdict["sent"]["edits"]["model"],
        json!({ "from": "big", "to": "small" })
    );
    assert_eq!(verdict["sent"]["headers"]["x-weir-model"], "small");
    assert_eq!(verdict["passed"]["monthly"], 50);
    let text = weir(&site, &more).unwrap();
    for expected in [
        "caller    acme",
        "big, goes to small",
        "the rule economy puts small in the place of big",
        "economy (of team) holds",
        "budget.monthly.used is 0.85",
        "allowed (downgraded, warned)",
        "model: big -> small",
        "$8.500000000",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
}

#[test]
fn a_used_up_limit_refuses_with_the_very_answer() {
    let site = site("limits: { rpm: { used: 5 } }");
    let state = site.path("state.yaml");
    let told = json(
        &site,
        &["--tenant", "acme", "--user", "ada", "--state", &state],
    );
    let verdict = &told["verdict"];
    assert_eq!(
        (&verdict["decision"], &verdict["by"]),
        (&json!("refused"), &json!("rpm"))
    );
    let answer = &verdict["answer"];
    assert_eq!(answer["status"], 429);
    assert!(answer["body"]["error"]["message"].is_string());
    assert!(answer["headers"]["retry-after"].is_string(), "{answer}");
    let rpm = &told["limits"][0];
    assert_eq!(
        (&rpm["fits"], &rpm["retry"]),
        (&json!(false), &json!("after"))
    );
}

#[test]
fn approvals_grants_and_delays_are_told() {
    let site = Site::new(&[
        ("weir.yaml", CONFIG),
        (
            "call.json",
            r#"{"model":"big","max_tokens":4000,"messages":[{"role":"user","content":"x"}]}"#,
        ),
        ("state.yaml", "grants: [ { rule: ask, calls: 2 } ]"),
    ]);
    let told = json(&site, &["--tenant", "acme"]);
    assert_eq!(told["verdict"]["is"], json!(["approval_required"]));
    let state = site.path("state.yaml");
    let more = [
        "--tenant",
        "acme",
        "--state",
        &state,
        "--header",
        "x-weir-task: batch",
    ];
    let told = json(&site, &more);
    assert_eq!(told["verdict"]["decision"], "allowed");
    assert_eq!(told["verdict"]["delay_ms"], 750);
    let limits = told["limits"].as_array().unwrap();
    let grant = limits
        .iter()
        .find(|limit| limit["kind"] == "grant")
        .unwrap();
    assert_eq!((&grant["amount"], &grant["takes"]), (&json!(2), &json!(1)));
}

/// A grant that never could let the call through takes no other's place.
#[test]
fn of_several_grants_one_counts_that_is_enough() {
    let site = |grants: &str| {
        let call = CALL.replace("1000", "4000");
        let state = format!("grants: {grants}");
        Site::new(&[
            ("weir.yaml", CONFIG),
            ("call.json", &call),
            ("state.yaml", &state),
        ])
    };
    for (grants, decision, by) in [
        ("[ { cost: 0.000001 } ]", "refused", Some("grant:given-1")),
        ("[ {}, { cost: 0.000001 } ]", "allowed", None),
        ("[ {}, { calls: 1 } ]", "allowed", None),
        (
            "[ { calls: 1 }, { cost: 0.000001 } ]",
            "allowed",
            Some("grant:given-1"),
        ),
        (
            "[ { calls: 1 }, { cost: 5 } ]",
            "allowed",
            Some("grant:given-2"),
        ),
    ] {
        let site = site(grants);
        let state = site.path("state.yaml");
        let told = json(&site, &["--tenant", "acme", "--state", &state]);
        assert_eq!(told["verdict"]["decision"], decision, "{grants}");
        let mut limits = told["limits"].as_array().unwrap().iter();
        let grant = limits.find(|limit| limit["kind"] == "grant");
        assert_eq!(
            grant.map(|one| one["name"].as_str().unwrap()),
            by,
            "{grants}"
        );
    }
}

/// A period that is aligned ends though nothing is used; what slides has nothing to
/// reset.
#[test]
fn an_unused_budget_is_not_reset_now() {
    let config = CONFIG.replace(
        "every: month,",
        "every: month }, { name: credit, amount: 10 USD, every: 400d }, { name: daily, amount: 10 \
         USD, every: day,",
    );
    let state = "time: 2026-11-16T12:00:00Z";
    let site = Site::new(&[
        ("weir.yaml", &config),
        ("call.json", CALL),
        ("state.yaml", state),
    ]);
    let state = site.path("state.yaml");
    let more = ["--tenant", "acme", "--state", &state];
    let told = json(&site, &more);
    let limits = told["limits"].as_array().unwrap();
    let resets = |name: &str| {
        let limit = limits.iter().find(|limit| limit["name"] == name).unwrap();
        limit["resets_in_ms"].clone()
    };
    assert_eq!(resets("daily"), 43_200_000);
    assert_eq!(resets("monthly"), 14 * 86_400_000_u64 + 43_200_000);
    assert_eq!(resets("credit"), 26 * 86_400_000_u64 + 43_200_000);
    assert_eq!(resets("rpm"), Value::Null);
    let text = weir(&site, &more).unwrap();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("monthly").contains("14d 12h"), "{text}");
    assert!(line("daily").contains("12h"), "{text}");
    let columns: Vec<&str> = line("rpm").split_whitespace().rev().take(2).collect();
    assert_eq!(columns, ["yes", "-"], "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    let site = site("limits: { rmp: { used: 5 } }");
    let state = site.path("state.yaml");
    for (more, expected) in [
        (&[][..], "who makes the call?"),
        (&["--key", "ci"], "the configuration has no key ci"),
        (&["--key", "weir_live_s3cr3t"], "--key: wants the name"),
        (
            &["--tenant", "acme", "--state", &state],
            "no plan has a limit or budget of the name rmp",
        ),
        (&["--tenant", "acme", "--header", "x"], "--header"),
    ] {
        let error = weir(&site, more).unwrap_err();
        assert!(error.contains(expected), "{more:?}: {error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
    let config = policy(Path::new(&site.path("weir.yaml")), &Process).unwrap();
    let offline = Offline::of(config).unwrap();
    let unknown = "there is no tenant \"acm\"; did you mean \"acme\"?";
    assert_eq!(offline.unknown("acm").as_deref(), Some(unknown));
    assert_eq!(offline.unknown("acme"), None);
    let told = json(&site, &["--tenant", "globex"]);
    assert_eq!(told["verdict"]["is"], json!(["no_plan"]));
}

/// Of a call that comes by a route of Envoy's.
#[test]
fn a_call_is_judged_by_the_route_that_envoy_would_choose() {
    let config = CONFIG.replace(
        "      - { name: slow,",
        "      - { name: nights, when: 'request.route == \"batch\"', then: { block: true } }\n      - { name: slow,",
    ) + "routes: [ { name: batch, envoy_route: '*/batch' }, { dialect: anthropic, envoy_route: claude } ]\n";
    let site = Site::new(&[("weir.yaml", &*config), ("call.json", CALL)]);
    let told = |more: &[&str]| json(&site, &[&["--tenant", "acme"], more].concat());
    let decided = |told: &Value| told["verdict"]["decision"].clone();
    assert_eq!(decided(&told(&[])), "allowed");
    let batch = told(&["--envoy-route", "ns/batch"]);
    assert_eq!(decided(&batch), "refused");
    assert_eq!(batch["verdict"]["by"], "nights");
    let rules = batch["rules"].as_array().unwrap();
    let nights = rules.iter().find(|rule| rule["name"] == "nights").unwrap();
    assert_eq!(nights["facts"]["request.route"], "batch");
    let claude = told(&["--envoy-route", "claude"]);
    assert_eq!(claude["verdict"]["answer"]["status"], 404, "{claude:#}");
}
