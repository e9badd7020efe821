//! `weir usage` and `/v1/usage`, as an operator runs them beside a weir that
//! serves: what they say is what the provider billed.

use super::calls::hello;
use crate::support::stack::{
    ADMIN_TOKEN, FOREIGN_KEY, PEPPER, SOON, Setup, Stack, unix_ms, weir_binary,
};
use crate::support::until;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};
use weir::ledger::store::query::Query;
use weir::ledger::store::{Store, StoreConfig};
use weir::units::UnixMillis;

/// Runs `weir usage` beside the stack.
fn usage(stack: &Stack, arguments: &[&str]) -> Output {
    let mut command = Command::new(weir_binary());
    command
        .arg("usage")
        .args(arguments)
        .env("WEIR_PEPPER", PEPPER)
        .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN)
        .current_dir(stack.dir.path());
    command.output().unwrap()
}

/// What it printed; it went well.
fn printed(stack: &Stack, arguments: &[&str]) -> String {
    let done = usage(stack, arguments);
    let error = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{arguments:?}: {error}");
    assert_eq!(error, "", "no terminal, no progress");
    String::from_utf8(done.stdout).unwrap()
}

fn json_of(stack: &Stack, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(stack, arguments)).unwrap()
}

/// Calls of two tenants, streamed and not; all are in the ledger's database.
async fn with_calls() -> Stack {
    let stack = Stack::start(Setup {
        sqlite: true,
        ..Setup::default()
    })
    .await;
    let foreign = [("authorization", &*format!("Bearer {FOREIGN_KEY}"))];
    let mini = json!({"model": "gpt-4o-mini", "stream": true,
        "messages": [{"role": "user", "content": "tell me a long story"}]});
    for _ in 0..3 {
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        assert_eq!(stack.send(stack.chat(&mini, &[])).await.status, 200);
        assert_eq!(stack.send(stack.chat(&hello(), &foreign)).await.status, 200);
    }
    stack.wait_for_events(9).await;
    let database = stack.dir.path().join("weir.db");
    until("all calls in the database", SOON, || {
        let path = database.clone();
        async move {
            let store = Store::open_to_read(&StoreConfig::Sqlite { path })
                .await
                .ok()?;
            let all = Query::of(UnixMillis(0), UnixMillis(unix_ms() + 1_000));
            let report = store.usage(&all).await.unwrap();
            let calls = report
                .rows
                .first()?
                .sums
                .get(weir::ledger::store::measure::Measure::Calls);
            (calls == 9).then_some(())
        }
    })
    .await;
    stack
}

