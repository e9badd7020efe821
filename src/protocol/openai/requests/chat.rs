//! `/v1/chat/completions`: messages, and what else the model reads.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Field, Fields, Form, Member, ModelField, Place, Reading, StreamField,
    member, searches, take,
};
use crate::protocol::{Detail, TextSpan};
use std::ops::Range;

/// `documents` and the templates are those of other servers that speak this
/// dialect, and end up in the prompt there.
pub(in crate::protocol) const CHAT: Form = Form {
    members: &[
        member("model", take::model),
        member("messages", messages),
        member("stream", take::stream),
        member("stream_options", take::stream_options),
        member("max_tokens", take::output_max),
        member("max_completion_tokens", take::output_max),
        member("n", take::n),
        // OpenAI has it for completions only; others answer it here too.
        member("best_of", take::best_of),
        member("service_tier", take::service_tier),
        member("metadata", take::metadata),
        member("tools", take::tools),
        member("web_search_options", searches::search_options),
        member("functions", take::tools),
        member("response_format", take::any_text),
        member("prediction", prediction),
        member("modalities", modalities),
        member("audio", take::unpriced),
        // OpenRouter's: other models than the one that is judged, and what it
        // keeps of a call.
        member("deferred", deferred),
        member("models", take::unpriced),
        member("preset", take::unpriced),
        member("documents", take::any_text),
        // A program, whose text says nothing of how long its outcome is.
        member("chat_template", take::unseen),
        // Google's and Azure's: what they keep is read too.
        member("extra_body", take::unseen),
        member("data_sources", take::unseen),
        member("chat_template_kwargs", take::any_text),
    ],
    model: ModelField::Required,
    input: Some("messages"),
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::OfModel),
};

const MESSAGE: &[Member] = &[
    member("role", take::text),
    member("content", content),
    member("name", name),
    member("refusal", take::optional_text),
    member("tool_calls", tool_calls),
    member("function_call", call),
    // An earlier spoken answer, of unknown length.
    member("audio", take::unseen),
    member("tool_call_id", take::pass),
];

const PREDICTION: &[Member] = &[member("type", take::pass), member("content", content)];

const TOOL_CALL: &[Member] = &[
    member("id", take::pass),
    member("type", take::pass),
    member("index", take::pass),
    member("function", call),
    member("custom", call),
];

const CALL: &[Member] = &[
    member("name", take::any_text),
    member("arguments", take::any_text),
    member("input", take::any_text),
];

/// What a part of a content may hold, each under the name that its `type` has.
const PART: &[Member] = &[
    member("type", take::pass),
    member("text", take::pass),
    member("refusal", take::pass),
    member("image_url", take::pass),
    member("input_audio", take::pass),
    member("file", take::pass),
];
const PARTS: [&str; 5] = ["text", "refusal", "image_url", "input_audio", "file"];

const IMAGE_URL: &[Member] = &[member("url", take::pass), member("detail", take::pass)];

/// xAI's: the answer would come when nobody looks any more.
fn deferred(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.only_false(
        place,
        "can't be true: what is answered later can't be metered by this gateway",
    )
}

fn messages(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_message(place, message)
}

fn message(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let mut has_role = false;
    let mut fields = Fields::open(MESSAGE, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        match field {
            Field::Known(known) => {
                (known.read)(reading, &place.field(known.name))?;
                has_role |= known.name == "role";
            }
            // Some servers have the model read more than OpenAI's does
            // (`reasoning_content`, say).
            Field::Other(_) => reading.any_text(place)?,
        }
    }
    match has_role {
        true => Ok(()),
        false => Err(Fault::missing(&place.field("role"))),
    }
}

fn name(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.names += u64::from(reading.has_text(place)?);
    Ok(())
}

/// A string, null, or an array of parts.
fn content(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Null => reading.skip(),
        Kind::String => reading.text(place),
        Kind::Array => reading.each(place, part),
        _ => Err(Fault::at(
            place,
            "must be a string, null or an array of parts",
        )),
    }
}

