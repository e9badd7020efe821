//! Who sees which alerts, and what a test of a webhook does.

use super::roles::with_roles;
use super::*;
use crate::accounts::Accounts;
use crate::accounts::alerts::Raised;
use crate::alerts::Alert;
use crate::config::AlertsConfig;
use crate::units::UnixMillis;
use crate::webhooks::tests::{Receiver, settings};

async fn raise(folder: &std::path::Path, all: &[(&str, u64)]) {
    let config = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let accounts = Accounts::open(&config).await.unwrap();
    let window = |at| (Millis(1_000), UnixMillis(at + 1_000));
    for (tenant, at) in all {
        let tenant: Arc<str> = (*tenant).into();
        let alert = Alert::refusals(&tenant, 6, 5, window(*at), UnixMillis(*at));
        let webhooks = vec!["ops".into()];
        let added = accounts.raise(&[Raised { alert, webhooks }]).await.unwrap();
        assert_eq!(added, 1);
        let now = UnixMillis(*at + 1);
        let taken = accounts.take_delivery(&"ops".into(), now, Millis(9)).await;
        let taken = taken.unwrap().unwrap();
        let why = "inner.host:80: no answer";
        accounts
            .not_delivered(&taken, why, None, now)
            .await
            .unwrap();
    }
    accounts.close().await;
}

#[tokio::test]
async fn a_tenants_admin_sees_its_own_alerts_and_nothing_of_where_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let [viewer, acme] = [1, 2].map(|n| tokens[n].as_deref().unwrap());
    raise(
        folder.path(),
        &[("acme", 1_000), ("globex", 5_000), ("acme", 9_000)],
    )
    .await;
    let get = async |token: &str, path: &str| {
        let (status, _, body, _) = Ask::new("GET", path).token(token).of(&state).await;
        (status, body)
    };
    let (_, page) = get(viewer, "/v1/alerts?state=dead&limit=2").await;
    let first = &page["alerts"][0];
    assert_eq!(
        (&first["tenant"], &first["kind"]),
        (&json!("acme"), &json!("refusals"))
    );
    assert_eq!(
        first["deliveries"][0]["last_error"],
        "inner.host:80: no answer"
    );
    let next = page["next"].as_str().unwrap();
    let (_, page) = get(viewer, &format!("/v1/alerts?limit=2&after={next}")).await;
    assert_eq!(page["alerts"].as_array().unwrap().len(), 1);
    assert!(page["next"].is_null());
    let (_, page) = get(acme, "/v1/alerts").await;
    let all = page["alerts"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one["tenant"] == "acme"));
    assert!(!page.to_string().contains("inner.host"), "{page}");
    for (path, status) in [
        ("/v1/alerts?tenant=globex", 403),
        ("/v1/alerts?state=lost", 400),
        ("/v1/alerts?after=nonsense", 400),
        ("/v1/alerts?state=waiting", 200),
    ] {
        assert_eq!(get(acme, path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_test_is_sent_and_told_to_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let receiver = Receiver::start(|nth| if nth == 0 { 204 } else { 503 }).await;
    let url = format!("http://{}/", receiver.address);
    let inside = settings("inside", format!("https://{}/", receiver.address));
    let config = AlertsConfig {
        webhooks: vec![
            settings("ops", url),
            crate::config::WebhookSettings {
                allow_private: false,
                ..inside
            },
        ],
        refusals: None,
    };
    let state = AdminState {
        alerts: AlertsApi::new(&Arc::new(config)),
        ..state
    };
    let operator = tokens[4].as_deref().unwrap();
    let test = async |webhook: &str| {
        let body = json!({ "webhook": webhook });
        let ask = Ask::new("POST", "/v1/alerts/test")
            .token(operator)
            .json(&body);
        let (status, _, body, _) = ask.of(&state).await;
        (status, body)
    };
    assert_eq!(
        test("ops").await,
        (200, json!({ "sent": true, "error": null }))
    );
    let (_, answer) = test("ops").await;
    assert_eq!(answer, json!({ "sent": false, "error": "answered 503" }));
    let (_, answer) = test("inside").await;
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("private or reserved")
    );
    assert_eq!(test("none").await.0, 404);
    assert_eq!(receiver.got().len(), 2);
    let (_, _, audit, _) = Ask::new("GET", "/v1/audit")
        .token(operator)
        .of(&state)
        .await;
    let deeds = audit["deeds"].as_array().unwrap().iter();
    let tests = deeds.filter(|deed| deed["action"] == "alerts.test");
    let subjects: Vec<&str> = tests
        .map(|deed| deed["subject"].as_str().unwrap())
        .collect();
    assert_eq!(subjects, ["ops", "ops", "inside"]);
}
