//! Counts against the reference, and the bound on hostile texts.

use super::*;
use proptest::prelude::*;

fn count(vocabulary: Vocabulary, text: &str) -> Count {
    let mut tally = Tally::new(vocabulary, text.len(), 7);
    tally.add(text);
    tally.finish()
}

fn reference(vocabulary: Vocabulary, text: &str) -> u64 {
    let bpe = match vocabulary {
        Vocabulary::O200kBase => tiktoken_rs::o200k_base_singleton(),
        Vocabulary::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
    };
    bpe.encode_ordinary(text).len() as u64
}

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
        for vocabulary in [Vocabulary::O200kBase, Vocabulary::Cl100kBase] {
            let counted = count(vocabulary, text);
            assert_eq!(counted.tokens, reference(vocabulary, text), "{text:?}");
            assert!(counted.exact);
        }
    }
}

#[test]
fn prose_over_many_blocks_is_still_exact() {
    let text = "The quick brown fox, aged 42, jumps over the lazy dog.\nAgain! ".repeat(700);
    assert!(text.len() > 8 * block::BLOCK_BYTES_MAX && text.len() < EXACT_BYTES_MAX);
    let counted = count(Vocabulary::O200kBase, &text);
    assert!(counted.exact);
    assert_eq!(counted.tokens, reference(Vocabulary::O200kBase, &text));
}

#[test]
fn a_huge_text_is_extrapolated_closely() {
    let text = "Some prose of usual kind, with figures like 3.14 and names. ".repeat(20_000);
    let counted = count(Vocabulary::O200kBase, &text);
    assert!(!counted.exact);
    // What each repetition adds, behind the first.
    let of = |repeats: usize| reference(Vocabulary::O200kBase, &text[..60 * repeats]) as f64;
    let exact = (of(11) - of(1)) / 10.0 * 20_000.0;
    let error = (counted.tokens as f64 - exact).abs() / exact;
    assert!(error < 0.03, "error {error}");
}

#[test]
fn hostile_texts_are_bounded() {
    // The reference panics on this one.
    let spaces = " ".repeat(1_000_000);
    assert!(!count(Vocabulary::O200kBase, &spaces).exact);
    let han = "漢".repeat(300_000);
    assert!(count(Vocabulary::Cl100kBase, &han).tokens > 100_000);
}

#[test]
fn many_small_texts_are_sampled_too() {
    let mut tally = Tally::new(Vocabulary::O200kBase, 10 * EXACT_BYTES_MAX, 3);
    for _ in 0..100_000 {
        tally.add("hello");
    }
    let counted = tally.finish();
    assert!(!counted.exact);
    assert!((99_000..=101_000).contains(&counted.tokens), "{counted:?}");
}

#[test]
fn chat_overhead_follows_the_published_rule() {
    assert_eq!(chat_overhead_tokens(0, 0), 0);
    assert_eq!(chat_overhead_tokens(1, 0), 6);
    assert_eq!(chat_overhead_tokens(3, 2), 14);
}

proptest! {
    #[test]
    fn blocks_join_to_the_text(text in "(?s).{0,6000}|[a-z ]{0,20000}") {
        let blocks: Vec<&str> = block::Blocks::new(&text).collect();
        prop_assert_eq!(blocks.concat(), text.as_str());
        prop_assert!(blocks.iter().all(|b| !b.is_empty() && b.len() <= block::BLOCK_BYTES_MAX));
    }

    #[test]
    fn random_texts_count_as_the_reference(text in "(?s).{0,300}") {
        let vocabulary = Vocabulary::O200kBase;
        prop_assert_eq!(count(vocabulary, &text).tokens, reference(vocabulary, &text));
    }
}
