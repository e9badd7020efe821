//! Fields that endpoints of several dialects share.

use super::form::Read;
use super::{
    Fault, Field, Fields, Integer, MESSAGES_MAX, MODEL_BYTES_MAX, Member, Place, Reading, member,
};
use crate::protocol::json::Kind;
use crate::protocol::{Choices, ModelPlace, OutputMax, Slot, TextSpan, service_tier};

const MODEL_RULE: &str = "must be a model's name: 1 to 256 bytes without control characters";
/// What Gemini's names of models begin with.
const RESOURCE: &str = "models/";
const ONE_CAP: &str = "can't be set together with the other cap on the output; set one";

const STREAM_OPTIONS: &[Member] = &[member("include_usage", |reading, place| {
    reading.include_usage(place)
})];

impl Reading<'_> {
    pub(in crate::protocol) fn model(&mut self, place: &Place) -> Result<(), Fault> {
        let span = self.required_string(place)?;
        // Each byte of a name takes at most six in the body.
        if span.span.len() > MODEL_BYTES_MAX * 6 {
            return Err(Fault::at(place, MODEL_RULE));
        }
        let model = self.json.text(&span);
        if !is_model_name(&model) {
            return Err(Fault::at(place, MODEL_RULE));
        }
        self.model = Some(model);
        self.model_at(&span, "");
        Ok(())
    }

    /// The body names its model in this string, behind a `prefix`.
    fn model_at(&mut self, text: &TextSpan, prefix: &'static str) {
        // With its quotes.
        let span = text.span.start.saturating_sub(1)..text.span.end.saturating_add(1);
        self.anchors.model = match self.anchors.model {
            ModelPlace::Nowhere | ModelPlace::Path => ModelPlace::Json { span, prefix },
            _ => ModelPlace::Fixed,
        };
    }

    /// As [`Self::model`], or null.
    pub(in crate::protocol) fn optional_model(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => {
                let span = self.json.skip_value()?;
                self.anchors.model = ModelPlace::Json { span, prefix: "" };
                Ok(())
            }
            _ => self.model(place),
        }
    }

    /// A model that the path names already: the two must be one.
    pub(in crate::protocol) fn same_model(&mut self, place: &Place) -> Result<(), Fault> {
        let span = self.required_string(place)?;
        let named = self.json.text(&span);
        let path = self.path_model();
        let prefix = match named.strip_suffix(path) {
            Some(prefix @ ("" | RESOURCE)) => prefix,
            _ => return Err(Fault::at(place, "must be the model that the path names")),
        };
        let prefix = if prefix.is_empty() { "" } else { RESOURCE };
        self.model_at(&span, prefix);
        Ok(())
    }

    /// The model that the path names; empty where it names none.
    pub(in crate::protocol) fn path_model(&self) -> &str {
        self.path_model.unwrap_or_default()
    }

    pub(in crate::protocol) fn stream(&mut self, place: &Place) -> Result<(), Fault> {
        self.stream = self.flag(place)?.0;
        Ok(())
    }

    pub(in crate::protocol) fn stream_options(&mut self, place: &Place) -> Result<(), Fault> {
        self.anchors.stream_options = match self.json.peek()? {
            Kind::Null => Slot::Null(self.json.skip_value()?),
            Kind::Object => self.slot(place, STREAM_OPTIONS)?,
            _ => return Err(Fault::at(place, "must be an object or null")),
        };
        Ok(())
    }

    fn include_usage(&mut self, place: &Place) -> Result<(), Fault> {
        let (include, span) = self.flag(place)?;
        self.include_usage = include.unwrap_or(false);
        self.anchors.include_usage = Some(span);
        Ok(())
    }

    /// An object that may be added to: its members are read, the others passed
    /// over.
    pub(in crate::protocol) fn slot(
        &mut self,
        place: &Place,
        members: &'static [Member],
    ) -> Result<Slot, Fault> {
        let mut fields = Fields::open(members, &mut self.json, place)?;
        let open = self.json.at();
        let mut empty = true;
        while let Some(field) = fields.next(&mut self.json, place)? {
            empty = false;
            let began = self.field_began(Some(place.name()), field.known_name(), &fields.key)?;
            match field {
                Field::Known(member) => (member.read)(self, &place.field(member.name))?,
                Field::Other(_) => self.skip()?,
            }
            self.field_ended(began);
        }
        Ok(Slot::Object { open, empty })
    }

    /// The object that the form's cap stands in, or null.
    pub(in crate::protocol) fn cap_object(
        &mut self,
        place: &Place,
        members: &'static [Member],
    ) -> Result<(), Fault> {
        let slot = match self.json.peek()? {
            Kind::Null => Slot::Null(self.json.skip_value()?),
            _ => self.slot(place, members)?,
        };
        self.anchors.cap_objects.push((place.name(), slot));
        Ok(())
    }

    /// A cap on the output, of which only one may be set.
    pub(in crate::protocol) fn output_max(&mut self, place: &Place) -> Result<(), Fault> {
        match self.integer(place)? {
            Integer::Null(span) => self.anchors.output_null.push((place.name(), span)),
            Integer::Of(..) if self.output_max.is_some() => {
                return Err(Fault::at(place, ONE_CAP));
            }
            Integer::Of(tokens, span) => {
                let (name, key) = (place.name(), self.key.clone());
                self.output_max = Some(OutputMax {
                    tokens,
                    span,
                    name,
                    key,
                });
            }
        }
        Ok(())
    }

    /// As [`Self::output_max`]; a negative number means that there is none.
    pub(in crate::protocol) fn output_max_or_negative(
        &mut self,
        place: &Place,
    ) -> Result<(), Fault> {
        let negative = self.json.peek()? == Kind::Number && self.json.peeks_at(b'-');
        if !negative {
            return self.output_max(place);
        }
        let span = self.json.skip_value()?;
        self.anchors.output_null.push((place.name(), span));
        Ok(())
    }

    /// How many answers are asked for; 1 where null.
    pub(in crate::protocol) fn n(&mut self, place: &Place) -> Result<(), Fault> {
        self.n = self.n.max(self.choices(place)?);
        Ok(())
    }

    /// How many answers are made, of which some are kept.
    pub(in crate::protocol) fn best_of(&mut self, place: &Place) -> Result<(), Fault> {
        self.best_of = self.choices(place)?;
        Ok(())
    }

    fn choices(&mut self, place: &Place) -> Result<u64, Fault> {
        match self.integer(place)? {
            Integer::Null(_) => Ok(1),
            Integer::Of(count, span) => {
                self.anchors.choices.push(Choices { count, span });
                Ok(count)
            }
        }
    }

    /// Which tier of service is asked for, if it is one that is known.
    pub(in crate::protocol) fn service_tier(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => return self.skip(),
            Kind::String => {}
            _ => return Err(Fault::at(place, "must be a string or null")),
        }
        let span = self.json.string()?;
        let tier = self.json.text(&span);
        self.service_tier = service_tier::asked(&tier);
        Ok(())
    }

    /// The messages of a chat, at least one, each by `message`.
    pub(in crate::protocol) fn each_message(
        &mut self,
        place: &Place,
        message: Read,
    ) -> Result<(), Fault> {
        if self.json.peek()? != Kind::Array {
            return Err(Fault::at(place, "must be an array of messages"));
        }
        let mut open = self.json.open_array()?;
        let mut index = 0;
        while self.json.next_item(&mut open)? {
            self.count_message(place)?;
            message(self, &place.item(index))?;
            index += 1;
        }
        if index == 0 {
            return Err(Fault::at(place, "must not be empty"));
        }
        self.has_input = true;
        Ok(())
    }

    /// One more message of the list at `place`.
    pub(in crate::protocol) fn count_message(&mut self, place: &Place) -> Result<(), Fault> {
        if self.messages == MESSAGES_MAX {
            return Err(Fault::at(place, "must hold at most 65536 messages"));
        }
        self.messages += 1;
        Ok(())
    }

    /// A text, or several, that the endpoint is about.
    pub(in crate::protocol) fn input_texts(&mut self, place: &Place) -> Result<(), Fault> {
        self.has_input = true;
        self.texts(place)
    }

    /// A text that the endpoint is about.
    pub(in crate::protocol) fn input_text(&mut self, place: &Place) -> Result<(), Fault> {
        self.has_input = true;
        self.text(place)
    }
}

/// Whether a name can be a model's.
pub fn is_model_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MODEL_BYTES_MAX && !name.chars().any(char::is_control)
}
