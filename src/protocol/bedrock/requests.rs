//! What requests to Amazon Bedrock ask for.
//!
//! `converse` has one form for all models; `invoke` takes each maker's own, of
//! which the fields are in one table: what a model doesn't know it refuses.
//!
//! Source of the fields: AWS's API reference, "Converse", and "Inference
//! request parameters and response fields for foundation models".

use crate::protocol::anthropic::requests as anthropic;
use crate::protocol::json::Kind;
use crate::protocol::request::{
    CapField, CapRule, Fault, Form, Member, ModelField, OTHERS, Place, Reading, StreamField,
    member, take,
};

const fn converse(stream: bool) -> Form {
    Form {
        members: CONVERSE_MEMBERS,
        model: ModelField::InPath,
        input: Some("messages"),
        stream: StreamField::Always(stream),
        cap: CapRule::Is(CapField::In {
            object: "inferenceConfig",
            name: "maxTokens",
        }),
    }
}

pub(in crate::protocol) const CONVERSE: Form = converse(false);
pub(in crate::protocol) const CONVERSE_STREAM: Form = converse(true);

const fn invoke(stream: bool) -> Form {
    Form {
        members: INVOKE_MEMBERS,
        model: ModelField::InPath,
        input: None,
        stream: StreamField::Always(stream),
        cap: CapRule::ByModel(cap_of),
    }
}

pub(in crate::protocol) const INVOKE: Form = invoke(false);
pub(in crate::protocol) const INVOKE_STREAM: Form = invoke(true);

/// Counting costs nothing.
pub(in crate::protocol) const COUNT_TOKENS: Form = Form {
    members: &[],
    model: ModelField::InPath,
    input: None,
    stream: StreamField::Always(false),
    cap: CapRule::Is(CapField::None),
};

const CONVERSE_MEMBERS: &[Member] = &[
    member("messages", messages),
    member("system", blocks),
    member("inferenceConfig", inference_config),
    member("toolConfig", tool_config),
    member("additionalModelRequestFields", additional_fields),
    member("promptVariables", take::any_text),
    member("guardrailConfig", take::pass),
    member("additionalModelResponseFieldPaths", take::pass),
    member("requestMetadata", take::metadata),
    member("performanceConfig", take::pass),
    member(OTHERS, take::any_text),
    member("serviceTier", service_tier),
];

const MESSAGE: &[Member] = &[member("role", take::pass), member("content", blocks)];

/// A block of `converse`, or of Nova's messages, which are alike.
const BLOCK: &[Member] = &[
    member("text", take::optional_text),
    member("image", image),
    member("document", take::unseen),
    member("video", take::unseen),
    member("audio", take::unseen),
    member("toolUse", take::any_text),
    member("toolResult", tool_result),
    member("reasoningContent", take::any_text),
    member("guardContent", take::any_text),
    member("cachePoint", take::pass),
];

const IMAGE: &[Member] = &[member("format", take::pass), member("source", image_source)];

const IMAGE_SOURCE: &[Member] = &[
    member("bytes", take::image_base64),
    member("s3Location", take::unseen_image),
];

const TOOL_RESULT: &[Member] = &[
    member("toolUseId", take::pass),
    member("status", take::pass),
    member("content", blocks),
];

const INFERENCE_CONFIG: &[Member] = &[
    member("maxTokens", take::output_max),
    member("max_new_tokens", take::output_max),
];

const TOOL_CONFIG: &[Member] = &[member("tools", take::tools)];

/// What a model's own fields could ask for beyond the cap.
const ADDITIONAL_FIELDS: &[Member] = &[
    // Anthropic's own: its computer, its shell.
    member("tools", take::tools),
    member("max_tokens", take::unpriced),
    member("maxTokens", take::unpriced),
    member("max_new_tokens", take::unpriced),
    member("max_gen_len", take::unpriced),
    member("max_tokens_to_sample", take::unpriced),
    member("maxTokenCount", take::unpriced),
    member("max_completion_tokens", take::unpriced),
    member("inferenceConfig", take::unpriced),
    member("textGenerationConfig", take::unpriced),
    member("n", take::unpriced),
    member("num_generations", take::unpriced),
    member("numResults", take::unpriced),
];

const SERVICE_TIER: &[Member] = &[member("type", take::service_tier)];

