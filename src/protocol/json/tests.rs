//! The scanner against a table and against serde_json.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn scan(body: &[u8]) -> Result<(), JsonError> {
    let mut json = Scanner::new(body)?;
    json.skip_value()?;
    json.end()
}

#[test]
fn what_is_accepted() {
    for body in [
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e+10",
        "1E400",
        "\"\"",
        "\t\r\n {\"a\" : [1 , {} , [ ] ] }\n",
        r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000""#,
        "\"\u{7f}é😀\"",
        "[[],[[]],{\"\":{}}]",
        "12345678901234567890123456789",
    ] {
        assert_eq!(scan(body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn what_is_refused_and_where() {
    let unexpected = |expected, at| JsonError::Unexpected { expected, at };
    let table: &[(&[u8], JsonError)] = &[
        (b"", JsonError::End),
        (b"  ", JsonError::End),
        (b"{", JsonError::End),
        (b"{\"a\"", JsonError::End),
        (b"\"a", JsonError::End),
        (b"\"a\\", JsonError::End),
        (b"\"a\\u12", JsonError::End),
        (b"[1,", JsonError::End),
        (b"\xff", JsonError::Utf8 { at: 0 }),
        (b"\"ab\xc3\"", JsonError::Utf8 { at: 3 }),
        (b"\"\xed\xa0\x80\"", JsonError::Utf8 { at: 1 }),
        (b"\xef\xbb\xbf{}", JsonError::ByteOrderMark),
        (b"{}{}", JsonError::Trailing { at: 2 }),
        (b"{} x", JsonError::Trailing { at: 3 }),
        (b"{}\0", JsonError::Trailing { at: 2 }),
        (b"1 2", JsonError::Trailing { at: 2 }),
        (b"NaN", unexpected("a value", 0)),
        (b"Infinity", unexpected("a value", 0)),
        (b"-Infinity", JsonError::Number { at: 0 }),
        (b"nul", unexpected("true, false or null", 0)),
        (b"True", unexpected("a value", 0)),
        (b"'a'", unexpected("a value", 0)),
        (b"/**/1", unexpected("a value", 0)),
        (b"[1,]", unexpected("a value", 3)),
        (b"[,1]", unexpected("a value", 1)),
        (b"[1 2]", unexpected("a comma or a closing bracket", 3)),
        (b"[1}", unexpected("a comma or a closing bracket", 2)),
        (b"{\"a\":1]", unexpected("a comma or a closing brace", 6)),
        (b"{\"a\":1,}", unexpected("a field name", 7)),
        (b"{,}", unexpected("a field name", 1)),
        (b"{a:1}", unexpected("a field name", 1)),
        (b"{\"a\" 1}", unexpected("a colon", 5)),
        (b"{\"a\":}", unexpected("a value", 5)),
        (b"01", JsonError::Number { at: 0 }),
        (b"-", JsonError::Number { at: 0 }),
        (b"1.", JsonError::Number { at: 0 }),
        (b"1e", JsonError::Number { at: 0 }),
        (b"1e+", JsonError::Number { at: 0 }),
        (b"-01", JsonError::Number { at: 0 }),
        (b".5", unexpected("a value", 0)),
        (b"+1", unexpected("a value", 0)),
        (b"0x10", JsonError::Trailing { at: 1 }),
        (b"\"a\nb\"", JsonError::ControlCharacter { at: 2 }),
        (b"\"a\0b\"", JsonError::ControlCharacter { at: 2 }),
        (b"\"\\x41\"", JsonError::Escape { at: 1 }),
        (b"\"\\u12g4\"", JsonError::Escape { at: 1 }),
        (b"\"\\u+123\"", JsonError::Escape { at: 1 }),
        (b"\"\\ud83d\"", JsonError::LoneSurrogate { at: 1 }),
        (b"\"a\\ude00b\"", JsonError::LoneSurrogate { at: 2 }),
        (b"\"\\ud83d\\u0041\"", JsonError::LoneSurrogate { at: 1 }),
        (
            b"\"\\ud83d\\ud83d\\ude00\"",
            JsonError::LoneSurrogate { at: 1 },
        ),
        (b"\"\\udc00\\udc00\"", JsonError::LoneSurrogate { at: 1 }),
        (b"{\"\\ud83d\":1}", JsonError::LoneSurrogate { at: 2 }),
        (
            b"[{\"x\":[\"\\udfff\"]}]",
            JsonError::LoneSurrogate { at: 8 },
        ),
    ];
    for (body, error) in table {
        assert_eq!(scan(body), Err(*error), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn every_length_of_plain_text_is_run_over_and_its_end_found() {
    for length in 0..100 {
        for end in [b'"', b'\\', 0x00, 0x1f, b'\n'] {
            let mut bytes = vec![b'a'; length];
            bytes.extend([end, b'"', b'"', 0]);
            assert_eq!(string::plain_bytes(&bytes), length);
        }
        assert_eq!(string::plain_bytes(&vec![b' '; length]), length);
        assert_eq!(string::plain_bytes(&vec![0xff; length]), length);
    }
}

fn nested(open: &str, close: &str, depth: usize) -> Vec<u8> {
    format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes()
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = open.matches(['[', '{']).count();
        let deepest = 64 / levels;
        assert_eq!(scan(&nested(open, close, deepest)), Ok(()));
        let deeper = scan(&nested(open, close, deepest + 1));
        assert!(
            matches!(deeper, Err(JsonError::TooDeep { .. })),
            "{deeper:?}"
        );
    }
    // Depth is that of the whole body, not of what is skipped.
    let body = nested("[", "]", 65);
    let mut json = Scanner::new(&body).unwrap();
    let mut open = json.open_array().unwrap();
    assert!(json.next_item(&mut open).unwrap());
    assert_eq!(json.skip_value(), Err(JsonError::TooDeep { at: 64 }));
    // And what has been closed is behind us.
    let wide = format!("[{}[]]", "[[]],".repeat(1000));
    assert_eq!(scan(wide.as_bytes()), Ok(()));
}

/// Anything quadratic would take hours here; there is no clock to ask.
#[test]
fn hostile_sizes_end_quickly() {
    let million = 1_000_000;
    assert!(matches!(
        scan(&vec![b'['; million]),
        Err(JsonError::TooDeep { .. })
    ));
    assert!(matches!(
        scan("{\"a\":".repeat(million).as_bytes()),
        Err(JsonError::TooDeep { .. })
    ));
    assert_eq!(scan(&vec![b'7'; 10 * million]), Ok(()));
    assert_eq!(
        scan(format!("\"{}\"", "\\n".repeat(5 * million)).as_bytes()),
        Ok(())
    );
    assert_eq!(
        scan(format!("[{}1]", "[],".repeat(3 * million)).as_bytes()),
        Ok(())
    );
    assert_eq!(
        scan(format!("{}1", " ".repeat(10 * million)).as_bytes()),
        Ok(())
    );
}

#[test]
fn spans_and_texts() {
    let body = br#" {"\u006dodel" : "a\u0062\n" , "x":[ 1 , {"y":2} ] } "#;
    let mut json = Scanner::new(body).unwrap();
    assert_eq!(json.peek(), Ok(Kind::Object));
    let mut open = json.open_object().unwrap();
    assert_eq!(json.at(), 2);
    let key = json.next_key(&mut open).unwrap().unwrap();
    assert_eq!(json.key_text(&key), "model");
    let value = json.string().unwrap();
    assert!(value.escaped);
    assert_eq!(json.text(&value), "ab\n");
    let key = json.next_key(&mut open).unwrap().unwrap();
    assert_eq!((json.key_text(&key), key.escaped), ("x", false));
    let span = json.skip_value().unwrap();
    assert_eq!(json.bytes(&span), br#"[ 1 , {"y":2} ]"#);
    assert_eq!(json.next_key(&mut open), Ok(None));
    assert_eq!(json.end(), Ok(()));
    let mut scratch = "left from before".to_owned();
    assert_eq!(text_in(body, &value, &mut scratch), "ab\n");
    assert_eq!(text(body, &value), "ab\n");
}

#[test]
fn a_span_of_another_body_is_no_panic() {
    for span in [0..99, 7..8, 1..2, 2..3] {
        for escaped in [false, true] {
            let span = TextSpan {
                span: span.clone(),
                escaped,
            };
            let _ = text("é\\u12".as_bytes(), &span);
            let _ = text_in(b"\\ud83d", &span, &mut String::new());
        }
    }
}

/// JSON with random white space and escapes.
fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(|n| format!("{n:e}")),
        json_string(),
    ];
    let space = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n\t\r ")];
    scalar.prop_recursive(6, 64, 6, move |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(a, v, b)| format!("{a}{v}{b}"));
        let member = (space(), json_string(), space(), inner, space())
            .prop_map(|(a, k, b, v, c)| format!("{a}{k}{b}:{v}{c}"));
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6)
                .prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

/// A string's JSON, each character plain or escaped.
pub(crate) fn json_string() -> impl Strategy<Value = String> {
    let character = prop_oneof![4 => prop::char::range(' ', '~'), 1 => any::<char>()];
    prop::collection::vec((character, any::<bool>()), 0..50).prop_map(|characters| {
        let mut json = "\"".to_owned();
        for (character, escape) in characters {
            if escape || character < ' ' || matches!(character, '"' | '\\') {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    json.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                json.push(character);
            }
        }
        json.push('"');
        json
    })
}

/// Changes to a body, each at a place given as a fraction of its length.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<(f64, usize, Vec<u8>)>> {
    let pieces = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\u",
            "\\ud800",
            "\\udc00",
            "0",
            "-",
            ".",
            "e",
            "1e400",
            "NaN",
            "null",
            "tru",
            " ",
            "\n",
            "\0",
            "\u{feff}",
            "/",
            "'",
            "model",
            "\"model\":1,",
            "\"max_tokens\":7,",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec((0.0..1.0_f64, 0_usize..4, pieces), 0..4)
}

pub(crate) fn mutate(body: &mut Vec<u8>, mutations: Vec<(f64, usize, Vec<u8>)>) {
    for (place, removed, piece) in mutations {
        let at = (body.len() as f64 * place) as usize;
        let end = (at + removed).min(body.len());
        body.splice(at..end, piece);
    }
}

/// The differences there may be to `serde_json`: it lets nesting go to 127,
/// and refuses numbers that no double holds.
fn agrees_with_serde(body: &[u8]) -> Result<(), TestCaseError> {
    let ours = scan(body);
    let theirs = serde_json::from_slice::<Value>(body);
    if matches!(ours, Err(JsonError::TooDeep { .. })) {
        return Ok(());
    }
    if let Err(error) = &theirs
        && error.to_string().starts_with("number out of range")
    {
        return Ok(());
    }
    prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn accepts_what_serde_json_accepts(body in json_text(), mutations in mutations()) {
        prop_assert_eq!(scan(body.as_bytes()), Ok(()));
        let mut body = body.into_bytes();
        mutate(&mut body, mutations);
        agrees_with_serde(&body)?;
    }

    #[test]
    fn any_bytes_are_judged_as_serde_json_does(
        body in prop::collection::vec(prop::sample::select(&b"{}[]:,\"\\u0123dDcC8eE+-.truefalsn \n\x00\xc3\xa9"[..]), 0..24)
    ) {
        agrees_with_serde(&body)?;
    }

    #[test]
    fn the_first_special_byte_is_found_among_any_others(
        bytes in prop::collection::vec(prop::sample::select(&b"\x1f\x20\x21\x22\x23\x5b\x5c\x5d\x7f\x80\x9f\xa2\xdc\xff aaaaaa"[..]), 0..40)
    ) {
        let special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
        let expected = bytes.iter().position(special).unwrap_or(bytes.len());
        prop_assert_eq!(string::plain_bytes(&bytes), expected);
    }

    #[test]
    fn texts_are_what_serde_json_reads(body in json_string()) {
        let mut json = Scanner::new(body.as_bytes()).unwrap();
        let span = json.string().unwrap();
        let expected: String = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(text(body.as_bytes(), &span), expected.as_str());
        prop_assert_eq!(json.text(&span), expected.as_str());
        let mut scratch = String::new();
        prop_assert_eq!(text_in(body.as_bytes(), &span, &mut scratch), expected.as_str());
    }
}
