//! Whole answers, of every endpoint, form and coding: any split is read alike,
//! the client gets its bytes, no report is a credit, and little is held.

use super::event_stream::frame;
use super::inflate::encoded;
use super::{choices, cut, expanded};
use weir::protocol::answer::{
    AnswerKind, AnswerReader, BODY_BYTES_MAX, JSON_TEXT_BYTES_MAX, Pass, STREAM_TEXT_BYTES_MAX,
    TOKENS_MAX,
};
use weir::protocol::inflate::Encoding;
use weir::protocol::{Answer, Endpoint, Usage, sse};

const KINDS: [AnswerKind; 6] = [
    AnswerKind::Json,
    AnswerKind::Sse,
    AnswerKind::JsonStream,
    AnswerKind::EventStream,
    AnswerKind::Text,
    AnswerKind::Binary,
];

/// Twice, so that most inputs are decoded or need not be.
const ENCODINGS: [Encoding; 8] = [
    Encoding::Identity,
    Encoding::Identity,
    Encoding::Identity,
    Encoding::Identity,
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Zstd,
    Encoding::Brotli,
];

#[derive(Debug, PartialEq)]
struct Outcome {
    answer: Answer,
    text: String,
    has_content: bool,
    dropped_bytes: u64,
    broken: bool,
    seen: Vec<u8>,
}

pub fn check(data: &[u8]) {
    let Some(([endpoint, form, coding, seed], rest)) = choices(data) else {
        return;
    };
    let endpoints: Vec<Endpoint> = Endpoint::all().collect();
    let endpoint = endpoints[usize::from(endpoint) % endpoints.len()];
    let kind = KINDS[usize::from(form) % KINDS.len()];
    let encoding = ENCODINGS[usize::from(coding) % ENCODINGS.len()];
    let strip = coding & 0x80 != 0;
    let mut plain = expanded(rest);
    if kind == AnswerKind::EventStream && form & 0x80 != 0 {
        // As frames; else it would nearly always be none.
        plain = plain.split(|byte| *byte == 0).flat_map(frame).collect();
    }
    let reader = |encoding| AnswerReader::new(endpoint.rules(), kind, encoding, strip);
    let whole = outcome(reader(Encoding::Identity), &[&plain], kind);
    let split = outcome(reader(Encoding::Identity), &cut(&plain, seed), kind);
    assert!(
        split == whole,
        "a split is read as {:?}, not {:?}",
        split.answer,
        whole.answer
    );
    sound(&whole, &plain, strip && kind == AnswerKind::Sse);
    if encoding == Encoding::Identity {
        return;
    }
    // What is not coded at all breaks, or not, but never panics.
    outcome(reader(encoding), &cut(&plain, seed), kind);
    if let Some(coded) = encoded(encoding, &plain) {
        coded_alike(&whole, reader(encoding), &coded, seed, kind);
    }
}

/// What is coded says what it says uncoded.
fn coded_alike(plain: &Outcome, reader: AnswerReader, coded: &[u8], seed: u8, kind: AnswerKind) {
    let decodes = reader.decodes();
    let split = outcome(reader, &cut(coded, seed), kind);
    if split.broken {
        // It expands more than is allowed.
        return;
    }
    assert!(
        split.seen
            == if decodes {
                plain.seen.as_slice()
            } else {
                coded
            }
    );
    assert_eq!(split.answer, plain.answer);
    assert!(split.text == plain.text);
}

fn outcome(mut reader: AnswerReader, chunks: &[&[u8]], kind: AnswerKind) -> Outcome {
    let mut seen = Vec::new();
    let mut take = |pass: Pass, chunk: &[u8]| match pass {
        Pass::Unchanged => seen.extend_from_slice(chunk),
        Pass::Replace(bytes) => seen.extend_from_slice(&bytes),
    };
    let held_max = match kind {
        AnswerKind::Json => 2 * (BODY_BYTES_MAX + JSON_TEXT_BYTES_MAX),
        _ => 2 * STREAM_TEXT_BYTES_MAX + (4 << 20) + (128 << 10),
    };
    for chunk in chunks {
        take(reader.push(chunk, false), chunk);
        assert!(
            reader.bytes_held() <= held_max,
            "{} held",
            reader.bytes_held()
        );
    }
    take(reader.push(b"", true), b"");
    let text = reader.take_text();
    Outcome {
        answer: reader.answer().clone(),
        text,
        has_content: reader.has_content(),
        dropped_bytes: reader.text_dropped_bytes(),
        broken: reader.broken(),
        seen,
    }
}

/// What must hold of any answer.
fn sound(outcome: &Outcome, body: &[u8], strips: bool) {
    match strips {
        false => assert!(outcome.seen == body, "the client gets its bytes"),
        true => assert!(is_without_some_events(&outcome.seen, body)),
    }
    let usage = outcome.answer.usage.unwrap_or_default();
    let Usage {
        input_tokens,
        cached_input_tokens: cached,
        cache_write_tokens: written,
        cache_write_1h_tokens: hour,
        input_audio_tokens,
        input_image_tokens,
        cached_input_audio_tokens,
        cached_input_image_tokens,
        output_tokens,
        reasoning_tokens: reasoning,
        output_audio_tokens,
        output_image_tokens,
        searches: _,
    } = usage;
    for (part, whole) in [
        (hour, written.or(Some(0))),
        (input_audio_tokens, input_tokens),
        (input_image_tokens, input_tokens),
        (cached_input_audio_tokens, cached.or(Some(0))),
        (cached_input_image_tokens, cached.or(Some(0))),
        (output_audio_tokens, output_tokens),
        (output_image_tokens, output_tokens),
    ] {
        let whole = whole.unwrap_or(u64::MAX);
        assert!(part.unwrap_or(0) <= whole, "{usage:?}");
    }
    let parts = cached.unwrap_or(0) + written.unwrap_or(0);
    assert!(input_tokens.is_none_or(|input| parts <= input), "{usage:?}");
    let reasoning = reasoning.unwrap_or(0);
    assert!(
        output_tokens.is_none_or(|output| reasoning <= output),
        "{usage:?}"
    );
    let counts = [input_tokens, output_tokens];
    assert!(
        counts
            .into_iter()
            .flatten()
            .all(|count| count <= TOKENS_MAX),
        "{usage:?}"
    );
}

/// Whether `seen` is `body` with some whole events left out.
fn is_without_some_events(seen: &[u8], body: &[u8]) -> bool {
    let mut rest = seen;
    let mut removed_last = false;
    let mut right = true;
    let mut splitter = sse::Splitter::default();
    let mut sink = |piece: sse::Piece<'_>| {
        let says_usage = || piece.raw().windows(5).any(|part| part == b"usage");
        let may_go = matches!(piece, sse::Piece::Event(_)) && says_usage();
        let is_feed = matches!(piece, sse::Piece::LineFeed(_));
        match rest.strip_prefix(piece.raw()) {
            Some(behind) if !(is_feed && removed_last) => {
                rest = behind;
                removed_last = false;
            }
            _ => {
                right &= may_go || (is_feed && removed_last);
                removed_last = true;
            }
        }
    };
    splitter.push(body, &mut sink);
    splitter.finish(&mut sink);
    right && rest.is_empty()
}
