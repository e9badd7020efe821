//! `make bench`: what weir costs, as ratios to the least that any ext_proc
//! server costs, through the real Envoy.
//!
//! Every variant has an Envoy of its own and is loaded alone, in short rounds
//! that take turns, because machines drift: a ratio is taken within a round,
//! and the table shows the median over the rounds. Nothing is printed when a
//! call was refused, or when the usage events don't agree with the calls made:
//! a sidecar that skips its work is fast.
//!
//! The parts that run beside Envoy (`floor`, `upstream`) are this program too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

mod counters;
#[path = "../support/dice.rs"]
#[allow(dead_code, reason = "each user needs a part of it")]
mod dice;
mod envoy;
mod floor;
mod http;
mod keys;
mod ledger;
mod load;
mod policy;
#[path = "../support/postgres.rs"]
mod postgres;
mod process;
mod rate_limits;
mod rounds;
mod site;
mod spool;
mod table;
mod tokens;
mod upstream;
mod wrong_keys;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use process::{Process, free_address};
use rounds::{Plan, Sample};
use site::{Ground, Site, Variant};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// As weir has it, so that all are measured alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures weir against a no-op ext_proc server.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Fewer and shorter rounds: a look, not a measurement.
    #[arg(long)]
    short: bool,
    /// What to compare; their floors are always among them.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "direct,floor,memory,redis,floor-split,split"
    )]
    variants: Vec<Variant>,
    /// Rounds of each phase (by default 5, or 3 when short).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Measure only throughput over many connections.
    #[arg(long)]
    throughput: bool,
    /// Worker threads of the sidecars; by default what they choose themselves.
    #[arg(long)]
    workers: Option<usize>,
    /// Every round's figures go to `target/bench/<name>.json`, a line each.
    #[arg(long, default_value = "bench")]
    name: String,
    /// The folder of Envoy's bootstraps: `unix.yaml`, `split.yaml`, `authz-alone.yaml`.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy"))]
    envoys: PathBuf,
    /// weir's program; by default the one built beside this one.
    #[arg(long)]
    weir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// Serves as the no-op sidecar on a Unix socket.
    Floor {
        socket: PathBuf,
        #[arg(long)]
        workers: Option<usize>,
    },
    /// Measures the counter engines by themselves.
    Counters,
    /// Measures counting tokens by itself.
    Tokens,
    /// Measures the ledger's databases by themselves.
    Ledger {
        /// Rows of the month that reports are measured over.
        #[arg(long, default_value_t = 1_000_000)]
        report_rows: u64,
    },
    /// Measures a million keys by themselves.
    Keys {
        /// Only whether the time of a wrong key tells how much of it is right.
        #[arg(long)]
        wrong: bool,
    },
    /// Measures decisions of policy, and many tenants, by themselves.
    Policy {
        /// How many tenants are read.
        #[arg(long, value_delimiter = ',', default_value = "10,100000,1000000")]
        tenants: Vec<u32>,
    },
    /// Measures the ledger's spool by itself.
    Spool,
    /// Measures the rate limit service by itself.
    RateLimits,
    /// Serves as another rate limit service.
    RateLimitService {
        service: rate_limits::Service,
        socket: PathBuf,
    },
    /// Serves as the provider.
    Upstream { address: SocketAddr },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.part {
        Some(Part::Floor { socket, workers }) => floor::run(&socket, workers),
        Some(Part::Upstream { address }) => upstream::run(address),
        Some(Part::Tokens) => tokens::run(),
        Some(Part::Policy { tenants }) => policy::run(&tenants),
        Some(Part::Spool) => spool::run(),
        Some(Part::RateLimitService { service, socket }) => rate_limits::serve(service, &socket),
        Some(Part::RateLimits) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                let weir = arguments.weir.map_or_else(weir_beside, Ok)?;
                rate_limits::run(weir).await
            }),
        Some(Part::Keys { wrong: true }) => keys::run_wrong(),
        Some(Part::Keys { wrong: false }) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(keys::run()),
        Some(Part::Counters) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(counters::run()),
        Some(Part::Ledger { report_rows }) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ledger::run(report_rows)),
        // One thread: the load shares the machine with what it measures.
        None => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(until_stopped(arguments)),
    }
}

/// Benches; told to stop, stops what it started first.
async fn until_stopped(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        outcome = bench(arguments) => outcome,
        _ = terminate.recv() => bail!("told to stop"),
        _ = interrupt.recv() => bail!("told to stop"),
    }
}

async fn bench(arguments: Arguments) -> anyhow::Result<()> {
    let mut plan = if arguments.short {
        Plan::SHORT
    } else {
        Plan::FULL
    };
    if let Some(rounds) = arguments.rounds {
        plan.rounds = rounds;
    }
    plan.throughput_only = arguments.throughput;
    let mut variants = arguments.variants;
    let mut floors = vec![Variant::Floor];
    floors.extend(variants.iter().map(|variant| variant.floor()));
    for floor in floors {
        if !variants.contains(&floor) {
            variants.insert(0, floor);
        }
    }
    let folder = tempfile::Builder::new().prefix("weir-bench").tempdir()?;
    let address = free_address()?;
    let mut command = site::part("upstream")?;
    let mut upstream = Process::start("upstream", folder.path(), command.arg(address.to_string()))?;
    upstream.listens_at(address).await?;
    let ground = Ground {
        envoys: arguments.envoys,
        weir: arguments.weir.map_or_else(weir_beside, Ok)?,
        workers: arguments.workers,
        upstream: address,
        folder: folder.path().to_owned(),
    };
    let mut sites = Vec::new();
    for variant in variants {
        eprintln!("starting {}", variant.name());
        sites.push(Site::start(variant, &ground).await?);
    }
    let samples = rounds::run(&mut sites, &plan).await?;
    let checked = check(&sites, address).await?;
    let file = write(&arguments.name, &samples)?;
    println!("{}", table::render(&samples, &plan)?);
    println!("{checked}");
    println!("every round: {}", file.display());
    Ok(())
}

/// weir as the same build made it: `target/release/weir` beside
/// `target/release/examples/bench`.
fn weir_beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own
        .ancestors()
        .nth(2)
        .context("this program is in no folder")?;
    Ok(folder.join("weir"))
}

/// Every call was answered by the provider, and, where weir stood in between,
/// metered once.
async fn check(sites: &[Site], upstream: SocketAddr) -> anyhow::Result<String> {
    let mut calls = 0;
    let mut metered = Vec::new();
    for site in sites {
        calls += site.calls;
        if let Some(events) = site.usage_events().await? {
            metered.push(format!("{} {events}", site.variant.name()));
        }
    }
    let request = http::request("GET", upstream::ANSWERED_PATH, &[], "");
    let mut connection = http::Connection::open(upstream).await?;
    let (_, answered) = connection.fetch(&request).await?;
    if answered.trim().parse::<u64>()? != calls {
        bail!("{calls} calls were answered with 200, but the provider answered {answered}");
    }
    let metered = if metered.is_empty() {
        "none".to_owned()
    } else {
        metered.join(", ")
    };
    Ok(format!(
        "calls: {calls}, each answered with 200 by the provider; usage events, one a call: {metered}"
    ))
}

fn write(name: &str, samples: &[Sample]) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder)?;
    let lines: String = samples
        .iter()
        .map(|sample| format!("{}\n", sample.json()))
        .collect();
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, lines).with_context(|| format!("can't write {}", file.display()))?;
    Ok(file)
}
