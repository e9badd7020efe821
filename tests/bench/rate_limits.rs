//! The rate limit service by itself: decisions a second and how long one takes,
//! beside a service that decides nothing, and beside limitador, another public
//! rate limiter, where this is built with the feature `limitador`.
//!
//! All speak gRPC over a Unix socket through the same transport, are asked the
//! same by the same client, and take turns.

use crate::floor;
use crate::process::{Process, free_address};
use crate::site::{self, PEPPER};
use anyhow::{Context, ensure};
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

const DOMAIN: &str = "edge";
const USERS: usize = 1_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
/// Requests on their way together, over so many connections.
const TOGETHER: usize = 64;
const CONNECTIONS: usize = 4;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// Answers that all is well.
    Floor,
    Memory,
    Redis,
    #[cfg(feature = "limitador")]
    Limitador,
}

/// A running service, and what was measured of it in each round.
struct Measured {
    service: Service,
    process: Process,
    _redis: Option<Process>,
    channels: Vec<Channel>,
    rounds: Vec<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Processor time of the service.
    cpu_us: f64,
}

/// Measures all services in turns.
pub async fn run(weir: PathBuf) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("weir-bench").tempdir()?;
    let services = [
        Service::Floor,
        Service::Memory,
        Service::Redis,
        #[cfg(feature = "limitador")]
        Service::Limitador,
    ];
    let mut all = Vec::new();
    for service in services {
        all.push(Measured::start(service, &weir, folder.path()).await?);
    }
    for round in 0..=ROUNDS {
        for measured in &mut all {
            let took = measured.round().await?;
            // The first only warms up.
            if round > 0 {
                measured.rounds.push(took);
            }
        }
    }
    print(&all);
    Ok(())
}

/// Serves one of those that are no programs of their own until killed.
pub fn serve(service: Service, socket: &Path) -> anyhow::Result<()> {
    match service {
        Service::Floor => floor::serve(
            socket,
            None,
            Routes::new(RateLimitServiceServer::new(Allowing)),
        ),
        #[cfg(feature = "limitador")]
        Service::Limitador => {
            let service = RateLimitServiceServer::new(limitador::service()?);
            floor::serve(socket, None, Routes::new(service))
        }
        Service::Memory | Service::Redis => anyhow::bail!("weir is a program of its own"),
    }
}

fn print(all: &[Measured]) {
    println!(
        "rate limit service, {TOGETHER} requests at a time on {CONNECTIONS} connections, medians of {ROUNDS} rounds"
    );
    println!("| service | decisions/s | of the floor | p50 us | p99 us | its CPU us a decision |");
    println!("|---|---|---|---|---|---|");
    let floor = &all[0].rounds;
    for measured in all {
        let rounds = &measured.rounds;
        let of = |value: fn(&Round) -> f64| super::counters::median(rounds.iter().map(value));
        let ratios = rounds.iter().zip(floor);
        let ratios = ratios.map(|(round, floor)| round.per_second / floor.per_second);
        println!(
            "| {:?} | {:.0} | {:.2} | {:.0} | {:.0} | {:.1} |",
            measured.service,
            of(|round| round.per_second),
            super::counters::median(ratios),
            of(|round| round.p50_us),
            of(|round| round.p99_us),
            of(|round| round.cpu_us),
        );
    }
}

impl Measured {
    async fn start(service: Service, weir: &Path, folder: &Path) -> anyhow::Result<Self> {
        let name = format!("{service:?}").to_lowercase();
        let folder = folder.join(&name);
        fs::create_dir(&folder)?;
        let socket = folder.join("s");
        let mut redis = None;
        let mut command = match service {
            Service::Memory => weir_command(weir, &folder, &socket, "{ memory: {} }")?,
            Service::Redis => {
                let address = free_address()?;
                redis = Some(redis_server(&folder, address).await?);
                let counters = format!(r#"{{ redis: {{ url: "redis://{address}" }} }}"#);
                weir_command(weir, &folder, &socket, &counters)?
            }
            _ => {
                let mut command = site::part("rate-limit-service")?;
                command.arg(&name).arg(&socket);
                command
            }
        };
        let mut process = Process::start(&name, &folder, &mut command)?;
        process.listens_on(&socket).await?;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(&socket).await?);
        }
        Ok(Self {
            service,
            process,
            _redis: redis,
            channels,
            rounds: Vec::new(),
        })
    }

    /// Asks for as long as a round lasts; whoever is answered asks again.
    async fn round(&self) -> anyhow::Result<Round> {
        let cpu_before = self.process.cpu_us()?;
        let begun = Instant::now();
        let lanes: FuturesUnordered<_> = (0..TOGETHER)
            .map(|lane| {
                let channel = self.channels[lane % CONNECTIONS].clone();
                ask(RateLimitServiceClient::new(channel), lane, begun)
            })
            .collect();
        let lanes: Vec<anyhow::Result<Vec<u32>>> = lanes.collect().await;
        let took = begun.elapsed();
        let cpu = self.process.cpu_us()? - cpu_before;
        let mut waits = Vec::new();
        for lane in lanes {
            waits.extend(lane?);
        }
        waits.sort_unstable();
        ensure!(!waits.is_empty(), "{:?} answered nothing", self.service);
        let decisions = waits.len() as f64;
        let at = |share: f64| f64::from(waits[((decisions - 1.0) * share) as usize]);
        Ok(Round {
            per_second: decisions / took.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            cpu_us: cpu as f64 / decisions,
        })
    }
}

