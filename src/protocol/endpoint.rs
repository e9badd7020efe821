//! The endpoints that are known: one row each, of all dialects.
//!
//! A path belongs to an endpoint by its last segments, as gateways and
//! providers put different ones before them (`/v1`, `/openai/v1`,
//! `/openai/deployments/NAME`, `/api/v1`). The first row that fits counts.
//!
//! To add an endpoint: a variant and a row. To add a dialect: also its folder.

mod rows;
mod suffix;

use super::answer::{AnswerKind, Rules};
use super::request::{Form, Upload, is_model_name};
use Dialect::{Anthropic, Cohere, Ollama, OpenAi};
use rows::{ROWS, Request, Row};
use std::borrow::Cow;
use suffix::is_plain;

/// Whose form a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
    Cohere,
    Ollama,
}

/// What a call asks for, whatever the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Endpoint {
    #[serde(rename = "/v1/chat/completions")]
    ChatCompletions,
    #[serde(rename = "/v1/completions")]
    Completions,
    #[serde(rename = "/v1/responses")]
    Responses,
    #[serde(rename = "/v1/responses/input_tokens")]
    ResponsesInputTokens,
    #[serde(rename = "/v1/embeddings")]
    Embeddings,
    #[serde(rename = "/v1/images/generations")]
    ImageGenerations,
    #[serde(rename = "/v1/images/edits")]
    ImageEdits,
    #[serde(rename = "/v1/images/variations")]
    ImageVariations,
    #[serde(rename = "/v1/audio/transcriptions")]
    Transcriptions,
    #[serde(rename = "/v1/audio/translations")]
    Translations,
    #[serde(rename = "/v1/audio/speech")]
    Speech,
    #[serde(rename = "/v1/moderations")]
    Moderations,
    #[serde(rename = "/v1/rerank")]
    Rerank,
    #[serde(rename = "/v1/messages")]
    Messages,
    #[serde(rename = "/v1/messages/count_tokens")]
    MessagesCountTokens,
    #[serde(rename = "/models/{model}:generateContent")]
    GenerateContent,
    #[serde(rename = "/models/{model}:streamGenerateContent")]
    StreamGenerateContent,
    #[serde(rename = "/models/{model}:embedContent")]
    EmbedContent,
    #[serde(rename = "/models/{model}:batchEmbedContents")]
    BatchEmbedContents,
    #[serde(rename = "/models/{model}:countTokens")]
    CountTokens,
    #[serde(rename = "/models/{model}:predict")]
    Predict,
    #[serde(rename = "/model/{model}/converse")]
    Converse,
    #[serde(rename = "/model/{model}/converse-stream")]
    ConverseStream,
    #[serde(rename = "/model/{model}/invoke")]
    Invoke,
    #[serde(rename = "/model/{model}/invoke-with-response-stream")]
    InvokeStream,
    #[serde(rename = "/model/{model}/count-tokens")]
    BedrockCountTokens,
    #[serde(rename = "/v2/chat")]
    CohereChat,
    #[serde(rename = "/v1/chat")]
    CohereChatV1,
    #[serde(rename = "/v2/embed")]
    CohereEmbed,
    #[serde(rename = "/v2/rerank")]
    CohereRerank,
    #[serde(rename = "/api/chat")]
    OllamaChat,
    #[serde(rename = "/api/generate")]
    OllamaGenerate,
    #[serde(rename = "/api/embed")]
    OllamaEmbed,
    /// Any that isn't known, or no request at all but an upgrade: what is used
    /// can't be told.
    #[serde(rename = "other")]
    Other,
}

/// Providers by name, and whose form they speak.
const PROVIDERS: &[(&str, Dialect)] = &[
    ("openai", OpenAi),
    ("azure-openai", OpenAi),
    ("deepseek", OpenAi),
    ("groq", OpenAi),
    ("mistral", OpenAi),
    ("openrouter", OpenAi),
    ("together", OpenAi),
    ("vllm", OpenAi),
    ("xai", OpenAi),
    ("anthropic", Anthropic),
    ("gemini", Dialect::Gemini),
    ("vertex", Dialect::Gemini),
    ("bedrock", Dialect::Bedrock),
    ("cohere", Cohere),
    ("ollama", Ollama),
];

