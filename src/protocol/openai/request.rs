//! What a request in OpenAI's dialect asks for, and the edits that weir makes.
//!
//! [`read`] walks a body once and keeps only [`CallFacts`]: spans and numbers,
//! no text but the model's name. [`edits`] turns a decision into the few bytes
//! that change.
//!
//! Always holds: what is judged here is what the provider reads. So a field
//! that is read may not stand twice in its object, nor under a name that only
//! some parsers take for it; at the top no two fields share a name at all.
//! What asks for work that can't be bounded or counted is refused. No error
//! repeats what the client wrote.
//!
//! Left to others: which models and how many choices are allowed, counting
//! tokens, and every rule of the provider that has no bearing on what is used.
//!
//! Source of the fields: OpenAI's API reference for chat completions,
//! completions and embeddings.

mod chat;
mod completions;
mod edit;
mod embeddings;
mod fault;
mod fields;
mod place;
mod prompt;
mod value;

use crate::protocol::json::{Kind, Scanner};
use crate::protocol::{
    Anchors, BodyError, CallFacts, Endpoint, OutputMax, StreamOptions, TextSpan,
};
use fault::Fault;
use fields::{Field, Fields, Names};
use place::Place;
use value::Integer;

pub use edit::edits;

/// The longest name of a model.
pub const MODEL_BYTES_MAX: usize = 256;

/// The largest number that a field may hold: exact in a double, which is what
/// many servers read numbers into.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The most messages of a chat.
pub const MESSAGES_MAX: u64 = 65_536;

/// The most separate texts of a body; bounds what is kept of a body of very
/// many tiny strings to 6 MiB.
pub const TEXTS_MAX: usize = 1 << 18;

/// Reads a whole request body.
///
/// # Errors
/// The first fault that is found; its message and field are for the client.
pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<CallFacts, BodyError> {
    let form = match endpoint {
        Endpoint::ChatCompletions => Form::Chat,
        Endpoint::Completions => Form::Completions,
        Endpoint::Embeddings => Form::Embeddings,
        _ => return Err(BodyError::unserved()),
    };
    Ok(Reading::of(form, body)?)
}

/// What a body asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Chat,
    Completions,
    Embeddings,
}

/// A body being read.
struct Reading<'a> {
    json: Scanner<'a>,
    texts: Vec<TextSpan>,
    messages: u64,
    names: u64,
    images: u64,
    token_ids: u64,
    /// Separate prompts, each of which is answered.
    prompts: u64,
    /// The field that the endpoint is about was there: `messages`, `input`.
    has_input: bool,
    model: Option<String>,
    stream: bool,
    include_usage: bool,
    output_max: Option<OutputMax>,
    n: u64,
    best_of: u64,
    anchors: Anchors,
}

impl<'a> Reading<'a> {
    fn of(form: Form, body: &'a [u8]) -> Result<CallFacts, Fault> {
        let mut reading = Self {
            json: Scanner::new(body)?,
            texts: Vec::new(),
            messages: 0,
            names: 0,
            images: 0,
            token_ids: 0,
            prompts: 0,
            has_input: false,
            model: None,
            stream: false,
            include_usage: false,
            output_max: None,
            n: 1,
            best_of: 1,
            anchors: Anchors::default(),
        };
        reading.body(form)?;
        reading.finish(form)
    }

    fn body(&mut self, form: Form) -> Result<(), Fault> {
        let place = Place::Body;
        let known = match form {
            Form::Chat => chat::FIELDS,
            Form::Completions => completions::FIELDS,
            Form::Embeddings => embeddings::FIELDS,
        };
        let mut names = Names::default();
        let mut fields = Fields::open(known, &mut self.json, &place)?;
        self.anchors.open = self.json.at();
        while let Some(field) = fields.next(&mut self.json, &place)? {
            let name = match field {
                Field::Known(name) => name,
                Field::Other(key) => {
                    names.add(&key, &self.json)?;
                    self.skip()?;
                    continue;
                }
            };
            match form {
                Form::Chat => self.chat_field(name)?,
                Form::Completions => self.completions_field(name)?,
                Form::Embeddings => self.embeddings_field(name)?,
            }
        }
        names.check()?;
        Ok(self.json.end()?)
    }

