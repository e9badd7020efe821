//! Counting tokens by itself: how long a call's texts take, and how far the
//! count of a body that there is no time for is off.

use anyhow::{Context, ensure};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use weir::driver::clock::Monotonic;
use weir::exchange::prompt::{Prompt, Words};
use weir::protocol::answer::{AnswerKind, AnswerReader};
use weir::protocol::inflate::Encoding;
use weir::protocol::request::{self, Wants};
use weir::protocol::{Dialect, Endpoint};
use weir::tokens::ratios::Ratio;
use weir::tokens::{Counting, Plain, StreamCount, TAIL_BYTES_MAX, Vocabulary, count};

const ROUNDS: u64 = 51;
const MIXED_BODIES: u64 = 400;
const MIB: usize = 1 << 20;

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % sides
    }
}

/// weir's own sources: their comments are prose, the rest is code.
struct Corpus {
    prose: Vec<String>,
    code: Vec<String>,
}

pub fn run() -> anyhow::Result<()> {
    let corpus = Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))?;
    let mut dice = Dice(1);
    for vocabulary in Vocabulary::ALL {
        let began = Instant::now();
        vocabulary.warm();
        println!("{} loads in {:.0} ms", vocabulary.as_str(), millis(began));
    }
    println!("o200k_base, {ROUNDS} calls each, never the same text twice:");
    let of = |lines: &[String], bytes, dice: &mut Dice| text(lines, bytes, dice);
    row(
        "200 B of prose",
        |dice| of(&corpus.prose, 200, dice),
        &mut dice,
    );
    row(
        "64 KiB of prose",
        |dice| of(&corpus.prose, 64 << 10, dice),
        &mut dice,
    );
    row(
        "64 KiB of code",
        |dice| of(&corpus.code, 64 << 10, dice),
        &mut dice,
    );
    row(
        "1 MiB of prose",
        |dice| of(&corpus.prose, MIB, dice),
        &mut dice,
    );
    row(
        "10 MiB of prose",
        |dice| of(&corpus.prose, 10 * MIB, dice),
        &mut dice,
    );
    row("1 MiB of one letter", |_| "a".repeat(MIB), &mut dice);
    row("1 MiB of spaces", |_| " ".repeat(MIB), &mut dice);
    row("1 MiB of line feeds", |_| "\n".repeat(MIB), &mut dice);
    row(
        "1 MiB of base64",
        |dice| characters(dice, |dice| BASE64[dice.roll(64)].into()),
        &mut dice,
    );
    row(
        "1 MiB of letters",
        |dice| characters(dice, |dice| BASE64[dice.roll(52)].into()),
        &mut dice,
    );
    row(
        "1 MiB of any Unicode",
        |dice| characters(dice, unicode),
        &mut dice,
    );
    row("1 MiB of Han", |dice| characters(dice, han), &mut dice);
    tiny_texts();
    chats(&corpus, &mut dice)?;
    chunks()?;
    stream(&corpus, &mut dice)?;
    mixed(&corpus, &mut dice)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn unicode(dice: &mut Dice) -> char {
    char::from_u32(dice.roll(0x11_0000) as u32).unwrap_or('\u{fffd}')
}

fn han(dice: &mut Dice) -> char {
    char::from_u32(0x4e00 + dice.roll(0x5000) as u32).unwrap_or('\u{4e00}')
}

