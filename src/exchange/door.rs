//! Judging a head alone, for those who ask before the call (ext_authz).

use super::admit::{Refused, refusal_of};
use super::event::UsageEvent;
use super::message::{HeaderEdits, RequestHead};
use super::{Settings, head};
use crate::identity::Principal;
use crate::limits::HoldId;
use crate::policy::Snapshot;
use crate::protocol::denial::Rendered;
use crate::protocol::refusal::Form;
use crate::units::UnixMillis;
use std::sync::Arc;

/// What a head is judged to be.
#[derive(Debug)]
pub enum Judgement {
    /// Whose call it is, and the headers that must not travel on.
    Passed {
        principal: Arc<Principal>,
        edits: HeaderEdits,
    },
    Refused {
        rendered: Rendered,
        event: Box<UsageEvent>,
    },
}

/// The same judgement that an exchange begins with.
pub fn judge(
    head: &RequestHead,
    snapshot: &Snapshot,
    settings: Settings,
    id: HoldId,
    now: UnixMillis,
) -> Judgement {
    match head::judge(head, snapshot, settings, now) {
        Ok((identified, edits)) => Judgement::Passed {
            principal: identified.principal,
            edits,
        },
        Err(refused) => refused_judgement(*refused, head::form(head, snapshot, settings), id, now),
    }
}

fn refused_judgement(refused: Refused, form: Form, id: HoldId, now: UnixMillis) -> Judgement {
    let (rendered, _, event) = refusal_of(refused, form, id, now);
    Judgement::Refused {
        rendered,
        event: Box::new(event),
    }
}
