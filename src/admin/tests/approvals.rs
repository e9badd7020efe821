//! Who may answer what is asked, and what is made of it.

use super::roles::with_roles;
use super::*;
use crate::accounts::Accounts;
use crate::limits::period::{Calendar, CalendarUnit, Period};
use crate::limits::{Algorithm, Charge, Limit, Mode, Scope, Toll, Unit};
use crate::policy::grants::{Allowance, ApprovalRequest, Approver, Grant};
use crate::policy::{Plan, PlanLimit, Snapshot};
use crate::units::UnixMillis;
use serde_json::Value;

/// Asked at the time of the pages.
fn request(state: &AdminState, tenant: &str, user: &str, approver: Approver) -> ApprovalRequest {
    let now = state.access.now();
    ApprovalRequest {
        id: ApprovalRequest::id_of_parts(tenant, Some(user), "k1", "big", "gpt"),
        asked_at: now,
        tenant: tenant.into(),
        project: Some("bot".into()),
        environment: None,
        user: Some(user.into()),
        key_id: "k1".into(),
        plan: "p".into(),
        rule: "big".into(),
        model: "gpt".into(),
        endpoint: "/v1/chat/completions".into(),
        cost_max_nanos: 5_000_000_000,
        valid_for: Millis::from_mins(60),
        approvers: Some("finance@acme.com".into()),
        approver,
        expires_at: now + Millis::from_mins(600),
    }
}

async fn asked(folder: &std::path::Path, requests: Vec<ApprovalRequest>) -> Vec<String> {
    let config = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let accounts = Accounts::open(&config).await.unwrap();
    let ids = requests.iter().map(|one| one.id.to_string()).collect();
    accounts.ask(requests).await.unwrap();
    accounts.close().await;
    ids
}

async fn post(state: &AdminState, token: &str, path: String, body: Value) -> (u16, Value) {
    let ask = Ask::new("POST", path).token(token).json(&body);
    let (status, _, body, _) = ask.of(state).await;
    (status, body)
}

async fn get(state: &AdminState, token: &str, path: &str) -> (u16, Value) {
    let (status, _, body, _) = Ask::new("GET", path).token(token).of(state).await;
    (status, body)
}

#[tokio::test]
async fn a_tenants_admin_answers_only_what_its_rules_say() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let [viewer, acme, globex, operator] = [1, 2, 3, 4].map(|n| tokens[n].as_deref().unwrap());
    let ids = asked(
        folder.path(),
        vec![
            request(&state, "acme", "ada", Approver::TenantAdmin),
            request(&state, "acme", "bob", Approver::Operator),
            request(&state, "globex", "eve", Approver::TenantAdmin),
        ],
    )
    .await;
    for (token, seen) in [(viewer, 3), (acme, 2), (globex, 1), (operator, 3)] {
        let (status, page) = get(&state, token, "/v1/approvals?state=waiting").await;
        let found = page["approvals"].as_array().map(Vec::len);
        assert_eq!((status, found), (200, Some(seen)), "{page}");
    }
    // By none's word but an operator's, or the tenant's where the rule says so.
    let statuses = [
        (viewer, [403, 403, 403]),
        (globex, [404, 404, 200]),
        (acme, [200, 403, 404]),
        (operator, [200, 200, 200]),
    ];
    for verb in ["deny", "grant"] {
        for (token, expected) in statuses {
            for (id, expected) in ids.iter().zip(expected) {
                let path = format!("/v1/approvals/{id}/{verb}");
                let (status, body) = post(&state, token, path, json!({})).await;
                // Whoever comes second finds it granted already.
                let is_again = status == 409 && verb == "grant" && token == operator;
                assert!(status == expected || is_again, "{verb} {id}: {body}");
            }
        }
    }
    let (_, page) = get(&state, globex, "/v1/approvals").await;
    assert_eq!(page["approvals"][0]["decided_by"], "globex", "{page}");
    let (status, _) = get(&state, acme, &format!("/v1/approvals/{}", ids[2])).await;
    assert_eq!(status, 404);
    let (status, _) = get(&state, acme, "/v1/approvals?tenant=globex").await;
    assert_eq!(status, 403);
    // Grants are seen, and taken back, by the same.
    let (_, page) = get(&state, operator, "/v1/grants").await;
    let of = |tenant: &str| {
        let mut all = page["grants"].as_array().unwrap().iter();
        let found = all.find(|one| one["tenant"] == tenant).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let (own, foreign) = (of("acme"), of("globex"));
    for (token, id, status) in [
        (viewer, &own, 403),
        (acme, &foreign, 404),
        (acme, &own, 200),
        (operator, &foreign, 200),
    ] {
        let path = format!("/v1/grants/{id}");
        let (found, ..) = Ask::new("DELETE", path).token(token).of(&state).await;
        assert_eq!(found, status);
    }
    let (_, shown) = get(&state, acme, &format!("/v1/grants/{own}")).await;
    assert_eq!(shown["state"], "revoked", "{shown}");
    let (_, deeds) = get(&state, operator, "/v1/audit?limit=999").await;
    let deeds = deeds["deeds"].as_array().unwrap().iter();
    let by = deeds.filter(|deed| deed["action"] == "grant.create");
    let by: std::collections::BTreeSet<&str> =
        by.filter_map(|deed| deed["actor"].as_str()).collect();
    assert_eq!(by, ["acme", "globex", "operator"].into());
}

