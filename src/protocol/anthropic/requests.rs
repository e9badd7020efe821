//! What requests to Anthropic's messages API ask for.
//!
//! Source of the fields: Anthropic's API reference, "Messages" and "Count
//! Message tokens".

use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Field, Fields, Form, Member, ModelField, Place, Reading, StreamField,
    member, searches, take,
};
use crate::protocol::{Detail, TextSpan};

pub(in crate::protocol) const MESSAGES: Form = Form {
    members: &[
        member("model", take::model),
        member("messages", messages),
        member("system", content),
        member("max_tokens", take::output_max),
        member("stream", take::stream),
        member("tools", searches::tools_with_uses),
        member("thinking", thinking),
        member("context_management", context_management),
        member("output_config", take::any_text),
        member("output_format", take::any_text),
        member("service_tier", take::service_tier),
        member("metadata", take::metadata),
        // What a server of tools brings in, or a container holds, is read too.
        member("mcp_servers", mcp_servers),
        member("container", take::unseen),
    ],
    model: ModelField::Required,
    input: Some("messages"),
    stream: StreamField::Usually(false),
    cap: CapRule::Is(CapField::Body("max_tokens")),
};

/// Counting costs nothing.
pub(in crate::protocol) const COUNT_TOKENS: Form = Form {
    members: &[member("model", take::model)],
    model: ModelField::Required,
    input: None,
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

const MESSAGE: &[Member] = &[member("role", take::pass), member("content", content)];

const BLOCK: &[Member] = &[
    member("type", take::pass),
    member("source", take::pass),
    member("text", take::optional_text),
    member("cache_control", take::pass),
    member("citations", take::pass),
    member("id", take::pass),
    member("tool_use_id", take::pass),
    member("name", take::optional_text),
    member("input", take::any_text),
    member("content", content),
    member("is_error", take::pass),
    member("title", take::optional_text),
    member("context", take::optional_text),
    member("thinking", take::optional_text),
    member("signature", take::pass),
    member("data", take::optional_text),
    // A file by its name.
    member("file_id", take::unseen),
    // Of what a search found: only the server can read it.
    member("encrypted_content", take::unseen),
    member("encrypted_index", take::pass),
];

const SOURCE: &[Member] = &[
    member("type", take::pass),
    member("media_type", take::pass),
    member("data", take::pass),
    member("url", take::pass),
    member("file_id", take::pass),
    member("content", content),
];

/// Where an image or a document comes from.
#[derive(Default)]
struct Source {
    /// What the data is, by its media type.
    is_text: bool,
    is_image: bool,
    data: Option<TextSpan>,
    /// It consists of blocks or a text, which are read already.
    content: bool,
}

fn mcp_servers(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.unseen_tools("mcp", place)
}

const THINKING: &[Member] = &[member("type", |reading, place| {
    let kind = reading.required_string(place)?;
    reading.thinks = reading.json.key_text(&kind) != "disabled";
    Ok(())
})];

fn thinking(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, THINKING, take::pass)
}

const CONTEXT_MANAGEMENT: &[Member] = &[member("edits", |reading, place| {
    reading.each(place, |reading, place| {
        reading.object(place, CONTEXT_EDIT, take::pass)
    })
})];

const CONTEXT_EDIT: &[Member] = &[member("type", context_edit)];

/// What only takes away is fine. A summary is another answer, that nothing
/// bounds and that the usage of the call leaves out.
fn context_edit(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let kind = reading.required_string(place)?;
    match reading.json.key_text(&kind).starts_with("clear_") {
        true => Ok(()),
        false => Err(Fault::at(
            place,
            "must be one that clears: what is summed up can't be bounded by this gateway",
        )),
    }
}

fn context_management(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, CONTEXT_MANAGEMENT, take::pass)
}

pub(in crate::protocol) fn messages(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_message(place, |reading, place| {
        reading.object(place, MESSAGE, take::any_text)
    })
}

/// A string, or blocks, which may hold blocks themselves; anything else as the
/// text that it is.
pub(in crate::protocol) fn content(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Array => reading.each(place, block),
        Kind::Object => block(reading, place),
        _ => reading.any_text(place),
    }
}

/// Blocks hold blocks in the results of tools and in documents. The scanner's
/// bound on nesting is the bound on this.
fn block(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    if reading.json.peek()? != Kind::Object {
        return reading.any_text(place);
    }
    let (mut is_image, mut found) = (false, None);
    let mut fields = Fields::open(BLOCK, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        match field {
            Field::Known(Member { name: "type", .. }) => {
                let kind = reading.required_string(&place.field("type"))?;
                is_image = reading.json.key_text(&kind) == "image";
            }
            Field::Known(Member { name: "source", .. }) => {
                found = Some(source(reading, &place.field("source"))?);
            }
            Field::Known(known) => (known.read)(reading, &place.field(known.name))?,
            Field::Other(_) => reading.any_text(place)?,
        }
    }
    match found {
        None => Ok(()),
        Some(source) => take(reading, source, is_image),
    }
}

fn source(reading: &mut Reading, place: &Place) -> Result<Source, Fault> {
    let mut source = Source::default();
    // A search result names its source by a text alone.
    if reading.json.peek()? != Kind::Object {
        reading.any_text(place)?;
        source.content = true;
        return Ok(source);
    }
    let mut fields = Fields::open(SOURCE, &mut reading.json, place)?;
    while let Some(field) = fields.next(&mut reading.json, place)? {
        let Field::Known(known) = field else {
            reading.any_text(place)?;
            continue;
        };
        let place = place.field(known.name);
        match known.name {
            "media_type" => {
                let media = reading.required_string(&place)?;
                let media = reading.json.key_text(&media);
                source.is_image = media.starts_with("image/");
                source.is_text = media.starts_with("text/");
            }
            "data" => source.data = Some(reading.required_string(&place)?),
            "content" => {
                content(reading, &place)?;
                source.content = true;
            }
            _ => (known.read)(reading, &place)?,
        }
    }
    Ok(source)
}

fn take(reading: &mut Reading, source: Source, is_image: bool) -> Result<(), Fault> {
    match source.data {
        None if source.content => Ok(()),
        Some(text) if source.is_text && !is_image => reading.push_text(text),
        Some(data) if source.is_image || is_image => {
            let data = (!data.escaped).then_some(data.span);
            reading.push_image(data, Detail::Unsaid)
        }
        // By its address or name.
        None if is_image => reading.push_image(None, Detail::Unsaid),
        // A PDF, or what is elsewhere.
        _ => {
            reading.unseen_input = true;
            Ok(())
        }
    }
}
