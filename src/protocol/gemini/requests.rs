//! What requests to Gemini's endpoints ask for, at Google AI and at Vertex.
//!
//! Both read protobuf's JSON: each field has two names (`maxOutputTokens`,
//! `max_output_tokens`), and a list of one may stand without its brackets.
//!
//! Source of the fields: Google's API references for `generateContent`,
//! `embedContent`, `countTokens` and Vertex's `predict`.

use super::answers::is_billed_by_call;
use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Field, Fields, Form, Member, ModelField, Place, Reading, StreamField,
    member, searches, spelt, take,
};
use crate::protocol::{Detail, TextSpan};

const CONFIG: &str = "generationConfig";

const CAP: CapField = CapField::In {
    object: CONFIG,
    name: "maxOutputTokens",
};

const GENERATE_MEMBERS: &[Member] = &[
    member("model", take::same_model),
    member("contents", contents),
    spelt("systemInstruction", "system_instruction", system),
    member("tools", tools),
    spelt("generationConfig", "generation_config", config),
    // A prompt that the provider keeps.
    spelt("cachedContent", "cached_content", take::unseen),
    spelt("serviceTier", "service_tier", take::service_tier),
    member("labels", take::metadata),
];

const fn generate(stream: bool) -> Form {
    Form {
        members: GENERATE_MEMBERS,
        model: ModelField::InPath,
        input: Some("contents"),
        stream: StreamField::Always(stream),
        cap: CapRule::Is(CAP),
    }
}

pub(in crate::protocol) const GENERATE: Form = generate(false);
pub(in crate::protocol) const STREAM_GENERATE: Form = generate(true);

/// Counting costs nothing.
pub(in crate::protocol) const COUNT_TOKENS: Form = without_output(&[]);

pub(in crate::protocol) const EMBED: Form = without_output(EMBED_MEMBERS);

pub(in crate::protocol) const BATCH_EMBED: Form = without_output(&[member("requests", requests)]);

/// Vertex's embeddings, and others of its models.
pub(in crate::protocol) const PREDICT: Form = without_output(&[member("instances", instances)]);

const fn without_output(members: &'static [Member]) -> Form {
    Form {
        members,
        model: ModelField::InPath,
        input: None,
        stream: StreamField::Always(false),
        cap: CapRule::Is(CapField::None),
    }
}

const EMBED_MEMBERS: &[Member] = &[
    member("model", take::same_model),
    member("content", content),
    member("title", take::optional_text),
    // Where Vertex's clients put the title.
    spelt("embedContentConfig", "embed_content_config", embed_config),
];

const EMBED_CONFIG: &[Member] = &[member("title", take::optional_text)];

const CONTENT: &[Member] = &[member("role", take::pass), member("parts", parts)];

const PART: &[Member] = &[
    member("text", take::optional_text),
    member("thought", take::pass),
    spelt("thoughtSignature", "thought_signature", take::pass),
    spelt("inlineData", "inline_data", inline_data),
    spelt("fileData", "file_data", file_data),
    spelt("functionCall", "function_call", take::any_text),
    spelt("functionResponse", "function_response", take::any_text),
    spelt("executableCode", "executable_code", take::any_text),
    spelt(
        "codeExecutionResult",
        "code_execution_result",
        take::any_text,
    ),
    spelt("videoMetadata", "video_metadata", take::pass),
    spelt("mediaResolution", "media_resolution", take::pass),
];

const BLOB: &[Member] = &[
    spelt("mimeType", "mime_type", take::pass),
    member("data", take::pass),
    spelt("displayName", "display_name", take::pass),
];

const FILE: &[Member] = &[
    spelt("mimeType", "mime_type", take::pass),
    spelt("fileUri", "file_uri", take::pass),
    spelt("displayName", "display_name", take::pass),
];

const CONFIG_MEMBERS: &[Member] = &[
    spelt("maxOutputTokens", "max_output_tokens", take::output_max),
    spelt("candidateCount", "candidate_count", take::n),
    spelt("responseSchema", "response_schema", take::any_text),
    spelt("responseJsonSchema", "response_json_schema", take::any_text),
    member("_responseJsonSchema", take::any_text),
    spelt("responseModalities", "response_modalities", modalities),
];

const INSTANCE: &[Member] = &[
    member("content", take::any_text),
    member("prompt", take::any_text),
    member("text", take::any_text),
    member("title", take::any_text),
    member("image", take::unseen_image),
    member("video", take::unseen),
    member("audio", take::unseen),
    spelt("taskType", "task_type", take::pass),
];

