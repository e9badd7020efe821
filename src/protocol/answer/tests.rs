//! Tests by table; those of any split of any answer are in `splits`, those of
//! answers with giant strings in `giants`.

mod giants;
mod searches;
mod splits;

use super::*;
use crate::protocol::Usage;
use crate::protocol::inflate::encode::{CODED, bomb, encode};
use crate::protocol::openai::answers::CHOICES;
use crate::protocol::sse::EVENT_PLAIN_BYTES_MAX;

fn read(kind: AnswerKind, body: &[u8]) -> AnswerReader {
    let mut reader = AnswerReader::new(&CHOICES, kind, Encoding::Identity, false);
    assert_eq!(reader.push(body, true), Pass::Unchanged);
    reader
}

fn json(body: &str) -> AnswerReader {
    read(AnswerKind::Json, body.as_bytes())
}

/// An event stream of these objects, each an event.
fn stream(events: &[&str]) -> String {
    events
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect()
}

fn sse(events: &[&str]) -> AnswerReader {
    read(AnswerKind::Sse, stream(events).as_bytes())
}

fn tokens(input: impl Into<Option<u64>>, output: impl Into<Option<u64>>) -> Usage {
    Usage {
        input_tokens: input.into(),
        output_tokens: output.into(),
        ..Usage::default()
    }
}

