//! A call whose body was read, as it is weighed.

use crate::exchange::head::Identified;
use crate::exchange::prompt::Prompt;
use crate::exchange::reading::Read;
use crate::policy::facts::{Request, Seen};
use crate::protocol::CallFacts;
use std::sync::Arc;

/// A call whose body was read.
#[derive(Debug)]
pub(in crate::exchange) struct Ask {
    pub who: Identified,
    pub body: Vec<u8>,
    pub facts: CallFacts,
    pub request: Request,
    /// The tokens of its input, where it is made anew from the ledger, which has no
    /// body of it.
    pub recorded: Option<u64>,
}

impl Ask {
    pub fn of(read: Read, who: Identified) -> Self {
        let Read { body, facts } = read;
        let request = Request {
            model: Arc::from(facts.model.as_str()),
            stream: facts.stream,
            choices: facts.choices,
            messages: facts.messages,
            images: facts.images_count(),
            searches: facts.searches,
            body_bytes: body.len() as u64,
            tools: facts.tool_names.clone(),
            metadata: facts.metadata.clone(),
            hints: who.hints.clone(),
            route: who.route.clone(),
            seen: Seen::Whole,
        };
        Self {
            who,
            body,
            facts,
            request,
            recorded: None,
        }
    }

    /// Its prompt, where that isn't to be counted.
    pub fn recorded_prompt(&self) -> Option<Prompt> {
        let tokens = self.recorded?;
        Some(match self.who.endpoint.is_free() {
            true => Prompt::default(),
            false => Prompt {
                tokens,
                held_tokens: tokens,
                basis: None,
            },
        })
    }
}
