//! The image: what the Dockerfile says, held against what it is built from; and weir
//! as an engine of containers starts it, in a root that holds the image's files alone.

use super::calls::hello;
use super::sdk::python;
use crate::support::authority::Authority;
use crate::support::client;
use crate::support::image::{Dockerfile, Root, children, made, status};
use crate::support::process::Process;
use crate::support::stack::{ADMIN_TOKEN, Engine, KEY, PEPPER, Setup, Stack};
use crate::support::until;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;
use weir::exchange::event::Outcome;
use weir::identity::Pepper;

const SOON: Duration = Duration::from_secs(10);

/// Of `USER` in the Dockerfile.
const USER: u32 = 65532;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a program says on standard output.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_dockerfile_is_what_is_tried_here() {
    let dockerfile = Dockerfile::read();
    let [_, build, last] = dockerfile.stages.as_slice() else {
        panic!("two stages behind the arguments");
    };
    assert_eq!(last[0].1, "scratch");
    let base = &build[0].1;
    let version = "${RUST_VERSION}-bookworm AS build";
    assert!(base.ends_with(version), "named by its version: {base}");

    // No shell: RUN and what else needs one can't be in the last stage.
    let words: BTreeSet<&str> = last.iter().map(|(word, _)| word.as_str()).collect();
    let known = [
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "STOPSIGNAL",
        "USER",
    ];
    assert!(words.iter().all(|word| known.contains(word)), "{words:?}");
    assert_eq!(dockerfile.only("USER"), format!("{USER}:{USER}"));
    assert_eq!(dockerfile.list("ENTRYPOINT"), ["/weir"]);
    let command = ["serve", "--config", "/etc/weir/weir.yaml"];
    assert_eq!(dockerfile.list("CMD"), command);
    assert_eq!(dockerfile.only("STOPSIGNAL"), "SIGTERM");
    assert_eq!(dockerfile.only("EXPOSE"), "50051 50052 9090");
    let copies = dockerfile.copies();
    let own = |path| (USER, "own/", path);
    assert_eq!(
        copies,
        [(0, "root/", "/"), own("/run/weir/"), own("/var/lib/weir/")]
    );
    let labels = dockerfile.only("LABEL");
    for label in [
        "title",
        "description",
        "source",
        "licenses",
        "version",
        "revision",
    ] {
        let label = format!("org.opencontainers.image.{label}=\"");
        assert!(labels.contains(&label), "{labels}");
    }

    // Both are made by one script, by which nobody says how else.
    let runs: Vec<&str> = build
        .iter()
        .filter(|(word, _)| word == "RUN")
        .map(|(_, rest)| rest.as_str())
        .collect();
    let made = "make image-root IMAGE_ROOT=/image ARCH=${TARGETARCH}";
    assert!(runs.iter().any(|run| run.ends_with(made)), "{runs:?}");
    assert!(runs.iter().all(|run| !run.contains("cargo ")), "{runs:?}");
    let makefile = fs::read_to_string(project("Makefile")).unwrap();
    for line in [
        "\t.ci/image-root $(IMAGE_PROFILE) $(IMAGE_ROOT) $(ARCH)\n",
        "\t.ci/image-root dev target/image/dev\n",
    ] {
        assert!(makefile.contains(line), "no {line:?}");
    }
}

#[test]
fn the_dockerfile_builds_by_the_version_that_is_asked_for() {
    let dockerfile = Dockerfile::read();
    let (_, argument) = &dockerfile.stages[0][0];
    let builds_by = argument.strip_prefix("RUST_VERSION=").unwrap();
    let manifest = fs::read_to_string(project("Cargo.toml")).unwrap();
    let field = |name: &str| {
        let mut lines = manifest.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        found.unwrap().trim_matches('"').to_owned()
    };
    let numbers = |version: &str| -> Vec<u32> {
        let parts = version.split('.');
        parts.map(|part| part.parse().unwrap()).collect()
    };
    assert!(
        numbers(builds_by) >= numbers(&field("rust-version")),
        "{builds_by}"
    );
    assert!(
        dockerfile
            .last("ARG")
            .contains(&&*format!("VERSION={}", field("version")))
    );
    let labels = dockerfile.only("LABEL");
    for (label, name) in [("licenses", "license"), ("description", "description")] {
        let label = format!("org.opencontainers.image.{label}=\"{}\"", field(name));
        assert!(labels.contains(&label), "{label} isn't in {labels}");
    }
}