#[test]
fn a_usage_object_is_read_and_never_becomes_a_credit() {
    let with = |usage: Usage, cached, written, reasoning| Usage {
        cached_input_tokens: cached,
        cache_write_tokens: written,
        reasoning_tokens: reasoning,
        ..usage
    };
    // (usage, what is read, whether something was odd)
    for (usage, expected, odd) in [
        (
            r#"{"prompt_tokens":3,"completion_tokens":4}"#,
            Some(tokens(3, 4)),
            false,
        ),
        (
            r#"{"prompt_tokens":0,"completion_tokens":0}"#,
            Some(tokens(0, 0)),
            false,
        ),
        (
            r#"{"prompt_tokens":3,"total_tokens":3}"#,
            Some(tokens(3, None)),
            false,
        ),
        ("null", None, false),
        ("{}", None, false),
        (r#"{"prompt_tokens":null}"#, None, false),
        ("5", None, true),
        ("[]", None, true),
        (r#""none""#, None, true),
        (
            r#"{"prompt_tokens":-3,"completion_tokens":4}"#,
            Some(tokens(None, 4)),
            true,
        ),
        (
            r#"{"prompt_tokens":3,"completion_tokens":4.5}"#,
            Some(tokens(3, None)),
            true,
        ),
        (
            r#"{"prompt_tokens":3,"completion_tokens":"4"}"#,
            Some(tokens(3, None)),
            true,
        ),
        (
            r#"{"prompt_tokens":3,"completion_tokens":true}"#,
            Some(tokens(3, None)),
            true,
        ),
        (
            r#"{"prompt_tokens":3,"completion_tokens":[4]}"#,
            Some(tokens(3, None)),
            true,
        ),
        (
            r#"{"prompt_tokens":3,"completion_tokens":{}}"#,
            Some(tokens(3, None)),
            true,
        ),
        (
            r#"{"prompt_tokens":9007199254740991}"#,
            Some(tokens(TOKENS_MAX, None)),
            false,
        ),
        (
            r#"{"prompt_tokens":9007199254740992,"completion_tokens":1}"#,
            Some(tokens(None, 1)),
            true,
        ),
        (
            r#"{"prompt_tokens":99999999999999999999999,"completion_tokens":1}"#,
            Some(tokens(None, 1)),
            true,
        ),
        (
            r#"{"prompt_tokens":1,"prompt_tokens":2,"completion_tokens":1}"#,
            Some(tokens(None, 1)),
            true,
        ),
        // Parts.
        (
            r#"{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2,"x":{}},"completion_tokens_details":{"reasoning_tokens":7}}"#,
            Some(with(tokens(9, 8), Some(3), Some(2), Some(7))),
            false,
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":null,"completion_tokens_details":null}"#,
            Some(tokens(9, 8)),
            false,
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":8,"prompt_cache_hit_tokens":4,"reasoning_tokens":1}"#,
            Some(with(tokens(9, 8), Some(4), None, Some(1))),
            false,
        ),
        // A part beyond its whole.
        (
            r#"{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":10}}"#,
            Some(tokens(9, 8)),
            true,
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":5}}"#,
            Some(tokens(9, 8)),
            true,
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17,"completion_tokens_details":{"reasoning_tokens":9}}"#,
            Some(tokens(9, 8)),
            true,
        ),
        // Reasoning beside the completion.
        (
            r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":241,"completion_tokens_details":{"reasoning_tokens":228}}"#,
            Some(with(tokens(12, 229), None, None, Some(228))),
            false,
        ),
        (
            r#"{"prompt_tokens":12,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":228}}"#,
            Some(with(tokens(12, 229), None, None, Some(228))),
            false,
        ),
        (
            r#"{"completion_tokens":9007199254740991,"reasoning_tokens":9007199254740991}"#,
            Some(with(tokens(None, TOKENS_MAX), None, None, Some(TOKENS_MAX))),
            false,
        ),
        (
            r#"{"completion_tokens":9007199254740990,"reasoning_tokens":9007199254740991}"#,
            Some(with(tokens(None, None), None, None, Some(TOKENS_MAX))),
            true,
        ),
    ] {
        let body = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        for reader in [json(&body), sse(&[&body, "[DONE]"])] {
            let answer = reader.answer();
            assert_eq!(answer.usage, expected, "{usage}");
            assert_eq!(answer.unreadable, odd, "{usage}");
            assert!(answer.complete);
        }
    }
}

#[test]
fn the_last_usage_counts_and_none_takes_anything_back() {
    // (reports in order, what is known, whether something was odd)
    for (reports, expected, odd) in [
        (vec!["10,5", "10,10", "10,15"], tokens(10, 15), false),
        (vec!["10,5", "null"], tokens(10, 5), false),
        (vec!["10,5", "{}"], tokens(10, 5), false),
        (vec!["10,5", "0,0"], tokens(10, 5), true),
        (vec!["10,5", "12,4"], tokens(12, 5), true),
        (vec!["10,5", "-1,7"], tokens(10, 7), true),
        (vec!["10,5", "null,7"], tokens(10, 7), false),
        (vec!["null,5", "10,null"], tokens(10, 5), false),
    ] {
        let events: Vec<String> = reports
            .iter()
            .map(|report| match report.split_once(',') {
                Some((prompt, completion)) => format!(
                    r#"{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#
                ),
                None => format!(r#"{{"usage":{report}}}"#),
            })
            .collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let answer = sse(&events).answer().clone();
        assert_eq!(answer.usage, Some(expected), "{reports:?}");
        assert_eq!(answer.unreadable, odd, "{reports:?}");
    }
    // What is cached may change as long as it stays a part.
    let answer = sse(&[
        r#"{"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":9}}}"#,
        r#"{"usage":{"prompt_tokens":11,"prompt_tokens_details":{"cached_tokens":2}}}"#,
    ])
    .answer()
    .clone();
    assert_eq!(answer.usage.unwrap().cached_input_tokens, Some(2));
    assert!(!answer.unreadable);
}

#[test]
fn all_that_the_model_said_is_gathered_to_be_counted() {
    // (a delta, what it said)
    for (delta, said) in [
        (
            r#"{"role":"assistant","content":"Grüße \ud83c\udf0d\n"}"#,
            "Grüße 🌍\n",
        ),
        (r#"{"content":null,"refusal":"no"}"#, "no"),
        (r#"{"reasoning_content":"hm","content":"a"}"#, "hma"),
        (
            r#"{"reasoning":"hm","reasoning_content":"hm","reasoning_details":[{"text":"hm"}]}"#,
            "hm",
        ),
        (r#"{"reasoning":null,"reasoning_content":"hm"}"#, "hm"),
        (
            r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{\"a\":1}"}},{"function":{"arguments":"b"}}]}"#,
            "{\"a\":1}b",
        ),
        (
            r#"{"tool_calls":[{"custom":{"name":"f","input":"abc"}}]}"#,
            "abc",
        ),
        (r#"{"function_call":{"name":"f","arguments":"{}"}}"#, "{}"),
        (
            r#"{"tool_calls":[{"function":{"arguments":{"city":"Rome","n":[1,"b"]}}}]}"#,
            "cityRomenb",
        ),
        (
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"},"b"]}"#,
            "hmab",
        ),
        (
            r#"{"content":"half a pair \ud83c"}"#,
            "half a pair \u{fffd}\u{fffd}\u{fffd}",
        ),
        (r#"{"content":5,"refusal":true}"#, ""),
        (r#"{"audio":{"data":"AAAA"},"name":"x"}"#, ""),
        ("null", ""),
        ("[]", ""),
        ("7", ""),
        (r#""x""#, ""),
    ] {
        for name in ["delta", "message"] {
            let body = format!(r#"{{"choices":[{{"index":0,"{name}":{delta}}}]}}"#);
            for mut reader in [json(&body), sse(&[&body])] {
                assert_eq!(reader.has_content(), !said.is_empty(), "{delta}");
                assert_eq!(reader.text_len(), said.len(), "{delta}");
                assert_eq!(reader.take_text(), said, "{delta}");
                assert_eq!(reader.text_len(), 0);
                assert!(!reader.answer().unreadable, "{delta}");
            }
        }
    }
    let mut completions = sse(&[r#"{"choices":[{"text":"a"},{"index":1,"text":"b"}]}"#]);
    let taken = completions.take_parts();
    assert_eq!(taken.parts().collect::<Vec<_>>(), ["a", "b"]);
    // Who speaks next is known from one taking to the next.
    let mut choices = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, false);
    let mut parts = Vec::new();
    for (index, text) in [(0, "1"), (0, "2"), (1, "3"), (1, "4"), (0, "5")] {
        let event = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"index\":{index}}}]}}\n\n"
        );
        choices.push(event.as_bytes(), false);
        let taken = choices.take_parts();
        parts.push(taken.parts().collect::<Vec<_>>().join("|"));
    }
    assert_eq!(parts, ["1", "2", "|3", "4", "|5"]);
}

#[test]
fn text_that_nobody_takes_is_counted_in_bytes() {
    let event = format!(
        r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#,
        "é".repeat(500)
    );
    let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, false);
    for _ in 0..100 {
        reader.push(stream(&[&event]).as_bytes(), false);
    }
    assert!((STREAM_TEXT_BYTES_MAX - 1..=STREAM_TEXT_BYTES_MAX).contains(&reader.text_len()));
    let all = u64::try_from(reader.text_len()).unwrap() + reader.text_dropped_bytes();
    assert_eq!(all, 100 * 1_000);
    // Taking it makes room.
    let dropped = reader.text_dropped_bytes();
    reader.take_text();
    reader.push(stream(&[&event]).as_bytes(), false);
    assert_eq!(
        (reader.text_len(), reader.text_dropped_bytes()),
        (1_000, dropped)
    );
}

#[test]
fn an_event_that_is_no_json_says_nothing_at_all() {
    let torn =
        r#"{"model":"m","choices":[{"delta":{"content":"abc"}}],"usage":{"prompt_tokens":5},"#;
    for last in [
        torn,
        r#"{"choices":[{"delta":{"content":"abc"}}]}}"#,
        r#"{"choices":[{"delta":{"content":"abc"}}],"usage":{"prompt_tokens":1e400}}"#,
    ] {
        for mut reader in [sse(&[last]), json(last)] {
            assert_eq!((reader.text_len(), reader.has_content()), (0, false));
            assert_eq!(reader.take_text(), "");
            let expected = Answer {
                unreadable: true,
                ..Answer::default()
            };
            assert_eq!(reader.answer(), &expected);
        }
    }
    // What came before it stays, what comes after it is read.
    let mut reader = sse(&[
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        torn,
        r#"{"model":"m2"}"#,
    ]);
    assert_eq!(reader.take_text(), "a");
    assert_eq!(reader.answer().model.as_deref(), Some("m2"));
    assert!(reader.answer().unreadable);
}

#[test]
fn nesting_without_end_is_an_error_and_no_overflow() {
    for open in ["[", r#"{"content":"#, r#"{"tool_calls":["#] {
        let deep = format!(r#"{{"choices":[{{"delta":{}"#, open.repeat(100_000));
        assert!(json(&deep).answer().unreadable);
    }
}

#[test]
fn a_stream_is_complete_by_its_marker_or_by_its_choices() {
    let finish =
        |index: u64| format!(r#"{{"choices":[{{"index":{index},"finish_reason":"stop"}}]}}"#);
    let open = |index: u64| format!(r#"{{"choices":[{{"index":{index},"finish_reason":null}}]}}"#);
    let (f0, f1, f200, o0, o1) = (finish(0), finish(1), finish(200), open(0), open(1));
    for (events, complete) in [
        (vec!["[DONE]"], true),
        (vec![o0.as_str(), "[DONE]"], true),
        (vec![o0.as_str()], false),
        (vec![o0.as_str(), &f0], true),
        (vec![o0.as_str(), &o1, &f0], false),
        (vec![o0.as_str(), &o1, &f1, &f0], true),
        (vec![f0.as_str(), &f200], false),
        (vec![f0.as_str(), &f200, "[DONE]"], true),
        (vec![f0.as_str(), r#"{"choices":[],"usa"#], false),
        (vec![f0.as_str(), r#"{"error":{"message":"x"}}"#], false),
        (vec![], false),
    ] {
        let text = stream(&events);
        assert_eq!(
            read(AnswerKind::Sse, text.as_bytes()).answer().complete,
            complete,
            "{events:?}"
        );
        // Nor is it by its choices before the end has come.
        let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, false);
        reader.push(text.as_bytes(), false);
        assert_eq!(reader.answer().complete, events.contains(&"[DONE]"));
    }
}

#[test]
fn an_answer_that_says_it_failed_has_failed() {
    for (body, failed) in [
        (r#"{"error":{"message":"x"}}"#, true),
        (r#"{"error":"x"}"#, true),
        (r#"{"error":null}"#, false),
        (r#"{"choices":[{"message":{"error":"x"}}]}"#, false),
    ] {
        assert_eq!(json(body).answer().failed, failed, "{body}");
        assert!(json(body).answer().complete);
        assert_eq!(sse(&[body]).answer().failed, failed, "{body}");
    }
    let named = b"event: error\ndata: {\"message\":\"x\"}\n\n";
    assert!(read(AnswerKind::Sse, named).answer().failed);
}

#[test]
fn model_and_finish_reason_are_of_the_first_choice_and_short() {
    let answer = sse(&[
        r#"{"model":"","choices":[]}"#,
        r#"{"model":"gpt","choices":[{"finish_reason":"length","index":1}]}"#,
        r#"{"model":"other","choices":[{"finish_reason":"stop","index":0}]}"#,
    ])
    .answer()
    .clone();
    assert_eq!(answer.model.as_deref(), Some("gpt"));
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
    let long = "x".repeat(300);
    let answer = json(&format!(
        r#"{{"model":"{long}","choices":[{{"finish_reason":"{long}"}}]}}"#
    ))
    .answer()
    .clone();
    assert_eq!((answer.model, answer.finish_reason), (None, None));
}

#[test]
fn groqs_own_usage_counts_where_it_stands_alone() {
    let both = r#"{"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":9}},"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    assert_eq!(sse(&[both]).answer().usage, Some(tokens(3, 4)));
    let alone = r#"{"x_groq":{"id":"x","usage":{"prompt_tokens":9,"completion_tokens":9}}}"#;
    assert_eq!(sse(&[alone]).answer().usage, Some(tokens(9, 9)));
}

#[test]
fn a_json_answer_past_the_bound_is_read_at_its_ends() {
    let filler = format!("{}1", "0.1,".repeat(BODY_BYTES_MAX / 4));
    let usage = r#""usage":{"prompt_tokens":8,"total_tokens":8}"#;
    // A text may spell a usage; its quotes give it away.
    let lie = r#""\"usage\":{\"prompt_tokens\":1}""#;
    for (body, expected, model) in [
        (
            format!(r#"{{"data":[{filler}],"model":"m",{usage}}}"#),
            Some(tokens(8, None)),
            Some("m"),
        ),
        (
            format!(r#"{{"model":"m","data":[{filler}],{usage},"x":{lie}}}"#),
            Some(tokens(8, None)),
            Some("m"),
        ),
        (format!(r#"{{"data":[{filler}],"x":{lie}}}"#), None, None),
        (format!(r#"{{{usage},"data":[{filler}]}}"#), None, None),
    ] {
        for size in [usize::MAX, 1 << 20, 65_537] {
            let mut reader =
                AnswerReader::new(&CHOICES, AnswerKind::Json, Encoding::Identity, true);
            for chunk in body.as_bytes().chunks(size) {
                assert_eq!(reader.push(chunk, false), Pass::Unchanged);
            }
            reader.push(b"", true);
            let answer = reader.answer();
            assert_eq!(answer.usage, expected);
            assert_eq!(answer.model.as_deref(), model);
            assert_eq!(answer.complete, expected.is_some());
            assert_eq!(answer.unreadable, expected.is_none());
        }
    }
}

#[test]
fn only_usage_events_are_removed() {
    for (event, removed) in [
        (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, true),
        (r#"{"usage":{},"choices":[]}"#, true),
        (r#"{"choices":[],"usage":null}"#, false),
        (r#"{"choices":[]}"#, false),
        (r#"{"choices":[{}],"usage":{"prompt_tokens":1}}"#, false),
        (r#"{"choices":null,"usage":{"prompt_tokens":1}}"#, false),
        (r#"{"usage":{"prompt_tokens":1}}"#, false),
        (
            r#"{"choices":[],"usage":{"prompt_tokens":1},"error":{}}"#,
            false,
        ),
        (r#"{"choices":[],"usage":{"prompt_tokens":1}"#, false),
        ("[DONE]", false),
    ] {
        let text = stream(&[event]);
        let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, true);
        assert!(!reader.decodes());
        let expected = if removed {
            Pass::Replace(vec![])
        } else {
            Pass::Unchanged
        };
        assert_eq!(reader.push(text.as_bytes(), false), expected, "{event}");
        let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, false);
        assert_eq!(reader.push(text.as_bytes(), true), Pass::Unchanged);
    }
}

#[test]
fn an_unfinished_event_waits_up_to_a_bound_and_goes_out_at_the_end() {
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":1}}"#;
    let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, true);
    assert_eq!(
        reader.push(b"data: {}\n\ndata", false),
        Pass::Replace(b"data: {}\n\n".to_vec())
    );
    assert_eq!(reader.push(b": {}", false), Pass::Replace(vec![]));
    assert_eq!(reader.push(b"", true), Pass::Replace(b"data: {}".to_vec()));

    // Past the bound it goes out, and can't be taken back.
    let long = format!("{usage}{}", " ".repeat(EVENT_PLAIN_BYTES_MAX));
    let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, true);
    let (first, rest) = long.as_bytes().split_at(EVENT_PLAIN_BYTES_MAX - 10);
    assert_eq!(reader.push(first, false), Pass::Replace(vec![]));
    assert_eq!(
        reader.push(rest, false),
        Pass::Replace(long.clone().into_bytes())
    );
    assert_eq!(reader.push(b"\n\n", false), Pass::Unchanged);
    let usage_event = format!("{usage}\n\n");
    assert_eq!(
        reader.push(usage_event.as_bytes(), true),
        Pass::Replace(vec![])
    );
    assert_eq!(reader.answer().usage, Some(tokens(1, None)));
}

#[test]
fn a_coding_is_taken_off_only_where_something_is_removed() {
    for encoding in CODED {
        let coded = encode(encoding, &[b"data: {\"model\":\"m\"}\n\n"]);
        for (kind, strip, decodes) in [
            (AnswerKind::Sse, true, true),
            (AnswerKind::Sse, false, false),
            (AnswerKind::Json, true, false),
        ] {
            let mut reader = AnswerReader::new(&CHOICES, kind, encoding, strip);
            assert_eq!(reader.decodes(), decodes);
            let pass = reader.push(&coded, true);
            if decodes {
                assert_eq!(pass, Pass::Replace(b"data: {\"model\":\"m\"}\n\n".to_vec()));
            } else {
                assert_eq!(pass, Pass::Unchanged);
            }
            assert_eq!(reader.decodes(), decodes);
            assert!(!reader.broken());
        }
    }
}

#[test]
fn a_bomb_is_cut_off_and_the_reader_says_so() {
    for encoding in CODED {
        let coded = bomb(encoding, 64);
        for (kind, strip) in [
            (AnswerKind::Sse, false),
            (AnswerKind::Sse, true),
            (AnswerKind::Json, false),
        ] {
            let mut reader = AnswerReader::new(&CHOICES, kind, encoding, strip);
            let decodes = reader.decodes();
            let mut out = 0;
            for chunk in coded.chunks(1_000) {
                match reader.push(chunk, false) {
                    Pass::Unchanged => assert!(!decodes),
                    Pass::Replace(bytes) => {
                        assert!(decodes);
                        out += bytes.len();
                    }
                }
            }
            assert!(reader.broken() && reader.answer().unreadable);
            assert_eq!(reader.decodes(), decodes);
            assert!(out <= 16 << 20);
            assert!(!reader.answer().complete);
            if let Form::Json(body) = &reader.form {
                assert!(body.bytes_held() <= 2 * BODY_BYTES_MAX);
            }
        }
    }
}

#[test]
fn a_body_that_is_not_what_its_headers_say_passes() {
    let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Json, Encoding::Gzip, false);
    assert_eq!(reader.push(b"{\"usage\":{}}", true), Pass::Unchanged);
    assert!(reader.answer().unreadable && reader.broken());
    for body in ["", " \n", "[]", "5", "\u{feff}{}", "{} x", "<html>"] {
        let readable = matches!(body.trim(), "" | "\u{feff}{}");
        assert_eq!(json(body).answer().unreadable, !readable, "{body:?}");
    }
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut reader = sse(&["[DONE]"]);
    let late = stream(&[r#"{"usage":{"prompt_tokens":1}}"#]);
    assert_eq!(reader.push(late.as_bytes(), true), Pass::Unchanged);
    assert_eq!(reader.answer().usage, None);
}

#[test]
fn an_open_stream_holds_little_whatever_went_through_it() {
    const OPEN_BYTES_MAX: usize = 32 << 10;
    let content = "x".repeat(90);
    let small = stream(&[&format!(
        r#"{{"choices":[{{"delta":{{"content":"{content}"}}}}]}}"#
    )]);
    let large = format!(": {}\n\n", "x".repeat(500_000));
    let text = format!("{}{large}{}", small.repeat(300), small.repeat(300));
    for strip in [false, true] {
        let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, strip);
        for chunk in text.as_bytes().chunks(1_013) {
            reader.push(chunk, false);
            let held = reader.bytes_held() + size_of::<AnswerReader>();
            let Form::Sse { splitter, .. } = &reader.form else {
                panic!("not a stream");
            };
            // While a long event comes in, it is twice as much.
            let is_short = splitter.pending().len() <= 1_013 + small.len();
            let held_max = if is_short {
                OPEN_BYTES_MAX
            } else {
                2 * OPEN_BYTES_MAX
            };
            assert!(held <= held_max, "{held}");
        }
        assert_eq!(reader.text_len(), STREAM_TEXT_BYTES_MAX);
    }
}

#[test]
fn a_reader_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<AnswerReader>();
}

/// (dialect's rules, answer, what it says besides)
#[test]
fn kinds_that_have_prices_of_their_own_are_read() {
    use crate::protocol::{anthropic, gemini, openai};
    let besides = |usage: Usage| {
        [
            usage.cache_write_1h_tokens,
            usage.input_audio_tokens,
            usage.input_image_tokens,
            usage.output_audio_tokens,
            usage.output_image_tokens,
            usage.searches,
            usage.cached_input_audio_tokens,
            usage.cached_input_image_tokens,
        ]
    };
    for (rules, body, said, tier) in [
        (
            &openai::answers::CHOICES,
            r#"{"service_tier":"flex","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,
            "prompt_tokens_details":{"cached_tokens":5,"audio_tokens":40,"image_tokens":7},
            "completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":30,"image_tokens":8},
            "server_tool_use":{"web_search_requests":2}}}"#,
            [
                None,
                Some(40),
                Some(7),
                Some(30),
                Some(8),
                Some(2),
                None,
                None,
            ],
            Some("flex"),
        ),
        (
            &openai::answers::CHOICES,
            r#"{"service_tier":"auto","usage":{"prompt_tokens":10,"completion_tokens":5,
            "prompt_tokens_details":{"audio_tokens":11}}}"#,
            [None; 8],
            None,
        ),
        (
            &openai::answers::RESPONSES,
            r#"{"service_tier":"priority","usage":{"input_tokens":10,"output_tokens":5,
            "input_tokens_details":{"image_tokens":4,"cached_tokens":3,
            "cached_tokens_details":{"text_tokens":1,"image_tokens":2}},"output_tokens_details":{"image_tokens":5}}}"#,
            [None, None, Some(2), None, Some(5), None, None, Some(2)],
            Some("priority"),
        ),
        (
            &anthropic::answers::MESSAGES,
            r#"{"usage":{"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":30,
            "cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},
            "server_tool_use":{"web_search_requests":1},"service_tier":"standard"}}"#,
            [Some(10), None, None, None, None, Some(1), None, None],
            Some("default"),
        ),
        (
            &gemini::answers::GENERATE,
            r#"{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":30,"candidatesTokenCount":50,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"AUDIO","tokenCount":60},{"tokenCount":20,"modality":"IMAGE"}],
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":30}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":45}],"trafficType":"ON_DEMAND_FLEX"}}"#,
            [
                None,
                Some(30),
                Some(20),
                None,
                Some(45),
                None,
                Some(30),
                None,
            ],
            Some("flex"),
        ),
        (
            &gemini::answers::GENERATE,
            r#"{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":30,"candidatesTokenCount":50,
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":31},{"modality":"IMAGE","tokenCount":29}]}}"#,
            [None, None, None, None, None, None, None, Some(29)],
            None,
        ),
        (
            &openai::answers::CHOICES,
            r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"num_search_queries":3}}"#,
            [None, None, None, None, None, Some(3), None, None],
            None,
        ),
    ] {
        let mut reader = AnswerReader::new(rules, AnswerKind::Json, Encoding::Identity, false);
        reader.push(body.as_bytes(), true);
        let answer = reader.answer();
        assert_eq!(besides(answer.usage.unwrap()), said, "{body}");
        assert_eq!(answer.service_tier, tier, "{body}");
    }
}
