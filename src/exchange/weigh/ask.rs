//! A call whose body was read, as it is weighed.

use crate::exchange::head::Identified;
use crate::exchange::reading::Read;
use crate::policy::facts::Request;
use crate::protocol::CallFacts;
use std::sync::Arc;

/// A call whose body was read.
#[derive(Debug)]
pub(in crate::exchange) struct Ask {
    pub who: Identified,
    pub body: Vec<u8>,
    pub facts: CallFacts,
    pub request: Request,
}

impl Ask {
    pub fn of(read: Read, who: Identified) -> Self {
        let Read { body, facts } = read;
        let request = Request {
            model: Arc::from(facts.model.as_str()),
            stream: facts.stream,
            choices: facts.choices,
            messages: facts.messages,
            images: facts.images.len() as u64,
            searches: facts.searches,
            body_bytes: body.len() as u64,
            tools: facts.tool_names.clone(),
            metadata: facts.metadata.clone(),
            hints: who.hints.clone(),
        };
        Self {
            who,
            body,
            facts,
            request,
        }
    }
}
