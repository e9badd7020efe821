//! The spool by itself: calls a second that are noted, let through and ended,
//! beside the same bytes written and synced bare; what a call waits for its
//! note; and what the spool keeps in memory.

use crate::counters::{median, resident_mib};
use anyhow::{Context, ensure};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::exchange::UsageEvent;
use weir::exchange::event::{Known, Outcome, SCHEMA};
use weir::ledger::row::ChainId;
use weir::ledger::spool::{Durability, Opened, SEGMENT_BYTES, Spool, SpoolConfig};
use weir::ledger::wire;
use weir::limits::HoldId;
use weir::protocol::Endpoint;
use weir::units::UnixMillis;

const ROUNDS: usize = 5;
/// Calls that wait at the same time.
const TOGETHER: usize = 512;
const CALLS: usize = 60_000;
/// One after the other, for what a call waits.
const ALONE: usize = 400;

/// What a hold's context is: some names and numbers.
const CONTEXT: &[u8] = &[b'x'; 420];

pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ratios = Vec::new();
        for durability in [Durability::Strict, Durability::Relaxed] {
            let mut rates = Vec::new();
            for _ in 0..ROUNDS {
                let rate = calls(durability).await?;
                rates.push(rate);
                if durability == Durability::Strict {
                    ratios.push(rate / bare()?);
                }
            }
            let rate = median(rates.into_iter());
            println!("spool, {durability:?}, {TOGETHER} at once: {rate:.0} calls/s (an intent and a row each)");
        }
        let ratio = median(ratios.into_iter());
        println!("spool, Strict: {ratio:.2} of the same bytes written and synced bare, as often");
        for together in [1, 64] {
            let strict = waits(Durability::Strict, together).await?;
            let relaxed = waits(Durability::Relaxed, together).await?;
            println!(
                "spool, {together} at once, an intent waits: strict p50 {:?} p99 {:?}, relaxed p50 {:?} p99 {:?}",
                strict.0, strict.1, relaxed.0, relaxed.1
            );
        }
        println!("spool, one sync of a few hundred bytes, bare: p50 {:?}", bare_sync()?);
        let before = resident_mib()?;
        calls(Durability::Strict).await?;
        println!("spool, memory after {CALLS} calls more: {:+.1} MiB", resident_mib()? - before);
        Ok(())
    })
}

fn open(folder: &Path, durability: Durability) -> anyhow::Result<Spool> {
    let config = SpoolConfig {
        path: folder.to_owned(),
        durability,
        bytes_max: 1 << 40,
        segment_bytes: SEGMENT_BYTES,
        sinks: Vec::new(),
    };
    let Opened { spool, .. } = Spool::open(&config, ChainId::nil(), Box::new(|_| {}))?;
    Ok(spool)
}

/// On the disk that the project is on, not in memory.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    std::fs::create_dir_all("target/bench")?;
    let mut folder = tempfile::Builder::new();
    folder
        .prefix("spool")
        .tempdir_in("target/bench")
        .context("target/bench")
}

async fn calls(durability: Durability) -> anyhow::Result<f64> {
    let folder = folder()?;
    let spool = Arc::new(open(folder.path(), durability)?);
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TOGETHER {
        let spool = Arc::clone(&spool);
        tasks.spawn(async move {
            for call in (task..CALLS).step_by(TOGETHER) {
                let event = event(call);
                spool.intent(event.id, CONTEXT).await?;
                spool.outcome(&event).await?;
            }
            Ok::<_, weir::ledger::spool::SpoolError>(())
        });
    }
    for ended in tasks.join_all().await {
        ended?;
    }
    spool.flush().await?;
    Ok(CALLS as f64 / begun.elapsed().as_secs_f64())
}

/// The median and the 99th of a hundred.
async fn waits(durability: Durability, together: usize) -> anyhow::Result<(Duration, Duration)> {
    let folder = folder()?;
    let spool = Arc::new(open(folder.path(), durability)?);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..together {
        let spool = Arc::clone(&spool);
        tasks.spawn(async move {
            let mut waited = Vec::new();
            for call in 0..ALONE {
                let begun = Instant::now();
                spool.intent(event(task * ALONE + call).id, CONTEXT).await?;
                waited.push(begun.elapsed());
            }
            Ok::<_, weir::ledger::spool::SpoolError>(waited)
        });
    }
    let mut waited = Vec::new();
    for ended in tasks.join_all().await {
        waited.extend(ended?);
    }
    waited.sort_unstable();
    ensure!(waited.len() == together * ALONE, "each is answered");
    Ok((waited[waited.len() / 2], waited[waited.len() * 99 / 100]))
}

/// The same bytes in batches of as many calls as wait at once, each written and
/// synced.
fn bare() -> anyhow::Result<f64> {
    let folder = folder()?;
    let mut file = File::create(folder.path().join("bare"))?;
    let row = wire::encode_event(&event(7)).len() + 100;
    let batch = vec![7; TOGETHER * (row + CONTEXT.len())];
    let begun = Instant::now();
    for _ in 0..CALLS / TOGETHER {
        file.write_all(&batch)?;
        file.sync_data()?;
    }
    Ok(CALLS as f64 / begun.elapsed().as_secs_f64())
}

fn bare_sync() -> anyhow::Result<Duration> {
    let folder = folder()?;
    let mut file = File::create(folder.path().join("bare"))?;
    let mut took = Vec::new();
    for _ in 0..ALONE {
        let begun = Instant::now();
        file.write_all(CONTEXT)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

fn event(n: usize) -> UsageEvent {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&(n as u64).to_be_bytes());
    let json = serde_json::json!({
        "schema": SCHEMA, "id": HoldId::new(UnixMillis(1_800_000_000_000), &random).to_string(),
        "outcome": Outcome::Exact, "known": Known::Provider,
        "started_at_ms": 1_800_000_000_000u64, "first_token_at_ms": 1_800_000_000_250u64,
        "ended_at_ms": 1_800_000_002_000u64, "tenant": "acme", "user": "ann", "key_id": "key-1",
        "plan": "team", "endpoint": Endpoint::ChatCompletions, "dialect": "openai",
        "provider": "openai", "model": "gpt-4o", "model_served": "gpt-4o-2024-08-06",
        "stream": true, "status": 200, "finish_reason": "stop", "input_tokens": 1_000,
        "cached_input_tokens": 400, "output_tokens": 70, "reserved_tokens": 2_024,
        "cost_nanos": 123_456, "request_bytes": 5_120,
    });
    serde_json::from_value(json).expect("an event")
}
