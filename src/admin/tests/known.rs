//! How callers are known: by tokens of a provider, by certificates, by nothing; and
//! how often they may try.

use super::*;
use crate::config::shown::Shown;
use crate::config::{ClientRole, OidcConfig};
use crate::identity::Role;
use crate::identity::scopes::Pattern;

#[tokio::test]
async fn certificates_have_the_role_of_their_name() {
    let client = |name: &str, role| ClientRole {
        name: Pattern::new(name).unwrap(),
        role,
    };
    let admin = AdminConfig {
        clients: vec![
            client("spiffe://mesh/ns/ops/*", Role::Operator),
            client("acme.internal", Role::TenantAdmin("acme".into())),
        ],
        ..AdminConfig::default()
    };
    let state = state(Some(TOKEN), &admin, None);
    let names = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        Some(CertificateNames(names.collect()))
    };
    for (brought, method, path, status) in [
        (
            names(&["spiffe://mesh/ns/ops/sa/x"]),
            "GET",
            "/v1/limits?tenant=globex",
            200,
        ),
        (
            names(&["other", "acme.internal"]),
            "GET",
            "/v1/limits?tenant=acme",
            200,
        ),
        (
            names(&["acme.internal"]),
            "GET",
            "/v1/limits?tenant=globex",
            403,
        ),
        (
            names(&["spiffe://mesh/ns/opsx"]),
            "GET",
            "/v1/limits?tenant=acme",
            403,
        ),
        (names(&[]), "GET", "/v1/limits?tenant=acme", 403),
        (None, "GET", "/v1/limits?tenant=acme", 401),
        (
            names(&["spiffe://mesh/ns/ops/x"]),
            "DELETE",
            "/v1/limits?tenant=acme",
            403,
        ),
    ] {
        let mut ask = Ask::new(method, path);
        ask.names = brought.clone();
        let (found, _, body, _) = ask.of(&state).await;
        assert_eq!(found, status, "{brought:?} {method} {path}: {body}");
    }
    let mut ask = Ask::new("DELETE", "/v1/limits?tenant=acme");
    ask.names = names(&["spiffe://mesh/ns/ops/x"]);
    ask.headers.push(("x-weir-request", "1".to_owned()));
    assert_eq!(ask.of(&state).await.0, 200);
    // What is said by a token counts, not what the certificate would.
    let mut ask = Ask::new("GET", "/v1/limits?tenant=acme").token("wrong");
    ask.names = names(&["spiffe://mesh/ns/ops/x"]);
    assert_eq!(ask.of(&state).await.0, 401);
}