#[tokio::test]
async fn reports_say_what_the_provider_billed() {
    let stack = with_calls().await;
    let billed = stack.provider.log();
    let input: u64 = billed.iter().map(|call| call.bills.0).sum();
    let output: u64 = billed.iter().map(|call| call.bills.1).sum();
    let report = json_of(
        &stack,
        &[
            "--config",
            "weir.yaml",
            "--by",
            "tenant,model,day",
            "--since",
            "yesterday",
            "--format",
            "json",
        ],
    );
    let total = |name: &str| report["total"][name].as_u64().unwrap();
    assert_eq!(
        (
            total("calls"),
            total("input_tokens"),
            total("output_tokens")
        ),
        (9, input, output)
    );
    // By the provider's log and the configured prices, in nano-dollars.
    let price = |model: &str| match model {
        "gpt-4o" => (2_500, 10_000),
        _ => (150, 600),
    };
    let cost: u64 = billed
        .iter()
        .map(|call| {
            let (input, output) = price(call.body["model"].as_str().unwrap());
            call.bills.0 * input + call.bills.1 * output
        })
        .sum();
    assert_eq!((total("cost_nanos"), total("net_nanos")), (cost, cost));
    let tenants = |report: &Value| -> Vec<(String, u64)> {
        let rows = report["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| {
                (
                    row["tenant"].as_str().unwrap().to_owned(),
                    row["calls"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let all: u64 = tenants(&report)
        .iter()
        .filter(|(tenant, _)| tenant == "acme")
        .map(|(_, calls)| calls)
        .sum();
    assert_eq!(all, 6);
    let acme = json_of(
        &stack,
        &[
            "--sqlite",
            "weir.db",
            "--by",
            "tenant",
            "--since",
            "yesterday",
            "--where",
            "tenant=acme",
            "--where",
            "model!=gpt-4o",
            "--format",
            "json",
            "--time-zone",
            "Asia/Kolkata",
        ],
    );
    assert_eq!(tenants(&acme), [("acme".to_owned(), 3)]);
    let top = json_of(
        &stack,
        &[
            "top",
            "--config",
            "weir.yaml",
            "--by",
            "key",
            "--most",
            "calls",
            "--since",
            "yesterday",
            "--limit",
            "1",
            "--format",
            "json",
        ],
    );
    assert_eq!(
        (&top["rows"][0]["key"], &top["rows_in_all"]),
        (&json!("ada-key"), &json!(2))
    );
    let table = printed(&stack, &["--config", "weir.yaml", "--since", "yesterday"]);
    assert!(
        table.starts_with("TENANT  MODEL") && table.contains("COST $"),
        "{table}"
    );

    // Every form of an export has the same sum.
    let jsonl = printed(
        &stack,
        &[
            "export",
            "--config",
            "weir.yaml",
            "--since",
            "yesterday",
            "--format",
            "jsonl",
        ],
    );
    let events: Vec<weir::exchange::UsageEvent> = jsonl
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        events
            .iter()
            .filter_map(|event| event.cost_nanos)
            .sum::<u64>(),
        cost
    );
    let mut written = stack.events();
    written.sort_by_key(|event| event.id);
    assert_eq!(events, written, "as the file sink wrote them");
    let focus = printed(
        &stack,
        &[
            "export",
            "--config",
            "weir.yaml",
            "--since",
            "yesterday",
            "--format",
            "focus",
        ],
    );
    let mut reader = csv::Reader::from_reader(focus.as_bytes());
    let sum: u64 = reader
        .records()
        .map(|line| line.unwrap()[0].replace('.', "").parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, cost);
    printed(
        &stack,
        &[
            "export",
            "--config",
            "weir.yaml",
            "--since",
            "yesterday",
            "--format",
            "csv",
            "--output",
            "calls.csv",
        ],
    );
    let mut reader = csv::Reader::from_path(stack.dir.path().join("calls.csv")).unwrap();
    assert_eq!(reader.records().count(), 9);

    let id = events[0].id.to_string();
    let shown = json_of(&stack, &["show", &id, "--config", "weir.yaml", "--json"]);
    assert_eq!(
        (&shown["event"]["id"], &shown["net_nanos"]),
        (&json!(id), &json!(events[0].cost_nanos))
    );
    assert!(printed(&stack, &["show", &id, "--sqlite", "weir.db"]).contains("in all"));
    reconciled(&stack, input, output).await;
    over_http(&stack, &id).await;
    stack.settle_the_books().await;
}

async fn reconciled(stack: &Stack, input: u64, output: u64) {
    let start = unix_ms() / 1_000;
    let write = |input: u64| {
        let bill = json!({"data": [{"start_time": start, "results": [
            {"num_model_requests": 9, "input_tokens": input, "output_tokens": output}]}]});
        std::fs::write(stack.dir.path().join("bill.json"), bill.to_string()).unwrap();
    };
    let arguments = [
        "reconcile",
        "--config",
        "weir.yaml",
        "--provider",
        "openai",
        "bill.json",
        "--fail-over",
        "0.5",
    ];
    let run = |more: &[&str]| {
        let done = usage(stack, &[&arguments[..], more].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            done.status.code().unwrap(),
            text(done.stdout),
            text(done.stderr),
        )
    };
    // The stack's provider of gpt-4o has another name, and gpt-4o-mini's none.
    let everybody = ["--where", "provider=fake", "--where", "provider="];
    write(input);
    let (code, out, err) = run(&everybody);
    assert_eq!((code, &*out), (0, "all 3 figures agree\n"), "{err}");
    write(input * 2);
    let (code, out, err) = run(&everybody);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("input_tokens") && out.contains("-50.00%"),
        "{out}"
    );
    assert_eq!(err, "1 of 3 figures differ by more than 0.5%\n");
    assert_eq!(run(&[]).0, 1, "no call is of a provider of that name");
    std::fs::write(stack.dir.path().join("bill.json"), "hello").unwrap();
    let (code, _, err) = run(&everybody);
    assert_eq!(
        (code, &*err),
        (
            2,
            "bill.json: it is neither JSON nor OpenAI's CSV: its first line has no start_time\n"
        )
    );
}

/// `GET` with a token.
async fn get(stack: &Stack, path: &str, token: &str) -> (u16, Value) {
    let stream = tokio::net::TcpStream::connect(stack.admin).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::builder()
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn over_http(stack: &Stack, id: &str) {
    let arguments = [
        "--config",
        "weir.yaml",
        "--by",
        "tenant,model",
        "--since",
        "yesterday",
        "--format",
        "json",
    ];
    let command = json_of(stack, &arguments);
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/usage?by=tenant,model&since=yesterday&limit=1{after}");
        let (status, page) = get(stack, &path, ADMIN_TOKEN).await;
        assert_eq!(status, 200, "{page}");
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(json!(rows), command["rows"]);
    let (status, call) = get(stack, &format!("/v1/usage/calls/{id}"), ADMIN_TOKEN).await;
    assert_eq!((status, &call["event"]["id"]), (200, &json!(id)));
    for path in [
        "/v1/usage",
        "/v1/usage/top",
        &*format!("/v1/usage/calls/{id}"),
    ] {
        let (status, body) = get(stack, path, "another-token-of-tests").await;
        assert_eq!(status, 401, "{body}");
    }
}

/// What a new user meets: each error says what would be right.
#[tokio::test]
async fn errors_say_what_would_be_right() {
    // Its ledger has a file and no database.
    let stack = Stack::start(Setup::default()).await;
    std::fs::write(stack.dir.path().join("notes.txt"), "no database at all").unwrap();
    std::fs::write(stack.dir.path().join("empty.db"), "").unwrap();
    let no_ledger = std::fs::read_to_string(stack.dir.path().join("weir.yaml")).unwrap();
    let no_ledger: Vec<&str> = no_ledger
        .lines()
        .filter(|line| !line.starts_with("ledger:"))
        .collect();
    std::fs::write(
        stack.dir.path().join("no_ledger.yaml"),
        no_ledger.join("\n"),
    )
    .unwrap();
    for (arguments, expected) in [
        (
            &[][..],
            "which ledger? Name weir's configuration with --config FILE",
        ),
        (
            &["--config", "weir.yaml"],
            "reports need ledger.sqlite or ledger.postgres",
        ),
        (
            &["--config", "no_ledger.yaml"],
            "no_ledger.yaml: there is no ledger: reports need one",
        ),
        (&["--config", "no.yaml"], "no.yaml: can't be read"),
        (
            &["--sqlite", "no.db"],
            "no.db: there is no ledger: has weir served here",
        ),
        (&["--sqlite", "notes.txt"], "notes.txt: can't be read"),
        (
            &["--sqlite", "empty.db"],
            "the database holds no ledger of weir",
        ),
        (&["--sqlite", "."], ".: is no file"),
        (
            &["--postgres-env", "NO_SUCH_NAME"],
            "NO_SUCH_NAME is not set",
        ),
        (&["--sqlite", "x", "--config", "y"], "cannot be used with"),
        (
            &["--sqlite", "x", "--by", "tennant"],
            "did you mean tenant?",
        ),
        (
            &["--sqlite", "x", "--time-zone", "Asia/Calcuta"],
            "did you mean Asia/Calcutta?",
        ),
        (
            &["--sqlite", "x", "--since", "1.11.2026"],
            "--since: \"1.11.2026\" is no date: write 2026-11-01",
        ),
        (
            &[
                "--sqlite",
                "x",
                "--since",
                "2026-11-02",
                "--until",
                "2026-11-01",
            ],
            "--until: must be after since",
        ),
        (
            &["--sqlite", "x", "--format", "parquet"],
            "--features parquet",
        ),
        (
            &["top", "--sqlite", "x", "--most", "money"],
            "--most: \"money\" isn't one of cost",
        ),
        (
            &["show", "--sqlite", "x", "17"],
            "\"17\" is no id of a call",
        ),
        (&["export", "--sqlite", "x"], "--format <FORMAT>"),
        (
            &[
                "reconcile",
                "--sqlite",
                "x",
                "--provider",
                "openai",
                "no.json",
            ],
            "no.json: can't be read",
        ),
        (
            &[
                "reconcile",
                "--sqlite",
                "x",
                "--provider",
                "opnai",
                "no.json",
            ],
            "possible values: openai, anthropic",
        ),
    ] {
        let done = usage(&stack, arguments);
        let error = String::from_utf8(done.stderr).unwrap();
        assert!(
            !done.status.success() && done.stdout.is_empty(),
            "{arguments:?}"
        );
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let (status, body) = get(&stack, "/v1/usage", ADMIN_TOKEN).await;
    assert_eq!(status, 404);
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("set ledger.sqlite or ledger.postgres")
    );
    let made = std::fs::metadata(stack.dir.path().join("no.db"));
    assert!(made.is_err(), "a report makes no database");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let stack = with_calls().await;
    for arguments in [&["export", "--format", "jsonl"][..], &["--format", "csv"]] {
        let mut command = Command::new(weir_binary());
        command.arg("usage").args(arguments);
        command
            .args(["--sqlite", "weir.db", "--since", "yesterday"])
            .current_dir(stack.dir.path());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{arguments:?}");
        assert_eq!(String::from_utf8(done.stderr).unwrap(), "", "{arguments:?}");
    }
}
