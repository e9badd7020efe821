//! What goes into an exchange and what comes out: the gateway's words without
//! its protobuf.

use super::event::UsageEvent;
use super::open_call::OpenCall;
use crate::identity::source::Caller;
use crate::limits::{Actual, Decision, HoldId, Reservation, SHARED_SLOT};
use crate::policy::budget::Passed;
use crate::policy::expected::Lesson;
use crate::policy::failures::HealthLesson;
use crate::policy::grants::ApprovalRequest;
use crate::policy::token_ratios::RatioLesson;
use crate::protocol::denial::Rendered;
use crate::units::Millis;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// Header names are lower case; a value is bytes as they came.
pub type Headers = Vec<(String, Vec<u8>)>;

/// The head of a request, pseudo-headers included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    pub headers: Headers,
    /// There is no body.
    pub end: bool,
    pub peer: Peer,
    /// The name of the route that the gateway chose, as it tells itself: no client
    /// can say.
    pub envoy_route: Option<String>,
    /// What ext_authz has found already.
    pub judged: Option<Judged>,
    /// The gateway said that this stream will show nothing of the answer's body.
    pub answer_unseen: bool,
}

/// Who the gateway was called by, as it knows itself: no client can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    pub address: Option<IpAddr>,
    /// The URI in its certificate, which the gateway has verified.
    pub name: Option<String>,
    /// The claims of the tokens that the gateway has verified, by the names that
    /// it keeps them under.
    pub tokens: Option<Value>,
}

/// By which headers weir tells the gateway where a call goes: a client's own copies
/// say nothing.
pub const ROUTING_HEADERS: [&str; 2] = ["x-weir-cluster", "x-weir-model"];

/// In which headers of its answer ext_authz says whom it has found, over HTTP: a
/// key's name, or a caller as JSON.
pub const KEY_HEADER: &str = "x-weir-key-id";
pub const CALLER_HEADER: &str = "x-weir-caller";

/// Whom ext_authz has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// The name of a key.
    Key(String),
    /// Someone without one.
    Caller(Box<Caller>),
}

/// Where an answer came from, as far as the gateway knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// The provider answered.
    Upstream,
    /// The gateway answered, as the provider was never reached.
    NeverSent,
    /// The gateway answered, as the provider was reached and then lost.
    Lost,
    #[default]
    Unknown,
}

/// The head of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub headers: Headers,
    pub end: bool,
    pub origin: Origin,
    /// The open call that a door handed over, as it left it.
    pub handed_over: Option<String>,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    RequestHeaders(RequestHead),
    /// The whole body, if `end`; weir asks the gateway for whole bodies.
    RequestBody {
        body: Vec<u8>,
        end: bool,
    },
    RequestTrailers,
    /// The answer to [`Effect::Reserve`]; `None` where the store gave none.
    Decided(Option<Decision>),
    /// The answer to [`Effect::Wait`]: it has waited, or nobody may any more.
    Waited(bool),
    ResponseHeaders(ResponseHead),
    ResponseBody {
        body: Vec<u8>,
        end: bool,
    },
    ResponseTrailers,
    /// The stream is gone: client away, gateway gone, or just over.
    Closed,
}

/// Headers to remove and to set (overwriting, never appending).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    pub remove: Vec<String>,
    pub set: Vec<(&'static str, String)>,
}

/// What the gateway is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    RequestHeaders {
        edits: HeaderEdits,
        metadata: Option<Metadata>,
        /// Nothing is to be seen of the bodies that follow, in either direction.
        without_bodies: bool,
    },
    RequestBody {
        /// Sent on in place of the client's body.
        body: Option<Vec<u8>>,
        /// Where there are some, the gateway chooses anew where the call goes.
        head: HeaderEdits,
        metadata: Option<Metadata>,
    },
    RequestTrailers,
    /// Answered here; the call ends.
    Refuse {
        rendered: Rendered,
        metadata: Metadata,
    },
    ResponseHeaders {
        edits: HeaderEdits,
        metadata: Option<Metadata>,
    },
    ResponseBody {
        replacement: Option<Vec<u8>>,
        metadata: Option<Metadata>,
    },
    ResponseTrailers {
        metadata: Option<Metadata>,
    },
}

