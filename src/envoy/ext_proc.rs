//! `envoy.service.ext_proc.v3`: one gRPC stream per call.
//!
//! The stream's own state is two machines: [`phase`] knows which message may
//! follow which, the exchange knows what they mean. Replies are made where
//! they are asked for, in the stream itself: no task and no channel per call.
//!
//! Always holds: a stream is never ended cleanly before its call is settled
//! (Envoy would let the rest pass unseen); an illegal message, a cut while
//! draining, and anything else that goes wrong ends it with an error, which
//! Envoy's `failure_mode_allow: false` turns into a refusal.

mod phase;
mod translate;

use crate::driver::{Driver, Session};
use crate::exchange::{Reply, Role};
use crate::telemetry::readiness::Readiness;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::{ProcessingRequest, ProcessingResponse};
use futures_util::stream::{self, Stream};
use phase::Phase;
use std::pin::Pin;
use std::sync::Arc;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status, Streaming};

/// The initial metadata in which Envoy's configuration names a stream's role.
const ROLE_KEY: &str = "x-weir-role";

/// The service.
#[derive(Clone)]
pub struct ExtProc {
    driver: Arc<Driver>,
    readiness: Arc<Readiness>,
}

impl ExtProc {
    /// The service, ready to be mounted; its messages may hold a whole body.
    pub fn server(driver: Arc<Driver>, readiness: Arc<Readiness>) -> ExternalProcessorServer<Self> {
        let bytes_max = super::message_bytes_max(driver.settings().body_bytes_max);
        ExternalProcessorServer::new(Self { driver, readiness })
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ExternalProcessor for ExtProc {
    type ProcessStream = Replies;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Replies>, Status> {
        if self.readiness.is_draining() {
            return Err(Status::unavailable("weir is shutting down"));
        }
        let role = role(&request)?;
        // Boxed, so that a reply moves a pointer and not the whole call.
        let call = Box::new(Call {
            session: self.driver.begin(role),
            inbound: request.into_inner(),
            phase: Phase::start(role),
            whole_bodies: false,
            cut: Box::pin(self.driver.cut_token().clone().cancelled_owned()),
            ended: false,
            patience_asked: false,
        });
        let replies = stream::unfold(call, |mut call| async move {
            let reply = call.next().await?;
            Some((reply, call))
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

fn role(request: &Request<Streaming<ProcessingRequest>>) -> Result<Role, Status> {
    match request
        .metadata()
        .get(ROLE_KEY)
        .map(|value| value.as_bytes())
    {
        None => Ok(Role::Full),
        Some(b"full") => Ok(Role::Full),
        Some(b"door") => Ok(Role::Door),
        Some(b"meter") => Ok(Role::Meter),
        Some(_) => Err(Status::invalid_argument(
            "initial metadata x-weir-role must be full, door or meter",
        )),
    }
}

/// One stream.
struct Call {
    session: Session,
    inbound: Streaming<ProcessingRequest>,
    phase: Phase,
    /// Each request body is one message.
    whole_bodies: bool,
    /// Waited for all along: registering anew for each message costs a lock.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    /// The gateway was asked for patience with a call that is held back.
    patience_asked: bool,
}

impl Call {
    /// The next reply; `None` ends the stream cleanly.
    async fn next(&mut self) -> Option<Result<ProcessingResponse, Status>> {
        loop {
            if self.ended {
                return None;
            }
            // A call that is held back: its reply to the last message is still due.
            if self.session.wait().is_some() {
                if let Some(reply) = self.go_on().await {
                    return Some(reply);
                }
                continue;
            }
            let message = tokio::select! {
                biased;
                () = &mut self.cut => return Some(Err(self.cut_short().await)),
                message = self.inbound.message() => message,
            };
            match message {
                Ok(Some(request)) => {
                    if let Some(reply) = self.on_message(request).await {
                        return Some(reply);
                    }
                }
                // Envoy is done, or the client is gone: what was owed is
                // settled before the stream ends.
                Ok(None) => {
                    self.session.close().await;
                    return None;
                }
                // A message that can't be read, or a lost connection. Ended
                // cleanly, the rest of the call would pass unseen.
                Err(status) => {
                    self.ended = true;
                    self.session.close().await;
                    return Some(Err(status));
                }
            }
        }
    }

    async fn on_message(
        &mut self,
        request: ProcessingRequest,
    ) -> Option<Result<ProcessingResponse, Status>> {
        if let Some(whole) = translate::sends_whole_bodies(&request) {
            self.whole_bodies = whole;
        }
        let (kind, event) = translate::event(request, self.whole_bodies)?;
        match self.phase.next(kind) {
            Ok(phase) => self.phase = phase,
            Err(out_of_order) => {
                self.ended = true;
                self.session.close().await;
                return Some(Err(Status::invalid_argument(out_of_order.to_string())));
            }
        }
        let reply = self.session.step(event).await;
        self.replied(reply)
    }

    /// Waits its turn, or until weir stops.
    async fn go_on(&mut self) -> Option<Result<ProcessingResponse, Status>> {
        let reply = tokio::select! {
            biased;
            () = &mut self.cut => return Some(Err(self.cut_short().await)),
            reply = self.session.after_wait() => reply,
        };
        self.replied(reply)
    }

    fn replied(&mut self, reply: Option<Reply>) -> Option<Result<ProcessingResponse, Status>> {
        if let Some(wait) = self.session.wait() {
            // Once for a message: what more it may come to wait is in it.
            return (!std::mem::replace(&mut self.patience_asked, true))
                .then(|| Ok(translate::patience(wait.most)));
        }
        let reply = reply?;
        // The door's work ends with its last reply. Left open, its stream would
        // take the call down with weir.
        self.ended = self.session.role() == Role::Door && self.session.is_over();
        Some(Ok(translate::reply(reply)))
    }

    async fn cut_short(&mut self) -> Status {
        self.ended = true;
        self.session.close().await;
        Status::unavailable("weir is shutting down")
    }
}
