//! A tenant-admin sees and touches nothing of another tenant, by no endpoint and no
//! parameter; and no secret is in any answer but the one that makes it.

use super::roles::{ROLES, rows, with_roles};
use super::*;
use serde_json::Value;

struct Made {
    key: String,
    key_secret: String,
    token: String,
    token_secret: String,
}

/// A key and a token of `globex`, made over the API by its owner.
async fn of_globex(state: &AdminState) -> Made {
    let key = json!({ "id": "globex-key", "key": { "tenant": "globex", "user": "eve" } });
    let (status, _, key, _) = Ask::new("POST", "/v1/keys")
        .token(TOKEN)
        .json(&key)
        .of(state)
        .await;
    assert_eq!(status, 200, "{key}");
    let token = json!({ "role": "tenant-admin", "tenant": "globex" });
    let ask = Ask::new("POST", "/v1/tokens").token(TOKEN).json(&token);
    let (status, _, token, _) = ask.of(state).await;
    assert_eq!(status, 200, "{token}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Made {
        key: text(&key["key"]["id"]),
        key_secret: text(&key["secret"]),
        token: text(&token["token"]["id"]),
        token_secret: text(&token["secret"]),
    }
}

#[tokio::test]
async fn a_tenant_admin_is_kept_to_the_own_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let made = of_globex(&state).await;
    let acme = tokens[2].as_deref().unwrap();
    let own = json!({ "key": { "tenant": "acme" } });
    let (status, ..) = Ask::new("POST", "/v1/keys")
        .token(acme)
        .json(&own)
        .of(&state)
        .await;
    assert_eq!(status, 200);
    // What an operator did to it is in its audit, without what others' calls used.
    let (status, ..) = Ask::new("DELETE", "/v1/limits?tenant=acme")
        .token(TOKEN)
        .of(&state)
        .await;
    assert_eq!(status, 200);
    for path in [
        "/v1/keys",
        "/v1/keys?revoked=true",
        "/v1/keys?user=eve",
        "/v1/keys?after=a",
        "/v1/tokens",
        "/v1/tenants",
        "/v1/tenants/acme",
        "/v1/limits?tenant=acme",
        "/v1/limits?tenant=acme&limit=everybody",
        "/v1/audit",
        "/v1/audit?after=0",
        "/v1/audit?subject=globex-key",
        "/v1/usage",
        "/v1/usage?by=tenant",
        "/v1/usage?where=tenant!=acme",
        "/v1/usage/top?by=tenant",
        "/v1/usage?by=key&where=tenant=acme",
    ] {
        let (status, _, body, text) = Ask::new("GET", path).token(acme).of(&state).await;
        assert_eq!(status, 200, "{path}: {body}");
        for foreign in ["globex", "eve", "everybody", made.token.as_str()] {
            assert!(!text.contains(foreign), "{path}: {foreign} in {text}");
        }
    }
    let (_, _, body, _) = Ask::new("GET", "/v1/keys").token(acme).of(&state).await;
    assert_eq!(body["keys"].as_array().map(Vec::len), Some(1), "{body}");
    let (key, token) = (&made.key, &made.token);
    let globex = json!({ "key": { "tenant": "globex" } });
    let empty = json!({});
    for (method, path, body, status) in [
        ("GET", "/v1/keys?tenant=globex".to_owned(), None, 403),
        ("GET", "/v1/audit?tenant=globex".to_owned(), None, 403),
        ("GET", "/v1/limits?tenant=globex".to_owned(), None, 403),
        ("GET", "/v1/limits?tenant=nobody".to_owned(), None, 403),
        ("GET", "/v1/limits?tenant=".to_owned(), None, 403),
        (
            "GET",
            "/v1/limits?tenant=acme&tenant=globex".to_owned(),
            None,
            400,
        ),
        ("DELETE", "/v1/limits?tenant=globex".to_owned(), None, 403),
        ("DELETE", "/v1/limits?tenant=acme".to_owned(), None, 403),
        ("POST", "/v1/limits/rebuild".to_owned(), None, 403),
        ("GET", "/v1/tenants/globex".to_owned(), None, 403),
        ("GET", "/v1/tenants/nobody".to_owned(), None, 403),
        ("GET", "/v1/usage?where=tenant=globex".to_owned(), None, 403),
        (
            "GET",
            "/v1/usage?where=tenant=acme&where=tenant=globex".to_owned(),
            None,
            403,
        ),
        (
            "GET",
            "/v1/usage/top?where=tenant=globex".to_owned(),
            None,
            403,
        ),
        ("GET", format!("/v1/keys/{key}"), None, 404),
        ("DELETE", format!("/v1/keys/{key}"), None, 404),
        ("POST", format!("/v1/keys/{key}/rotate"), Some(&empty), 404),
        ("DELETE", format!("/v1/tokens/{token}"), None, 404),
        ("POST", "/v1/keys".to_owned(), Some(&globex), 403),
        ("GET", "/v1/config".to_owned(), None, 403),
    ] {
        let mut ask = Ask::new(method, path.clone()).token(acme);
        if let Some(body) = body {
            ask = ask.json(body);
        }
        let (found, _, answer, text) = ask.of(&state).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert!(
            !text.contains("eve") && !text.contains("everybody"),
            "{text}"
        );
    }
    // Names are as good as unknown: a taken one isn't told of.
    let named = json!({ "id": key, "key": { "tenant": "acme" } });
    let (status, ..) = Ask::new("POST", "/v1/keys")
        .token(acme)
        .json(&named)
        .of(&state)
        .await;
    assert_eq!(status, 403);
    let (_, _, still, _) = Ask::new("GET", format!("/v1/keys/{key}"))
        .token(TOKEN)
        .of(&state)
        .await;
    assert_eq!(still["state"], "active", "{still}");
}

