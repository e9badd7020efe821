//! Any split of any stream gives the same, plain or coded.

use super::*;
use crate::protocol::inflate::encode::bare_deflate;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// One block of a stream, as it goes over the wire.
#[derive(Debug, Clone)]
struct Block {
    bytes: Vec<u8>,
    is_usage: bool,
}

fn block() -> impl Strategy<Value = Block> {
    let text = prop_oneof![
        Just("Hello".to_owned()),
        Just("Grüße 🌍\\n".to_owned()),
        Just("\\u00e9\\ud83c\\udf0d".to_owned()),
        "[a-zé🌍 ]{0,12}",
    ];
    let data = prop_oneof![
        6 => (text.clone(), 0u64..3).prop_map(|(text, index)| format!(
            r#"{{"model":"m-1","choices":[{{"index":{index},"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null}}"#
        )),
        1 => text.prop_map(|text| format!(
            r#"{{"choices":[{{"delta":{{"tool_calls":[{{"function":{{"arguments":"{text}"}}}}]}}}}]}}"#
        )),
        1 => (0u64..3).prop_map(|index| format!(
            r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#
        )),
        2 => (0u64..50, -2i64..50).prop_map(|(prompt, completion)| format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#
        )),
        1 => (0u64..50).prop_map(|prompt| format!(
            r#"{{"choices":[{{"index":0}}],"usage":{{"prompt_tokens":{prompt}}}}}"#
        )),
        1 => Just(r#"{"error":{"message":"x"}}"#.to_owned()),
        1 => Just("[DONE]".to_owned()),
        1 => Just(r#"{"torn":"#.to_owned()),
    ];
    let line_end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    (data, line_end, 0u8..9).prop_map(|(data, end, form)| {
        let is_usage = data.starts_with(r#"{"choices":[],"usage""#) && form >= 2;
        let text = match form {
            0 => format!(": ping{end}{end}"),
            1 => format!("event: ping{end}id: 7{end}{end}"),
            2 => format!("data:{data}{end}{end}"),
            3 => format!("event: delta{end}data: {data}{end}{end}"),
            // A line of its own for the last byte.
            4 => {
                let (front, back) = data.split_at(data.len() - 1);
                format!("data: {front}{end}data:{back}{end}{end}")
            }
            _ => format!("data: {data}{end}{end}"),
        };
        // The marker over two lines is none.
        let text = if data == "[DONE]" && form == 4 {
            format!("data: {data}{end}{end}")
        } else {
            text
        };
        Block {
            bytes: text.into_bytes(),
            is_usage,
        }
    })
}

#[derive(Debug, PartialEq)]
struct Outcome {
    answer: Answer,
    text: String,
    has_content: bool,
    dropped: u64,
    broken: bool,
    seen: Vec<u8>,
}

fn outcome<'a>(
    mut reader: AnswerReader,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    drain: bool,
) -> Outcome {
    let mut seen = Vec::new();
    let mut text = String::new();
    let mut take = |pass: Pass, chunk: &[u8]| match pass {
        Pass::Unchanged => seen.extend_from_slice(chunk),
        Pass::Replace(bytes) => seen.extend_from_slice(&bytes),
    };
    for chunk in chunks {
        take(reader.push(chunk, false), chunk);
        if drain {
            text.push_str(&reader.take_text());
        }
    }
    take(reader.push(b"", true), b"");
    text.push_str(&reader.take_text());
    Outcome {
        answer: reader.answer().clone(),
        text,
        has_content: reader.has_content(),
        dropped: reader.text_dropped_bytes(),
        broken: reader.broken(),
        seen,
    }
}

fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    at.push(bytes.len());
    let mut from = 0;
    at.into_iter()
        .map(|to| {
            let chunk = &bytes[from..to];
            from = to;
            chunk
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_split_of_a_stream_gives_the_same(
        blocks in vec(block(), 0..12),
        mark in any::<bool>(),
        torn_end in 0usize..4,
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let mut parts: Vec<Vec<u8>> = blocks.iter().map(|block| block.bytes.clone()).collect();
        let mut kept: Vec<Vec<u8>> = blocks
            .iter()
            .filter(|block| !block.is_usage)
            .map(|block| block.bytes.clone())
            .collect();
        if mark {
            let mark = "\u{feff}: start\n\n".as_bytes().to_vec();
            parts.insert(0, mark.clone());
            kept.insert(0, mark);
        }
        // An end without its blank line, if what ends so stays in.
        if blocks.last().is_some_and(|block| !block.is_usage) {
            for parts in [&mut parts, &mut kept] {
                let last = parts.last_mut().unwrap();
                last.truncate(last.len() - torn_end.min(last.len()));
            }
        }
        let plain = parts.concat();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();

        let reader = |encoding, strip| AnswerReader::new(&CHOICES, AnswerKind::Sse, encoding, strip);
        let whole = outcome(reader(Encoding::Identity, false), [plain.as_slice()], false);
        prop_assert_eq!(&whole.seen, &plain);
        let stripped = outcome(reader(Encoding::Identity, true), [plain.as_slice()], false);
        prop_assert_eq!(&stripped.seen, &kept.concat());
        prop_assert_eq!(&stripped.answer, &whole.answer);
        prop_assert_eq!(&stripped.text, &whole.text);

        let mut codings: Vec<(Encoding, Vec<u8>)> = vec![(Encoding::Identity, plain.clone())];
        codings.extend(CODED.map(|encoding| (encoding, encode(encoding, &slices))));
        codings.push((Encoding::Deflate, bare_deflate(&plain)));
        for (encoding, coded) in codings {
            for drain in [false, true] {
                for chunks in [cut(&coded, &cuts), coded.chunks(1).collect(), vec![&coded]] {
                    let split = outcome(reader(encoding, true), chunks.iter().copied(), drain);
                    prop_assert_eq!(&split, &stripped, "{:?}", encoding);
                    let split = outcome(reader(encoding, false), chunks, drain);
                    prop_assert_eq!(&split.seen, &coded);
                    prop_assert_eq!(&split.answer, &whole.answer);
                    prop_assert_eq!(&split.text, &whole.text);
                    prop_assert_eq!(split.has_content, whole.has_content);
                }
            }
        }
    }

    #[test]
    fn any_split_of_a_json_answer_gives_the_same(
        text in "[a-zé🌍 ]{0,40}",
        prompt in 0u64..9,
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let body = format!(
            r#"{{"model":"m","choices":[{{"message":{{"content":"{text}"}}}}],"usage":{{"prompt_tokens":{prompt}}}}}"#
        );
        for encoding in CODED.into_iter().chain([Encoding::Identity]) {
            let coded = encode(encoding, &[body.as_bytes()]);
            let reader = AnswerReader::new(&CHOICES, AnswerKind::Json, encoding, true);
            let split = outcome(reader, cut(&coded, &cuts), false);
            prop_assert_eq!(split.answer.usage, Some(tokens(prompt, None)));
            prop_assert!(split.answer.complete && !split.answer.unreadable);
            prop_assert_eq!(split.text, text.clone());
            prop_assert_eq!(split.seen, coded);
        }
    }

    #[test]
    fn random_bytes_never_panic(
        blocks in vec(block(), 0..6),
        bytes in vec(any::<u8>(), 0..200),
        damage in vec((any::<Index>(), any::<u8>()), 0..5),
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let mut damaged: Vec<u8> = blocks.iter().flat_map(|block| block.bytes.clone()).collect();
        damaged.extend(&bytes);
        for (at, value) in damage {
            if !damaged.is_empty() {
                let at = at.index(damaged.len());
                damaged[at] = value;
            }
        }
        for encoding in CODED.into_iter().chain([Encoding::Identity]) {
            for kind in [AnswerKind::Sse, AnswerKind::Json] {
                for strip in [false, true] {
                    let reader = AnswerReader::new(&CHOICES, kind, encoding, strip);
                    let decodes = reader.decodes();
                    let whole = outcome(reader, [damaged.as_slice()], false);
                    let reader = AnswerReader::new(&CHOICES, kind, encoding, strip);
                    let split = outcome(reader, cut(&damaged, &cuts), false);
                    let may_change = decodes || strip && kind == AnswerKind::Sse;
                    if !may_change {
                        prop_assert_eq!(&whole.seen, &damaged);
                    }
                    if encoding == Encoding::Identity {
                        prop_assert_eq!(split, whole);
                    }
                }
            }
        }
    }
}
