//! What requests to Cohere's own endpoints ask for.
//!
//! Source of the fields: Cohere's API reference, versions 1 and 2.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, Member, ModelField, Place, Reading, StreamField, member, take,
};

pub(in crate::protocol) const CHAT: Form = Form {
    members: &[
        member("model", take::model),
        member("messages", messages),
        member("documents", take::any_text),
        member("tools", take::tools),
        member("response_format", take::any_text),
        member("max_tokens", take::output_max),
        member("stream", take::stream),
    ],
    model: ModelField::Required,
    input: Some("messages"),
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::Body("max_tokens")),
};

/// Version 1: one message, and what went before it.
pub(in crate::protocol) const CHAT_V1: Form = Form {
    members: &[
        member("model", take::model),
        member("message", message_v1),
        member("chat_history", take::any_text),
        member("preamble", take::optional_text),
        member("documents", take::any_text),
        member("tools", take::tools),
        member("tool_results", take::any_text),
        member("response_format", take::any_text),
        member("max_tokens", take::output_max),
        member("stream", take::stream),
        // What only the provider keeps, or looks up by itself.
        member("conversation_id", take::unseen),
        member("connectors", connectors),
    ],
    model: ModelField::Required,
    input: Some("message"),
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::Body("max_tokens")),
};

pub(in crate::protocol) const EMBED: Form = Form {
    members: &[
        member("model", take::model),
        member("texts", take::texts),
        member("images", images),
        member("inputs", inputs),
    ],
    model: ModelField::Required,
    input: None,
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

const MESSAGE: &[Member] = &[
    member("role", take::text),
    member("content", content),
    member("tool_calls", take::any_text),
    member("tool_plan", take::optional_text),
    member("tool_call_id", take::pass),
    member("citations", take::pass),
];

const PART: &[Member] = &[
    member("type", take::pass),
    member("text", take::optional_text),
    member("thinking", take::any_text),
    member("image_url", image_url),
    member("document", take::any_text),
];

const IMAGE_URL: &[Member] = &[member("url", take::image_url), member("detail", take::pass)];

const INPUT: &[Member] = &[member("content", content)];

fn messages(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_message(place, |reading, place| {
        reading.object(place, MESSAGE, take::any_text)
    })
}

fn message_v1(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.count_message(place)?;
    reading.input_text(place)
}

fn connectors(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.unseen_tools("connectors", place)
}

fn content(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Array => reading.each(place, |reading, place| match reading.json.peek()? {
            Kind::Object => reading.object(place, PART, take::any_text),
            _ => reading.any_text(place),
        }),
        _ => reading.any_text(place),
    }
}

fn image_url(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Null => reading.skip(),
        Kind::Object => reading.object(place, IMAGE_URL, take::pass),
        _ => reading.image_url(place),
    }
}

fn images(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, take::image_url)
}

fn inputs(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, |reading, place| {
        reading.object(place, INPUT, take::any_text)
    })
}
