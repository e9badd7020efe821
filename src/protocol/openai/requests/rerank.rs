//! `/v1/rerank`, as Cohere, Jina and Voyage have it: a query and documents in,
//! no tokens out.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, ModelField, Place, Reading, StreamField, member, take,
};

pub(in crate::protocol) const RERANK: Form = Form {
    members: &[
        member("model", take::model),
        member("query", take::any_text),
        member("documents", documents),
    ],
    model: ModelField::Required,
    input: Some("documents"),
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

/// Texts, or objects whose members are read.
fn documents(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    if reading.json.peek()? != Kind::Array {
        return Err(Fault::at(place, "must be an array"));
    }
    reading.has_input = true;
    reading.each(place, take::any_text)
}
