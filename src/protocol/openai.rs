//! OpenAI's dialect: what its requests ask, what its answers used, and how its
//! refusals look.

pub mod answers;
mod choices;
pub mod rate_headers;
pub mod refusal;
pub mod requests;
mod usage_value;
