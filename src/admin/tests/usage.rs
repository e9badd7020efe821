//! Reports over HTTP: who may ask, what is wrong, pages; and whether the OpenAPI
//! document is of these pages.

use super::super::usage::{REPORT_PARAMETERS, TOP_PARAMETERS};
use super::*;
use crate::exchange::UsageEvent;
use crate::ledger::row::{Link, NO_HASH, Row, chained};
use crate::ledger::sink::Sink;
use crate::ledger::store::{Store, StoreConfig};
use crate::ledger::wire;
use crate::limits::HoldId;
use crate::units::UnixMillis;
use serde_json::Value;
use std::path::Path;

const TOKEN: &str = "a-token-of-sixteen";

/// 2026-11-03T10:00:00Z.
const AT: u64 = 1_793_700_000_000;

/// Calls of three tenants: 10 of `a`, 20 of `b`, 30 of `c`.
async fn ledger(folder: &Path) -> (StoreConfig, Vec<HoldId>) {
    let config = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let mut store = Store::open(&config).await.unwrap();
    let (mut rows, mut hash) = (Vec::new(), NO_HASH);
    for number in 0..60_u64 {
        let at = UnixMillis(AT + number);
        let tenant = match number {
            0..10 => "a",
            10..30 => "b",
            _ => "c",
        };
        let id = HoldId::new(at, &[u8::try_from(number).unwrap(); 10]);
        let event: UsageEvent = serde_json::from_value(json!({
            "schema": "weir.usage.v1", "id": id.to_string(), "outcome": "exact",
            "started_at_ms": at.0, "ended_at_ms": at.0 + 5, "tenant": tenant,
            "dialect": "openai", "model": "gpt-4o", "stream": false, "known": "provider",
            "input_tokens": 10, "output_tokens": 1, "cost_nanos": 1_000, "request_bytes": 1,
        }))
        .unwrap();
        hash = chained(&hash, &wire::encode_event(&event));
        let link = Link {
            chain: uuid::Uuid::from_u128(7),
            sequence: number + 1,
            hash,
        };
        rows.push(Row { event, link });
    }
    store.deliver(&rows).await.unwrap();
    store.close().await;
    (config, rows.iter().map(|row| row.event.id).collect())
}

/// A server whose reports are of this ledger.
async fn serving(
    config: Option<StoreConfig>,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let (incoming, address) = incoming(None).await;
    let state = AdminState {
        metrics: Arc::new(Metrics::new()),
        readiness: Arc::default(),
        limits: LimitsApi::new(Some(TOKEN), Arc::default()),
        usage: UsageApi::new(config),
    };
    let task = tokio::spawn(serve(incoming, state, std::future::pending()));
    (address, task)
}

async fn ask(address: std::net::SocketAddr, method: &str, path: &str, token: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn reports_are_paged_and_calls_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (config, ids) = ledger(folder.path()).await;
    let (address, task) = serving(Some(config)).await;
    let question = "/v1/usage?by=tenant,day&since=2026-11-01&until=2026-11-30&limit=2";
    let (status, first) = ask(address, "GET", question, TOKEN).await;
    assert_eq!((status, &first["more"]), (200, &json!(true)), "{first}");
    assert_eq!(first["by"], json!(["day", "tenant"]));
    let next = first["next"].as_str().unwrap();
    let (_, second) = ask(address, "GET", &format!("{question}&after={next}"), TOKEN).await;
    let rows = [&first, &second].map(|page| page["rows"].as_array().unwrap().clone());
    let told: Vec<_> = rows
        .iter()
        .flatten()
        .map(|row| {
            (
                row["tenant"].clone(),
                row["calls"].clone(),
                row["net_nanos"].clone(),
                row["day"].clone(),
            )
        })
        .collect();
    let row = |tenant, calls: u64| {
        (
            json!(tenant),
            json!(calls),
            json!(calls * 1_000),
            json!("2026-11-03"),
        )
    };
    assert_eq!(told, [row("a", 10), row("b", 20), row("c", 30)]);
    assert_eq!(
        (&second["more"], &second["next"]),
        (&json!(false), &Value::Null)
    );

    let top = "/v1/usage/top?by=tenant&most=tokens&since=2026-11-01&until=2026-11-30&limit=1&where=tenant!=c";
    let (status, top) = ask(address, "GET", top, TOKEN).await;
    assert_eq!(
        (status, &top["rows"][0]["tenant"]),
        (200, &json!("b")),
        "{top}"
    );

    let (status, shown) = ask(
        address,
        "GET",
        &format!("/v1/usage/calls/{}", ids[3]),
        TOKEN,
    )
    .await;
    assert_eq!((status, &shown["event"]["tenant"]), (200, &json!("a")));
    assert_eq!(
        (&shown["chain"]["sequence"], &shown["net_nanos"]),
        (&json!(4), &json!(1_000))
    );
    task.abort();
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said_with_its_parameter() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = ledger(folder.path()).await;
    let (address, task) = serving(Some(config)).await;
    let nobody = HoldId::new(UnixMillis(5), &[9; 10]);
    for (path, status, parameter, error) in [
        (
            "/v1/usage?by=tennant".to_owned(),
            400,
            json!("by"),
            "did you mean tenant?",
        ),
        (
            "/v1/usage?time_zone=Kolkata".to_owned(),
            400,
            json!("time_zone"),
            "Asia/Kolkata",
        ),
        (
            "/v1/usage?since=never".to_owned(),
            400,
            json!("since"),
            "is no date",
        ),
        (
            "/v1/usage?since=a&since=b".to_owned(),
            400,
            json!("since"),
            "there twice",
        ),
        (
            "/v1/usage?where=acme".to_owned(),
            400,
            json!("where"),
            "is no condition",
        ),
        (
            "/v1/usage?limit=x".to_owned(),
            400,
            json!("limit"),
            "no number",
        ),
        (
            "/v1/usage?limit=10001".to_owned(),
            400,
            json!("limit"),
            "from 1 to 10000",
        ),
        (
            "/v1/usage?after=x&since=2026-11-01&until=2026-11-02".to_owned(),
            400,
            json!("after"),
            "cursor",
        ),
        (
            "/v1/usage?since=1971&until=2026".to_owned(),
            400,
            json!("since"),
            "is no date",
        ),
        (
            "/v1/usage?by=hour&since=1971-01&until=2026-01".to_owned(),
            400,
            json!("since"),
            "periods",
        ),
        (
            "/v1/usage?most=cost".to_owned(),
            400,
            Value::Null,
            "only by, since",
        ),
        (
            "/v1/usage/top?most=money".to_owned(),
            400,
            json!("most"),
            "isn't one of cost",
        ),
        (
            "/v1/usage/calls/5".to_owned(),
            400,
            json!("id"),
            "32 hexadecimal digits",
        ),
        (
            format!("/v1/usage/calls/{nobody}"),
            404,
            json!("id"),
            "no such call",
        ),
    ] {
        let (found, body) = ask(address, "GET", &path, TOKEN).await;
        assert_eq!(
            (found, &body["parameter"]),
            (status, &parameter),
            "{path}: {body}"
        );
        assert!(
            body["error"].as_str().unwrap().contains(error),
            "{path}: {body}"
        );
    }
    task.abort();
}

