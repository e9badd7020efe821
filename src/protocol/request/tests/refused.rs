//! What is refused, and which field is named.

use super::*;

/// Reads a body that must be refused: (message, field).
fn refusal(endpoint: Endpoint, body: &[u8]) -> (String, Option<String>) {
    match read(endpoint, body) {
        Err(error) => (error.message, error.param),
        Ok(facts) => panic!("{}: {facts:?}", String::from_utf8_lossy(body)),
    }
}

fn check(endpoint: Endpoint, body: &str, param: &str) {
    let (message, at) = refusal(endpoint, body.as_bytes());
    assert_eq!(at.as_deref().unwrap_or(""), param, "{body}: {message}");
    assert!(
        param.is_empty() || message.starts_with(&format!("`{param}` ")),
        "{message}"
    );
    // Nothing of the client's own comes back.
    assert!(!message.contains("SECRET"), "{message}");
}

#[test]
fn what_is_not_json() {
    let lone = chat(r#","x":"\ud800""#);
    let junk = chat("") + "x";
    let marked = format!("\u{feff}{}", chat(""));
    let nan = chat(r#","x":NaN"#);
    let mut not_utf8 = chat("").into_bytes();
    let at = not_utf8.len() - 5;
    not_utf8[at] = 0xff;
    let deep = chat(&format!(r#","x":{}{}"#, "[".repeat(64), "]".repeat(64)));
    for body in [
        lone.as_bytes(),
        junk.as_bytes(),
        marked.as_bytes(),
        nan.as_bytes(),
        &not_utf8,
        deep.as_bytes(),
        b"",
        b"  ",
        b"{",
        br#"{"model":"m","messages":[{"role":"user","content":"SECRET"#,
    ] {
        let (message, param) = refusal(CHAT, body);
        assert!(
            message.starts_with("The request body is not JSON that"),
            "{message}"
        );
        assert!(!message.contains("SECRET"));
        assert_eq!(param, None);
    }
    let deepest = chat(&format!(r#","x":{}{}"#, "[".repeat(63), "]".repeat(63)));
    assert!(read(CHAT, deepest.as_bytes()).is_ok());
    for body in ["null", "[]", "1", "\"x\"", "true"] {
        for endpoint in [CHAT, COMPLETIONS, EMBEDDINGS] {
            check(endpoint, body, "");
        }
    }
}

#[test]
fn names_that_stand_twice() {
    let table = [
        (r#","model":"o""#, "model"),
        (r#","model":"m""#, "model"),
        (r#","\u006dodel":"o""#, "model"),
        (r#","messages":[]"#, "messages"),
        (r#","stream":true,"stream":false"#, "stream"),
        (r#","stream":true,"s\u0074ream":false"#, "stream"),
        (r#","max_tokens":1,"max_tokens":2"#, "max_tokens"),
        (r#","max_tokens":null,"max_tokens":2"#, "max_tokens"),
        (
            r#","max\u005Ftokens":1,"\u006d\u0061x_tokens":2"#,
            "max_tokens",
        ),
        (r#","n":1,"n":1"#, "n"),
        (r#","tools":[],"tools":[]"#, "tools"),
        // Fields that are not read, too.
        (r#","SECRET":1,"SECRET":2"#, ""),
        (r#","user":"SECRET","\u0075ser":"x""#, ""),
        (
            r#","stream_options":{"include_usage":true,"include_usage":false}"#,
            "stream_options.include_usage",
        ),
        (
            r#","stream_options":{"include_usage":true,"include\u005fusage":false}"#,
            "stream_options.include_usage",
        ),
        // Go's parser, for one, takes these for the same.
        (r#","Model":"o""#, "model"),
        (r#","MAX_TOKENS":5"#, "max_tokens"),
        (r#","max_toKens":5"#, "max_tokens"),
        (r#","max_to\u212aens":5"#, "max_tokens"),
        (",\"\u{17f}tream\":true", "stream"),
    ];
    for (more, param) in table {
        check(CHAT, &chat(more), param);
    }
    let part = |fields: &str| message(&format!(r#""content":[{{{fields}}}]"#));
    for (body, param) in [
        (message(r#""role":"system""#), "messages[0].role"),
        (
            message(r#""content":"a","content":"b""#),
            "messages[0].content",
        ),
        (
            message(r#""content":"a","c\u006fntent":"b""#),
            "messages[0].content",
        ),
        (
            message(r#""content":"a","Content":"b""#),
            "messages[0].content",
        ),
        (message(r#""name":"a","name":null"#), "messages[0].name"),
        (
            message(r#""tool_calls":[],"tool_calls":[]"#),
            "messages[0].tool_calls",
        ),
        (
            message(r#""tool_calls":[{"function":{"name":"a","name":"b"}}]"#),
            "messages[0].tool_calls[0].function.name",
        ),
        (
            message(r#""tool_calls":[{},{"function":{},"function":{}}]"#),
            "messages[0].tool_calls[1].function",
        ),
        (
            message(r#""function_call":{"arguments":"","arguments":"b"}"#),
            "messages[0].function_call.arguments",
        ),
        (
            part(r#""type":"text","text":"a","type":"text""#),
            "messages[0].content[0].type",
        ),
        (
            part(r#""type":"text","text":"a","text":"b""#),
            "messages[0].content[0].text",
        ),
        (
            part(r#""type":"text","text":"a","te\u0078t":"b""#),
            "messages[0].content[0].text",
        ),
    ] {
        check(CHAT, &body, param);
    }
    check(
        COMPLETIONS,
        r#"{"model":"m","prompt":"a","prompt":"b"}"#,
        "prompt",
    );
    check(
        EMBEDDINGS,
        r#"{"model":"m","input":"a","input":["b"]}"#,
        "input",
    );
    check(EMBEDDINGS, r#"{"model":"m","input":"a","n":1,"n":1}"#, "");
}

#[test]
fn numbers_that_are_no_count() {
    let names = ["max_tokens", "max_completion_tokens", "n", "best_of"];
    for name in names {
        for value in [
            "0",
            "-1",
            "-0",
            "1.5",
            "10.0",
            "1e3",
            "1E0",
            "1e400",
            "-1e400",
            "9007199254740992",
            "18446744073709551616",
            "99999999999999999999999999",
            "\"9\"",
            "true",
            "[]",
            "{}",
            "[1]",
        ] {
            check(CHAT, &chat(&format!(r#","{name}":{value}"#)), name);
            check(
                COMPLETIONS,
                &completion(&format!(r#","{name}":{value}"#)),
                name,
            );
        }
    }
    check(
        CHAT,
        &chat(r#","max_tokens":1,"max_completion_tokens":1"#),
        "max_completion_tokens",
    );
    check(
        CHAT,
        &chat(r#","max_completion_tokens":1,"max_tokens":1"#),
        "max_tokens",
    );
    check(
        COMPLETIONS,
        &completion(r#","max_completion_tokens":5"#),
        "max_completion_tokens",
    );
}

#[test]
fn fields_of_the_wrong_kind() {
    for (more, param) in [
        (r#","stream":1"#, "stream"),
        (r#","stream":"true""#, "stream"),
        (r#","stream_options":true"#, "stream_options"),
        (r#","stream_options":[]"#, "stream_options"),
        (
            r#","stream_options":{"include_usage":1}"#,
            "stream_options.include_usage",
        ),
        (r#","modalities":["text","audio"]"#, "modalities[1]"),
        (r#","modalities":["\u0061udio"]"#, "modalities[0]"),
        (r#","modalities":["image"]"#, "modalities[0]"),
        (r#","modalities":"audio""#, "modalities"),
        (r#","modalities":[1]"#, "modalities[0]"),
        (r#","audio":{"voice":"SECRET","format":"wav"}"#, "audio"),
        (r#","prediction":"x""#, "prediction"),
        (
            r#","prediction":{"type":"content","content":5}"#,
            "prediction.content",
        ),
        (
            r#","prediction":{"type":"content","content":[{"type":"file"}]}"#,
            "prediction.content[0].file",
        ),
    ] {
        check(CHAT, &chat(more), param);
    }
    let long = format!(r#"{{"model":"{}","messages":[]}}"#, "m".repeat(257));
    let escaped = format!(r#"{{"model":"{}","messages":[]}}"#, "\\u006d".repeat(257));
    for (body, param) in [
        (r#"{"messages":[{"role":"u","content":"x"}]}"#, "model"),
        (r#"{"model":null,"messages":[]}"#, "model"),
        (r#"{"model":"","messages":[]}"#, "model"),
        (r#"{"model":["m"],"messages":[]}"#, "model"),
        (r#"{"model":"a\u0000b","messages":[]}"#, "model"),
        (r#"{"model":"a\nb","messages":[]}"#, "model"),
        (&long, "model"),
        (&escaped, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":null}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":{}}"#, "messages"),
        (r#"{"model":"m","messages":"SECRET"}"#, "messages"),
        (r#"{"model":"m","messages":["SECRET"]}"#, "messages[0]"),
        (
            r#"{"model":"m","messages":[{"content":"SECRET"}]}"#,
            "messages[0].role",
        ),
        (
            r#"{"model":"m","messages":[{"role":null}]}"#,
            "messages[0].role",
        ),
        (
            r#"{"model":"m","messages":[{"role":"a"},{"role":1}]}"#,
            "messages[1].role",
        ),
    ] {
        check(CHAT, body, param);
    }
    let longest = format!(
        r#"{{"model":"{}","messages":[{{"role":"u"}}]}}"#,
        "\\u006d".repeat(256)
    );
    assert_eq!(facts(CHAT, &longest).model.len(), 256);
}

#[test]
fn contents_that_cannot_be_counted() {
    for (content, param) in [
        ("5", ""),
        ("true", ""),
        (r#"{"type":"text","text":"SECRET"}"#, ""),
        (r#"["SECRET"]"#, "[0]"),
        ("[[]]", "[0]"),
        (r#"[{"type":"text"}]"#, "[0].text"),
        (r#"[{"type":"text","text":null}]"#, "[0].text"),
        (r#"[{"type":"text","text":5}]"#, "[0].text"),
        (r#"[{"text":"SECRET"}]"#, "[0].type"),
        (r#"[{"type":null,"text":"SECRET"}]"#, "[0].type"),
        (r#"[{"type":"Text","text":"SECRET"}]"#, "[0].type"),
        (r#"[{"type":"image_url"}]"#, "[0].image_url"),
        (r#"[{"type":"video_url","video_url":{}}]"#, "[0].type"),
        (r#"[{"type":"SECRET"}]"#, "[0].type"),
        (r#"[{"type":"text","image_url":{}}]"#, "[0].image_url"),
        (r#"[{"type":"text","text":"a","image_url":{}}]"#, "[0]"),
        (r#"[{"type":"text","file":{},"text":"a"}]"#, "[0]"),
    ] {
        let param = format!("messages[0].content{param}");
        check(CHAT, &message(&format!(r#""content":{content}"#)), &param);
    }
    for (fields, param) in [
        (r#""name":5"#, "messages[0].name"),
        (r#""refusal":[]"#, "messages[0].refusal"),
        (r#""tool_calls":{}"#, "messages[0].tool_calls"),
        (r#""tool_calls":[1]"#, "messages[0].tool_calls[0]"),
        (
            r#""tool_calls":[{"function":"f"}]"#,
            "messages[0].tool_calls[0].function",
        ),
        (r#""function_call":"f""#, "messages[0].function_call"),
    ] {
        check(CHAT, &message(fields), param);
    }
}

#[test]
fn prompts_that_cannot_be_counted() {
    for (value, at) in [
        ("5", ""),
        ("{}", ""),
        ("true", ""),
        ("[]", ""),
        ("[null]", "[0]"),
        (r#"["SECRET",1]"#, "[1]"),
        (r#"[1,"SECRET"]"#, "[1]"),
        ("[1,[2]]", "[1]"),
        ("[[1],2]", "[1]"),
        (r#"[[1],["SECRET"]]"#, "[1][0]"),
        ("[[1,2.5]]", "[0][1]"),
        ("[1,-2]", "[1]"),
        ("[1e2]", "[0]"),
        ("[[[1]]]", "[0][0]"),
        (r#"[{"text":"SECRET"}]"#, "[0]"),
    ] {
        check(
            COMPLETIONS,
            &completion(&format!(r#","prompt":{value}"#)),
            &format!("prompt{at}"),
        );
        check(EMBEDDINGS, &embedding(value), &format!("input{at}"));
    }
    for input in ["null", "\"\"", "[\"\"]", "[[]]"] {
        check(EMBEDDINGS, &embedding(input), "input");
    }
    check(EMBEDDINGS, r#"{"model":"m"}"#, "input");
    check(EMBEDDINGS, r#"{"input":"x"}"#, "model");
    check(
        EMBEDDINGS,
        r#"{"model":"m","input":"x","stream":true}"#,
        "stream",
    );
    assert!(!facts(EMBEDDINGS, r#"{"model":"m","input":"x","stream":false}"#).stream);
    check(
        EMBEDDINGS,
        r#"{"model":"m","input":"x","messages":[]}"#,
        "messages",
    );
    check(
        COMPLETIONS,
        r#"{"model":"m","prompt_embeds":"SECRET"}"#,
        "prompt_embeds",
    );
    check(COMPLETIONS, r#"{"model":"m","suffix":5}"#, "suffix");
    check(COMPLETIONS, "{}", "model");
}

#[test]
fn more_fields_or_longer_names_than_are_read() {
    let fields = |count: usize| {
        (0..count)
            .map(|n| format!(r#","k{n}":1"#))
            .collect::<String>()
    };
    assert!(read(CHAT, chat(&fields(256)).as_bytes()).is_ok());
    check(CHAT, &chat(&fields(257)), "");
    check(CHAT, &chat(&format!(r#","{}":1"#, "k".repeat(257))), "");
}
