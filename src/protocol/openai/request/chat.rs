//! `/v1/chat/completions`: messages, and what else the model reads.

use super::fault::Fault;
use super::fields::{Field, Fields};
use super::place::Place;
use super::{MESSAGES_MAX, Reading};
use crate::protocol::TextSpan;
use crate::protocol::json::Kind;

/// The fields that are read. `documents` and the templates are those of other
/// servers that speak this dialect, and end up in the prompt there.
pub(super) const FIELDS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "tools",
    "functions",
    "response_format",
    "prediction",
    "modalities",
    "audio",
    "documents",
    "chat_template",
    "chat_template_kwargs",
];

const MESSAGE_FIELDS: &[&str] = &[
    "role",
    "content",
    "name",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "tool_call_id",
];

const PREDICTION_FIELDS: &[&str] = &["type", "content"];
const TOOL_CALL_FIELDS: &[&str] = &["id", "type", "index", "function", "custom"];
const CALL_FIELDS: &[&str] = &["name", "arguments", "input"];

/// What a part of a content may hold, each under the name that its `type` has.
const PART_FIELDS: &[&str] = &[
    "type",
    "text",
    "refusal",
    "image_url",
    "input_audio",
    "file",
];
/// Those of them whose use can be bounded.
const PRICED_PARTS: [&str; 3] = ["text", "refusal", "image_url"];

