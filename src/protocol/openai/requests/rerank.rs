//! `/v1/rerank`, as Cohere, Jina and Voyage have it: a query and documents in,
//! no tokens out.
//!
//! Voyage counts the query anew with each document, which is the most that any
//! of them does.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, ModelField, Place, Reading, StreamField, member, take,
};

pub(in crate::protocol) const RERANK: Form = Form {
    members: &[
        member("model", take::model),
        member("query", query),
        member("documents", documents),
    ],
    model: ModelField::Required,
    input: Some("documents"),
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

fn query(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let before = reading.texts.len();
    reading.any_text(place)?;
    reading.repeated = reading.texts.get(before).cloned();
    Ok(())
}

/// Texts, or objects whose members are read.
fn documents(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    if reading.json.peek()? != Kind::Array {
        return Err(Fault::at(place, "must be an array"));
    }
    reading.has_input = true;
    reading.each(place, |reading, place| {
        reading.repeats += 1;
        reading.any_text(place)
    })
}
