//! Counts against the reference, the bound on hostile texts, and how far
//! extrapolation is off.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stopwatch on which each look takes the same time.
#[derive(Debug)]
struct Ticking {
    nanos: AtomicU64,
    step: u64,
}

impl Stopwatch for Ticking {
    fn nanos(&self) -> u64 {
        self.nanos.fetch_add(self.step, Ordering::Relaxed)
    }
}

/// Time for so many blocks.
fn for_blocks(blocks: u64, seed: u64) -> Counting {
    Counting {
        seed,
        stopwatch: Arc::new(Ticking {
            nanos: AtomicU64::new(0),
            step: 1,
        }),
        nanos_max: blocks,
    }
}

fn all(vocabulary: Vocabulary, text: &str) -> Count {
    count(vocabulary, &Plain(&[text]), &for_blocks(u64::MAX, 7))
}

fn reference(vocabulary: Vocabulary, text: &str) -> u64 {
    let bpe = match vocabulary {
        Vocabulary::O200kBase => tiktoken_rs::o200k_base_singleton(),
        Vocabulary::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        Vocabulary::Voyage3Base => unreachable!("not among the reference's"),
    };
    bpe.encode_ordinary(text).len() as u64
}

const REFERENCED: [Vocabulary; 2] = [Vocabulary::O200kBase, Vocabulary::Cl100kBase];

#[test]
fn known_texts_count_as_the_reference_counts_them() {
    for text in [
        "",
        "hello world",
        "What is the capital of France?",
        "  two  spaces\n\n\nand lines\r\n\tthen code(){}",
        "Zażółć gęślą jaźń 東京は日本の首都です。🙂🙃",
        "don't, I'll, we've 1234567890",
    ] {
        for vocabulary in REFERENCED {
            let counted = all(vocabulary, text);
            assert_eq!(counted.tokens, reference(vocabulary, text), "{text:?}");
            assert!(counted.exact);
            assert_eq!(counted.upper, counted.tokens);
        }
    }
    // Composed and decomposed letters are the same to this one.
    let voyage = |text| all(Vocabulary::Voyage3Base, text).tokens;
    assert!(voyage("hello world") > 0);
    assert_eq!(voyage("caf\u{e9}"), voyage("cafe\u{301}"));
}

const KINDS: [&str; 6] = ["prose", "code", "han", "base64", "json", "unicode"];

/// Texts of all kinds, each of about so many bytes.
fn kinds(bytes: usize, seed: u64) -> Vec<(&'static str, String)> {
    let of = |kind| (kind, of_kind(kind, bytes, seed));
    KINDS.into_iter().map(of).collect()
}

/// A text of one kind; another one for each seed.
fn of_kind(kind: &str, bytes: usize, seed: u64) -> String {
    let mut state = seed;
    let mut dice = |sides: usize| {
        state = mix(state);
        state as usize % sides
    };
    let mut text = String::new();
    while text.len() < bytes {
        match kind {
            "prose" => {
                text.push_str(WORDS[dice(WORDS.len())]);
                text.push_str([" ", " ", " ", " ", " ", ", ", ".\n"][dice(7)]);
            }
            "code" => text.push_str(CODE[dice(CODE.len())]),
            "han" => text.push_str(HAN[dice(HAN.len())]),
            "base64" => text.push(char::from(BASE64[dice(64)])),
            "json" => {
                let (id, year) = (dice(9999), dice(2030));
                text.push_str(&format!(
                    "{{\"id\": {id}, \"at\": \"{year}-01\", \"ok\": true}},\n"
                ));
            }
            _ => text.extend(char::from_u32(dice(0x2_ffff) as u32)),
        }
    }
    text
}

