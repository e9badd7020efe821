//! Explanations over HTTP: by live counters, to whoever may see the tenant.

use super::roles::with_roles;
use super::*;
use serde_json::Value;

fn call(who: Value) -> Value {
    let mut call = json!({ "request": { "model": "m", "max_tokens": 5,
        "messages": [ { "role": "user", "content": "secret words" } ] } });
    for (name, value) in who.as_object().unwrap() {
        call[name] = value.clone();
    }
    call
}

#[tokio::test]
async fn a_call_is_explained_and_charged_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    // A viewer of all tenants, and the tenant's own admin; twice each.
    for (role, shared) in [(1, true), (2, false), (1, true), (2, false)] {
        for who in [json!({ "tenant": "acme" }), json!({ "key": "ada" })] {
            let call = call(who);
            let token = tokens[role].as_deref().unwrap();
            let ask = Ask::new("POST", "/v1/explain").token(token).json(&call);
            let (status, _, told, text) = ask.of(&state).await;
            assert_eq!(status, 200, "{told}");
            assert_eq!(told["caller"]["tenant"], "acme");
            assert_eq!(told["verdict"]["decision"], "allowed", "{told:#}");
            let limits = told["limits"].as_array().unwrap();
            let of = |name: &str| limits.iter().find(|limit| limit["name"] == name);
            assert_eq!(of("own").unwrap()["used"], 0);
            assert_eq!(of("own").unwrap()["remaining"], 5);
            assert_eq!(of("everybody").is_some(), shared, "{told:#}");
            assert!(!text.contains("secret words"), "{text}");
        }
    }
}

#[tokio::test]
async fn what_another_tenant_has_is_told_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    for (who, status) in [
        (json!({ "tenant": "globex" }), 403),
        (json!({ "tenant": "nobody" }), 403),
        // Whether there is such a key isn't told.
        (json!({ "key": "gus" }), 404),
        (json!({ "key": "nobody" }), 404),
        (json!({}), 400),
        (json!({ "key": "ada", "tenant": "acme" }), 400),
        (json!({ "tenant": "acme", "tennat": "acme" }), 400),
    ] {
        let call = call(who);
        let acme = tokens[2].as_deref().unwrap();
        let ask = Ask::new("POST", "/v1/explain").token(acme).json(&call);
        let (said, _, body, _) = ask.of(&state).await;
        assert_eq!(said, status, "{call}: {body}");
    }
}

/// A text is judged as it stands, as a call's body is.
#[tokio::test]
async fn the_very_text_of_a_body_can_be_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = with_roles(folder.path()).await;
    let messages = r#""messages":[{"role":"user","content":"hi"}]}"#;
    for (body, is) in [
        (
            format!(r#"{{"model":"m","max_tokens":5,{messages}"#),
            json!([]),
        ),
        (
            format!(r#"{{"model":"x","model":"m",{messages}"#),
            json!(["bad_body"]),
        ),
        (
            format!(r#"{{"model":"m","max_tokens":1e400,{messages}"#),
            json!(["bad_body"]),
        ),
        ("no JSON".to_owned(), json!(["bad_body"])),
    ] {
        let call = json!({ "tenant": "acme", "request": body });
        let token = tokens[1].as_deref().unwrap();
        let ask = Ask::new("POST", "/v1/explain").token(token).json(&call);
        let (status, _, told, _) = ask.of(&state).await;
        assert_eq!(
            (status, &told["verdict"]["is"]),
            (200, &is),
            "{body}: {told}"
        );
    }
}
