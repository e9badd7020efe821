//! `weir ledger`, as an auditor runs it: beside a weir that serves, and alone.

use super::calls::hello;
use super::failures::half_answered;
use crate::support::stack::{PEPPER, SOON, Setup, Stack, weir_binary};
use crate::support::until;
use serde_json::Value;
use sqlx::{ConnectOptions, Connection};
use std::process::Command;

/// The exit code, and what was printed.
fn ledger(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(weir_binary());
    command.arg("ledger").args(arguments);
    command
        .env("WEIR_PEPPER", PEPPER)
        .env("WEIR_ADMIN_TOKEN", crate::support::stack::ADMIN_TOKEN);
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

/// Waits until so many rows are in the database.
async fn verified(stack: &Stack, rows: usize) -> String {
    let config = stack.dir.path().join("weir.yaml");
    let config = config.to_str().unwrap();
    let plural = if rows == 1 { "" } else { "s" };
    let whole = format!(": whole, {rows} row{plural}\n");
    until("the rows to be there", SOON, || async {
        let (code, out, err) = ledger(&["verify", "--config", config]);
        assert_eq!(code, Some(0), "{out}{err}");
        out.contains(&whole).then_some(out)
    })
    .await
}

fn head(told: &str) -> String {
    let (_, head) = told.trim_end().split_once("head ").unwrap();
    head.to_owned()
}

#[tokio::test]
async fn a_ledger_is_verified_and_what_was_done_to_it_is_found() {
    let stack = Stack::start(Setup {
        sinks: ", sqlite: { path: \"DIR/weir.db\" }".into(),
        ..Setup::default()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    }
    let kept = head(&verified(&stack, 3).await);
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    let newer = head(&verified(&stack, 4).await);
    assert_ne!(kept, newer);
    let path = stack.dir.path().join("weir.db");
    let path = path.to_str().unwrap();
    let verify = |more: &[&str]| ledger(&[&["verify", "--sqlite", path][..], more].concat());
    let (code, out, _) = verify(&["--head", &kept, "--head", &newer]);
    assert_eq!(
        (code, out.matches("still there").count()),
        (Some(0), 2),
        "{out}"
    );
    let (chain, rest) = kept.split_once(':').unwrap();
    assert_eq!(verify(&["--chain", chain]).0, Some(0));
    // Heads that were never written.
    let other = format!("{}1", &kept[..kept.len() - 1]);
    let other = match other == kept {
        true => format!("{}2", &kept[..kept.len() - 1]),
        false => other,
    };
    let later = format!("{chain}:9:{}", rest.split_once(':').unwrap().1);
    for (head, why) in [
        (&other, "row 3 is another"),
        (&later, "the chain ends with row 4"),
    ] {
        let (code, out, _) = verify(&["--head", head]);
        assert_eq!(code, Some(1));
        assert!(out.contains(&format!("{head}: LOST: {why}")), "{out}");
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut database = options.connect().await.unwrap();
    sqlx::query("UPDATE calls SET cost_nanos = 1 WHERE sequence = 2")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let (code, out, _) = verify(&[]);
    assert_eq!(code, Some(1));
    assert!(out.contains("BROKEN: row 2 was changed"), "{out}");
    let (code, out, _) = verify(&["--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["whole"]), (Some(1), &Value::Bool(false)));
    assert_eq!(told["chains"][0]["chain"], chain);
    // What can't be told is neither whole nor broken.
    let nowhere = stack.dir.path().join("no.db");
    for arguments in [
        &["verify", "--sqlite", nowhere.to_str().unwrap()][..],
        &["verify", "--postgres-env", "WEIR_NO_SUCH_VARIABLE"],
        &[
            "verify",
            "--sqlite",
            path,
            "--chain",
            "0198c0de-0000-7000-8000-000000000000",
        ],
        &["verify"],
    ] {
        let (code, out, err) = ledger(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(!err.is_empty());
    }
    assert!(!nowhere.exists(), "looking makes no database");
}

/// Beside a weir that serves: what its database refused is taken once that is
/// mended.
#[tokio::test]
async fn what_a_database_set_aside_is_replayed() {
    let stack = Stack::start(Setup {
        sinks: ", sqlite: { path: \"DIR/weir.db\" }".into(),
        ..Setup::default()
    })
    .await;
    let config = stack.dir.path().join("weir.yaml");
    let config = config.to_str().unwrap();
    let path = stack.dir.path().join("weir.db");
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    verified(&stack, 1).await;
    let (code, out, err) = ledger(&["replay", "--config", config]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "nothing is set aside\n"),
        "{err}"
    );
    // A rule that somebody made in the database, and took back.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut database = options.connect().await.unwrap();
    sqlx::query(
        "CREATE TRIGGER rule BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'a rule'); END",
    )
    .execute(&mut database)
    .await
    .unwrap();
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    let events = stack.wait_for_events(2).await;
    let id = events[1].id.to_string();
    let told = until("the row to be set aside", SOON, || async {
        let (code, out, err) = ledger(&["replay", "--config", config, "--dry-run"]);
        assert_eq!(code, Some(0), "{out}{err}");
        out.contains(&id).then_some(out)
    })
    .await;
    assert!(
        told.contains("sqlite: ") && told.contains("set aside 20"),
        "{told}"
    );
    assert!(told.contains("a dry run: nothing was changed"), "{told}");
    // Not yet.
    let (code, out, err) = ledger(&["replay", "--config", config, "--sink", "sqlite"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains("REFUSED: ") && out.contains("refused again: 1"),
        "{out}"
    );
    sqlx::query("DROP TRIGGER rule")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let sqlite = path.to_str().unwrap();
    let (code, out, err) = ledger(&["replay", "--sqlite", sqlite]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("  taken\nset aside: 1; taken: 1; refused again: 0"),
        "{out}"
    );
    let (_, out, _) = ledger(&["replay", "--config", config]);
    assert_eq!(out, "nothing is set aside\n");
    verified(&stack, 2).await;
    for (arguments, why) in [
        (
            &["replay", "--config", config, "--sink", "otlp"][..],
            "none of the ledger's sinks",
        ),
        (&["replay", "--sqlite", "/no/such.db"], "there is no ledger"),
        (&["replay"], "which ledger?"),
    ] {
        let (code, out, err) = ledger(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(err.contains(why), "{err}");
    }
}

#[tokio::test]
async fn a_spool_is_looked_into_while_it_is_written_to() {
    let stack = Stack::start(Setup {
        sinks: ", sqlite: { path: \"DIR/weir.db\" }".into(),
        ..Setup::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    }
    stack.wait_for_events(2).await;
    verified(&stack, 2).await;
    let mut open = half_answered(&stack).await;
    let path = stack.dir.path().join("ledger");
    let spool = || ledger(&["spool", path.to_str().unwrap()]);
    let told = until("all of it to be told", SOON, || async {
        let (code, out, err) = spool();
        assert_eq!(code, Some(0), "{out}{err}");
        let all = [
            "2 rows (1 to 2) of chain ",
            "open calls: 1\n",
            " acme gpt-4o\n",
            "sink file: at ",
            "sink sqlite: at ",
            "quarantined: 0 bytes in 0 files\n",
        ];
        let waits = out.matches(", 0 rows wait for it\n").count();
        (waits == 2 && all.iter().all(|part| out.contains(part))).then_some(out)
    })
    .await;
    assert!(told.contains("head "), "{told}");
    stack.provider.open_gate("rest");
    assert!(open.rest().await.1);
    stack.settle_the_books().await;
    assert_eq!(ledger(&["spool", "/nowhere"]).0, Some(2));
}
