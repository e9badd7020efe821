//! What a request asks for, whatever its dialect, and the edits that weir makes.
//!
//! [`read`] walks a body once and keeps only [`CallFacts`]: spans and numbers,
//! no text but the model's name. [`edits`] turns a decision into the few bytes
//! that change. What the fields of an endpoint mean is its dialect's part: a
//! [`Form`] names them and how each is read.
//!
//! Always holds: what is judged here is what the provider reads. So a field
//! that is read may not stand twice in its object, nor under a name that only
//! some parsers take for it; at the top no two fields share a name at all.
//! What asks for work that can't be bounded or counted is refused, or said to
//! be [`CallFacts::unseen_input`]. No error repeats what the client wrote.
//!
//! Left to others: which models, tools, fields and how many choices are allowed, counting
//! tokens, and every rule of the provider that has no bearing on what is used.

mod edit;
mod fault;
mod field_spans;
mod fields;
mod form;
mod media;
mod metadata;
mod place;
mod prompt;
pub(in crate::protocol) mod searches;
mod shared_fields;
pub(in crate::protocol) mod take;
mod tool_names;
mod uploaded;
mod value;

use crate::protocol::json::Scanner;
use crate::protocol::{
    Anchors, BodyError, CallFacts, Endpoint, FieldSpan, Image, ModelPlace, OutputMax, TextSpan,
};
use std::borrow::Cow;
use std::ops::Range;

pub use edit::{Changes, edits};
pub(in crate::protocol) use fault::Fault;
pub use field_spans::FIELDS_MAX;
pub(in crate::protocol) use fields::{Field, Fields};
use form::Read;
pub use form::{CapField, CapPlace};
pub(in crate::protocol) use form::{
    CapRule, Form, Member, ModelField, OTHERS, StreamField, member, spelt,
};
pub use metadata::{METADATA_NAME_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};
pub(in crate::protocol) use place::Place;
pub(in crate::protocol) use searches::Searches;
pub use searches::{SEARCHES_GUESSED, SEARCHES_MAX};
pub use shared_fields::is_model_name;
pub use tool_names::{TOOL_NAME_BYTES_MAX, TOOL_NAMES_MAX};
pub(in crate::protocol) use uploaded::{Upload, What};
pub(in crate::protocol) use value::Integer;

/// The longest name of a model. Bedrock's are ARNs, of up to 2,048 bytes by
/// AWS's own rule; none that is known comes near this.
pub const MODEL_BYTES_MAX: usize = 256;

/// The largest number that a field may hold: exact in a double, which is what
/// many servers read numbers into.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The most messages of a chat.
pub const MESSAGES_MAX: u64 = 65_536;

/// The most separate texts of a body; bounds what is kept of a body of very
/// many tiny strings to 6 MiB.
pub const TEXTS_MAX: usize = 1 << 18;

/// The most images of a body.
pub const IMAGES_MAX: usize = 4_096;

/// What is kept of a body beside what every call needs. The default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// [`CallFacts::tool_names`].
    pub tool_names: Want,
    /// [`CallFacts::metadata`].
    pub metadata: Want,
    /// [`CallFacts::fields`], without which none can be dropped.
    pub fields: Want,
}

/// Whether something of a body is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Want {
    #[default]
    Not,
    /// As far as it can be: what changes nothing looks at it.
    IfReadable,
    /// Calls are judged by it: a body of which it can't be kept whole is refused.
    Whole,
}

impl Wants {
    /// All of it.
    pub const ALL: Self = Self {
        tool_names: Want::Whole,
        metadata: Want::Whole,
        fields: Want::Whole,
    };
}

impl Want {
    /// The same where nothing is judged by it.
    #[must_use]
    pub fn if_readable(self) -> Self {
        self.min(Want::IfReadable)
    }

    /// That there is a fault in what was to be kept, which is as much of it as there is.
    fn fault(self, fault: Fault) -> Result<(), Fault> {
        match self {
            Want::Whole => Err(fault),
            Want::Not | Want::IfReadable => Ok(()),
        }
    }
}

/// Reads a whole request body. `path_model` is the model that the path names.
///
/// # Errors
/// The first fault that is found; its message and field are for the client.
pub fn read(
    endpoint: Endpoint,
    path_model: Option<&str>,
    body: &[u8],
    wants: Wants,
) -> Result<CallFacts, BodyError> {
    let form = endpoint.form().ok_or_else(BodyError::unserved)?;
    let mut reading = Reading::new(form, path_model, body, wants)?;
    reading.body()?;
    Ok(reading.finish()?)
}

/// As [`read`], of an endpoint that takes `multipart/form-data`.
///
/// # Errors
/// As [`read`].
pub fn read_form(
    endpoint: Endpoint,
    boundary: &str,
    body: &[u8],
    wants: Wants,
) -> Result<CallFacts, BodyError> {
    let upload = endpoint.upload().ok_or_else(BodyError::unserved)?;
    uploaded::read(upload, boundary, body, wants)
}

