//! How OpenAI's answers are read, endpoint by endpoint; and those of the many
//! who answer in its form.
//!
//! Source: OpenAI's API reference (chat, completions, embeddings, responses,
//! images, audio, moderations).

use super::choices;
use crate::protocol::answer::rules::{Ends, Figures, Object, Rules, StreamEnd};
use crate::protocol::answer::table::{Mark, Node, Table, is, within};
use crate::protocol::answer::usage::Figure;

const CHOICES_ENDS: Ends = Ends {
    usage_name: "\"usage\"",
    usage: Object::By(choices::read_usage),
    model_name: "\"model\"",
};

const ENDS: Ends = Ends {
    usage_name: "\"usage\"",
    usage: Object::Of(USAGE),
    model_name: "\"model\"",
};

/// Chat completions and completions. xAI, DeepSeek, Groq and others differ in
/// their usage only, which shows in the figures themselves.
pub static CHOICES: Rules = Rules {
    figures: Figures::Grow,
    ..Rules::new(
        Object::By(choices::read),
        Object::By(choices::read),
        StreamEnd::Done,
        CHOICES_ENDS,
    )
};

pub static EMBEDDINGS: Rules = Rules {
    no_output: true,
    ..Rules::new(
        Object::By(choices::read),
        Object::By(choices::read),
        StreamEnd::Done,
        CHOICES_ENDS,
    )
};

/// Of what was cached, what it was.
const CACHED: Table = &[
    is("audio_tokens", Mark::Count(Figure::CachedAudio)),
    is("image_tokens", Mark::Count(Figure::CachedImage)),
];

/// The usage of all newer endpoints.
const USAGE: Table = &[
    is("input_tokens", Mark::Count(Figure::Prompt)),
    is("output_tokens", Mark::Count(Figure::Completion)),
    is("total_tokens", Mark::Count(Figure::Total)),
    within(
        "input_tokens_details",
        &[
            is("cached_tokens", Mark::Count(Figure::Cached)),
            is("cache_write_tokens", Mark::Count(Figure::CacheWrite)),
            is("audio_tokens", Mark::Count(Figure::PromptAudio)),
            is("image_tokens", Mark::Count(Figure::PromptImage)),
            within("cached_tokens_details", CACHED),
        ],
    ),
    within(
        "output_tokens_details",
        &[
            is("reasoning_tokens", Mark::Count(Figure::Reasoning)),
            is("audio_tokens", Mark::Count(Figure::CompletionAudio)),
            is("image_tokens", Mark::Count(Figure::CompletionImage)),
        ],
    ),
];

const RESPONSE_ENDED: Table = &[is("reason", Mark::FinishDetail)];

const RESPONSE: Table = &[
    is("model", Mark::Model),
    is("service_tier", Mark::ServiceTier),
    is("status", Mark::Finish),
    within("incomplete_details", RESPONSE_ENDED),
    within("usage", USAGE),
    is("error", Mark::Error),
    (
        "output",
        Node::Items(&[
            is("type", Mark::ItemType),
            is("status", Mark::ItemStatus),
            within("action", &[is("type", Mark::ItemAction)]),
            within(
                "content",
                &[is("text", Mark::Text), is("refusal", Mark::Text)],
            ),
            within("summary", &[is("text", Mark::Text)]),
            is("arguments", Mark::Arguments),
            is("input", Mark::Arguments),
            is("code", Mark::Text),
        ]),
    ),
];

/// What an event says of an item that begins, and of one that is done.
const ITEM: Table = &[
    is("type", Mark::ItemType),
    is("status", Mark::ItemStatus),
    within("action", &[is("type", Mark::ItemAction)]),
];

/// The final event brings the whole output again, so it is not looked at.
const RESPONSE_EVENT: Table = &[
    is("type", Mark::Kind),
    is("delta", Mark::Text),
    is("error", Mark::Error),
    ("item", Node::Items(ITEM)),
    within(
        "response",
        &[
            is("model", Mark::Model),
            is("service_tier", Mark::ServiceTier),
            is("status", Mark::Finish),
            within("incomplete_details", RESPONSE_ENDED),
            within("usage", USAGE),
            is("error", Mark::Error),
        ],
    ),
];

pub static RESPONSES: Rules = Rules {
    failures: &["response.failed", "error"],
    unfinished: &["in_progress", "queued"],
    ..Rules::new(
        Object::Of(RESPONSE),
        Object::Of(RESPONSE_EVENT),
        StreamEnd::Event(&[
            "response.completed",
            "response.incomplete",
            "response.cancelled",
        ]),
        ENDS,
    )
};

const IMAGE: Table = &[
    is("type", Mark::Kind),
    is("model", Mark::Model),
    within("usage", USAGE),
    is("error", Mark::Error),
];

