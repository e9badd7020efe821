//! How Anthropic's answers are read.
//!
//! `message_start` says what was read, `message_delta` what came of it; both
//! are cumulative, and the later one counts, figure by figure: tools that run
//! at the provider add to the input while the answer is made.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages".

use crate::protocol::answer::rules::{Ends, Object, Rules, StreamEnd};
use crate::protocol::answer::table::{Mark, Table, is, within};
use crate::protocol::answer::usage::Figure;

const USAGE: Table = &[
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
    within(
        "server_tool_use",
        &[is("web_search_requests", Mark::Count(Figure::Searches))],
    ),
    is("service_tier", Mark::ServiceTier),
    is("output_tokens", Mark::Count(Figure::Completion)),
    within(
        "output_tokens_details",
        &[is("thinking_tokens", Mark::Count(Figure::Reasoning))],
    ),
];

const CONTENT: Table = &[
    is("text", Mark::Text),
    is("thinking", Mark::Text),
    is("input", Mark::Arguments),
];

const MESSAGE: Table = &[
    is("model", Mark::Model),
    within("content", CONTENT),
    is("stop_reason", Mark::Finish),
    within("usage", USAGE),
    is("error", Mark::Error),
];

const EVENT: Table = &[
    is("type", Mark::Kind),
    within("message", MESSAGE),
    within(
        "content_block",
        &[is("text", Mark::Text), is("thinking", Mark::Text)],
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
    within("usage", USAGE),
    is("error", Mark::Error),
];

pub static MESSAGES: Rules = Rules {
    failures: &["error"],
    ..Rules::new(
        Object::Of(MESSAGE),
        Object::Of(EVENT),
        StreamEnd::Event(&["message_stop"]),
        Ends {
            usage_name: "\"usage\"",
            usage: Object::Of(USAGE),
            model_name: "\"model\"",
        },
    )
};
