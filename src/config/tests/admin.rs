//! Who may use the admin API, and a configuration as it is shown and compared.

use super::super::shown::{differences, shown, tenants_differ};
use super::*;
use serde_json::json;

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
    let shown = shown(&config);
    let text = shown.to_string();
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
    assert_eq!(differences(&shown(&before), &shown(&before), 10), []);
    let text = format!("{GOOD}\nserver: {{ drain_timeout: 5s }}\n");
    let after = load(&text, "weir.yaml", &outside()).unwrap();
    let found = differences(&shown(&before), &shown(&after), 10);
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
