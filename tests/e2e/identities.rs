//! Callers known otherwise than by keys, through the real Envoy: by tokens that it
//! verified, by a gateway's headers, by certificates, or not at all.

use super::calls::hello;
use crate::support::stack::{KEY, Setup, Stack, TOKEN_KEY, unix_ms};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir::exchange::event::Outcome;

/// A JWT with these claims, signed by HMAC.
fn signed(claims: &Value, key: &[u8]) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "test"});
    let parts = [&header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = parts.join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{text}.{signature}")
}

fn claims() -> Value {
    let now = unix_ms() / 1_000;
    json!({"iss": "https://login.example.com", "aud": "llm", "sub": "zoe", "org": "acme",
        "iat": now, "exp": now + 600})
}

const TOKENS: &str = "  sources:
    - jwt: { name: sso, issuers: [\"https://login.example.com\"], tenant: claims.org, user: claims.sub }
    - api_key: {}";

#[tokio::test]
async fn callers_are_known_by_tokens_that_envoy_verified() {
    let stack = Stack::start(Setup {
        envoy: "jwt.yaml",
        identity: TOKENS,
        ..Setup::default()
    })
    .await;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        format!("Bearer {}", signed(&claims, TOKEN_KEY))
    };
    let good = with("sub", "zoe".into());
    let forged = format!(
        "Bearer {}",
        signed(&claims(), b"another secret, of nobody that is known")
    );
    let unsigned = |token: &str| {
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = token.split('.').nth(1).unwrap().to_owned();
        format!("Bearer {none}.{claims}.")
    };
    let key = format!("Bearer {KEY}");
    let calls = [
        (good.clone(), 200, Some(("sso", "zoe"))),
        (with("org", "globex".into()), 200, Some(("sso", "zoe"))),
        (key, 200, Some(("ada-key", "ada"))),
        (forged, 401, None),
        (unsigned(&good), 401, None),
        (with("exp", (unix_ms() / 1_000 - 120).into()), 401, None),
        (with("iss", "https://elsewhere.example".into()), 401, None),
        (with("aud", "others".into()), 401, None),
        // Verified, and nobody.
        (with("org", Value::Null), 401, None),
        (with("org", json!(["acme"])), 401, None),
        (with("sub", "a\nb".into()), 401, None),
        // A tenant on no plan.
        (with("org", "initech".into()), 403, None),
        (String::new(), 401, None),
    ];
    for (nth, (authorization, status, who)) in calls.iter().enumerate() {
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-jwt-payload", "e30"),
        ];
        let answer = stack.send(stack.chat(&hello(), &headers)).await;
        assert_eq!(answer.status, *status, "{nth}: {answer:?}");
        assert!(answer.header("x-weir-decision-id").is_some() || *status == 200);
        let events = stack.wait_for_events(nth + 1).await;
        let event = &events[nth];
        let known = event.key_id.as_deref().zip(event.user.as_deref());
        if who.is_some() {
            assert_eq!(known, *who, "{nth}: {event:?}");
        }
    }
    for call in stack.provider.log() {
        assert_eq!(call.header("authorization"), None);
    }
    assert_eq!(stack.provider.received(), 3);
    stack.log_and_events_agree().await;
}

/// Where a call comes from is the connection's to say: who could write it down
/// would be any gateway, and every network that keys are bound to.
#[tokio::test]
async fn nobody_chooses_the_address_that_they_come_from() {
    const GATEWAY: &str = "  sources: [ { headers: { name: edge, gateway: { addresses: [ 10.0.0.0/8 ] }, names: [ x-tenant ], \
        tenant: \"headers['x-tenant']\" } }, { api_key: {} } ]";
    for envoy in [
        "unix.yaml",
        "tcp.yaml",
        "split.yaml",
        "authz.yaml",
        "authz-alone.yaml",
    ] {
        let stack = Stack::start(Setup {
            envoy,
            identity: GATEWAY,
            ..Setup::default()
        })
        .await;
        let told = [
            ("x-forwarded-for", "10.1.2.3"),
            ("x-forwarded-for", "127.0.0.1, 10.1.2.3"),
            ("x-forwarded-for", "10.1.2.3, 10.1.2.3"),
            ("x-real-ip", "10.1.2.3"),
            ("true-client-ip", "10.1.2.3"),
            ("forwarded", "for=10.1.2.3"),
            ("x-envoy-external-address", "10.1.2.3"),
        ];
        for told in told {
            let headers = [("authorization", ""), ("x-tenant", "acme"), told];
            let answer = stack.send(stack.chat(&hello(), &headers)).await;
            assert_eq!(answer.status, 401, "{envoy} {told:?} {answer:?}");
        }
        assert_eq!(stack.provider.received(), 0, "{envoy}");
        // Nor is the provider told where callers are.
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 200, "{envoy} {answer:?}");
        for name in [
            "x-forwarded-for",
            "x-envoy-external-address",
            "x-envoy-internal",
        ] {
            assert_eq!(stack.provider.log()[0].header(name), None, "{envoy}");
        }
    }
}

