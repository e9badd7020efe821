//! Real sockets and files: who may connect, who is let in, what is followed.

use super::*;
use crate::certificates::tests::{Authority, Signed};
use crate::certificates::{AllowedName, Authorities, Chain, Key, Pair, client_config};
use crate::config::{Process, SocketOwner, TcpSocket, TlsSettings, UnixSocket};
use crate::units::UnixMillis;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SOON: Duration = Duration::from_secs(20);

/// The files of this machine, at a time of a test's choosing.
struct At(UnixMillis);

impl Outside for At {
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        Process.file(path, bytes_max)
    }

    fn now(&self) -> UnixMillis {
        self.0
    }
}

/// A folder of certificates, and what was counted.
struct Place {
    dir: TempDir,
    ca: Authority,
    metrics: Arc<Metrics>,
}

impl Place {
    /// With a certificate for `weir`, which clients of `ca` may speak to.
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: Authority::new("ca"),
            metrics: Arc::new(Metrics::new()),
        };
        place.put(&place.ca.sign(&["weir"]));
        place.write("ca.pem", &place.ca.pem());
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn put(&self, signed: &Signed) {
        self.write("cert.pem", &signed.cert);
        self.write("key.pem", &signed.key);
    }

    fn settings(&self, verified: bool, names: &[&str]) -> TlsSettings {
        let path = |name: &str| self.dir.path().join(name);
        let names = names.iter().map(|name| AllowedName::read(name).unwrap());
        TlsSettings {
            cert: path("cert.pem"),
            key: path("key.pem"),
            client_ca: verified.then(|| path("ca.pem")),
            client_names: names.collect(),
        }
    }

    async fn open(&self, tls: Option<TlsSettings>) -> Incoming {
        let address = "127.0.0.1:0".parse().unwrap();
        let address = Address::Tcp(TcpSocket { address, tls });
        let opened = Incoming::open(&address, Listener::Grpc, &Process, &self.metrics).await;
        opened.unwrap()
    }

    /// Greets whoever is let in with their URI names.
    async fn serve(&self, tls: Option<TlsSettings>) -> Server {
        Server::start(self.open(tls).await)
    }

    fn value(&self, series: &str) -> Option<String> {
        let text = self.metrics.encode();
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(&format!("{series} ")).map(str::to_owned))
    }

    fn failures(&self, reason: &str) -> u64 {
        let labels = format!("{{listener=\"grpc\",reason=\"{reason}\"}}");
        let value = self.value(&format!("weir_tls_handshake_failures_total{labels}"));
        value.unwrap().parse().unwrap()
    }

    async fn until_failures(&self, reason: &str, count: u64) {
        let waited = tokio::time::timeout(SOON, async {
            while self.failures(reason) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let told = || self.metrics.encode();
        waited
            .await
            .unwrap_or_else(|_| panic!("no {count} of {reason} in {}", told()));
        assert_eq!(self.failures(reason), count, "{reason}");
    }
}

struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    fn start(mut incoming: Incoming) -> Self {
        let address = incoming.tcp_address().unwrap().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let mut connection = incoming.next().await;
                let client = connection.client().cloned().unwrap_or_default();
                let greeting = format!("hello {}", client.uris.join(","));
                // Some clients are gone by then.
                let _ = connection.write_all(greeting.as_bytes()).await;
                let _ = connection.shutdown().await;
            }
        });
        Self { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn connector(ca: &Authority, shown: Option<&Signed>, alpn: &[u8]) -> TlsConnector {
    let ca = Authorities::read(ca.pem().as_bytes()).unwrap();
    let pair = shown.map(|signed| {
        let chain = Chain::read(signed.cert.as_bytes()).unwrap();
        Pair::new(chain, Key::read(signed.key.as_bytes()).unwrap()).unwrap()
    });
    TlsConnector::from(Arc::new(client_config(&ca, pair.as_ref(), alpn).unwrap()))
}

async fn connect(connector: &TlsConnector, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("weir").unwrap();
    connector.connect(name, stream).await
}

/// What the server says, if it lets the client in.
async fn greeting(connector: &TlsConnector, to: SocketAddr) -> io::Result<String> {
    let mut stream = connect(connector, to).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

#[tokio::test]
async fn clients_are_let_in_by_their_certificate_and_name() {
    let place = Place::new();
    let (envoy, other) = ("spiffe://example.org/envoy", "spiffe://example.org/other");
    let good = place.ca.sign(&[envoy]);
    let unnamed = place.ca.sign(&[other, "envoy.edge"]);
    let strange = Authority::new("ca").sign(&[envoy]);
    let over = place.ca.sign_between(&[envoy], (2000, 1, 1), (2001, 1, 1));
    let server = place.serve(Some(place.settings(true, &[envoy]))).await;
    let dns = place
        .serve(Some(place.settings(true, &["a.b", "ENVOY.edge"])))
        .await;
    let open = place.serve(Some(place.settings(true, &[]))).await;
    let unverified = place.serve(Some(place.settings(false, &[]))).await;
    for (server, shown, expected) in [
        (&server, Some(&good), Ok(envoy)),
        (&server, Some(&unnamed), Err("name")),
        (&server, Some(&strange), Err("certificate")),
        (&server, Some(&over), Err("certificate")),
        (&server, None, Err("no_certificate")),
        (&dns, Some(&unnamed), Ok(other)),
        (&dns, Some(&good), Err("name")),
        (&open, Some(&unnamed), Ok(other)),
        (&open, None, Err("no_certificate")),
        (&unverified, None, Ok("")),
        // It isn't asked for, so it isn't believed either.
        (&unverified, Some(&good), Ok("")),
    ] {
        let connector = connector(&place.ca, shown, b"h2");
        let before = expected.err().map_or(0, |reason| place.failures(reason));
        let said = greeting(&connector, server.address).await;
        match expected {
            Ok(names) => assert_eq!(said.unwrap(), format!("hello {names}")),
            Err(reason) => {
                assert!(said.is_err(), "{said:?}");
                place.until_failures(reason, before + 1).await;
            }
        }
    }
}

#[tokio::test]
async fn only_the_protocol_that_is_spoken_is_agreed_on() {
    let place = Place::new();
    let server = place.serve(Some(place.settings(false, &[]))).await;
    let client = connector(&place.ca, None, b"h2");
    let stream = connect(&client, server.address).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = connector(&place.ca, None, b"http/1.1");
    assert!(greeting(&client, server.address).await.is_err());
    place.until_failures("protocol", 1).await;
    // One who doesn't believe weir says so.
    let client = connector(&Authority::new("ca"), None, b"h2");
    assert!(greeting(&client, server.address).await.is_err());
    place.until_failures("client", 1).await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"hello"));
    place.until_failures("other", 1).await;
}

