//! One variant, running: an Envoy of its own, the sidecar behind it, and what
//! that needs; started once, loaded in turns.

use crate::envoy::{self, Surroundings};
use crate::http;
use crate::load::Target;
use crate::process::{Process, free_address};
use anyhow::{Context, bail};
use hmac::{Hmac, Mac};
use memchr::memchr_iter;
use sha2::Sha256;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

const KEY: &str = "weir-bench-key-0123456789abcdefghijklmnopqrstuv";
pub const PEPPER: &str = "bench-pepper-0123456789abcdefghijklmnopqrstuvwxyz";

/// How long the last usage events may take to reach the file.
const USAGE_MAX: Duration = Duration::from_secs(15);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// Envoy without a filter.
    Direct,
    /// The no-op ext_proc server: what everything else is divided by.
    Floor,
    /// The same once more: how much of a ratio is noise.
    FloorAgain,
    /// The no-op server behind the split profile's two filters.
    FloorSplit,
    /// A no-op ext_authz server, and no ext_proc.
    FloorAuthz,
    /// weir, counters in memory.
    Memory,
    /// weir, counters in Redis.
    Redis,
    /// weir, counters in memory, behind the split profile's two filters.
    Split,
    /// weir's ext_authz alone, which judges and counts nothing.
    Authz,
    /// weir's ext_authz alone, which counts requests in memory.
    AuthzCounted,
}

impl Variant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "no filter",
            Self::Floor => "floor",
            Self::FloorAgain => "floor again",
            Self::FloorSplit => "floor split",
            Self::FloorAuthz => "floor authz",
            Self::Authz => "authz",
            Self::AuthzCounted => "authz counted",
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Split => "split",
        }
    }

    fn bootstrap(self) -> &'static str {
        match self {
            Self::Split | Self::FloorSplit => "split.yaml",
            Self::FloorAuthz | Self::Authz | Self::AuthzCounted => "authz-alone.yaml",
            _ => "unix.yaml",
        }
    }

    /// What it is divided by.
    pub fn floor(self) -> Self {
        match self {
            Self::FloorAuthz | Self::Authz | Self::AuthzCounted => Self::FloorAuthz,
            _ => Self::Floor,
        }
    }

    /// Whether each call has an event.
    fn meters(self) -> bool {
        self.is_weir() && self != Self::Authz
    }

    fn is_weir(self) -> bool {
        matches!(
            self,
            Self::Memory | Self::Redis | Self::Split | Self::Authz | Self::AuthzCounted
        )
    }
}

/// What every variant shares.
pub struct Ground {
    /// Where the shipped bootstraps are.
    pub envoys: PathBuf,
    /// weir's program.
    pub weir: PathBuf,
    /// Worker threads of either sidecar; `None`: its runtime's own choice.
    pub workers: Option<usize>,
    pub upstream: std::net::SocketAddr,
    pub folder: PathBuf,
}

/// A variant that answers calls.
pub struct Site {
    pub variant: Variant,
    pub plain: Target,
    pub streamed: Target,
    envoy: Process,
    sidecar: Option<Process>,
    store: Option<Process>,
    usage_log: Option<PathBuf>,
    /// Calls made so far; every one of them was answered with 200.
    pub calls: u64,
}

/// Processor time used so far, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    pub envoy_us: u64,
    pub sidecar_us: u64,
    pub store_us: u64,
}

impl Site {
    pub async fn start(variant: Variant, ground: &Ground) -> anyhow::Result<Self> {
        let name = format!("{variant:?}").to_lowercase();
        let folder = ground.folder.join(name);
        fs::create_dir(&folder)?;
        let socket = folder.join("sidecar.sock");
        let store = match variant {
            Variant::Redis => Some(start_redis(&folder).await?),
            _ => None,
        };
        let sidecar = match variant {
            Variant::Direct => None,
            _ if variant.is_weir() => Some(start_weir(ground, &folder, &socket, variant).await?),
            _ => Some(start_floor(ground, &folder, &socket).await?),
        };
        let around = Surroundings {
            bootstrap: &ground.envoys.join(variant.bootstrap()),
            upstream: ground.upstream,
            sidecar: sidecar.is_some().then_some(&socket),
        };
        let (envoy, address) = envoy::start(&around, &folder).await?;
        let target = |body: &str| Target {
            address,
            request: call(body),
        };
        Ok(Self {
            variant,
            plain: target(PLAIN),
            streamed: target(STREAMED),
            envoy,
            sidecar,
            store,
            usage_log: variant.meters().then(|| folder.join("usage.jsonl")),
            calls: 0,
        })
    }

    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        let of = |process: &Option<Process>| process.as_ref().map_or(Ok(0), Process::cpu_us);
        Ok(Cpu {
            envoy_us: self.envoy.cpu_us()?,
            sidecar_us: of(&self.sidecar)?,
            store_us: of(&self.store)?,
        })
    }

    /// The sidecar's memory; 0 where there is none.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        self.sidecar.as_ref().map_or(Ok(0), Process::resident_kib)
    }

    /// Waits until the usage log has as many events as calls were made, and
    /// fails when it never does. `None`: this variant keeps none.
    pub async fn usage_events(&self) -> anyhow::Result<Option<u64>> {
        let Some(path) = &self.usage_log else {
            return Ok(None);
        };
        let start = Instant::now();
        loop {
            let events = lines(path)?;
            if events == self.calls {
                return Ok(Some(events));
            }
            if start.elapsed() > USAGE_MAX {
                let name = self.variant.name();
                bail!("{name}: {} calls but {events} usage events", self.calls);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn lines(path: &Path) -> anyhow::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut count = 0;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(count);
        }
        count += u64::try_from(memchr_iter(b'\n', bytes).count())?;
        let taken = bytes.len();
        reader.consume(taken);
    }
}

