//! Who may use the admin API, and a configuration as it is shown and compared.

use super::super::shown::{Difference, Shown, differences, keys_differ, tenants_differ};
use super::*;
use serde_json::{Value, json};

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn with(admin: &str) -> Result<Config, String> {
    let text = format!("{GOOD}\nadmin:\n{admin}\n");
    let outside = outside().with_file("/run/jwks.json", JWKS.as_bytes());
    load(&text, "weir.yaml", &outside).map_err(|problems| problems.to_string())
}

#[test]
fn access_is_read() {
    let config = with(
        "  hosts: [ Weir.Internal ]
  oidc:
    issuer: https://id.example
    audience: weir
    jwks: { file: /run/jwks.json }
    role: 'claims.admin ? \"owner\" : \"tenant-admin\"'
    tenant: claims.org
  clients:
    - { name: \"spiffe://mesh/ns/ops/*\", role: operator }
    - { name: Acme.Internal, role: tenant-admin, tenant: acme }",
    )
    .unwrap();
    assert_eq!(config.admin.hosts, ["weir.internal"]);
    let oidc = config.admin.oidc.as_ref().unwrap();
    assert_eq!(
        (&*oidc.expected.issuer, &*oidc.expected.audience),
        ("https://id.example", "weir")
    );
    assert_eq!(oidc.keys_path, Some("/run/jwks.json".into()));
    let clients: Vec<_> = config
        .admin
        .clients
        .iter()
        .map(|one| (one.name.as_str(), one.role.clone()))
        .collect();
    use crate::identity::Role;
    assert_eq!(
        clients,
        [
            ("spiffe://mesh/ns/ops/*", Role::Operator),
            ("acme.internal", Role::TenantAdmin("acme".into())),
        ]
    );
}

#[test]
fn what_is_wrong_with_access_is_said_at_once() {
    let error = with(
        "  hosts: [ \"http://weir:9090\" ]
  oidc: { issuer: https://id.example, audience: weir, jwks: { inline: nothing }, role: user.role, tenant: \"(\" }
  clients:
    - { name: \"a*b\", role: operator }
    - { name: a, role: root }
    - { name: a, role: tenant-admin }
    - { name: a, role: owner, tenant: acme }
  host: x",
    )
    .unwrap_err();
    for part in [
        "admin.hosts[0]: must be the name of a host",
        "admin.oidc.jwks.inline: is no JSON Web Key Set",
        "admin.oidc.role: there is no user here",
        "admin.oidc.tenant: is not an expression",
        "admin.clients[0].name: must be a name",
        "admin.clients[1].role: must be one of",
        "admin.clients[2].role: a tenant-admin needs a tenant",
        "admin.clients[3].tenant: only a tenant-admin has a tenant",
        "admin.host: unknown field; did you mean \"hosts\"?",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = with("  oidc: { issuer: i, audience: a, jwks: { file: /none }, role: claims.r }");
    assert!(
        error
            .unwrap_err()
            .contains("admin.oidc.jwks.file: names a file that can't be read")
    );
}

#[test]
fn a_configuration_is_shown_without_its_secrets() {
    let text = GOOD.replace(
        "counters: { memory: {} }",
        "counters: { redis: { url_env: REDIS_URL, password: { env: REDIS_PASSWORD } } }",
    );
    let config = load(&text, "weir.yaml", &outside()).unwrap();
    let shown = Shown::of(&config);
    let text = format!("{shown:?}{}", shown.value());
    let shown = shown.value();
    for secret in ["hunter2", PEPPER, &hash_of(KEY)] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(shown["identity"]["pepper"], "(hidden)");
    assert_eq!(
        shown["server"]["drain_timeout_ms"], 30_000,
        "defaults are in their places"
    );
    assert_eq!(shown["tenants"], 2);
}

#[test]
fn two_configurations_differ_where_they_do() {
    let before = good();
    assert_eq!(
        differences(&Shown::of(&before), &Shown::of(&before), 10),
        []
    );
    let text = format!("{GOOD}\nserver: {{ drain_timeout: 5s }}\n");
    let after = load(&text, "weir.yaml", &outside()).unwrap();
    let found = differences(&Shown::of(&before), &Shown::of(&after), 10);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, "server.drain_timeout_ms");
    let values = (&found[0].before, &found[0].after);
    assert_eq!(values, (&Some(json!(30_000)), &Some(json!(5_000))));
    let tenant = before.snapshot.tenants.keys().next().unwrap();
    let mut fewer = (*before.snapshot.tenants).clone();
    fewer.remove(tenant);
    let mut other = before.snapshot.clone();
    other.tenants = fewer.into();
    let gone = tenants_differ(&before.snapshot, &other, 10);
    assert_eq!(gone[0].path, format!("tenants.{tenant}"));
    assert_eq!((gone.len(), &gone[0].after), (1, &None));
    assert_eq!(tenants_differ(&other, &before.snapshot, 10)[0].before, None);
}

/// What of two texts differs, as path, before and after.
fn told(before: &str, after: &str, outside: &Given) -> Vec<(String, Value, Value)> {
    let read = |text| load(text, "weir.yaml", outside).unwrap();
    let (before, after) = (read(before), read(after));
    let mut found = differences(&Shown::of(&before), &Shown::of(&after), 100);
    found.extend(keys_differ(&before.snapshot, &after.snapshot, 100));
    let told = |of: Difference| {
        (
            of.path,
            of.before.unwrap_or_default(),
            of.after.unwrap_or_default(),
        )
    };
    found.into_iter().map(told).collect()
}

#[test]
fn a_secret_that_changed_is_told_of_and_never_shown() {
    let hidden = (json!("(hidden)"), json!("(hidden, changed)"));
    let many = |redis: &str| {
        let counters = format!("counters: {{ redis: {redis} }}");
        let listen = "admin: \"127.0.0.1:9090\"\n  admin_token: { env: ADMIN }";
        let ledger = "ledger: { path: l, postgres: { url: { env: LEDGER } }, \
                      otlp: { endpoint: \"https://o:4317\", token: { env: OTLP } } }";
        GOOD.replace("counters: { memory: {} }", &counters)
            .replace("admin: \"127.0.0.1:9090\"", listen)
            .replace("ledger: { path: weir-ledger }", ledger)
            .replace(
                "pepper: { env: WEIR_PEPPER }",
                "pepper: { env: WEIR_PEPPER }\n  previous_pepper: { env: OLD_PEPPER }",
            )
    };
    let at_first = outside()
        .with_env("ADMIN", "an-admin-token-of-old")
        .with_env("LEDGER", "postgres://weir:old@localhost/weir")
        .with_env("OTLP", "otlp-token-of-old-times")
        .with_env("OLD_PEPPER", "the pepper before this one");
    let single = many("{ url_env: REDIS_URL, password: { env: REDIS_PASSWORD } }");
    let before = load(&single, "weir.yaml", &at_first).unwrap();
    for (name, secret, path) in [
        ("ADMIN", "another-admin-token", "listen.admin_token"),
        (
            "LEDGER",
            "postgres://weir:new@localhost/weir",
            "ledger.postgres.url",
        ),
        (
            "OTLP",
            "otlp-token-of-new-times",
            "ledger.otlp.receiver.token",
        ),
        (
            "WEIR_PEPPER",
            "another pepper altogether",
            "identity.pepper",
        ),
        (
            "OLD_PEPPER",
            "yet another one from before",
            "identity.previous_pepper",
        ),
        ("REDIS_PASSWORD", "hunter3", "counters.redis.password"),
        (
            "REDIS_URL",
            "redis://:hunter3@127.0.0.1:6379/0",
            "counters.redis.servers.url",
        ),
    ] {
        let after = at_first.clone().with_env(name, secret);
        let after = load(&single, "weir.yaml", &after).unwrap();
        let (before, after) = (Shown::of(&before), Shown::of(&after));
        let found = differences(&before, &after, 10);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!(found[0].path, path);
        let told = (found[0].before.clone(), found[0].after.clone());
        assert_eq!(told, (Some(hidden.0.clone()), Some(hidden.1.clone())));
        let all = format!("{found:?}{after:?}{}", after.value());
        assert!(!all.contains(secret), "{all}");
        assert_eq!(differences(&before, &after, 0), []);
    }
    // That there is one at all is no secret.
    let without = single.replace("\n  previous_pepper: { env: OLD_PEPPER }", "");
    let found = told(&without, &single, &at_first);
    assert_eq!(
        found,
        [(
            "identity.previous_pepper".to_owned(),
            Value::Null,
            json!("(hidden)")
        )]
    );
    let jwks = |x: &str| {
        let keys = JWKS.replace("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", x);
        format!(
            "{GOOD}\nadmin:\n  oidc: {{ issuer: i, audience: a, role: claims.r, jwks: {{ inline: '{keys}' }} }}\n"
        )
    };
    let (old, new) = (
        jwks("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
        jwks("C-B0BwDRLsAIQKuLWDUDsoBxGNKIKHRWHbbqKzuVJBQ"),
    );
    let found = told(&old, &new, &outside());
    assert_eq!(
        found,
        [("admin.oidc.jwks.keys".to_owned(), hidden.0, hidden.1)]
    );
}

#[test]
fn keys_that_became_others_are_told_by_their_names() {
    let first = hash_of(KEY);
    assert!(GOOD.contains(&first));
    let other = hash_of("another-key-for-the-tests-of-weir");
    let after = GOOD
        .replace(&first, &other)
        .replace("project: support,", "project: desk,")
        .replace("id: ada-laptop", "id: ada-laptop, expires: 2099-01-01");
    let found = told(GOOD, &after, &outside());
    let path = |of: &str| format!("identity.keys.{of}");
    assert_eq!(
        found,
        [
            (path("ada-laptop.expires"), Value::Null, json!("2099-01-01")),
            (
                path("ada-laptop.hash"),
                json!("(hidden)"),
                json!("(hidden, changed)")
            ),
            (path("support-bot.project"), json!("support"), json!("desk")),
        ]
    );
    let fewer: Vec<&str> = GOOD
        .lines()
        .filter(|line| !line.contains("ada-laptop"))
        .collect();
    let found = told(GOOD, &fewer.join("\n"), &outside());
    let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["identity.keys", "identity.keys.ada-laptop"]);
    assert_eq!(found[1].1["tenant"], "acme");
    let text = format!("{found:?}");
    assert!(!text.contains(&first), "{text}");
}

/// Each line is one change of a text, and where it is found.
#[test]
fn what_is_shown_is_in_the_words_of_the_file() {
    let text = GOOD.replace(
        "gpt-4o-mini: { tier: standard }",
        "gpt-4o-mini: { price: [ { input: 0.15, output: 0.6, above: { input_tokens: 200k, input: 0.3 }, \
         batch: { input: 0.075 } }, { from: 2030-01-01, input: 1, output: 2, request: 0.001 } ] }",
    )
    .replace("amount: 20k, every: 1m", "amount: 20k, every: 1m, algorithm: fixed_window, starts: first_hit")
        + "limits:
  - { per: global, unit: requests, amount: 5, period: month, anchor: 31, zone: Europe/Berlin, when: { endpoint: [ embeddings ] } }
routes:
  - { host: \"*.azure.com\", credentials: [ api-key, x-acme-key ] }
  - { path: /raw, unknown_endpoints: pass, upgrades: allow, dialect: openai }
  - { name: batch, envoy_route: '*-batch' }
rate_limit_service:
  domains:
    edge:
      rules:
        - { match: [ { key: path, value: /a* }, { key: user } ], limits: [ { unit: requests, amount: 5, every: 1m } ] }
        - { match: [ { key: path, value: /free } ], unlimited: true }
";
    let config = load(&text, "weir.yaml", &outside()).unwrap();
    let shown = Shown::of(&config);
    let shown = shown.value();
    for (pointer, expected) in [
        (
            "/models/gpt-4o-mini/price",
            json!([
                {
                    "input": "0.15",
                    "output": "0.6",
                    "above": [{ "input_tokens": 200_000, "input": "0.3" }],
                    "batch": { "input": "0.075" },
                },
                { "from": "2030-01-01", "input": "1", "output": "2", "request": "0.001" },
            ]),
        ),
        ("/models/llama-3.1-70b/price", json!("unpriced")),
        ("/routes/0/host", json!("*.azure.com")),
        ("/routes/0/credentials", json!(["api-key", "x-acme-key"])),
        ("/routes/0/unknown_endpoints", json!("refuse")),
        ("/routes/2/name", json!("batch")),
        ("/routes/2/envoy_route", json!("*-batch")),
        (
            "/routes/1",
            json!({
                "name": null,
                "envoy_route": null,
                "host": null,
                "path": "/raw",
                "environment": null,
                "credentials": null,
                "dialect": "openai",
                "unknown_endpoints": "pass",
                "upgrades": "allow",
            }),
        ),
        (
            "/rate_limit_service/edge/rules/path=~1a*, user/limits/0/every_ms",
            json!(60_000),
        ),
        (
            "/rate_limit_service/edge/rules/path=~1free/unlimited",
            json!(true),
        ),
        ("/plans/team/limits/0/per", json!(["tenant"])),
        ("/plans/team/limits/0/algorithm", json!("sliding_window")),
        ("/plans/team/limits/1/burst", json!(50_000)),
        ("/plans/team/limits/2/starts", json!("first_hit")),
        ("/limits/0/per", json!("global")),
        ("/limits/0/anchor", json!(31)),
        ("/limits/0/zone", json!("Europe/Berlin")),
        ("/limits/0/when/endpoint", json!(["embeddings"])),
        ("/listen/grpc/1/address", json!("127.0.0.1:50051")),
        ("/listen/grpc/0/address", json!("unix:/run/weir/weir.sock")),
        ("/identity/sources/0/api_key/from/0", json!("authorization")),
        ("/server/upstream_authorization", json!("strip")),
        ("/ledger/durability", json!("strict")),
    ] {
        assert_eq!(
            shown.pointer(pointer),
            Some(&expected),
            "{pointer}: {shown}"
        );
    }
    // What Rust itself would note down is nowhere.
    let all = shown.to_string();
    for word in ["Some(", "None", " { ", "Millis", "Arc"] {
        assert!(!all.contains(word), "{word}: {all}");
    }
    assert_eq!(told(&text, &text, &outside()), []);
}

/// Who gives a text to be compared isn't told of other files.
#[test]
fn only_what_was_read_is_read_again() {
    let config =
        with("  oidc: { issuer: i, audience: a, jwks: { file: /run/jwks.json }, role: claims.r }")
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "a").unwrap();
    let only = Only::of(&config.read);
    assert_eq!(
        only.file(&path, 9).unwrap_err().kind(),
        std::io::ErrorKind::PermissionDenied
    );
    assert_eq!(only.env("PATH"), None);
    let known = only.file(std::path::Path::new("/run/jwks.json"), 9);
    assert_ne!(
        known.err().map(|error| error.kind()),
        Some(std::io::ErrorKind::PermissionDenied)
    );
}

/// So that of a reading it can be told what became another.
#[test]
fn rules_and_what_they_look_at_are_shown() {
    const PLAN: &str = "plans:
  strict:
    budgets: [ { name: monthly, amount: 1 USD, every: month, warn_at: 0.5 } ]
    limits: [ { per: tenant, unit: requests, amount: 5, every: 1m, when: 'model.tier == \"standard\"' } ]
    output: { max_tokens: { cap: 100, over: refuse }, choices: { cap: 2, over: clamp } }
    allow: { models: [ gpt-4o* ], endpoints: [ embeddings ] }
    guardrails: { images_max: 2, forbid: [ logit_bias ] }
    time_zone: Europe/Berlin
    policies:
      - { name: slow, when: 'principal.user == \"bob\"', then: { throttle: { delay: 2s } } }
      - { name: ask, then: { require_approval: { approvers: finance, by: tenant_admin } }, mode: shadow }
";
    // All of it has a price.
    let priced = GOOD.replace("price: unpriced", "price: free");
    let text = priced.replace("plans:\n", PLAN).replace(
        "models:\n",
        "conditions: { headers: [ x-team ] }\nmodels:\n  auto: { choose: [ { when: 'request.task == \"classify\"', \
         use: gpt-4o-mini }, { use: gpt-4o } ] }\n",
    );
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let shown = Shown::of(&config);
    let strict = &shown.value()["plans"]["strict"];
    for (pointer, expected) in [
        (
            "/limits/0/when/condition",
            json!("model.tier == \"standard\""),
        ),
        ("/limits/1/warn_at_per_mille", json!([500])),
        ("/output/max_tokens_over", json!("refuse")),
        ("/output/choices_over", json!("clamp")),
        ("/allow/models", json!(["gpt-4o*"])),
        ("/allow/endpoints", json!(["embeddings"])),
        ("/allow/tools", Value::Null),
        ("/guardrails/images_max", json!(2)),
        ("/guardrails/forbid", json!(["logit_bias"])),
        ("/time_zone", json!("Europe/Berlin")),
        ("/policies/0/when", json!("principal.user == \"bob\"")),
        ("/policies/0/then/0/throttle/delay_ms", json!(2_000)),
        (
            "/policies/1/then/0/require_approval/by",
            json!("tenant_admin"),
        ),
        ("/policies/1/mode", json!("shadow")),
    ] {
        assert_eq!(
            strict.pointer(pointer),
            Some(&expected),
            "{pointer}: {strict}"
        );
    }
    let auto = &shown.value()["models"]["auto"]["choose"];
    assert_eq!(auto[0]["when"], "request.task == \"classify\"");
    assert_eq!(auto[1]["use"], json!({ "gpt-4o": 1 }));
    assert_eq!(
        shown.value()["conditions"],
        json!({ "headers": ["x-team"] })
    );
}