/// A session that went on would outlive what vouched for it.
#[tokio::test]
async fn each_connection_shows_its_certificate_anew() {
    let place = Place::new();
    let shown = place.ca.sign(&["a://b"]);
    let server = place.serve(Some(place.settings(true, &[]))).await;
    let client = connector(&place.ca, Some(&shown), b"h2");
    for _ in 0..3 {
        let mut stream = connect(&client, server.address).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello a://b");
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn slow_handshakes_keep_nobody_out() {
    let place = Place::new();
    let mut incoming = place.open(Some(place.settings(false, &[]))).await;
    incoming.handshakes.open_max = 4;
    let server = Server::start(incoming);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = connector(&place.ca, None, b"h2");
    for _ in 0..5 {
        assert_eq!(greeting(&client, server.address).await.unwrap(), "hello ");
    }
    // Four of those that were silent may still be open.
    assert!((16..=20).contains(&place.failures("crowded")));
    assert_eq!(place.failures("timeout"), 0);
    let mut nothing = Vec::new();
    let ended = silent[0].read_to_end(&mut nothing).await;
    assert!(ended.is_err() || nothing.is_empty());
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let place = Place::new();
    let mut incoming = place.open(Some(place.settings(false, &[]))).await;
    incoming.handshakes.time_max = Duration::from_millis(200);
    let server = Server::start(incoming);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    place.until_failures("timeout", 1).await;
    let mut nothing = Vec::new();
    let ended = tokio::time::timeout(SOON, silent.read_to_end(&mut nothing)).await;
    let ended = ended.expect("it is closed");
    assert!(ended.is_err() || nothing.is_empty());
}

/// The certificate that new connections are shown.
async fn shown(place: &Place, server: &Server, client: Option<&Signed>) -> Vec<u8> {
    let stream = connect(&connector(&place.ca, client, b"h2"), server.address).await;
    let stream = stream.unwrap();
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    certificates[0].to_vec()
}

fn der(signed: &Signed) -> Vec<u8> {
    CertificateDer::from_pem_slice(signed.cert.as_bytes())
        .unwrap()
        .to_vec()
}

fn follow(place: &Place, incoming: &Incoming, now: UnixMillis) -> Follow {
    let tls = incoming.tls().cloned().into_iter().collect();
    Follow::new(
        tls,
        Listener::Grpc,
        Arc::new(At(now)),
        Arc::clone(&place.metrics),
    )
}

impl Place {
    /// Changes that were taken, those that were refused, and whether the files
    /// are such now.
    fn reloads(&self) -> [u64; 3] {
        let labels = |outcome: &str| {
            format!("weir_tls_reloads_total{{listener=\"grpc\",outcome=\"{outcome}\"}}")
        };
        let now = "weir_tls_files_refused{listener=\"grpc\"}".to_owned();
        [labels("taken"), labels("refused"), now].map(|series| {
            let value = self.value(&series);
            value
                .unwrap_or_else(|| panic!("no {series}"))
                .parse()
                .unwrap()
        })
    }
}

#[tokio::test]
async fn certificates_follow_their_files() {
    let place = Place::new();
    let incoming = place.open(Some(place.settings(false, &[]))).await;
    let mut follow = follow(&place, &incoming, UnixMillis(0));
    let server = Server::start(incoming);
    let first = shown(&place, &server, None).await;
    let second = place.ca.sign(&["weir"]);
    assert_ne!(first, der(&second));
    follow.look();
    assert_eq!(place.reloads(), [0, 0, 0]);
    // The certificate is there before its key: nobody's error.
    place.write("cert.pem", &second.cert);
    follow.look();
    place.write("key.pem", &second.key);
    follow.look();
    assert_eq!(shown(&place, &server, None).await, first);
    follow.look();
    assert_eq!(shown(&place, &server, None).await, der(&second));
    assert_eq!(place.reloads(), [1, 0, 0]);
    let misfit = place.ca.sign(&["weir"]).key;
    let bad: [(&str, Option<&str>); 4] = [
        ("key.pem", Some(&misfit)),
        ("cert.pem", Some("-----BEGIN CERTIFICATE-----\nAA")),
        ("cert.pem", Some("")),
        ("key.pem", None),
    ];
    for (refused, (name, text)) in (1..).zip(bad) {
        match text {
            Some(text) => place.write(name, text),
            None => fs::remove_file(place.dir.path().join(name)).unwrap(),
        }
        for _ in 0..3 {
            follow.look();
        }
        assert_eq!(place.reloads(), [1, refused, 1], "{name}");
        assert_eq!(shown(&place, &server, None).await, der(&second));
    }
    // The same as before is as good as new.
    place.put(&second);
    follow.look();
    follow.look();
    assert_eq!(place.reloads(), [2, 4, 0]);
    assert_eq!(shown(&place, &server, None).await, der(&second));
}

/// As Kubernetes does it: files are links through a link that is exchanged.
#[tokio::test]
async fn a_link_that_turns_is_followed() {
    let place = Place::new();
    let root = place.dir.path();
    let turn = |folder: &str, signed: &Signed| {
        fs::create_dir(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("cert.pem"), &signed.cert).unwrap();
        fs::write(root.join(folder).join("key.pem"), &signed.key).unwrap();
        symlink(folder, root.join("new")).unwrap();
        fs::rename(root.join("new"), root.join("data")).unwrap();
    };
    turn("1", &place.ca.sign(&["weir"]));
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(root.join(name)).unwrap();
        symlink(Path::new("data").join(name), root.join(name)).unwrap();
    }
    let incoming = place.open(Some(place.settings(false, &[]))).await;
    let mut follow = follow(&place, &incoming, UnixMillis(0));
    let server = Server::start(incoming);
    let second = place.ca.sign(&["weir"]);
    turn("2", &second);
    fs::remove_dir_all(root.join("1")).unwrap();
    follow.look();
    follow.look();
    assert_eq!(shown(&place, &server, None).await, der(&second));
}

#[tokio::test]
async fn who_vouches_for_clients_is_followed_too() {
    let place = Place::new();
    let (old, newer) = (place.ca.sign(&["a://old"]), Authority::new("newer"));
    let new = newer.sign(&["a://new"]);
    let incoming = place.open(Some(place.settings(true, &[]))).await;
    let mut follow = follow(&place, &incoming, UnixMillis(0));
    let server = Server::start(incoming);
    let said = async |shown: &Signed| {
        let client = connector(&place.ca, Some(shown), b"h2");
        greeting(&client, server.address).await.ok()
    };
    assert_eq!(said(&old).await.as_deref(), Some("hello a://old"));
    assert_eq!(said(&new).await, None);
    place.write("ca.pem", &[place.ca.pem(), newer.pem()].concat());
    follow.look();
    follow.look();
    assert_eq!(said(&old).await.as_deref(), Some("hello a://old"));
    assert_eq!(said(&new).await.as_deref(), Some("hello a://new"));
    place.write("ca.pem", &newer.pem());
    follow.look();
    follow.look();
    assert_eq!(said(&old).await, None);
    assert_eq!(said(&new).await.as_deref(), Some("hello a://new"));
}

#[tokio::test]
async fn a_certificates_end_is_told_of() {
    let place = Place::new();
    place.put(&place.ca.sign_between(&["weir"], (2029, 1, 1), (2030, 1, 1)));
    let first = place.open(Some(place.settings(false, &[]))).await;
    place.put(&place.ca.sign_between(&["weir"], (2029, 1, 1), (2031, 1, 1)));
    let second = place.open(Some(place.settings(true, &[]))).await;
    let end_ms = 1_893_456_000_000; // 2030-01-01
    let series = |of: &str| {
        let labels = format!("{{listener=\"grpc\",certificate=\"{of}\"}}");
        format!("weir_tls_certificate_expires_in_seconds{labels}")
    };
    assert_eq!(place.value(&series("server")), None);
    for (now, expected) in [
        (end_ms - 90_000, "90"),
        (end_ms, "0"),
        (end_ms + 5_000, "-5"),
    ] {
        let tls = [&first, &second].map(|incoming| Arc::clone(incoming.tls().unwrap()));
        let outside = Arc::new(At(UnixMillis(now)));
        let metrics = Arc::clone(&place.metrics);
        let _ = Follow::new(tls.into(), Listener::Grpc, outside, metrics);
        assert_eq!(place.value(&series("server")).as_deref(), Some(expected));
    }
    assert!(place.value(&series("client_ca")).is_some());
    // Without TLS there is nothing to tell.
    let metrics = Arc::new(Metrics::new());
    let outside = Arc::new(At(UnixMillis(0)));
    let _ = Follow::new(Vec::new(), Listener::Admin, outside, Arc::clone(&metrics));
    assert!(!metrics.encode().contains("weir_tls_files_refused{"));
}

#[tokio::test]
async fn an_address_with_bad_files_is_not_opened() {
    let place = Place::new();
    place.write("key.pem", &place.ca.sign(&["weir"]).key);
    let address = "127.0.0.1:0".parse().unwrap();
    let tls = Some(place.settings(false, &[]));
    let address = Address::Tcp(TcpSocket { address, tls });
    let opened = Incoming::open(&address, Listener::Grpc, &Process, &place.metrics).await;
    let error = follow::whole(&opened.err().unwrap());
    assert!(
        error.ends_with("key.pem: is not the key of the certificate beside it"),
        "{error}"
    );
}

fn unix(path: &Path, mode: u32, owner: SocketOwner) -> Address {
    Address::Unix(UnixSocket {
        path: path.to_owned(),
        mode,
        owner,
    })
}

async fn open_unix(address: &Address) -> Result<Incoming, TransportError> {
    let metrics = Arc::new(Metrics::new());
    Incoming::open(address, Listener::Grpc, &Process, &metrics).await
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_owner() {
    let dir = tempfile::tempdir().unwrap();
    let own = fs::metadata(dir.path()).unwrap();
    // Only root may give files away.
    let (user, group) = match own.uid() {
        0 => (65_534, 65_533),
        uid => (uid, own.gid()),
    };
    let nobody = SocketOwner::default();
    let both = SocketOwner {
        user: Some(user),
        group: Some(group),
    };
    let grouped = SocketOwner {
        group: Some(group),
        ..nobody
    };
    for (index, (mode, owner, expected)) in [
        (0o660, nobody, (own.uid(), own.gid())),
        (0o600, both, (user, group)),
        (0o777, grouped, (own.uid(), group)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(format!("below/{index}.sock"));
        let mut incoming = open_unix(&unix(&path, mode, owner)).await.unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o777, mode);
        assert_eq!((found.uid(), found.gid()), expected);
        let mut client = UnixStream::connect(&path).await.unwrap();
        incoming.next().await.write_all(b"hello").await.unwrap();
        let mut said = [0; 5];
        client.read_exact(&mut said).await.unwrap();
    }
}

#[tokio::test]
async fn only_a_dead_process_loses_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let address = unix(&path, 0o660, SocketOwner::default());
    let first = open_unix(&address).await.unwrap();
    let busy = open_unix(&address).await.err().unwrap();
    assert!(matches!(busy, TransportError::Busy { .. }), "{busy}");
    drop(first);
    open_unix(&address).await.unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    let error = open_unix(&address).await.err().unwrap();
    assert!(matches!(error, TransportError::NoSocket { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}