const INVOKE_MEMBERS: &[Member] = &[
    // Anthropic's, Nova's, Mistral's and others' chats.
    member("messages", invoked_messages),
    member("system", anthropic::content),
    member("tools", take::tools),
    member("toolConfig", tool_config),
    // Prompts in one piece.
    member("prompt", take::texts),
    member("suffix", take::optional_text),
    member("inputText", take::texts),
    member("inputImage", take::image_base64),
    // Cohere's.
    member("message", take::optional_text),
    member("chat_history", take::any_text),
    member("preamble", take::optional_text),
    member("documents", take::any_text),
    member("query", take::any_text),
    member("texts", take::texts),
    member("images", take::images_base64),
    // How much may come back.
    member("max_tokens", take::output_max),
    member("maxTokens", take::output_max),
    member("max_completion_tokens", take::output_max),
    member("max_tokens_to_sample", take::output_max),
    member("max_gen_len", take::output_max),
    member("inferenceConfig", inference_config),
    member("textGenerationConfig", titan_config),
    member("num_generations", take::n),
    member("numResults", take::n),
    member("n", take::n),
    // Pictures and films, which have no cap on tokens.
    member("taskType", take::unpriced),
    member("text_prompts", take::any_text),
    member("modelInput", take::unpriced),
    // Words for the server.
    member("anthropic_version", take::pass),
    member("anthropic_beta", take::pass),
    member("schemaVersion", take::pass),
    member("stop", take::pass),
    member("stop_sequences", take::pass),
    member("input_type", take::pass),
    member("embedding_types", take::pass),
    member("truncate", take::pass),
    member(OTHERS, take::any_text),
];

const TITAN_CONFIG: &[Member] = &[member("maxTokenCount", take::output_max)];

/// Whether two models take the same bodies at `invoke`, as far as is known.
pub(in crate::protocol) fn invoked_alike(one: &str, other: &str) -> bool {
    let of = |model| kind_of(model).map(|(kind, _)| kind);
    one == other || of(one).is_some_and(|kind| of(other) == Some(kind))
}

/// Where each maker's models take a cap; one that isn't known has its own
/// default, which configuration tells as `max_output_tokens`.
fn cap_of(model: &str) -> CapField {
    kind_of(model).map_or(CapField::None, |(_, field)| field)
}

/// Whose form a model takes, and where its cap stands.
fn kind_of(model: &str) -> Option<(&'static str, CapField)> {
    const NOVA: CapField = CapField::In {
        object: "inferenceConfig",
        name: "max_new_tokens",
    };
    const TITAN: CapField = CapField::In {
        object: "textGenerationConfig",
        name: "maxTokenCount",
    };
    let fields = [
        ("anthropic.", CapField::Body("max_tokens")),
        ("amazon.nova", NOVA),
        ("amazon.titan-text", TITAN),
        ("meta.llama", CapField::Body("max_gen_len")),
        ("mistral.", CapField::Body("max_tokens")),
        ("cohere.command", CapField::Body("max_tokens")),
        ("ai21.jamba", CapField::Body("max_tokens")),
        ("deepseek.", CapField::Body("max_tokens")),
        ("openai.", CapField::Body("max_completion_tokens")),
        ("qwen.", CapField::Body("max_tokens")),
    ];
    // A region or an ARN may stand before the name.
    fields.into_iter().find(|(maker, _)| {
        model
            .find(maker)
            .is_some_and(|at| at == 0 || matches!(model.as_bytes()[at - 1], b'.' | b'/'))
    })
}

fn messages(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.each_message(place, |reading, place| {
        reading.object(place, MESSAGE, take::any_text)
    })
}

fn blocks(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    match reading.json.peek()? {
        Kind::Array => reading.each(place, |reading, place| match reading.json.peek()? {
            Kind::Object => reading.object(place, BLOCK, take::any_text),
            _ => reading.any_text(place),
        }),
        _ => reading.any_text(place),
    }
}

fn tool_result(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, TOOL_RESULT, take::any_text)
}

fn image(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, IMAGE, take::pass)
}

fn image_source(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, IMAGE_SOURCE, take::unseen_image)
}

fn inference_config(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.cap_object(place, INFERENCE_CONFIG)
}

fn titan_config(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.cap_object(place, TITAN_CONFIG)
}

fn tool_config(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, TOOL_CONFIG, take::pass)
}

fn additional_fields(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    // Others may reach the model: tools, say.
    reading.optional_object(place, ADDITIONAL_FIELDS, take::any_text)
}

fn service_tier(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.optional_object(place, SERVICE_TIER, take::pass)
}

/// Anthropic's messages have blocks with a `type`, Nova's have converse's.
fn invoked_messages(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    let is_nova = reading.path_model().contains("amazon.nova");
    match is_nova {
        true => messages(reading, place),
        false => anthropic::messages(reading, place),
    }
}
