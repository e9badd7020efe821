//! The bytes that change in a request: a cap on the output, and the wish for a
//! stream's usage.

use super::form::CapPlace;
use crate::protocol::json_edit::Edit;
use crate::protocol::{Anchors, CallFacts, Slot};
use std::ops::Range;

/// The edits that make the body of `facts` carry `output_max` (tokens, and where
/// they are written if the client set none) and, where asked,
/// `stream_options.include_usage: true`. In the order of their places, as
/// [`crate::protocol::json_edit::apply`] takes them.
///
/// A cap that the client set keeps its field, whatever `output_max` names.
pub fn edits(
    facts: &CallFacts,
    output_max: Option<(u64, CapPlace)>,
    include_usage: bool,
) -> Vec<Edit> {
    let cap = output_max.map(|(tokens, place)| output_max_edit(facts, tokens, place));
    let usage = (include_usage && !facts.include_usage).then(|| include_usage_edit(facts));
    let mut edits: Vec<Edit> = cap.into_iter().chain(usage).collect();
    // Stable: two insertions at one place stay apart.
    edits.sort_by_key(|edit| edit.span.start);
    edits
}

fn output_max_edit(facts: &CallFacts, tokens: u64, place: CapPlace) -> Edit {
    if let Some(set) = &facts.output_max {
        return replace(&set.span, tokens.to_string());
    }
    let nulls = &facts.anchors.output_null;
    if let Some((_, null)) = nulls.iter().find(|(name, _)| *name == place.name) {
        return replace(null, tokens.to_string());
    }
    let name = place.name;
    match place.object {
        None => first(&facts.anchors, format!("\"{name}\":{tokens}")),
        Some(object) => {
            let mut objects = facts.anchors.cap_objects.iter();
            let slot = objects.find(|(known, _)| *known == object);
            let slot = slot.map_or(&Slot::Absent, |(_, slot)| slot);
            member_edit(slot, &facts.anchors, object, name, tokens)
        }
    }
}

fn include_usage_edit(facts: &CallFacts) -> Edit {
    let anchors = &facts.anchors;
    match &anchors.include_usage {
        Some(value) => replace(value, "true".to_owned()),
        None => member_edit(
            &anchors.stream_options,
            anchors,
            "stream_options",
            "include_usage",
            true,
        ),
    }
}

/// Puts a member into an object that is a field of the body.
fn member_edit(
    slot: &Slot,
    anchors: &Anchors,
    object: &str,
    name: &str,
    value: impl std::fmt::Display,
) -> Edit {
    match slot {
        Slot::Absent => first(anchors, format!("\"{object}\":{{\"{name}\":{value}}}")),
        Slot::Null(null) => replace(null, format!("{{\"{name}\":{value}}}")),
        Slot::Object { open, empty } => {
            let comma = if *empty { "" } else { "," };
            insert(*open, format!("\"{name}\":{value}{comma}"))
        }
    }
}

/// Puts a field in front of all others of the body.
fn first(anchors: &Anchors, mut field: String) -> Edit {
    if !anchors.empty {
        field.push(',');
    }
    insert(anchors.open, field)
}

fn insert(at: usize, text: String) -> Edit {
    let span = at..at;
    Edit { span, text }
}

fn replace(span: &Range<usize>, text: String) -> Edit {
    let span = span.clone();
    Edit { span, text }
}
