//! The order of things: which variant is loaded when, how, and for how long.

use crate::load::{Round, closed_loop, open_loop};
use crate::site::{Cpu, Site, Variant};
use crate::table::median;
use crate::upstream::STREAM_PIECES;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::Duration;

/// How long and how often.
pub struct Plan {
    pub rounds: u32,
    /// Nothing but [`Phase::Many`].
    pub throughput_only: bool,
    warm_up: Duration,
    many: Duration,
    one: Duration,
    open: Duration,
    streams: Duration,
}

impl Plan {
    pub const FULL: Self = Self {
        rounds: 5,
        throughput_only: false,
        warm_up: Duration::from_secs(2),
        many: Duration::from_secs(3),
        one: Duration::from_secs(2),
        open: Duration::from_secs(4),
        streams: Duration::from_secs(3),
    };

    pub const SHORT: Self = Self {
        rounds: 3,
        throughput_only: false,
        warm_up: Duration::from_millis(500),
        many: Duration::from_secs(1),
        one: Duration::from_millis(500),
        open: Duration::from_secs(1),
        streams: Duration::from_secs(1),
    };
}

/// A way to load a variant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// Closed loop, many connections: throughput.
    Many,
    /// Closed loop, one connection.
    One,
    /// Open loop at this many calls a second: latency.
    Open(f64),
    /// Closed loop of streamed answers, many connections.
    Streams,
}

pub const CONNECTIONS: usize = 32;

/// Between the starts of streams: all of them within about one's length.
const STAGGER: Duration = Duration::from_millis(16);

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Many => "many",
            Self::One => "one",
            Self::Open(_) => "open",
            Self::Streams => "streams",
        }
    }
}

/// One variant's figures of one round.
pub struct Sample {
    pub variant: Variant,
    pub phase: Phase,
    pub round: u32,
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub first_byte_p50_us: f64,
    pub first_byte_p99_us: f64,
    /// Processor time a call.
    pub envoy_us: f64,
    pub sidecar_us: f64,
    pub store_us: f64,
    /// The sidecar's, after the round.
    pub resident_kib: f64,
}

impl Sample {
    /// A line of the results' file.
    pub fn json(&self) -> Value {
        let rate = match self.phase {
            Phase::Open(rate) => Some(rate),
            _ => None,
        };
        json!({
            "variant": self.variant.name(),
            "phase": self.phase.name(),
            "rate_per_s": rate,
            "round": self.round,
            "calls_per_s": self.per_second,
            "latency_p50_us": self.p50_us,
            "latency_p99_us": self.p99_us,
            "first_byte_p50_us": self.first_byte_p50_us,
            "first_byte_p99_us": self.first_byte_p99_us,
            "cpu_envoy_us": self.envoy_us,
            "cpu_sidecar_us": self.sidecar_us,
            "cpu_store_us": self.store_us,
            "sidecar_resident_kib": self.resident_kib,
        })
    }

    /// Processor time for each message of a stream's body, in microseconds.
    pub fn sidecar_us_per_piece(&self) -> f64 {
        self.sidecar_us / f64::from(STREAM_PIECES + 1)
    }

    pub fn envoy_us_per_piece(&self) -> f64 {
        self.envoy_us / f64::from(STREAM_PIECES + 1)
    }
}

/// Loads every site in turns, phase by phase.
pub async fn run(sites: &mut [Site], plan: &Plan) -> anyhow::Result<Vec<Sample>> {
    for site in sites.iter_mut() {
        for phase in [Phase::Many, Phase::Streams] {
            measure(site, phase, 0, plan.warm_up).await?;
        }
    }
    let mut samples = Vec::new();
    turns(sites, plan, Phase::Many, plan.many, &mut samples).await?;
    if plan.throughput_only {
        return Ok(samples);
    }
    let rate = median(
        samples
            .iter()
            .filter(|s| s.variant == Variant::Floor)
            .map(|s| s.per_second),
    )?;
    turns(sites, plan, Phase::One, plan.one, &mut samples).await?;
    let half = (rate / 2.0).max(1.0).round();
    turns(sites, plan, Phase::Open(half), plan.open, &mut samples).await?;
    turns(sites, plan, Phase::Streams, plan.streams, &mut samples).await?;
    Ok(samples)
}

/// Every site once a round; each round begins with another one.
async fn turns(
    sites: &mut [Site],
    plan: &Plan,
    phase: Phase,
    time: Duration,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    for round in 1..=plan.rounds {
        eprintln!("{}: round {round} of {}", phase.name(), plan.rounds);
        for site in sites.iter_mut() {
            samples.push(measure(site, phase, round, time).await?);
        }
        sites.rotate_left(1);
    }
    Ok(())
}

async fn measure(
    site: &mut Site,
    phase: Phase,
    number: u32,
    time: Duration,
) -> anyhow::Result<Sample> {
    let before = site.cpu()?;
    let round = load(site, phase, time).await;
    let round = round.with_context(|| format!("{}, {}", site.variant.name(), phase.name()))?;
    if let Some(status) = round.refused_status {
        bail!(
            "{}, {}: {} of {} calls were refused, the last with {status}",
            site.variant.name(),
            phase.name(),
            round.refused,
            round.calls
        );
    }
    site.calls += round.calls;
    let resident_kib = site.resident_kib()?;
    Ok(sample(
        site.variant,
        phase,
        number,
        &round,
        before,
        site.cpu()?,
        resident_kib,
    ))
}

async fn load(site: &Site, phase: Phase, time: Duration) -> anyhow::Result<Round> {
    match phase {
        Phase::Many => closed_loop(&site.plain, CONNECTIONS, Duration::ZERO, time).await,
        Phase::One => closed_loop(&site.plain, 1, Duration::ZERO, time).await,
        Phase::Open(rate) => open_loop(&site.plain, rate, time).await,
        Phase::Streams => closed_loop(&site.streamed, CONNECTIONS, STAGGER, time).await,
    }
}

fn sample(
    variant: Variant,
    phase: Phase,
    number: u32,
    round: &Round,
    before: Cpu,
    after: Cpu,
    resident_kib: u64,
) -> Sample {
    let calls = float(round.calls);
    let a_call = |before: u64, after: u64| float(after.saturating_sub(before)) / calls;
    Sample {
        variant,
        phase,
        round: number,
        per_second: round.per_second(),
        p50_us: float(round.latency_us.value_at_quantile(0.5)),
        p99_us: float(round.latency_us.value_at_quantile(0.99)),
        first_byte_p50_us: float(round.first_byte_us.value_at_quantile(0.5)),
        first_byte_p99_us: float(round.first_byte_us.value_at_quantile(0.99)),
        envoy_us: a_call(before.envoy_us, after.envoy_us),
        sidecar_us: a_call(before.sidecar_us, after.sidecar_us),
        store_us: a_call(before.store_us, after.store_us),
        resident_kib: float(resident_kib),
    }
}

/// Exact below 2^32, which every figure of a round is.
fn float(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
