//! gRPC health (`grpc.health.v1`): the service that is beside Envoy's on each
//! address of `listen.grpc`, and alone on `listen.health`.
//!
//! | service | is serving while |
//! |---|---|
//! | `""` | new calls should be sent here: [`Readiness::is_serving`] |
//! | `live` | the process runs, going down too |
//!
//! Always holds: both addresses say the same, at once. `listen.health` answers from
//! before anything is connected to until all is closed, and isn't slowed by calls: it
//! is of the admin runtime. It takes nothing in and tells nothing else, so whoever
//! reaches it can learn no more than a state; at most [`CONNECTIONS_MAX`] are open
//! there, [`OF_ONE_PEER_MAX`] of one address. Where more come, the oldest of whoever has
//! most gives way: nobody takes another's place, a prober's above all.
//!
//! Left to others: when to serve (`telemetry::readiness`), how connections come in
//! (`transport`).

use crate::telemetry::readiness::Readiness;
use crate::transport::{Connection, Incoming};
use futures_util::stream::{self, Stream, StreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as Protocol, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Whether the process runs.
const LIVE: &str = "live";

/// A node's kubelet opens one for each probe, some load balancers keep one each.
pub(super) const CONNECTIONS_MAX: usize = 128;

/// Some kubelets and balancers ask at the same time from one address.
pub(super) const OF_ONE_PEER_MAX: usize = 32;

/// A prober asks one thing at a time; who watches keeps one open for each service.
const STREAMS_MAX: u32 = 16;

/// A service's name, and what a prober says of itself.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
const HEAD_BYTES_MAX: u32 = 16 * 1024;

/// A peer that went away without a word is noticed within these two together.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug)]
pub(super) struct Health {
    readiness: Arc<Readiness>,
}

impl Health {
    /// The service, ready to be mounted.
    pub fn server(readiness: &Arc<Readiness>) -> HealthServer<Self> {
        let readiness = Arc::clone(readiness);
        HealthServer::new(Self { readiness }).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

type States = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Protocol for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let serving = match request.get_ref().service.as_str() {
            "" => self.readiness.is_serving(),
            LIVE => true,
            _ => {
                return Err(Status::not_found(
                    "weir tells the health of \"\" and of \"live\"",
                ));
            }
        };
        Ok(Response::new(state(serving)))
    }

    type WatchStream = States;

    /// What isn't known is said to be so, and may become known: so the protocol has it.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<States>, Status> {
        let states: States = match request.get_ref().service.as_str() {
            "" => {
                let mut serving = self.readiness.serving();
                serving.mark_changed();
                Box::pin(stream::unfold(serving, |mut serving| async {
                    // It is told as long as anybody can ask.
                    serving.changed().await.ok()?;
                    let now = *serving.borrow_and_update();
                    Some((Ok(state(now)), serving))
                }))
            }
            LIVE => lasting(state(true)),
            _ => lasting(HealthCheckResponse {
                status: ServingStatus::ServiceUnknown.into(),
            }),
        };
        Ok(Response::new(states))
    }
}

fn state(serving: bool) -> HealthCheckResponse {
    let status = match serving {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    HealthCheckResponse {
        status: status.into(),
    }
}

fn lasting(state: HealthCheckResponse) -> States {
    Box::pin(stream::iter([Ok(state)]).chain(stream::pending()))
}

/// Serves it alone, for as long as it is waited for.
pub(super) async fn serve_alone(mut incoming: Incoming, readiness: Arc<Readiness>) -> Infallible {
    let server = Health::server(&readiness);
    let mut connections = JoinSet::new();
    let mut open = OpenConnections::default();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            connection = incoming.next() => {
                let peer = connection.peer();
                open.make_room(peer);
                let served = connections.spawn(serve_one(connection, server.clone()));
                open.0.push_back((peer, served));
            }
        }
    }
}

/// Who is connected, the oldest first.
#[derive(Debug, Default)]
struct OpenConnections(VecDeque<(Option<IpAddr>, AbortHandle)>);

impl OpenConnections {
    /// For one more of `peer`.
    fn make_room(&mut self, peer: Option<IpAddr>) {
        self.0.retain(|(_, connection)| !connection.is_finished());
        let of = |peer| self.0.iter().filter(|(other, _)| *other == peer).count();
        let gives_way = match of(peer) >= OF_ONE_PEER_MAX {
            true => Some(peer),
            false if self.0.len() < CONNECTIONS_MAX => None,
            false => {
                let peers = self.0.iter().map(|(peer, _)| *peer);
                peers.max_by_key(|peer| of(*peer))
            }
        };
        let Some(peer) = gives_way else { return };
        let oldest = self.0.iter().position(|(other, _)| *other == peer);
        if let Some((_, oldest)) = oldest.and_then(|at| self.0.remove(at)) {
            oldest.abort();
        }
    }
}

async fn serve_one(connection: Connection, server: HealthServer<Health>) {
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(server))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of listen.health failed");
    }
}

#[cfg(test)]
mod tests;