#[tokio::test]
async fn no_token_grants_more_than_its_maker_has() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let wanted = [
        json!({ "role": "viewer" }),
        json!({ "role": "tenant-admin", "tenant": "acme" }),
        json!({ "role": "tenant-admin", "tenant": "globex" }),
        json!({ "role": "operator" }),
        json!({ "role": "owner" }),
    ];
    let mut table = Vec::new();
    for token in tokens.iter().flatten() {
        let mut row = Vec::new();
        for wanted in &wanted {
            let ask = Ask::new("POST", "/v1/tokens").token(token).json(wanted);
            row.push(ask.of(&state).await.0);
        }
        table.push(row);
    }
    assert_eq!(
        table,
        [
            [403, 403, 403, 403, 403],
            [403, 200, 403, 403, 403],
            [403, 403, 200, 403, 403],
            [200, 200, 200, 200, 403],
            [200, 200, 200, 200, 200],
        ]
    );
    let operator = tokens[4].as_deref().unwrap();
    let (status, ..) = Ask::new("DELETE", "/v1/tokens/owner")
        .token(operator)
        .of(&state)
        .await;
    assert_eq!(status, 403, "who may do more isn't put out");
    // What ends makes nothing that lasts longer.
    let ends = state.access.now().0 + 3_600_000;
    let short = json!({ "role": "operator", "expires_at_ms": ends });
    let ask = Ask::new("POST", "/v1/tokens").token(TOKEN).json(&short);
    let (_, _, short, _) = ask.of(&state).await;
    let secret = short["secret"].as_str().unwrap();
    for (end, status) in [
        (json!(ends + 1), 400),
        (json!(5), 400),
        (json!(ends), 200),
        (Value::Null, 200),
    ] {
        let wanted = json!({ "role": "viewer", "expires_at_ms": end });
        let ask = Ask::new("POST", "/v1/tokens").token(secret).json(&wanted);
        let (found, _, body, _) = ask.of(&state).await;
        assert_eq!(found, status, "{body}");
        if status == 200 {
            assert_eq!(body["token"]["expires_at_ms"], json!(ends));
        }
    }
}

