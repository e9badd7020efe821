//! `/v1/responses`: items in, and what else the model reads.

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Field, Fields, Form, Member, ModelField, Place, Reading, StreamField,
    member, searches, take,
};

pub(in crate::protocol) const RESPONSES: Form = Form {
    members: MEMBERS,
    model: ModelField::Required,
    input: None,
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::Body("max_output_tokens")),
};

/// Counting costs nothing.
pub(in crate::protocol) const RESPONSES_INPUT_TOKENS: Form = Form {
    members: &[member("model", take::model), member("input", take::pass)],
    model: ModelField::Required,
    input: None,
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

const MEMBERS: &[Member] = &[
    member("model", take::model),
    member("input", input),
    member("instructions", take::any_text),
    member("stream", take::stream),
    member("max_output_tokens", take::output_max),
    member("tools", searches::tools),
    member("max_tool_calls", searches::tool_calls_max),
    member("text", take::any_text),
    member("service_tier", take::service_tier),
    member("metadata", take::metadata),
    member("background", background),
    // What came before, which only the provider keeps.
    member("previous_response_id", take::unseen),
    member("conversation", take::unseen),
    member("prompt", take::unseen),
    // Fields of chat completions that would ask for more here.
    member("n", take::unpriced),
    member("messages", take::unpriced),
    member("max_tokens", take::unpriced),
    member("max_completion_tokens", take::unpriced),
];

const ITEM: &[Member] = &[
    member("type", item_type),
    member("id", take::pass),
    member("status", take::pass),
    member("call_id", take::pass),
    member("role", take::optional_text),
    member("content", content),
    member("name", take::optional_text),
    member("arguments", take::any_text),
    member("input", take::any_text),
    member("output", content),
    member("summary", content),
    // A few hundred bytes for each token of thought.
    member("encrypted_content", take::optional_text),
];

const PART: &[Member] = &[
    member("type", take::pass),
    member("text", take::optional_text),
    member("refusal", take::optional_text),
    member("image_url", image_url),
    member("detail", take::pass),
    member("file_id", take::pass),
    member("file_url", take::unseen),
    member("file_data", take::unseen),
    member("filename", take::pass),
    member("input_audio", take::unseen),
    member("annotations", take::pass),
    member("logprobs", take::pass),
];

/// A text, or an array of items.
fn input(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Null => reading.skip(),
        Kind::String => {
            reading.count_message(place)?;
            reading.text(place)
        }
        Kind::Array => reading.each(place, item),
        _ => Err(Fault::at(place, "must be a string or an array of items")),
    }
}

fn item(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.count_message(place)?;
    let seen = reading.texts.len() + reading.images.len();
    reading.object(place, ITEM, take::any_text)?;
    // One that only refers to what the provider keeps.
    if reading.texts.len() + reading.images.len() == seen {
        reading.unseen_input = true;
    }
    Ok(())
}

/// One that refers to another is as long as that.
fn item_type(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let kind = reading.required_string(place)?;
    reading.unseen_input |= reading.json.key_text(&kind) == "item_reference";
    Ok(())
}

/// A text, or parts; anything else as the text that it is.
fn content(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Array => reading.each(place, part),
        _ => part(reading, place),
    }
}

fn part(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    if reading.json.peek()? != Kind::Object {
        return reading.any_text(place);
    }
    let (mut is_file, mut kept) = (false, false);
    let mut fields = Fields::open(PART, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        match field {
            Field::Known(Member { name: "type", .. }) if reading.json.peek()? == Kind::String => {
                let kind = reading.json.string()?;
                is_file = reading.json.key_text(&kind) == "input_file";
            }
            Field::Known(Member {
                name: "file_id", ..
            }) => {
                kept = reading.json.peek()? != Kind::Null;
                reading.skip()?;
            }
            Field::Known(known) => (known.read)(reading, &place.field(known.name))?,
            Field::Other(_) => reading.any_text(place)?,
        }
    }
    // What the provider keeps is a picture, or looks like one: a screenshot.
    reading.unseen_input |= kept;
    reading.unseen_images += u64::from(kept && !is_file);
    Ok(())
}

fn image_url(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Null => reading.skip(),
        _ => reading.image_url(place),
    }
}

/// The answer would come when nobody looks any more.
fn background(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.only_false(
        place,
        "can't be true: what is answered in the background can't be metered by this gateway",
    )
}
