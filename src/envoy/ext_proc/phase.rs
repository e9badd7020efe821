//! Which message may legally follow which on one ext_proc stream.

use crate::exchange::Role;

/// A message by its kind alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    RequestHeaders { end: bool },
    RequestBody { end: bool },
    RequestTrailers,
    ResponseHeaders { end: bool },
    ResponseBody { end: bool },
    ResponseTrailers,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    role: Role,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// The request's head or part of its body has come.
    Request,
    /// The whole request has come.
    Requested,
    /// The answer's head or part of its body has come.
    Response,
    /// The whole answer has come.
    Responded,
}

/// A message where none of its kind can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message:?} can't follow here ({role:?}, {at:?}): check the filter's processing_mode")]
pub(super) struct OutOfOrder {
    role: Role,
    at: At,
    message: Kind,
}

impl Phase {
    pub(super) fn start(role: Role) -> Self {
        Self {
            role,
            at: At::Start,
        }
    }

    /// The phase after `message`. A body that no head preceded is illegal: what
    /// weir hasn't judged must not pass. A response may come at any time: the
    /// gateway itself may answer before the request is whole, or at all.
    pub(super) fn next(self, message: Kind) -> Result<Self, OutOfOrder> {
        let at = match (self.role, self.at, message) {
            (Role::Full | Role::Door, At::Start, Kind::RequestHeaders { end }) => request(end),
            (Role::Full | Role::Door, At::Request, Kind::RequestBody { end }) => request(end),
            (Role::Full | Role::Door, At::Request | At::Requested, Kind::RequestTrailers) => {
                At::Requested
            }
            (
                Role::Full | Role::Meter,
                At::Start | At::Request | At::Requested,
                Kind::ResponseHeaders { end },
            ) => response(end),
            (Role::Full | Role::Meter, At::Response, Kind::ResponseBody { end }) => response(end),
            (Role::Full | Role::Meter, At::Response, Kind::ResponseTrailers) => At::Responded,
            (role, at, message) => return Err(OutOfOrder { role, at, message }),
        };
        Ok(Self { at, ..self })
    }
}

fn request(end: bool) -> At {
    if end { At::Requested } else { At::Request }
}

fn response(end: bool) -> At {
    if end { At::Responded } else { At::Response }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Kind = Kind::RequestHeaders { end: false };
    const BODY: Kind = Kind::RequestBody { end: true };
    const ANSWER: Kind = Kind::ResponseHeaders { end: false };
    const CHUNK: Kind = Kind::ResponseBody { end: false };
    const LAST: Kind = Kind::ResponseBody { end: true };

    fn runs(role: Role, messages: &[Kind]) -> bool {
        messages
            .iter()
            .try_fold(Phase::start(role), |phase, message| phase.next(*message))
            .is_ok()
    }

    #[test]
    fn what_envoy_sends_is_legal() {
        let legal: [(Role, &[Kind]); 8] = [
            (Role::Full, &[HEAD, BODY, ANSWER, CHUNK, CHUNK, LAST]),
            (
                Role::Full,
                &[HEAD, BODY, ANSWER, CHUNK, Kind::ResponseTrailers],
            ),
            (
                Role::Full,
                &[HEAD, BODY, Kind::ResponseHeaders { end: true }],
            ),
            (Role::Full, &[HEAD, ANSWER, LAST]),
            (Role::Full, &[ANSWER, LAST]),
            (Role::Full, &[HEAD, BODY, Kind::RequestTrailers, ANSWER]),
            (Role::Door, &[HEAD, BODY]),
            (Role::Meter, &[ANSWER, CHUNK, LAST]),
        ];
        for (role, messages) in legal {
            assert!(runs(role, messages), "{role:?} {messages:?}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let illegal: [(Role, &[Kind]); 10] = [
            (Role::Full, &[BODY]),
            (Role::Full, &[CHUNK]),
            (Role::Full, &[HEAD, HEAD]),
            (Role::Full, &[HEAD, BODY, BODY]),
            (Role::Full, &[HEAD, BODY, ANSWER, ANSWER]),
            (Role::Full, &[HEAD, BODY, ANSWER, LAST, CHUNK]),
            (Role::Full, &[HEAD, BODY, ANSWER, HEAD]),
            (Role::Door, &[HEAD, BODY, ANSWER]),
            (Role::Meter, &[HEAD]),
            (Role::Meter, &[CHUNK]),
        ];
        for (role, messages) in illegal {
            assert!(!runs(role, messages), "{role:?} {messages:?}");
        }
    }
}
