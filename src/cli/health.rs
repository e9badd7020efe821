//! `weir health`: whether a running weir wants new calls, or runs at all, by its gRPC
//! health: for container health checks and probes that run a command.

use super::limits::reach::{Io, Reach, Trust};
use crate::config::keys::span;
use crate::config::{self, Address, Outside, Process};
use crate::units::Millis;
use anyhow::{Context, anyhow, bail};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The longest that is waited for an answer.
const TIMEOUT_MAX: Millis = Millis(3_600_000);

/// Not serving, though it answers.
const NOT_SERVING: u8 = 1;
/// Nobody answers, or what was asked can't be.
const UNKNOWN: u8 = 2;

/// Ask a running weir whether new calls should be sent to it. Exit code 0 while they
/// should, 1 while not, 2 where nobody says.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Where weir listens: HOST:PORT or unix:PATH. TLS is spoken where --ca is there.
    #[arg(
        long,
        value_name = "ADDRESS",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    server: Option<String>,
    /// The configuration that weir serves with: its listen.health is asked, else the
    /// first of listen.grpc.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What of it: without, whether it wants new calls; live: whether it runs.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    service: String,
    /// How long its answer may take, as 500ms or 3s.
    #[arg(long, value_name = "SPAN", default_value = "3s", value_parser = timeout)]
    timeout: Millis,
    #[command(flatten)]
    trust: Trust,
}

fn timeout(text: &str) -> Result<Millis, String> {
    let span = span(text).filter(|span| (Millis(1)..=TIMEOUT_MAX).contains(span));
    span.ok_or_else(|| "must be a span of time from 1ms to 1h, as 3s".to_owned())
}

/// Exit code 0 if it is serving, 1 if not, 2 if it isn't known.
pub fn run(args: &HealthArgs) -> ExitCode {
    match asked(args, &Process) {
        Ok(true) => {
            println!("serving");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("not serving");
            ExitCode::from(NOT_SERVING)
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(UNKNOWN)
        }
    }
}

fn asked(args: &HealthArgs, outside: &dyn Outside) -> anyhow::Result<bool> {
    let reach = match (&args.server, &args.config) {
        (Some(server), _) => named(server, &args.trust, outside)?,
        (None, Some(config)) => configured(config, &args.trust, outside)?,
        (None, None) => bail!("which weir? Name it with --server or --config"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let place = reach.to_string();
    let timeout: Duration = args.timeout.into();
    let answered = runtime.block_on(async {
        let answer = answer(reach, args.service.clone());
        tokio::time::timeout(timeout, answer).await
    });
    match answered {
        Err(_) => bail!("{place} doesn't answer within {timeout:?}"),
        Ok(Ok(ServingStatus::Serving)) => Ok(true),
        Ok(Ok(_)) => Ok(false),
        Ok(Err(status)) => match status.code() {
            Code::NotFound => bail!("{place} knows no service {:?}", args.service),
            Code::Unimplemented => bail!("{place} has no gRPC health"),
            _ => bail!("{place} can't be asked: {}", told(&status)),
        },
    }
}

/// `unix:PATH` or `HOST:PORT`.
fn named(server: &str, trust: &Trust, outside: &dyn Outside) -> anyhow::Result<Reach> {
    if let Some(path) = server.strip_prefix("unix:") {
        // `unix:///path` is the same in gRPC's notation.
        let path = path.strip_prefix("//").unwrap_or(path);
        if trust.ca.is_some() {
            bail!("--ca: a Unix socket has no TLS");
        }
        return Ok(Reach::unix(Path::new(path)));
    }
    let parts = server.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let written = !host.is_empty() && !host.contains(['/', '@', '[', ']']);
        let whole = bracketed.is_some() == host.contains(':');
        (written && whole).then_some((host, port))
    });
    let (host, port) = parts
        .ok_or_else(|| anyhow!("--server: must be HOST:PORT or unix:PATH (got {server:?})"))?;
    Reach::tcp(host, port, trust, b"h2", outside)
}

fn configured(path: &Path, trust: &Trust, outside: &dyn Outside) -> anyhow::Result<Reach> {
    let config = config::load_file(path, outside).map_err(|problems| anyhow!("{problems}"))?;
    let listen = &config.listen;
    let (address, at) = match (&listen.health, listen.grpc.first()) {
        (Some(health), _) => (health, "listen.health"),
        (None, Some(grpc)) => (grpc, "listen.grpc"),
        (None, None) => bail!("{}: listen.grpc: has no address", path.display()),
    };
    if matches!(address, Address::Tcp(socket) if socket.address.port() == 0) {
        bail!("{at} takes any free port: say which it is with --server");
    }
    Reach::listened(address, at, trust, b"h2", outside).with_context(|| path.display().to_string())
}

async fn answer(reach: Reach, service: String) -> Result<ServingStatus, Status> {
    // What is connected to is the connector's; this is what requests say.
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector_lazy(Connector(Arc::new(reach)));
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest { service })
        .await?;
    Ok(answer.into_inner().status())
}

/// The last reason is the one that helps.
fn told(status: &Status) -> String {
    let mut words = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        words = error.to_string();
        source = error.source();
    }
    words
}

/// Opens the connection for the channel.
struct Connector(Arc<Reach>);

impl tonic::codegen::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = anyhow::Error;
    type Future = Pin<Box<dyn Future<Output = anyhow::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<anyhow::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let reach = Arc::clone(&self.0);
        Box::pin(async move { reach.connect().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port_or_a_socket() {
        for (server, expected) in [
            ("127.0.0.1:50051", Some("127.0.0.1:50051")),
            ("weir.internal:50052", Some("weir.internal:50052")),
            ("[::1]:50051", Some("[::1]:50051")),
            ("unix:/run/weir.sock", Some("unix:/run/weir.sock")),
            ("unix:///run/weir.sock", Some("unix:/run/weir.sock")),
            ("127.0.0.1", None),
            ("127.0.0.1:0", None),
            ("127.0.0.1:99999", None),
            ("::1:50051", None),
            ("[127.0.0.1]:50051", None),
            (":50051", None),
            ("http://127.0.0.1:50051", None),
        ] {
            let reach = named(server, &Trust::default(), &Process);
            let reach = reach.map(|reach| reach.to_string());
            assert_eq!(reach.ok().as_deref(), expected, "{server}");
        }
    }

    #[test]
    fn an_answer_is_waited_for_within_bounds() {
        assert_eq!(timeout("3s"), Ok(Millis(3_000)));
        for wrong in ["0s", "2h", "3", "soon"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
