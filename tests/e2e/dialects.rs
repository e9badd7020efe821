//! Calls of every dialect, by plain HTTP: each is metered exactly, its answer
//! arrives byte for byte, its key stays here, and however it breaks off the
//! books balance.

use crate::support::client::{Answer, Open};
use crate::support::stack::{AMPLE, Engine, KEY, NOVA_ARN, Setup, Stack};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use weir::exchange::event::{Known, Outcome};
use weir::protocol::Endpoint;
use weir::protocol::answer::{AnswerKind, AnswerReader};
use weir::protocol::inflate::Encoding;

/// A call that its dialect's clients could send.
struct Call {
    path: &'static str,
    body: Value,
    /// The header that holds the key; empty: the query does.
    key_in: &'static str,
    stream: bool,
    /// Where the plan's default cap is written.
    cap_at: &'static str,
    bills: (u64, u64),
    /// Its body is uploaded as a form.
    is_form: bool,
}

fn call(
    path: &'static str,
    key_in: &'static str,
    (stream, cap_at): (bool, &'static str),
    bills: (u64, u64),
    body: Value,
) -> Call {
    Call {
        path,
        body,
        key_in,
        stream,
        cap_at,
        bills,
        is_form: false,
    }
}

fn upload(path: &'static str, stream: bool, bills: (u64, u64), body: Value) -> Call {
    Call {
        is_form: true,
        ..call(path, "authorization", (stream, ""), bills, body)
    }
}

const CONVERSE: &str = "/model/us.amazon.nova-micro-v1%3A0/converse";
const CONVERSE_STREAM: &str = "/model/us.amazon.nova-micro-v1%3A0/converse-stream";
const CLAUDE: &str = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke";
const CLAUDE_STREAM: &str =
    "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke-with-response-stream";
const NOVA: &str = "/model/us.amazon.nova-micro-v1%3A0/invoke";
const NOVA_STREAM: &str = "/model/us.amazon.nova-micro-v1%3A0/invoke-with-response-stream";
const LLAMA: &str = "/model/meta.llama3-1-70b-instruct-v1%3A0/invoke";
const LLAMA_STREAM: &str = "/model/meta.llama3-1-70b-instruct-v1%3A0/invoke-with-response-stream";
const TITAN: &str = "/model/amazon.titan-text-lite-v1/invoke";
const COMMAND: &str = "/model/cohere.command-r-v1%3A0/invoke";
const COMMAND_STREAM: &str = "/model/cohere.command-r-v1%3A0/invoke-with-response-stream";
const TITAN_EMBED: &str = "/model/amazon.titan-embed-text-v2%3A0/invoke";

/// Besides those of every test.
const MODELS: &str = r#"
  "anthropic.claude-3-haiku-20240307-v1:0": { vocabulary: o200k_base, price: { input: 0.25, output: 1.25 } }
  "meta.llama3-1-70b-instruct-v1:0": { vocabulary: o200k_base, price: { input: 0.72, output: 0.72 } }
  amazon.titan-text-lite-v1: { vocabulary: o200k_base, price: { input: 0.15, output: 0.20 } }
  "amazon.titan-embed-text-v2:0": { max_output_tokens: 0, price: { input: 0.02, output: 0 } }
  "cohere.command-r-v1:0": { vocabulary: o200k_base, price: { input: 0.50, output: 1.50 } }
  command-r-plus: { vocabulary: o200k_base, price: { input: 2.50, output: 10 } }
  embed-v4.0: { vocabulary: o200k_base, price: { input: 0.12, output: 0 } }
  rerank-v3.5: { vocabulary: o200k_base, price: { input: 0.05, output: 0 } }
  gpt-4o-transcribe: { max_input_tokens: 16_000, price: { input: 2.50, output: 10 } }
  gpt-image-1: { image_tokens: 1_000, price: { input: 5, output: 40 } }
  gpt-4o-mini-tts: { max_output_tokens: 4_000, price: { input: 0.60, output: 12 } }
  tts-1: { max_output_tokens: 0, price: { input: 15, output: 0 } }
  omni-moderation-latest: { price: { input: 0, output: 0 } }
"#;

const GENERATE: &str = "/v1beta/models/gemini-2.5-pro:generateContent";
const STREAM_GENERATE: &str = "/v1beta/models/gemini-2.5-pro:streamGenerateContent";
const STREAM_GENERATE_SSE: &str = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse";

/// The prompt has two words.
fn generating() -> Vec<Call> {
    let (plain, streamed) = (|cap_at| (false, cap_at), |cap_at| (true, cap_at));
    let said = [("role", json!("user")), ("content", json!("hello you"))];
    let messages = json!([Value::Object(
        said.map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    )]);
    let claude = |stream: bool| json!({"model": "claude-sonnet-4-5", "max_tokens": 3, "messages": messages, "stream": stream});
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "hello you"}]}]});
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "hello you"}]}]});
    let llama = |more: Value| {
        let mut body = json!({"model": "llama3.2", "messages": messages});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let responses =
        |stream: bool| json!({"model": "gpt-4o", "input": "hello you", "stream": stream});
    let cap = "/generationConfig/maxOutputTokens";
    let nova_cap = "/inferenceConfig/maxTokens";
    let (key, bearer) = ("x-goog-api-key", "authorization");
    let ollama = "/options/num_predict";
    let mut calls = vec![
        call(
            "/v1/responses",
            "api-key",
            plain("/max_output_tokens"),
            (9, 5),
            responses(false),
        ),
        call(
            "/openai/v1/responses",
            bearer,
            streamed("/max_output_tokens"),
            (9, 5),
            responses(true),
        ),
        // A cap of its own: nothing is written.
        call(
            "/v1/messages",
            "x-api-key",
            plain(""),
            (9, 3),
            claude(false),
        ),
        call(
            "/v1/messages",
            "x-api-key",
            streamed(""),
            (9, 3),
            claude(true),
        ),
        call(GENERATE, key, plain(cap), (9, 5), contents.clone()),
        call(GENERATE, "", plain(cap), (9, 5), contents.clone()),
        call(
            STREAM_GENERATE_SSE,
            key,
            streamed(cap),
            (9, 5),
            contents.clone(),
        ),
        call(
            STREAM_GENERATE_SSE,
            "",
            streamed(cap),
            (9, 5),
            contents.clone(),
        ),
        call(
            STREAM_GENERATE,
            key,
            streamed(cap),
            (9, 5),
            contents.clone(),
        ),
        call(CONVERSE, bearer, plain(nova_cap), (9, 5), converse.clone()),
        call(
            CONVERSE_STREAM,
            bearer,
            streamed(nova_cap),
            (9, 5),
            converse,
        ),
        call(
            "/api/chat",
            bearer,
            streamed(ollama),
            (9, 5),
            llama(json!({})),
        ),
        call(
            "/api/chat",
            bearer,
            plain(ollama),
            (9, 5),
            llama(json!({"stream": false})),
        ),
        call(
            "/api/chat",
            bearer,
            streamed(""),
            (9, 2),
            llama(json!({"options": {"num_predict": 2}})),
        ),
    ];
    calls.extend(invoking());
    calls.extend(chatting_with_cohere());
    calls
}

