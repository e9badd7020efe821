//! OpenAI's dialect: what its requests ask, what its answers used, and how its
//! refusals look.

pub mod answers;
mod choices;
pub(super) mod rate_headers;
pub(super) mod refusal;
pub mod requests;
mod usage_value;