#[tokio::test]
async fn a_grant_is_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let operator = tokens[4].as_deref().unwrap();
    let request = request(&state, "acme", "ada", Approver::Operator);
    let ids = asked(folder.path(), vec![request.clone()]).await;
    let path = format!("/v1/approvals/{}/grant", ids[0]);
    let now = state.access.now().0;
    for (wanted, parameter) in [
        (json!({ "calls": 0 }), "amount"),
        (json!({ "calls": 1, "unlimited": true }), "calls"),
        (json!({ "until_ms": 5 }), "until"),
        (json!({ "until_ms": u64::MAX }), "until"),
        (json!({ "anyone_of": "world" }), "anyone_of"),
        (json!({ "anyone_of": "environment" }), "anyone_of"),
        (json!({ "models": [""] }), "models"),
        (json!({ "note": "a\nb" }), "note"),
    ] {
        let (status, body) = post(&state, operator, path.clone(), wanted.clone()).await;
        assert_eq!(
            (status, &body["parameter"]),
            (400, &json!(parameter)),
            "{wanted}: {body}"
        );
    }
    let (status, body) = post(&state, operator, path.clone(), json!({ "cals": 1 })).await;
    assert_eq!(status, 400, "{body}");
    let wanted = json!({
        "cost_nanos": 50_000_000_000_u64, "until_ms": now + 60_000, "models": [],
        "anyone_of": "project", "note": "for the demo",
    });
    let (status, made) = post(&state, operator, path.clone(), wanted).await;
    assert_eq!(status, 200, "{made}");
    for (name, value) in [
        ("state", json!("active")),
        ("request", json!(ids[0])),
        ("project", json!("bot")),
        ("user", Value::Null),
        ("rule", json!("big")),
        ("models", json!([])),
        ("calls", Value::Null),
        ("cost_nanos", json!(50_000_000_000_u64)),
        ("until_ms", json!(now + 60_000)),
        ("granted_by", json!("operator")),
        ("note", json!("for the demo")),
    ] {
        assert_eq!(made[name], value, "{name}: {made}");
    }
    let (status, body) = post(&state, operator, path, json!({})).await;
    assert_eq!(status, 409, "{body}");
    let free = json!({ "tenant": "acme", "user": "bob", "calls": 3, "until_ms": now + 60_000 });
    let (status, made) = post(&state, operator, "/v1/grants".to_owned(), free).await;
    assert_eq!(
        (status, &made["rule"], &made["calls"]),
        (200, &Value::Null, &json!(3)),
        "{made}"
    );
    what_is_left_is_told(&state, operator, &made).await;
    let (_, page) = get(&state, operator, "/v1/grants?limit=1").await;
    assert!(page["next"].is_string(), "{page}");
    let rest = format!("/v1/grants?after={}", page["next"].as_str().unwrap());
    let (_, page) = get(&state, operator, &rest).await;
    assert_eq!(page["grants"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["next"], Value::Null);
}

/// One of three calls is used, past the API.
async fn what_is_left_is_told(state: &AdminState, token: &str, made: &Value) {
    let id = made["id"].as_str().unwrap();
    let at = |name: &str| UnixMillis(made[name].as_u64().unwrap());
    let grant = Grant {
        id: id.into(),
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: Some("bob".into()),
        key_id: None,
        rule: None,
        models: Vec::new(),
        allowance: Allowance::Calls(3),
        from: at("from_ms"),
        until: at("until_ms"),
        granted_by: "operator".into(),
    };
    let (limit, counter) = grant.limit().unwrap();
    let toll = Toll {
        slot: "acme".into(),
        charges: vec![Charge::new(Arc::new(limit), counter, 1)],
    };
    let driver = state.limits.driver().unwrap();
    let charged = driver.counters().charge(&toll, driver.clock().now());
    charged.await.unwrap();
    let (_, shown) = get(state, token, &format!("/v1/grants/{id}")).await;
    let left = (shown["used"].as_u64(), shown["left"].as_u64());
    assert_eq!(left, (Some(1), Some(2)), "{shown}");
    let (_, page) = get(state, token, "/v1/grants").await;
    for one in page["grants"].as_array().unwrap() {
        let left = match one["id"] == id {
            true => Some(2),
            // Whole, or without bounds.
            false => one["calls"].as_u64().or(one["cost_nanos"].as_u64()),
        };
        assert_eq!(one["left"].as_u64(), left, "{one}");
    }
}

