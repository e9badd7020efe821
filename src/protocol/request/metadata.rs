//! What a client says of its call beside the prompt: OpenAI's and Anthropic's
//! `metadata`, Gemini's `labels`, Bedrock's `requestMetadata`.
//!
//! Kept where rules ask for it, text by text; nothing here reaches the model.

use super::{Fault, Place, Reading, Want};
use crate::protocol::json::Kind;

/// The most pairs that are kept, and the longest name and value: OpenAI's own
/// bounds. What goes beyond them is as if it weren't there.
pub const METADATA_PAIRS_MAX: usize = 16;
pub const METADATA_NAME_BYTES_MAX: usize = 64;
pub const METADATA_VALUE_BYTES_MAX: usize = 512;

/// How many bytes one of a text takes in a body, at most: an escape.
const ESCAPE_BYTES_MAX: usize = 6;

impl Reading<'_> {
    /// An object of texts; anything else in it, or in its place, is passed over.
    pub(in crate::protocol) fn metadata(&mut self, place: &Place) -> Result<(), Fault> {
        if self.wants.metadata == Want::Not || self.json.peek()? != Kind::Object {
            return self.skip();
        }
        let mut open = self.json.open_object()?;
        while let Some(key) = self.json.next_key(&mut open)? {
            let is_string = self.json.peek()? == Kind::String;
            if !is_string || key.span.len() > METADATA_NAME_BYTES_MAX * ESCAPE_BYTES_MAX {
                self.skip()?;
                continue;
            }
            let value = self.json.string()?;
            if value.span.len() > METADATA_VALUE_BYTES_MAX * ESCAPE_BYTES_MAX {
                continue;
            }
            let (name, value) = (self.json.text(&key), self.json.text(&value));
            if self.metadata.iter().any(|(known, _)| *known == name) {
                let fault = Fault::at(place, "holds a name twice; give each once");
                self.wants.metadata.fault(fault)?;
                continue;
            }
            let fits =
                name.len() <= METADATA_NAME_BYTES_MAX && value.len() <= METADATA_VALUE_BYTES_MAX;
            if fits && self.metadata.len() < METADATA_PAIRS_MAX {
                self.metadata.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(())
    }
}
