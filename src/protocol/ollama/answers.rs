//! How Ollama's own answers are read: one object, or one a line.
//!
//! `prompt_eval_count` is left out where the prompt was cached as a whole: not
//! said is not 0.
//!
//! Source: Ollama's API documentation (`/api/chat`, `/api/generate`,
//! `/api/embed`).

use crate::protocol::answer::rules::{Ends, Object, Rules, StreamEnd};
use crate::protocol::answer::table::{Mark, Table, is, within};
use crate::protocol::answer::usage::Figure;

const ANSWER: Table = &[
    is("model", Mark::Model),
    within(
        "message",
        &[
            is("content", Mark::Text),
            is("thinking", Mark::Text),
            within(
                "tool_calls",
                &[within("function", &[is("arguments", Mark::Arguments)])],
            ),
        ],
    ),
    is("response", Mark::Text),
    is("thinking", Mark::Text),
    is("done", Mark::Done),
    is("done_reason", Mark::Finish),
    is("prompt_eval_count", Mark::Count(Figure::Prompt)),
    is("eval_count", Mark::Count(Figure::Completion)),
    is("error", Mark::Error),
];

/// No answer is as long as those whose ends alone are looked at.
const ENDS: Ends = Ends {
    usage_name: "\"usage\"",
    usage: Object::Of(&[]),
    model_name: "\"model\"",
};

pub static GENERATE: Rules = Rules::new(
    Object::Of(ANSWER),
    Object::Of(ANSWER),
    StreamEnd::Event(&[]),
    ENDS,
);

pub static EMBED: Rules = Rules {
    no_output: true,
    ..Rules::plain(ANSWER, ENDS)
};
