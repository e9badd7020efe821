//! The bytes that change in a request: its model, how much it may answer, the
//! wish for a stream's usage, and fields that go.

use super::form::CapPlace;
use super::is_model_name;
use crate::protocol::json_edit::Edit;
use crate::protocol::{CallFacts, FieldSpan, ModelPlace, Slot};
use std::ops::Range;

/// What is to differ in a request. The default changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes<'c> {
    /// The cap on the output in tokens, and where it is written if the client
    /// set none; one that it set keeps its field.
    pub output_max: Option<(u64, CapPlace)>,
    /// One that the client set takes that field's name all the same. Only of fields
    /// of the body itself.
    pub moves_cap: bool,
    /// `stream_options.include_usage: true`.
    pub include_usage: bool,
    /// Another model, as [`is_model_name`] has it. Only where
    /// [`CallFacts::model_is_rewritable`]; a path that names the model is changed
    /// beside it, by [`Endpoint::path_for_model`].
    ///
    /// [`Endpoint::path_for_model`]: crate::protocol::Endpoint::path_for_model
    pub model: Option<&'c str>,
    /// The most answers: `n`, `best_of` and their like where they are larger.
    pub choices: Option<u64>,
    /// Paths of fields that go, as [`FieldSpan::is_named`] takes them. Only of a
    /// body that was read with [`Wants::fields`]. They go before all else, so a
    /// cap whose field is dropped is written where [`Self::output_max`] says.
    ///
    /// [`Wants::fields`]: super::Wants::fields
    pub drop_fields: &'c [&'c str],
}

/// The edits that make `changes` in the body of `facts`, in the order of their
/// places, as [`crate::protocol::json_edit::apply`] takes them. The result is
/// JSON (or a form) that differs in just these.
///
/// The facts are those of the body before: where fields were dropped that say
/// how much is asked for, read the new body again.
pub fn edits(facts: &CallFacts, changes: &Changes) -> Vec<Edit> {
    let mut editing = Editing {
        dropped: Dropped::of(facts, changes.drop_fields),
        facts,
        new_fields: Vec::new(),
        edits: Vec::new(),
    };
    editing.remove();
    editing.clamp(changes.choices);
    if !facts.anchors.form {
        if let Some((tokens, place)) = changes.output_max {
            editing.output_max(tokens, place, changes.moves_cap);
        }
        if changes.include_usage {
            editing.include_usage();
        }
    }
    if let Some(model) = changes.model {
        editing.model(model);
    }
    editing.finish()
}

impl CallFacts {
    /// Whether [`Changes::model`] can be made: not where the body names several
    /// models, or is a form that names none.
    pub fn model_is_rewritable(&self) -> bool {
        self.anchors.model != ModelPlace::Fixed
    }

    /// [`CallFacts::answers`], if each prompt had at most so many.
    pub fn answers_at(&self, choices_max: u64) -> u64 {
        let choices = self.choices.min(choices_max).max(1);
        choices.saturating_mul(self.prompts)
    }
}

/// The edits of one body, as they are gathered.
struct Editing<'f> {
    facts: &'f CallFacts,
    dropped: Dropped<'f>,
    /// Fields that are put in front of all others of the body.
    new_fields: Vec<String>,
    edits: Vec<Edit>,
}