    fn finish(self, form: Form) -> Result<CallFacts, Fault> {
        let model = self
            .model
            .ok_or_else(|| Fault::missing(&Place::Body.field("model")))?;
        let input = match form {
            Form::Chat => Some("messages"),
            Form::Completions => None,
            Form::Embeddings => Some("input"),
        };
        if let (Some(input), false) = (input, self.has_input) {
            return Err(Fault::missing(&Place::Body.field(input)));
        }
        let choices = self.n.max(self.best_of);
        Ok(CallFacts {
            model,
            stream: self.stream,
            include_usage: self.include_usage,
            output_max: self.output_max,
            answers: choices.saturating_mul(self.prompts.max(1)),
            choices,
            texts: self.texts,
            messages: self.messages,
            names: self.names,
            token_ids: self.token_ids,
            images: self.images,
            anchors: self.anchors,
        })
    }
}

/// The fields that endpoints share.
impl Reading<'_> {
    fn model(&mut self) -> Result<(), Fault> {
        let place = Place::Body.field("model");
        let span = self.required_string(&place)?;
        // Each byte of a name takes at most six in the body.
        if span.span.len() > MODEL_BYTES_MAX * 6 {
            return Err(Fault::at(&place, MODEL_RULE));
        }
        let model = self.json.text(&span);
        if model.is_empty() || model.len() > MODEL_BYTES_MAX || model.chars().any(char::is_control)
        {
            return Err(Fault::at(&place, MODEL_RULE));
        }
        self.model = Some(model.into_owned());
        Ok(())
    }

    fn stream(&mut self) -> Result<(), Fault> {
        self.stream = self.flag(&Place::Body.field("stream"))?.0;
        Ok(())
    }

    fn stream_options(&mut self) -> Result<(), Fault> {
        let options = Place::Body.field("stream_options");
        self.anchors.stream_options = match self.json.peek()? {
            Kind::Null => StreamOptions::Null(self.json.skip_value()?),
            Kind::Object => {
                let mut fields = Fields::open(&["include_usage"], &mut self.json, &options)?;
                let open = self.json.at();
                let mut found = StreamOptions::Without { open, empty: true };
                while let Some(field) = fields.next(&mut self.json, &options)? {
                    if let Field::Known(name) = field {
                        let (include, span) = self.flag(&options.field(name))?;
                        self.include_usage = include;
                        found = StreamOptions::With(span);
                        continue;
                    }
                    self.skip()?;
                    if let StreamOptions::Without { empty, .. } = &mut found {
                        *empty = false;
                    }
                }
                found
            }
            _ => return Err(Fault::at(&options, "must be an object or null")),
        };
        Ok(())
    }

    /// `max_tokens` and its successor, of which only one may be set.
    fn output_max(&mut self, name: &'static str) -> Result<(), Fault> {
        let place = Place::Body.field(name);
        match self.integer(&place)? {
            Integer::Null(span) => self.anchors.output_null.push((name, span)),
            Integer::Of(..) if self.output_max.is_some() => {
                return Err(Fault::at(
                    &place,
                    "can't be set together with the other cap on the output; set one",
                ));
            }
            Integer::Of(tokens, span) => self.output_max = Some(OutputMax { tokens, span }),
        }
        Ok(())
    }

    /// `n` or `best_of`; 1 where null.
    fn choices(&mut self, name: &'static str) -> Result<u64, Fault> {
        match self.integer(&Place::Body.field(name))? {
            Integer::Null(_) => Ok(1),
            Integer::Of(choices, _) => Ok(choices),
        }
    }
}

const MODEL_RULE: &str = "must be a model's name: 1 to 256 bytes without control characters";

#[cfg(test)]
mod tests;