#[tokio::test]
async fn reports_are_told_only_to_who_brings_the_token_and_need_a_database() {
    let (address, task) = serving(None).await;
    let paths = ["/v1/usage", "/v1/usage/top", "/v1/usage/calls/5"];
    for path in paths {
        for token in ["", "another-token-of-x"] {
            let (status, body) = ask(address, "GET", path, token).await;
            assert_eq!(status, 401, "{path}: {body}");
        }
    }
    for path in &paths[..2] {
        let (status, body) = ask(address, "GET", path, TOKEN).await;
        assert_eq!(status, 404);
        let error = body["error"].as_str().unwrap();
        assert!(
            error.contains("set ledger.sqlite or ledger.postgres"),
            "{error}"
        );
    }
    task.abort();
    let gone = StoreConfig::Sqlite {
        path: "/nowhere/weir.db".into(),
    };
    let (address, task) = serving(Some(gone)).await;
    let (status, body) = ask(address, "GET", "/v1/usage", TOKEN).await;
    assert_eq!(status, 503, "{body}");
    task.abort();
}

/// Many ask at once; probes are answered all the while, and everybody is.
#[tokio::test]
async fn reports_keep_no_probe_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = ledger(folder.path()).await;
    let (address, task) = serving(Some(config)).await;
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        asking.spawn(ask(
            address,
            "GET",
            "/v1/usage?by=tenant&since=2026-11-01&until=2026-11-30",
            TOKEN,
        ));
    }
    assert_eq!(ask(address, "GET", "/healthz", "").await.0, 200);
    while let Some(answer) = asking.join_next().await {
        let (status, body) = answer.unwrap();
        assert!(status == 200 || status == 503, "{body}");
    }
    task.abort();
}

#[tokio::test]
async fn the_openapi_document_is_of_these_pages() {
    let (address, task) = serving(None).await;
    let (status, document) = ask(address, "GET", "/openapi.json", "").await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.keys().eq(PAGES.iter()), "{:?}", paths.keys());
    for (path, methods) in paths {
        let methods = methods.as_object().unwrap();
        for method in ["get", "put", "post", "delete", "patch"] {
            let real = path.replace("{id}", "5");
            let (status, body) = ask(address, &method.to_uppercase(), &real, "").await;
            match methods.contains_key(method) {
                true => assert!(
                    status != 405 && body["pages"].is_null(),
                    "{method} {path}: {status}"
                ),
                false => assert_eq!(status, 405, "{method} {path}"),
            }
        }
    }
    let parameters = |path: &str| -> Vec<String> {
        let all = document["paths"][path]["get"]["parameters"]
            .as_array()
            .unwrap();
        all.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(parameters("/v1/usage"), REPORT_PARAMETERS);
    assert_eq!(parameters("/v1/usage/top"), TOP_PARAMETERS);
    // Every name that a row can have is there, and every reference leads somewhere.
    let row = &document["components"]["schemas"]["UsageRow"];
    let names: Vec<&str> = row["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let sums = crate::ledger::reports::tell::sums(&Default::default());
    assert!(sums.keys().eq(names.iter()), "{names:?}");
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(!document["components"]["schemas"][name].is_null(), "{name}");
    }
    task.abort();
}
