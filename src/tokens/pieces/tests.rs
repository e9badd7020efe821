//! Pieces against those of the engines' patterns, and counts against the
//! reference's.

use super::*;
use crate::tokens::{KnownPieces, Vocabulary};
use proptest::prelude::*;

struct Engine {
    vocabulary: Vocabulary,
    pattern: Pattern,
    engine: &'static bpe_openai::Tokenizer,
}

fn engines() -> [Engine; 3] {
    let engine = |vocabulary, pattern, engine| Engine {
        vocabulary,
        pattern,
        engine,
    };
    [
        engine(
            Vocabulary::O200kBase,
            Pattern::O200K_BASE,
            bpe_openai::o200k_base(),
        ),
        engine(
            Vocabulary::Cl100kBase,
            Pattern::CL100K_BASE,
            bpe_openai::cl100k_base(),
        ),
        engine(
            Vocabulary::Voyage3Base,
            Pattern::VOYAGE3_BASE,
            bpe_openai::voyage3_base(),
        ),
    ]
}

impl Engine {
    /// Each piece that is found is the engine's; of ASCII all are.
    fn check(&self, text: &str) -> Result<(), String> {
        let mut start = 0;
        for expected in self.engine.split(text) {
            let end = start + expected.len();
            match self.pattern.piece_end(text.as_bytes(), start) {
                Some(found) if found == end => {}
                None if !text.is_ascii() => {}
                found => {
                    let name = self.vocabulary.as_str();
                    return Err(format!(
                        "{name}: {text:?} from {start}: to {found:?}, not {end}"
                    ));
                }
            }
            start = end;
        }
        match start == text.len() {
            true => Ok(()),
            false => Err(format!("{text:?}: the engine ends at {start}")),
        }
    }

    fn count(&self, text: &str) -> u64 {
        let mut known = KnownPieces::for_bytes(text.len());
        self.vocabulary.tokenizer().count(text, &mut known)
    }

    /// The count of the reference; for one that it doesn't know, its engine's.
    fn reference(&self, text: &str) -> u64 {
        let bpe = match self.vocabulary {
            Vocabulary::O200kBase => tiktoken_rs::o200k_base_singleton(),
            Vocabulary::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
            Vocabulary::Voyage3Base => return self.engine.count(text) as u64,
        };
        bpe.encode_ordinary(text).len() as u64
    }

    fn check_count(&self, text: &str) -> Result<(), String> {
        self.check(text)?;
        let (counted, expected) = (self.count(text), self.reference(text));
        match counted == expected {
            true => Ok(()),
            false => Err(format!(
                "{}: {text:?}: {counted}, not {expected}",
                self.vocabulary.as_str()
            )),
        }
    }
}

/// Every text of up to so many of these characters.
fn each_text(alphabet: &[char], characters: u32, mut check: impl FnMut(&str)) {
    let mut text = String::new();
    for length in 0..=characters {
        for mut number in 0..alphabet.len().pow(length) {
            text.clear();
            for _ in 0..length {
                text.push(alphabet[number % alphabet.len()]);
                number /= alphabet.len();
            }
            check(&text);
        }
    }
}

fn check_each_text(alphabet: &[char], characters: u32) {
    let engines = engines();
    each_text(alphabet, characters, |text| {
        for engine in &engines {
            engine.check(text).expect("the engine's pieces");
        }
    });
}

#[test]
fn every_short_text_of_each_class_is_split_as_the_engine_splits_it() {
    // `l` and `s` make contractions, and the upper-case ones with them.
    let classes = ['L', 'l', 's', '1', '\'', ' ', '\t', '\n', '\r', '/', '!'];
    check_each_text(&classes, 5);
    check_each_text(&['L', 'l', '1', '\'', ' ', '\n', '!'], 6);
    check_each_text(&['l', ' ', '\r', '\n'], 8);
    check_each_text(&['1', 'l', ' '], 8);
}

#[test]
fn what_lies_beyond_ascii_is_left_to_the_engine_where_it_matters() {
    // Beside ASCII: letters of both cases, one that is an s in contractions, a
    // mark, a digit, a blank, a sign.
    check_each_text(
        &[
            'L', 'l', '1', '\'', ' ', '\n', '!', 'É', 'é', 'ſ', '\u{301}', '٣', '\u{2003}', '。',
        ],
        4,
    );
    check_each_text(&['l', '\'', ' ', '\n', 'é', '\u{2003}', '。'], 6);
    for pattern in engines().map(|engine| engine.pattern) {
        let found = |text: &str| pattern.piece_end(text.as_bytes(), 0);
        assert_eq!(found("word é"), Some(4));
        assert_eq!(found("(){}\né"), Some(5));
        assert_eq!(found("wordé"), None);
        assert_eq!(found("é"), None);
    }
}