/// One request after the other; how long each took, in microseconds.
async fn ask(
    mut client: RateLimitServiceClient<Channel>,
    lane: usize,
    begun: Instant,
) -> anyhow::Result<Vec<u32>> {
    let mut waits = Vec::new();
    let mut user = lane;
    while begun.elapsed() < ROUND {
        user = (user + TOGETHER) % USERS;
        let request = RateLimitRequest {
            domain: DOMAIN.to_owned(),
            descriptors: vec![RateLimitDescriptor {
                entries: vec![Entry {
                    key: "user".to_owned(),
                    value: format!("user-{user}"),
                }],
                ..RateLimitDescriptor::default()
            }],
            hits_addend: 1,
        };
        let asked = Instant::now();
        let answer = client.should_rate_limit(request).await?.into_inner();
        waits.push(u32::try_from(asked.elapsed().as_micros())?);
        ensure!(answer.overall_code() == Code::Ok, "refused: {answer:?}");
    }
    Ok(waits)
}

async fn connect(socket: &Path) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
    endpoint.connect().await.context("no connection")
}

fn weir_command(
    weir: &Path,
    folder: &Path,
    socket: &Path,
    counters: &str,
) -> anyhow::Result<Command> {
    let config = format!(
        r#"listen: {{ grpc: "unix:{socket}", admin: "{admin}" }}
counters: {counters}
identity:
  pepper: {{ env: WEIR_PEPPER }}
  keys: [ {{ id: bench, hash: {hash}, tenant: bench, user: bench }} ]
models: {{ gpt-4o: {{ max_output_tokens: 16384 }} }}
plans: {{ bench: {{ limits: [ {{ per: tenant, unit: requests, amount: 1, every: 1m }} ] }} }}
tenants: {{ bench: {{ plan: bench }} }}
rate_limit_service:
  domains:
    {DOMAIN}:
      rules:
        - match: [ {{ key: user }} ]
          limits: [ {{ unit: requests, amount: 1G, every: 1m, algorithm: fixed_window }} ]
"#,
        socket = socket.display(),
        admin = free_address()?,
        hash = site::key_hash()?,
    );
    let file = folder.join("weir.yaml");
    fs::write(&file, config)?;
    let mut command = Command::new(weir);
    command.args(["serve", "--config"]).arg(&file);
    command.env("WEIR_PEPPER", PEPPER);
    Ok(command)
}

async fn redis_server(folder: &Path, address: std::net::SocketAddr) -> anyhow::Result<Process> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command
        .args(["--port", &address.port().to_string()])
        .arg("--dir")
        .arg(folder);
    let mut redis = Process::start("redis", folder, &mut command)?;
    redis.listens_at(address).await?;
    Ok(redis)
}

/// Lets everything through.
struct Allowing;

#[tonic::async_trait]
impl RateLimitService for Allowing {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        Ok(Response::new(all_well(&request.into_inner(), Code::Ok)))
    }
}

fn all_well(request: &RateLimitRequest, code: Code) -> RateLimitResponse {
    let status = || DescriptorStatus {
        code: code.into(),
        ..DescriptorStatus::default()
    };
    RateLimitResponse {
        overall_code: code.into(),
        statuses: request.descriptors.iter().map(|_| status()).collect(),
        ..RateLimitResponse::default()
    }
}

/// limitador's limiter in memory, behind the service that its own server has.
#[cfg(feature = "limitador")]
mod limitador {
    use super::{DOMAIN, USERS, all_well};
    use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
    use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
    use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
    use limitador::RateLimiter;
    use limitador::limit::{Context, Limit};
    use std::collections::HashMap;
    use tonic::{Request, Response, Status};

    pub struct Limitador(RateLimiter);

    pub fn service() -> anyhow::Result<Limitador> {
        let limiter = RateLimiter::new(10 * USERS as u64);
        let by = "descriptors[0].user".try_into();
        let by = by.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        limiter.add_limit(Limit::new(DOMAIN, 1_000_000_000, 60, vec![], vec![by]));
        Ok(Limitador(limiter))
    }

    #[tonic::async_trait]
    impl RateLimitService for Limitador {
        async fn should_rate_limit(
            &self,
            request: Request<RateLimitRequest>,
        ) -> Result<Response<RateLimitResponse>, Status> {
            let request = request.into_inner();
            let descriptors = request.descriptors.iter().map(|descriptor| {
                let entries = descriptor.entries.iter();
                let entries = entries.map(|entry| (entry.key.clone(), entry.value.clone()));
                entries.collect::<HashMap<String, String>>()
            });
            let mut context = Context::default();
            context.list_binding("descriptors".to_owned(), descriptors.collect());
            let hits = u64::from(request.hits_addend.max(1));
            let domain = request.domain.clone().into();
            let checked = self
                .0
                .check_rate_limited_and_update(&domain, &context, hits);
            let checked = checked.map_err(|error| Status::unavailable(error.to_string()))?;
            let code = if checked.limited {
                Code::OverLimit
            } else {
                Code::Ok
            };
            Ok(Response::new(all_well(&request, code)))
        }
    }
}
