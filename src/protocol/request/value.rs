//! Values of the kinds that fields hold, each checked as it is read.

use super::form::Read;
use super::{Fault, Field, Fields, INTEGER_MAX, Member, Place, Reading, TEXTS_MAX, take};
use crate::protocol::TextSpan;
use crate::protocol::json::Kind;
use std::ops::Range;

const INTEGER_RULE: &str =
    "must be an integer from 1 to 9007199254740991, written without fraction or exponent";
const UNPRICED: &str = "can't be counted or priced by this gateway, so it is refused";

/// A field that holds an integer or null.
pub(in crate::protocol) enum Integer {
    Null(Range<usize>),
    Of(u64, Range<usize>),
}

/// Containers.
impl Reading<'_> {
    /// An object: known members by their own way, others by `other`.
    pub(in crate::protocol) fn object(
        &mut self,
        place: &Place,
        members: &'static [Member],
        other: Read,
    ) -> Result<(), Fault> {
        let mut fields = Fields::open(members, &mut self.json, place)?;
        while let Some(field) = fields.next(&mut self.json, place)? {
            match field {
                Field::Known(member) => (member.read)(self, &place.field(member.name))?,
                Field::Other(_) => other(self, place)?,
            }
        }
        Ok(())
    }

    /// As [`Self::object`], or null.
    pub(in crate::protocol) fn optional_object(
        &mut self,
        place: &Place,
        members: &'static [Member],
        other: Read,
    ) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip(),
            _ => self.object(place, members, other),
        }
    }

    /// An array, each item by `read`; or null.
    pub(in crate::protocol) fn each(&mut self, place: &Place, read: Read) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => return self.skip(),
            Kind::Array => {}
            _ => return Err(Fault::at(place, "must be an array or null")),
        }
        let mut open = self.json.open_array()?;
        let mut index = 0;
        while self.json.next_item(&mut open)? {
            read(self, &place.item(index))?;
            index += 1;
        }
        Ok(())
    }

    /// As [`Self::each`], or one item without its array, as some parsers take
    /// it.
    pub(in crate::protocol) fn each_or_one(
        &mut self,
        place: &Place,
        read: Read,
    ) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null | Kind::Array => self.each(place, read),
            _ => read(self, place),
        }
    }
}

impl Reading<'_> {
    /// An integer of at least 1, or null.
    pub(in crate::protocol) fn integer(&mut self, place: &Place) -> Result<Integer, Fault> {
        match self.json.peek()? {
            Kind::Null => Ok(Integer::Null(self.json.skip_value()?)),
            Kind::Number => {
                let span = self.json.skip_value()?;
                match whole_number(self.json.bytes(&span)) {
                    Some(value @ 1..=INTEGER_MAX) => Ok(Integer::Of(value, span)),
                    _ => Err(Fault::at(place, INTEGER_RULE)),
                }
            }
            _ => Err(Fault::at(place, INTEGER_RULE)),
        }
    }

    /// A boolean with its span; `None` where it is null.
    pub(in crate::protocol) fn flag(
        &mut self,
        place: &Place,
    ) -> Result<(Option<bool>, Range<usize>), Fault> {
        let value = match self.json.peek()? {
            Kind::True => Some(true),
            Kind::False => Some(false),
            Kind::Null => None,
            _ => return Err(Fault::at(place, "must be true, false or null")),
        };
        Ok((value, self.json.skip_value()?))
    }

    /// Passes over a value that has no bearing on what is used.
    pub(in crate::protocol) fn skip(&mut self) -> Result<(), Fault> {
        self.json.skip_value()?;
        Ok(())
    }

    /// As [`Self::skip`], for tables of fields.
    pub(in crate::protocol) fn pass(&mut self, _: &Place) -> Result<(), Fault> {
        self.skip()
    }

    pub(in crate::protocol) fn required_string(
        &mut self,
        place: &Place,
    ) -> Result<TextSpan, Fault> {
        match self.json.peek()? {
            Kind::String => Ok(self.json.string()?),
            _ => Err(Fault::at(place, "must be a string")),
        }
    }

    /// A string that the model reads.
    pub(in crate::protocol) fn text(&mut self, place: &Place) -> Result<(), Fault> {
        let text = self.required_string(place)?;
        self.push_text(text)
    }

    /// As [`Self::text`], or null.
    pub(in crate::protocol) fn optional_text(&mut self, place: &Place) -> Result<(), Fault> {
        self.has_text(place).map(drop)
    }

    /// As [`Self::optional_text`]; whether there was one.
    pub(in crate::protocol) fn has_text(&mut self, place: &Place) -> Result<bool, Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip().map(|()| false),
            Kind::String => self.text(place).map(|()| true),
            _ => Err(Fault::at(place, "must be a string or null")),
        }
    }

    /// A string or an array of strings, or null.
    pub(in crate::protocol) fn texts(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Array => self.each(place, take::text),
            _ => self.optional_text(place),
        }
    }

    /// A value that reaches the model in some form that only the provider
    /// knows (tools, schemas). A string is its text, anything else its raw
    /// JSON: more than the provider's own rendering in nearly all cases, as
    /// it counts quotes, braces and escapes.
    pub(in crate::protocol) fn any_text(&mut self, _: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::String => {
                let text = self.json.string()?;
                self.push_text(text)
            }
            Kind::Object | Kind::Array => {
                let span = self.json.skip_value()?;
                let escaped = false;
                self.has_raw_json = true;
                self.push_text(TextSpan { span, escaped })
            }
            _ => self.skip(),
        }
    }

    /// Definitions of tools: an array, each as [`Self::any_text`].
    pub(in crate::protocol) fn tools(&mut self, place: &Place) -> Result<(), Fault> {
        let first = self.texts.len();
        match self.json.peek()? {
            Kind::Array => self.each(place, |reading, place| {
                reading.tools += 1;
                reading.any_text(place)
            })?,
            kind => {
                // Protobuf's JSON may leave out the brackets of one.
                self.tools += u64::from(kind == Kind::Object);
                self.any_text(place)?;
            }
        }
        self.name_tools(first, place)
    }

    /// A field that must be absent or null, as nobody can say what it costs.
    pub(in crate::protocol) fn unpriced(&mut self, place: &Place) -> Result<(), Fault> {
        self.only_null(place, UNPRICED)
    }

    pub(in crate::protocol) fn only_null(
        &mut self,
        place: &Place,
        rule: &'static str,
    ) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip(),
            _ => Err(Fault::at(place, rule)),
        }
    }

    /// A field that must be absent, false or null.
    pub(in crate::protocol) fn only_false(
        &mut self,
        place: &Place,
        rule: &'static str,
    ) -> Result<(), Fault> {
        match self.flag(place)? {
            (Some(true), _) => Err(Fault::at(place, rule)),
            _ => Ok(()),
        }
    }

    pub(in crate::protocol) fn push_text(&mut self, text: TextSpan) -> Result<(), Fault> {
        if text.span.is_empty() {
            return Ok(());
        }
        if self.texts.len() == TEXTS_MAX {
            return Err(Fault::body(
                "The body holds more separate texts than this gateway reads (262144).",
            ));
        }
        self.texts.push(text);
        Ok(())
    }
}

/// A number written as digits alone; `None` where it is anything else.
pub(super) fn whole_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