/// A plan with budgets, in the place of what the configuration has.
fn with_budgets(before: &Snapshot) -> Snapshot {
    let budget = |name: &str, scope, unit| {
        PlanLimit::from(Limit {
            name: name.into(),
            scope,
            unit,
            amount: 10,
            algorithm: Algorithm::FixedWindow {
                period: Arc::new(Period::calendar(Calendar {
                    unit: CalendarUnit::Month(1),
                    zone: jiff::tz::TimeZone::UTC,
                })),
                rollover: None,
            },
            mode: Mode::Enforce,
        })
    };
    let plan = Plan {
        name: "p".into(),
        limits: vec![
            budget("monthly", Scope::TENANT, Unit::Cost),
            budget("each", Scope::USER, Unit::Tokens),
        ],
        ..Plan::default()
    };
    Snapshot {
        plans: Arc::new([("p".into(), Arc::new(plan))].into_iter().collect()),
        ..before.clone()
    }
}

#[tokio::test]
async fn what_is_added_fits_the_budget_and_ends_with_its_period() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let [acme, globex, operator] = [2, 3, 4].map(|n| tokens[n].as_deref().unwrap());
    state.limits.driver().unwrap().change_snapshot(with_budgets);
    let path = "/v1/budgets/top-ups";
    let wanted = json!({ "tenant": "acme", "budget": "monthly", "cost_nanos": 7 });
    let (status, made) = post(&state, operator, path.to_owned(), wanted.clone()).await;
    assert_eq!(status, 200, "{made}");
    let until = UnixMillis(made["until_ms"].as_u64().unwrap());
    let days = until.since(state.access.now()).0 / 86_400_000;
    assert!(days <= 31, "the month's end: {made}");
    let of_ada =
        json!({ "tenant": "acme", "budget": "each", "of": { "user": "ada" }, "tokens": 5 });
    let (status, made) = post(&state, operator, path.to_owned(), of_ada).await;
    assert_eq!(
        (status, &made["of"]["user"]),
        (200, &json!("ada")),
        "{made}"
    );
    for (wanted, status) in [
        (json!({ "tenant": "acme", "budget": "monthly" }), 400),
        (
            json!({ "tenant": "acme", "budget": "monthly", "cost_nanos": 1, "tokens": 1 }),
            400,
        ),
        (
            json!({ "tenant": "acme", "budget": "monthly", "cost_nanos": 0 }),
            400,
        ),
        (
            json!({ "tenant": "acme", "budget": "monthly", "cost_nanos": 1, "until_ms": 5 }),
            400,
        ),
        (
            json!({ "tenant": "acme", "budget": "monthly", "cost_nanos": 1, "of": { "tenant": "x" } }),
            400,
        ),
        (
            json!({ "tenant": "acme", "budget": "monthly", "tokens": 1 }),
            422,
        ),
        (
            json!({ "tenant": "acme", "budget": "monthly", "cost_nanos": 1, "of": { "user": "ada" } }),
            422,
        ),
        (
            json!({ "tenant": "acme", "budget": "each", "tokens": 1 }),
            422,
        ),
        (
            json!({ "tenant": "acme", "budget": "yearly", "tokens": 1 }),
            422,
        ),
        (
            json!({ "tenant": "nobody", "budget": "monthly", "cost_nanos": 1 }),
            422,
        ),
    ] {
        let (found, body) = post(&state, operator, path.to_owned(), wanted.clone()).await;
        assert_eq!(found, status, "{wanted}: {body}");
    }
    // Nobody raises their own.
    let (status, _) = post(&state, acme, path.to_owned(), wanted).await;
    assert_eq!(status, 403);
    for (token, count) in [(acme, 2), (globex, 0), (operator, 2)] {
        let (_, page) = get(&state, token, path).await;
        assert_eq!(
            page["top_ups"].as_array().map(Vec::len),
            Some(count),
            "{page}"
        );
    }
    let id = made["id"].as_str().unwrap();
    let one = format!("{path}/{id}");
    for (token, status) in [(acme, 200), (globex, 404), (operator, 200)] {
        let (found, told) = get(&state, token, &one).await;
        assert_eq!(found, status, "{told}");
        if status == 200 {
            assert_eq!(told, made);
        }
    }
    for (token, status) in [(acme, 403), (operator, 200)] {
        let ask = Ask::new("DELETE", format!("{path}/{id}")).token(token);
        assert_eq!(ask.of(&state).await.0, status);
    }
    let (_, page) = get(&state, operator, path).await;
    assert_eq!(page["top_ups"].as_array().map(Vec::len), Some(1), "{page}");
    let (_, told) = get(&state, operator, &one).await;
    assert_eq!(told["state"], "revoked", "it can be looked at still");
    let (_, page) = get(&state, operator, "/v1/budgets/top-ups?all=true").await;
    assert_eq!(page["top_ups"].as_array().map(Vec::len), Some(2), "{page}");
}
