//! `/v1/completions`: prompts as text or token ids.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, ModelField, Place, Reading, StreamField, member, take,
};

/// `prompt_embeds` is another server's: a prompt as vectors.
pub(in crate::protocol) const COMPLETIONS: Form = Form {
    members: &[
        member("model", take::model),
        member("prompt", prompt),
        member("suffix", take::optional_text),
        member("stream", take::stream),
        member("stream_options", take::stream_options),
        member("max_tokens", take::output_max),
        member("max_completion_tokens", other_cap),
        member("n", take::n),
        member("best_of", take::best_of),
        member("service_tier", take::service_tier),
        member("prompt_embeds", take::unpriced),
        // OpenRouter's, as in chats.
        member("models", take::unpriced),
        member("preset", take::unpriced),
    ],
    model: ModelField::Required,
    input: None,
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::Body("max_tokens")),
};

/// One that is absent or null is the start of a new document: one prompt.
fn prompt(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Null => reading.skip(),
        _ => reading.prompts(place),
    }
}

/// A server that doesn't read it would answer without a cap.
fn other_cap(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.only_null(place, "is not a field of this endpoint; set max_tokens")
}