/// What was made with a token that is withdrawn, as one that was stolen may be, is
/// withdrawn with it.
#[tokio::test]
async fn no_token_outlives_the_one_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = with_roles(folder.path()).await;
    let made = async |by: &str, role: &str| {
        let wanted = json!({ "role": role });
        let ask = Ask::new("POST", "/v1/tokens").token(by).json(&wanted);
        let (status, _, made, _) = ask.of(&state).await;
        assert_eq!(status, 200, "{made}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["token"]["id"]), text(&made["secret"]))
    };
    let (stolen, first) = made(TOKEN, "operator").await;
    let (second_id, second) = made(&first, "operator").await;
    let (third_id, third) = made(&second, "viewer").await;
    let (_, other) = made(TOKEN, "viewer").await;
    let (status, ..) = Ask::new("DELETE", format!("/v1/tokens/{stolen}"))
        .token(TOKEN)
        .of(&state)
        .await;
    assert_eq!(status, 200);
    for (token, expected) in [(&first, 401), (&second, 401), (&third, 401), (&other, 200)] {
        let (status, ..) = Ask::new("GET", "/v1/keys").token(token).of(&state).await;
        assert_eq!(status, expected);
    }
    for id in [stolen, second_id, third_id] {
        let (_, _, told, _) = Ask::new("GET", format!("/v1/audit?subject={id}"))
            .token(TOKEN)
            .of(&state)
            .await;
        let last = told["deeds"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["action"], "token.revoke", "{told}");
        assert_eq!(last["actor"], "listen.admin_token", "{told}");
    }
}

/// Who may look is let in while others write for long.
#[tokio::test]
async fn a_token_counts_though_its_use_cant_be_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let config = StoreConfig::Sqlite {
        path: folder.path().join("weir.db"),
    };
    // The first request opens the database, which prepares its tables.
    let operator = tokens[4].as_deref().unwrap();
    let (status, ..) = Ask::new("GET", "/v1/keys").token(operator).of(&state).await;
    assert_eq!(status, 200);
    let other = crate::ledger::store::database::connect(&config)
        .await
        .unwrap();
    let lock = other.write().await.unwrap();
    let viewer = tokens[1].as_deref().unwrap();
    let ask = || Ask::new("GET", "/v1/keys").token(viewer);
    assert_eq!(ask().of(&state).await.0, 200);
    lock.rollback().await.unwrap();
    assert_eq!(ask().of(&state).await.0, 200);
}

