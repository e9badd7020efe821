//! What is wrong with a body, in words that hold nothing of the client's.

use super::place::Place;
use crate::protocol::BodyError;
use crate::protocol::json::JsonError;

/// Why a body is refused; becomes a [`BodyError`].
#[derive(Debug, thiserror::Error)]
pub(in crate::protocol) enum Fault {
    #[error("The request body is not JSON that this gateway accepts: {0}.")]
    Json(#[from] JsonError),
    #[error("`{param}` {rule}.")]
    Field { param: String, rule: &'static str },
    #[error("{0}")]
    Body(&'static str),
}

impl Fault {
    /// `rule` is what must hold at `place`, as the end of a sentence. The body
    /// itself has no name of its own.
    pub(in crate::protocol) fn at(place: &Place, rule: &'static str) -> Self {
        match place {
            Place::Body => Fault::Body("The request body must be a JSON object."),
            _ => Fault::Field {
                param: place.to_string(),
                rule,
            },
        }
    }

    pub(in crate::protocol) fn missing(place: &Place) -> Self {
        Self::at(place, "is required")
    }

    pub(in crate::protocol) fn body(message: &'static str) -> Self {
        Fault::Body(message)
    }
}

impl From<Fault> for BodyError {
    fn from(fault: Fault) -> Self {
        let message = fault.to_string();
        let param = match fault {
            Fault::Field { param, .. } => Some(param),
            Fault::Json(_) | Fault::Body(_) => None,
        };
        BodyError { message, param }
    }
}
