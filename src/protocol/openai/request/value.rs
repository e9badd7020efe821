//! Values of the kinds that fields hold, each checked as it is read.

use super::fault::Fault;
use super::place::Place;
use super::{INTEGER_MAX, Reading, TEXTS_MAX};
use crate::protocol::TextSpan;
use crate::protocol::json::Kind;
use std::ops::Range;

const INTEGER_RULE: &str =
    "must be an integer from 1 to 9007199254740991, written without fraction or exponent";
const UNPRICED: &str = "can't be counted or priced by this gateway, so it is refused";

/// A field that holds an integer or null.
pub(super) enum Integer {
    Null(Range<usize>),
    Of(u64, Range<usize>),
}

impl Reading<'_> {
    /// An integer of at least 1, or null.
    pub(super) fn integer(&mut self, place: &Place) -> Result<Integer, Fault> {
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

    /// A boolean with its span; null is false.
    pub(super) fn flag(&mut self, place: &Place) -> Result<(bool, Range<usize>), Fault> {
        let value = match self.json.peek()? {
            Kind::True => true,
            Kind::False | Kind::Null => false,
            _ => return Err(Fault::at(place, "must be true, false or null")),
        };
        Ok((value, self.json.skip_value()?))
    }

    /// Passes over a value that has no bearing on what is used.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.json.skip_value()?;
        Ok(())
    }

    pub(super) fn required_string(&mut self, place: &Place) -> Result<TextSpan, Fault> {
        match self.json.peek()? {
            Kind::String => Ok(self.json.string()?),
            _ => Err(Fault::at(place, "must be a string")),
        }
    }

    /// A string that the model reads.
    pub(super) fn text(&mut self, place: &Place) -> Result<(), Fault> {
        let text = self.required_string(place)?;
        self.push_text(text)
    }

    /// As [`Self::text`], or null; whether there was one.
    pub(super) fn optional_text(&mut self, place: &Place) -> Result<bool, Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip().map(|()| false),
            Kind::String => self.text(place).map(|()| true),
            _ => Err(Fault::at(place, "must be a string or null")),
        }
    }

    /// A value that reaches the model in some form that only the provider
    /// knows (tools, schemas). A string is its text, anything else its raw
    /// JSON: more than the provider's own rendering in nearly all cases, as
    /// it counts quotes, braces and escapes.
    pub(super) fn any_text(&mut self) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::String => {
                let text = self.json.string()?;
                self.push_text(text)
            }
            Kind::Object | Kind::Array => {
                let span = self.json.skip_value()?;
                let escaped = false;
                self.push_text(TextSpan { span, escaped })
            }
            _ => self.skip(),
        }
    }

    /// A field that must be absent or null, as nobody can say what it costs.
    pub(super) fn unpriced(&mut self, place: &Place) -> Result<(), Fault> {
        self.only_null(place, UNPRICED)
    }

    pub(super) fn only_null(&mut self, place: &Place, rule: &'static str) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip(),
            _ => Err(Fault::at(place, rule)),
        }
    }

    pub(super) fn push_text(&mut self, text: TextSpan) -> Result<(), Fault> {
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
