//! `weir approvals` and `weir budgets` on a database, as people see them: what they
//! print, and how they refuse.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use weir::accounts::Accounts;
use weir::driver::clock::Clock;
use weir::ledger::store::StoreConfig;
use weir::policy::grants::{ApprovalRequest, Approver};
use weir::units::Millis;

const CONFIG: &str = "
listen: { grpc: \"unix:DIR/weir.sock\" }
ledger: { path: \"DIR/ledger\", sqlite: { path: \"DIR/weir.db\" } }
identity:
  keys:
    - { id: k1, hash: \"0000000000000000000000000000000000000000000000000000000000000001\", tenant: acme }
  pepper: { env: WEIR_PEPPER }
models: { gpt: { max_output_tokens: 10, price: { input: 1, output: 1 } } }
plans:
  team:
    limits:
      - { name: monthly, per: tenant, unit: cost, amount: 500, period: month }
      - { name: each, per: user, unit: tokens, amount: 5M, period: day }
      - { name: rate, per: tenant, unit: requests, amount: 5, every: 1h }
tenants: { acme: { plan: team } }
";

struct Said {
    out: String,
    err: String,
    ok: bool,
}

fn weir(folder: &Path, words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(words)
        .args(["--config", "weir.yaml"])
        .current_dir(folder)
        .env("WEIR_PEPPER", "a-pepper-that-nobody-else-has-ever")
        .env("USER", "ann")
        .output()
        .unwrap();
    Said {
        out: masked(&String::from_utf8(output.stdout).unwrap()),
        err: masked(&String::from_utf8(output.stderr).unwrap()),
        ok: output.status.success(),
    }
}

/// Names that dice made, and times, as they always are; columns by single spaces.
fn masked(text: &str) -> String {
    let word = |word: &str| {
        let end = word.trim_end_matches([':', ',', '\n']);
        let is_time = end.len() >= 10 && end.starts_with("20") && end.as_bytes()[4] == b'-';
        let masked = match end.split_once('_') {
            Some((kind @ ("grt" | "top"), digits)) if digits.len() == 16 => format!("{kind}_ID"),
            _ if is_time => "TIME".to_owned(),
            _ => end.to_owned(),
        };
        format!("{masked}{}", &word[end.len()..])
    };
    let line = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        words.join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

fn asked(folder: &Path, user: &str) -> Arc<str> {
    let now = Clock::start().now();
    let request = ApprovalRequest {
        id: ApprovalRequest::id_of_parts("acme", Some(user), "k1", "big", "gpt"),
        asked_at: now,
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: Some(user.into()),
        key_id: "k1".into(),
        plan: "team".into(),
        rule: "big".into(),
        model: "gpt".into(),
        endpoint: "/v1/chat/completions".into(),
        cost_max_nanos: 7_250_000_000,
        valid_for: Millis::from_mins(60),
        approvers: Some("finance@acme.com".into()),
        approver: Approver::Operator,
        expires_at: now + Millis::from_mins(60),
    };
    let id = Arc::clone(&request.id);
    let config = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let accounts = Accounts::open(&config).await.unwrap();
        accounts.ask(vec![request]).await.unwrap();
        accounts.close().await;
    });
    id
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = CONFIG.replace("DIR", path.to_str().unwrap());
    std::fs::write(path.join("weir.yaml"), config).unwrap();
    folder
}

#[test]
fn what_is_asked_is_listed_granted_and_taken_back() {
    let folder = folder();
    let folder = folder.path();
    let id = asked(folder, "ada");
    let said = weir(folder, &["approvals", "list"]);
    assert_eq!(
        said.out,
        format!(
            "ID STATE TENANT WHO RULE MODEL COST AT MOST ASKED TIMES APPROVERS\n\
             {id} waiting acme ada big gpt 7.25 USD TIME 1 finance@acme.com\n"
        ),
        "{}",
        said.err
    );
    let granted = weir(
        folder,
        &[
            "approvals",
            "grant",
            &id,
            "--amount",
            "50USD",
            "--for",
            "4h",
        ],
    );
    assert_eq!(granted.out, "grt_ID\n", "{}", granted.err);
    assert_eq!(
        granted.err,
        "user ada of acme is granted 50 USD until TIME: every weir that reaches the database \
         knows it in 5 s\n"
    );
    assert_eq!(
        weir(folder, &["approvals", "list"]).out,
        "nothing is asked\n"
    );
    let all = weir(
        folder,
        &["approvals", "list", "--state", "all", "--tenant", "acme"],
    );
    assert!(
        all.out.contains(&format!("{id} granted acme ada")),
        "{}",
        all.out
    );
    let grants = weir(folder, &["approvals", "grants"]);
    assert_eq!(
        grants.out,
        "ID STATE TENANT FOR RULE MODELS ALLOWS LEFT UNTIL BY\n\
         grt_ID active acme user ada big gpt 50 USD - TIME cli/ann\n"
    );
    let json = weir(folder, &["approvals", "grants", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json[0]["cost_nanos"], 50_000_000_000_u64, "{json}");
    assert_eq!(json[0]["request"], *id);
    // Once more it is said that it was.
    let again = weir(folder, &["approvals", "grant", &id]);
    assert!(
        !again.ok
            && again
                .err
                .starts_with("weir approvals: it was granted already"),
        "{}",
        again.err
    );
    let grant = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args([
            "approvals",
            "grants",
            "--format",
            "json",
            "--sqlite",
            "weir.db",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let grant: serde_json::Value = serde_json::from_slice(&grant.stdout).unwrap();
    let grant = grant[0]["id"].as_str().unwrap();
    for said in ["grt_ID is revoked\n", "grt_ID was revoked before\n"] {
        assert_eq!(weir(folder, &["approvals", "revoke", grant]).out, said);
    }
    assert_eq!(weir(folder, &["approvals", "grants"]).out, "no grants\n");
    let free = [
        "approvals",
        "grant",
        "--tenant",
        "acme",
        "--project",
        "bot",
        "--calls",
        "3",
        "--for",
        "1d",
        "--note",
        "a demo",
    ];
    assert_eq!(weir(folder, &free).out, "grt_ID\n");
    let grants = weir(folder, &["approvals", "grants"]).out;
    assert!(
        grants.contains("acme project bot any any 3 calls - TIME cli/ann"),
        "{grants}"
    );
    let bob = asked(folder, "bob");
    let denied = weir(folder, &["approvals", "deny", &bob, "--note", "no"]);
    assert_eq!(
        denied.out,
        format!("{bob} is denied until TIME\n"),
        "{}",
        denied.err
    );
    let list = weir(folder, &["approvals", "list", "--state", "denied"]).out;
    assert!(list.contains(&format!("{bob} denied acme bob")), "{list}");
}

#[test]
fn what_is_added_to_a_budget_is_listed_and_taken_back() {
    let folder = folder();
    let folder = folder.path();
    let top_up = ["budgets", "top-up", "--tenant", "acme"];
    let with = |more: &[&str]| weir(folder, &[&top_up[..], more].concat());
    let said = with(&[
        "--budget", "monthly", "--amount", "100USD", "--note", "launch",
    ]);
    assert_eq!(said.out, "top_ID\n", "{}", said.err);
    assert_eq!(
        said.err,
        "monthly of acme has 100 USD more until TIME: every weir that reaches the database knows \
         it in 5 s\n"
    );
    let said = with(&["--budget", "each", "--user", "ada", "--amount", "2M"]);
    assert!(
        said.err.contains("each of acme has 2000000 tokens more"),
        "{}",
        said.err
    );
    let mut list = weir(folder, &["budgets", "list-top-ups"]).out;
    let mut rows: Vec<&str> = list.lines().collect();
    rows.sort_unstable();
    list = rows.join("\n");
    assert_eq!(
        list,
        "ID STATE TENANT BUDGET OF AMOUNT UNTIL BY NOTE\n\
         top_ID active acme each user ada 2000000 tokens TIME cli/ann -\n\
         top_ID active acme monthly - 100 USD TIME cli/ann launch"
    );
    for (more, error) in [
        (
            &["--budget", "yearly", "--amount", "1USD"][..],
            "the tenant's plan has no budget or limit of this name; it has monthly, each",
        ),
        (
            &["--budget", "rate", "--amount", "1"],
            "rate counts neither money nor tokens",
        ),
        (
            &["--budget", "monthly", "--amount", "2M"],
            "monthly counts cost: the amount must be in dollars, as in 100USD",
        ),
        (
            &["--budget", "each", "--amount", "2M"],
            "each is per user: say whose it is: user",
        ),
        (
            &["--budget", "monthly", "--amount", "5EUR"],
            "--amount: must be dollars or tokens, as 100USD or 2M",
        ),
        (
            &["--budget", "monthly", "--amount", "0USD"],
            "--amount: must be from 1 to 9007199254740991",
        ),
        (
            &["--budget", "monthly", "--amount", "1USD", "--for", "399d"],
            "what is added to monthly ends with its period, at TIME: say no later time, or none",
        ),
    ] {
        let said = with(more);
        assert_eq!(
            (said.ok, said.err),
            (false, format!("weir budgets: {error}\n")),
            "{more:?}"
        );
    }
    // The database alone doesn't know when a month ends.
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(top_up)
        .args([
            "--budget", "monthly", "--amount", "1USD", "--sqlite", "weir.db",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("say until when with --until or --for"),
        "{said}"
    );
}

#[test]
fn what_is_said_wrongly_is_told() {
    let folder = folder();
    let folder = folder.path();
    let id = asked(folder, "ada");
    for (words, error) in [
        (
            &["grant", "--tenant", "acme"][..],
            "weir approvals: say until when with --until, or for how long with --for",
        ),
        (
            &["grant", "apr_none"],
            "weir approvals: apr_none: there is no such request for approval",
        ),
        (
            &["grant", &id, "--amount", "5"],
            "weir approvals: --amount: must be dollars, as 50USD or 0.50USD",
        ),
        (
            &["grant", &id, "--for", "soon"],
            "weir approvals: --for: must be a span of time, as 4h or 7d",
        ),
        (
            &["grant", &id, "--until", "2020-01-01"],
            "weir approvals: --until: is over already",
        ),
        (
            &["grant", &id, "--anyone-of", "project"],
            "weir approvals: --anyone-of: who asked is in no project",
        ),
        (
            &["grant"],
            "error: the following required arguments were not provided",
        ),
        (
            &["grant", &id, "--tenant", "acme"],
            "error: the argument '[ID]' cannot be used with",
        ),
        (
            &["grant", &id, "--calls", "1", "--unlimited"],
            "error: the argument '--calls <NUMBER>' cannot be used with '--unlimited'",
        ),
        (
            &["deny", &id, "--note", "a\tb"],
            "weir approvals: --note: must be one line of at most 1000 bytes",
        ),
        (
            &["deny", "apr_none"],
            "weir approvals: apr_none: there is no request for approval of this name",
        ),
        (
            &["revoke", "grt_none"],
            "grt_none: there is no grant of this name",
        ),
    ] {
        let said = weir(folder, &[&["approvals"], words].concat());
        assert!(
            !said.ok && said.err.starts_with(error),
            "{words:?}: {}",
            said.err
        );
    }
    assert!(
        weir(folder, &["approvals", "list"]).out.contains("waiting"),
        "nothing was answered"
    );
}
