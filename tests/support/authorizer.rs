//! An ext_authz service that lets everything through, and says what it is told to:
//! what a gateway's metadata looks like when it isn't weir that fills it.

use envoy_types::pb::envoy::service::auth::v3::authorization_server::{
    Authorization, AuthorizationServer,
};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::google::protobuf::Struct;
use std::path::Path;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

#[derive(Clone)]
struct Authorizer {
    metadata: Struct,
}

/// Serves on `socket` for as long as the test's runtime lives.
pub fn start(socket: &Path, metadata: Struct) {
    let incoming = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    let service = AuthorizationServer::new(Authorizer { metadata });
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
}

#[tonic::async_trait]
impl Authorization for Authorizer {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse {
            status: None,
            dynamic_metadata: Some(self.metadata.clone()),
            http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
        }))
    }
}
