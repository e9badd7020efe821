//! How Bedrock's answers are read.
//!
//! `converse` has one form for all models. `invoke` passes each model's own
//! form through, so that its table is that of all of them together; Bedrock
//! adds its own metrics, in headers or in a stream's last event, which count
//! where the model's form says nothing.
//!
//! Source: the Amazon Bedrock API reference (`Converse`, `ConverseStream`,
//! `InvokeModel`), and the user guide's "Inference request parameters".

use crate::protocol::answer::rules::{Ends, Object, Rules, StreamEnd};
use crate::protocol::answer::table::{Mark, Node, Table, is, within};
use crate::protocol::answer::usage::Figure;

/// Cached and written tokens come under two names, beside `inputTokens`.
const USAGE: Table = &[
    is("inputTokens", Mark::Count(Figure::FreshPrompt)),
    is("outputTokens", Mark::Count(Figure::Completion)),
    is("cacheReadInputTokens", Mark::Count(Figure::Cached)),
    is("cacheReadInputTokenCount", Mark::Count(Figure::CachedAgain)),
    is("cacheWriteInputTokens", Mark::Count(Figure::CacheWrite)),
    is(
        "cacheWriteInputTokenCount",
        Mark::Count(Figure::CacheWriteAgain),
    ),
];

const CONTENT: Table = &[
    is("text", Mark::Text),
    within("toolUse", &[is("input", Mark::Arguments)]),
    within(
        "reasoningContent",
        &[
            is("text", Mark::Text),
            within("reasoningText", &[is("text", Mark::Text)]),
        ],
    ),
];

const SERVICE_TIER: Table = &[is("type", Mark::ServiceTier)];

const OUTPUT: Table = &[within("message", &[within("content", CONTENT)])];

const ENDS: Ends = Ends {
    usage_name: "\"usage\"",
    usage: Object::Of(INVOKE_USAGE),
    model_name: "\"model\"",
};

pub static CONVERSE: Rules = Rules::new(
    Object::Of(&[
        within("output", OUTPUT),
        is("stopReason", Mark::Finish),
        within("usage", USAGE),
        within("serviceTier", SERVICE_TIER),
    ]),
    Object::Of(&[
        within("delta", CONTENT),
        is("stopReason", Mark::Finish),
        within("usage", USAGE),
        within("serviceTier", SERVICE_TIER),
    ]),
    StreamEnd::Finished,
    ENDS,
);

/// Those of Nova, of Claude, and of the models with OpenAI's form.
const INVOKE_USAGE: Table = &[
    is("inputTokens", Mark::Count(Figure::FreshPrompt)),
    is("outputTokens", Mark::Count(Figure::Completion)),
    is("cacheReadInputTokens", Mark::Count(Figure::Cached)),
    is("cacheReadInputTokenCount", Mark::Count(Figure::CachedAgain)),
    is("cacheWriteInputTokens", Mark::Count(Figure::CacheWrite)),
    is(
        "cacheWriteInputTokenCount",
        Mark::Count(Figure::CacheWriteAgain),
    ),
    is("input_tokens", Mark::Count(Figure::FreshPrompt)),
    is("cache_read_input_tokens", Mark::Count(Figure::Cached)),
    is(
        "cache_creation_input_tokens",
        Mark::Count(Figure::CacheWrite),
    ),
    within(
        "cache_creation",
        &[is(
            "ephemeral_1h_input_tokens",
            Mark::Count(Figure::CacheWrite1h),
        )],
    ),
    is("output_tokens", Mark::Count(Figure::Completion)),
    is("prompt_tokens", Mark::Count(Figure::Prompt)),
    is("completion_tokens", Mark::Count(Figure::Completion)),
];

const METRICS: Table = &[
    is("inputTokenCount", Mark::Beside(Figure::FreshPrompt)),
    is("outputTokenCount", Mark::Beside(Figure::Completion)),
    is("cacheReadInputTokenCount", Mark::Beside(Figure::Cached)),
    is(
        "cacheWriteInputTokenCount",
        Mark::Beside(Figure::CacheWrite),
    ),
];

const SPOKEN: Table = &[
    is("content", Mark::Text),
    is("reasoning_content", Mark::Text),
    within(
        "tool_calls",
        &[within("function", &[is("arguments", Mark::Arguments)])],
    ),
];

const CHOICE: Table = &[
    is("index", Mark::Index),
    is("finish_reason", Mark::Finish),
    is("stop_reason", Mark::Finish),
    is("text", Mark::Text),
    within("message", SPOKEN),
    within("delta", SPOKEN),
];

const INVOKE: Table = &[
    is("type", Mark::Kind),
    is("model", Mark::Model),
    within("usage", INVOKE_USAGE),
    within("amazon-bedrock-invocationMetrics", METRICS),
    is("error", Mark::Error),
    // Claude.
    within(
        "content",
        &[
            is("text", Mark::Text),
            is("thinking", Mark::Text),
            is("input", Mark::Arguments),
        ],
    ),
    is("completion", Mark::Text),
    is("stop_reason", Mark::Finish),
    within(
        "message",
        &[is("model", Mark::Model), within("usage", INVOKE_USAGE)],
    ),
    within(
        "delta",
        &[
            is("text", Mark::Text),
            is("thinking", Mark::Text),
            is("partial_json", Mark::Text),
            is("stop_reason", Mark::Finish),
        ],
    ),
    // Nova.
    within("output", OUTPUT),
    is("stopReason", Mark::Finish),
    within("contentBlockDelta", &[within("delta", CONTENT)]),
    within("messageStop", &[is("stopReason", Mark::Finish)]),
    within("metadata", &[within("usage", INVOKE_USAGE)]),
    // Titan, and its embeddings.
    is("inputTextTokenCount", Mark::Count(Figure::FreshPrompt)),
    is("totalOutputTextTokenCount", Mark::Count(Figure::Completion)),
    is("outputText", Mark::Text),
    is("completionReason", Mark::Finish),
    within(
        "results",
        &[
            is("tokenCount", Mark::Sum(Figure::Completion)),
            is("outputText", Mark::Text),
            is("completionReason", Mark::Finish),
        ],
    ),
    is("embedding", Mark::Zero(Figure::Completion)),
    is("embeddings", Mark::Zero(Figure::Completion)),
    // Llama.
    is("generation", Mark::Text),
    is("prompt_token_count", Mark::Count(Figure::FreshPrompt)),
    is("generation_token_count", Mark::Count(Figure::Completion)),
    // Cohere, Mistral.
    is("text", Mark::Text),
    is("finish_reason", Mark::Finish),
    within(
        "generations",
        &[is("text", Mark::Text), is("finish_reason", Mark::Finish)],
    ),
    within(
        "outputs",
        &[is("text", Mark::Text), is("stop_reason", Mark::Finish)],
    ),
    // DeepSeek, gpt-oss, Qwen, Jamba.
    ("choices", Node::Choices(CHOICE)),
];

pub static INVOKE_MODEL: Rules = Rules {
    failures: &["error"],
    ..Rules::plain(INVOKE, ENDS)
};
