//! The rows themselves, in the order of [`Endpoint`]'s variants.

use super::Dialect::{self, Anthropic, Cohere, Ollama, OpenAi};
use super::Endpoint as E;
use super::Endpoint;
use super::suffix::Suffix;
use crate::protocol::answer::Rules;
use crate::protocol::openai::answers as openai_answers;
use crate::protocol::openai::requests as openai_requests;
use crate::protocol::request::{Form, Upload};
use crate::protocol::{anthropic, bedrock, cohere, gemini, ollama};

/// What is known of an endpoint.
pub(super) struct Row {
    pub(super) endpoint: Endpoint,
    pub(super) dialect: Dialect,
    /// Its path, which is also its name in events and metrics; `{model}` stands
    /// for the model's name.
    pub(super) path: &'static str,
    /// How its paths end.
    pub(super) suffix: Suffix,
    /// How its answers are read.
    pub(super) rules: &'static Rules,
    /// How its requests are read.
    pub(super) request: Request,
}

/// The form of a request's body.
pub(super) enum Request {
    Json(&'static Form),
    /// `multipart/form-data`.
    Form(&'static Upload),
    /// They aren't read.
    Unknown,
}

const fn row(
    endpoint: Endpoint,
    dialect: Dialect,
    path: &'static str,
    suffix: &'static str,
    rules: &'static Rules,
    request: Request,
) -> Row {
    Row {
        endpoint,
        dialect,
        path,
        suffix: Suffix::Plain(suffix),
        rules,
        request,
    }
}

const fn google(
    endpoint: Endpoint,
    path: &'static str,
    verb: &'static str,
    rules: &'static Rules,
    request: Request,
) -> Row {
    Row {
        endpoint,
        dialect: Dialect::Gemini,
        path,
        suffix: Suffix::Model {
            before: "/models/",
            after: verb,
        },
        rules,
        request,
    }
}

const fn aws(
    endpoint: Endpoint,
    path: &'static str,
    verb: &'static str,
    rules: &'static Rules,
    request: Request,
) -> Row {
    Row {
        endpoint,
        dialect: Dialect::Bedrock,
        path,
        suffix: Suffix::Model {
            before: "/model/",
            after: verb,
        },
        rules,
        request,
    }
}

pub(super) static ROWS: [Row; 34] = [
    row(
        E::ChatCompletions,
        OpenAi,
        "/v1/chat/completions",
        "/chat/completions",
        &openai_answers::CHOICES,
        Request::Json(&openai_requests::CHAT),
    ),
    row(
        E::Completions,
        OpenAi,
        "/v1/completions",
        "/completions",
        &openai_answers::CHOICES,
        Request::Json(&openai_requests::COMPLETIONS),
    ),
    row(
        E::Responses,
        OpenAi,
        "/v1/responses",
        "/responses",
        &openai_answers::RESPONSES,
        Request::Json(&openai_requests::RESPONSES),
    ),
    row(
        E::ResponsesInputTokens,
        OpenAi,
        "/v1/responses/input_tokens",
        "/responses/input_tokens",
        &openai_answers::FREE,
        Request::Json(&openai_requests::RESPONSES_INPUT_TOKENS),
    ),
    row(
        E::Embeddings,
        OpenAi,
        "/v1/embeddings",
        "/embeddings",
        &openai_answers::EMBEDDINGS,
        Request::Json(&openai_requests::EMBEDDINGS),
    ),
    row(
        E::ImageGenerations,
        OpenAi,
        "/v1/images/generations",
        "/images/generations",
        &openai_answers::IMAGES,
        Request::Json(&openai_requests::IMAGE_GENERATIONS),
    ),
    row(
        E::ImageEdits,
        OpenAi,
        "/v1/images/edits",
        "/images/edits",
        &openai_answers::IMAGES,
        Request::Form(&openai_requests::IMAGE_EDITS),
    ),
    row(
        E::ImageVariations,
        OpenAi,
        "/v1/images/variations",
        "/images/variations",
        &openai_answers::IMAGES,
        Request::Form(&openai_requests::IMAGE_EDITS),
    ),
    row(
        E::Transcriptions,
        OpenAi,
        "/v1/audio/transcriptions",
        "/audio/transcriptions",
        &openai_answers::TRANSCRIPTIONS,
        Request::Form(&openai_requests::TRANSCRIPTIONS),
    ),
    row(
        E::Translations,
        OpenAi,
        "/v1/audio/translations",
        "/audio/translations",
        &openai_answers::TRANSCRIPTIONS,
        Request::Form(&openai_requests::TRANSCRIPTIONS),
    ),
    row(
        E::Speech,
        OpenAi,
        "/v1/audio/speech",
        "/audio/speech",
        &openai_answers::SPEECH,
        Request::Json(&openai_requests::SPEECH),
    ),
    row(
        E::Moderations,
        OpenAi,
        "/v1/moderations",
        "/moderations",
        &openai_answers::EMBEDDINGS,
        Request::Json(&openai_requests::MODERATIONS),
    ),
    row(
        E::Rerank,
        OpenAi,
        "/v1/rerank",
        "/v1/rerank",
        &openai_answers::RERANK,
        Request::Json(&openai_requests::RERANK),
    ),
    row(
        E::Messages,
        Anthropic,
        "/v1/messages",
        "/v1/messages",
        &anthropic::answers::MESSAGES,
        Request::Json(&anthropic::requests::MESSAGES),
    ),
    row(
        E::MessagesCountTokens,
        Anthropic,
        "/v1/messages/count_tokens",
        "/v1/messages/count_tokens",
        &openai_answers::FREE,
        Request::Json(&anthropic::requests::COUNT_TOKENS),
    ),
    google(
        E::GenerateContent,
        "/models/{model}:generateContent",
        ":generateContent",
        &gemini::answers::GENERATE,
        Request::Json(&gemini::requests::GENERATE),
    ),
    google(
        E::StreamGenerateContent,
        "/models/{model}:streamGenerateContent",
        ":streamGenerateContent",
        &gemini::answers::GENERATE,
        Request::Json(&gemini::requests::STREAM_GENERATE),
    ),
    google(
        E::EmbedContent,
        "/models/{model}:embedContent",
        ":embedContent",
        &gemini::answers::EMBED,
        Request::Json(&gemini::requests::EMBED),
    ),
    google(
        E::BatchEmbedContents,
        "/models/{model}:batchEmbedContents",
        ":batchEmbedContents",
        &gemini::answers::EMBED,
        Request::Json(&gemini::requests::BATCH_EMBED),
    ),
    google(
        E::CountTokens,
        "/models/{model}:countTokens",
        ":countTokens",
        &openai_answers::FREE,
        Request::Json(&gemini::requests::COUNT_TOKENS),
    ),
    google(
        E::Predict,
        "/models/{model}:predict",
        ":predict",
        &gemini::answers::PREDICT,
        Request::Json(&gemini::requests::PREDICT),
    ),
    aws(
        E::Converse,
        "/model/{model}/converse",
        "/converse",
        &bedrock::answers::CONVERSE,
        Request::Json(&bedrock::requests::CONVERSE),
    ),
    aws(
        E::ConverseStream,
        "/model/{model}/converse-stream",
        "/converse-stream",
        &bedrock::answers::CONVERSE,
        Request::Json(&bedrock::requests::CONVERSE_STREAM),
    ),
    aws(
        E::Invoke,
        "/model/{model}/invoke",
        "/invoke",
        &bedrock::answers::INVOKE_MODEL,
        Request::Json(&bedrock::requests::INVOKE),
    ),
    aws(
        E::InvokeStream,
        "/model/{model}/invoke-with-response-stream",
        "/invoke-with-response-stream",
        &bedrock::answers::INVOKE_MODEL,
        Request::Json(&bedrock::requests::INVOKE_STREAM),
    ),
    aws(
        E::BedrockCountTokens,
        "/model/{model}/count-tokens",
        "/count-tokens",
        &openai_answers::FREE,
        Request::Json(&bedrock::requests::COUNT_TOKENS),
    ),
    row(
        E::CohereChat,
        Cohere,
        "/v2/chat",
        "/v2/chat",
        &cohere::answers::CHAT,
        Request::Json(&cohere::requests::CHAT),
    ),
    row(
        E::CohereChatV1,
        Cohere,
        "/v1/chat",
        "/v1/chat",
        &cohere::answers::CHAT,
        Request::Json(&cohere::requests::CHAT_V1),
    ),
    row(
        E::CohereEmbed,
        Cohere,
        "/v2/embed",
        "/v2/embed",
        &cohere::answers::EMBED,
        Request::Json(&cohere::requests::EMBED),
    ),
    row(
        E::CohereRerank,
        Cohere,
        "/v2/rerank",
        "/v2/rerank",
        &openai_answers::RERANK,
        Request::Json(&openai_requests::RERANK),
    ),
    row(
        E::OllamaChat,
        Ollama,
        "/api/chat",
        "/api/chat",
        &ollama::answers::GENERATE,
        Request::Json(&ollama::requests::CHAT),
    ),
    row(
        E::OllamaGenerate,
        Ollama,
        "/api/generate",
        "/api/generate",
        &ollama::answers::GENERATE,
        Request::Json(&ollama::requests::GENERATE),
    ),
    row(
        E::OllamaEmbed,
        Ollama,
        "/api/embed",
        "/api/embed",
        &ollama::answers::EMBED,
        Request::Json(&ollama::requests::EMBED),
    ),
    Row {
        endpoint: E::Other,
        dialect: OpenAi,
        path: "other",
        suffix: Suffix::None,
        rules: &openai_answers::FREE,
        request: Request::Unknown,
    },
];
