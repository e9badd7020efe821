//! Where weir listens: sockets' modes and owners, TLS.

use super::*;
use crate::certificates::AllowedName;
use crate::certificates::tests::Authority;
use std::sync::OnceLock;

/// Made once: files with certificates, and lists of accounts.
fn outside_with_files() -> Given {
    static MADE: OnceLock<Given> = OnceLock::new();
    let make = || {
        let ca = Authority::new("ca");
        let [one, other] = [ca.sign(&["weir"]), ca.sign(&["weir"])];
        let old = ca.sign_between(&["weir"], (2025, 1, 1), (2026, 1, 1));
        outside()
            .at(UnixMillis(1_767_225_600_000 - 1_000)) // a second before 2026
            .with_file("/tls/ca.pem", ca.pem().as_bytes())
            .with_file("/tls/cert.pem", one.cert.as_bytes())
            .with_file("/tls/key.pem", one.key.as_bytes())
            .with_file("/tls/other.pem", other.key.as_bytes())
            .with_file("/tls/old.pem", old.cert.as_bytes())
            .with_file("/tls/old-key.pem", old.key.as_bytes())
            .with_file(
                "/etc/passwd",
                b"root:x:0:0::/:/bin/sh\nenvoy:x:101:102::/:/\nodd\n",
            )
            .with_file("/etc/group", b"root:x:0:\nenvoy:x:1010:\nedge:x:77:a,b\n")
    };
    MADE.get_or_init(make).clone()
}

/// The good file with another `listen`.
fn loaded(listen: &str) -> Result<Config, Problems> {
    let (_, rest) = GOOD.split_once("counters:").unwrap();
    let text = format!("listen:\n{listen}\ncounters:{rest}");
    load(&text, "weir.yaml", &outside_with_files())
}

const TLS: &str = "cert: /tls/cert.pem, key: /tls/key.pem";

#[test]
fn long_forms_say_who_may_connect() {
    let listen = format!(
        "  grpc:
  - {{ address: 'unix:/run/weir.sock', mode: '0600', owner: 'envoy:envoy' }}
  - {{ address: 'unix:///run/b.sock', mode: 750, owner: ':edge' }}
  - {{ address: 'unix:/run/c.sock', owner: 65534 }}
  - 'unix:/run/d.sock'
  - {{ address: '0.0.0.0:50051', tls: {{ {TLS}, client_ca: /tls/ca.pem, client_names: ['spiffe://a/envoy', edge] }} }}
  - {{ address: '127.0.0.1:50052', tls: {{ {TLS} }} }}
  admin: {{ address: 'unix:/run/admin.sock', owner: '7:8' }}"
    );
    let config = loaded(&listen).unwrap_or_else(|problems| panic!("{problems}"));
    let unix = |path: &str, mode, user, group| {
        Address::Unix(UnixSocket {
            path: path.into(),
            mode,
            owner: SocketOwner { user, group },
        })
    };
    let tcp = |address: &str, client_ca: Option<&str>, names: &[&str]| {
        let name = |name: &&str| AllowedName::read(name).unwrap();
        Address::Tcp(TcpSocket {
            address: address.parse().unwrap(),
            tls: Some(TlsSettings {
                cert: "/tls/cert.pem".into(),
                key: "/tls/key.pem".into(),
                client_ca: client_ca.map(Into::into),
                client_names: names.iter().map(name).collect(),
            }),
        })
    };
    let names = ["spiffe://a/envoy", "edge"];
    assert_eq!(
        config.listen.grpc,
        [
            unix("/run/weir.sock", 0o600, Some(101), Some(1010)),
            unix("/run/b.sock", 0o750, None, Some(77)),
            unix("/run/c.sock", 0o660, Some(65534), None),
            unix("/run/d.sock", 0o660, None, None),
            tcp("0.0.0.0:50051", Some("/tls/ca.pem"), &names),
            tcp("127.0.0.1:50052", None, &[]),
        ]
    );
    assert_eq!(
        config.listen.admin,
        unix("/run/admin.sock", 0o660, Some(7), Some(8))
    );
    assert_eq!(config.warnings, Vec::<String>::new());
    let admin = format!(
        "  grpc: 'unix:/s'\n  admin: {{ address: '10.0.0.1:9', tls: {{ {TLS}, client_ca: /tls/ca.pem }} }}"
    );
    assert_eq!(
        loaded(&admin).unwrap().listen.admin,
        tcp("10.0.0.1:9", Some("/tls/ca.pem"), &[])
    );
}