/// What a part holds.
enum Held {
    Text(TextSpan),
    Image(Option<Range<usize>>, Detail),
    Unseen,
}

fn part(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let mut kind: Option<&'static str> = None;
    let mut held: Option<(&'static str, Held)> = None;
    let mut fields = Fields::open(PART, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        let Field::Known(Member { name, .. }) = field else {
            reading.skip()?;
            continue;
        };
        let place_of = place.field(name);
        if *name == "type" {
            kind = Some(part_kind(reading, &place_of)?);
            continue;
        }
        if reading.json.peek()? == Kind::Null {
            reading.skip()?;
            continue;
        }
        let value = match *name {
            "text" | "refusal" => Held::Text(reading.required_string(&place_of)?),
            "image_url" => image_url(reading, &place_of)?,
            _ => reading.skip().map(|()| Held::Unseen)?,
        };
        // Servers differ in which of two they read.
        if held.replace((name, value)).is_some() {
            return Err(Fault::at(
                place,
                "must hold one of text, refusal, image_url, input_audio and file, not several",
            ));
        }
    }
    let kind = kind.ok_or_else(|| Fault::missing(&place.field("type")))?;
    let (name, value) = held.ok_or_else(|| Fault::missing(&place.field(kind)))?;
    if name != kind {
        return Err(Fault::at(
            &place.field(name),
            "does not fit the part's type",
        ));
    }
    match value {
        Held::Text(text) => reading.push_text(text),
        Held::Image(data, detail) => reading.push_image(data, detail),
        Held::Unseen => {
            reading.unseen_input = true;
            Ok(())
        }
    }
}

fn part_kind(reading: &mut Reading, place: &Place) -> Result<&'static str, Fault> {
    let kind = reading.required_string(place)?;
    let kind = reading.json.key_text(&kind);
    let known = PARTS.into_iter().find(|known| *known == kind);
    known.ok_or_else(|| Fault::at(place, PART_RULE))
}

/// `{"url": ..., "detail": ...}`; some servers take the address alone.
fn image_url(reading: &mut Reading, place: &Place) -> Result<Held, Fault> {
    if reading.json.peek()? != Kind::Object {
        let url = reading.required_string(place)?;
        return Ok(Held::Image(reading.data_of(&url), Detail::Unsaid));
    }
    let (mut data, mut detail) = (None, Detail::Unsaid);
    let mut fields = Fields::open(IMAGE_URL, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        match field {
            Field::Known(Member { name: "url", .. }) => {
                let url = reading.required_string(&place.field("url"))?;
                data = reading.data_of(&url);
            }
            Field::Known(_) if reading.json.peek()? == Kind::String => {
                let said = reading.json.string()?;
                detail = match reading.json.key_text(&said) {
                    "low" => Detail::Low,
                    "high" => Detail::High,
                    _ => Detail::Unsaid,
                };
            }
            Field::Known(_) | Field::Other(_) => reading.skip()?,
        }
    }
    Ok(Held::Image(data, detail))
}

fn tool_calls(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, |reading, place| {
        reading.object(place, TOOL_CALL, take::any_text)
    })
}

/// What the model called, and with what: every text of it is read again.
fn call(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, CALL, take::any_text)
}

/// The expected answer: `{"type": "content", "content": ...}`.
fn prediction(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, PREDICTION, take::pass)
}

/// What the answer may be made of. Only text is counted so far.
fn modalities(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, |reading, place| {
        let modality = reading.required_string(place)?;
        match reading.json.key_text(&modality) {
            "text" => Ok(()),
            _ => Err(Fault::at(place, UNPRICED_MODALITY)),
        }
    })
}

const PART_RULE: &str = "must be text, refusal, image_url, input_audio or file: nothing else can \
                         be counted or priced by this gateway";
const UNPRICED_MODALITY: &str = "may only be text: no other output can be priced by this gateway";