/// Each maker's own form, below Bedrock's path.
fn invoking() -> Vec<Call> {
    let body = |body: Value| move || body.clone();
    let of_claude = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 3,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello you"}]}]});
    let of_nova = json!({"schemaVersion": "messages-v1",
        "messages": [{"role": "user", "content": [{"text": "hello you"}]}]});
    let of_llama = json!({"prompt": "hello you"});
    let of_titan = json!({"inputText": "hello you"});
    let of_command = json!({"message": "hello you"});
    let (claude, nova) = (body(of_claude), body(of_nova));
    let (llama, command) = (body(of_llama), body(of_command));
    let bearer = "authorization";
    let nova_cap = "/inferenceConfig/max_new_tokens";
    let titan_cap = "/textGenerationConfig/maxTokenCount";
    let (whole, streamed) = (|cap_at| (false, cap_at), |cap_at| (true, cap_at));
    vec![
        call(CLAUDE, bearer, whole(""), (9, 3), claude()),
        call(CLAUDE_STREAM, bearer, streamed(""), (9, 3), claude()),
        call(NOVA, bearer, whole(nova_cap), (9, 5), nova()),
        call(NOVA_STREAM, bearer, streamed(nova_cap), (9, 5), nova()),
        call(LLAMA, bearer, whole("/max_gen_len"), (9, 5), llama()),
        // What it used is in Bedrock's last event, or in its headers, alone.
        call(
            LLAMA_STREAM,
            bearer,
            streamed("/max_gen_len"),
            (9, 5),
            llama(),
        ),
        call(COMMAND, bearer, whole("/max_tokens"), (9, 5), command()),
        call(
            COMMAND_STREAM,
            bearer,
            streamed("/max_tokens"),
            (9, 5),
            command(),
        ),
        call(TITAN, bearer, whole(titan_cap), (9, 5), of_titan),
    ]
}

