//! Each dialect's requests: what is read of them, and where a cap is written.

use super::*;

struct Row {
    endpoint: Endpoint,
    path_model: Option<&'static str>,
    body: &'static str,
    stream: bool,
    cap: Option<u64>,
    texts: &'static [&'static str],
    /// Images, tools, and whether there is more than can be seen.
    others: (usize, u64, bool),
    /// Where a cap is written; empty where nowhere.
    written: &'static str,
}

const PATH: Option<&str> = Some("m");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // What is not counted may not hide behind what is.
    Row { endpoint: Endpoint::Messages, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":[
            {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE","content":""}}]}]}"#,
        texts: &[], others: (0, 0, true), written: "/max_tokens" },
    Row { endpoint: Endpoint::Responses, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":[{"type":"item_reference","id":"x","role":"user"}]}"#,
        texts: &["user"], others: (0, 0, true), written: "/max_output_tokens" },
    // OpenAI's responses.
    Row { endpoint: Endpoint::Responses, path_model: None, stream: true, cap: None,
        body: r#"{"model":"m","input":"hi","instructions":"be","stream":true}"#,
        texts: &["hi", "be"], others: (0, 0, false), written: "/max_output_tokens" },
    Row { endpoint: Endpoint::Responses, path_model: None, stream: false, cap: Some(9),
        body: r#"{"model":"m","max_output_tokens":9,"tools":[{"type":"function","name":"f"}],"input":[
            {"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:image/png;base64,iVBO","detail":"low"}]},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
            {"type":"function_call_output","call_id":"c","output":"o"},
            {"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"s"}]}]}"#,
        texts: &[r#"{"type":"function","name":"f"}"#, "user", "a", "f", "{}", "o", "s"],
        others: (1, 1, false), written: "/max_output_tokens" },
    Row { endpoint: Endpoint::Responses, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":"go on","previous_response_id":"resp_1"}"#,
        texts: &["go on"], others: (0, 0, true), written: "/max_output_tokens" },
    Row { endpoint: Endpoint::Responses, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":[{"type":"item_reference","id":"x"}],"previous_response_id":null}"#,
        texts: &[], others: (0, 0, true), written: "/max_output_tokens" },
    Row { endpoint: Endpoint::Responses, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}"#,
        texts: &["user"], others: (0, 0, true), written: "/max_output_tokens" },
    Row { endpoint: Endpoint::ResponsesInputTokens, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":"hi"}"#, texts: &[], others: (0, 0, false), written: "" },
    // Pictures, speech, moderations, documents by rank.
    Row { endpoint: Endpoint::ImageGenerations, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","prompt":"a cat","n":3}"#, texts: &["a cat"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::Speech, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":"say","voice":"alloy","instructions":"softly"}"#,
        texts: &["say", "softly"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::Moderations, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":["a",{"type":"text","text":"b"}]}"#, texts: &["a", "b"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::Rerank, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_k":1}"#,
        texts: &["q", "a", r#"{"text":"b"}"#], others: (0, 0, false), written: "" },
    // What a template makes of a prompt, or a provider keeps, nobody sees here.
    Row { endpoint: Endpoint::ChatCompletions, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":"a"}],"chat_template":"{{x}}"}"#,
        texts: &["user", "a"], others: (0, 0, true), written: "/max_tokens" },
    Row { endpoint: Endpoint::ChatCompletions, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":"a"}],"extra_body":{"google":{"cached_content":"c"}}}"#,
        texts: &["user", "a"], others: (0, 0, true), written: "/max_tokens" },
    Row { endpoint: Endpoint::OllamaGenerate, path_model: None, stream: true, cap: None,
        body: r#"{"model":"m","prompt":"a","template":"{{.Prompt}}{{.Prompt}}"}"#,
        texts: &["a"], others: (0, 0, true), written: "/options/num_predict" },
    Row { endpoint: Endpoint::OllamaGenerate, path_model: None, stream: true, cap: None,
        body: r#"{"model":"m","prompt":"a","template":""}"#,
        texts: &["a"], others: (0, 0, false), written: "/options/num_predict" },
    // Azure: the deployment in the path is the model.
    Row { endpoint: Endpoint::ChatCompletions, path_model: PATH, stream: false, cap: None,
        body: r#"{"messages":[{"role":"user","content":"hi"}]}"#, texts: &["user", "hi"], others: (0, 0, false), written: "/max_tokens" },
    Row { endpoint: Endpoint::ChatCompletions, path_model: PATH, stream: false, cap: None,
        body: r#"{"model":"other","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}"#,
        texts: &["user"], others: (0, 0, true), written: "/max_tokens" },
    // Anthropic.
    Row { endpoint: Endpoint::Messages, path_model: None, stream: true, cap: Some(8),
        body: r#"{"model":"m","max_tokens":8,"stream":true,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
            "tools":[{"name":"f","input_schema":{}}],"messages":[{"role":"user","content":"hi"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"x"},{"type":"tool_use","id":"u","name":"f","input":{"a":1}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"u","content":[{"type":"text","text":"r"}]},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]}]}"#,
        texts: &["s", r#"{"name":"f","input_schema":{}}"#, "hi", "t", "f", r#"{"a":1}"#, "r"],
        others: (1, 1, false), written: "/max_tokens" },
    Row { endpoint: Endpoint::Messages, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":[
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"t"},
            {"type":"document","source":{"type":"content","content":[{"type":"text","text":"c"}]}},
            {"type":"image","source":{"type":"url","url":"https://x"}}]}]}"#,
        texts: &["t", "d", "c"], others: (1, 0, false), written: "/max_tokens" },
    Row { endpoint: Endpoint::Messages, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":[
            {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}}]}]}"#,
        texts: &[], others: (0, 0, true), written: "/max_tokens" },
    Row { endpoint: Endpoint::MessagesCountTokens, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#, texts: &[], others: (0, 0, false), written: "" },
    // Gemini, with both spellings, and a list of one without its brackets.
    Row { endpoint: Endpoint::GenerateContent, path_model: PATH, stream: false, cap: Some(7),
        body: r#"{"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}],
            "systemInstruction":{"parts":[{"text":"s"}]},"generationConfig":{"maxOutputTokens":7,"candidateCount":2}}"#,
        texts: &["a", "s"], others: (1, 0, false), written: "/generationConfig/maxOutputTokens" },
    Row { endpoint: Endpoint::StreamGenerateContent, path_model: PATH, stream: true, cap: Some(7),
        body: r#"{"contents":{"parts":{"text":"a"}},"system_instruction":{"parts":{"text":"s"}},
            "tools":[{"functionDeclarations":[]}],"generation_config":{"max_output_tokens":7}}"#,
        texts: &["a", "s", r#"{"functionDeclarations":[]}"#], others: (0, 1, false), written: "/generation_config/max_output_tokens" },
    Row { endpoint: Endpoint::GenerateContent, path_model: PATH, stream: false, cap: None,
        body: r#"{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":null}"#,
        texts: &["a"], others: (0, 0, false), written: "/generationConfig/maxOutputTokens" },
    Row { endpoint: Endpoint::GenerateContent, path_model: PATH, stream: false, cap: None,
        body: r#"{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"temperature":1}}"#,
        texts: &["a"], others: (0, 0, false), written: "/generationConfig/maxOutputTokens" },
    Row { endpoint: Endpoint::GenerateContent, path_model: PATH, stream: false, cap: None,
        body: r#"{"contents":[{"parts":[{"fileData":{"fileUri":"u"}},{"inlineData":{"mimeType":"audio/mp3","data":"SUQz"}}]}],"cachedContent":"c"}"#,
        texts: &[], others: (0, 0, true), written: "/generationConfig/maxOutputTokens" },
    Row { endpoint: Endpoint::EmbedContent, path_model: PATH, stream: false, cap: None,
        body: r#"{"model":"models/m","content":{"parts":[{"text":"a"}]},"title":"t"}"#,
        texts: &["a", "t"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::EmbedContent, path_model: PATH, stream: false, cap: None,
        body: r#"{"content":{"parts":[{"text":"a"}]},"embedContentConfig":{"title":"t","taskType":"RETRIEVAL_DOCUMENT","outputDimensionality":64}}"#,
        texts: &["a", "t"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::BatchEmbedContents, path_model: PATH, stream: false, cap: None,
        body: r#"{"requests":[{"content":{"parts":[{"text":"a"}]},"embed_content_config":{"title":"t"}}]}"#,
        texts: &["a", "t"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::BatchEmbedContents, path_model: PATH, stream: false, cap: None,
        body: r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}"#,
        texts: &["a", "b"], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::CountTokens, path_model: PATH, stream: false, cap: None,
        body: r#"{"contents":[{"parts":[{"text":"a"}]}]}"#, texts: &[], others: (0, 0, false), written: "" },
    Row { endpoint: Endpoint::Predict, path_model: PATH, stream: false, cap: None,
        body: r#"{"instances":[{"content":"a","task_type":"x"},{"content":"b"}]}"#,
        texts: &["a", "b"], others: (0, 0, false), written: "" },
    // Bedrock.
    Row { endpoint: Endpoint::Converse, path_model: PATH, stream: false, cap: Some(5),
        body: r#"{"messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"png","source":{"bytes":"iVBO"}}},
            {"toolResult":{"toolUseId":"u","content":[{"json":{"x":1}},{"text":"r"}]}},{"cachePoint":{"type":"default"}}]}],
            "system":[{"text":"s"}],"inferenceConfig":{"maxTokens":5},"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}}"#,
        texts: &["a", r#"{"x":1}"#, "r", "s", r#"{"toolSpec":{"name":"f"}}"#], others: (1, 1, false), written: "/inferenceConfig/maxTokens" },
    Row { endpoint: Endpoint::ConverseStream, path_model: PATH, stream: true, cap: None,
        body: r#"{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"d","source":{"bytes":"JVBE"}}}]}]}"#,
        texts: &[], others: (0, 0, true), written: "/inferenceConfig/maxTokens" },
    Row { endpoint: Endpoint::Invoke, path_model: Some("us.anthropic.claude-sonnet-4-v1:0"), stream: false, cap: Some(6),
        body: r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":6,"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}"#,
        texts: &["s", "a"], others: (0, 0, false), written: "/max_tokens" },
    Row { endpoint: Endpoint::InvokeStream, path_model: Some("amazon.nova-lite-v1:0"), stream: true, cap: None,
        body: r#"{"messages":[{"role":"user","content":[{"text":"a"},{"image":{"source":{"bytes":"iVBO"}}}]}],"schemaVersion":"messages-v1"}"#,
        texts: &["a"], others: (1, 0, false), written: "/inferenceConfig/max_new_tokens" },
    Row { endpoint: Endpoint::Invoke, path_model: Some("amazon.titan-text-lite-v1"), stream: false, cap: Some(4),
        body: r#"{"inputText":"a","textGenerationConfig":{"maxTokenCount":4,"temperature":0}}"#,
        texts: &["a"], others: (0, 0, false), written: "/textGenerationConfig/maxTokenCount" },
    Row { endpoint: Endpoint::Invoke, path_model: Some("meta.llama3-1-70b-instruct-v1:0"), stream: false, cap: None,
        body: r#"{"prompt":"a"}"#, texts: &["a"], others: (0, 0, false), written: "/max_gen_len" },
    Row { endpoint: Endpoint::Invoke, path_model: Some("arn:aws:bedrock:x:1:inference-profile/cohere.command-r-v1:0"), stream: false, cap: None,
        body: r#"{"message":"a","chat_history":[{"role":"USER","message":"b"}]}"#,
        texts: &["a", r#"[{"role":"USER","message":"b"}]"#], others: (0, 0, false), written: "/max_tokens" },
    Row { endpoint: Endpoint::Invoke, path_model: Some("cohere.embed-english-v3"), stream: false, cap: None,
        body: r#"{"texts":["a","b"],"input_type":"search_query"}"#, texts: &["a", "b"], others: (0, 0, false), written: "" },
    // Cohere.
    Row { endpoint: Endpoint::CohereChat, path_model: None, stream: true, cap: Some(3),
        body: r#"{"model":"m","stream":true,"max_tokens":3,"messages":[{"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}]}],"documents":["d"]}"#,
        texts: &["user", "a", r#"["d"]"#], others: (1, 0, false), written: "/max_tokens" },
    Row { endpoint: Endpoint::CohereChatV1, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","message":"a","preamble":"p","connectors":[{"id":"web-search"}]}"#,
        texts: &["a", "p"], others: (0, 0, true), written: "/max_tokens" },
    Row { endpoint: Endpoint::CohereEmbed, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","texts":["a"],"images":["data:image/png;base64,iVBO"],"inputs":[{"content":[{"type":"text","text":"b"}]}]}"#,
        texts: &["a", "b"], others: (1, 0, false), written: "" },
    Row { endpoint: Endpoint::CohereRerank, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","query":"q","documents":["a"]}"#, texts: &["q", "a"], others: (0, 0, false), written: "" },
    // Ollama, which streams unless told not to, and goes on without end.
    Row { endpoint: Endpoint::OllamaChat, path_model: None, stream: true, cap: None,
        body: r#"{"model":"m","messages":[{"role":"user","content":"a","images":["iVBO"]}],"options":{"num_predict":-1}}"#,
        texts: &["user", "a"], others: (1, 0, false), written: "/options/num_predict" },
    Row { endpoint: Endpoint::OllamaGenerate, path_model: None, stream: false, cap: Some(2),
        body: r#"{"model":"m","prompt":"a","system":"s","stream":false,"options":{"num_predict":2},"context":[1,2,3]}"#,
        texts: &["a", "s"], others: (0, 0, false), written: "/options/num_predict" },
    Row { endpoint: Endpoint::OllamaEmbed, path_model: None, stream: false, cap: None,
        body: r#"{"model":"m","input":["a","b"]}"#, texts: &["a", "b"], others: (0, 0, false), written: "" },
];

#[test]
fn every_dialects_requests_are_read() {
    for row in ROWS {
        let name = format!("{:?} {}", row.endpoint, row.body);
        let body = row.body.as_bytes();
        let facts = super::super::read(row.endpoint, row.path_model, body, Wants::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.model, row.path_model.unwrap_or("m"), "{name}");
        assert_eq!(facts.stream, row.stream, "{name}");
        assert_eq!(
            facts.output_max.as_ref().map(|max| max.tokens),
            row.cap,
            "{name}"
        );
        let texts = facts
            .texts
            .iter()
            .map(|span| json::text(body, span).into_owned());
        assert_eq!(texts.collect::<Vec<_>>(), row.texts, "{name}");
        let others = (facts.images.len(), facts.tools, facts.unseen_input);
        assert_eq!(others, row.others, "{name}");
        for image in &facts.images {
            if let Some(data) = &image.data {
                assert_eq!(&body[data.clone()], b"iVBO", "{name}");
            }
        }
        written(row, &facts, &name);
    }
}

/// With a cap the body is what it was, but for the cap.
fn written(row: &Row, facts: &CallFacts, name: &str) {
    let place = facts.cap_field.place("max_tokens");
    assert_eq!(place.is_none(), row.written.is_empty(), "{name}");
    let Some(place) = place else {
        return;
    };
    let edits = edits(
        facts,
        &Changes {
            output_max: Some((77, place)),
            ..Changes::default()
        },
    );
    let edited = json_edit::apply(row.body.as_bytes(), &edits);
    let mut read: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(read.pointer(row.written), Some(&Value::from(77)), "{name}");
    let facts =
        super::super::read(row.endpoint, row.path_model, &edited, Wants::default()).unwrap();
    assert_eq!(facts.output_max.map(|max| max.tokens), Some(77), "{name}");
    // And nothing else changed.
    let mut before: Value = serde_json::from_str(row.body).unwrap();
    for value in [&mut read, &mut before] {
        forget(value, row.written);
    }
    assert_eq!(read, before, "{name}");
}

/// Takes a cap away, and the object around it where that holds nothing else.
fn forget(body: &mut Value, place: &str) {
    let (object, name) = place.rsplit_once('/').unwrap();
    if let Some(members) = body.pointer_mut(object).and_then(Value::as_object_mut) {
        members.shift_remove(name);
    }
    let left = body.pointer(object);
    let is_empty =
        left.is_none_or(|left| left.is_null() || left.as_object().is_some_and(|o| o.is_empty()));
    if let (Some(name), true) = (object.strip_prefix('/'), is_empty) {
        body.as_object_mut().unwrap().shift_remove(name);
    }
}

#[test]
fn what_each_dialect_refuses() {
    for (endpoint, body, param) in [
        (
            Endpoint::Responses,
            r#"{"model":"m","input":"a","background":true}"#,
            "background",
        ),
        (
            Endpoint::Responses,
            r#"{"model":"m","input":"a","max_tokens":5}"#,
            "max_tokens",
        ),
        (Endpoint::Responses, r#"{"model":"m","input":5}"#, "input"),
        (
            Endpoint::Messages,
            r#"{"model":"m","max_tokens":1}"#,
            "messages",
        ),
        (
            Endpoint::Messages,
            r#"{"model":"m","max_tokens":"8","messages":[]}"#,
            "max_tokens",
        ),
        (
            Endpoint::Messages,
            r#"{"model":"m","max_tokens":0,"messages":[]}"#,
            "max_tokens",
        ),
        (
            Endpoint::Messages,
            r#"{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}"#,
            "messages[0].content",
        ),
        (Endpoint::GenerateContent, r#"{}"#, "contents"),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#,
            "generationConfig.maxOutputTokens",
        ),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{},"generation_config":{"max_output_tokens":9}}"#,
            "generationConfig",
        ),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{"maxoutputtokens":9}}"#,
            "generationConfig.maxOutputTokens",
        ),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{"responseModalities":["AUDIO"]}}"#,
            "generationConfig.responseModalities[0]",
        ),
        (
            Endpoint::GenerateContent,
            r#"{"model":"other","contents":[]}"#,
            "model",
        ),
        (
            Endpoint::Converse,
            r#"{"messages":[{"role":"user","content":[]}],"additionalModelRequestFields":{"max_tokens":9}}"#,
            "additionalModelRequestFields.max_tokens",
        ),
        (
            Endpoint::Messages,
            r#"{"model":"m","messages":[],"context_management":{"edits":[{"type":"compact_20260112"}]}}"#,
            "messages",
        ),
        (
            Endpoint::Messages,
            r#"{"model":"m","context_management":{"edits":[{"type":"compact_20260112"}]},"messages":[]}"#,
            "context_management.edits[0].type",
        ),
        (
            Endpoint::Converse,
            r#"{"messages":[{"role":"user","content":[]}],"additionalModelRequestFields":{"inferenceConfig":{"maxTokens":9}}}"#,
            "additionalModelRequestFields.inferenceConfig",
        ),
        (
            Endpoint::ChatCompletions,
            r#"{"model":"m","models":["other"],"messages":[{"role":"user","content":"a"}]}"#,
            "models",
        ),
        (
            Endpoint::OllamaChat,
            r#"{"model":"m","options":{"num_predict":1.5}}"#,
            "options.num_predict",
        ),
        (Endpoint::Speech, r#"{"model":"m"}"#, "input"),
    ] {
        let path_model = (endpoint.path().contains("{model}")).then_some("m");
        let error = super::super::read(endpoint, path_model, body.as_bytes(), Wants::default())
            .unwrap_err();
        assert_eq!(
            error.param.as_deref(),
            Some(param),
            "{body}: {}",
            error.message
        );
    }
}

/// Of a model whose maker takes its cap elsewhere, or nowhere that is known.
#[test]
fn a_cap_that_bounds_nothing_is_not_believed() {
    let read = |model: &str, body: &str| {
        super::super::read(
            Endpoint::Invoke,
            Some(model),
            body.as_bytes(),
            Wants::default(),
        )
    };
    for (model, body, fine) in [
        ("meta.llama3-8b", r#"{"prompt":"a","max_gen_len":5}"#, true),
        ("meta.llama3-8b", r#"{"prompt":"a","max_tokens":5}"#, false),
        (
            "qwen.qwen3-32b",
            r#"{"messages":[],"max_gen_len":1}"#,
            false,
        ),
        (
            "amazon.nova-lite",
            r#"{"messages":[{"role":"user","content":[]}],"inferenceConfig":{"maxTokens":5}}"#,
            true,
        ),
    ] {
        assert_eq!(read(model, body).is_ok(), fine, "{model} {body}");
    }
    let facts = read(
        "meta.llama3-8b",
        r#"{"prompt":"a","n":16,"num_generations":1}"#,
    )
    .unwrap();
    assert_eq!(facts.answers, 16);
    let facts = read(
        "cohere.command-r",
        r#"{"message":"a","tool_results":[{"x":"long"}]}"#,
    )
    .unwrap();
    assert_eq!(facts.texts.len(), 2);
}

/// Blocks in blocks are read as deep as JSON may be nested.
#[test]
fn blocks_in_blocks_end() {
    let nested = |depth: usize| {
        let block = r#"[{"type":"tool_result","content":"#.repeat(depth);
        let text = format!("{block}\"x\"{}", "}]".repeat(depth));
        format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":{text}}}]}}"#)
    };
    assert!(read(Endpoint::Messages, nested(30).as_bytes()).is_ok());
    for depth in [31, 1_000, 100_000] {
        assert!(read(Endpoint::Messages, nested(depth).as_bytes()).is_err());
    }
}

fn form(parts: &[(&str, &str, bool)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, content, is_file) in parts {
        let file = if *is_file { "; filename=\"f\"" } else { "" };
        body += &format!(
            "--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n"
        );
    }
    (body + "--B--\r\n").into_bytes()
}

#[test]
fn forms_are_read() {
    let body = form(&[
        ("model", "gpt-4o-transcribe", false),
        ("file", "ID3\0\u{1}", true),
        ("prompt", "names", false),
        ("stream", "true", false),
        ("timestamp_granularities[]", "word", false),
        ("timestamp_granularities[]", "segment", false),
    ]);
    let facts = read_form(Endpoint::Transcriptions, "B", &body, Wants::default()).unwrap();
    assert_eq!(
        (facts.model.as_str(), facts.stream),
        ("gpt-4o-transcribe", true)
    );
    assert!(facts.unseen_input);
    assert_eq!(json::text(&body, &facts.texts[0]), "names");

    let body = form(&[
        ("image[]", "png", true),
        ("image[]", "png", true),
        ("mask", "png", true),
        ("n", "3", false),
        ("prompt", "a cat", false),
    ]);
    let facts = read_form(Endpoint::ImageEdits, "B", &body, Wants::default()).unwrap();
    let read = (
        facts.model.as_str(),
        facts.images.len(),
        facts.choices,
        facts.answers,
    );
    assert_eq!(read, ("dall-e-2", 3, 3, 3));
}

#[test]
fn forms_that_are_refused() {
    let (model, file) = (("model", "m", false), ("file", "x", true));
    for (parts, param) in [
        (vec![file], "model"),
        (vec![model], "file"),
        (vec![model, ("model", "n", false), file], "model"),
        (vec![model, ("Model", "n", false), file], "model"),
        (vec![model, file, ("stream", "1", false)], "stream"),
        (vec![("model", "m", true), file], "model"),
        (vec![("model", "a\nb", false), file], "model"),
        (vec![model, file, file], "file"),
    ] {
        let error = read_form(
            Endpoint::Transcriptions,
            "B",
            &form(&parts),
            Wants::default(),
        )
        .unwrap_err();
        assert_eq!(
            error.param.as_deref(),
            Some(param),
            "{parts:?}: {}",
            error.message
        );
    }
    for body in [&b"{}"[..], b"--B\r\n", b"--B--x"] {
        let error = read_form(Endpoint::Transcriptions, "B", body, Wants::default()).unwrap_err();
        assert!(
            error.message.starts_with("The request body is not a form"),
            "{}",
            error.message
        );
    }
    assert!(
        read_form(
            Endpoint::ChatCompletions,
            "B",
            &form(&[model]),
            Wants::default()
        )
        .is_err()
    );
}

/// Two fields put into a body, even an empty one, leave it JSON.
#[test]
fn a_cap_goes_into_an_empty_body_too() {
    let model = Some("meta.llama3-8b");
    let facts = super::super::read(Endpoint::Invoke, model, b" { } ", Wants::default()).unwrap();
    let place = facts.cap_field.place("max_tokens").unwrap();
    let edits = edits(
        &facts,
        &Changes {
            output_max: Some((5, place)),
            ..Changes::default()
        },
    );
    let edited = json_edit::apply(b" { } ", &edits);
    assert_eq!(edited, br#" {"max_gen_len":5 } "#);
}