#[tokio::test]
async fn wrong_credentials_are_heard_a_few_times() {
    let state = state(Some(TOKEN), &AdminConfig::default(), None);
    let mut statuses = Vec::new();
    let peer = Peer::Ip([192, 0, 2, 1].into());
    for _ in 0..20 {
        let mut nothing = Ask::new("GET", "/v1/tenants");
        nothing.peer = peer;
        assert_eq!(nothing.of(&state).await.0, 401, "it guesses nothing");
    }
    for _ in 0..12 {
        let mut ask = Ask::new("GET", "/v1/tenants").token("wrong-token-of-sixteen");
        ask.peer = peer;
        let (status, headers, ..) = ask.of(&state).await;
        assert_eq!(headers.contains_key("retry-after"), status == 429);
        statuses.push(status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[11], 429);
    // Whoever guessed it now isn't told.
    let asked = |path: &str, peer| {
        let mut ask = Ask::new("GET", path).token(TOKEN);
        ask.peer = peer;
        ask
    };
    assert_eq!(asked("/v1/tenants", peer).of(&state).await.0, 429);
    assert_eq!(asked("/healthz", peer).of(&state).await.0, 200);
    let other = Peer::Ip([192, 0, 2, 2].into());
    assert_eq!(asked("/v1/tenants", other).of(&state).await.0, 200);
}

#[tokio::test]
async fn credentials_of_an_odd_form_are_unknown() {
    let state = state(Some(TOKEN), &AdminConfig::default(), None);
    for brought in [
        vec!["Bearer a-token-of-sixteem"],
        vec!["bearer a-token-of-sixteen"],
        vec!["Bearer  a-token-of-sixteen"],
        vec!["a-token-of-sixteen"],
        vec![""],
        vec!["Bearer a-token-of-sixteen", "Bearer a-token-of-sixteen"],
        vec!["Basic YTpi"],
    ] {
        let mut ask = Ask::new("GET", "/v1/tenants");
        ask.headers.extend(
            brought
                .iter()
                .map(|one| ("authorization", (*one).to_owned())),
        );
        assert_eq!(ask.of(&state).await.0, 401, "{brought:?}");
    }
}

/// The role is the expression's; its keys follow their file.
#[tokio::test]
async fn users_of_a_provider_have_the_role_that_the_expression_gives() {
    use crate::identity::jwt::tests::{Provider, expected};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (first, second) = (Provider::new(), Provider::new());
    std::fs::write(&path, first.jwks().to_string()).unwrap();
    let compile = |text: &str| crate::expressions::Expression::compile(text, &["claims"]).unwrap();
    let admin = AdminConfig {
        oidc: Some(OidcConfig {
            expected: expected(),
            keys: first.keys(),
            keys_path: Some(path.clone()),
            role: compile("claims.groups.exists(g, g == 'weir') ? 'operator' : 'tenant-admin'"),
            tenant: Some(compile("claims.org")),
        }),
        ..AdminConfig::default()
    };
    let fresh = || state(None, &admin, None);
    let token = |provider: &Provider, more: serde_json::Value| {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "weir", "sub": "ada", "exp": 4_000_000_000_u64,
        });
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        provider.token(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims)
    };
    let state = fresh();
    for (more, path, status) in [
        (
            json!({ "groups": ["weir"] }),
            "/v1/limits?tenant=globex",
            200,
        ),
        (
            json!({ "groups": [], "org": "acme" }),
            "/v1/limits?tenant=acme",
            200,
        ),
        (
            json!({ "groups": [], "org": "acme" }),
            "/v1/limits?tenant=globex",
            403,
        ),
        (
            json!({ "groups": [], "org": 5 }),
            "/v1/limits?tenant=acme",
            403,
        ),
        (json!({ "groups": [] }), "/v1/limits?tenant=acme", 403),
        (json!({}), "/v1/limits?tenant=acme", 403),
        (
            json!({ "groups": ["weir"], "sub": "" }),
            "/v1/limits?tenant=acme",
            401,
        ),
        (
            json!({ "groups": ["weir"], "exp": 5 }),
            "/v1/limits?tenant=acme",
            401,
        ),
    ] {
        let ask = Ask::new("GET", path).token(&token(&first, more.clone()));
        let (found, _, body, _) = ask.of(&state).await;
        assert_eq!(found, status, "{more} {path}: {body}");
    }
    let by_second = token(&second, json!({ "groups": ["weir"] }));
    let ask = || Ask::new("GET", "/v1/tenants").token(&by_second);
    assert_eq!(ask().of(&state).await.0, 401);
    std::fs::write(&path, second.jwks().to_string()).unwrap();
    // It is looked at a while later; a process that starts now looks at once.
    assert_eq!(ask().of(&fresh()).await.0, 200);
    std::fs::write(&path, "{").unwrap();
    assert_eq!(
        ask().of(&fresh()).await.0,
        401,
        "what can't be read changes nothing"
    );
}

