//! `envoy.service.auth.v3`: the judgement of a call before it is made.
//!
//! Alone it keeps strangers out, and can charge limits of requests; in front of
//! ext_proc it hands the principal on by dynamic metadata, which no client can
//! write, so that a caller is judged once. Of a body it judges what Envoy's
//! `with_request_body` shows, if that is all of it.

use super::headers::{header_map, set_text};
use super::peer;
use crate::driver::Driver;
use crate::exchange::RequestHead;
use crate::exchange::door::{Body, Check, Passed};
use crate::exchange::message::{Headers, Peer};
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

/// In which header Envoy says whether it shows a part of the body alone.
/// Source: Envoy's documentation of `with_request_body`.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// Under which key of `check_settings.context_extensions` a route of Envoy's tells
/// its name.
const ROUTE_EXTENSION: &str = "route";

/// The service.
#[derive(Clone)]
pub struct ExtAuthz {
    driver: Arc<Driver>,
    readiness: Arc<Readiness>,
}

impl ExtAuthz {
    /// The service, ready to be mounted; a check may hold a whole body.
    pub fn server(driver: Arc<Driver>, readiness: Arc<Readiness>) -> AuthorizationServer<Self> {
        let bytes_max = super::message_bytes_max(driver.settings().body_bytes_max);
        AuthorizationServer::new(Self { driver, readiness }).max_decoding_message_size(bytes_max)
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
        let mut attributes = request.into_inner().attributes.unwrap_or_default();
        let peer = peer_of(&attributes);
        // Of the filter's configuration alone: no client writes there.
        let envoy_route = attributes.context_extensions.remove(ROUTE_EXTENSION);
        let http = attributes.request.and_then(|request| request.http);
        let missing = || Status::invalid_argument("a check needs attributes.request.http");
        let mut http = http.ok_or_else(missing)?;
        let bytes = match std::mem::take(&mut http.raw_body) {
            raw if !raw.is_empty() => raw,
            _ => std::mem::take(&mut http.body).into_bytes(),
        };
        let headers = headers(http);
        let check = Check {
            body: body(&headers, bytes),
            head: RequestHead {
                answer_unseen: false,
                headers,
                peer,
                envoy_route,
                end: false,
                judged: None,
            },
            keeps_path: false,
        };
        let answer = match self.driver.check(check).await {
            Ok(passed) => passed_response(passed),
            Err(rendered) => refused(rendered),
        };
        Ok(Response::new(answer))
    }
}

/// What Envoy shows of the body. Without `with_request_body` it shows none, and
/// says nothing of it.
fn body(headers: &Headers, bytes: Vec<u8>) -> Body {
    let mut said = headers.iter().filter(|(name, _)| name == PARTIAL_BODY);
    match said.try_fold(false, |_, (_, value)| (value == b"false").then_some(true)) {
        // A client's own word can only make it worse.
        None => Body::Cut,
        Some(false) if bytes.is_empty() => Body::Unseen,
        Some(_) => Body::Whole(bytes),
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

fn passed_response(passed: Passed) -> CheckResponse {
    let rate_headers = passed.rate_headers.into_iter();
    CheckResponse {
        status: Some(status(Code::Ok)),
        dynamic_metadata: Some(peer::handed_on(&passed.judged)),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers_to_remove: passed.edits.remove,
            query_parameters_to_remove: passed.parameters,
            response_headers_to_add: rate_headers
                .map(|(name, value)| set_text(&name, value))
                .collect(),
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

#[cfg(test)]
mod tests;