const WORDS: [&str; 24] = [
    "the",
    "of",
    "limit",
    "Reservation",
    "stream",
    "and",
    "don't",
    "token",
    "4096",
    "café",
    "upstream",
    "a",
    "quarterly",
    "is",
    "3.14",
    "which",
    "Envoy's",
    "settlement",
    "in",
    "counterfeiting",
    "to",
    "naïve",
    "per",
    "it",
];
const CODE: [&str; 12] = [
    "fn main() {\n",
    "    let x = ",
    "self.tokens",
    "();\n",
    "if (a != b) {",
    "\n}\n\n",
    "return Err(error);\n",
    "// comment here\n",
    "HashMap<String, u64>",
    "\t\tfor (i = 0; ",
    "0x7f",
    "\"text\\n\"",
];
const HAN: [&str; 8] = [
    "今天",
    "我们",
    "东京都",
    "天気は",
    "。",
    "，「",
    "」",
    "서울은",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[test]
fn long_texts_are_still_exact_where_they_can_be_cut() {
    for (kind, text) in kinds(60_000, 5) {
        for vocabulary in REFERENCED {
            let counted = all(vocabulary, &text);
            let exact = reference(vocabulary, &text);
            if counted.exact {
                assert_eq!(counted.tokens, exact, "{kind}");
            }
            assert!(counted.exact || kind == "unicode", "{kind}");
            assert!(counted.upper >= exact, "{kind}: {counted:?}, {exact}");
        }
        // The reference doesn't know this one; its engine alone does.
        let voyage = all(Vocabulary::Voyage3Base, &text);
        if voyage.exact {
            let whole = bpe_openai::voyage3_base().count(text.as_str()) as u64;
            assert_eq!(voyage.tokens, whole, "{kind}");
        }
    }
}

#[test]
fn what_there_is_no_time_for_is_extrapolated_and_bounded() {
    let (mut errors, mut exceeded, mut held, mut bodies) = (0.0, 0, 0.0, 0);
    for seed in 0..200 {
        // Some bodies of one kind, others of up to four, in long parts.
        let parts = 1 + seed % 4;
        let part = |part| {
            let kind = KINDS[mix(seed * 7 + part) as usize % 5];
            let bytes = (140_000 + 10_000 * (seed as usize % 6)) / parts as usize;
            of_kind(kind, bytes, seed * 31 + part)
        };
        let body: Vec<String> = (0..parts).map(part).collect();
        let texts: Vec<&str> = body.iter().map(String::as_str).collect();
        let vocabulary = Vocabulary::O200kBase;
        let exact = count(vocabulary, &Plain(&texts), &for_blocks(u64::MAX, seed)).tokens;
        let counted = count(vocabulary, &Plain(&texts), &for_blocks(60, seed));
        if counted.exact {
            continue;
        }
        bodies += 1;
        errors += counted.tokens.abs_diff(exact) as f64 / exact as f64;
        held += counted.upper as f64 / exact as f64 - 1.0;
        exceeded += u32::from(exact > counted.upper);
    }
    let (error, held) = (errors / f64::from(bodies), held / f64::from(bodies));
    println!(
        "{bodies} mixed bodies, 60 blocks counted of each: mean error {:.2}%, upper bound exceeded in {exceeded}, {:.1}% above on average",
        error * 100.0,
        held * 100.0
    );
    assert!(bodies > 150);
    assert!(error < 0.03, "mean error {error}");
    assert!(
        f64::from(exceeded) < 0.01 * f64::from(bodies),
        "exceeded {exceeded}"
    );
    assert!(held < 0.25, "holds {held} more than needed");
}

#[test]
fn time_is_overrun_by_one_block_at_most() {
    for (kind, text) in kinds(1_000_000, 9) {
        for blocks in [1, 5, 50] {
            let counting = for_blocks(blocks, 1);
            let counted = count(Vocabulary::O200kBase, &Plain(&[&text]), &counting);
            assert!(!counted.exact, "{kind}");
            assert!(counted.upper >= counted.tokens, "{kind}");
            // Once before the first, once after each.
            assert_eq!(counting.stopwatch.nanos(), blocks + 1, "{kind}");
        }
    }
}

#[test]
fn hostile_texts_are_bounded() {
    for text in [
        // The reference panics on this one.
        " ".repeat(1_000_000),
        "a".repeat(1_000_000),
        "\n".repeat(1_000_000),
        "\u{6f22}".repeat(300_000),
        "\u{301}".repeat(500_000),
    ] {
        let counted = count(Vocabulary::Cl100kBase, &Plain(&[&text]), &for_blocks(9, 3));
        assert!(!counted.exact);
        assert!((1..=1_010_000).contains(&counted.tokens), "{counted:?}");
        assert!(counted.upper >= counted.tokens);
    }
}

/// Dear blocks that are scattered so thinly that a sample may miss them all.
#[test]
fn what_a_sample_may_miss_lies_within_the_bound() {
    const BLOCKS: usize = 200;
    let mut exceeded = Vec::new();
    for share_percent in [1, 2, 3, 6] {
        for seed in 0..16_u64 {
            let dear = |at: usize| mix(seed ^ (at as u64) << 8) % 100 < share_percent;
            let texts: Vec<String> = (0..BLOCKS)
                .map(|at| match dear(at) {
                    true => of_kind("unicode", 4_000, at as u64),
                    false => " ".repeat(4_000),
                })
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = |blocks| {
                let counting = for_blocks(blocks, seed);
                count(Vocabulary::O200kBase, &Plain(&texts), &counting)
            };
            let (whole, sampled) = (all(u64::MAX), all(20));
            assert!(!sampled.exact);
            if whole.tokens > sampled.upper {
                exceeded.push((share_percent, seed));
            }
        }
    }
    println!("{} of 64 above the bound: {exceeded:?}", exceeded.len());
    assert!(exceeded.len() <= 1, "{exceeded:?}");
}

#[test]
fn many_small_texts_are_sampled_too() {
    let texts = vec!["hello"; 100_000];
    let counted = count(Vocabulary::O200kBase, &Plain(&texts), &for_blocks(20, 3));
    assert!(!counted.exact);
    assert!((99_000..=101_000).contains(&counted.tokens), "{counted:?}");
    let counted = count(
        Vocabulary::O200kBase,
        &Plain(&texts),
        &for_blocks(u64::MAX, 3),
    );
    assert_eq!((counted.tokens, counted.exact), (100_000, true));
    let none = count(Vocabulary::O200kBase, &Plain(&[]), &for_blocks(1, 3));
    assert_eq!((none.tokens, none.exact, none.upper), (0, true, 0));
}

#[test]
fn a_seed_decides_what_is_counted() {
    let text = of_kind("unicode", 1_000_000, 2);
    let of = |seed| {
        count(
            Vocabulary::O200kBase,
            &Plain(&[&text]),
            &for_blocks(4, seed),
        )
        .tokens
    };
    assert_eq!(of(1), of(1));
    assert!((2..20).any(|seed| of(seed) != of(1)));
}

fn streamed(pieces: &[&str]) -> (u64, bool) {
    let mut stream = StreamCount::new(Vocabulary::O200kBase);
    for piece in pieces {
        stream.push(piece, &for_blocks(u64::MAX, 1));
    }
    stream.finish()
}

#[test]
fn a_stream_counts_as_its_whole_text() {
    for (kind, text) in kinds(30_000, 4) {
        let characters: Vec<(usize, char)> = text.char_indices().collect();
        let mut pieces = Vec::new();
        let mut from = 0;
        for (index, (at, _)) in characters.iter().enumerate() {
            if mix(index as u64).is_multiple_of(4) {
                pieces.push(&text[from..*at]);
                from = *at;
            }
        }
        pieces.push(&text[from..]);
        let (tokens, exact) = streamed(&pieces);
        let whole = reference(Vocabulary::O200kBase, &text);
        assert!(exact || kind == "unicode", "{kind}");
        match exact {
            true => assert_eq!(tokens, whole, "{kind}"),
            false => assert!(tokens.abs_diff(whole) < 60, "{kind}: {tokens}, {whole}"),
        }
    }
    let giant = "words, ".repeat(40_000);
    let (tokens, exact) = streamed(&["a", &giant, "b"]);
    assert!(!exact);
    assert!(tokens.abs_diff(80_000) < 10, "{tokens}");
}

/// A text as JSON writes it, with more or fewer escapes, and read back.
struct Escaped(String);

impl Texts for Escaped {
    fn len(&self) -> usize {
        1
    }

    fn bytes(&self, _: usize) -> usize {
        self.0.len()
    }

    fn raw(&self, _: usize) -> RawText<'_> {
        RawText {
            bytes: self.0.as_bytes(),
            escaped: true,
        }
    }

    fn unescape(&self, raw: &str, out: &mut String) {
        match serde_json::from_str::<String>(&format!("\"{raw}\"")) {
            Ok(text) => out.push_str(&text),
            Err(_) => out.push_str("(torn)"),
        }
    }
}

