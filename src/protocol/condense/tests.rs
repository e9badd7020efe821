//! Texts by table, cut at every byte; and any JSON against a plain model.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

const SMALL: Bounds = Bounds {
    bytes_max: 1 << 20,
    string_bytes_max: 20,
};

/// What is kept, with each mark as `<bytes>`; `None` where it can't be read.
fn condensed<'a>(bounds: Bounds, chunks: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut condenser = Condenser::new(bounds);
    for chunk in chunks {
        let taken = condenser.push(chunk);
        assert_eq!(
            taken < chunk.len(),
            condenser.is_full() && !chunk.is_empty()
        );
        assert!(condenser.bytes_held() <= 4 * bounds.bytes_max + 1_000);
    }
    let Condensed { json, mut cuts } = condenser.finish()?;
    let mut text = String::from_utf8(json).unwrap();
    for at in 0.. {
        let mark = format!("\u{fdd0}{at}");
        let ("", bytes) = cuts.count(&mark) else {
            break;
        };
        text = text.replace(&format!("{mark}\""), &format!("<{bytes}>\""));
    }
    Some(text)
}

#[test]
fn strings_keep_their_fronts_and_all_else_stays() {
    let x = |count: usize| "x".repeat(count);
    for (json, expected) in [
        (r#"{"a":[1,2,"b\"",{}],"c":null}"#.to_owned(), None),
        (format!(r#"["{}"]"#, x(20)), None),
        (
            format!(r#"["{}"]"#, x(21)),
            Some(format!(r#"["{}<1>"]"#, x(20))),
        ),
        (
            format!(r#"{{"{}":"{}","b":1}}"#, x(30), x(25)),
            Some(format!(r#"{{"{0}<10>":"{0}<5>","b":1}}"#, x(20))),
        ),
        // Characters and escapes stay whole.
        (
            format!(r#"["{}éé"]"#, x(19)),
            Some(format!(r#"["{}<4>"]"#, x(19))),
        ),
        (
            format!(r#"["{}🌍🌍"]"#, x(17)),
            Some(format!(r#"["{}<8>"]"#, x(17))),
        ),
        (
            format!(r#"["{}\"\\\n"]"#, x(18)),
            Some(format!(r#"["{}<3>"]"#, x(18))),
        ),
        (
            format!(r#"["{}\u00e9\"{}"]"#, x(9), x(30)),
            Some(format!(r#"["{}<34>"]"#, x(9))),
        ),
        (
            format!(r#"["{}\ud83c\udf0d\ud83c\udf0d"]"#, x(8)),
            Some(format!(r#"["{}\ud83c\udf0d<6>"]"#, x(8))),
        ),
        (
            format!(r#"["{}\ud83c\udf0d"]"#, x(9)),
            Some(format!(r#"["{}<6>"]"#, x(9))),
        ),
        // A quote that is escaped ends nothing, wherever the cut is.
        (
            format!(r#"["{}\"{}\\",2]"#, x(19), x(9)),
            Some(format!(r#"["{}<11>",2]"#, x(19))),
        ),
    ] {
        let expected = Some(expected.unwrap_or_else(|| json.clone()));
        let bytes = json.as_bytes();
        assert_eq!(condensed(SMALL, [bytes]), expected, "{json}");
        assert_eq!(condensed(SMALL, bytes.chunks(1)), expected, "{json}");
        for at in 0..bytes.len() {
            let (a, b) = bytes.split_at(at);
            assert_eq!(condensed(SMALL, [a, b]), expected, "{json} at {at}");
        }
    }
}

#[test]
fn what_is_let_go_must_be_json_too() {
    let x = "x".repeat(40);
    for bad in ["\n", "\\x", "\\u12g4", "\\u12\"", "\u{1}"] {
        let json = format!(r#"["{x}{bad}{x}"]"#);
        assert_eq!(condensed(SMALL, [json.as_bytes()]), None, "{bad:?}");
        assert_eq!(condensed(SMALL, json.as_bytes().chunks(1)), None, "{bad:?}");
    }
}

#[test]
fn past_the_bound_nothing_more_is_taken() {
    let bounds = Bounds {
        bytes_max: 10,
        string_bytes_max: 4,
    };
    for (json, kept) in [
        ("[1,2,3,4,5,6]", "[1,2,3,4,5"),
        (r#"["abcdefghi","b","c"]"#, "[\"abcd\u{fdd0}0\""),
        (r#"["a","b","c"]"#, r#"["a","b","#),
    ] {
        for size in 1..json.len() {
            let mut condenser = Condenser::new(bounds);
            let mut taken = 0;
            for chunk in json.as_bytes().chunks(size) {
                taken += condenser.push(chunk);
                if condenser.is_full() {
                    break;
                }
            }
            assert!(condenser.is_full() && taken < json.len());
            let kept_now = String::from_utf8(condenser.into_kept()).unwrap();
            assert!(kept_now.starts_with(kept), "{kept_now}");
        }
    }
}

#[test]
fn a_text_that_spells_a_mark_shortens_no_count() {
    let mut cuts = Cuts::default();
    assert_eq!(cuts.count("a\u{fdd0}0"), ("a\u{fdd0}0", 0));
    cuts.cut(100);
    cuts.cut(7);
    assert_eq!(cuts.count("forged\u{fdd0}2"), ("forged\u{fdd0}2", 0));
    assert_eq!(cuts.count("forged\u{fdd0}"), ("forged\u{fdd0}", 0));
    assert_eq!(cuts.count("a\u{fdd0}0"), ("a", 100));
    assert_eq!(cuts.count("a\u{fdd0}0"), ("a\u{fdd0}0", 0));
    assert_eq!(cuts.count("a\u{fdd0}1\u{fdd0}1"), ("a\u{fdd0}1", 7));
    cuts.uncount();
    assert_eq!(cuts.count("b\u{fdd0}0"), ("b", 100));
}

/// Each string of `whole` begins with that of `cut`, and all else is the same;
/// how many bytes of text are missing.
fn missing(whole: &Value, cut: &Value, cuts: &mut Cuts) -> Option<(u64, u64)> {
    let zero = (0, 0);
    let sum = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
    match (whole, cut) {
        (Value::String(whole), Value::String(cut)) => {
            let (front, claimed) = cuts.count(cut);
            let rest = whole.strip_prefix(front)?;
            Some((rest.len() as u64, claimed))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut all = a.iter().zip(b);
            all.try_fold(zero, |so_far, (a, b)| {
                Some(sum(so_far, missing(a, b, cuts)?))
            })
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            let mut all = a.iter().zip(b);
            all.try_fold(zero, |so_far, ((k, a), (l, b))| {
                (k == l).then_some(())?;
                Some(sum(so_far, missing(a, b, cuts)?))
            })
        }
        (a, b) => (a == b).then_some(zero),
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\"\\\\é🌍\n]{0,60}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec(("[a-z]{0,5}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same JSON with its text in ASCII.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn any_json_stays_itself_but_for_the_ends_of_strings(
        value in json(),
        ascii in any::<bool>(),
        string_bytes_max in 12usize..40,
        size in 1usize..30,
    ) {
        let mut text = value.to_string();
        if ascii {
            text = escaped(&text);
        }
        let bounds = Bounds { bytes_max: 1 << 20, string_bytes_max };
        let mut condenser = Condenser::new(bounds);
        prop_assert_eq!(condenser.push(text.as_bytes()), text.len());
        let Condensed { json, mut cuts } = condenser.finish().unwrap();
        let cut: Value = serde_json::from_slice(&json).unwrap();
        let (missing, claimed) = missing(&value, &cut, &mut cuts).unwrap();
        prop_assert!(missing <= claimed);
        prop_assert!(ascii || missing == claimed);
        let split = condensed(bounds, text.as_bytes().chunks(size));
        prop_assert_eq!(split, condensed(bounds, [text.as_bytes()]));
    }

    #[test]
    fn random_bytes_give_the_same_at_any_split(
        bytes in vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'u'), any::<u8>()], 0..200),
        size in 1usize..30,
        bytes_max in 0usize..200,
    ) {
        let bounds = Bounds { bytes_max, string_bytes_max: 12 };
        let kept = |size: usize| {
            let mut condenser = Condenser::new(bounds);
            let mut taken = 0;
            for chunk in bytes.chunks(size) {
                taken += condenser.push(chunk);
            }
            (taken, condenser.full, condenser.malformed, condenser.kept)
        };
        prop_assert_eq!(kept(size), kept(1_000));
    }
}