/// It tells a state to whoever asks, so it may be asked from anywhere.
#[test]
fn health_is_told_to_anyone() {
    let listen = "  grpc: 'unix:/s'\n  health: ";
    let config = loaded(&format!("{listen}'0.0.0.0:50052'")).unwrap();
    assert_eq!(config.listen.health, Some(plain("0.0.0.0:50052")));
    let socket = format!("{listen}{{ address: 'unix:/h', mode: '0666' }}");
    let config = loaded(&socket).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert!(
        loaded(&format!(
            "{listen}{{ address: '[::]:1', tls: {{ {TLS} }} }}"
        ))
        .is_ok()
    );
    // The others are as they were.
    let both = format!("{listen}'0.0.0.0:50052'\n  http_authz: '0.0.0.0:50053'");
    let problems = loaded(&both).unwrap_err().to_string();
    assert!(
        problems.contains("listen.http_authz: is not a loopback address"),
        "{problems}"
    );
}

/// `{ address: ADDRESS, REST }` and all that is said of it.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &[&str])] = &[
    ("'unix:/s'", "mode: '0888'", &["grpc[0].mode: must be a mode in octal digits, such as 0660 (got 0888)"]),
    ("'unix:/s'", "mode: '1660'", &["grpc[0].mode: must be a mode in octal digits, such as 0660 (got 1660)"]),
    ("'unix:/s'", "mode: rw", &["grpc[0].mode: must be a mode in octal digits, such as 0660 (got rw)"]),
    ("'unix:/s'", "owner: ':'", &[r#"grpc[0].owner: must be user:group, user or :group, each a name or a number (got ":")"#]),
    ("'unix:/s'", "owner: 'envoy:'", &[r#"grpc[0].owner: must be user:group, user or :group, each a name or a number (got "envoy:")"#]),
    ("'unix:/s'", "owner: 'nobody:edges'", &[
        r#"grpc[0].owner: there is no user "nobody" in /etc/passwd"#,
        r#"grpc[0].owner: there is no group "edges" in /etc/group"#,
    ]),
    ("'unix:/s'", "owner: 4294967295", &["grpc[0].owner: a user's number must be less than 4294967295 (got 4294967295)"]),
    ("'unix:/s'", "owner: odd", &[r#"grpc[0].owner: there is no user "odd" in /etc/passwd"#]),
    ("'unix:/s'", "tls: { cert: /tls/cert.pem, key: /tls/key.pem }", &[
        "grpc[0].tls: has no meaning with a Unix socket: mode and owner say who may connect",
    ]),
    ("'127.0.0.1:1'", "mode: '0660', owner: envoy", &[
        "grpc[0].mode: has no meaning with TCP: it is of a Unix socket",
        "grpc[0].owner: has no meaning with TCP: it is of a Unix socket",
    ]),
    ("'127.0.0.1:1'", "port: 1", &["grpc[0].port: unknown field; known here: address, mode, owner, tls"]),
    ("", "mode: '0660'", &[r#"grpc[0].address: is required: "unix:/path" or "host:port""#]),
    ("'127.0.0.1:1'", "tls: {}", &[
        "grpc[0].tls.cert: is required: the PEM file of weir's certificate",
        "grpc[0].tls.key: is required: the PEM file of the certificate's private key",
    ]),
    ("'127.0.0.1:1'", "tls: { cert: /tls/key.pem, key: /tls/cert.pem, client_ca: /tls/none.pem }", &[
        "grpc[0].tls.cert: holds no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----",
        "grpc[0].tls.key: holds no private key: it must be PEM, with a line -----BEGIN PRIVATE KEY-----",
        "grpc[0].tls.client_ca: names a file that can't be read: entity not found",
    ]),
    ("'127.0.0.1:1'", "tls: { cert: /tls/cert.pem, key: /tls/other.pem }", &[
        "grpc[0].tls.key: is not the key of the certificate beside it",
    ]),
    ("'127.0.0.1:1'", "tls: { cert: /tls/cert.pem, key: /tls/key.pem, client_names: [a] }", &[
        "grpc[0].tls.client_names: needs client_ca beside it: only a verified client has names",
    ]),
    ("'127.0.0.1:1'", "tls: { cert: /tls/cert.pem, key: /tls/key.pem, client_ca: /tls/ca.pem, client_names: [] }", &[
        "grpc[0].tls.client_names: must have at least one name; leave it out to let in whom client_ca vouches for",
    ]),
    ("'127.0.0.1:1'", "tls: { cert: /tls/cert.pem, key: /tls/key.pem, client_ca: /tls/ca.pem, client_names: ['*.a', 'b c'] }", &[
        r#"grpc[0].tls.client_names[0]: must be a URI as spiffe://example.org/envoy or a DNS name as envoy.example.org, whole, without a wildcard (got "*.a")"#,
        r#"grpc[0].tls.client_names[1]: must be a URI as spiffe://example.org/envoy or a DNS name as envoy.example.org, whole, without a wildcard (got "b c")"#,
    ]),
    // Encrypted, but whoever reaches it could speak as Envoy all the same.
    ("'0.0.0.0:1'", "tls: { cert: /tls/cert.pem, key: /tls/key.pem }", &[
        r#"grpc[0].address: is not a loopback address: whoever reaches it could speak as Envoy; use a Unix socket or 127.0.0.1, verify clients by tls.client_ca, or set listen.allow_remote: true (got "0.0.0.0:1")"#,
    ]),
    // One that is there and wrong is said to be wrong, and no more.
    ("'0.0.0.0:1'", "tls: { cert: /tls/cert.pem, key: /tls/key.pem, client_ca: /tls/key.pem }", &[
        "grpc[0].tls.client_ca: holds no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----",
    ]),
];

#[test]
fn every_wrong_address_says_all_that_is_wrong_with_it() {
    for (address, rest, expected) in WRONG {
        let address = match *address {
            "" => String::new(),
            address => format!("address: {address}, "),
        };
        let problems = loaded(&format!("  grpc: [ {{ {address}{rest} }} ]")).unwrap_err();
        let told: Vec<_> = problems
            .list()
            .iter()
            .map(|p| format!("{}: {}", p.path, p.text))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|line| format!("listen.{line}"))
            .collect();
        assert_eq!(told, expected, "{rest}");
        assert!(
            problems
                .list()
                .iter()
                .all(|problem| problem.place.is_some()),
            "{rest}"
        );
    }
}

#[test]
fn one_place_is_listened_at_once() {
    let twice = "  grpc: ['unix:/s', { address: 'unix:/s', mode: '0600' }]\n  admin: 'unix:/s'";
    let problems = loaded(twice).unwrap_err().to_string();
    assert!(
        problems.contains("2:32: listen.grpc[1].address: is listed twice"),
        "{problems}"
    );
    assert!(
        problems.contains("3:10: listen.admin: is listened at for gRPC already"),
        "{problems}"
    );
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let warnings = |listen: &str| loaded(listen).unwrap_or_else(|p| panic!("{p}")).warnings;
    assert_eq!(
        warnings("  grpc: { address: 'unix:/s', mode: '0666' }"),
        [
            "weir.yaml:2:37: listen.grpc.mode: lets every user of this machine connect: whoever reaches the socket could speak as Envoy"
        ]
    );
    let old = "{ cert: /tls/old.pem, key: /tls/old-key.pem }";
    let listen = format!("  grpc: {{ address: '127.0.0.1:1', tls: {old} }}");
    assert_eq!(
        warnings(&listen),
        [
            "weir.yaml:2:48: listen.grpc.tls.cert: the certificate expires soon, at 2026-01-01T00:00:00Z"
        ]
    );
    let (_, rest) = GOOD.split_once("counters:").unwrap();
    let text = format!("listen:\n{listen}\ncounters:{rest}");
    let at = |now| {
        load(
            &text,
            "weir.yaml",
            &outside_with_files().at(UnixMillis(now)),
        )
    };
    let late = at(1_767_225_600_001).unwrap().warnings;
    assert!(
        late[0].ends_with("the certificate has expired, at 2026-01-01T00:00:00Z"),
        "{late:?}"
    );
    let early = at(0).unwrap().warnings;
    assert!(
        early[0].contains("is not valid yet, but from 2025-01-01"),
        "{early:?}"
    );
    let fine = at(1_740_000_000_000).unwrap().warnings;
    assert_eq!(fine, Vec::<String>::new());
}
