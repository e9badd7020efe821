//! The bytes that change in a request: a cap on the output, and the wish for a
//! stream's usage.

use crate::protocol::json_edit::Edit;
use crate::protocol::{CallFacts, StreamOptions};
use std::ops::Range;

/// The edits that make the body of `facts` carry `output_max` (tokens, and the
/// field to write where the client set none) and, where asked,
/// `stream_options.include_usage: true`. In the order of their places, as
/// [`crate::protocol::json_edit::apply`] takes them.
///
/// A cap that the client set keeps its field, whatever `output_max` names.
pub fn edits(facts: &CallFacts, output_max: Option<(u64, &str)>, include_usage: bool) -> Vec<Edit> {
    let cap = output_max.map(|(tokens, field)| output_max_edit(facts, tokens, field));
    let usage = (include_usage && !facts.include_usage).then(|| include_usage_edit(facts));
    let mut edits: Vec<Edit> = cap.into_iter().chain(usage).collect();
    // Stable: two insertions at one place stay apart.
    edits.sort_by_key(|edit| edit.span.start);
    edits
}

fn output_max_edit(facts: &CallFacts, tokens: u64, field: &str) -> Edit {
    if let Some(set) = &facts.output_max {
        return replace(&set.span, tokens.to_string());
    }
    let nulls = &facts.anchors.output_null;
    match nulls.iter().find(|(name, _)| *name == field) {
        Some((_, null)) => replace(null, tokens.to_string()),
        // `model` is required, so a field follows.
        None => insert(facts.anchors.open, format!("\"{field}\":{tokens},")),
    }
}

fn include_usage_edit(facts: &CallFacts) -> Edit {
    match &facts.anchors.stream_options {
        StreamOptions::Absent => insert(
            facts.anchors.open,
            "\"stream_options\":{\"include_usage\":true},".to_owned(),
        ),
        StreamOptions::Null(null) => replace(null, "{\"include_usage\":true}".to_owned()),
        StreamOptions::Without { open, empty } => {
            let comma = if *empty { "" } else { "," };
            insert(*open, format!("\"include_usage\":true{comma}"))
        }
        StreamOptions::With(value) => replace(value, "true".to_owned()),
    }
}

fn insert(at: usize, text: String) -> Edit {
    let span = at..at;
    Edit { span, text }
}

fn replace(span: &Range<usize>, text: String) -> Edit {
    let span = span.clone();
    Edit { span, text }
}
