//! Streams by table, and any stream against the rules read literally.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// What was seen of a stream: each event's (name, data), how many of them were
/// long, how many could not be read, and the raw bytes of each, line feeds put
/// back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<(Vec<u8>, Vec<u8>)>,
    long: usize,
    unreadable: usize,
    raws: Vec<Vec<u8>>,
}

fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut splitter = Splitter::default();
    let mut seen = Seen::default();
    let mut within_long = false;
    let mut sink = |piece: Piece<'_>| {
        let raw = piece.raw().to_vec();
        let is_part = matches!(piece, Piece::Part(_));
        assert_eq!(raw.is_empty(), matches!(piece, Piece::Long(_)));
        match piece {
            Piece::LineFeed(feed) => {
                assert_eq!(feed, b"\n");
                seen.raws.last_mut().unwrap().push(b'\n');
                return;
            }
            Piece::Event(event) => {
                assert!(!within_long);
                if let Some(data) = &event.data {
                    seen.events.push((event.name.to_vec(), data.to_vec()));
                }
            }
            Piece::Part(_) => {}
            Piece::Long(event) => {
                assert!(within_long);
                seen.long += 1;
                match event.data {
                    LongData::None => {}
                    LongData::Condensed(data) => seen.events.push((event.name, data.json)),
                    LongData::Unreadable => seen.unreadable += 1,
                }
            }
        }
        match within_long {
            true => seen.raws.last_mut().unwrap().extend(raw),
            false => seen.raws.push(raw),
        }
        within_long = is_part;
    };
    for chunk in chunks {
        splitter.push(chunk, &mut sink);
        assert!(splitter.pending().len() <= EVENT_PLAIN_BYTES_MAX + 2);
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
fn an_event_past_the_plain_bound_is_read_at_any_split_and_so_is_the_next() {
    for (surplus, end) in [(0, "\n"), (1, "\n"), (0, "\r\n"), (1, "\r"), (9_000, "\n")] {
        // The blank line's place counts, its end does not.
        let filler = EVENT_PLAIN_BYTES_MAX + surplus - "data: ".len() - end.len();
        let text = format!("data: {}{end}{end}data: b{end}{end}", "a".repeat(filler));
        let whole = split([text.as_bytes()]);
        assert_eq!(whole.long, usize::from(surplus > 0), "{surplus} {end:?}");
        assert_eq!(whole.events.len(), 2);
        assert_eq!(whole.events[0].1.len(), filler);
        assert_eq!(whole.events[1].1, b"b");
        assert_eq!(whole.raws.concat(), text.as_bytes());
        let near = EVENT_PLAIN_BYTES_MAX - 4..EVENT_PLAIN_BYTES_MAX + surplus + 6;
        for at in near.filter(|at| *at < text.len()).chain(0..30) {
            let (a, b) = text.as_bytes().split_at(at);
            assert!(split([a, b]) == whole, "{surplus} {end:?} at {at}");
        }
        assert!(split(text.as_bytes().chunks(4_099)) == whole);
        assert!(split(text.as_bytes().chunks(1)) == whole);
    }
}

#[test]
fn a_line_that_ends_at_the_plain_bound_is_short_at_any_split() {
    for (surplus, end) in [
        (0, "\n"),
        (0, "\r\n"),
        (0, "\r"),
        (0, ""),
        (1, "\r\n"),
        (1, ""),
    ] {
        let filler = "a".repeat(EVENT_PLAIN_BYTES_MAX + surplus - "data: ".len());
        let text = format!("data: {filler}{end}");
        let whole = split([text.as_bytes()]);
        assert_eq!((whole.events.len(), whole.long), (1, surplus), "{end:?}");
        for at in text.len() - 4..text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            assert!(split([a, b]) == whole, "{surplus} {end:?} at {at}");
        }
        assert!(split(text.as_bytes().chunks(1)) == whole);
    }
}

