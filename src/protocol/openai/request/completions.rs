//! `/v1/completions`: prompts as text or token ids.

use super::Reading;
use super::fault::Fault;
use super::place::Place;
use crate::protocol::json::Kind;

/// The fields that are read. `prompt_embeds` is another server's: a prompt as
/// vectors.
pub(super) const FIELDS: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "prompt_embeds",
];

impl Reading<'_> {
    pub(super) fn completions_field(&mut self, name: &'static str) -> Result<(), Fault> {
        let place = Place::Body.field(name);
        match name {
            "model" => self.model(),
            "prompt" => self.prompt(&place),
            "suffix" => self.optional_text(&place).map(drop),
            "stream" => self.stream(),
            "stream_options" => self.stream_options(),
            "max_tokens" => self.output_max(name),
            // A server that doesn't read it would answer without a cap.
            "max_completion_tokens" => {
                self.only_null(&place, "is not a field of this endpoint; set max_tokens")
            }
            "n" => self.choices(name).map(|n| self.n = n),
            "best_of" => self.choices(name).map(|best_of| self.best_of = best_of),
            _ => self.unpriced(&place),
        }
    }

    /// One that is absent or null is the start of a new document: one prompt.
    fn prompt(&mut self, place: &Place) -> Result<(), Fault> {
        match self.json.peek()? {
            Kind::Null => self.skip(),
            _ => self.prompts(place),
        }
    }
}
