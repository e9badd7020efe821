//! What requests to OpenAI's endpoints ask for: a table of fields each.
//!
//! Of the many who speak this dialect some read more fields than OpenAI does;
//! those that end up in the prompt are in the tables too.
//!
//! Source of the fields: OpenAI's API reference; for those of others their own
//! (vLLM, DeepSeek, Mistral, Jina, Voyage).

mod chat;
mod completions;
mod embeddings;
mod media;
mod rerank;
mod responses;
mod uploads;

pub(in crate::protocol) use chat::CHAT;
pub(in crate::protocol) use completions::COMPLETIONS;
pub(in crate::protocol) use embeddings::{EMBEDDINGS, MODERATIONS};
pub(in crate::protocol) use media::{IMAGE_GENERATIONS, SPEECH};
pub(in crate::protocol) use rerank::RERANK;
pub(in crate::protocol) use responses::{RESPONSES, RESPONSES_INPUT_TOKENS};
pub(in crate::protocol) use uploads::{IMAGE_EDITS, TRANSCRIPTIONS};
