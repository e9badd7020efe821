//! Amazon Bedrock's dialect.

pub mod answers;