impl Editing<'_> {
    fn finish(mut self) -> Vec<Edit> {
        if !self.new_fields.is_empty() {
            let mut text = self.new_fields.join(",");
            let anchors = &self.facts.anchors;
            if !self.dropped.empties(None, anchors.empty) {
                text.push(',');
            }
            self.insert(anchors.open, text);
        }
        // An insertion goes before what is taken away at the same place.
        self.edits
            .sort_by_key(|edit| (edit.span.start, edit.span.end));
        self.edits
    }

    fn remove(&mut self) {
        let removed = self.dropped.removed(self.facts.anchors.form);
        let edits = removed.into_iter().map(|span| Edit {
            span,
            text: String::new(),
        });
        self.edits.extend(edits);
    }

    fn clamp(&mut self, choices_max: Option<u64>) {
        let Some(most) = choices_max.map(|most| most.max(1)) else {
            return;
        };
        for choices in &self.facts.anchors.choices {
            if choices.count > most && !self.dropped.holds(&choices.span) {
                self.replace(&choices.span, most.to_string());
            }
        }
    }

    fn output_max(&mut self, tokens: u64, place: CapPlace, moves: bool) {
        let facts = self.facts;
        let set = facts.output_max.as_ref();
        if let Some(set) = set.filter(|set| !self.dropped.holds(&set.span)) {
            if moves {
                self.replace(&set.key, place.name.to_owned());
            }
            return self.replace(&set.span, tokens.to_string());
        }
        let mut nulls = facts.anchors.output_null.iter();
        let null = nulls.find(|(name, _)| *name == place.name);
        if let Some((_, null)) = null.filter(|(_, null)| !self.dropped.holds(null)) {
            return self.replace(null, tokens.to_string());
        }
        let name = place.name;
        match place.object {
            None => self.new_fields.push(format!("\"{name}\":{tokens}")),
            Some(object) => {
                let mut objects = facts.anchors.cap_objects.iter();
                let slot = objects.find(|(known, _)| *known == object);
                let slot = slot.map_or(&Slot::Absent, |(_, slot)| slot);
                self.member(slot, object, name, tokens);
            }
        }
    }

    fn include_usage(&mut self) {
        let anchors = &self.facts.anchors;
        let value = anchors.include_usage.as_ref();
        match value.filter(|value| !self.dropped.holds(value)) {
            Some(_) if self.facts.include_usage => {}
            Some(value) => self.replace(value, "true".to_owned()),
            None => self.member(
                &anchors.stream_options,
                "stream_options",
                "include_usage",
                true,
            ),
        }
    }

    fn model(&mut self, model: &str) {
        let facts = self.facts;
        match &facts.anchors.model {
            ModelPlace::Json { span, prefix } if !self.dropped.holds(span) => {
                if model != facts.model {
                    self.replace(span, json_string(&format!("{prefix}{model}")));
                }
            }
            ModelPlace::Json { .. } | ModelPlace::Nowhere => {
                let field = format!("\"model\":{}", json_string(model));
                self.new_fields.push(field);
            }
            // Without control characters it can't end its part.
            ModelPlace::Raw(span) if is_model_name(model) && !self.dropped.holds(span) => {
                self.replace(span, model.to_owned());
            }
            ModelPlace::Raw(_) | ModelPlace::Path | ModelPlace::Fixed => {}
        }
    }

    /// Puts a member into an object that is a field of the body.
    fn member(
        &mut self,
        slot: &Slot,
        object: &'static str,
        name: &str,
        value: impl std::fmt::Display,
    ) {
        let member = format!("\"{name}\":{value}");
        match slot {
            Slot::Null(null) if !self.dropped.holds(null) => {
                self.replace(null, format!("{{{member}}}"));
            }
            Slot::Object { open, empty } if !self.dropped.holds(&brace_before(*open)) => {
                let empty = self.dropped.empties(Some(object), *empty);
                let comma = if empty { "" } else { "," };
                self.insert(*open, format!("{member}{comma}"));
            }
            _ => self.new_fields.push(format!("\"{object}\":{{{member}}}")),
        }
    }

    fn insert(&mut self, at: usize, text: String) {
        let span = at..at;
        self.edits.push(Edit { span, text });
    }

    fn replace(&mut self, span: &Range<usize>, text: String) {
        let span = span.clone();
        self.edits.push(Edit { span, text });
    }
}

/// The brace behind which members go.
fn brace_before(open: usize) -> Range<usize> {
    open.saturating_sub(1)..open
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Which fields go.
struct Dropped<'f> {
    fields: &'f [FieldSpan],
    /// One for each field; empty where none goes.
    goes: Vec<bool>,
}

impl<'f> Dropped<'f> {
    fn of(facts: &'f CallFacts, paths: &[&str]) -> Self {
        let fields = facts.fields.as_slice();
        let named = |field: &FieldSpan| paths.iter().any(|path| field.is_named(path));
        let goes = match paths.is_empty() {
            true => Vec::new(),
            false => fields.iter().map(named).collect(),
        };
        Self { fields, goes }
    }

    /// The fields, and whether each goes.
    fn each(&self) -> impl Iterator<Item = (&'f FieldSpan, bool)> {
        self.fields.iter().zip(self.goes.iter().copied())
    }

    /// Whether a place goes with a field that it is in.
    fn holds(&self, place: &Range<usize>) -> bool {
        let covers = |span: &Range<usize>| span.start <= place.start && place.end <= span.end;
        self.each().any(|(field, goes)| goes && covers(&field.span))
    }

    /// Whether nothing is left of the body, or of an object in it, that was
    /// `empty` or not.
    fn empties(&self, object: Option<&str>, empty: bool) -> bool {
        let mut left = self.each().filter(|(_, goes)| !goes);
        match self.goes.is_empty() {
            true => empty,
            false => !left.any(|(field, _)| field.object == object),
        }
    }

    /// The spans to take away, each with just one comma where one is left over.
    fn removed(&self, form: bool) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        if form {
            // Parts have nothing between them.
            let gone = self.each().filter(|(_, goes)| *goes);
            spans.extend(gone.map(|(field, _)| field.span.clone()));
            return spans;
        }
        if !self.goes.contains(&true) {
            return spans;
        }
        self.removed_of(None, &mut spans);
        // An object that goes itself takes its members along.
        let objects = self
            .each()
            .filter(|(field, goes)| !goes && field.object.is_none());
        for (object, _) in objects {
            self.removed_of(Some(object), &mut spans);
        }
        spans
    }

    /// Those of the body, or of one object in it.
    fn removed_of(&self, object: Option<&FieldSpan>, spans: &mut Vec<Range<usize>>) {
        let name = object.map(|object| object.path.as_str());
        let (mut kept_end, mut run) = (None, None::<Range<usize>>);
        for (field, goes) in self.each().filter(|(field, _)| field.object == name) {
            let Range { start, end } = field.span;
            if goes {
                // With the comma before it, if anything is left there.
                let begin = run.map_or(kept_end.unwrap_or(start), |run| run.start);
                run = Some(begin..end);
                continue;
            }
            if let Some(run) = run.take() {
                // What comes first goes with the comma behind it.
                let until = if kept_end.is_some() { run.end } else { start };
                spans.push(run.start..until);
            }
            kept_end = Some(end);
        }
        spans.extend(run);
    }
}