#[test]
fn a_long_events_lines_are_read_as_any_others() {
    let image = "A".repeat(3 * EVENT_PLAIN_BYTES_MAX);
    let front = "A".repeat(STRING_BYTES_MAX);
    let kept = format!("{front}\u{fdd0}0");
    let pad = format!(": {image}\n");
    // (a stream, its events)
    for (text, expected) in [
        (
            format!("event: image\ndata: {{\"b\":\"{image}\",\"n\":1}}\n\ndata: x\n\n"),
            vec![
                ("image", format!("{{\"b\":\"{kept}\",\"n\":1}}")),
                ("", "x".into()),
            ],
        ),
        (
            format!("\u{feff}data:{{\"b\":\"{image}\"}}\r\revent: late\r\ndata: x\r\n"),
            vec![("", format!("{{\"b\":\"{kept}\"}}")), ("late", "x".into())],
        ),
        // Over several lines; the name comes last; fields that don't count.
        (
            format!(
                "data: {{\"b\":\"{image}\"\ndata\ndata:,\ndatas: 1\nid\ndata:  \"n\":1}}\nevent:a\nevent: b\n\n"
            ),
            vec![("b", format!("{{\"b\":\"{kept}\"\n\n,\n \"n\":1}}"))],
        ),
        // Without blank lines, an object behind another is an event of its own.
        (
            format!(
                "data: {{\"a\":1}}\ndata: {{\"b\":\"{image}\"}} \ndata:   [1]\ndata: [DONE]\n\n"
            ),
            vec![
                ("", "{\"a\":1}".into()),
                ("", format!("{{\"b\":\"{kept}\"}} ")),
                ("", "  [1]".into()),
                ("", "[DONE]".into()),
            ],
        ),
        (format!("{pad}\ndata: x\n\n"), vec![("", "x".into())]),
        (
            format!("{pad}data: x\n{pad}event: e"),
            vec![("e", "x".into())],
        ),
        (format!("{pad}data"), vec![("", "".into())]),
        // Without a field.
        (
            format!("  {{\n\"b\":\"{image}\",\n \"n\":1}}\n\n"),
            vec![("", format!("{{\n\"b\":\"{kept}\",\n \"n\":1}}\n"))],
        ),
        (
            format!("{{\"b\":\"{image}\"}}\ndata: x\n\n"),
            vec![("", "x".into())],
        ),
        // White space before it says nothing, however much it is.
        (
            format!("{}{{\"a\":1}}\n\ndata: x", " ".repeat(image.len())),
            vec![("", "{\"a\":1}\n".into()), ("", "x".into())],
        ),
    ] {
        let whole = split([text.as_bytes()]);
        let events: Vec<(&str, String)> = whole
            .events
            .iter()
            .map(|(name, data)| {
                let name = std::str::from_utf8(name).unwrap();
                (name, String::from_utf8(data.clone()).unwrap())
            })
            .collect();
        assert!(events == expected, "{events:.99?}");
        assert_eq!(whole.raws.concat(), text.as_bytes());
        let bytes = text.as_bytes();
        assert!(split(bytes.chunks(1)) == whole);
        let dull = 200..image.len();
        for at in (0..bytes.len()).filter(|at| !dull.contains(at)) {
            let (a, b) = bytes.split_at(at);
            assert!(split([a, b]) == whole, "at {at}");
        }
    }
}

#[test]
fn a_giant_event_takes_little_memory_and_one_of_no_strings_no_more_than_its_bound() {
    let mut splitter = Splitter::default();
    let mut passed = 0;
    splitter.push(b"data: {\"image\":\"", &mut |_| {});
    for _ in 0..64 {
        splitter.push(&[b'x'; 1 << 16], &mut |piece| passed += piece.raw().len());
        assert!(splitter.bytes_held() <= 2 * EVENT_PLAIN_BYTES_MAX);
    }
    assert!(passed > 63 << 16);
    for front in [
        "data: ",
        "data: {\"a\":[",
        ": ",
        "event: ",
        "x",
        "data: [\"",
        "data:",
    ] {
        for filler in [b"x", b"1", b" ", b"\"", b"\\", b":"] {
            let mut splitter = Splitter::default();
            splitter.push(front.as_bytes(), &mut |_| {});
            for _ in 0..64 {
                splitter.push(&filler.repeat(1 << 16), &mut |_| {});
                assert!(splitter.bytes_held() <= 2 * EVENT_BYTES_MAX + 4 * EVENT_PLAIN_BYTES_MAX);
            }
        }
    }
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

/// JSON lines with and without blank lines, long ones among them.
fn lines() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        4 => Just("{}".to_owned()),
        2 => Just("{\"a\":\"é\",".to_owned()),
        2 => Just("\"b\":[1]}".to_owned()),
        1 => Just("[DONE]".to_owned()),
        1 => Just(String::new()),
        1 => (0usize..9, 0usize..40).prop_map(|(front, back)| format!(
            "{}{{\"b\":\"{}\"}}",
            " ".repeat(front),
            "é".repeat(EVENT_PLAIN_BYTES_MAX / 2 - 20 + back)
        )),
    ];
    let field = prop_oneof![
        6 => Just("data: "),
        3 => Just("data:"),
        1 => Just("event: "),
        1 => Just(": "),
        1 => Just(""),
    ];
    let end = prop_oneof![
        Just("\n"),
        Just("\r\n"),
        Just("\r"),
        Just("\n\n"),
        Just("\r\r")
    ];
    vec((field, value, end), 0..8).prop_map(|lines| {
        let line = |(field, value, end)| format!("{field}{value}{end}");
        lines.into_iter().map(line).collect()
    })
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
    fn any_split_of_long_lines_gives_the_same(
        text in lines(),
        torn in 0usize..3,
        size in 1usize..40_000,
    ) {
        let bytes = &text.as_bytes()[..text.len().saturating_sub(torn)];
        let whole = split([bytes]);
        prop_assert_eq!(whole.raws.concat(), bytes);
        prop_assert!(split(bytes.chunks(size)) == whole);
        prop_assert!(split(bytes.chunks(1)) == whole);
    }

    #[test]
    fn a_long_events_lines_follow_the_rules(text in pieces_of_text(), size in 1usize..40) {
        let pad = format!(": {}\n", "x".repeat(EVENT_PLAIN_BYTES_MAX));
        let text = format!("{pad}{text}");
        let whole = split([text.as_bytes()]);
        prop_assert_eq!(&whole.events, &by_the_rules(&text));
        prop_assert!(split(text.as_bytes().chunks(size)) == whole);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), size in 1usize..20) {
        prop_assert_eq!(split(bytes.chunks(size)), split([bytes.as_slice()]));
    }
}
