//! Reading a request's body: what it asks, of which model, and whether the caller
//! may.

use super::Settings;
use super::head::{Identified, scopes_allow};
use crate::policy::{Model, Plan, Snapshot};
use crate::protocol::CallFacts;
use crate::protocol::denial::{Denial, EncodingFault, Scope};
use crate::protocol::inflate::{self, WholeError};
use crate::protocol::request::{self, Wants};
use std::sync::Arc;

/// A body that was read.
pub(super) struct Read<'s> {
    /// Without its coding.
    pub body: Vec<u8>,
    pub facts: CallFacts,
    pub model: &'s Arc<Model>,
    pub plan: &'s Arc<Plan>,
}

/// Reads the body of a call; `end` where it is whole.
///
/// # Errors
/// It can't be read, or asks what its caller may not.
pub(super) fn read<'s>(
    who: &Identified,
    (body, end): (Vec<u8>, bool),
    snapshot: &'s Snapshot,
    settings: Settings,
) -> Result<Read<'s>, Denial> {
    let body = readable(who, body, end, settings.body_bytes_max)?;
    let wants = Wants::default();
    let facts = match &who.content.boundary {
        None => request::read(who.endpoint, who.path_model.as_deref(), &body, wants),
        Some(boundary) => request::read_form(who.endpoint, boundary, &body, wants),
    };
    let facts = facts.map_err(Denial::Body)?;
    let plan = snapshot.plans.get(&who.principal.plan);
    let plan = plan.ok_or(Denial::UnknownModel)?;
    let model = model(who, &facts.model, snapshot)?;
    Ok(Read {
        body,
        facts,
        model,
        plan,
    })
}

/// The model of this name.
///
/// # Errors
/// There is none, or the caller's key is not for it.
pub(super) fn model<'s>(
    who: &Identified,
    name: &str,
    snapshot: &'s Snapshot,
) -> Result<&'s Arc<Model>, Denial> {
    let model = snapshot.models.get(name).ok_or(Denial::UnknownModel)?;
    match scopes_allow(&who.principal, |scopes| scopes.allow_model(&model.name)) {
        true => Ok(model),
        false => Err(Denial::OutOfScope(Scope::Model)),
    }
}

/// The body without its coding. Decoders differ in what they make of odd
/// streams, so what goes on to the provider is this, and not what came.
fn readable(
    who: &Identified,
    body: Vec<u8>,
    end: bool,
    bytes_max: usize,
) -> Result<Vec<u8>, Denial> {
    let too_large = Denial::BodyTooLarge { bytes_max };
    // A body that isn't whole is never parsed: what follows could change
    // its meaning.
    if !end || body.len() > bytes_max {
        return Err(too_large);
    }
    if !who.is_encoded() {
        return Ok(body);
    }
    inflate::whole(who.content.encoding, &body, bytes_max).map_err(|error| match error {
        WholeError::Malformed => Denial::Encoding(EncodingFault::Malformed),
        WholeError::Expands => Denial::Encoding(EncodingFault::Expands),
        WholeError::TooLarge => too_large,
    })
}
