//! How Envoy and operators reach weir: sockets of an owner's own, TLS by which
//! each knows the other, certificates that change.

use super::calls::hello;
use crate::support::authority::{Authority, Signed};
use crate::support::client;
use crate::support::process::Process;
use crate::support::stack::{ADMIN_TOKEN, PEPPER, Setup, Stack, weir_binary};
use crate::support::{free_port, until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

const ENVOY: &str = "spiffe://example.org/envoy";

/// As `envoy/tls.yaml` says, but on loopback.
const MUTUAL: &str = r#"{ address: "127.0.0.1:GRPC", tls: { cert: "DIR/tls/weir.pem", key: "DIR/tls/weir-key.pem", client_ca: "DIR/tls/ca.pem", client_names: [ "spiffe://example.org/envoy" ] } }"#;

/// In `envoy/tls.yaml`: Envoy shows no certificate.
const NAMELESS: (&str, &str) = ("tls_certificates:", "# tls_certificates:");

/// Envoy and weir by certificates, all of one authority.
fn mutual(ca: &Authority, envoy: &Signed) -> Setup {
    let weir = ca.sign(&["weir"]);
    Setup {
        envoy: "tls.yaml",
        grpc: MUTUAL.to_owned(),
        files: vec![
            ("tls/ca.pem", ca.pem()),
            ("tls/weir.pem", weir.cert),
            ("tls/weir-key.pem", weir.key),
            ("tls/envoy.pem", envoy.cert.clone()),
            ("tls/envoy-key.pem", envoy.key.clone()),
        ],
        ..Setup::default()
    }
}

fn failures(reason: &str) -> String {
    format!("weir_tls_handshake_failures_total{{listener=\"grpc\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn envoy_and_weir_know_each_other_by_their_certificates() {
    let ca = Authority::new("ca");
    let stack = Stack::start(mutual(&ca, &ca.sign(&[ENVOY]))).await;
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut streamed = hello();
    streamed["stream"] = true.into();
    let answer = stack.send(stack.chat(&streamed, &[])).await;
    assert_eq!(answer.text().matches("apple").count(), 5, "{answer:?}");
    stack.wait_for_events(2).await;
    for of in ["server", "client_ca"] {
        let left = format!("{{listener=\"grpc\",certificate=\"{of}\"}}");
        let left = format!("weir_tls_certificate_expires_in_seconds{left}");
        assert!(stack.metric(&left).await > 0.0, "{of}");
    }
    stack.settle_the_books().await;
}

/// Nothing passes where either is a stranger to the other.
#[tokio::test]
async fn strangers_are_refused() {
    let (ca, other) = (Authority::new("ca"), Authority::new("ca"));
    let good = ca.sign(&[ENVOY]);
    let stranger = mutual(&ca, &other.sign(&[ENVOY]));
    let misnamed = mutual(&ca, &ca.sign(&["spiffe://example.org/other"]));
    let mut silent = mutual(&ca, &good);
    silent.envoy_edits = vec![NAMELESS];
    // weir's own certificate is of an authority that Envoy doesn't know.
    let mut unknown = mutual(&ca, &good);
    let weir = other.sign(&["weir"]);
    unknown.files[1].1 = weir.cert;
    unknown.files[2].1 = weir.key;
    // And here it is known, but not weir's.
    let mut elsewhere = mutual(&ca, &good);
    let weir = ca.sign(&["not-weir"]);
    elsewhere.files[1].1 = weir.cert;
    elsewhere.files[2].1 = weir.key;
    for (setup, reason) in [
        (stranger, "certificate"),
        (misnamed, "name"),
        (silent, "no_certificate"),
        (unknown, "client"),
        (elsewhere, "client"),
    ] {
        let stack = Stack::start(setup).await;
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert!(matches!(answer.status, 500 | 503), "{reason}: {answer:?}");
        assert_eq!(stack.provider.received(), 0, "{reason}");
        // weir hears of it a moment later than the client.
        until(reason, SOON, || async {
            let counted = stack.metric(&failures(reason)).await;
            (counted >= 1.0).then_some(())
        })
        .await;
        let events = stack.log_and_events_agree().await;
        assert_eq!(events.len(), 0, "{reason}: weir heard of no call");
    }
}

/// What `openssl s_client` makes of an address. It has nothing to say.
fn s_client(port: u16, arguments: &[&str]) -> (bool, String) {
    let done = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(["-alpn", "h2", "-cipher", "DEFAULT@SECLEVEL=0"])
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        done.status.success(),
        said(&done.stdout) + &said(&done.stderr),
    )
}

#[tokio::test]
async fn without_client_certificates_it_is_tls_all_the_same_and_no_old_one() {
    let ca = Authority::new("ca");
    let mut setup = mutual(&ca, &ca.sign(&[ENVOY]));
    setup.grpc = r#"{ address: "127.0.0.1:GRPC", tls: { cert: "DIR/tls/weir.pem", key: "DIR/tls/weir-key.pem" } }"#.to_owned();
    setup.envoy_edits = vec![NAMELESS];
    let stack = Stack::start(setup).await;
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let port = stack.grpc.port();
    for (version, agreed) in [
        ("-tls1", None),
        ("-tls1_1", None),
        ("-tls1_2", Some("TLSv1.2")),
        ("-tls1_3", Some("TLSv1.3")),
    ] {
        let (fine, said) = s_client(port, &[version]);
        assert_eq!(fine, agreed.is_some(), "{version}: {said}");
        match agreed {
            Some(name) => {
                assert!(said.contains(name), "{said}");
                assert!(said.contains("ALPN protocol: h2"), "{said}");
            }
            // It was offered, and weir refused it.
            None => assert!(said.contains("SSL alert number"), "{version}: {said}"),
        }
    }
    // Plain gRPC isn't spoken there.
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", stack.grpc)).unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(endpoint.connect_lazy());
    let asked = health.check(tonic_health::pb::HealthCheckRequest::default());
    assert!(asked.await.is_err());
    stack.settle_the_books().await;
}

/// Puts files where links lead, as Kubernetes does: all at once.
fn turn(dir: &Path, generation: &str, files: &[(&str, &str)]) {
    let folder = dir.join(generation);
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    symlink(generation, dir.join("..tmp")).unwrap();
    fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
}

/// The certificate that weir shows now.
fn shown(stack: &Stack, dir: &Path) -> String {
    let file = |name: &str| dir.join(name).display().to_string();
    let (cert, key) = (file("envoy.pem"), file("envoy-key.pem"));
    let (_, said) = s_client(stack.grpc.port(), &["-cert", &cert, "-key", &key]);
    let begin = said.find("-----BEGIN CERTIFICATE-----");
    let end = said.find("-----END CERTIFICATE-----");
    let (Some(begin), Some(end)) = (begin, end) else {
        panic!("no certificate: {said}");
    };
    said[begin..end].to_owned()
}

#[tokio::test]
async fn certificates_change_under_traffic_and_no_call_fails() {
    let ca = Authority::new("ca");
    let mut setup = mutual(&ca, &ca.sign(&[ENVOY]));
    // New connections all the time: each call's stream is one of two.
    setup.envoy_edits = vec![(
        "        explicit_http_config:",
        "        common_http_protocol_options: { max_requests_per_connection: 2 }\n        explicit_http_config:",
    )];
    // Links that are there before weir is.
    let own = ca.sign(&["weir"]);
    let stack = {
        setup.files[1] = ("tls/first/weir.pem", own.cert.clone());
        setup.files[2] = ("tls/first/weir-key.pem", own.key);
        setup.grpc = setup.grpc.replace("DIR/tls/weir", "DIR/tls/..data/weir");
        setup.files.push(("tls/..data/weir.pem", own.cert.clone()));
        let key = setup.files[2].1.clone();
        setup.files.push(("tls/..data/weir-key.pem", key));
        Arc::new(Stack::start(setup).await)
    };
    let dir = stack.dir.path().join("tls");
    // From a folder to a link, once, as fast as two names change.
    fs::rename(dir.join("..data"), dir.join("zeroth")).unwrap();
    symlink("first", dir.join("..data")).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (stack, over) = (Arc::clone(&stack), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = stack.send(stack.chat(&hello(), &[])).await;
                    assert_eq!(answer.status, 200, "after {answered}: {answer:?}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let reloads = async |outcome: &str, count: f64| {
        let series = format!("weir_tls_reloads_total{{listener=\"grpc\",outcome=\"{outcome}\"}}");
        until(&format!("{count} {outcome}"), SOON, || async {
            (stack.metric(&series).await == count).then_some(())
        })
        .await;
    };
    assert!(own.cert.starts_with(&shown(&stack, &dir)));
    let refused = "weir_tls_files_refused{listener=\"grpc\"}";
    for (generation, taken) in [("second", 1.0), ("third", 2.0)] {
        let next = ca.sign(&["weir"]);
        turn(
            &dir,
            generation,
            &[("weir.pem", &next.cert), ("weir-key.pem", &next.key)],
        );
        reloads("taken", taken).await;
        assert!(next.cert.starts_with(&shown(&stack, &dir)));
        assert_eq!(stack.metric(refused).await, 0.0);
        // A certificate with another's key: the last good one stays.
        let (bad, key) = (ca.sign(&["weir"]), ca.sign(&["weir"]).key);
        let bad = [
            ("weir.pem", bad.cert.as_str()),
            ("weir-key.pem", key.as_str()),
        ];
        turn(&dir, &format!("{generation}-bad"), &bad);
        reloads("refused", taken).await;
        assert!(next.cert.starts_with(&shown(&stack, &dir)));
        assert_eq!(stack.metric(refused).await, 1.0);
    }
    let log = fs::read_to_string(&stack.weir.stderr).unwrap()
        + &fs::read_to_string(&stack.weir.stdout).unwrap();
    assert!(
        log.contains("weir-key.pem: is not the key of the certificate beside it"),
        "{log}"
    );
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    over.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    assert!(answered > 50, "{answered} calls");
    let stack = Arc::into_inner(stack).unwrap();
    stack.wait_for_events(answered).await;
    assert_eq!(stack.provider.received(), answered);
    stack.settle_the_books().await;
}

/// Whether a process of that user gets through.
fn connects(user: u32, socket: &Path) -> bool {
    let program = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let done = Command::new("python3")
        .args(["-c", program])
        .arg(socket)
        .current_dir("/")
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    done.status.success()
}

#[tokio::test]
async fn a_unix_socket_is_its_owners() {
    let own = fs::metadata("/proc/self").unwrap();
    let is_root = own.uid() == 0;
    // Only root may give a socket away.
    let (owner, uid) = match is_root {
        true => (", owner: \"65534:65534\"", 65_534),
        false => ("", own.uid()),
    };
    let stack = Stack::start(Setup {
        grpc: format!(
            "{{ address: \"unix:DIR/weir.sock\", mode: \"0600\"{owner} }}, \"127.0.0.1:GRPC\""
        ),
        ..Setup::default()
    })
    .await;
    let socket = stack.dir.path().join("weir.sock");
    let found = fs::metadata(&socket).unwrap();
    assert_eq!((found.mode() & 0o777, found.uid()), (0o600, uid));
    if is_root {
        assert_eq!(found.gid(), 65_534);
        fs::set_permissions(stack.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(connects(65_534, &socket));
        assert!(!connects(65_533, &socket));
    }
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    stack.settle_the_books().await;
}

/// `weir limits` beside another weir whose admin address is `admin`.
pub struct Elsewhere {
    _weir: Process,
    config: std::path::PathBuf,
}

impl Elsewhere {
    pub fn start(stack: &Stack, name: &str, admin: &str) -> Self {
        let dir = stack.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let written = fs::read_to_string(stack.dir.path().join("weir.yaml")).unwrap();
        let text = written
            .replace(
                &format!("admin: \"{}\"", stack.admin),
                &format!("admin: {admin}"),
            )
            .replace(
                &stack.grpc.to_string(),
                &format!("127.0.0.1:{}", free_port()),
            )
            // Any free port; what was there is a comment.
            .replace("http_authz: ", "http_authz: \"127.0.0.1:0\" # ")
            .replace("/weir.sock", &format!("/{name}/weir.sock"))
            .replace("/ledger\"", &format!("/{name}/ledger\""))
            .replace("/usage.jsonl", &format!("/{name}/usage.jsonl"));
        let config = dir.join("weir.yaml");
        fs::write(&config, text).unwrap();
        let mut command = Command::new(weir_binary());
        command.args(["serve", "--config"]).arg(&config);
        command.envs([("WEIR_PEPPER", PEPPER), ("WEIR_ADMIN_TOKEN", ADMIN_TOKEN)]);
        Self {
            _weir: Process::start("weir", command, &dir),
            config,
        }
    }

    fn limits(&self, arguments: &[&str]) -> Output {
        Command::new(weir_binary())
            .args(["limits", "show", "--tenant", "acme", "--config"])
            .arg(&self.config)
            .args(arguments)
            .envs([("WEIR_PEPPER", PEPPER), ("WEIR_ADMIN_TOKEN", ADMIN_TOKEN)])
            .output()
            .unwrap()
    }

    async fn until_it_answers(&self, arguments: &[&str]) {
        until("limits to be shown", SOON, || async {
            let done = self.limits(arguments);
            done.status.success().then_some(())
        })
        .await;
    }

    fn refusal(&self, arguments: &[&str]) -> String {
        let done = self.limits(arguments);
        assert!(!done.status.success(), "{done:?}");
        String::from_utf8(done.stderr).unwrap()
    }
}

#[tokio::test]
async fn operators_reach_the_admin_pages_over_tls_and_a_unix_socket() {
    let (ca, stack) = (Authority::new("ca"), Stack::start(Setup::default()).await);
    let dir = stack.dir.path().join("tls");
    fs::create_dir(&dir).unwrap();
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let signed = |name: &str, signed: &Signed| {
        let key = put(&format!("{name}-key.pem"), &signed.key);
        (put(&format!("{name}.pem"), &signed.cert), key)
    };
    let authority = put("ca.pem", &ca.pem());
    let (cert, key) = signed("weir", &ca.sign(&["weir.example.org"]));
    let (ops, ops_key) = signed("ops", &ca.sign(&["ops.example.org"]));
    let (other, other_key) = signed("other", &ca.sign(&["other.example.org"]));
    let tls = format!(
        "{{ cert: \"{cert}\", key: \"{key}\", client_ca: \"{authority}\", client_names: [ ops.example.org ] }}"
    );
    let admin = format!("{{ address: \"127.0.0.1:{}\", tls: {tls} }}", free_port());
    let weir = Elsewhere::start(&stack, "mutual", &admin);
    let name = ["--ca", &authority, "--server-name", "weir.example.org"];
    let with = |cert, key| [&name[..], &["--cert", cert, "--key", key]].concat();
    weir.until_it_answers(&with(&ops, &ops_key)).await;
    let why = weir.refusal(&[]);
    assert!(
        why.contains("listen.admin has TLS: say with --ca who vouches"),
        "{why}"
    );
    for arguments in [&name[..], &with(&other, &other_key)] {
        let why = weir.refusal(arguments);
        assert!(why.contains("no answer from 127.0.0.1"), "{why}");
    }
    let mut nameless = with(&ops, &ops_key);
    nameless.drain(2..4);
    assert!(
        weir.refusal(&nameless).contains("certificate"),
        "the address is not in it"
    );

    let socket = stack.dir.path().join("admin.sock").display().to_string();
    let admin = format!("{{ address: \"unix:{socket}\", mode: \"0600\" }}");
    let weir = Elsewhere::start(&stack, "socket", &admin);
    weir.until_it_answers(&[]).await;
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let why = weir.refusal(&["--admin", "127.0.0.1:1"]);
    assert!(why.contains("leave out --admin"), "{why}");
    assert_eq!(client::get(stack.admin, "/healthz").await.status, 200);
    stack.settle_the_books().await;
}