#[tokio::test]
async fn keys_live_and_each_change_is_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let made = of_globex(&state).await;
    let operator = tokens[4].as_deref().unwrap();
    let ask = |method: &'static str, path: &str| Ask::new(method, path).token(operator);
    let (_, _, rotated, _) = ask("POST", "/v1/keys/globex-key/rotate")
        .json(&json!({ "overlap_ms": 60_000 }))
        .of(&state)
        .await;
    let new = rotated["key"]["id"].as_str().unwrap().to_owned();
    assert_ne!(rotated["secret"], json!(made.key_secret));
    let (_, _, old, _) = ask("GET", "/v1/keys/globex-key").of(&state).await;
    assert_eq!(
        (&old["state"], &old["replaced_by"]),
        (&json!("replaced"), &json!(new))
    );
    let (status, ..) = ask("POST", "/v1/keys/globex-key/rotate")
        .json(&json!({}))
        .of(&state)
        .await;
    assert_eq!(status, 409);
    for revoked in [true, false] {
        let (_, _, body, _) = ask("DELETE", "/v1/keys/globex-key").of(&state).await;
        assert_eq!(body, json!({ "revoked": revoked }));
    }
    let brought = json!({ "keys": [
        { "id": "one", "hash": "ab".repeat(32), "key": { "tenant": "acme" } },
        { "id": "two", "secret": "a-key-from-elsewhere-that-is-long", "key": { "tenant": "globex", "labels": { "team": "x" } } },
        { "id": new, "hash": "cd".repeat(32), "key": { "tenant": "acme" } },
    ] });
    let (_, _, imported, _) = ask("POST", "/v1/keys/import")
        .json(&brought)
        .of(&state)
        .await;
    assert_eq!(imported, json!({ "added": 2, "passed_over": [new] }));
    let (status, ..) = ask("DELETE", "/v1/limits?tenant=acme").of(&state).await;
    assert_eq!(status, 200);
    let (status, ..) = ask("DELETE", &format!("/v1/tokens/{}", made.token))
        .of(&state)
        .await;
    assert_eq!(status, 200);
    let (status, ..) = Ask::new("GET", "/v1/keys")
        .token(&made.token_secret)
        .of(&state)
        .await;
    assert_eq!(status, 401, "it counts no more at once");
    let (mut after, mut deeds) = (0, Vec::new());
    loop {
        let (_, _, page, _) = ask("GET", &format!("/v1/audit?limit=3&after={after}"))
            .of(&state)
            .await;
        deeds.extend(page["deeds"].as_array().unwrap().clone());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    let told = |deed: &Value| {
        let word = |name: &str| deed[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", word("actor"), word("action"), word("tenant"))
    };
    let told: Vec<String> = deeds.iter().skip(ROLES.len() - 1).map(told).collect();
    assert_eq!(
        told,
        [
            "listen.admin_token key.create globex",
            "listen.admin_token token.create globex",
            "operator key.create globex",
            "operator key.rotate globex",
            "operator key.revoke globex",
            "operator key.import acme",
            "operator key.import globex",
            "operator limits.reset acme",
            "operator limits.reset.done acme",
            "operator token.revoke globex",
        ]
    );
    let sequences: Vec<u64> = deeds
        .iter()
        .map(|deed| deed["sequence"].as_u64().unwrap())
        .collect();
    assert!(sequences.iter().copied().eq(1..=sequences.len() as u64));
    let of = |action: &str| deeds.iter().find(|deed| deed["action"] == action).unwrap();
    assert_eq!(of("key.revoke")["before"]["id"], "globex-key");
    assert_eq!(of("limits.reset")["before"]["limits"][0]["limit"], "own");
    assert_eq!(of("limits.reset.done")["after"]["reset"], 1);
}

/// Keys, tokens, the pepper and the database's password, brought and kept, are in no
/// answer: not in what is asked wrongly either.
#[tokio::test]
async fn no_secret_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let made = of_globex(&state).await;
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    let digest = pepper.digest(made.key_secret.as_bytes()).to_string();
    let operator = tokens[4].clone().unwrap();
    let secrets = [
        &made.key_secret,
        &made.token_secret,
        &operator,
        &digest,
        &PEPPER.to_owned(),
        &TOKEN.to_owned(),
    ];
    let secret = &made.key_secret;
    let mut asks = Vec::new();
    for row in rows() {
        asks.push(super::roles::asked(&row, row.method, Some(&operator)));
        asks.push(super::roles::asked(&row, row.method, Some(secret)));
        let misplaced = json!({ secret.as_str(): secret, "role": secret, "text": format!("listen: {{ admin_token: {secret} }}\nidentity: {{ pepper: {PEPPER} }}") });
        if !row.body.is_null() {
            asks.push(
                Ask::new(row.method, row.path)
                    .token(&operator)
                    .json(&misplaced),
            );
            let role = json!({ "role": secret });
            asks.push(Ask::new(row.method, row.path).token(&operator).json(&role));
            let text = json!({ "text": misplaced["text"] });
            asks.push(Ask::new(row.method, row.path).token(&operator).json(&text));
        }
        if row.path.contains("none") {
            let path = row.path.replace("none", secret);
            asks.push(super::roles::asked(&row, row.method, Some(&operator)));
            asks.push(Ask::new(row.method, path).token(&operator));
        }
        if row.method == "GET" {
            asks.push(Ask::new("GET", format!("{}?{secret}={secret}", row.path)).token(&operator));
            asks.push(
                Ask::new("GET", format!("{}?limit={secret}&after={secret}", row.path))
                    .token(&operator),
            );
        }
    }
    for ask in asks {
        let what = format!("{} {}", ask.method, ask.path);
        let (_, headers, body, text) = ask.of(&state).await;
        let makes = body["secret"].is_string();
        let headers = format!("{headers:?}");
        for secret in secrets {
            assert!(!headers.contains(secret.as_str()), "{what}: {headers}");
            assert!(makes || !text.contains(secret.as_str()), "{what}: {text}");
            assert!(
                !makes || !text.contains(secret.as_str()),
                "{what}: an old secret"
            );
        }
    }
    let debug = format!("{state:?}");
    assert!(
        secrets
            .iter()
            .all(|secret| !debug.contains(secret.as_str())),
        "{debug}"
    );
}
