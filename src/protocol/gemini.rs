//! Gemini's dialect, at Google AI and at Vertex.

pub mod answers;
pub(super) mod refusal;
pub mod requests;