fn escaped(text: &str, ascii_only: bool) -> Escaped {
    let json = serde_json::to_string(text).expect("a string");
    let mut inner = String::new();
    for character in json[1..json.len() - 1].chars() {
        if ascii_only && !character.is_ascii() {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                inner.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            inner.push(character);
        }
    }
    Escaped(inner)
}

#[test]
fn escaped_texts_are_cut_between_escapes() {
    for (kind, text) in kinds(30_000, 6) {
        for ascii_only in [false, true] {
            let texts = escaped(&text, ascii_only);
            let counted = count(Vocabulary::O200kBase, &texts, &for_blocks(u64::MAX, 2));
            let exact = reference(Vocabulary::O200kBase, &text);
            if counted.exact {
                assert_eq!(counted.tokens, exact, "{kind}, {ascii_only}");
            }
            let off = counted.tokens.abs_diff(exact) as f64 / exact as f64;
            assert!(off < 0.01, "{kind}, {ascii_only}: {counted:?}, {exact}");
            assert!(
                counted.exact || kind == "unicode" || kind == "han",
                "{kind}"
            );
        }
    }
    // Nothing tells where in these an escape begins.
    let torn = Escaped("\\\\".repeat(50_000));
    assert!(!count(Vocabulary::O200kBase, &torn, &for_blocks(30, 2)).exact);
}