impl Dialect {
    /// Its name in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::OpenAi => "openai",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::Bedrock => "bedrock",
            Dialect::Cohere => "cohere",
            Dialect::Ollama => "ollama",
        }
    }

    /// The dialect of a provider.
    pub fn of_provider(name: &str) -> Option<Self> {
        let mut known = PROVIDERS.iter();
        known.find(|(known, _)| *known == name).map(|(_, d)| *d)
    }

    /// The names that [`Dialect::of_provider`] knows.
    pub fn providers() -> impl Iterator<Item = &'static str> {
        PROVIDERS.iter().map(|(name, _)| *name)
    }

    /// What a call asks for where nothing else is said.
    pub fn usual_endpoint(self) -> Endpoint {
        match self {
            Dialect::OpenAi => Endpoint::ChatCompletions,
            Dialect::Anthropic => Endpoint::Messages,
            Dialect::Gemini => Endpoint::GenerateContent,
            Dialect::Bedrock => Endpoint::Converse,
            Dialect::Cohere => Endpoint::CohereChat,
            Dialect::Ollama => Endpoint::OllamaChat,
        }
    }
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Endpoint; ROWS.len()] = {
        let mut all = [Endpoint::ChatCompletions; ROWS.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = ROWS[at].endpoint;
            at += 1;
        }
        all
    };

    /// All of them.
    pub fn all() -> impl Iterator<Item = Endpoint> {
        Self::ALL.into_iter()
    }

    fn row(self) -> &'static Row {
        // The rows are in the variants' order: see the tests.
        ROWS.get(self as usize).unwrap_or(&ROWS[0])
    }

    /// The endpoint's path, which is also its name in events and metrics.
    pub fn path(self) -> &'static str {
        self.row().path
    }

    pub fn dialect(self) -> Dialect {
        self.row().dialect
    }

    /// How its answers are read.
    pub fn rules(self) -> &'static Rules {
        self.row().rules
    }

    /// How its requests are read.
    pub(in crate::protocol) fn form(self) -> Option<&'static Form> {
        match self.row().request {
            Request::Json(form) => Some(form),
            Request::Form(_) | Request::Unknown => None,
        }
    }

    /// As [`Endpoint::form`], where its requests are uploaded as forms.
    pub(in crate::protocol) fn upload(self) -> Option<&'static Upload> {
        match self.row().request {
            Request::Json(_) | Request::Unknown => None,
            Request::Form(upload) => Some(upload),
        }
    }

    /// Whether its requests come as `multipart/form-data`, not as JSON.
    pub fn takes_forms(self) -> bool {
        self.upload().is_some()
    }

    /// Whether it produces no tokens.
    pub fn is_without_output(self) -> bool {
        self.rules().no_output
    }

    /// The endpoint of a path without its query, and the model in it.
    pub fn of_path(path: &str) -> Option<(Self, Option<Cow<'_, str>>)> {
        ROWS.iter().find_map(|row| {
            let model = row.suffix.model(path)?;
            Some((row.endpoint, model))
        })
    }

    /// As [`Endpoint::of_path`], for the path of a request: none where a
    /// provider could read it in another way than it is read here. Only of this
    /// dialect, if there is one.
    pub fn of_request_path(
        path: &str,
        dialect: Option<Dialect>,
    ) -> Option<(Self, Option<Cow<'_, str>>)> {
        let mut rows = ROWS.iter().filter(|_| is_plain(path));
        rows.find_map(|row| {
            let fits = dialect.is_none_or(|dialect| dialect == row.dialect);
            let model = fits.then(|| row.suffix.model(path))??;
            Some((row.endpoint, model))
        })
    }

    /// The path of a call at this endpoint, without its query, with another model
    /// in place of the one that it names; `None` where it names none, or can't
    /// name this one. [`Endpoint::of_request_path`] reads the new one as it read
    /// the old.
    pub fn path_for_model(self, path: &str, model: &str) -> Option<String> {
        let nameable = is_model_name(model) && !matches!(model, "." | "..");
        let path = nameable.then(|| self.row().suffix.with_model(path, model))??;
        is_plain(&path).then_some(path)
    }

    /// Whether a provider that is lenient could take a path for one of a known
    /// endpoint, of whatever dialect.
    pub fn resembles_a_known_path(path: &str) -> bool {
        let path_lower = path.to_ascii_lowercase();
        let mut tails = ROWS.iter().filter_map(|row| row.suffix.tail());
        // What is encoded may be decoded there, even twice.
        !is_plain(path)
            || path.contains('%')
            || tails.any(|tail| path_lower.ends_with(&tail.to_ascii_lowercase()))
    }

    /// Whether an unknown path may not go on unread even where others may: it
    /// starts work that nobody bounds, hands out a key for use around this
    /// gateway, or gives a model another's name.
    pub fn may_not_pass(path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        let verb = path
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'));
        verb || path
            .split('/')
            .any(|segment| NEVER_UNREAD.contains(&segment))
    }

    /// Whether a body for a model fits another: at Bedrock's `invoke` each maker's.
    pub fn takes_alike(self, model: &str, other: &str) -> bool {
        let is_invoke = matches!(self, Endpoint::Invoke | Endpoint::InvokeStream);
        !is_invoke || super::bedrock::requests::invoked_alike(model, other)
    }

    /// Whether nothing is billed for it.
    pub fn is_free(self) -> bool {
        matches!(
            self,
            Endpoint::ResponsesInputTokens
                | Endpoint::MessagesCountTokens
                | Endpoint::CountTokens
                | Endpoint::BedrockCountTokens
        )
    }

    /// Whether an answer that says nothing of what it used used nothing: some
    /// who offer it bill for it, and say so.
    pub fn is_free_unless_said(self) -> bool {
        self.is_free() || self == Endpoint::Moderations
    }

    /// Whether a stream says what it used only where `stream_options` ask.
    pub fn is_asked_for_usage(self) -> bool {
        matches!(self, Endpoint::ChatCompletions | Endpoint::Completions)
    }

    /// Whether an output cap is always written: the provider refuses a call
    /// without one, or puts no bound on it.
    pub fn needs_cap(self) -> bool {
        matches!(
            self,
            Endpoint::Messages | Endpoint::OllamaChat | Endpoint::OllamaGenerate
        )
    }

    /// The most output tokens of one answer where neither the call nor the
    /// model says. Source: OpenAI's pricing of `gpt-image-1`, at high quality
    /// and the largest size, and three partial images on the way;
    /// its page on `gpt-4o-transcribe`.
    pub fn usual_output_tokens_max(self) -> Option<u64> {
        match self {
            Endpoint::ImageGenerations | Endpoint::ImageEdits | Endpoint::ImageVariations => {
                Some(6_240 + 3 * 100)
            }
            Endpoint::Transcriptions | Endpoint::Translations => Some(2_000),
            _ => None,
        }
    }

    /// A part of a URL without its percent-encoding; `None` where that is wrong.
    pub fn decoded(part: &str) -> Option<Cow<'_, str>> {
        suffix::decoded(part)
    }

    /// What form an answer of this content type has.
    pub fn answer_kind(self, content_type: &str) -> AnswerKind {
        let essence = content_type.split(';').next().unwrap_or("").trim();
        let is = |known: &str| essence.eq_ignore_ascii_case(known);
        let begins = |known: &str| {
            let front = essence.get(..known.len());
            front.is_some_and(|front| front.eq_ignore_ascii_case(known))
        };
        if is("text/event-stream") {
            AnswerKind::Sse
        } else if is("application/vnd.amazon.eventstream") {
            AnswerKind::EventStream
        } else if JSON_STREAMS.iter().any(|known| is(known)) {
            AnswerKind::JsonStream
        } else if self == Endpoint::StreamGenerateContent {
            // Without `alt=sse`: an array, whose items come as they are made.
            AnswerKind::JsonStream
        } else if begins("audio/") || begins("image/") || is("application/octet-stream") {
            AnswerKind::Binary
        } else if begins("text/") && self.answers_in_text() {
            AnswerKind::Text
        } else {
            AnswerKind::Json
        }
    }

    /// Where the output may come as it is: subtitles, for one.
    fn answers_in_text(self) -> bool {
        matches!(self, Endpoint::Transcriptions | Endpoint::Translations)
    }
}