fn chatting_with_cohere() -> Vec<Call> {
    let said = json!([{"role": "user", "content": "hello you"}]);
    let chat =
        |stream: bool| json!({"model": "command-r-plus", "messages": said, "stream": stream});
    let first =
        |stream: bool| json!({"model": "command-r-plus", "message": "hello you", "stream": stream});
    let bearer = "authorization";
    [
        ("/v2/chat", chat(false), chat(true)),
        ("/v1/chat", first(false), first(true)),
    ]
    .into_iter()
    .flat_map(|(path, whole, streamed)| {
        [
            call(path, bearer, (false, "/max_tokens"), (9, 5), whole),
            call(path, bearer, (true, "/max_tokens"), (9, 5), streamed),
        ]
    })
    .collect()
}

/// Pictures, recordings, and what else isn't a chat.
fn of_media() -> Vec<Call> {
    let bearer = "authorization";
    let picture =
        |stream: bool| json!({"model": "gpt-image-1", "prompt": "hello you", "stream": stream});
    let recording = |stream: &str| json!({"model": "gpt-4o-transcribe", "prompt": "hello you", "stream": stream, "file": {"name": "a.mp3"}});
    let edit = |stream: &str| {
        json!({"model": "gpt-image-1", "prompt": "hello you", "stream": stream,
        "image": {"name": "a.png"}, "mask": {"name": "b.png"}})
    };
    let speech = json!({"model": "gpt-4o-mini-tts", "input": "hello you", "voice": "alloy", "stream_format": "sse"});
    let rank = json!({"model": "rerank-v3.5", "query": "hello", "documents": ["you"]});
    let moderation = json!({"model": "omni-moderation-latest", "input": "hello you"});
    let plain = (false, "");
    vec![
        call(
            "/v1/images/generations",
            bearer,
            plain,
            (9, 5),
            picture(false),
        ),
        call(
            "/v1/images/generations",
            bearer,
            (true, ""),
            (9, 5),
            picture(true),
        ),
        upload("/v1/images/edits", false, (9, 5), edit("false")),
        upload("/v1/images/edits", true, (9, 5), edit("true")),
        upload(
            "/v1/audio/transcriptions",
            false,
            (9, 5),
            recording("false"),
        ),
        upload("/v1/audio/transcriptions", true, (9, 5), recording("true")),
        upload("/v1/audio/translations", false, (9, 5), recording("false")),
        call("/v1/audio/speech", bearer, plain, (9, 5), speech),
        call("/v1/rerank", bearer, plain, (9, 0), rank),
        call("/v1/moderations", bearer, plain, (0, 0), moderation),
    ]
}

fn embedding() -> Vec<Call> {
    let content = json!({"parts": [{"text": "hello you"}]});
    let embed = json!({"content": content});
    let batch = json!({"requests": [{"model": "models/gemini-embedding-001", "content": content}]});
    let inputs = json!({"model": "nomic-embed-text", "input": ["hello", "you"]});
    let cohere = json!({"model": "embed-v4.0", "texts": ["hello", "you"],
        "input_type": "search_query", "embedding_types": ["float"]});
    let titan = json!({"inputText": "hello you", "dimensions": 256});
    let google = "x-goog-api-key";
    let plain = (false, "");
    let one = "/v1beta/models/gemini-embedding-001:embedContent";
    let many = "/v1beta/models/gemini-embedding-001:batchEmbedContents";
    vec![
        call(one, google, plain, (9, 0), embed),
        call(many, google, plain, (9, 0), batch),
        call("/api/embed", "authorization", plain, (9, 0), inputs),
        call("/v2/embed", "authorization", plain, (9, 0), cohere),
        call(TITAN_EMBED, "authorization", plain, (9, 0), titan),
    ]
}