/// Nothing of the sources lies where the build doesn't get it.
#[test]
fn what_is_built_from_is_sent_to_the_engine() {
    let ignored = fs::read_to_string(project(".dockerignore")).unwrap();
    let sent: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    assert!(ignored.lines().any(|line| line == "*"), "{ignored}");
    for path in &sent {
        assert!(project(path).exists(), "there is no {path}");
    }
    let mut needed = BTreeSet::from(
        [
            "Cargo.toml",
            "Cargo.lock",
            "Makefile",
            "LICENSE",
            "src/main.rs",
            ".ci/image-root",
            ".ci/sbom",
            ".ci/install",
        ]
        .map(|path| project(path).canonicalize().unwrap()),
    );
    included(&project("src"), &mut needed);
    assert!(needed.len() > 20, "{needed:?}");
    for path in needed {
        let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert!(
            sent.iter().any(|sent| path.starts_with(sent)),
            "{}",
            path.display()
        );
    }
}

/// The files that sources take in as they are compiled.
fn included(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for path in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        if is_test {
            continue;
        }
        if path.is_dir() {
            included(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in ["include_str!(\"", "include_bytes!(\""] {
            for rest in text.split(word).skip(1) {
                let name = rest.split('"').next().unwrap();
                let named = path.parent().unwrap().join(name);
                found.insert(
                    named
                        .canonicalize()
                        .unwrap_or_else(|_| panic!("{}", named.display())),
                );
            }
        }
    }
}

#[test]
fn the_program_asks_for_nothing_beside_it() {
    let mut readelf = Command::new("readelf");
    readelf.args(["--program-headers", "--dynamic", "--wide"]);
    let headers = said(readelf.arg(made().join("root/weir")));
    assert!(headers.contains("LOAD"), "{headers}");
    for word in ["INTERP", "NEEDED"] {
        assert!(!headers.contains(word), "{headers}");
    }
    let sections = said(
        Command::new("readelf")
            .arg("--sections")
            .arg(made().join("root/weir")),
    );
    assert!(
        !sections.contains(".symtab") && !sections.contains(".debug_info"),
        "stripped"
    );
}

/// The fields of a listed crate that matter here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
}

