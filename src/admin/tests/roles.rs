//! Every endpoint by every role and by none. The endpoints are the router's own, so
//! that a new one without a row here fails.

use super::super::endpoints::endpoints;
use super::*;
use crate::accounts::{Accounts, Actor, NewToken};
use crate::identity::{Role, format};
use crate::units::UnixMillis;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The roles, as they follow each other in a row: none, viewer, the tenant's own
/// admin, another tenant's, operator, owner.
pub const ROLES: [Option<&str>; 6] = [
    None,
    Some("viewer"),
    Some("acme"),
    Some("globex"),
    Some("operator"),
    Some("owner"),
];

/// A request and its statuses by role. What is refused for what it asks, not for who
/// asks it, has got past the door: its own status stands there.
pub struct Row {
    pub method: &'static str,
    pub path: &'static str,
    pub body: Value,
    pub statuses: [u16; 6],
}

pub fn rows() -> Vec<Row> {
    let row = |method, path, body, statuses| Row {
        method,
        path,
        body,
        statuses,
    };
    let none = || Value::Null;
    let key = json!({ "key": { "tenant": "acme" } });
    let globex = json!({ "role": "tenant-admin", "tenant": "globex" });
    let keys = json!({ "keys": [] });
    let text = json!({ "text": "x" });
    let soon = crate::driver::clock::Clock::start().now() + Millis::from_mins(60);
    let grant = json!({ "tenant": "acme", "until_ms": soon.0 });
    let top_up = json!({ "tenant": "acme", "budget": "none", "tokens": 5 });
    vec![
        row("GET", "/healthz", none(), [200; 6]),
        row("GET", "/readyz", none(), [503; 6]),
        row("GET", "/metrics", none(), [200; 6]),
        row("GET", "/openapi.json", none(), [200; 6]),
        row(
            "GET",
            "/v1/limits?tenant=acme",
            none(),
            [401, 200, 200, 403, 200, 200],
        ),
        row(
            "DELETE",
            "/v1/limits?tenant=acme",
            none(),
            // Whose budget it is doesn't get to begin it anew.
            [401, 403, 403, 403, 200, 200],
        ),
        row(
            "POST",
            "/v1/limits/rebuild",
            none(),
            [401, 403, 403, 403, 200, 200],
        ),
        row(
            "POST",
            "/v1/explain",
            json!({ "tenant": "acme", "request": {} }),
            [401, 200, 200, 403, 200, 200],
        ),
        row("GET", "/v1/usage", none(), [401, 200, 200, 200, 200, 200]),
        row(
            "GET",
            "/v1/usage/top",
            none(),
            [401, 200, 200, 200, 200, 200],
        ),
        row(
            "GET",
            "/v1/usage/calls/5",
            none(),
            [401, 400, 400, 400, 400, 400],
        ),
        row("GET", "/v1/tenants", none(), [401, 200, 200, 200, 200, 200]),
        row(
            "GET",
            "/v1/tenants/acme",
            none(),
            [401, 200, 200, 403, 200, 200],
        ),
        row("GET", "/v1/keys", none(), [401, 200, 200, 200, 200, 200]),
        row("POST", "/v1/keys", key, [401, 403, 200, 403, 200, 200]),
        row(
            "POST",
            "/v1/keys/import",
            keys,
            [401, 403, 403, 403, 200, 200],
        ),
        row(
            "GET",
            "/v1/keys/none",
            none(),
            [401, 404, 404, 404, 404, 404],
        ),
        row(
            "DELETE",
            "/v1/keys/none",
            none(),
            [401, 403, 404, 404, 404, 404],
        ),
        row(
            "POST",
            "/v1/keys/none/rotate",
            json!({}),
            [401, 403, 404, 404, 404, 404],
        ),
        row("GET", "/v1/tokens", none(), [401, 200, 200, 200, 200, 200]),
        row("POST", "/v1/tokens", globex, [401, 403, 403, 200, 200, 200]),
        row(
            "DELETE",
            "/v1/tokens/none",
            none(),
            [401, 403, 404, 404, 404, 404],
        ),
        row(
            "GET",
            "/v1/approvals",
            none(),
            [401, 200, 200, 200, 200, 200],
        ),
        row(
            "GET",
            "/v1/approvals/none",
            none(),
            [401, 404, 404, 404, 404, 404],
        ),
        row(
            "POST",
            "/v1/approvals/none/grant",
            json!({}),
            [401, 403, 404, 404, 404, 404],
        ),
        row(
            "POST",
            "/v1/approvals/none/deny",
            json!({}),
            [401, 403, 404, 404, 404, 404],
        ),
        row("GET", "/v1/grants", none(), [401, 200, 200, 200, 200, 200]),
        row("POST", "/v1/grants", grant, [401, 403, 403, 403, 200, 200]),
        row(
            "GET",
            "/v1/grants/none",
            none(),
            [401, 404, 404, 404, 404, 404],
        ),
        row(
            "DELETE",
            "/v1/grants/none",
            none(),
            [401, 403, 404, 404, 404, 404],
        ),
        row(
            "GET",
            "/v1/budgets/top-ups",
            none(),
            [401, 200, 200, 200, 200, 200],
        ),
        row(
            "POST",
            "/v1/budgets/top-ups",
            top_up,
            [401, 403, 403, 403, 422, 422],
        ),
        row(
            "GET",
            "/v1/budgets/top-ups/none",
            none(),
            [401, 404, 404, 404, 404, 404],
        ),
        row(
            "DELETE",
            "/v1/budgets/top-ups/none",
            none(),
            [401, 403, 403, 403, 404, 404],
        ),
        row("GET", "/v1/alerts", none(), [401, 200, 200, 200, 200, 200]),
        row(
            "POST",
            "/v1/alerts/test",
            json!({ "webhook": "none" }),
            [401, 403, 403, 403, 404, 404],
        ),
        row("GET", "/v1/audit", none(), [401, 200, 200, 200, 200, 200]),
        row("GET", "/v1/config", none(), [401, 200, 403, 403, 200, 200]),
        row(
            "POST",
            "/v1/config/diff",
            text,
            [401, 403, 403, 403, 422, 422],
        ),
        row(
            "POST",
            "/v1/config/reload",
            none(),
            [401, 403, 403, 403, 200, 200],
        ),
    ]
}