impl Call {
    fn endpoint(&self) -> Endpoint {
        let path = self.path.split('?').next().unwrap();
        Endpoint::of_path(path).unwrap().0
    }

    fn request(&self, stack: &Stack, key: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let bearer = format!("Bearer {key}");
        let (mut path, mut headers) = (self.path.to_owned(), headers.to_vec());
        match self.key_in {
            "authorization" => headers.push(("authorization", &bearer)),
            "" => {
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str(&format!("key={key}"));
                headers.push(("authorization", ""));
            }
            name => headers.extend([("authorization", ""), (name, key)]),
        }
        let mut request = stack.post(&path, self.bytes(), &headers);
        if self.is_form {
            let form = format!("multipart/form-data; boundary={BOUNDARY}");
            let headers = request.headers_mut();
            headers.insert("content-type", form.parse().unwrap());
        }
        request
    }

    /// The body as it is sent.
    fn bytes(&self) -> Vec<u8> {
        match self.is_form {
            true => form(&self.body),
            false => self.body.to_string().into(),
        }
    }

    async fn send(&self, stack: &Stack, headers: &[(&str, &str)]) -> Answer {
        stack.send(self.request(stack, KEY, headers)).await
    }
}

const BOUNDARY: &str = "----a-boundary-0123456789";

/// Fields that are texts, and files that are no text in any coding.
fn form(body: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in body.as_object().unwrap() {
        bytes.extend(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"").into_bytes(),
        );
        match value {
            Value::String(text) => bytes.extend(format!("\r\n\r\n{text}").into_bytes()),
            file => {
                let name = file["name"].as_str().unwrap();
                let head = format!(
                    "; filename=\"{name}\"\r\ncontent-type: application/octet-stream\r\n\r\n"
                );
                bytes.extend(head.into_bytes());
                bytes.extend((0..20_000_u32).map(|n| (n * n % 256) as u8));
                bytes.extend(b"\r\n--\r\n\xff\x00--");
            }
        }
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    bytes
}

