//! ext_authz over HTTP: the same judgement as `envoy::ext_authz`, for gateways
//! that ask by an HTTP request.
//!
//! | path | who asks | what is judged |
//! |---|---|---|
//! | `/check` and the call's own path | Envoy's `http_service`, with `path_prefix: /check` | the request's own method, path, headers, and its body where it has one |
//! | `/forward` | forward auth: Traefik, nginx | its headers; method and path as `X-Forwarded-Method` and `X-Forwarded-Uri`, or `X-Original-Method` and `X-Original-URI`, say |
//!
//! A call that passes is answered 200, and whose it is in the headers `x-weir-*`;
//! one that doesn't, as its caller is to be answered.
//!
//! Always holds: whoever asks is not taken for the caller, so addresses,
//! certificates and verified tokens are unknown here, and what needs them is
//! refused. A call whose path would carry a key on is refused, as this answer
//! can't change it. Whatever peers do, at most [`CONNECTIONS_MAX`] are served at
//! a time, with a head of at most [`HEAD_BYTES_MAX`] and [`HEADERS_MAX`], which
//! takes at most [`IDLE_MAX`], and a body that takes at most [`BODY_MAX`]; all bodies
//! together take at most [`BODIES_BYTES_MAX`].
//!
//! Left to others: the judgement (`exchange::door`), a runtime (`app`), how
//! connections come in (`transport`).

mod answer;
mod ask;
mod room;

use crate::driver::Driver;
use crate::telemetry::readiness::Readiness;
use crate::transport::{Connection, Incoming};
use answer::Answer;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
pub use room::BODIES_BYTES_MAX;
use room::Room;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A gateway keeps one open for each check under way.
pub const CONNECTIONS_MAX: usize = 1_024;

/// What a request's head may take, the request line included: what Envoy lets its
/// own callers send is 60 KiB.
pub const HEAD_BYTES_MAX: usize = 80 * 1024;

/// Envoy lets its own callers send 100, and adds some.
pub const HEADERS_MAX: usize = 160;

/// From one answer, or a connection's start, to the end of the next head. Gateways
/// should let go of idle connections before that.
pub const IDLE_MAX: Duration = Duration::from_secs(120);

/// For a whole body. A gateway has it at hand.
pub const BODY_MAX: Duration = Duration::from_secs(10);

/// How long open requests may take once the server is told to stop.
const STOP_MAX: Duration = Duration::from_secs(1);

/// The service.
#[derive(Clone)]
pub struct HttpAuthz {
    driver: Arc<Driver>,
    readiness: Arc<Readiness>,
    room: Room,
}

impl HttpAuthz {
    pub fn new(driver: Arc<Driver>, readiness: Arc<Readiness>) -> Self {
        Self {
            room: Room::new(driver.settings().body_bytes_max),
            driver,
            readiness,
        }
    }

    /// Serves until `shutdown` resolves, then lets open requests end.
    pub async fn serve(self, mut incoming: Incoming, shutdown: impl Future<Output = ()>) {
        let stopping = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                connection = incoming.next(), if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(self.clone().serve_one(connection, stopping.clone()));
                }
            }
        }
        drop(incoming);
        stopping.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        // What is still open then is aborted with the set.
        let _ = tokio::time::timeout(STOP_MAX, all).await;
    }

    async fn serve_one(self, connection: Connection, stopping: CancellationToken) {
        let service = service_fn(|request| self.answer(request));
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(connection), service);
        let mut served = std::pin::pin!(served);
        let outcome = tokio::select! {
            outcome = &mut served => outcome,
            () = stopping.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection of listen.http_authz failed");
        }
    }

    async fn answer(
        &self,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        if self.readiness.is_draining() {
            return Ok(answer::not_now());
        }
        let body_bytes_max = self.driver.settings().body_bytes_max;
        Ok(
            match ask::check(request, body_bytes_max, &self.room).await {
                Ok((check, _room)) => match self.driver.check(check).await {
                    Ok(passed) => answer::passed(&passed),
                    Err(rendered) => answer::refused(rendered),
                },
                Err(error) => answer::unanswerable(&error),
            },
        )
    }
}

#[cfg(test)]
mod tests;
