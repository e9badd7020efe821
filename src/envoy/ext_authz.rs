//! `envoy.service.auth.v3`: the judgement of a call's head, before the call.
//!
//! Alone it keeps strangers out; in front of ext_proc it hands the principal
//! on by dynamic metadata, which no client can write, so that the key is
//! judged once.

use super::headers::{header_map, set_text};
use super::peer;
use crate::driver::{Driver, clock};
use crate::exchange::door::{Judgement, judge};
use crate::exchange::message::{Headers, Judged, Peer};
use crate::exchange::{HeaderEdits, RequestHead};
use crate::limits::HoldId;
use crate::protocol::denial::Rendered;
use crate::telemetry::readiness::Readiness;
use envoy_types::pb::envoy::config::core::v3::address::Address;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{self, HttpRequest};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{
    Authorization, AuthorizationServer,
};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc::Status as RpcStatus;
use std::net::IpAddr;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct ExtAuthz {
    driver: Arc<Driver>,
    readiness: Arc<Readiness>,
}

impl ExtAuthz {
    /// The service, ready to be mounted.
    pub fn server(driver: Arc<Driver>, readiness: Arc<Readiness>) -> AuthorizationServer<Self> {
        AuthorizationServer::new(Self { driver, readiness })
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        if self.readiness.is_draining() {
            return Err(Status::unavailable("weir is shutting down"));
        }
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let peer = peer_of(&attributes);
        let http = attributes.request.and_then(|request| request.http);
        let missing = || Status::invalid_argument("a check needs attributes.request.http");
        let http = http.ok_or_else(missing)?;
        let head = RequestHead {
            headers: headers(http),
            peer,
            end: false,
            judged: None,
        };
        let driver = &self.driver;
        let now = driver.clock().now();
        let id = HoldId::new(now, &clock::random().id);
        let settings = driver.settings();
        match judge(&head, &driver.snapshot(), settings, id, now) {
            Judgement::Passed { judged, edits } => Ok(Response::new(passed(&judged, edits))),
            Judgement::Refused { rendered, event } => {
                driver.recorder().record(*event);
                Ok(Response::new(refused(rendered)))
            }
        }
    }
}

fn peer_of(attributes: &AttributeContext) -> Peer {
    let source = attributes.source.as_ref();
    let name = source.map(|source| source.principal.clone());
    Peer {
        address: source.and_then(address),
        name: name.filter(|name| !name.is_empty()),
        tokens: peer::tokens(attributes.metadata_context.as_ref()),
    }
}

fn address(peer: &attribute_context::Peer) -> Option<IpAddr> {
    match peer.address.as_ref()?.address.as_ref()? {
        Address::SocketAddress(socket) => socket.address.parse().ok(),
        _ => None,
    }
}

/// All headers, pseudo-headers included, whichever form Envoy sends them in:
/// with `encode_raw_headers` one by one, else joined by name.
fn headers(http: HttpRequest) -> Headers {
    let mut headers: Headers = match http.header_map {
        Some(map) => header_map(map),
        None => http
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect(),
    };
    for (name, value) in [(":path", http.path), (":method", http.method)] {
        if !headers.iter().any(|(n, _)| n == name) {
            headers.push((name.to_owned(), value.into_bytes()));
        }
    }
    headers
}

fn passed(judged: &Judged, edits: HeaderEdits) -> CheckResponse {
    CheckResponse {
        status: Some(status(Code::Ok)),
        dynamic_metadata: Some(peer::handed_on(judged)),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers_to_remove: edits.remove,
            // Where the path is to change, it is for the key in its query.
            query_parameters_to_remove: match edits.set.iter().any(|(name, _)| *name == ":path") {
                true => vec!["key".to_owned()],
                false => Vec::new(),
            },
            ..OkHttpResponse::default()
        })),
    }
}

fn refused(rendered: Rendered) -> CheckResponse {
    let headers = rendered
        .headers
        .into_iter()
        .map(|(name, value)| set_text(name, value));
    CheckResponse {
        status: Some(status(Code::PermissionDenied)),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus {
                code: i32::from(rendered.status),
            }),
            headers: headers.collect(),
            body: String::from_utf8(rendered.body).unwrap_or_default(),
        })),
    }
}

fn status(code: Code) -> RpcStatus {
    RpcStatus {
        code: code.into(),
        ..RpcStatus::default()
    }
}
