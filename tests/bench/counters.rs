//! The counter engines by themselves, without Envoy: admissions a second in
//! memory, what a million counters take, and Redis against the same script
//! calls driven bare.

use crate::process::{Process, free_address};
use anyhow::{Context, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use weir::counters::memory::Memory;
use weir::counters::redis::{Redis, RedisConfig};
use weir::limits::period::Period;
use weir::limits::reservation::counter_id;
use weir::limits::{
    Actual, Algorithm, Charge, Decision, HoldId, Limit, Mode, Reservation, Scope, Unit,
};
use weir::units::{Millis, UnixMillis};

const TENANTS: usize = 1_000;
const MEMORY_ADMISSIONS: usize = 400_000;
const LIVE_COUNTERS: usize = 1_000_000;
const REDIS_ADMISSIONS: usize = 20_000;
/// Calls on their way together, bare and through weir alike.
const TOGETHER: usize = 64;
const ROUNDS: usize = 5;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const MINUTE: Millis = Millis(60_000);

pub async fn run() -> anyhow::Result<()> {
    let one = median((0..ROUNDS).map(|_| in_memory(1)));
    let two = median((0..ROUNDS).map(|_| in_memory(2)));
    println!(
        "memory, 6 limits a call: {:.2} M admissions/s on one thread",
        one / 1e6
    );
    println!(
        "memory, two threads: {:.2} M admissions/s, {:.2} of one",
        two / 1e6,
        two / one
    );
    println!(
        "memory, {LIVE_COUNTERS} live counters: {:.0} MiB",
        live_counters()?
    );
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (weir, bare) = in_redis().await?;
        println!("redis: {weir:.0} admissions/s, the same calls bare {bare:.0}");
        ratios.push(weir / bare);
    }
    println!(
        "redis, of the bare script: {:.2}",
        median(ratios.into_iter())
    );
    Ok(())
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Six limits as a plan has them: each algorithm, by tenant and by user.
fn limits() -> Vec<(Arc<Limit>, u64)> {
    let limit = |name: &str, unit, algorithm| {
        Arc::new(Limit {
            name: name.into(),
            scope: Scope::USER,
            unit,
            amount: 1_000_000_000,
            algorithm,
            mode: Mode::Enforce,
        })
    };
    let bucket = || Algorithm::TokenBucket {
        every: MINUTE,
        burst: 1_000_000_000,
    };
    let sliding = || Algorithm::SlidingWindow { every: MINUTE };
    let fixed = Algorithm::FixedWindow {
        period: Arc::new(Period::aligned(MINUTE)),
        rollover: None,
    };
    vec![
        (limit("tenant-requests", Unit::Requests, sliding()), 1),
        (limit("tenant-tokens", Unit::Tokens, bucket()), 700),
        (limit("user-requests", Unit::Requests, sliding()), 1),
        (limit("user-tokens", Unit::Tokens, bucket()), 700),
        (limit("tenant-cost", Unit::Cost, fixed), 5_000),
        (
            limit("tenant-slots", Unit::Concurrency, Algorithm::Concurrency),
            1,
        ),
    ]
}

fn call(tenant: usize, limits: &[(Arc<Limit>, u64)]) -> Reservation {
    let slot = format!("tenant-{tenant}");
    let charges = limits.iter().map(|(limit, amount)| {
        let counter = counter_id(&limit.name, &[&slot, "ada"]);
        Charge::new(Arc::clone(limit), counter, *amount)
    });
    Reservation {
        hold: hold(tenant, 0),
        charges: charges.collect(),
        slot: slot.into(),
        shared: Arc::default(),
        hold_ttl: MINUTE,
        lease_ttl: MINUTE,
        context: "{}".into(),
    }
}

fn hold(tenant: usize, number: usize) -> HoldId {
    // Behind the bits that the id's version and variant take.
    let mut random = [0; 10];
    random[3..7].copy_from_slice(&u32::try_from(tenant).unwrap_or(0).to_be_bytes());
    random[7..].copy_from_slice(&u32::try_from(number).unwrap_or(0).to_be_bytes()[1..]);
    HoldId::new(NOW, &random)
}

/// Admissions a second; settling them is not counted.
fn in_memory(threads: usize) -> f64 {
    let memory = Memory::default();
    let limits = limits();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (memory, limits) = (&memory, &limits);
                scope.spawn(move || admissions(memory, limits, thread))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    })
}

fn admissions(memory: &Memory, limits: &[(Arc<Limit>, u64)], thread: usize) -> f64 {
    let tenants = thread * TENANTS..(thread + 1) * TENANTS;
    let mut calls: Vec<_> = tenants.map(|tenant| call(tenant, limits)).collect();
    let mut took = Duration::ZERO;
    let mut admitted = 0;
    let mut number = 0;
    while admitted < MEMORY_ADMISSIONS {
        number += 1;
        for (tenant, call) in calls.iter_mut().enumerate() {
            call.hold = hold(thread * TENANTS + tenant, number);
        }
        let begun = Instant::now();
        for call in &calls {
            let decision = memory.reserve(call, NOW);
            assert!(
                matches!(decision, Ok(Decision::Admitted(_))),
                "{decision:?}"
            );
        }
        took += begun.elapsed();
        admitted += calls.len();
        for call in &calls {
            memory.settle(&call.slot, call.hold, Actual::VOID, NOW);
        }
    }
    admitted as f64 / took.as_secs_f64()
}

