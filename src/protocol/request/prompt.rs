//! Prompts and inputs: text or token ids, one or many.

use super::value::whole_number;
use super::{Fault, Place, Reading};
use crate::protocol::json::{Kind, Open};

impl Reading<'_> {
    /// A prompt, or what is to be embedded: a string, or an array of strings,
    /// of token ids, or of arrays of token ids. Each string and each innermost
    /// array is one prompt.
    pub(in crate::protocol) fn prompts(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::String => {
                self.prompts = 1;
                self.text(place)
            }
            Kind::Array => self.prompt_array(place),
            _ => Err(Fault::at(place, PROMPT_RULE)),
        }
    }

    fn prompt_array(&mut self, place: &Place) -> Result<(), Fault> {
        let mut open = self.json.open_array()?;
        if !self.json.next_item(&mut open)? {
            return Err(Fault::at(place, "must not be empty"));
        }
        let kind = self.json.peek()?;
        if kind == Kind::Number {
            self.prompts = 1;
            self.token_id(&place.item(0))?;
            return self.token_ids(&mut open, 1, place);
        }
        loop {
            let index = usize::try_from(self.prompts).unwrap_or(usize::MAX);
            let item = place.item(index);
            self.prompts += 1;
            // Some servers read only the kind that comes first.
            match self.json.peek()? {
                Kind::String if kind == Kind::String => self.text(&item)?,
                Kind::Array if kind == Kind::Array => {
                    let mut inner = self.json.open_array()?;
                    self.token_ids(&mut inner, 0, &item)?;
                }
                _ => return Err(Fault::at(&item, PROMPT_RULE)),
            }
            if !self.json.next_item(&mut open)? {
                return Ok(());
            }
        }
    }

    /// What is left of an array of token ids, of which `index` have been read.
    fn token_ids(&mut self, open: &mut Open, mut index: usize, place: &Place) -> Result<(), Fault> {
        while self.json.next_item(open)? {
            self.token_id(&place.item(index))?;
            index += 1;
        }
        Ok(())
    }

    pub(in crate::protocol) fn token_id(&mut self, place: &Place) -> Result<(), Fault> {
        let kind = self.json.peek()?;
        let span = self.json.skip_value()?;
        if kind != Kind::Number || whole_number(self.json.bytes(&span)).is_none() {
            return Err(Fault::at(
                place,
                "must be a token id (an integer of at least 0)",
            ));
        }
        self.token_ids += 1;
        Ok(())
    }
}

const PROMPT_RULE: &str = "must be a string, or an array of only strings, of only token ids, or of only arrays of token ids";
