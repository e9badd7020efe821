//! What requests to Ollama's own endpoints ask for.
//!
//! Source of the fields: Ollama's API documentation.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, Member, ModelField, Place, Reading, StreamField, member, take,
};

const CAP: CapField = CapField::In {
    object: "options",
    name: "num_predict",
};

/// Streams unless it is told not to.
pub(in crate::protocol) const CHAT: Form = Form {
    members: &[
        member("model", take::model),
        member("messages", messages),
        member("tools", take::tools),
        member("format", take::any_text),
        member("options", options),
        member("stream", take::stream),
    ],
    model: ModelField::Required,
    input: None,
    stream: StreamField::Usually(true),
    cap: CapRule::Is(CAP),
};

pub(in crate::protocol) const GENERATE: Form = Form {
    members: &[
        member("model", take::model),
        member("prompt", take::optional_text),
        member("suffix", take::optional_text),
        member("system", take::optional_text),
        // A program, whose text says nothing of how long its outcome is.
        member("template", template),
        member("images", take::images_base64),
        member("format", take::any_text),
        member("context", context),
        member("options", options),
        member("stream", take::stream),
    ],
    model: ModelField::Required,
    input: None,
    stream: StreamField::Usually(true),
    cap: CapRule::Is(CAP),
};

pub(in crate::protocol) const EMBED: Form = Form {
    members: &[
        member("model", take::model),
        member("input", take::input_texts),
    ],
    model: ModelField::Required,
    input: Some("input"),
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

const MESSAGE: &[Member] = &[
    member("role", take::text),
    member("content", take::optional_text),
    member("thinking", take::optional_text),
    member("images", take::images_base64),
    member("tool_calls", take::any_text),
    member("tool_name", take::optional_text),
];

const OPTIONS: &[Member] = &[member("num_predict", take::output_max_or_negative)];

/// The model's own where it is empty.
fn template(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let text = reading.json.peek()? == Kind::String;
    match text && reading.json.peeks_at_empty_string() {
        true => reading.skip(),
        false => reading.unseen(place),
    }
}

/// Absent or empty, the model is only loaded.
fn messages(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, |reading, place| {
        reading.count_message(place)?;
        reading.object(place, MESSAGE, take::any_text)
    })
}

fn options(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.cap_object(place, OPTIONS)
}

/// An earlier answer's tokens.
fn context(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, take::token_id)
}
