//! Requests that come as `multipart/form-data`: fields beside files.

use super::{CapField, Fault, INTEGER_MAX, Place, Want, Wants, is_model_name};
use crate::protocol::multipart::{self, Part};
use crate::protocol::{
    Anchors, BodyError, CallFacts, Choices, Detail, FieldSpan, Image, ModelPlace, TextSpan,
};

/// How the parts of one endpoint's requests are read; others are passed over.
pub(in crate::protocol) struct Upload {
    pub parts: &'static [(&'static str, What)],
    /// The part without which there is nothing to do.
    pub input: &'static str,
    /// The model where none is named.
    pub usual_model: Option<&'static str>,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum What {
    Model,
    Stream,
    Text,
    /// How many answers are asked for.
    Choices,
    Image,
    /// A recording, whose length can't be told.
    Recording,
}

const NUMBER_RULE: &str = "must be an integer of at least 1";

/// Reads a whole body.
///
/// # Errors
/// As [`super::read`].
pub(super) fn read(
    upload: &Upload,
    boundary: &str,
    body: &[u8],
    wants: Wants,
) -> Result<CallFacts, BodyError> {
    let parts = multipart::parts(boundary, body).map_err(|error| BodyError {
        message: format!("The request body is not a form that this gateway accepts: {error}."),
        param: None,
    })?;
    let mut reading = Uploaded {
        body,
        seen: 0,
        facts: nothing(upload),
    };
    for part in &parts {
        if wants.fields != Want::Not {
            reading.facts.fields.push(field(part));
        }
        reading.part(upload, part)?;
    }
    Ok(reading.finish(upload)?)
}

/// At most as many as there are parts.
fn field(part: &Part) -> FieldSpan {
    FieldSpan {
        path: bare_name(part).to_owned(),
        object: None,
        span: part.whole.clone(),
    }
}

/// Without the brackets of one that may come several times.
fn bare_name<'b>(part: &Part<'b>) -> &'b str {
    part.name.strip_suffix("[]").unwrap_or(part.name)
}

struct Uploaded<'b> {
    body: &'b [u8],
    /// One bit for each of the parts that may come once.
    seen: u64,
    facts: CallFacts,
}

fn nothing(upload: &Upload) -> CallFacts {
    CallFacts {
        model: upload.usual_model.unwrap_or_default().to_owned(),
        stream: false,
        include_usage: false,
        output_max: None,
        cap_field: CapField::None,
        answers: 1,
        choices: 1,
        prompts: 1,
        texts: Vec::new(),
        has_raw_json: false,
        messages: 0,
        names: 0,
        tools: 0,
        thinks: false,
        token_ids: 0,
        images: Vec::new(),
        unseen_input: false,
        unseen_images: 0,
        searches: 0,
        repeated: None,
        service_tier: None,
        tool_names: Vec::new(),
        metadata: Vec::new(),
        fields: Vec::new(),
        anchors: Anchors {
            form: true,
            // A part that isn't there can't be added.
            model: ModelPlace::Fixed,
            ..Anchors::default()
        },
    }
}

impl Uploaded<'_> {
    fn part(&mut self, upload: &Upload, part: &Part) -> Result<(), Fault> {
        let name = bare_name(part);
        let mut known = upload.parts.iter().enumerate();
        let fits = |known: &str| known.eq_ignore_ascii_case(name);
        let Some((index, (known, what))) = known.find(|(_, (known, _))| fits(known)) else {
            return Ok(());
        };
        let place = Place::Body.field(known);
        if *known != name {
            return Err(Fault::at(
                &place,
                "is written in another case; servers differ in how they read that",
            ));
        }
        let bit = 1_u64 << (index % 64);
        if *what != What::Image && self.seen & bit != 0 {
            return Err(Fault::at(&place, "is given twice; give it once"));
        }
        self.seen |= bit;
        self.take(*what, part, &place)
    }

    fn take(&mut self, what: What, part: &Part, place: &Place) -> Result<(), Fault> {
        let facts = &mut self.facts;
        match what {
            What::Recording => facts.unseen_input = true,
            What::Image => facts.images.push(Image {
                data: None,
                detail: Detail::Unsaid,
            }),
            What::Text => {
                text(self.body, part, place)?;
                facts.texts.push(TextSpan {
                    span: part.content.clone(),
                    escaped: false,
                });
            }
            What::Model => {
                let model = text(self.body, part, place)?;
                if !is_model_name(model) {
                    return Err(Fault::at(place, "must be a model's name"));
                }
                facts.model = model.to_owned();
                facts.anchors.model = ModelPlace::Raw(part.content.clone());
            }
            What::Stream => {
                facts.stream = match text(self.body, part, place)? {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Fault::at(place, "must be true or false")),
                }
            }
            What::Choices => {
                let number = text(self.body, part, place)?.parse().ok();
                let number = number.filter(|n| (1..=INTEGER_MAX).contains(n));
                facts.choices = number.ok_or_else(|| Fault::at(place, NUMBER_RULE))?;
                facts.answers = facts.choices;
                facts.anchors.choices.push(Choices {
                    count: facts.choices,
                    span: part.content.clone(),
                });
            }
        }
        Ok(())
    }

    fn finish(self, upload: &Upload) -> Result<CallFacts, Fault> {
        let mut parts = upload.parts.iter();
        let input = parts.position(|(name, _)| *name == upload.input);
        if input.is_none_or(|index| self.seen & (1 << (index % 64)) == 0) {
            return Err(Fault::missing(&Place::Body.field(upload.input)));
        }
        if self.facts.model.is_empty() {
            return Err(Fault::missing(&Place::Body.field("model")));
        }
        Ok(self.facts)
    }
}

fn text<'b>(body: &'b [u8], part: &Part, place: &Place) -> Result<&'b str, Fault> {
    let bytes = body.get(part.content.clone()).unwrap_or_default();
    let text = simdutf8::basic::from_utf8(bytes).ok();
    text.filter(|_| !part.is_file)
        .ok_or_else(|| Fault::at(place, "must be a text in UTF-8"))
}
