//! How Cohere's answers are read.
//!
//! What the model saw and what is billed differ, as the tokens of Cohere's own
//! templates are free. What it saw is its usage here; what is billed counts
//! where nothing else is said.
//!
//! Source: Cohere's API reference (`chat` v1 and v2, `embed`).

use crate::protocol::answer::rules::{Ends, Object, Rules, StreamEnd};
use crate::protocol::answer::table::{Mark, Table, is, within};
use crate::protocol::answer::usage::Figure;

const USAGE: Table = &[
    within(
        "tokens",
        &[
            is("input_tokens", Mark::Count(Figure::Prompt)),
            is("output_tokens", Mark::Count(Figure::Completion)),
        ],
    ),
    is("cached_tokens", Mark::Count(Figure::Cached)),
    within(
        "billed_units",
        &[
            is("input_tokens", Mark::Beside(Figure::Prompt)),
            is("output_tokens", Mark::Beside(Figure::Completion)),
        ],
    ),
];

const MESSAGE: Table = &[
    within(
        "content",
        &[is("text", Mark::Text), is("thinking", Mark::Text)],
    ),
    is("tool_plan", Mark::Text),
    within(
        "tool_calls",
        &[within("function", &[is("arguments", Mark::Arguments)])],
    ),
];

const CHAT_TABLE: Table = &[
    is("type", Mark::Kind),
    within("message", MESSAGE),
    is("finish_reason", Mark::Finish),
    within("usage", USAGE),
    within(
        "delta",
        &[
            within("message", MESSAGE),
            is("finish_reason", Mark::Finish),
            within("usage", USAGE),
        ],
    ),
    // The first version's.
    is("is_finished", Mark::Done),
    is("text", Mark::Text),
    within("meta", USAGE),
    within("response", &[within("meta", USAGE)]),
];

const ENDS: Ends = Ends {
    usage_name: "\"meta\"",
    usage: Object::Of(USAGE),
    model_name: "\"model\"",
};

pub static CHAT: Rules = Rules::new(
    Object::Of(CHAT_TABLE),
    Object::Of(CHAT_TABLE),
    StreamEnd::Event(&["message-end"]),
    ENDS,
);

pub static EMBED: Rules = Rules {
    no_output: true,
    ..Rules::plain(&[within("meta", USAGE)], ENDS)
};