fn tools(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let by_call = is_billed_by_call(Some(reading.path_model()));
    searches::gemini_tools(reading, place, by_call)
}

fn contents(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.has_input = true;
    reading.each_or_one(place, |reading, place| {
        reading.count_message(place)?;
        content(reading, place)
    })
}

fn system(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        // Vertex takes a text as well.
        Kind::String => reading.text(place),
        _ => content(reading, place),
    }
}

fn content(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, CONTENT, take::any_text)
}

fn parts(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_or_one(place, |reading, place| {
        reading.object(place, PART, take::any_text)
    })
}

/// An image is counted by its size; other media can't be.
fn inline_data(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    if reading.json.peek()? == Kind::Null {
        return reading.skip();
    }
    let (mut media, mut data) = (Media::Unsaid, None::<TextSpan>);
    let mut fields = Fields::open(BLOB, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        match field {
            Field::Known(Member {
                name: "mimeType", ..
            }) => {
                media = Media::read(reading, &place.field("mimeType"))?;
            }
            Field::Known(Member { name: "data", .. }) => {
                data = Some(reading.required_string(&place.field("data"))?);
            }
            Field::Known(_) | Field::Other(_) => reading.skip()?,
        }
    }
    match data {
        Some(data) if media == Media::Image => {
            let data = (!data.escaped).then_some(data.span);
            reading.push_image(data, Detail::Unsaid)
        }
        // As base64 it is longer than the text, and has more tokens.
        Some(data) if media == Media::Text => reading.push_text(data),
        _ => {
            reading.unseen_input = true;
            reading.unseen_images += u64::from(media.may_be_image());
            Ok(())
        }
    }
}

/// What only the provider can see: a picture, unless it is said to be something else.
fn file_data(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    if reading.json.peek()? == Kind::Null {
        return reading.skip();
    }
    let mut media = Media::Unsaid;
    let mut fields = Fields::open(FILE, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        match field {
            Field::Known(Member {
                name: "mimeType", ..
            }) => media = Media::read(reading, &place.field("mimeType"))?,
            Field::Known(_) | Field::Other(_) => reading.skip()?,
        }
    }
    reading.unseen_input = true;
    reading.unseen_images += u64::from(media.may_be_image());
    Ok(())
}

/// A medium, as its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Unsaid,
    Image,
    Text,
    Other,
}

impl Media {
    fn read(reading: &mut Reading, place: &Place) -> Result<Self, Fault> {
        const KINDS: [(&str, Media); 5] = [
            ("image/", Media::Image),
            ("text/", Media::Text),
            ("audio/", Media::Other),
            ("video/", Media::Other),
            ("application/", Media::Other),
        ];
        if reading.json.peek()? == Kind::Null {
            return reading.skip().map(|()| Media::Unsaid);
        }
        let said = reading.required_string(place)?;
        let said = reading.json.key_text(&said).as_bytes();
        let is = |kind: &str| {
            let front = said.get(..kind.len());
            front.is_some_and(|front| front.eq_ignore_ascii_case(kind.as_bytes()))
        };
        let known = KINDS.into_iter().find(|(kind, _)| is(kind));
        Ok(known.map_or(Media::Unsaid, |(_, media)| media))
    }

    fn may_be_image(self) -> bool {
        matches!(self, Media::Unsaid | Media::Image)
    }
}

fn config(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.cap_object(place, CONFIG_MEMBERS)
}

fn embed_config(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, EMBED_CONFIG, take::pass)
}

/// What the answer may be made of. Pictures are counted as tokens like text;
/// sound is not known to be.
fn modalities(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each(place, |reading, place| {
        let modality = reading.required_string(place)?;
        let modality = reading.json.key_text(&modality);
        match ["TEXT", "IMAGE", "MODALITY_UNSPECIFIED"].contains(&modality) {
            true => Ok(()),
            false => Err(Fault::at(
                place,
                "may only be TEXT or IMAGE: no other output can be priced by this gateway",
            )),
        }
    })
}

fn requests(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_or_one(place, |reading, place| {
        reading.object(place, EMBED_MEMBERS, take::any_text)
    })
}

fn instances(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_or_one(place, |reading, place| match reading.json.peek()? {
        Kind::Object => reading.object(place, INSTANCE, take::any_text),
        _ => reading.any_text(place),
    })
}
