//! Weir over HTTP for probes, scrapers and operators.
//!
//! | module | for |
//! |---|---|
//! | `endpoints` | every endpoint, and what it needs of who asks |
//! | `guard` | what every request must be: no other site's page, no foreign name |
//! | `access`, `caller`, `tries` | who asks, what they may, how often |
//! | `health` | `/healthz`, `/readyz`, `/metrics`: anybody may |
//! | `limits`, `tenants` | how a tenant stands; putting limits at rest |
//! | `explain` | what would become of a call, and why |
//! | `usage`, `described` | reports |
//! | `keys`, `tokens`, `audit`, `stored` | what is kept in the ledger's database |
//! | `approvals`, `grants`, `top_ups`, `lasting` | what calls ask, and what people allow |
//! | `withdrawn` | what is withdrawn, while the database is away too |
//! | `alerts` | what webhooks were told, and whether one can be |
//! | `configuration` | what weir runs on, and what another text would change |
//! | `reload` | reading the configuration anew |
//! | `openapi` | all of this, as an OpenAPI document |
//! | `answer` | answers and refusals |
//!
//! Anything else is 404 or 405. All but metrics is JSON.
//!
//! Always holds: nobody is told or does more than their role allows; each change
//! is told to the audit, or isn't made (of a key that is withdrawn while the database
//! is away, the audit is told when it is back); no answer, error, metric or line of the log
//! holds a secret, but for the one answer that tells a new one.
//!
//! Always holds: whatever peers do, at most [`CONNECTIONS_MAX`] are served at a
//! time, each for one request, for at most [`REQUEST_MAX`], with a head of at
//! most [`HEAD_BYTES_MAX`] and a body of at most a bound of its page.
//!
//! Where clients are verified, a request brings its client's
//! [`ClientNames`](crate::certificates::ClientNames) along, as an extension:
//! `Option<Extension<Arc<ClientNames>>>` to a handler.
//!
//! Left to others: a runtime of its own (`app`), so that a scrape never slows a
//! call; how connections come in (`transport`).

mod access;
mod alerts;
mod answer;
mod approvals;
mod audit;
mod caller;
mod configuration;
mod described;
mod endpoints;
mod explain;
mod grants;
mod guard;
mod health;
mod keys;
mod lasting;
mod limits;
mod openapi;
mod reload;
mod stored;
mod tenants;
mod tokens;
mod top_ups;
mod tries;
mod usage;
mod withdrawn;

pub use access::{Access, CertificateNames};
pub use alerts::AlertsApi;
pub use configuration::ConfigurationApi;
pub use limits::LimitsApi;
pub use reload::{ReloadApi, ReloadAsked, ReloadAsks, ReloadOutcome, Taken};
pub use stored::AccountsApi;
pub use tries::Peer;
pub use usage::UsageApi;

use crate::config::shown::Shown;
use crate::config::{Config, Secret};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::transport::{Connection, Incoming};
use axum::Router;
use axum::http::Request;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Probes and scrapers are few.
pub const CONNECTIONS_MAX: usize = 64;

/// From a connection's start to its end. A scrape takes milliseconds.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);

/// What a request's head may take, the request line included.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long open requests may take once the server is told to stop.
const STOP_MAX: Duration = Duration::from_secs(1);

/// What the pages show.
#[derive(Debug, Clone)]
pub struct AdminState {
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
    pub limits: LimitsApi,
    pub usage: UsageApi,
    pub access: Arc<Access>,
    pub accounts: AccountsApi,
    pub alerts: AlertsApi,
    pub configuration: ConfigurationApi,
    pub reload: ReloadApi,
}

impl AdminState {
    /// From now on whoever a new configuration lets in may ask, and what runs is
    /// shown so.
    pub fn change(&self, config: &Config, shown: Shown) {
        let token = config.listen.admin_token.as_ref().map(Secret::expose);
        self.access.change(token, &config.admin);
        let peppers = config.snapshot.keys.peppers.clone();
        self.accounts.change_peppers(peppers);
        self.configuration.change(shown, config.read.clone());
    }
}

/// Serves the pages until `shutdown` resolves, then lets open requests end.
pub async fn serve(incoming: Incoming, state: AdminState, shutdown: impl Future<Output = ()>) {
    serve_within(REQUEST_MAX, incoming, endpoints::router(state), shutdown).await;
}

async fn serve_within(
    request_max: Duration,
    mut incoming: Incoming,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let service = TowerToHyperService::new(router);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            connection = incoming.next(), if connections.len() < CONNECTIONS_MAX => {
                let served = serve_one(connection, service.clone());
                connections.spawn(tokio::time::timeout(request_max, served));
            }
        }
    }
    drop(incoming);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is still open then is aborted with the set.
    let _ = tokio::time::timeout(STOP_MAX, all).await;
}

/// One connection, one request: nothing idles on this port.
async fn serve_one(connection: Connection, service: TowerToHyperService<Router>) {
    let client = connection.client().cloned();
    let names = client.as_deref().map(CertificateNames::of);
    let peer = connection.peer().map_or(Peer::Local, Peer::Ip);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        if let (Some(client), Some(names)) = (&client, &names) {
            extensions.insert(Arc::clone(client));
            extensions.insert(names.clone());
        }
        service.call(request)
    });
    // How long it may take is bounded by the caller, from its first byte to its
    // last.
    let served = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection failed");
    }
}

#[cfg(test)]
mod tests;