fn bill_of_materials() -> Value {
    let path = made().join("root/usr/share/sbom/weir.cdx.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn listed(bom: &Value) -> BTreeMap<Crate, &Value> {
    let components = bom["components"].as_array().unwrap().iter();
    let text = |component: &Value, field: &str| component[field].as_str().unwrap().to_owned();
    let crates = components.filter(|c| text(c, "purl").starts_with("pkg:cargo/"));
    crates
        .map(|component| {
            let (name, version) = (text(component, "name"), text(component, "version"));
            (Crate { name, version }, component)
        })
        .collect()
}

#[test]
fn the_bill_of_materials_lists_the_crates_of_the_program() {
    let bom = bill_of_materials();
    let listed = listed(&bom);
    // By cargo's own word.
    let tree = said(
        Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
            .args(["--format", "{p}", "--no-dedupe"]),
    );
    let mut expected = BTreeSet::new();
    for line in tree.lines() {
        let (name, rest) = line.split_once(" v").unwrap();
        let version = rest.split(' ').next().unwrap().to_owned();
        let name = name.to_owned();
        expected.insert(Crate { name, version });
    }
    expected.retain(|each| each.name != "weir");
    let found: BTreeSet<&Crate> = listed.keys().collect();
    assert!(found.len() > 200, "{}", found.len());
    assert_eq!(found, expected.iter().collect());

    // By what the program itself tells: each crate whose code can panic left its path.
    let program = fs::read(made().join("root/weir")).unwrap();
    let mut told = BTreeSet::new();
    for at in memchr::memmem::find_iter(&program, b"/registry/src/") {
        let path = &program[at..program.len().min(at + 300)];
        let path = path.split(|byte| !byte.is_ascii_graphic()).next().unwrap();
        let path = std::str::from_utf8(path).unwrap();
        if let Some(folder) = path.split('/').nth(4) {
            told.insert(folder.to_owned());
        }
    }
    assert!(told.len() > 50, "{told:?}");
    let folders: BTreeSet<String> = listed
        .keys()
        .map(|each| format!("{}-{}", each.name, each.version))
        .collect();
    let unlisted: Vec<_> = told.difference(&folders).collect();
    assert!(
        unlisted.is_empty(),
        "in the program, but not listed: {unlisted:?}"
    );
}

#[test]
fn the_bill_of_materials_is_of_its_standard() {
    let path = made().join("root/usr/share/sbom/weir.cdx.json");
    let script = project("tests/e2e/sbom.py");
    let answer = said(Command::new(python()).arg(script).arg(path));
    assert_eq!(answer.trim(), "valid");
}

#[test]
fn the_bill_of_materials_says_what_the_lock_says() {
    let bom = bill_of_materials();
    let lock = fs::read_to_string(project("Cargo.lock")).unwrap();
    let mut locked = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let mut lines = package.lines();
            let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            found.map(|value| value.trim_matches('"').to_owned())
        };
        let (name, version) = (field("name").unwrap(), field("version").unwrap());
        locked.insert(Crate { name, version }, field("checksum"));
    }
    for (each, component) in listed(&bom) {
        let hash = &component["hashes"][0];
        assert_eq!(hash["alg"], "SHA-256", "{each:?}");
        assert_eq!(
            hash["content"].as_str(),
            locked[&each].as_deref(),
            "{each:?}"
        );
        assert!(
            component["licenses"][0]["expression"].is_string(),
            "{component}"
        );
    }
    assert_eq!(bom["metadata"]["component"]["name"], "weir");
    let system = ["libc6-dev", "ca-certificates"];
    for package in system {
        let components = bom["components"].as_array().unwrap();
        let found = components.iter().find(|c| c["name"] == package).unwrap();
        assert!(
            found["purl"]
                .as_str()
                .unwrap()
                .starts_with("pkg:deb/debian/"),
            "{found}"
        );
    }
    // Whoever builds the same sources gets the same list.
    let text = bom.to_string();
    assert!(
        !text.contains("file://") && !text.contains(env!("CARGO_MANIFEST_DIR")),
        "{text}"
    );
    assert!(bom["metadata"]["timestamp"].is_null() && bom["serialNumber"].is_null());
    // All that depends, and is depended on, is listed.
    let reference = |value: &Value| value.as_str().unwrap().to_owned();
    let components = bom["components"].as_array().unwrap().iter();
    let mut known: BTreeSet<String> = components.map(|c| reference(&c["bom-ref"])).collect();
    known.insert("weir".to_owned());
    for each in bom["dependencies"].as_array().unwrap() {
        let on = each["dependsOn"].as_array().into_iter().flatten();
        for name in on.chain([&each["ref"]]) {
            assert!(known.contains(&reference(name)), "{name}");
        }
    }
}

/// A server of names as a cluster has one: it knows one name, and answers that it is
/// on this machine.
struct Names {
    address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// On an address of its own, as resolvers ask no other port than 53.
    async fn start(known: &'static str) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        let socket = UdpSocket::bind((address, 53)).await.unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let names = Self {
            address,
            asked: Arc::clone(&asked),
        };
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let (name, answer) = answer(&question[..length], known);
                asked.lock().unwrap().push(name);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        names
    }

    /// What a kubelet writes for a pod.
    fn resolv_conf(&self) -> String {
        format!(
            "search space.svc.cluster.test svc.cluster.test\nnameserver {}\noptions ndots:5\n",
            self.address
        )
    }
}

/// RFC 1035, 4.1: one question, and an address where it is asked for.
fn answer(question: &[u8], known: &str) -> (String, Vec<u8>) {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    let name = labels.join(".");
    let is_address = question[at + 1..at + 3] == [0, 1];
    let no_such_name = u8::from(name != known) * 3;
    let answers = u8::from(is_address && name == known);
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | no_such_name, 0, 1, 0, answers, 0, 0, 0, 0]);
    answer.extend(&question[12..at + 5]);
    if answers == 1 {
        // The name of the question, an address, of the Internet, for a second.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    (name, answer)
}

