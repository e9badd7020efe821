//! Reading a request's body: what it asks, of which model, and whether the caller
//! may.

use super::head::{Identified, scopes_allow};
use super::{Settings, guardrails, weigh};
use crate::policy::{Model, Plan, Snapshot, Terms};
use crate::protocol::CallFacts;
use crate::protocol::denial::{Denial, EncodingFault, Entitlement, Scope};
use crate::protocol::inflate::{self, WholeError};
use crate::protocol::request::{self, Want, Wants};
use std::sync::Arc;

/// A body that was read.
pub(super) struct Read {
    /// Without its coding.
    pub body: Vec<u8>,
    pub facts: CallFacts,
}

/// Reads the body of a call; `end` where it is whole.
///
/// # Errors
/// It can't be read.
pub(super) fn read(
    who: &Identified,
    (body, end): (Vec<u8>, bool),
    snapshot: &Snapshot,
    settings: Settings,
) -> Result<Read, Denial> {
    let body = readable(who, body, end, settings.body_bytes_max)?;
    let wants = wants(who, snapshot);
    let facts = match &who.content.boundary {
        None => request::read(who.endpoint, who.path_model.as_deref(), &body, wants),
        Some(boundary) => request::read_form(who.endpoint, boundary, &body, wants),
    };
    let facts = facts.map_err(Denial::Body)?;
    Ok(Read { body, facts })
}

/// What of a body the caller's plan looks at besides what is metered.
fn wants(who: &Identified, snapshot: &Snapshot) -> Wants {
    let Some(terms) = snapshot.terms(&who.principal) else {
        return Wants::default();
    };
    let needs = weigh::needs(snapshot, who, terms);
    let is_virtual = !snapshot.virtual_models.is_empty();
    let most = |what: fn(&Plan) -> Want| {
        let wants = terms.layers().map(|plan| what(plan));
        wants.max().unwrap_or_default()
    };
    Wants {
        tool_names: needs.tools.max(most(Plan::wants_tools)),
        metadata: match is_virtual {
            true => Want::Whole,
            false => needs.metadata,
        },
        fields: most(Plan::wants_fields),
    }
}

/// The model of this name; none where one is chosen behind it.
///
/// # Errors
/// There is none, or the caller may not use it.
pub(super) fn model<'s>(
    who: &Identified,
    name: &str,
    snapshot: &'s Snapshot,
) -> Result<Option<&'s Arc<Model>>, Denial> {
    if snapshot.virtual_models.contains_key(name) {
        return Ok(None);
    }
    let model = snapshot.models.get(name).ok_or(Denial::UnknownModel)?;
    let terms = snapshot.terms(&who.principal).ok_or(Denial::UnknownModel)?;
    may_use(who, terms, model).map(|()| Some(model))
}

/// # Errors
/// The caller's key, or its plan, is not for this model.
pub(super) fn may_use(who: &Identified, terms: Terms, model: &Model) -> Result<(), Denial> {
    if !scopes_allow(&who.principal, |scopes| scopes.allow_model(&model.name)) {
        return Err(Denial::OutOfScope(Scope::Model));
    }
    match terms.allow_model(model) {
        true => Ok(()),
        false => Err(guardrails::not_entitled(Entitlement::Model)),
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