async fn stack(envoy: &'static str, engine: Engine) -> Stack {
    Stack::start(Setup {
        envoy,
        engine,
        models: MODELS,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn calls_of_every_dialect_are_metered_and_their_answers_pass_unharmed() {
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = stack("unix.yaml", engine).await;
        let mut calls = generating();
        calls.extend(embedding());
        calls.extend(of_media());
        for (count, call) in calls.iter().enumerate() {
            let what = call.path;
            let answer = call.send(&stack, &[]).await;
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            let received = stack.provider.log().pop().unwrap();
            assert_eq!(received.bills, call.bills, "{what}");
            assert!(answer.body == received.sent, "{what}: {answer:?}");

            // Of the key nothing is sent on; of the rest of the path all is.
            let sent = format!("{received:?}");
            assert!(!sent.contains(KEY), "{what}: {sent}");
            let (path, query) = call.path.split_once('?').unwrap_or((call.path, ""));
            assert_eq!((&*received.path, &*received.query), (path, query));
            match call.cap_at {
                "" => assert!(received.raw_body == call.bytes(), "{what}: as it came"),
                cap_at => {
                    let cap = received.body.pointer(cap_at);
                    assert_eq!(cap, Some(&json!(100)), "{what}: the plan's default");
                }
            }

            let event = stack.wait_for_events(count + 1).await.pop().unwrap();
            assert_eq!(event.outcome, Outcome::Exact, "{what}: {event:?}");
            let is_free = call.bills == (0, 0);
            let known = (!is_free).then_some(Known::Provider);
            assert_eq!(event.known, known, "{what}");
            assert_eq!(event.endpoint, Some(call.endpoint()), "{what}");
            assert_eq!(&*event.dialect, call.endpoint().dialect().as_str());
            assert_eq!(event.stream, call.stream, "{what}");
            let tokens = (
                event.input_tokens.unwrap_or(0),
                event.output_tokens.unwrap_or(0),
            );
            assert_eq!(tokens, call.bills, "{what}");
            assert_eq!(event.cost_nanos.is_some(), !is_free, "{what}");
        }
        stack.settle_the_books().await;
    }
}

/// Sound that says nothing, and searches: what is billed isn't tokens, or isn't
/// told.
#[tokio::test]
async fn calls_whose_tokens_nobody_tells_are_estimated() {
    let stack = stack("unix.yaml", Engine::Memory).await;
    let speech = |model| json!({"model": model, "input": "hello you", "voice": "alloy"});
    let rank = json!({"model": "rerank-v3.5", "query": "hello", "documents": ["you"]});
    let (bearer, plain) = ("authorization", (false, ""));
    for (count, (call, known, output_tokens)) in [
        (
            call("/v1/audio/speech", bearer, plain, (0, 0), speech("tts-1")),
            Known::Counted,
            0,
        ),
        // It could have produced all that it may.
        (
            call(
                "/v1/audio/speech",
                bearer,
                plain,
                (0, 0),
                speech("gpt-4o-mini-tts"),
            ),
            Known::Reserved,
            4_000,
        ),
        (
            call("/v2/rerank", bearer, plain, (0, 0), rank),
            Known::Counted,
            0,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let what = &call.body;
        let answer = call.send(&stack, &[]).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let received = stack.provider.log().pop().unwrap();
        assert!(answer.body == received.sent, "{what}: unharmed");
        assert!(received.raw_body == call.bytes(), "{what}: as it came");
        let event = stack.wait_for_events(count + 1).await.pop().unwrap();
        assert_eq!(event.outcome, Outcome::Estimated, "{what}");
        assert_eq!(event.known, Some(known), "{what}");
        assert_eq!(event.output_tokens.unwrap_or(0), output_tokens, "{what}");
        assert!(event.input_tokens.unwrap() >= 2, "{what}: {event:?}");
    }
    stack.settle_the_books().await;
}

/// What a provider does badly is metered as well as it can be.
#[tokio::test]
async fn answers_of_every_dialect_may_break_off_or_say_nothing_of_their_usage() {
    let stack = stack("unix.yaml", Engine::Memory).await;
    let mut count = 0;
    for call in &generating() {
        let what = call.path;
        let mut last = None;
        for headers in [
            &[("x-fake-no-usage", "1")][..],
            &[("x-fake-encoding", "gzip")],
            &[("x-fake-status", "500")],
            &[("x-fake-status", "429")],
        ] {
            let answer = call.send(&stack, headers).await;
            count += 1;
            let event = stack.wait_for_events(count).await.pop().unwrap();
            let (name, value) = headers[0];
            match (name, value) {
                ("x-fake-no-usage", _) => {
                    assert_eq!(event.outcome, Outcome::Estimated, "{what}");
                    assert_eq!(event.known, Some(Known::Counted), "{what}");
                    assert_eq!(event.output_tokens, Some(call.bills.1), "{what}");
                }
                ("x-fake-encoding", _) => {
                    assert_eq!(event.outcome, Outcome::Exact, "{what}");
                    let gzip = (!call.stream).then_some("gzip");
                    assert_eq!(answer.header("content-encoding"), gzip, "{what}");
                    assert!(answer.body == stack.provider.log().pop().unwrap().sent);
                }
                (_, status) => {
                    assert_eq!(answer.status.to_string(), status, "{what}");
                    assert!(answer.text().contains("made to fail"), "{what}");
                    let right = match status {
                        "500" => Outcome::Estimated,
                        _ => Outcome::Void,
                    };
                    assert_eq!(event.outcome, right, "{what} {status}");
                }
            }
            last = Some(event);
        }
        assert_eq!(last.unwrap().endpoint, Some(call.endpoint()));
    }
    stack.settle_the_books().await;
}

/// Whoever goes away midway, the call is charged for what went by.
#[tokio::test]
async fn streams_of_every_dialect_may_be_cut_by_either_side() {
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = stack("unix.yaml", engine).await;
        let calls: Vec<_> = generating()
            .into_iter()
            .filter(|call| call.stream)
            .collect();
        let mut count = 0;
        for call in &calls {
            let gate = format!("cut-{count}");
            let headers = [
                ("x-fake-hang-up", "1"),
                ("x-fake-gate", &*gate),
                ("x-fake-gate-after", "1"),
            ];
            let mut cut = stack.open(call.request(&stack, KEY, &headers)).await;
            first_token(&mut cut).await;
            stack.provider.open_gate(&gate);
            let (_, whole) = cut.rest().await;
            assert!(!whole, "{}", call.path);

            let headers = [("x-fake-gate", "never"), ("x-fake-gate-after", "1")];
            let mut left = stack.open(call.request(&stack, KEY, &headers)).await;
            first_token(&mut left).await;
            drop(left);
            count += 2;
            let events = stack.wait_for_events(count).await;
            for event in &events[count - 2..] {
                assert_eq!(event.outcome, Outcome::Estimated, "{event:?}");
                assert_eq!(event.known, Some(Known::Counted), "{event:?}");
                assert_eq!(event.output_tokens, Some(1), "{event:?}");
                assert_eq!(event.endpoint, Some(call.endpoint()));
                assert!(event.stream);
            }
        }
        assert_eq!(calls.len(), 14);
        stack.settle_the_books().await;
    }
}

async fn first_token(open: &mut Open) {
    // As it is, and in base64, wherever it begins.
    let apple = ["apple", "YXBwbG", "FwcGxl", "hcHBsZ"];
    let mut text = String::new();
    while !apple.iter().any(|said| text.contains(said)) {
        let chunk = open.chunk().await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
}

/// However weir is attached, a key in the query is enough, and none is left in
/// any log, whether the call passes or is refused.
#[tokio::test]
async fn a_key_in_the_query_goes_nowhere() {
    for envoy in ["unix.yaml", "tcp.yaml", "authz.yaml", "split.yaml"] {
        let stack = Stack::start(Setup {
            envoy,
            more: "telemetry: { log: { level: trace } }".into(),
            ..Setup::default()
        })
        .await;
        let calls = generating();
        let in_query: Vec<_> = calls.iter().filter(|call| call.key_in.is_empty()).collect();
        for call in &in_query {
            let answer = call.send(&stack, &[]).await;
            assert_eq!(answer.status, 200, "{envoy}: {answer:?}");
            let wrong = stack.send(call.request(&stack, "SECRETKEY", &[])).await;
            assert_eq!(wrong.status, 401, "{envoy}: {wrong:?}");
            let other = call.send(&stack, &[("x-goog-api-key", "SECRETKEY")]).await;
            assert_eq!(other.status, 401, "{envoy}: two keys that differ");
            // Refused by its head, and by its body.
            let mut refused = call.request(&stack, KEY, &[]);
            let text = "text/plain".parse().unwrap();
            refused.headers_mut().insert("content-type", text);
            assert_eq!(stack.send(refused).await.status, 415, "{envoy}");
            let bad = Call {
                body: json!({"contents": 1}),
                ..call_of(call)
            };
            assert_eq!(bad.send(&stack, &[]).await.status, 400, "{envoy}");
        }
        let log = stack.provider.log();
        assert_eq!(log.len(), in_query.len());
        stack.wait_for_events(5 * in_query.len()).await;
        stack.settle_the_books().await;
        // The books' own call, too.
        stack.wait_for_access_log(5 * in_query.len() + 1).await;
        assert!(!format!("{log:?}").contains(KEY), "{envoy}: {log:?}");
        for entry in std::fs::read_dir(stack.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for secret in [KEY, "SECRETKEY"] {
                assert!(
                    !text.contains(secret),
                    "{envoy}: {}: {text}",
                    path.display()
                );
            }
        }
    }
}

fn call_of(call: &Call) -> Call {
    Call {
        body: call.body.clone(),
        ..*call
    }
}

/// AWS's clients write a model's full name into the path, its slash encoded.
#[tokio::test]
async fn a_model_by_its_arn_is_one_segment_of_the_path() {
    for envoy in ["unix.yaml", "tcp.yaml", "authz.yaml", "split.yaml"] {
        let stack = stack(envoy, Engine::Memory).await;
        let name = NOVA_ARN.replace(':', "%3A").replace('/', "%2F");
        let body = json!({"messages": [{"role": "user", "content": [{"text": "hello you"}]}]});
        let path = format!("/model/{name}/converse");
        let answer = stack.send(stack.post(&path, body.to_string(), &[])).await;
        assert_eq!(answer.status, 200, "{envoy}: {answer:?}");
        assert_eq!(stack.provider.log()[0].path, path, "sent on as it came");
        let event = stack.wait_for_events(1).await.pop().unwrap();
        assert_eq!(event.model.as_deref(), Some(NOVA_ARN));

        // What a provider could read as another path is refused as ever.
        for path in [
            "/v1%2Fchat/completions",
            "/v1/chat%2fcompletions",
            "/v1/chat%5Ccompletions",
            "/v1/models%2Fx/../chat/completions%2F",
            "/model/a%2F..%2Fb/converse%2F",
            "/model/..%2F..%2Fv1%2Fchat%2Fcompletions/converse",
        ] {
            let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]});
            let answer = stack.send(stack.post(path, body.to_string(), &[])).await;
            assert_eq!(answer.status, 404, "{envoy} {path}: {answer:?}");
            assert!(answer.header("x-weir-decision").is_some(), "{envoy} {path}");
        }
        assert_eq!(stack.provider.received(), 1, "{envoy}");
        stack.settle_the_books().await;
    }
}

