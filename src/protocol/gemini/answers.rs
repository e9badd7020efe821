//! How Gemini's answers are read, at Google AI and at Vertex.
//!
//! Each chunk of a stream brings the usage so far; the last one counts, and
//! may be lower than one before it. Thoughts come beside the candidates, what
//! tools brought beside the prompt.
//!
//! Source: the Gemini API's reference, `GenerateContentResponse` and its
//! `UsageMetadata`.

use crate::protocol::answer::modality::Modalities;
use crate::protocol::answer::rules::{Ends, Object, Rules, Searches};
use crate::protocol::answer::table::{Mark, Node, Table, is, within};
use crate::protocol::answer::usage::Figure;

const USAGE: Table = &[
    is("promptTokenCount", Mark::Count(Figure::Prompt)),
    is("toolUsePromptTokenCount", Mark::Count(Figure::ToolPrompt)),
    is("cachedContentTokenCount", Mark::Count(Figure::Cached)),
    is("candidatesTokenCount", Mark::Count(Figure::Spoken)),
    is("thoughtsTokenCount", Mark::Count(Figure::Thoughts)),
    is("totalTokenCount", Mark::Count(Figure::Total)),
    (
        "promptTokensDetails",
        Node::ByModality(Modalities {
            audio: Figure::PromptAudio,
            image: Figure::PromptImage,
        }),
    ),
    (
        "cacheTokensDetails",
        Node::ByModality(Modalities {
            audio: Figure::CachedAudio,
            image: Figure::CachedImage,
        }),
    ),
    (
        "candidatesTokensDetails",
        Node::ByModality(Modalities {
            audio: Figure::CompletionAudio,
            image: Figure::CompletionImage,
        }),
    ),
    is("serviceTier", Mark::ServiceTier),
    is("trafficType", Mark::ServiceTier),
];

const PART: Table = &[
    is("text", Mark::Text),
    within("functionCall", &[is("args", Mark::Arguments)]),
    within("executableCode", &[is("code", Mark::Text)]),
];

/// Searches that are billed of so many queries.
fn billed_searches(model: Option<&str>, queries: u64) -> u64 {
    let most = if is_billed_by_call(model) {
        1
    } else {
        u64::MAX
    };
    queries.min(most)
}

/// Whether a model's calls are billed that searched, however often: up to Gemini
/// 2.5. From Gemini 3 on each query is.
///
/// Source: Google's price list of the Gemini API, "Grounding with Google Search".
pub(super) fn is_billed_by_call(model: Option<&str>) -> bool {
    let name = model.map(|model| model.rsplit('/').next().unwrap_or(model));
    name.is_some_and(|name| {
        let mut families = ["gemini-1", "gemini-2"].into_iter();
        families.any(|family| name.starts_with(family))
    })
}

const CANDIDATE: Table = &[
    is("index", Mark::Index),
    is("finishReason", Mark::Finish),
    within("content", &[within("parts", PART)]),
    within(
        "groundingMetadata",
        &[is("webSearchQueries", Mark::Queries)],
    ),
];

const RESPONSE: Table = &[
    ("candidates", Node::Choices(CANDIDATE)),
    within("promptFeedback", &[is("blockReason", Mark::Finish)]),
    within("usageMetadata", USAGE),
    is("modelVersion", Mark::Model),
    is("error", Mark::Error),
];

const ENDS: Ends = Ends {
    usage_name: "\"usageMetadata\"",
    usage: Object::Of(USAGE),
    model_name: "\"modelVersion\"",
};

pub static GENERATE: Rules = Rules {
    searches: Searches::Repeated(billed_searches),
    ..Rules::plain(RESPONSE, ENDS)
};

pub static EMBED: Rules = Rules {
    no_output: true,
    ..Rules::plain(
        &[within("usageMetadata", USAGE), is("error", Mark::Error)],
        ENDS,
    )
};

/// Vertex's embeddings, each with a count of its own.
pub static PREDICT: Rules = Rules {
    no_output: true,
    ..Rules::plain(
        &[
            within(
                "predictions",
                &[within(
                    "embeddings",
                    &[within(
                        "statistics",
                        &[is("token_count", Mark::Sum(Figure::Prompt))],
                    )],
                )],
            ),
            is("error", Mark::Error),
        ],
        ENDS,
    )
};