/// A path whose weir runs as its image has it.
fn contained(root: Root) -> Setup {
    Setup {
        grpc: "\"unix:/run/weir/weir.sock\"".to_owned(),
        root: Some(Arc::new(root)),
        ..Setup::default()
    }
}

/// Processes in the namespace of a first process, whose parent has ended; they end
/// when this is dropped.
struct Orphans {
    parent: Child,
    held: Option<ChildStdin>,
}

impl Orphans {
    fn leave(first: u32, count: usize) -> Self {
        let mut nsenter = Command::new("nsenter");
        let script = "exec 3<&0; i=0; while [ $i -lt $1 ]; do cat <&3 & i=$((i + 1)); done";
        nsenter
            .args(["--target", &first.to_string(), "--pid"])
            .args(["sh", "-c", script, "sh", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut parent = nsenter.spawn().unwrap();
        let held = parent.stdin.take();
        assert!(parent.wait().unwrap().success());
        Self { parent, held }
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = self.parent.wait();
    }
}

/// Gives a first process orphans, lets them end, and waits until none is left, ended or
/// not.
async fn reaps(first: u32) {
    const COUNT: usize = 3;
    let orphans = Orphans::leave(first, COUNT);
    until("orphans to be given over", SOON, || async move {
        let given = children(first);
        let running = given.iter().filter(|pid| status(**pid, "Name") == "cat");
        (running.count() == COUNT).then_some(())
    })
    .await;
    drop(orphans);
    until("orphans to be reaped", SOON, || async move {
        children(first).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_image_serves_as_the_first_process_of_an_empty_root() {
    let names = Names::start("redis.space.svc.cluster.test").await;
    let root = Root::lay();
    fs::write(root.at("etc/resolv.conf"), names.resolv_conf()).unwrap();
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        redis_host: "redis",
        sqlite: true,
        ..contained(root)
    })
    .await;
    let first = stack.weir.pid();
    assert_eq!(status(first, "Name"), "weir");
    assert_eq!(status(first, "NSpid").split_whitespace().last(), Some("1"));
    let ids = [
        USER.to_string(),
        USER.to_string(),
        USER.to_string(),
        USER.to_string(),
    ]
    .join("\t");
    assert_eq!(status(first, "Uid"), ids);
    assert_eq!(status(first, "Gid"), ids);
    assert_eq!(status(first, "Groups"), "");
    assert_eq!(status(first, "CapEff"), "0000000000000000");
    let mounts = fs::read_to_string(format!("/proc/{first}/mountinfo")).unwrap();
    let (mut written, mut read): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        // Root's, as any engine mounts it.
        if fields[4].starts_with("/dev") {
            continue;
        }
        match fields[5].split(',').any(|option| option == "ro") {
            true => read.push(fields[4]),
            false => written.push(fields[4]),
        }
    }
    written.sort_unstable();
    assert_eq!(written, ["/run/weir", "/var/lib/weir"], "{mounts}");
    assert_eq!(read, ["/", "/etc/weir/weir.yaml"], "{mounts}");

    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    let events = stack.wait_for_events(1).await;
    assert_eq!(events[0].outcome, Outcome::Exact);
    let asked = names.asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .any(|name| name == "redis.space.svc.cluster.test"),
        "{asked:?}"
    );

    reaps(first).await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    stack.settle_the_books().await;
}

#[tokio::test]
async fn a_first_process_drains_at_sigterm_and_reaps_meanwhile() {
    let mut stack = Stack::start(contained(Root::lay())).await;
    let mut body = hello();
    body["stream"] = true.into();
    let gate = [("x-fake-gate", "rest"), ("x-fake-gate-after", "1")];
    let mut open = stack.open(stack.chat(&body, &gate)).await;
    open.chunk().await.unwrap().unwrap();
    stack.weir.terminate();
    let admin = stack.admin;
    until("readiness to turn", SOON, || async move {
        (client::get(admin, "/readyz").await.status == 503).then_some(())
    })
    .await;
    reaps(stack.weir.pid()).await;
    assert!(stack.weir.is_running(), "an open call is waited for");
    stack.provider.open_gate("rest");
    let (text, whole) = open.rest().await;
    assert!(whole && text.ends_with("data: [DONE]\n\n"), "{text}");
    let well = stack.weir.wait_for_end(SOON).await;
    assert!(well, "it ends with 0: {}", stack.weir.tail());
    let events = stack.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome, Outcome::Exact);
    stack.restart_weir().await;
    stack.settle_the_books().await;
}