const PLAIN: &str = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"You answer in one sentence."},{"role":"user","content":"What is a weir, and how does it differ from a dam? Say it so that a child of eight understands it, and leave numbers out."}],"temperature":0.2,"max_tokens":256}"#;

const STREAMED: &str = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"You answer in one sentence."},{"role":"user","content":"What is a weir, and how does it differ from a dam? Say it so that a child of eight understands it, and leave numbers out."}],"temperature":0.2,"max_tokens":256,"stream":true}"#;

fn call(body: &str) -> Rc<[u8]> {
    let authorization = format!("Bearer {KEY}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("user-agent", "weir-bench"),
    ];
    http::request("POST", "/v1/chat/completions", &headers, body).into()
}

/// One of the bench's own parts: this very program, told to be another.
pub fn part(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name);
    Ok(command)
}

async fn start_floor(ground: &Ground, folder: &Path, socket: &Path) -> anyhow::Result<Process> {
    let mut command = part("floor")?;
    command.arg(socket);
    if let Some(workers) = ground.workers {
        command.arg("--workers").arg(workers.to_string());
    }
    let mut floor = Process::start("floor", folder, &mut command)?;
    floor.listens_on(socket).await?;
    Ok(floor)
}

async fn start_redis(folder: &Path) -> anyhow::Result<Process> {
    let socket = folder.join("redis.sock");
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
        ])
        .arg(&socket)
        .arg("--dir")
        .arg(folder);
    let mut redis = Process::start("redis", folder, &mut command)?;
    redis.listens_on(&socket).await?;
    Ok(redis)
}

async fn start_weir(
    ground: &Ground,
    folder: &Path,
    socket: &Path,
    variant: Variant,
) -> anyhow::Result<Process> {
    let counters = if variant == Variant::Redis {
        format!(
            "{{ redis: {{ url: \"redis+unix://{}/redis.sock\" }} }}",
            folder.display()
        )
    } else {
        "{ memory: {} }".to_owned()
    };
    let mut server = Vec::new();
    server.extend(ground.workers.map(|workers| format!("workers: {workers}")));
    if variant == Variant::AuthzCounted {
        server.push("ext_authz_limits: requests".to_owned());
    }
    let server = server.join(", ");
    let config = format!(
        r#"server: {{ {server} }}
listen: {{ grpc: "unix:{socket}", admin: "{admin}" }}
counters: {counters}
ledger: {{ path: "{folder}/ledger", durability: relaxed, file: {{ path: "{folder}/usage.jsonl", sync: false }} }}
identity:
  pepper: {{ env: WEIR_PEPPER }}
  keys: [ {{ id: bench, hash: {hash}, tenant: bench, user: bench }} ]
models: {{ gpt-4o: {{ max_output_tokens: 16384 }} }}
plans:
  bench:
    limits:
      - {{ per: tenant, unit: requests, amount: 100M, every: 1m, algorithm: sliding_window }}
      - {{ per: tenant, unit: tokens, amount: 100G, every: 1m, algorithm: token_bucket }}
      - {{ per: tenant, unit: concurrency, amount: 10k }}
      - {{ per: user, unit: requests, amount: 100M, every: 1m, algorithm: sliding_window }}
      - {{ per: user, unit: tokens, amount: 100G, every: 1m, algorithm: token_bucket }}
tenants: {{ bench: {{ plan: bench }} }}
"#,
        socket = socket.display(),
        admin = free_address()?,
        folder = folder.display(),
        hash = key_hash()?,
    );
    let file = folder.join("weir.yaml");
    fs::write(&file, config)?;
    let mut command = Command::new(&ground.weir);
    command
        .args(["serve", "--config"])
        .arg(&file)
        .env("WEIR_PEPPER", PEPPER);
    let mut weir = Process::start("weir", folder, &mut command)?;
    weir.listens_on(socket).await?;
    Ok(weir)
}

pub fn key_hash() -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(PEPPER.as_bytes()).context("the pepper")?;
    mac.update(KEY.as_bytes());
    let hash = mac.finalize().into_bytes();
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}
