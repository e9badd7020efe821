//! Streams by table, and any stream against the rules read literally.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// What was seen of a stream: each event's (name, data), how many bytes were
/// in overlong ones, and the raw bytes of each piece, line feeds put back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<(Vec<u8>, Vec<u8>)>,
    overlong: usize,
    raws: Vec<Vec<u8>>,
}

fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut splitter = Splitter::default();
    let mut seen = Seen::default();
    let mut last_overlong = false;
    let mut sink = |piece: Piece<'_>| {
        assert!(!piece.raw().is_empty());
        let is_overlong = matches!(piece, Piece::Overlong(_));
        match &piece {
            Piece::LineFeed(feed) => {
                assert_eq!(*feed, b"\n");
                seen.raws.last_mut().unwrap().push(b'\n');
                seen.overlong += usize::from(last_overlong);
                return;
            }
            Piece::Event(event) => {
                if let Some(data) = &event.data {
                    seen.events.push((event.name.to_vec(), data.to_vec()));
                }
            }
            Piece::Overlong(raw) => seen.overlong += raw.len(),
        }
        if last_overlong && is_overlong {
            seen.raws.last_mut().unwrap().extend_from_slice(piece.raw());
        } else {
            seen.raws.push(piece.raw().to_vec());
        }
        last_overlong = is_overlong;
    };
    for chunk in chunks {
        splitter.push(chunk, &mut sink);
        assert!(splitter.pending().len() <= EVENT_BYTES_MAX + 2);
    }
    splitter.finish(&mut sink);
    assert!(splitter.pending().is_empty());
    seen
}

/// The rules read literally, on the whole text at once.
fn by_the_rules(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let (mut name, mut data): (String, Vec<String>) = Default::default();
    // A last line without its end counts, and so does a last event.
    for line in text.split('\n').chain([""]) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            _ if line.is_empty() => {
                let name = std::mem::take(&mut name);
                let data = std::mem::take(&mut data);
                if !data.is_empty() {
                    events.push((name.into_bytes(), data.join("\n").into_bytes()));
                }
            }
            "data" => data.push(value),
            "event" => name = value,
            _ => {}
        }
    }
    events
}

fn data(text: &str) -> Vec<String> {
    split([text.as_bytes()])
        .events
        .into_iter()
        .map(|(_, data)| String::from_utf8(data).unwrap())
        .collect()
}

#[test]
fn fields_are_read_as_the_rules_say() {
    for (text, expected) in [
        ("data: a\n\n", vec!["a"]),
        ("data:a\n\n", vec!["a"]),
        ("data:  a \n\n", vec![" a "]),
        ("data: a\r\rdata: b\r\n\r\ndata: c\n\n", vec!["a", "b", "c"]),
        ("\u{feff}data: a\n\n", vec!["a"]),
        ("data: a\n\n\u{feff}data: b\n\n", vec!["a"]),
        (": ping\n\n:\ndata: a\n\n", vec!["a"]),
        ("data: a\ndata\ndata: b\n\n", vec!["a\n\nb"]),
        ("id: 1\nretry: 5\nother: x\ndata: a\n\n", vec!["a"]),
        ("data : a\nDATA: b\n\n", vec![]),
        ("data: a: b\n\n", vec!["a: b"]),
        ("event: x\n\ndata: a\n\n", vec!["a"]),
        ("data: a", vec!["a"]),
        ("data: a\n", vec!["a"]),
        ("data: a\n\ndata: {\"b", vec!["a", "{\"b"]),
        ("", vec![]),
        ("\n\n\r\n", vec![]),
    ] {
        assert_eq!(data(text), expected, "{text:?}");
    }
    let named = split([b"event: error\ndata: a\n\ndata: b\n\n".as_slice()]);
    assert_eq!(named.events[0], (b"error".to_vec(), b"a".to_vec()));
    assert_eq!(named.events[1], (b"".to_vec(), b"b".to_vec()));
}