/// What the gateway's access log learns of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// `admitted`, or the reason or limit that refused.
    pub decision: Arc<str>,
    pub id: HoldId,
    pub tenant: Option<Arc<str>>,
    pub model: Option<Arc<str>>,
    pub outcome: Option<&'static str>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// The open call, for whoever meters the answer.
    pub handover: Option<String>,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer with [`Event::Decided`].
    Reserve(Reservation),
    Settle(Box<Settlement>),
    /// The hold was opened by another exchange; keep it alive from here.
    Adopt {
        hold: HoldId,
        slot: Arc<str>,
        /// It has a part on shared counters.
        shared: bool,
    },
    /// A refused call.
    Record(Box<UsageEvent>),
    /// Answer with [`Event::Waited`] once so much time has passed. Nothing is held
    /// meanwhile.
    Wait {
        span: Millis,
        /// The longest that the call may come to wait in all.
        most: Millis,
    },
    /// Someone is to hear of it.
    Notice(Notice),
}

/// What others than the caller are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A call waits for consent.
    Approval(Box<ApprovalRequest>),
    /// A budget has passed a threshold, or refused a call.
    Budget {
        tenant: Arc<str>,
        passed: Passed,
        /// It has no more to give.
        refused: bool,
    },
}

/// The end of a hold. The event is recorded only if this settlement is the one
/// that ends the hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub slot: Arc<str>,
    pub hold: HoldId,
    /// It has a part on shared counters, which ends alike.
    pub shared: bool,
    pub actual: Actual,
    /// `None` where the call is told of by another event.
    pub event: Option<UsageEvent>,
    /// What is learned of how much calls produce.
    pub lesson: Option<Lesson>,
    /// What is learned of the model's tokens.
    pub ratio_lesson: Option<RatioLesson>,
    /// What is learned of how well the model does.
    pub health_lesson: Option<HealthLesson>,
}

impl Settlement {
    /// The settlement in the slot that tenants share, if there is one.
    pub fn shared_part(&self) -> Option<Settlement> {
        self.shared.then(|| Settlement {
            slot: SHARED_SLOT.into(),
            hold: self.hold.shared(),
            shared: false,
            actual: self.actual,
            event: None,
            lesson: None,
            ratio_lesson: None,
            health_lesson: None,
        })
    }
}

/// What one event leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    pub reply: Option<Reply>,
    /// In order, before the reply goes out: the store hears of a settlement
    /// before the client's next call.
    pub effects: Vec<Effect>,
}

impl Step {
    pub(super) fn reply(reply: Reply) -> Self {
        Self {
            reply: Some(reply),
            effects: Vec::new(),
        }
    }

    pub(super) fn effect(effect: Effect) -> Self {
        Self {
            reply: None,
            effects: vec![effect],
        }
    }
}

impl Reply {
    /// To a head whose body is awaited.
    pub(super) fn head(edits: HeaderEdits) -> Self {
        Reply::RequestHeaders {
            edits,
            metadata: None,
            without_bodies: false,
        }
    }
}

impl Event {
    /// The reply that changes nothing.
    pub(super) fn pass(&self) -> Option<Reply> {
        Some(match self {
            Event::RequestHeaders(_) => Reply::head(HeaderEdits::default()),
            Event::RequestBody { .. } => Reply::RequestBody {
                body: None,
                head: HeaderEdits::default(),
                metadata: None,
            },
            Event::RequestTrailers => Reply::RequestTrailers,
            Event::ResponseHeaders(_) => Reply::ResponseHeaders {
                edits: HeaderEdits::default(),
                metadata: None,
            },
            Event::ResponseBody { .. } => Reply::ResponseBody {
                replacement: None,
                metadata: None,
            },
            Event::ResponseTrailers => Reply::ResponseTrailers { metadata: None },
            Event::Decided(_) | Event::Waited(_) | Event::Closed => return None,
        })
    }
}

impl Metadata {
    /// What a door leaves for the meter.
    pub(super) fn handing_over(call: &OpenCall) -> Self {
        Self {
            decision: Arc::from("admitted"),
            id: call.id,
            tenant: Some(Arc::clone(&call.tenant)),
            model: call.known_model(),
            outcome: None,
            input_tokens: None,
            output_tokens: None,
            handover: Some(call.to_json()),
        }
    }
}