/// The headers of a named gateway, whose client is this test.
#[tokio::test]
async fn a_gateways_headers_are_believed_of_the_gateway_alone() {
    const OURS: &str = "  sources: [ { headers: { name: edge, gateway: { addresses: [ 127.0.0.1/32 ] }, names: [ x-tenant, x-user ], \
        tenant: \"headers['x-tenant']\", user: \"headers['x-user']\" } } ]";
    const ANOTHERS: &str = "  sources: [ { headers: { name: edge, gateway: { addresses: [ 10.0.0.0/8 ] }, names: [ x-tenant, x-user ], \
        tenant: \"headers['x-tenant']\", user: \"headers['x-user']\" } } ]";
    for envoy in ["unix.yaml", "authz.yaml"] {
        for (identity, believed) in [(OURS, true), (ANOTHERS, false)] {
            let stack = Stack::start(Setup {
                envoy,
                identity,
                ..Setup::default()
            })
            .await;
            let none = ("authorization", "");
            for (headers, status) in [
                (&[none, ("x-tenant", "acme"), ("x-user", "zoe")][..], 200),
                (&[none, ("X-Tenant", "acme"), ("x-user", "yan")], 200),
                (&[none, ("x-tenant", "acme"), ("x-tenant", "globex")], 401),
                (&[none, ("x-user", "zoe")], 401),
                (&[none, ("x-tenant", "initech")], 403),
                // Keys are no source here.
                (&[], 401),
            ] {
                let answer = stack.send(stack.chat(&hello(), headers)).await;
                let expected = if believed { status } else { 401 };
                assert_eq!(answer.status, expected, "{envoy} {headers:?} {answer:?}");
            }
            let log = stack.provider.log();
            assert_eq!(log.len(), if believed { 2 } else { 0 });
            for call in &log {
                for name in ["x-tenant", "x-user", "authorization"] {
                    assert_eq!(call.header(name), None, "{envoy}");
                }
            }
            let events = stack.wait_for_events(6).await;
            let passed = events.iter().filter(|e| e.outcome != Outcome::Refused);
            let mut users: Vec<_> = passed.map(|e| e.user.as_deref().unwrap()).collect();
            users.sort_unstable();
            assert_eq!(users, if believed { vec!["yan", "zoe"] } else { vec![] });
            stack.log_and_events_agree().await;
        }
    }
}

#[tokio::test]
async fn whoever_brings_nothing_is_anonymous_where_that_is_configured() {
    let stack = Stack::start(Setup {
        identity: "  sources: [ { anonymous: { tenant: globex, user: guest } } ]",
        ..Setup::default()
    })
    .await;
    let forged = [
        ("authorization", ""),
        ("x-tenant", "acme"),
        ("x-weir-tenant", "acme"),
    ];
    assert_eq!(stack.send(stack.chat(&hello(), &forged)).await.status, 200);
    let event = &stack.wait_for_events(1).await[0];
    assert_eq!(event.tenant.as_deref(), Some("globex"));
    assert_eq!(event.key_id.as_deref(), Some("anonymous"));
    stack.log_and_events_agree().await;
}

/// An authority, and what it signs.
struct Mesh {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Mesh {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        // Else what it signs looks like its own signer.
        params.distinguished_name.push(DnType::CommonName, "mesh");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self {
            issuer: issuer.unwrap(),
        }
    }

    /// A certificate for a name, and its key, as PEM.
    fn sign(&self, name: SanType) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn workload(&self, uri: &str) -> (String, String) {
        self.sign(SanType::URI(uri.try_into().unwrap()))
    }
}

/// Sends a chat call over TLS as this workload; the status.
async fn call_as(stack: &Stack, mesh: &Mesh, (cert, key): &(String, String), header: &str) -> u16 {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(mesh.issuer.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let stream = TcpStream::connect(stack.front).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let body = hello().to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
         content-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test]
async fn workloads_of_a_mesh_are_known_by_their_certificates() {
    const SOURCES: &str = "  sources: [ { mesh: { peers: \"spiffe://cluster.local/ns/*\", tenant: mesh.namespace, user: mesh.service_account } } ]";
    let mesh = Mesh::new();
    let (cert, key) = mesh.sign(SanType::DnsName("localhost".try_into().unwrap()));
    let inline = |pem: &str| serde_json::to_string(pem).unwrap();
    let tls = format!(
        "    - transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \
         \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n          \
         require_client_certificate: true\n          common_tls_context:\n            \
         tls_certificates: [ {{ certificate_chain: {{ inline_string: {} }}, private_key: {{ inline_string: {} }} }} ]\n            \
         validation_context: {{ trusted_ca: {{ inline_string: {} }} }}\n      filters:\n",
        inline(&cert),
        inline(&key),
        inline(&mesh.issuer.pem())
    );
    let stack = Stack::start(Setup {
        identity: SOURCES,
        envoy_edits: vec![
            ("    - filters:\n", &*tls.leak()),
            (
                "request_attributes: [ source.address, xds.route_name ]",
                "request_attributes: [ source.address, connection.uri_san_peer_certificate ]",
            ),
        ],
        ..Setup::default()
    })
    .await;
    let bot = mesh.workload("spiffe://cluster.local/ns/acme/sa/bot");
    let outside = mesh.workload("spiffe://elsewhere/ns/acme/sa/bot");
    let forged = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/globex/sa/root\r\n";
    assert_eq!(call_as(&stack, &mesh, &bot, "").await, 200);
    assert_eq!(call_as(&stack, &mesh, &bot, forged).await, 200);
    assert_eq!(call_as(&stack, &mesh, &outside, "").await, 401);
    assert_eq!(call_as(&stack, &mesh, &outside, forged).await, 401);
    let events = stack.wait_for_events(4).await;
    for event in events.iter().filter(|e| e.outcome != Outcome::Refused) {
        assert_eq!(event.tenant.as_deref(), Some("acme"));
        assert_eq!(event.user.as_deref(), Some("bot"));
        assert_eq!(event.key_id.as_deref(), Some("mesh"));
    }
    assert_eq!(stack.provider.received(), 2);
}
