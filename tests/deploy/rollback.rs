//! A rollback: an older weir finds what a newer one left behind.

use crate::support::client;
use crate::support::stack::{Engine, SOON, Setup, Stack};
use crate::support::until;
use serde_json::json;
use std::path::Path;
use std::process::Command;

fn hello() -> serde_json::Value {
    json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "hello out there" }] })
}

/// Asks the database by itself.
fn sql(path: &Path, statement: &str) -> String {
    let script = "import sqlite3, sys\n\
        connection = sqlite3.connect(sys.argv[1], timeout=20)\n\
        found = connection.execute(sys.argv[2]).fetchone()\n\
        connection.commit()\n\
        print('' if found is None else found[0])";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .arg(statement)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Tables of a newer release: where that release said that older ones may go on with
/// them it does, and rows arrive; else it says so and ends before any call.
#[tokio::test]
async fn an_older_weir_goes_on_with_newer_tables_where_it_may() {
    let mut stack = Stack::start(Setup {
        sqlite: true,
        ..Setup::default()
    })
    .await;
    let database = stack.dir.path().join("weir.db");
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    let arrived = async |count: &str| {
        until("the rows", SOON, || {
            let rows = sql(&database, "SELECT COUNT(*) FROM calls");
            async move { (rows == count).then_some(()) }
        })
        .await;
    };
    arrived("1").await;
    stack.weir.terminate();
    ended(&mut stack, true).await;
    sql(&database, "INSERT INTO ledger_version VALUES (99)");
    stack.start_weir_anew();
    ended(&mut stack, false).await;
    let said = stack.weir.tail();
    let expected = "the ledger is of version 99, this program knows up to 4: use a newer program";
    assert!(said.contains(expected), "{said}");
    sql(
        &database,
        "INSERT INTO ledger_version_oldest VALUES (99, 4)",
    );
    stack.restart_weir().await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    arrived("2").await;
}

/// How it ended, once it has.
async fn ended(stack: &mut Stack, well: bool) {
    let ended = stack.weir.wait_for_end(SOON).await;
    assert_eq!(ended, well, "{}", stack.weir.tail());
}

/// Scripts of another release beside one's own: each calls its own by their text, and
/// what both count is in keys of one version.
#[tokio::test]
async fn releases_share_a_redis_whose_scripts_differ() {
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        ..Setup::default()
    })
    .await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    // The scripts that are cached are gone, and another release's are there.
    let () = stack.ask_redis(redis::cmd("SCRIPT").arg("FLUSH")).await;
    let other = "-- weir reserve 99\nreturn 1";
    let _: String = stack
        .ask_redis(redis::cmd("SCRIPT").arg("LOAD").arg(other))
        .await;
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(
        answer.header("x-ratelimit-remaining-requests"),
        Some("99998")
    );
    // Keys of another version of what they hold are not looked at, nor removed.
    let newer = "weir:2:{weir07}:w:4:acme,3:rpm,4:acme,";
    let () = stack
        .ask_redis(redis::cmd("SET").arg(newer).arg("of a newer release"))
        .await;
    stack.restart_weir().await;
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(
        answer.header("x-ratelimit-remaining-requests"),
        Some("99997")
    );
    let held: String = stack.ask_redis(redis::cmd("GET").arg(newer)).await;
    assert_eq!(held, "of a newer release");
    assert_eq!(client::get(stack.admin, "/readyz").await.status, 200);
}