/// Texts of what decides where cuts are made.
fn cuttable() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => "[a-zA-Z]{1,4}",
        3 => "[ \t\r\n]{1,3}",
        2 => "[0-9]{1,4}",
        3 => "[!-/:-@\\[-`{-~]{1,2}",
        1 => "'(s|ll|re|x)?",
        2 => "[\u{4e00}-\u{4e40}\u{3041}-\u{3050}\u{ac00}-\u{ac10}]{1,3}",
        1 => "[、。「」，！？：；（）]",
        1 => "[\u{a0}\u{2028}\u{3000}\u{301}é🙂\u{200d}Ⅷ\u{30fb}ー]",
    ];
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn counts_add_up_at_every_additive_cut(text in cuttable()) {
        let raw = RawText { bytes: text.as_bytes(), escaped: false };
        for vocabulary in REFERENCED {
            let whole = reference(vocabulary, &text);
            for at in 1..text.len() {
                let cut = raw.cut(at, 1);
                if cut.additive && text.is_char_boundary(cut.at) && cut.at == at {
                    let (front, rest) = text.split_at(at);
                    let parts = reference(vocabulary, front) + reference(vocabulary, rest);
                    prop_assert_eq!(parts, whole, "{:?} | {:?}", front, rest);
                }
            }
        }
    }

    #[test]
    fn an_escaped_text_is_cut_where_it_could_be_cut_unescaped(text in cuttable(), ascii_only: bool) {
        let Escaped(json) = escaped(&text, ascii_only);
        let raw = RawText { bytes: json.as_bytes(), escaped: true };
        for at in 1..json.len() {
            let cut = raw.cut(at, 1);
            prop_assert!(json.is_char_boundary(cut.at));
            if !cut.additive {
                continue;
            }
            let read = |json: &str| serde_json::from_str::<String>(&format!("\"{json}\""));
            let (front, rest) = json.split_at(cut.at);
            let (Ok(front), Ok(rest)) = (read(front), read(rest)) else {
                return Err(TestCaseError::fail(format!("torn: {front} | {rest}")));
            };
            prop_assert_eq!(format!("{front}{rest}"), text.as_str());
            let plain = RawText { bytes: text.as_bytes(), escaped: false };
            prop_assert!(plain.cut(front.len(), 1).additive, "{:?} | {:?}", front, rest);
        }
    }

    #[test]
    fn random_texts_count_as_the_reference(text in "(?s).{0,300}") {
        for vocabulary in REFERENCED {
            prop_assert_eq!(all(vocabulary, &text).tokens, reference(vocabulary, &text));
        }
    }

    #[test]
    fn any_cut_is_between_two_characters(text in "(?s).{0,80}", at in 0_usize..400, escaped: bool) {
        let raw = RawText { bytes: text.as_bytes(), escaped };
        let cut = raw.cut(at, 16);
        prop_assert!(cut.at <= at && text.is_char_boundary(cut.at));
    }
}