impl Corpus {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut corpus = Self {
            prose: Vec::new(),
            code: Vec::new(),
        };
        corpus.add(folder)?;
        ensure!(
            corpus.prose.len() > 1_000 && corpus.code.len() > 1_000,
            "{} is too small",
            folder.display()
        );
        Ok(corpus)
    }

    fn add(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(&path)?;
            } else if path.extension().is_some_and(|name| name == "rs") {
                for line in fs::read_to_string(&path)?.lines() {
                    match line.trim_start().strip_prefix("//") {
                        Some(said) => self
                            .prose
                            .push(format!("{} ", said.trim_start_matches(['/', '!']).trim())),
                        None => self.code.push(format!("{line}\n")),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Lines from any places, some at a time in order.
fn text(lines: &[String], bytes: usize, dice: &mut Dice) -> String {
    let mut text = String::with_capacity(bytes + 200);
    while text.len() < bytes {
        let from = dice.roll(lines.len());
        lines
            .iter()
            .skip(from)
            .take(12)
            .for_each(|line| text.push_str(line));
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}

fn characters(dice: &mut Dice, one: fn(&mut Dice) -> char) -> String {
    let mut text = String::with_capacity(MIB + 4);
    while text.len() < MIB {
        text.push(one(dice));
    }
    text
}

fn row(name: &str, mut make: impl FnMut(&mut Dice) -> String, dice: &mut Dice) {
    let (mut micros, mut exact, mut error) = (Vec::new(), 0, 0.0);
    for round in 0..ROUNDS {
        let text = make(dice);
        let counting = Counting::new(round, Arc::new(Monotonic::start()));
        let began = Instant::now();
        let counted = count(Vocabulary::O200kBase, &Plain(&[&text]), &counting);
        micros.push(began.elapsed().as_secs_f64() * 1e6);
        exact += u64::from(counted.exact);
        // The whole of a long text is counted only now and then.
        if round % 10 == 0 {
            let whole = count(
                Vocabulary::O200kBase,
                &Plain(&[&text]),
                &Counting::unbounded(),
            );
            error += counted.tokens.abs_diff(whole.tokens) as f64 / whole.tokens as f64 / 6.0;
        }
    }
    micros.sort_by(f64::total_cmp);
    let (median, most) = (micros[micros.len() / 2], micros[micros.len() - 1]);
    println!(
        "{name:>22}: {median:>8.1} us median, {most:>8.1} us most, exact in {exact} of {ROUNDS}, mean error {:.2}%",
        error * 100.0
    );
}

fn tiny_texts() {
    let texts = vec!["hello"; 250_000];
    let counting = Counting::new(1, Arc::new(Monotonic::start()));
    let began = Instant::now();
    let counted = count(Vocabulary::O200kBase, &Plain(&texts), &counting);
    println!(
        "{:>22}: {:.1} us, {} tokens",
        "250,000 texts of 5 B",
        millis(began) * 1e3,
        counted.tokens
    );
}

/// A chat's body by size: how long reading it takes, and reading and counting.
fn chats(corpus: &Corpus, dice: &mut Dice) -> anyhow::Result<()> {
    for bytes in [200, 4 << 10, 64 << 10, MIB] {
        let (mut reading, mut both) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let content = serde_json::to_string(&text(&corpus.prose, bytes, dice))?;
            let body = format!(
                r#"{{"model":"gpt-4o","stream":true,"messages":[{{"role":"user","content":{content}}}]}}"#
            );
            let counting = Counting::new(round, Arc::new(Monotonic::start()));
            let began = Instant::now();
            let facts = request::read(
                Endpoint::ChatCompletions,
                None,
                body.as_bytes(),
                Wants::default(),
            )?;
            reading.push(began.elapsed().as_secs_f64() * 1e6);
            let words = Words {
                model: "gpt-4o",
                dialect: Dialect::OpenAi,
                vocabulary: Vocabulary::O200kBase,
                ratio: Ratio::ONE,
                held_ratio: Ratio::ONE,
            };
            let prompt = Prompt::of(words, &facts, body.as_bytes(), &counting);
            both.push(began.elapsed().as_secs_f64() * 1e6);
            ensure!(prompt.tokens > 0, "nothing was counted");
        }
        for micros in [&mut reading, &mut both] {
            micros.sort_by(f64::total_cmp);
        }
        let (read, all) = (reading[reading.len() / 2], both[both.len() / 2]);
        println!(
            "{:>22}: {all:>8.1} us median to read and count, {read:.1} us of it to read",
            format!("a chat of {bytes} B")
        );
    }
    Ok(())
}

/// Chunks of streams as providers send them, read as they pass.
fn chunks() -> anyhow::Result<()> {
    const CHUNKS: u32 = 100_000;
    for (name, endpoint, chunk) in [
        (
            "a chunk of OpenAI's",
            Endpoint::ChatCompletions,
            "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n",
        ),
        (
            "a chunk of Anthropic's",
            Endpoint::Messages,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n",
        ),
    ] {
        let mut reader =
            AnswerReader::new(endpoint.rules(), AnswerKind::Sse, Encoding::Identity, false);
        let began = Instant::now();
        for _ in 0..CHUNKS {
            reader.push(chunk.as_bytes(), false);
            if reader.text_len() > TAIL_BYTES_MAX {
                reader.take_text();
            }
        }
        let nanos = millis(began) * 1e6 / f64::from(CHUNKS);
        ensure!(reader.has_content(), "nothing was read");
        println!("{name:>22}: {nanos:.0} ns to read, without counting");
    }
    Ok(())
}

/// An answer in pieces of a word, as it is counted where no usage comes.
fn stream(corpus: &Corpus, dice: &mut Dice) -> anyhow::Result<()> {
    let text = text(&corpus.prose, MIB, dice);
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let counting = Counting::new(1, Arc::new(Monotonic::start()));
    let mut stream = StreamCount::new(Vocabulary::O200kBase);
    let began = Instant::now();
    words.iter().for_each(|word| stream.push(word, &counting));
    let (tokens, exact) = stream.finish();
    let nanos = millis(began) * 1e6 / words.len() as f64;
    let whole = count(
        Vocabulary::O200kBase,
        &Plain(&[&text]),
        &Counting::unbounded(),
    );
    ensure!(
        exact && tokens == whole.tokens,
        "{tokens} in pieces, {} whole",
        whole.tokens
    );
    println!(
        "{:>22}: {nanos:.0} ns a piece, {} pieces, exact",
        "a stream by words",
        words.len()
    );
    Ok(())
}

/// Bodies of up to five parts of any kinds, 0.1 to 4 MiB, at the usual time.
fn mixed(corpus: &Corpus, dice: &mut Dice) -> anyhow::Result<()> {
    let (mut errors, mut above, mut exceeded, mut bodies) = (0.0, 0.0, 0, 0_u32);
    for round in 0..MIXED_BODIES {
        let parts: Vec<String> = (0..=dice.roll(5))
            .map(|_| {
                let bytes = (100 << 10) + dice.roll(700 << 10);
                match dice.roll(5) {
                    0 | 1 => text(&corpus.prose, bytes, dice),
                    2 | 3 => text(&corpus.code, bytes, dice),
                    _ => characters(
                        dice,
                        |dice| if dice.roll(16) == 0 { '。' } else { han(dice) },
                    )
                    .chars()
                    .take(bytes / 3)
                    .collect(),
                }
            })
            .collect();
        let texts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let counting = Counting::new(round, Arc::new(Monotonic::start()));
        let counted = count(Vocabulary::O200kBase, &Plain(&texts), &counting);
        if counted.exact {
            continue;
        }
        let whole = count(
            Vocabulary::O200kBase,
            &Plain(&texts),
            &Counting::unbounded(),
        )
        .tokens;
        bodies += 1;
        errors += counted.tokens.abs_diff(whole) as f64 / whole as f64;
        above += counted.upper as f64 / whole as f64 - 1.0;
        exceeded += u32::from(whole > counted.upper);
    }
    ensure!(bodies > 0, "all bodies were counted whole");
    let mean = |sum: f64| sum / f64::from(bodies) * 100.0;
    println!(
        "{bodies} mixed bodies: mean error {:.2}%, upper bound {:.1}% above on average, exceeded in {exceeded} ({:.2}%)",
        mean(errors),
        mean(above),
        mean(f64::from(exceeded))
    );
    Ok(())
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
