//! The gRPC side: Envoy's services, health and reflection, on each address.

use super::health::Health;
use crate::config::{Address, Listen, Process};
use crate::driver::Driver;
use crate::envoy::descriptors::ENVOY_SERVICES;
use crate::envoy::ext_authz::ExtAuthz;
use crate::envoy::ext_proc::ExtProc;
use crate::envoy::rate_limit::RateLimits;
use crate::http_authz::HttpAuthz;
use crate::telemetry::metrics::{Listener, Metrics};
use crate::telemetry::readiness::Readiness;
use crate::transport::{Follow, Incoming};
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// HTTP/2 windows: a stream's holds a long prompt without waiting for the
/// receiver, a connection's holds many of them (Envoy keeps few connections).
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// A peer that went away without a word is noticed within these two together.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers, one for each address, and what follows their certificates.
pub(super) struct Grpc {
    servers: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Grpc {
    /// Opens every address and serves on it until `stop`.
    pub async fn start(
        addresses: &[Address],
        driver: &Arc<Driver>,
        readiness: &Arc<Readiness>,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(ENVOY_SERVICES)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .context("the reflection service can't read its descriptors")?;
        let router = builder()
            .add_service(ExtProc::server(Arc::clone(driver), Arc::clone(readiness)))
            .add_service(ExtAuthz::server(Arc::clone(driver), Arc::clone(readiness)))
            .add_service(RateLimits::server(Arc::clone(driver)))
            .add_service(Health::server(readiness))
            .add_service(reflection);
        let (mut servers, mut tls) = (JoinSet::new(), Vec::new());
        for (index, address) in addresses.iter().enumerate() {
            let incoming = Incoming::open(address, Listener::Grpc, &Process, metrics).await;
            let incoming = incoming.with_context(|| format!("listen.grpc[{index}]"))?;
            tls.extend(incoming.tls().cloned());
            let (router, stop) = (router.clone(), stop.clone().cancelled_owned());
            let incoming = incoming.into_stream();
            servers.spawn(async move { router.serve_with_incoming_shutdown(incoming, stop).await });
        }
        let follow = Follow::new(tls, Listener::Grpc, Arc::new(Process), Arc::clone(metrics));
        // It ends with the servers: when the set is dropped.
        servers.spawn(async move {
            follow.run().await;
            Ok(())
        });
        Ok(Self { servers })
    }

    /// Serves ext_authz over HTTP beside them, where that is asked for: it is as
    /// much part of calls as the others.
    pub async fn serve_http_authz(
        &mut self,
        listen: &Listen,
        driver: &Arc<Driver>,
        readiness: &Arc<Readiness>,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(address) = &listen.http_authz else {
            return Ok(());
        };
        let listener = Listener::HttpAuthz;
        let incoming = Incoming::open(address, listener, &Process, metrics).await;
        let incoming = incoming.context("listen.http_authz")?;
        let tls = incoming.tls().cloned().into_iter().collect();
        let follow = Follow::new(tls, listener, Arc::new(Process), Arc::clone(metrics));
        let service = HttpAuthz::new(Arc::clone(driver), Arc::clone(readiness));
        let stop = stop.clone().cancelled_owned();
        self.servers.spawn(async move {
            // What follows the certificates ends with what uses them.
            tokio::select! {
                () = service.serve(incoming, stop) => {}
                () = follow.run() => {}
            }
            Ok(())
        });
        Ok(())
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
}
