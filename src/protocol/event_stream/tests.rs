//! Frames made here, whole, split and damaged.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

/// A frame as AWS would send it.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).unwrap());
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(block.len() + payload.len() + 16).unwrap();
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&crc32(&frame).to_be_bytes());
    frame.extend_from_slice(&block);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32(&frame).to_be_bytes());
    frame
}

fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    frame(
        &[
            (":event-type", name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        payload,
    )
}

/// What comes out, as text.
fn pieces<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
    let mut splitter = Splitter::default();
    let mut all = Vec::new();
    for chunk in chunks {
        splitter.push(chunk, &mut |piece| {
            all.push(match piece {
                Piece::Frame(frame) => format!(
                    "{}/{}: {}",
                    String::from_utf8_lossy(frame.message_type),
                    String::from_utf8_lossy(frame.name),
                    String::from_utf8_lossy(frame.payload)
                ),
                Piece::Long(frame, payload) => format!(
                    "{}/{}: {}",
                    String::from_utf8_lossy(frame.message_type),
                    String::from_utf8_lossy(frame.name),
                    payload.map_or("unreadable".into(), |payload| {
                        String::from_utf8(payload.json).unwrap()
                    })
                ),
                other => format!("{other:?}"),
            });
        });
        assert!(splitter.bytes_held() <= 4 * PAYLOAD_BYTES_MAX);
    }
    (all, splitter.is_between_frames())
}

#[test]
fn a_damaged_frame_ends_the_reading() {
    let good = event("a", b"{}");
    for at in 0..good.len() {
        let mut stream = good.clone();
        stream[at] ^= 0x10;
        stream.extend_from_slice(&good);
        let (all, between) = pieces([stream.as_slice()]);
        assert_eq!(all, ["Corrupt"], "byte {at}");
        assert!(!between);
    }
}

/// Payloads with a string of so many bytes, and what is read of each.
fn long_payloads(bytes: usize) -> [(String, String); 4] {
    let image = "x".repeat(bytes);
    let front = "x".repeat(STRING_BYTES_MAX);
    let inner = format!(r#"{{"a":"{image}","usage":1}}"#);
    let coded = STANDARD.encode(&inner);
    let kept = format!("{{\"a\":\"{front}\u{fdd0}0\",\"usage\":1}}");
    let escaped = coded.replace('/', "\\/");
    [
        (inner, kept.clone()),
        (format!(r#"{{"bytes":"{coded}","p":"abc"}}"#), kept.clone()),
        (
            format!(r#"{{"p":["bytes",{{"bytes":"x"}}], "bytes" : "{escaped}"}}"#),
            kept,
        ),
        // It is no base64, so it is no event.
        (
            format!(r#"{{"bytes":"{image}!"}}"#),
            format!("{{\"bytes\":\"{front}\u{fdd0}0\"}}"),
        ),
    ]
}

/// The payload between two others.
fn amid(payload: &str) -> Vec<u8> {
    [
        event("a", b"1"),
        event("b", payload.as_bytes()),
        event("c", b"3"),
    ]
    .concat()
}

#[test]
fn a_long_frame_is_read_but_for_the_ends_of_its_strings() {
    let numbers = format!("[{}1]", "1,".repeat(PAYLOAD_BYTES_MAX));
    let mut payloads = long_payloads(2 << 20).to_vec();
    payloads.push((numbers, "unreadable".into()));
    for (payload, expected) in payloads {
        let stream = amid(&payload);
        let expected = ["event/a: 1", &format!("event/b: {expected}"), "event/c: 3"];
        assert!(pieces([stream.as_slice()]).0 == expected);
        assert!(pieces(stream.chunks(65_521)).0 == expected);
    }
}

#[test]
fn a_long_frame_may_be_cut_anywhere() {
    for (payload, expected) in long_payloads(FRAME_PLAIN_BYTES_MAX) {
        let stream = amid(&payload);
        let expected = ["event/a: 1", &format!("event/b: {expected}"), "event/c: 3"];
        assert!(pieces(stream.chunks(1)).0 == expected);
        assert!(pieces(stream.chunks(7)).0 == expected);
        let from = event("a", b"1").len();
        for at in (from..from + 150).chain(stream.len() - 150..stream.len()) {
            let (a, b) = stream.split_at(at);
            assert!(pieces([a, b]).0 == expected, "at {at}");
        }
    }
}

#[test]
fn a_damaged_long_frame_ends_the_reading() {
    let good = event(
        "a",
        format!("[\"{}\"]", "x".repeat(FRAME_PLAIN_BYTES_MAX)).as_bytes(),
    );
    for at in (0..200).chain(good.len() - 20..good.len()) {
        let mut stream = good.clone();
        stream[at] ^= 0x10;
        stream.extend_from_slice(&good);
        let (all, between) = pieces([stream.as_slice()]);
        assert_eq!(all, ["Corrupt"], "byte {at}");
        assert!(!between);
    }
    let (all, between) = pieces([&good[..good.len() - 1]]);
    assert!(all.is_empty() && !between);
}

#[test]
fn a_frame_with_giant_headers_is_passed_over() {
    let value = "x".repeat(HEADERS_BYTES_MAX);
    let mut stream = frame(&[("h", &value)], b"{}");
    stream.extend_from_slice(&event("c", b"3"));
    let expected = ["Overlong", "event/c: 3"];
    assert_eq!(pieces([stream.as_slice()]).0, expected);
    assert_eq!(pieces(stream.chunks(7)).0, expected);
}

#[test]
fn a_stream_that_stops_within_a_frame_is_cut() {
    let stream = event("a", b"1");
    let (all, between) = pieces([&stream[..stream.len() - 1]]);
    assert!(all.is_empty() && !between);
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        size in 1usize..40,
    ) {
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| event("e", payload)).collect();
        let whole = pieces([stream.as_slice()]);
        prop_assert_eq!(whole.0.len(), payloads.len());
        prop_assert!(whole.1);
        prop_assert_eq!(pieces(stream.chunks(size)), whole);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..40) {
        prop_assert_eq!(pieces(bytes.chunks(size)), pieces([bytes.as_slice()]));
    }
}