/// A body being read.
pub(in crate::protocol) struct Reading<'a> {
    form: &'static Form,
    path_model: Option<&'a str>,
    wants: Wants,
    pub json: Scanner<'a>,
    pub texts: Vec<TextSpan>,
    pub has_raw_json: bool,
    pub messages: u64,
    pub names: u64,
    pub tools: u64,
    pub thinks: bool,
    pub images: Vec<Image>,
    pub token_ids: u64,
    /// There is input that weir isn't shown.
    pub unseen_input: bool,
    /// Pictures among it, at most.
    pub unseen_images: u64,
    /// A text that is read anew with each of so many others.
    pub repeated: Option<TextSpan>,
    pub repeats: u64,
    /// Separate prompts, each of which is answered.
    pub prompts: u64,
    /// The field that the endpoint is about was there: `messages`, `input`.
    pub has_input: bool,
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    pub include_usage: bool,
    pub output_max: Option<OutputMax>,
    pub service_tier: Option<&'static str>,
    pub searches: Searches,
    pub n: u64,
    pub best_of: u64,
    pub anchors: Anchors,
    tool_names: Vec<String>,
    metadata: Vec<(String, String)>,
    fields: Vec<FieldSpan>,
    /// The name of the body's field that is being read.
    key: Range<usize>,
}

impl<'a> Reading<'a> {
    fn new(
        form: &'static Form,
        path_model: Option<&'a str>,
        body: &'a [u8],
        wants: Wants,
    ) -> Result<Self, Fault> {
        let model = match path_model {
            Some(_) => ModelPlace::Path,
            None => ModelPlace::Nowhere,
        };
        Ok(Self {
            form,
            path_model,
            wants,
            json: Scanner::new(body)?,
            texts: Vec::new(),
            has_raw_json: false,
            messages: 0,
            names: 0,
            tools: 0,
            thinks: false,
            images: Vec::new(),
            token_ids: 0,
            unseen_input: false,
            unseen_images: 0,
            repeated: None,
            repeats: 0,
            prompts: 0,
            has_input: false,
            model: None,
            stream: None,
            include_usage: false,
            output_max: None,
            service_tier: None,
            searches: Searches::default(),
            n: 1,
            best_of: 1,
            anchors: Anchors {
                model,
                ..Anchors::default()
            },
            tool_names: Vec::new(),
            metadata: Vec::new(),
            fields: Vec::new(),
            key: 0..0,
        })
    }

    fn body(&mut self) -> Result<(), Fault> {
        let place = Place::Body;
        let mut members = self.form.members.iter();
        let others = members.find(|member| member.name == OTHERS);
        let others = others.map_or(take::pass as Read, |member| member.read);
        let mut names = fields::Names::default();
        let mut fields = Fields::open(self.form.members, &mut self.json, &place)?;
        self.anchors.open = self.json.at();
        self.anchors.empty = true;
        while let Some(field) = fields.next(&mut self.json, &place)? {
            self.anchors.empty = false;
            self.key = fields.key.span.clone();
            let began = self.field_began(None, field.known_name(), &fields.key)?;
            match field {
                Field::Known(known) => (known.read)(self, &place.field(known.name))?,
                Field::Other(key) => {
                    names.add(&key, &self.json)?;
                    others(self, &place)?;
                }
            }
            self.field_ended(began);
        }
        names.check()?;
        Ok(self.json.end()?)
    }

    fn finish(self) -> Result<CallFacts, Fault> {
        let missing = |name| Fault::missing(&Place::Body.field(name));
        let (form, output_max) = (self.form, self.output_max);
        let model = match (form.model, self.model) {
            // What the path says is what the provider goes by.
            (_, _) if self.path_model.is_some() => self.path_model.map(Cow::Borrowed),
            (_, Some(model)) => Some(model),
            (ModelField::Usually(model), None) => Some(Cow::Borrowed(model)),
            (ModelField::Required | ModelField::InPath, None) => None,
        };
        let model = model.ok_or_else(|| missing("model"))?;
        if let (Some(input), false) = (self.form.input, self.has_input) {
            return Err(missing(input));
        }
        let choices = self.n.max(self.best_of);
        is_cap_of_model(form, output_max.as_ref(), &model)?;
        let cap_field = match form.cap {
            CapRule::Is(field) => field,
            CapRule::ByModel(of) => of(&model),
        };
        Ok(CallFacts {
            model: model.into_owned(),
            stream: match self.form.stream {
                StreamField::Usually(usual) => self.stream.unwrap_or(usual),
                StreamField::Always(stream) => stream,
            },
            include_usage: self.include_usage,
            output_max,
            cap_field,
            answers: choices.saturating_mul(self.prompts.max(1)),
            choices,
            prompts: self.prompts.max(1),
            texts: self.texts,
            has_raw_json: self.has_raw_json,
            messages: self.messages,
            names: self.names,
            tools: self.tools,
            thinks: self.thinks,
            token_ids: self.token_ids,
            images: self.images,
            unseen_input: self.unseen_input,
            unseen_images: self.unseen_images,
            repeated: self.repeated.map(|text| (text, self.repeats)),
            service_tier: self.service_tier,
            searches: self.searches.most(),
            tool_names: self.tool_names,
            metadata: self.metadata,
            fields: self.fields,
            anchors: self.anchors,
        })
    }
}

/// A cap that the model's maker doesn't know bounds nothing.
fn is_cap_of_model(form: &Form, set: Option<&OutputMax>, model: &str) -> Result<(), Fault> {
    let (CapRule::ByModel(of), Some(set)) = (form.cap, set) else {
        return Ok(());
    };
    match of(model).place("") {
        Some(place) if !place.takes(set.name) => Err(Fault::at(
            &Place::Body.field(set.name),
            "is not the field that this model takes a cap in",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