/// What this process grows by, in MiB.
fn live_counters() -> anyhow::Result<f64> {
    let memory = Memory::default();
    let limits = limits();
    let counted = &limits[..5];
    let before = resident_mib()?;
    for tenant in 0..LIVE_COUNTERS / counted.len() {
        let call = call(tenant, counted);
        let decision = memory.reserve(&call, NOW);
        ensure!(
            matches!(decision, Ok(Decision::Admitted(_))),
            "{decision:?}"
        );
        let used = Actual {
            requests: 1,
            input_tokens: 500,
            output_tokens: 100,
            cost_nanos: 4_000,
        };
        memory.settle(&call.slot, call.hold, used, NOW);
    }
    let live = memory.counters();
    ensure!(live == LIVE_COUNTERS, "{live} counters are alive");
    // What is remembered of ended holds is no counter, but counts here.
    Ok(resident_mib()? - before)
}

pub fn resident_mib() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("no VmRSS")?.parse::<f64>()? / 1_024.0)
}

/// Admissions a second through weir's client, and of the very bytes that it
/// sent, written to a plain socket.
async fn in_redis() -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::Builder::new().prefix("weir-bench").tempdir()?;
    let address = free_address()?;
    let mut server = Command::new("redis-server");
    server.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
    server
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path());
    let mut redis = Process::start("redis", folder.path(), &mut server)?;
    redis.listens_at(address).await?;
    let limits = limits();
    let calls: Vec<_> = (0..REDIS_ADMISSIONS)
        .map(|number| {
            let tenant = number % TENANTS;
            let mut call = call(tenant, &limits);
            call.hold = hold(tenant, number);
            call
        })
        .collect();
    // Once over a recorder, to have the bytes.
    let recorder = Recorder::start(address)?;
    let recorded = connect(recorder.address).await?;
    recorder.clear();
    reserve_all(recorded, &calls).await?;
    let bytes = recorder.taken();
    // Then both alike, each on an empty server that has the scripts.
    let weir = connect(address).await?;
    flush(address)?;
    let begun = Instant::now();
    reserve_all(weir, &calls).await?;
    let with_weir = calls.len() as f64 / begun.elapsed().as_secs_f64();
    flush(address)?;
    let begun = Instant::now();
    replay(address, bytes)?;
    let bare = calls.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((with_weir, bare))
}

async fn connect(address: SocketAddr) -> anyhow::Result<Arc<Redis>> {
    let mut config = RedisConfig::new(format!("redis://{address}"));
    config.response_timeout = Millis(10_000);
    Ok(Arc::new(Redis::connect(&config).await?))
}

async fn reserve_all(redis: Arc<Redis>, calls: &[Reservation]) -> anyhow::Result<()> {
    use futures_util::{StreamExt, stream};
    let mut answers = stream::iter(calls)
        .map(|call| {
            let redis = Arc::clone(&redis);
            async move { redis.reserve(call, NOW).await }
        })
        .buffer_unordered(TOGETHER);
    while let Some(answer) = answers.next().await {
        ensure!(matches!(answer?.answer, Decision::Admitted(_)), "a refusal");
    }
    Ok(())
}

fn flush(address: SocketAddr) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(b"FLUSHALL\r\n")?;
    let mut answer = [0; 5];
    socket.read_exact(&mut answer)?;
    ensure!(&answer == b"+OK\r\n", "FLUSHALL was refused");
    Ok(())
}

/// Writes as fast as the server reads, and waits for the last answer.
fn replay(address: SocketAddr, mut bytes: Vec<u8>) -> anyhow::Result<()> {
    const LAST: &[u8] = b"the-last-answer";
    bytes.extend_from_slice(b"*2\r\n$4\r\nECHO\r\n$15\r\n");
    bytes.extend_from_slice(LAST);
    bytes.extend_from_slice(b"\r\n");
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut writer = socket.try_clone()?;
    let writing = thread::spawn(move || writer.write_all(&bytes));
    let (mut buffer, mut tail) = (vec![0; 1 << 16], Vec::new());
    loop {
        let count = socket.read(&mut buffer)?;
        ensure!(count > 0, "the server closed the connection");
        tail.extend_from_slice(&buffer[..count]);
        ensure!(!tail.starts_with(b"-"), "an error came back");
        if tail.windows(LAST.len()).any(|window| window == LAST) {
            break;
        }
        tail.drain(..tail.len().saturating_sub(LAST.len()));
    }
    writing.join().unwrap()?;
    Ok(())
}

/// A link that remembers what was sent.
struct Recorder {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sent);
        thread::spawn(move || -> std::io::Result<()> {
            let (mut client, _) = listener.accept()?;
            let mut server = TcpStream::connect(server)?;
            server.set_nodelay(true)?;
            client.set_nodelay(true)?;
            let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = client.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
                server.write_all(&buffer[..count])?;
            }
        });
        Ok(Self { address, sent })
    }

    fn clear(&self) {
        self.sent.lock().unwrap().clear();
    }

    fn taken(&self) -> Vec<u8> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}
