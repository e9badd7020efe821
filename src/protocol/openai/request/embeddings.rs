//! `/v1/embeddings`: texts or token ids, and no output.

use super::Reading;
use super::fault::Fault;
use super::place::Place;

/// The fields that are read. `messages` is another server's: a chat to embed.
pub(super) const FIELDS: &[&str] = &["model", "input", "stream", "messages"];

impl Reading<'_> {
    pub(super) fn embeddings_field(&mut self, name: &'static str) -> Result<(), Fault> {
        let place = Place::Body.field(name);
        match name {
            "model" => self.model(),
            "input" => self.input(&place),
            "stream" => match self.flag(&place)? {
                (true, _) => Err(Fault::at(
                    &place,
                    "can't be true: embeddings are not streamed",
                )),
                (false, _) => Ok(()),
            },
            _ => self.unpriced(&place),
        }
    }

    fn input(&mut self, place: &Place) -> Result<(), Fault> {
        self.prompts(place)?;
        if self.texts.is_empty() && self.token_ids == 0 {
            return Err(Fault::at(place, "must not be empty"));
        }
        // What is embedded has no answer that could be longer or shorter.
        self.prompts = 1;
        self.has_input = true;
        Ok(())
    }
}