impl Reading<'_> {
    pub(super) fn chat_field(&mut self, name: &'static str) -> Result<(), Fault> {
        let place = Place::Body.field(name);
        match name {
            "model" => self.model(),
            "messages" => self.messages(&place),
            "stream" => self.stream(),
            "stream_options" => self.stream_options(),
            "max_tokens" | "max_completion_tokens" => self.output_max(name),
            "n" => self.choices(name).map(|n| self.n = n),
            // OpenAI has it for completions only; others answer it here too.
            "best_of" => self.choices(name).map(|best_of| self.best_of = best_of),
            "prediction" => self.prediction(&place),
            "modalities" => self.modalities(&place),
            "audio" => self.unpriced(&place),
            // tools, functions, response_format and the other servers' fields.
            _ => self.any_text(),
        }
    }

    fn messages(&mut self, place: &Place) -> Result<(), Fault> {
        if self.json.peek()? != Kind::Array {
            return Err(Fault::at(place, "must be an array of messages"));
        }
        let mut open = self.json.open_array()?;
        let mut index = 0;
        while self.json.next_item(&mut open)? {
            if self.messages == MESSAGES_MAX {
                return Err(Fault::at(place, "must hold at most 65536 messages"));
            }
            self.message(&place.item(index))?;
            self.messages += 1;
            index += 1;
        }
        if self.messages == 0 {
            return Err(Fault::at(place, "must not be empty"));
        }
        self.has_input = true;
        Ok(())
    }

    fn message(&mut self, place: &Place) -> Result<(), Fault> {
        let mut has_role = false;
        let mut fields = Fields::open(MESSAGE_FIELDS, &mut self.json, place)?;
        while let Some(field) = fields.next(&mut self.json, place)? {
            let name = match field {
                Field::Known(name) => name,
                // Some servers have the model read more than OpenAI's does
                // (`reasoning_content`, say).
                Field::Other(_) => {
                    self.any_text()?;
                    continue;
                }
            };
            let place = place.field(name);
            match name {
                "role" => {
                    self.text(&place)?;
                    has_role = true;
                }
                "content" => self.content(&place)?,
                "name" => self.names += u64::from(self.optional_text(&place)?),
                "refusal" => self.optional_text(&place).map(drop)?,
                "tool_calls" => self.tool_calls(&place)?,
                "function_call" => self.call(&place)?,
                // An earlier spoken answer, of unknown length.
                "audio" => self.unpriced(&place)?,
                _ => self.skip()?,
            }
        }
        match has_role {
            true => Ok(()),
            false => Err(Fault::missing(&place.field("role"))),
        }
    }

    /// A string, null, or an array of parts.
    fn content(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip(),
            Kind::String => self.text(place),
            Kind::Array => {
                let mut open = self.json.open_array()?;
                let mut index = 0;
                while self.json.next_item(&mut open)? {
                    self.part(&place.item(index))?;
                    index += 1;
                }
                Ok(())
            }
            _ => Err(Fault::at(
                place,
                "must be a string, null or an array of parts",
            )),
        }
    }

    fn part(&mut self, place: &Place) -> Result<(), Fault> {
        let mut kind: Option<&'static str> = None;
        let mut held: Option<(&'static str, TextSpan)> = None;
        let mut fields = Fields::open(PART_FIELDS, &mut self.json, place)?;
        while let Some(field) = fields.next(&mut self.json, place)? {
            let Field::Known(name) = field else {
                self.skip()?;
                continue;
            };
            if name == "type" {
                kind = Some(self.part_kind(&place.field(name))?);
                continue;
            }
            if self.json.peek()? == Kind::Null {
                self.skip()?;
                continue;
            }
            let value = match name {
                "text" | "refusal" => self.required_string(&place.field(name))?,
                _ => TextSpan {
                    span: self.json.skip_value()?,
                    escaped: false,
                },
            };
            // Servers differ in which of two they read.
            if held.replace((name, value)).is_some() {
                return Err(Fault::at(
                    place,
                    "must hold one of text, refusal and image_url, not several",
                ));
            }
        }
        let kind = kind.ok_or_else(|| Fault::missing(&place.field("type")))?;
        match held {
            Some((name, _)) if name == "image_url" && kind == name => self.images += 1,
            Some((name, text)) if kind == name => self.push_text(text)?,
            Some((name, _)) => {
                return Err(Fault::at(
                    &place.field(name),
                    "does not fit the part's type",
                ));
            }
            None => return Err(Fault::missing(&place.field(kind))),
        }
        Ok(())
    }

    fn part_kind(&mut self, place: &Place) -> Result<&'static str, Fault> {
        let kind = self.required_string(place)?;
        let kind = self.json.key_text(&kind);
        let known = PRICED_PARTS.into_iter().find(|known| *known == kind);
        known.ok_or_else(|| Fault::at(place, PART_RULE))
    }

    fn tool_calls(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => return self.skip(),
            Kind::Array => {}
            _ => return Err(Fault::at(place, "must be an array or null")),
        }
        let mut open = self.json.open_array()?;
        let mut index = 0;
        while self.json.next_item(&mut open)? {
            let place = place.item(index);
            let mut fields = Fields::open(TOOL_CALL_FIELDS, &mut self.json, &place)?;
            while let Some(field) = fields.next(&mut self.json, &place)? {
                match field {
                    Field::Known(name @ ("function" | "custom")) => {
                        self.call(&place.field(name))?
                    }
                    Field::Known(_) => self.skip()?,
                    Field::Other(_) => self.any_text()?,
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// What the model called, and with what: every text of it is read again.
    fn call(&mut self, place: &Place) -> Result<(), Fault> {
        if self.json.peek()? == Kind::Null {
            return self.skip();
        }
        let mut fields = Fields::open(CALL_FIELDS, &mut self.json, place)?;
        while fields.next(&mut self.json, place)?.is_some() {
            self.any_text()?;
        }
        Ok(())
    }

    /// The expected answer: `{"type": "content", "content": ...}`.
    fn prediction(&mut self, place: &Place) -> Result<(), Fault> {
        if self.json.peek()? == Kind::Null {
            return self.skip();
        }
        let mut fields = Fields::open(PREDICTION_FIELDS, &mut self.json, place)?;
        while let Some(field) = fields.next(&mut self.json, place)? {
            match field {
                Field::Known(name @ "content") => self.content(&place.field(name))?,
                _ => self.skip()?,
            }
        }
        Ok(())
    }

    /// What the answer may be made of. Only text is counted so far.
    fn modalities(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => return self.skip(),
            Kind::Array => {}
            _ => return Err(Fault::at(place, "must be an array of strings or null")),
        }
        let mut open = self.json.open_array()?;
        let mut index = 0;
        while self.json.next_item(&mut open)? {
            let modality = self.required_string(&place.item(index))?;
            if self.json.key_text(&modality) != "text" {
                return Err(Fault::at(place, UNPRICED_MODALITY));
            }
            index += 1;
        }
        Ok(())
    }
}

const PART_RULE: &str =
    "must be text, refusal or image_url: nothing else can be counted or priced by this gateway";
const UNPRICED_MODALITY: &str = "may only hold text: no other output can be priced by this gateway";