/// A new configuration lets in whom it names, at once, and nobody of before.
#[tokio::test]
async fn who_may_ask_changes_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tokens) = super::roles::with_roles(folder.path()).await;
    let viewer = tokens[1].as_deref().unwrap();
    let asked = |token: &str, host: &str| {
        let mut ask = Ask::new("GET", "/v1/tenants").token(token);
        ask.headers[0].1 = host.to_owned();
        ask
    };
    let other = "another-token-of-more";
    for (token, host, status) in [
        (TOKEN, "localhost", 200),
        (viewer, "localhost", 200),
        (other, "localhost", 401),
        (TOKEN, "weir.example", 421),
    ] {
        let (found, _, body, _) = asked(token, host).of(&state).await;
        assert_eq!(found, status, "{token} {host}: {body}");
    }
    struct Other;
    impl Outside for Other {
        fn env(&self, name: &str) -> Option<Vec<u8>> {
            let pepper = Variables.env(name);
            pepper.or_else(|| Some(b"another-token-of-more".to_vec()))
        }
        fn file(&self, _: &std::path::Path, _: usize) -> std::io::Result<Vec<u8>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let text = WEIR.replace(
        "listen: { ",
        "admin: { hosts: [ weir.example ] }\nlisten: { admin_token: { env: T }, ",
    );
    let new = load(&text, "weir.yaml", &Other).unwrap_or_else(|problems| panic!("{problems}"));
    state.change(&new, Shown::of(&new));
    for (token, host, status) in [
        (TOKEN, "localhost", 401),
        (other, "weir.example", 200),
        (viewer, "weir.example", 200),
    ] {
        let (found, _, body, _) = asked(token, host).of(&state).await;
        assert_eq!(found, status, "{token} {host}: {body}");
    }
    let (_, _, body, _) = Ask::new("GET", "/v1/config").token(other).of(&state).await;
    assert_eq!(body["admin"]["hosts"], json!(["weir.example"]));
    // Tokens in the database are digested with the pepper, and end with it.
    let text = text.replace("pepper: { env: PEPPER }", "pepper: { env: T }");
    let text = text.replace("env: T }, grpc", "env: T2 }, grpc");
    struct Third;
    impl Outside for Third {
        fn env(&self, _: &str) -> Option<Vec<u8>> {
            Some(b"another-pepper-that-nobody-has-ever".to_vec())
        }
        fn file(&self, _: &std::path::Path, _: usize) -> std::io::Result<Vec<u8>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let new = load(&text, "weir.yaml", &Third).unwrap_or_else(|problems| panic!("{problems}"));
    state.change(&new, Shown::of(&new));
    assert_eq!(asked(viewer, "localhost").of(&state).await.0, 401);
}

/// Who asks for a reading is told what is wrong, and the audit of both.
#[tokio::test]
async fn a_reading_that_fails_is_answered_with_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = super::roles::with_roles(folder.path()).await;
    let (reload, mut asks) = ReloadApi::new();
    let state = AdminState { reload, ..state };
    tokio::spawn(async move {
        let text = "listen: { grcp: 1 }\nnonsense: 2\n";
        let problems = load(text, "weir.yaml", &Variables).unwrap_err();
        let problems = Arc::new(problems);
        let refused: ReloadOutcome = Err(problems);
        let taken: ReloadOutcome = Ok(Arc::new(Taken {
            waiting: vec!["holds.ttl_ms".to_owned()],
            ..Taken::default()
        }));
        for outcome in [refused, taken] {
            asks.recv().await.unwrap().send(outcome).unwrap();
        }
    });
    let ask = || Ask::new("POST", "/v1/config/reload").token(TOKEN);
    let (status, _, body, text) = ask().of(&state).await;
    assert_eq!(status, 422, "{text}");
    let problems = body["problems"].as_array().unwrap();
    let unknown = problems
        .iter()
        .find(|one| one["path"] == "listen.grcp")
        .unwrap();
    assert_eq!(
        (&unknown["line"], &unknown["column"]),
        (&json!(1), &json!(11))
    );
    assert!(problems.iter().any(|one| one["line"] == 2), "{text}");
    let (status, _, body, text) = ask().of(&state).await;
    assert_eq!(
        (status, &body["at_next_start"]),
        (200, &json!(["holds.ttl_ms"])),
        "{text}"
    );
    // Nobody reads any more.
    assert_eq!(ask().of(&state).await.0, 503);
    let (_, _, body, text) = Ask::new("GET", "/v1/audit?subject=config")
        .token(TOKEN)
        .of(&state)
        .await;
    let deeds = body["deeds"].as_array().unwrap();
    let told: Vec<_> = deeds
        .iter()
        .map(|deed| (deed["action"].as_str().unwrap(), &deed["after"]["taken"]))
        .collect();
    let (begun, done, null) = ("config.reload", "config.reload.done", json!(null));
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(
        told,
        [
            (begun, &null),
            (done, &no),
            (begun, &null),
            (done, &yes),
            (begun, &null)
        ],
        "{text}"
    );
}
