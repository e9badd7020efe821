//! `/v1/embeddings` and `/v1/moderations`: texts in, no tokens out.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, Member, ModelField, Place, Reading, StreamField, member, take,
};

/// `messages` is another server's: a chat to embed.
pub(in crate::protocol) const EMBEDDINGS: Form = Form {
    members: &[
        member("model", take::model),
        member("input", input),
        member("stream", not_streamed),
        member("messages", take::unpriced),
    ],
    model: ModelField::Required,
    input: Some("input"),
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

pub(in crate::protocol) const MODERATIONS: Form = Form {
    members: &[
        member("model", take::optional_model),
        member("input", moderated),
    ],
    model: ModelField::Usually("omni-moderation-latest"),
    input: Some("input"),
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

const MODERATED_PART: &[Member] = &[
    member("type", take::pass),
    member("text", take::optional_text),
    member("image_url", take::pass),
];

fn not_streamed(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.only_false(place, "can't be true: embeddings are not streamed")
}

fn input(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.prompts(place)?;
    if reading.texts.is_empty() && reading.token_ids == 0 {
        return Err(Fault::at(place, "must not be empty"));
    }
    // What is embedded has no answer that could be longer or shorter.
    reading.prompts = 1;
    reading.has_input = true;
    Ok(())
}

/// A string, or an array of strings or parts. It costs nothing, so images are
/// not looked at.
fn moderated(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.has_input = true;
    reading.each_or_one(place, |reading, place| match reading.json.peek()? {
        Kind::Object => reading.object(place, MODERATED_PART, take::pass),
        _ => reading.text(place),
    })
}
