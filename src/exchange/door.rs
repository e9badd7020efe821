//! Judging a head alone, for those who ask before the call (ext_authz).

use super::admit::{Refused, refusal_of};
use super::event::UsageEvent;
use super::message::{HeaderEdits, Judged, RequestHead};
use super::{Settings, head};
use crate::limits::HoldId;
use crate::policy::Snapshot;
use crate::protocol::denial::Rendered;
use crate::protocol::refusal::Form;
use crate::units::UnixMillis;

/// What a head is judged to be.
#[derive(Debug)]
pub enum Judgement {
    /// Whose call it is, to be handed on, and the headers that must not travel on.
    Passed { judged: Judged, edits: HeaderEdits },
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
            judged: identified.judged(),
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