#[test]
fn whole_json_lines_are_events_without_blank_lines() {
    let text = "data: {\"a\":1}\ndata: {\"b\":2} \ndata: [DONE]\n";
    assert_eq!(data(text), ["{\"a\":1}", "{\"b\":2} ", "[DONE]"]);
    // Printed over several lines, it is still one.
    let pretty = "data: {\ndata: \"a\": [\ndata: {}\ndata: ,\ndata: {}\ndata: ]}\n\n";
    assert_eq!(data(pretty), ["{\n\"a\": [\n{}\n,\n{}\n]}"]);
    for text in [text, pretty] {
        let whole = split([text.as_bytes()]);
        for at in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            assert_eq!(split([a, b]), whole);
        }
        assert_eq!(split(text.as_bytes().chunks(1)), whole);
    }
}

#[test]
fn an_event_within_a_chunk_is_not_copied() {
    let chunk = b": c\n\nevent: e\ndata: abc\n\ndata: d\n\n".as_slice();
    let within = |part: &[u8]| chunk.as_ptr_range().contains(&part.as_ptr());
    let mut events = 0;
    Splitter::default().push(chunk, &mut |piece| {
        assert!(within(piece.raw()));
        if let Piece::Event(Event {
            data: Some(data), ..
        }) = piece
        {
            assert!(matches!(data, Cow::Borrowed(data) if within(data)));
            events += 1;
        }
    });
    assert_eq!(events, 2);
}

#[test]
fn an_event_ends_with_its_blank_line_and_not_later() {
    for end in ["\n\n", "\r\r", "\r\n\r\n", "\r\n\r"] {
        let mut seen = 0;
        let text = format!("data: a{end}");
        let mut splitter = Splitter::default();
        splitter.push(text.as_bytes(), &mut |_| seen += 1);
        assert_eq!(seen, 1, "{end:?}");
    }
}

#[test]
fn an_event_past_the_bound_is_dropped_at_any_split_and_the_next_is_read() {
    for (surplus, end) in [(0, "\n"), (1, "\n"), (0, "\r\n"), (1, "\r"), (9_000, "\n")] {
        // The blank line's place counts, its end does not.
        let filler = EVENT_BYTES_MAX + surplus - "data: ".len() - end.len();
        let text = format!("data: {}{end}{end}data: b{end}{end}", "a".repeat(filler));
        let whole = split([text.as_bytes()]);
        assert_eq!(whole.overlong > 0, surplus > 0, "{surplus} {end:?}");
        assert_eq!(whole.events.last().unwrap().1, b"b");
        assert_eq!(whole.events.len(), if surplus > 0 { 1 } else { 2 });
        assert_eq!(whole.raws.concat(), text.as_bytes());
        let near = EVENT_BYTES_MAX - 4..(EVENT_BYTES_MAX + surplus.min(4) + 6).min(text.len());
        for at in near.chain([1, 5, 100, 600_000]) {
            let (a, b) = text.as_bytes().split_at(at);
            assert!(split([a, b]) == whole, "{surplus} {end:?} at {at}");
        }
        assert!(split(text.as_bytes().chunks(4_099)) == whole);
    }
}

#[test]
fn an_overlong_event_without_an_end_uses_no_memory() {
    let mut splitter = Splitter::default();
    let mut passed = 0;
    for _ in 0..64 {
        splitter.push(&[b'x'; 1 << 16], &mut |piece| passed += piece.raw().len());
        assert!(splitter.pending.capacity() <= 2 * EVENT_BYTES_MAX);
    }
    assert_eq!(passed, 64 << 16);
    assert_eq!(splitter.pending.capacity(), 0);
}

fn pieces_of_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("data"),
        Just("event"),
        Just(":"),
        Just(": "),
        Just(" "),
        Just("id"),
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("\r\n\r\n"),
        Just("\r\r"),
        Just("data: x"),
        Just("event: y\n"),
        Just("é🌍"),
        Just("\u{feff}"),
        Just("x"),
    ];
    vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_of_anything_follows_the_rules(
        text in pieces_of_text(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = split([text.as_bytes()]);
        prop_assert_eq!(&whole.events, &by_the_rules(&text));
        prop_assert_eq!(whole.raws.concat(), text.as_bytes());
        prop_assert_eq!(split(text.as_bytes().chunks(1)), split([text.as_bytes()]));
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for to in at {
            chunks.push(&text.as_bytes()[from..to]);
            from = to;
        }
        chunks.push(&text.as_bytes()[from..]);
        prop_assert_eq!(split(chunks), whole);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), size in 1usize..20) {
        prop_assert_eq!(split(bytes.chunks(size)), split([bytes.as_slice()]));
    }
}