/// Refusals reach the caller as the API that was called would say them.
#[tokio::test]
async fn each_dialect_is_refused_in_its_own_words() {
    let limits = format!(
        "{AMPLE}\n      - {{ name: one, per: tenant, unit: requests, amount: 1, every: 60s, algorithm: token_bucket, \
         when: {{ model: [ claude-haiku-4-5, gemini-2.5-flash, llama3.2, \"us.amazon.nova-micro-v1:0\" ] }} }}"
    );
    let stack = Stack::start(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let generating = generating();
    let by_path = |path| generating.iter().find(|call| call.path == path).unwrap();
    let nova = by_path(CONVERSE);
    assert_eq!(nova.send(&stack, &[]).await.status, 200);

    let refused = by_path(CONVERSE_STREAM).send(&stack, &[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.header("x-amzn-errortype"),
        Some("ThrottlingException")
    );
    assert!(refused.header("x-amz-retry-after").is_some(), "{refused:?}");
    assert!(refused.json()["message"].is_string());

    let refused = by_path("/api/chat").send(&stack, &[]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.json()["error"].is_string(), "{refused:?}");

    // A stream that isn't of events is an array, and so is its error.
    let flash = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let array = Call {
        path: flash,
        ..call_of(by_path(STREAM_GENERATE))
    };
    let refused = array.send(&stack, &[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()[0]["error"]["status"], "RESOURCE_EXHAUSTED");

    let body = json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
    let refused = stack
        .send(stack.post("/v1/messages", body.to_string(), &[]))
        .await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert!(refused.header("request-id").is_some());
    stack.settle_the_books().await;
}

/// The fake provider's frames are those of AWS: read by weir's own reader,
/// which checks their CRCs, one byte at a time.
#[tokio::test]
async fn the_event_stream_is_well_formed() {
    let stack = stack("unix.yaml", Engine::Memory).await;
    let generating = generating();
    let call = generating.iter().find(|call| call.path == CONVERSE_STREAM);
    let answer = call.unwrap().send(&stack, &[]).await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/vnd.amazon.eventstream")
    );
    let rules = Endpoint::ConverseStream.rules();
    let mut reader = AnswerReader::new(rules, AnswerKind::EventStream, Encoding::Identity, false);
    for (at, byte) in answer.body.iter().enumerate() {
        reader.push(&[*byte], at + 1 == answer.body.len());
    }
    let read = reader.answer();
    assert!(read.complete && !read.unreadable, "{read:?}");
    assert_eq!(read.usage.unwrap().output_tokens, Some(5));
    stack.settle_the_books().await;
}