#[test]
fn each_byte_of_ascii_is_of_its_class() {
    let ascii: Vec<char> = (0..128_u8).map(char::from).collect();
    let engines = engines();
    let around = [
        ("", ""),
        ("a", "a"),
        ("A", "A"),
        ("1", "1"),
        (" ", "\n"),
        ("'", "e"),
        ("!\n", "/"),
    ];
    each_text(&ascii, 2, |pair| {
        for (before, after) in around {
            let text = format!("{before}{pair}{after}");
            for engine in &engines {
                engine.check(&text).expect("the engine's pieces");
            }
        }
    });
}

#[test]
fn each_contraction_is_known_in_each_case() {
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    let engines = engines();
    each_text(&letters, 2, |letters| {
        for before in ["", "we", "We", "WE", " ", "1", "''"] {
            for after in ["", "t", " t", "'", "'d", "é"] {
                let text = format!("{before}'{letters}{after}");
                for engine in &engines {
                    engine.check(&text).expect("the engine's pieces");
                }
            }
        }
    });
}

#[test]
fn words_of_each_length_end_where_they_end() {
    let engines = engines();
    for bytes in 0..40 {
        for other in (0..128_u8).map(char::from).chain(['é', '漢']) {
            for word in ["a", "z", "A", "Z"].map(|letter| letter.repeat(bytes)) {
                for text in [format!("{word}{other}"), format!(" {word}{other}and more")] {
                    for engine in &engines {
                        engine.check(&text).expect("the engine's pieces");
                    }
                }
            }
        }
    }
}

#[test]
fn texts_as_they_are_written_count_as_the_reference_counts_them() {
    let texts = [
        include_str!("../../tokens.rs"),
        include_str!("../pieces.rs"),
        include_str!("../tests.rs"),
        include_str!("../cut.rs"),
        include_str!("../counting.rs"),
        include_str!("../../lib.rs"),
        include_str!("../../../README.md"),
        include_str!("../../../CHANGELOG.md"),
        include_str!("../../../Cargo.toml"),
        include_str!("../../../Cargo.lock"),
        include_str!("../../../Makefile"),
    ];
    for text in texts {
        // Also as others write their line breaks, and as it stands in JSON.
        let json = serde_json::to_string(text).expect("JSON");
        for text in [text, &text.replace('\n', "\r\n"), &json] {
            for engine in engines() {
                engine.check_count(text).expect("the reference's count");
                engine
                    .check_count(&text.to_ascii_uppercase())
                    .expect("the reference's count");
            }
        }
    }
}

/// If each piece took a look at all that follows, this would take minutes.
#[test]
fn no_text_takes_more_than_its_length() {
    const BYTES: usize = 1 << 18;
    for of in [
        " ",
        "\n",
        "\r\n",
        " \n",
        "\n ",
        "\t ",
        "a",
        "A",
        "aA",
        "1",
        "'",
        "a'",
        "'s",
        "/",
        "!\n",
        "\n/",
        "a\u{2003}",
        "\n \u{2003}",
        " é",
        "'é",
        "\u{301}",
    ] {
        let long = of.repeat(BYTES / of.len());
        for text in [&long, &format!("\n{long}"), &format!("{long}é")] {
            for engine in engines() {
                engine.check(text).expect("the engine's pieces");
            }
        }
    }
}

/// Texts of what patterns tell apart, in runs and side by side.
fn ascii() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,20}",
        3 => "[A-Z]{1,20}",
        4 => "[A-Za-z]{1,12}",
        3 => "([A-Z][a-z]{0,5}){1,4}",
        3 => "['`]{1,3}",
        4 => "'([sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]|[a-zA-Z]{0,2})",
        4 => "[0-9]{1,10}",
        3 => "[\r\n]{1,4}",
        3 => " {1,20}",
        3 => "[ \t\r\n\u{b}\u{c}]{1,6}",
        3 => "[!-/:-@\\[-`{-~]{1,6}[\r\n/]{0,4}",
        1 => "[\u{0}-\u{7f}]{1,4}",
        1 => prop::sample::select(vec![" ", "\n", "a", "A", "1", "'", "/", "\r\n", "aA", "x'S"])
            .prop_flat_map(|of| (1..120_usize).prop_map(move |times| of.repeat(times))),
    ]
}

fn texts_of(token: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    proptest::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

fn any_characters() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => ascii(),
        1 => "[éÉſ\u{301}\u{a0}\u{2003}\u{2028}٣Ⅷ漢あ。🙂\u{200d}]{1,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn hostile_ascii_counts_as_the_reference(text in texts_of(ascii())) {
        prop_assert!(text.is_ascii());
        for engine in engines() {
            prop_assert_eq!(engine.check_count(&text), Ok(()));
        }
    }

    #[test]
    fn hostile_texts_of_any_characters_count_as_the_reference(text in texts_of(any_characters())) {
        for engine in engines() {
            prop_assert_eq!(engine.check_count(&text), Ok(()));
        }
    }
}
