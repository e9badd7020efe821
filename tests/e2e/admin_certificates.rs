//! Operators who are known by their certificates: which role each has, on the real
//! admin port with TLS.

use super::transport::Elsewhere;
use crate::support::authority::{Authority, Signed};
use crate::support::free_port;
use crate::support::stack::{ADMIN_TOKEN, SOON, Setup, Stack};
use crate::support::until;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir::certificates::{Authorities, Chain, Key, Pair, client_config};

const CLIENTS: &str = r#"
admin:
  clients:
    - { name: "spiffe://example.org/watch/*", role: viewer }
    - { name: acme.example.org, role: tenant-admin, tenant: acme }
    - { name: "spiffe://example.org/ops", role: operator }
"#;

/// A client with a certificate, or none.
struct Client {
    tls: TlsConnector,
    at: SocketAddr,
}

impl Client {
    fn new(at: SocketAddr, ca: &Authority, own: Option<&Signed>) -> Self {
        let pair = own.map(|own| {
            let chain = Chain::read(own.cert.as_bytes()).unwrap();
            Pair::new(chain, Key::read(own.key.as_bytes()).unwrap()).unwrap()
        });
        let authorities = Authorities::read(ca.pem().as_bytes()).unwrap();
        let tls = client_config(&authorities, pair.as_ref(), b"http/1.1").unwrap();
        Self {
            tls: TlsConnector::from(Arc::new(tls)),
            at,
        }
    }

    /// The status and the body; an error where the connection is refused.
    async fn ask(&self, method: &str, path: &str, more: &[&str]) -> io::Result<(u16, Value)> {
        let stream = TcpStream::connect(self.at).await?;
        let mut stream = self.tls.connect("weir".try_into().unwrap(), stream).await?;
        let headers: String = more.iter().map(|line| format!("{line}\r\n")).collect();
        let body = match method {
            "POST" => json!({ "key": { "tenant": "acme" } }).to_string(),
            _ => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        Ok((status, serde_json::from_str(body).unwrap_or_default()))
    }
}

#[tokio::test]
async fn a_certificate_gives_the_role_of_its_name_and_none_gives_none() {
    let ca = Authority::new("ca");
    let stack = Stack::start(Setup {
        sqlite: true,
        more: CLIENTS.to_owned(),
        ..Setup::default()
    })
    .await;
    let weir = ca.sign(&["weir"]);
    let put = |name: &str, text: &str| {
        let path = stack.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (put("cert.pem", &weir.cert), put("key.pem", &weir.key));
    let authority = put("ca.pem", &ca.pem());
    let port = free_port();
    let tls = format!("{{ cert: \"{cert}\", key: \"{key}\", client_ca: \"{authority}\" }}");
    let admin = format!("{{ address: \"127.0.0.1:{port}\", tls: {tls} }}");
    let _weir = Elsewhere::start(&stack, "mutual", &admin);
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let client = |names: &[&str]| Client::new(at, &ca, Some(&ca.sign(names)));
    let viewer = client(&["spiffe://example.org/watch/grafana"]);
    until("the admin port to answer", SOON, || async {
        let ready = viewer.ask("GET", "/readyz", &[]).await;
        ready.is_ok_and(|(status, _)| status == 200).then_some(())
    })
    .await;

    let changes = ["x-weir-request: 1"];
    let token = format!("authorization: Bearer {ADMIN_TOKEN}");
    let (list, create) = (("GET", "/v1/keys"), ("POST", "/v1/keys"));
    let audit = ("GET", "/v1/audit?tenant=globex");
    let (acme, operator) = (
        client(&["acme.example.org"]),
        client(&["spiffe://example.org/ops"]),
    );
    let nobody = client(&["spiffe://example.org/other", "other.example.org"]);
    for (who, known, (method, path), headers, status) in [
        ("viewer", &viewer, list, &[][..], 200),
        ("viewer", &viewer, ("GET", "/v1/config"), &[], 200),
        ("viewer", &viewer, create, &changes[..], 403),
        (
            "viewer",
            &viewer,
            ("DELETE", "/v1/limits?tenant=acme"),
            &changes,
            403,
        ),
        (
            "viewer",
            &viewer,
            ("DELETE", "/v1/keys/ada-key"),
            &changes,
            403,
        ),
        ("acme", &acme, list, &[], 200),
        ("acme", &acme, audit, &[], 403),
        ("acme", &acme, create, &changes, 200),
        ("acme", &acme, ("GET", "/v1/config"), &[], 403),
        // What a browser sends by itself is not enough to change something.
        ("operator", &operator, create, &[], 403),
        ("operator", &operator, create, &changes, 200),
        // Vouched for, but of no name that has a role.
        ("nobody", &nobody, list, &[], 403),
        ("nobody", &nobody, ("GET", "/healthz"), &[], 200),
        // What is brought counts before the certificate, right or wrong.
        ("viewer", &viewer, create, &[token.as_str()], 200),
        (
            "viewer",
            &viewer,
            list,
            &["authorization: Bearer wrong"],
            401,
        ),
    ] {
        let (found, body) = known.ask(method, path, headers).await.unwrap();
        assert_eq!(found, status, "{who} {method} {path} {headers:?}: {body}");
    }
    let (_, audit) = operator.ask("GET", "/v1/audit", &[]).await.unwrap();
    let deeds = audit["deeds"].as_array().unwrap();
    let actors: Vec<&str> = deeds
        .iter()
        .map(|deed| deed["actor"].as_str().unwrap())
        .collect();
    assert_eq!(
        actors,
        [
            "certificate/acme.example.org",
            "certificate/spiffe://example.org/ops",
            "listen.admin_token"
        ]
    );

    // Without a certificate of this authority there is no connection at all.
    let other_ca = Authority::new("another");
    let foreign = other_ca.sign(&["spiffe://example.org/ops"]);
    for own in [None, Some(&foreign)] {
        let refused = Client::new(at, &ca, own).ask("GET", "/healthz", &[]).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    // Where certificates aren't asked for, their names count for nothing.
    let (status, _) = plainly(stack.admin).await;
    assert_eq!(status, 401);
}

/// Without TLS, and with what a proxy would say of a certificate.
async fn plainly(at: SocketAddr) -> (u16, Value) {
    let request = hyper::Request::get("/v1/keys")
        .header("host", "localhost")
        .header("x-forwarded-client-cert", "URI=spiffe://example.org/ops")
        .body(http_body_util::Full::default())
        .unwrap();
    let answer = crate::support::client::send(at, request).await;
    (answer.status, answer.json())
}
