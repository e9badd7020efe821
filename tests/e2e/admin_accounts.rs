//! The admin API over keys and tokens that sidecars share in PostgreSQL: what one
//! makes the other knows, and all of it can be read back.

use crate::support::client::{self, Answer};
use crate::support::postgres::Server;
use crate::support::stack::{ADMIN_TOKEN, PEPPER, SOON, Setup, Stack};
use crate::support::until;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Nobody who is withdrawn calls later than this.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// One request to an admin port.
pub async fn ask(at: SocketAddr, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"));
    let (request, text) = match body {
        Value::Null => (request, String::new()),
        body => {
            let request = request.header("content-type", "application/json");
            (request, body.to_string())
        }
    };
    client::send(at, request.body(Full::new(Bytes::from(text))).unwrap()).await
}

/// What went well.
fn fine(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn text(of: &Value, name: &str) -> String {
    let text = of[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {of}"))
        .to_owned()
}

async fn call(stack: &Stack, key: &str, model: &str) -> u16 {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let bearer = format!("Bearer {key}");
    let call = stack.chat(&body, &[("authorization", &bearer)]);
    stack.send(call).await.status
}

async fn until_status(stack: &Stack, key: &str, status: u16) {
    until(&format!("{status} by a key"), SOON, || async {
        (call(stack, key, "gpt-4o").await == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_and_tokens_in_postgres_are_made_shown_replaced_withdrawn_and_read_back() {
    let server = Server::shared().await;
    let (url, secrets) = (server.database().await, tempfile::tempdir().unwrap());
    let file = secrets.path().join("url");
    fs::write(&file, &url).unwrap();
    let stack = Stack::start(Setup {
        sinks: format!(", postgres: {{ url: {{ file: \"{}\" }} }}", file.display()),
        ..Setup::default()
    })
    .await;
    let (_other, _, other) = stack.another_weir().await;
    let here = stack.admin;

    // A token for one tenant, which the other weir knows at once.
    let wanted = json!({ "role": "tenant-admin", "tenant": "acme" });
    let made = fine(&ask(here, ADMIN_TOKEN, "POST", "/v1/tokens", wanted).await);
    let (token, token_id) = (text(&made, "secret"), text(&made["token"], "id"));
    let listed = fine(&ask(other, &token, "GET", "/v1/tokens", Value::Null).await);
    assert_eq!(listed["tokens"][0]["id"], *token_id, "{listed}");
    let wanted = json!({ "role": "operator" });
    let refused = ask(other, &token, "POST", "/v1/tokens", wanted).await;
    assert_eq!(refused.status, 403, "{refused:?}");

    // A key with all that it may have.
    let wanted = json!({ "key": {
        "tenant": "acme", "user": "zoe", "project": "search", "owner": "ops@acme.example",
        "labels": { "team": "search" }, "scopes": { "models": ["gpt-4o"] },
    } });
    let made = fine(&ask(here, &token, "POST", "/v1/keys", wanted).await);
    let (key, id) = (text(&made, "secret"), text(&made["key"], "id"));
    let path = format!("/v1/keys/{id}");
    let shown = fine(&ask(other, &token, "GET", &path, Value::Null).await);
    assert_eq!(
        shown, made["key"],
        "the other weir shows what this one made"
    );
    for (name, value) in [
        ("state", json!("active")),
        ("user", json!("zoe")),
        ("project", json!("search")),
        ("owner", json!("ops@acme.example")),
        ("labels", json!({ "team": "search" })),
        ("created_by", json!(token_id)),
    ] {
        assert_eq!(shown[name], value, "{name}: {shown}");
    }
    until_status(&stack, &key, 200).await;
    assert_eq!(
        call(&stack, &key, "gpt-4o-mini").await,
        403,
        "past its scopes"
    );

    // Replaced at the other weir: both count, with the same scopes.
    let wanted = json!({ "overlap_ms": 3_600_000 });
    let rotate = format!("{path}/rotate");
    let rotated = fine(&ask(other, &token, "POST", &rotate, wanted).await);
    let (new, new_id) = (text(&rotated, "secret"), text(&rotated["key"], "id"));
    until_status(&stack, &new, 200).await;
    assert_eq!(call(&stack, &key, "gpt-4o").await, 200);
    assert_eq!(call(&stack, &new, "gpt-4o-mini").await, 403);
    let shown = fine(&ask(here, &token, "GET", &path, Value::Null).await);
    assert_eq!(shown["state"], "replaced", "{shown}");
    assert_eq!(shown["replaced_by"], *new_id, "{shown}");

    // Withdrawn at the other weir, and refused here.
    let gone = fine(&ask(other, &token, "DELETE", &path, Value::Null).await);
    assert_eq!(gone["revoked"], true);
    let revoked = Instant::now();
    until_status(&stack, &key, 401).await;
    assert!(
        revoked.elapsed() < REVOKED_WITHIN,
        "{:?}",
        revoked.elapsed()
    );
    assert_eq!(call(&stack, &new, "gpt-4o").await, 200);
    let again = fine(&ask(here, &token, "DELETE", &path, Value::Null).await);
    assert_eq!(again["revoked"], false, "it was already");
    let listed = fine(&ask(here, &token, "GET", "/v1/keys", Value::Null).await);
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1), "{listed}");
    let listed = ask(here, &token, "GET", "/v1/keys?revoked=true", Value::Null).await;
    assert_eq!(fine(&listed)["keys"].as_array().map(Vec::len), Some(2));

    // What its label says stands in its calls' rows, and reports can be by it.
    let row = until("calls of a label to be in the ledger", SOON, || async {
        let path = "/v1/usage?by=label:team&where=tenant%3Dacme";
        let report = fine(&ask(here, ADMIN_TOKEN, "GET", path, Value::Null).await);
        let rows = report["rows"].as_array().unwrap().clone();
        let mut rows = rows.into_iter();
        rows.find(|row| row["label:team"] == "search" && row["calls"].as_u64() >= Some(4))
    })
    .await;
    assert_eq!(row["refused"].as_u64(), Some(2), "past its scopes: {row}");

    // The token goes: it counts nowhere any more.
    let path = format!("/v1/tokens/{token_id}");
    fine(&ask(other, ADMIN_TOKEN, "DELETE", &path, Value::Null).await);
    for at in [here, other] {
        let refused = ask(at, &token, "GET", "/v1/keys", Value::Null).await;
        assert_eq!(refused.status, 401, "{refused:?}");
    }

    // All of it is in the audit of both, page by page, and stays there.
    let mut deeds: Vec<Value> = Vec::new();
    let mut after = json!(0);
    while let Some(from) = after.as_u64() {
        let path = format!("/v1/audit?limit=2&after={from}");
        let page = fine(&ask(other, ADMIN_TOKEN, "GET", &path, Value::Null).await);
        deeds.extend(page["deeds"].as_array().unwrap().iter().cloned());
        after = page["next"].clone();
    }
    let whole = fine(&ask(here, ADMIN_TOKEN, "GET", "/v1/audit", Value::Null).await);
    assert_eq!(whole["deeds"], json!(deeds));
    let told: Vec<(u64, String, String, String)> = deeds
        .iter()
        .map(|deed| {
            let sequence = deed["sequence"].as_u64().unwrap();
            let of = |name| text(deed, name);
            (sequence, of("actor"), of("action"), of("subject"))
        })
        .collect();
    let deed = |sequence, actor: &str, action: &str, subject: &str| {
        (
            sequence,
            actor.to_owned(),
            action.to_owned(),
            subject.to_owned(),
        )
    };
    let owner = "listen.admin_token";
    assert_eq!(
        told,
        [
            deed(1, owner, "token.create", &token_id),
            deed(2, &token_id, "key.create", &id),
            deed(3, &token_id, "key.create", &new_id),
            deed(4, &token_id, "key.rotate", &id),
            deed(5, &token_id, "key.revoke", &id),
            deed(6, owner, "token.revoke", &token_id),
        ]
    );
    assert_eq!(deeds[1]["before"], Value::Null);
    assert_eq!(deeds[1]["after"]["user"], "zoe", "{}", deeds[1]);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let refused = ask(here, ADMIN_TOKEN, method, "/v1/audit", Value::Null).await;
        assert_eq!(refused.status, 405, "{method}");
    }
    let mut database = PgConnection::connect(&url).await.unwrap();
    for sql in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
    ] {
        let changed = sqlx::query(sql).execute(&mut database).await;
        let why = changed.unwrap_err().to_string();
        assert!(why.contains("append-only"), "{why}");
    }
    // Shown once: no answer but theirs had a secret, nor has the database.
    let written = whole_database(&mut database).await;
    let all = format!("{whole}{listed:?}{shown}{written}");
    for secret in [&key, &new, &token, PEPPER, ADMIN_TOKEN] {
        assert!(!all.contains(secret), "a secret is kept");
    }
    assert!(written.contains(&new_id), "{written}");
}

/// Every row of what is kept of keys and tokens, as text.
async fn whole_database(database: &mut PgConnection) -> String {
    let mut all = String::new();
    for sql in [
        "SELECT coalesce(string_agg(t::text, ' '), '') FROM keys t",
        "SELECT coalesce(string_agg(t::text, ' '), '') FROM admin_tokens t",
        "SELECT coalesce(string_agg(t::text, ' '), '') FROM audit t",
    ] {
        let (text,): (String,) = sqlx::query_as(sql).fetch_one(&mut *database).await.unwrap();
        all.push_str(&text);
    }
    all
}