/// A database with a token of each role, and the state over it.
pub async fn with_roles(folder: &Path) -> (AdminState, Vec<Option<String>>) {
    let config = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let store = crate::ledger::store::Store::open(&config).await.unwrap();
    store.close().await;
    let accounts = Accounts::open(&config).await.unwrap();
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    let mut tokens = Vec::new();
    for (number, name) in ROLES.into_iter().enumerate() {
        let Some(name) = name else {
            tokens.push(None);
            continue;
        };
        let role = match name {
            "acme" | "globex" => Role::new("tenant-admin", Some(name)),
            other => Role::new(other, None),
        };
        let secret = format::admin_token([u8::try_from(number).unwrap(); 32]);
        let by = Actor {
            name: "test",
            at: UnixMillis(1_000),
        };
        let token = NewToken {
            id: name.into(),
            digest: pepper.digest(secret.as_bytes()),
            role: role.unwrap(),
            expires_at: None,
        };
        accounts.create_token(by, token).await.unwrap();
        tokens.push(Some(secret));
    }
    accounts.close().await;
    (
        state(Some(TOKEN), &AdminConfig::default(), Some(config)),
        tokens,
    )
}

pub fn asked<'a>(row: &Row, method: &'a str, token: Option<&str>) -> Ask<'a> {
    let mut ask = Ask::new(method, row.path);
    if !row.body.is_null() {
        ask = ask.json(&row.body);
    }
    match token {
        Some(token) => ask.token(token),
        None => ask,
    }
}

#[tokio::test]
async fn every_endpoint_is_for_its_roles() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    for row in rows() {
        let mut statuses = Vec::new();
        for token in &tokens {
            let ask = asked(&row, row.method, token.as_deref());
            let (status, headers, body, _) = ask.of(&state).await;
            assert_eq!(
                headers.contains_key("www-authenticate"),
                status == 401,
                "{body}"
            );
            statuses.push(status);
        }
        assert_eq!(statuses, row.statuses, "{} {}", row.method, row.path);
        // The owner's token of the configuration does what an owner's does.
        let (status, ..) = asked(&row, row.method, Some(TOKEN)).of(&state).await;
        assert_eq!(status, row.statuses[5], "{} {}", row.method, row.path);
    }
}

#[test]
fn every_endpoint_has_a_row() {
    let known: BTreeSet<(String, String)> = endpoints()
        .iter()
        .flat_map(|one| {
            let methods = serde_json::to_value(&one.operation).map(|_| one.methods.clone());
            let path = one.path.clone();
            methods.unwrap().into_iter().map(move |method| {
                let method = serde_json::to_value(method).unwrap();
                let method = method.as_str().unwrap().to_uppercase();
                (method, path.clone())
            })
        })
        .collect();
    let rowed = rows().into_iter().map(|row| {
        let path = row.path.split('?').next().unwrap();
        let path = path
            .replace("calls/5", "calls/{id}")
            .replace("/none", "/{id}")
            .replace("tenants/acme", "tenants/{tenant}");
        (row.method.to_owned(), path)
    });
    assert_eq!(rowed.collect::<BTreeSet<_>>(), known);
}

/// A form of another site, a page of another site, a name that leads here: each
/// endpoint refuses it, whatever it brings.
#[tokio::test]
async fn no_endpoint_answers_pages_of_other_sites() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = with_roles(folder.path()).await;
    for row in rows() {
        let probe = ["/healthz", "/readyz"].contains(&row.path);
        for (name, value, status) in [
            ("origin", "https://evil.example", 403),
            ("sec-fetch-site", "cross-site", 403),
            (
                "host",
                "evil.example",
                if probe { row.statuses[5] } else { 421 },
            ),
        ] {
            let mut ask = asked(&row, row.method, Some(TOKEN));
            ask.headers.retain(|(known, _)| *known != name);
            ask.headers.push((name, value.to_owned()));
            let (found, headers, ..) = ask.of(&state).await;
            assert_eq!(found, status, "{} {} {name}", row.method, row.path);
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(
                !headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control"))
            );
        }
        let mut preflight = asked(&row, "OPTIONS", Some(TOKEN));
        preflight
            .headers
            .push(("access-control-request-method", row.method.to_owned()));
        let (status, headers, ..) = preflight.of(&state).await;
        assert_eq!(status, 405, "{}", row.path);
        assert!(
            !headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control"))
        );
        if !row.body.is_null() {
            for kind in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
            ] {
                let mut form = asked(&row, row.method, Some(TOKEN));
                form.headers.retain(|(known, _)| *known != "content-type");
                form.headers.push(("content-type", kind.to_owned()));
                let (status, ..) = form.of(&state).await;
                assert_eq!(status, 415, "{} {kind}", row.path);
            }
            let mut large = asked(&row, row.method, Some(TOKEN));
            large.body = format!("\"{}\"", "x".repeat(9 << 20));
            let (status, _, body, _) = large.of(&state).await;
            assert_eq!(status, 413, "{} {body}", row.path);
        }
    }
}
