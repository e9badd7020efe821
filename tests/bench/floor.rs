//! The floor: an ext_proc server that answers every message with nothing, over
//! weir's own transport. No filter with the same processing mode can be faster. It
//! answers ext_authz too, with an OK of nothing.
//!
//! Replies are made in the stream itself, with no box, task or channel of the
//! floor's own. A stream whose role is `door` ends after its last reply, as
//! weir's does, so that the split profile has a floor too.

use envoy_types::pb::envoy::service::auth::v3::authorization_server::{
    Authorization, AuthorizationServer,
};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Asked;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answered;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyResponse, HeadersResponse, ProcessingRequest, ProcessingResponse, TrailersResponse,
};
use futures_util::Stream;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// The windows and keepalive of `weir::app::grpc`: the transport must be the
/// same for the ratio to mean anything.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves on `socket` until killed.
pub fn run(socket: &Path, workers: Option<usize>) -> anyhow::Result<()> {
    let service = ExternalProcessorServer::new(Floor)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let authorization = AuthorizationServer::new(Floor)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    serve(
        socket,
        workers,
        Routes::new(service).add_service(authorization),
    )
}

/// Serves any service so.
pub fn serve(socket: &Path, workers: Option<usize>, routes: Routes) -> anyhow::Result<()> {
    // As many as weir takes by itself.
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers.unwrap_or(cores.div_ceil(2)));
    builder.enable_all().build()?.block_on(async {
        let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
        Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_routes(routes)
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}

struct Floor;

#[tonic::async_trait]
impl ExternalProcessor for Floor {
    type ProcessStream = Replies;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let role = request.metadata().get("x-weir-role");
        let door = role.is_some_and(|role| role.as_bytes() == b"door");
        Ok(Response::new(Replies {
            door,
            ended: false,
            inbound: request.into_inner(),
        }))
    }
}

#[tonic::async_trait]
impl Authorization for Floor {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse {
            http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
            ..CheckResponse::default()
        }))
    }
}

/// One stream: each message in becomes an empty reply of its kind.
struct Replies {
    door: bool,
    ended: bool,
    inbound: Streaming<ProcessingRequest>,
}

impl Stream for Replies {
    type Item = Result<ProcessingResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = ready!(Pin::new(&mut self.inbound).poll_next(context));
        let Some(Ok(message)) = message else {
            return Poll::Ready(None);
        };
        if self.door {
            self.ended = is_last_of_request(&message);
        }
        Poll::Ready(Some(Ok(empty_reply(&message))))
    }
}

fn is_last_of_request(message: &ProcessingRequest) -> bool {
    match &message.request {
        Some(Asked::RequestHeaders(head)) => head.end_of_stream,
        Some(Asked::RequestBody(body)) => body.end_of_stream,
        _ => true,
    }
}

fn empty_reply(message: &ProcessingRequest) -> ProcessingResponse {
    let response = message.request.as_ref().map(|asked| match asked {
        Asked::RequestHeaders(_) => Answered::RequestHeaders(HeadersResponse::default()),
        Asked::RequestBody(_) => Answered::RequestBody(BodyResponse::default()),
        Asked::RequestTrailers(_) => Answered::RequestTrailers(TrailersResponse::default()),
        Asked::ResponseHeaders(_) => Answered::ResponseHeaders(HeadersResponse::default()),
        Asked::ResponseBody(_) => Answered::ResponseBody(BodyResponse::default()),
        Asked::ResponseTrailers(_) => Answered::ResponseTrailers(TrailersResponse::default()),
    });
    ProcessingResponse {
        response,
        ..ProcessingResponse::default()
    }
}
