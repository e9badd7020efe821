//! The gRPC side: Envoy's services, health and reflection, on each address.

use super::listen;
use crate::config::Address;
use crate::driver::Driver;
use crate::envoy::descriptors::ENVOY_SERVICES;
use crate::envoy::ext_authz::ExtAuthz;
use crate::envoy::ext_proc::ExtProc;
use crate::envoy::rate_limit::RateLimits;
use crate::http_authz::HttpAuthz;
use crate::telemetry::readiness::Readiness;
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::{Connected, Router};
use tonic_health::server::HealthReporter;

/// HTTP/2 windows: a stream's holds a long prompt without waiting for the
/// receiver, a connection's holds many of them (Envoy keeps few connections).
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// A peer that went away without a word is noticed within these two together.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers, one for each address.
pub(super) struct Grpc {
    servers: JoinSet<Result<(), tonic::transport::Error>>,
    health: HealthReporter,
}

impl Grpc {
    /// Opens every address and serves on it until `stop`.
    pub async fn start(
        addresses: &[Address],
        driver: &Arc<Driver>,
        readiness: &Arc<Readiness>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let (health, health_service) = tonic_health::server::health_reporter();
        health
            .set_service_status("", tonic_health::ServingStatus::Serving)
            .await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(ENVOY_SERVICES)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .context("the reflection service can't read its descriptors")?;
        let router = builder()
            .add_service(ExtProc::server(Arc::clone(driver), Arc::clone(readiness)))
            .add_service(ExtAuthz::server(Arc::clone(driver), Arc::clone(readiness)))
            .add_service(RateLimits::server(Arc::clone(driver)))
            .add_service(health_service)
            .add_service(reflection);
        let mut servers = JoinSet::new();
        for address in addresses {
            let router = router.clone();
            match address {
                Address::Unix(path) => {
                    let incoming = UnixListenerStream::new(listen::unix(path).await?);
                    serve(&mut servers, router, incoming, stop);
                }
                Address::Tcp(address) => {
                    let incoming = TcpListenerStream::new(listen::tcp(*address).await?);
                    serve(&mut servers, router, incoming, stop);
                }
            }
        }
        Ok(Self { servers, health })
    }

    /// Serves ext_authz over HTTP beside them, where that is asked for: it is as
    /// much part of calls as the others.
    pub async fn serve_http_authz(
        &mut self,
        address: Option<SocketAddr>,
        driver: &Arc<Driver>,
        readiness: &Arc<Readiness>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(address) = address else {
            return Ok(());
        };
        let listener = listen::tcp(address).await.context("listen.http_authz")?;
        let service = HttpAuthz::new(Arc::clone(driver), Arc::clone(readiness));
        let stop = stop.clone().cancelled_owned();
        self.servers.spawn(async move {
            service.serve(listener, stop).await;
            Ok(())
        });
        Ok(())
    }

    /// Tells health checkers to look elsewhere.
    pub async fn not_serving(&self) {
        self.health
            .set_service_status("", tonic_health::ServingStatus::NotServing)
            .await;
    }

    /// Resolves when a server ends; none does before it is told to.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.servers.join_next().await {
            None => Ok(()),
            Some(result) => Ok(result??),
        }
    }
}

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .tcp_nodelay(true)
}

fn serve<IO>(
    servers: &mut JoinSet<Result<(), tonic::transport::Error>>,
    router: Router,
    incoming: impl Stream<Item = io::Result<IO>> + Send + 'static,
    stop: &CancellationToken,
) where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected + Unpin + Send + 'static,
{
    let stop = stop.clone();
    servers.spawn(async move {
        router
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
    });
}
