//! `/v1/images/generations` and `/v1/audio/speech`: texts in, pictures or sound
//! out, which no cap on tokens bounds.

use crate::protocol::request::{CapField, CapRule, Form, ModelField, StreamField, member, take};

/// Where no model is named, OpenAI takes the oldest.
pub(in crate::protocol) const IMAGE_GENERATIONS: Form = Form {
    members: &[
        member("model", take::optional_model),
        member("prompt", take::input_text),
        member("n", take::n),
        member("stream", take::stream),
    ],
    model: ModelField::Usually("dall-e-2"),
    input: Some("prompt"),
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::None),
};

pub(in crate::protocol) const SPEECH: Form = Form {
    members: &[
        member("model", take::model),
        member("input", take::input_text),
        member("instructions", take::optional_text),
        // Its name, or an object that describes it.
        member("voice", take::pass),
    ],
    model: ModelField::Required,
    input: Some("input"),
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};