pub static IMAGES: Rules = Rules {
    failures: &["error"],
    ..Rules::new(
        Object::Of(IMAGE),
        Object::Of(IMAGE),
        StreamEnd::Event(&["image_generation.completed", "image_edit.completed"]),
        ENDS,
    )
};

/// Mistral's has the older names.
const TRANSCRIPTION_USAGE: Table = &[
    is("input_tokens", Mark::Count(Figure::Prompt)),
    is("output_tokens", Mark::Count(Figure::Completion)),
    within(
        "input_token_details",
        &[is("audio_tokens", Mark::Count(Figure::PromptAudio))],
    ),
    is("prompt_tokens", Mark::Beside(Figure::Prompt)),
    is("completion_tokens", Mark::Beside(Figure::Completion)),
];

pub static TRANSCRIPTIONS: Rules = Rules {
    failures: &["error"],
    ..Rules::new(
        Object::Of(&[
            is("text", Mark::Text),
            is("model", Mark::Model),
            within("usage", TRANSCRIPTION_USAGE),
            is("error", Mark::Error),
        ]),
        Object::Of(&[
            is("type", Mark::Kind),
            is("delta", Mark::Text),
            is("model", Mark::Model),
            within("usage", TRANSCRIPTION_USAGE),
            is("error", Mark::Error),
        ]),
        StreamEnd::Event(&["transcript.text.done", "transcription.done"]),
        ENDS,
    )
};

/// Sound, or events with pieces of it.
pub static SPEECH: Rules = Rules {
    failures: &["error"],
    ..Rules::new(
        Object::Of(IMAGE),
        Object::Of(IMAGE),
        StreamEnd::Event(&["speech.audio.done"]),
        ENDS,
    )
};

/// Endpoints that use nothing up: moderations, and counting tokens.
pub static FREE: Rules = Rules {
    no_output: true,
    ..Rules::plain(&[is("model", Mark::Model), is("error", Mark::Error)], ENDS)
};

/// Rerankers of Voyage, Jina, Cohere and others.
pub static RERANK: Rules = Rules {
    no_output: true,
    ..Rules::plain(
        &[
            is("model", Mark::Model),
            is("error", Mark::Error),
            within("usage", &[is("total_tokens", Mark::Count(Figure::Total))]),
            within(
                "meta",
                &[within(
                    "tokens",
                    &[is("input_tokens", Mark::Count(Figure::Prompt))],
                )],
            ),
        ],
        ENDS,
    )
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::answer::{AnswerKind, AnswerReader};
    use crate::protocol::inflate::Encoding;

    /// (the last events, complete, failed, finish, input and output)
    #[test]
    fn a_response_ends_in_many_ways() {
        let begun = r#"{"type":"response.created","response":{"model":"m","status":"in_progress","usage":null}}"#;
        let said = r#"{"type":"response.output_text.delta","delta":"Hello"}"#;
        for (end, complete, failed, finish, usage) in [
            (
                r#"{"type":"response.completed","response":{"status":"completed","output":[{"content":[{"text":"Hello"}]}],"usage":{"input_tokens":3,"output_tokens":1}}}"#,
                true,
                false,
                Some("completed"),
                Some((3, 1)),
            ),
            (
                r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"usage":{"input_tokens":3,"output_tokens":1}}}"#,
                true,
                false,
                Some("incomplete:content_filter"),
                Some((3, 1)),
            ),
            (
                r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"},"usage":null}}"#,
                false,
                true,
                Some("failed"),
                None,
            ),
            (
                r#"{"type":"error","code":"rate_limit_exceeded","message":"x"}"#,
                false,
                true,
                None,
                None,
            ),
            (
                r#"{"type":"response.in_progress","response":{"status":"in_progress"}}"#,
                false,
                false,
                None,
                None,
            ),
        ] {
            let mut reader =
                AnswerReader::new(&RESPONSES, AnswerKind::Sse, Encoding::Identity, false);
            let stream = [begun, said, end].map(|event| format!("data: {event}\n\n"));
            reader.push(stream.concat().as_bytes(), true);
            let answer = reader.answer().clone();
            assert_eq!(
                (answer.complete, answer.failed),
                (complete, failed),
                "{end}"
            );
            assert_eq!(answer.finish_reason.as_deref(), finish, "{end}");
            assert_eq!(answer.model.as_deref(), Some("m"));
            let tokens = answer
                .usage
                .map(|usage| (usage.input_tokens.unwrap(), usage.output_tokens.unwrap()));
            assert_eq!(tokens, usage, "{end}");
            assert_eq!(reader.take_text(), "Hello", "said once: {end}");
        }
    }
}