/// Segments of paths that don't go on unread.
const NEVER_UNREAD: [&str; 18] = [
    "async-invoke",
    "batches",
    "client_secrets",
    "compact",
    "complete",
    "copy",
    "create",
    "embed",
    "generate",
    "interactions",
    "invoke-with-bidirectional-stream",
    "load_lora_adapter",
    "organization",
    "runs",
    "sessions",
    "transcription_sessions",
    "unload_lora_adapter",
    "videos",
];

/// Content types of JSON objects, one a line.
const JSON_STREAMS: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/json-lines",
    "application/stream+json",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;
    use suffix::Suffix;

    #[test]
    fn the_rows_are_in_order_and_each_is_found() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.endpoint as usize, at, "{}", row.path);
            if row.endpoint == Endpoint::Other {
                assert!(Endpoint::of_path(row.path).is_none());
                continue;
            }
            let path = row.path.replace("{model}", "m");
            let found = Endpoint::of_path(&path).map(|(endpoint, _)| endpoint);
            assert_eq!(found, Some(row.endpoint), "{path}");
            let name = serde_json::to_value(row.endpoint).unwrap();
            assert_eq!(name, row.path);
        }
    }

    #[test]
    fn a_path_says_what_is_asked_and_of_which_model() {
        use Endpoint::*;
        for (path, expected) in [
            ("/v1/chat/completions", Some((ChatCompletions, None))),
            ("/api/v1/chat/completions", Some((ChatCompletions, None))),
            ("/chat/completions", Some((ChatCompletions, None))),
            (
                "/openai/deployments/gpt-5%2Dnano/chat/completions",
                Some((ChatCompletions, Some("gpt-5-nano"))),
            ),
            ("/openai/v1/responses", Some((Responses, None))),
            (
                "/v1/responses/input_tokens",
                Some((ResponsesInputTokens, None)),
            ),
            (
                "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
                Some((GenerateContent, Some("gemini-2.5-pro"))),
            ),
            (
                "/model/us.amazon.nova-micro-v1%3A0/converse-stream",
                Some((ConverseStream, Some("us.amazon.nova-micro-v1:0"))),
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3Ax%3Ainference-profile%2Fus.m/converse",
                Some((
                    Converse,
                    Some("arn:aws:bedrock:us-east-1:x:inference-profile/us.m"),
                )),
            ),
            ("/v1/chat", Some((CohereChatV1, None))),
            ("/api/embed", Some((OllamaEmbed, None))),
            ("/model//converse", None),
            ("/model/a/b/converse", None),
            ("/model/a%2/converse", None),
            ("/model/a%ff/converse", None),
            ("/v1/models", None),
            ("/v1/chat/completions/", None),
            ("/v1/batches", None),
            ("/V1/chat/completions", None),
            ("/v1/Chat/completions", None),
            ("/v1/fim/completions", None),
            ("/v1/threads/responses", None),
            ("/openai/deployments/dear/v1/chat/completions", None),
            ("/engines/v0-1.5-md/chat/completions", None),
            ("/beta/completions", Some((Completions, None))),
            (
                "/api/paas/v4/chat/completions",
                Some((ChatCompletions, None)),
            ),
        ] {
            let found = Endpoint::of_path(path);
            let found = found.map(|(endpoint, model)| (endpoint, model.map(Cow::into_owned)));
            let expected = expected.map(|(endpoint, model)| (endpoint, model.map(str::to_owned)));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_path_takes_another_model() {
        use Endpoint::*;
        let google = "/v1/projects/p/locations/l/publishers/google/models/g-1:generateContent";
        let new = |path: &str, old: &str, new: &str| Some(path.replace(old, new));
        for (endpoint, path, model, expected) in [
            (
                GenerateContent,
                google,
                "g-2.5",
                new(google, "g-1", "g-2.5"),
            ),
            (
                GenerateContent,
                google,
                "c@20250101",
                new(google, "g-1", "c@20250101"),
            ),
            (
                GenerateContent,
                google,
                "a:b é",
                new(google, "g-1", "a%3Ab%20%C3%A9"),
            ),
            (
                Converse,
                "/model/us.m-v1%3A0/converse",
                "arn:aws:x/y%",
                Some("/model/arn%3Aaws%3Ax%2Fy%25/converse".to_owned()),
            ),
            (
                ChatCompletions,
                "/openai/deployments/old/chat/completions",
                "gpt;5",
                Some("/openai/deployments/gpt%3B5/chat/completions".to_owned()),
            ),
            // It names none.
            (ChatCompletions, "/v1/chat/completions", "m", None),
            (
                ChatCompletions,
                "/openai/deployments/a%zz/chat/completions",
                "m",
                None,
            ),
            // It is another's, or nobody's.
            (Converse, google, "m", None),
            (Other, google, "m", None),
            // No path can say it.
            (GenerateContent, google, "..", None),
            (GenerateContent, google, "", None),
            (GenerateContent, google, "a\nb", None),
        ] {
            assert_eq!(
                endpoint.path_for_model(path, model),
                expected,
                "{path} {model:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_path_with_another_model_is_read_as_the_same_endpoint(
            row in 0..ROWS.len(),
            front in select(vec!["", "/v1", "/v1beta", "/openai", "/a/model/b", "/x/models/y", "/deployments/z"]),
            old in select(vec!["m", "us.m-v1%3A0", "a%2Fb", "m@1"]),
            model in "[a-zA-Z0-9/:;.%@#?\\\\ é~_-]{0,12}|\\PC{1,40}",
        ) {
            let row = &ROWS[row];
            let path = match &row.suffix {
                Suffix::None => row.path.to_owned(),
                Suffix::Plain(tail) => format!("{front}/deployments/{old}{tail}"),
                Suffix::Model { before, after } => format!("{front}{before}{old}{after}"),
            };
            let new = row.endpoint.path_for_model(&path, &model);
            for dialect in [Some(row.dialect), None] {
                let Some((endpoint, Some(_))) = Endpoint::of_request_path(&path, dialect) else {
                    continue;
                };
                if endpoint != row.endpoint {
                    continue;
                }
                let nameable = is_model_name(&model) && model != "." && model != "..";
                prop_assert_eq!(new.is_some(), nameable, "{} {:?}", path, model);
                if let Some(new) = &new {
                    let read = Endpoint::of_request_path(new, dialect);
                    let expected = Some((endpoint, Some(Cow::Borrowed(model.as_str()))));
                    prop_assert_eq!(read, expected, "{} {}", path, new);
                }
            }
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_none() {
        for (path, plain) in [
            ("/v1/chat/completions", true),
            ("/model/us.m%3A0/converse", true),
            ("/model/a%2Fb/converse", true),
            ("/v1%2Fchat/completions", false),
            ("//v1/chat/completions", false),
            ("/v1/../v1/chat/completions", false),
            ("/v1/./chat/completions", false),
            ("/v1/chat/completions/", false),
            ("/v1;x/chat/completions", false),
            ("/v1\\chat/completions", false),
            ("/v1/chat/completions#x", false),
            ("v1/chat/completions", false),
            ("", false),
        ] {
            let found = Endpoint::of_request_path(path, None).is_some();
            assert_eq!(found, plain, "{path}");
        }
    }

    #[test]
    fn a_content_type_says_what_form_an_answer_has() {
        for (endpoint, content_type, kind) in [
            (
                Endpoint::ChatCompletions,
                "application/json; charset=utf-8",
                AnswerKind::Json,
            ),
            (
                Endpoint::ChatCompletions,
                "Text/Event-Stream;charset=UTF-8",
                AnswerKind::Sse,
            ),
            (Endpoint::ChatCompletions, "", AnswerKind::Json),
            (Endpoint::ChatCompletions, "text/plain", AnswerKind::Json),
            (
                Endpoint::OllamaChat,
                "application/x-ndjson",
                AnswerKind::JsonStream,
            ),
            (
                Endpoint::StreamGenerateContent,
                "application/json",
                AnswerKind::JsonStream,
            ),
            (
                Endpoint::StreamGenerateContent,
                "text/event-stream",
                AnswerKind::Sse,
            ),
            (Endpoint::Speech, "audio/mpeg", AnswerKind::Binary),
            (Endpoint::Transcriptions, "text/vtt", AnswerKind::Text),
            (
                Endpoint::ConverseStream,
                "application/vnd.amazon.eventstream",
                AnswerKind::EventStream,
            ),
        ] {
            assert_eq!(endpoint.answer_kind(content_type), kind, "{content_type}");
        }
    }
}