/// A weir whose store takes connections and never answers.
async fn started_but_not_ready(name: &'static str) {
    let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = store.local_addr().unwrap().port();
    let root = Root::lay();
    // What an engine writes into a container, for a name that nobody else knows.
    fs::write(root.at("etc/hosts"), "127.0.0.1 store.weir.test\n").unwrap();
    let own = tempfile::Builder::new().prefix("weir-").tempdir().unwrap();
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    let hash = pepper.digest(KEY.as_bytes());
    let config = format!(
        "listen: {{ grpc: \"unix:/run/weir/weir.sock\", admin: \"127.0.0.1:0\" }}\n\
         counters: {{ redis: {{ url: \"redis://store.weir.test:{port}\", connect_timeout: 10s, response_timeout: 10s }} }}\n\
         ledger: {{ path: /var/lib/weir/ledger, file: {{ path: /var/lib/weir/usage.jsonl }} }}\n\
         models: {{ gpt-4o: {{ max_output_tokens: 100 }} }}\n\
         plans: {{ team: {{ limits: [ {{ per: tenant, unit: requests, amount: 20, every: 1m }} ] }} }}\n\
         tenants: {{ acme: {{ plan: team }} }}\n\
         identity: {{ pepper: {{ env: WEIR_PEPPER }}, keys: [ {{ id: ada, tenant: acme, hash: \"{hash}\" }} ] }}\n"
    );
    fs::write(own.path().join("weir.yaml"), config).unwrap();
    let mut command = root.first_process(own.path());
    command.env("WEIR_PEPPER", PEPPER);
    let mut weir = Process::start_within("weir", command, own.path());
    // It found the store by its name, and waits for it.
    let accepted = tokio::time::timeout(SOON, store.accept()).await;
    let (_silent, _) = accepted
        .unwrap_or_else(|_| panic!("{}", weir.tail()))
        .unwrap();
    let first = weir.pid();
    reaps(first).await;
    let sent = Command::new("kill")
        .args(["-s", name, &first.to_string()])
        .status();
    assert!(sent.unwrap().success());
    let well = weir.wait_for_end(SOON).await;
    assert!(well, "{}", weir.tail());
    let tail = weir.tail();
    assert!(tail.contains("told to stop before it was ready"), "{tail}");
}

#[tokio::test]
async fn a_first_process_that_still_starts_ends_when_it_is_told_to() {
    for name in ["TERM", "INT"] {
        started_but_not_ready(name).await;
    }
}

/// The roots of the image are those that weir believes: another's take their place.
#[tokio::test]
async fn certificates_are_judged_by_the_roots_in_the_image() {
    let ours = Authority::new("an authority that only this test knows");
    let signed = ours.sign(&["server.weir.test"]);
    let acceptor = acceptor(&signed.cert, &signed.key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let root = Root::lay();
    fs::write(root.at("etc/hosts"), "127.0.0.1 server.weir.test\n").unwrap();
    let own = tempfile::Builder::new().prefix("weir-").tempdir().unwrap();
    fs::write(own.path().join("weir.yaml"), "").unwrap();
    let dockerfile = Dockerfile::read();
    let environment: BTreeMap<_, _> = dockerfile.environment().into_iter().collect();
    let roots = root.at(environment["SSL_CERT_FILE"]);
    let shipped = fs::read_to_string(&roots).unwrap();
    assert!(shipped.matches("BEGIN CERTIFICATE").count() > 100);
    let server = format!("https://server.weir.test:{port}");
    let ask = async || {
        let mut weir = root.other_process(own.path(), &["keys", "list", "--server", &server]);
        weir.env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN);
        let asked = tokio::task::spawn_blocking(move || weir.output().unwrap());
        String::from_utf8_lossy(&asked.await.unwrap().stderr).into_owned()
    };
    let strange = ask().await;
    assert!(strange.contains("UnknownIssuer"), "{strange}");
    fs::write(&roots, ours.pem()).unwrap();
    let known = ask().await;
    assert!(known.contains("418"), "{known}");
}

fn acceptor(cert: &str, key: &str) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes());
    let chain = chain.map(|certificate| certificate.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}
