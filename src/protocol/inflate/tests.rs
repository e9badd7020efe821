//! Codings of every kind at every split, damaged ones, bombs.

use super::encode::*;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Write;

fn inflate<'a>(
    encoding: Encoding,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Result<(), InflateError>) {
    let mut inflate = Inflate::new(encoding);
    let mut out = Vec::new();
    for chunk in chunks {
        let result = inflate.push(chunk, &mut |piece| {
            assert!((1..=STEP_BYTES).contains(&piece.len()));
            out.extend_from_slice(piece);
        });
        if result.is_err() {
            let again = inflate.push(b"more", &mut |_| panic!("output after an error"));
            assert_eq!(again, result);
            return (out, result);
        }
    }
    (out, Ok(()))
}

#[test]
fn codings_are_named_in_any_case_and_never_in_lists() {
    for (value, encoding) in [
        ("", Some(Encoding::Identity)),
        ("identity", Some(Encoding::Identity)),
        ("gzip", Some(Encoding::Gzip)),
        (" GZip\t", Some(Encoding::Gzip)),
        ("x-gzip", Some(Encoding::Gzip)),
        ("Deflate", Some(Encoding::Deflate)),
        ("br", Some(Encoding::Brotli)),
        ("ZSTD", Some(Encoding::Zstd)),
        ("gzip, br", None),
        ("gzip,", None),
        ("compress", None),
        ("brotli", None),
    ] {
        assert_eq!(Encoding::from_header(value), encoding, "{value:?}");
    }
}

#[test]
fn real_brotli_is_decoded_at_every_split() {
    let coded = unhex(BROTLI_EVENTS);
    for at in 0..=coded.len() {
        let (a, b) = coded.split_at(at);
        let (out, result) = inflate(Encoding::Brotli, [a, b]);
        assert_eq!(result, Ok(()));
        assert_eq!(out, BROTLI_EVENTS_TEXT.as_bytes());
    }
}

#[test]
fn what_was_flushed_comes_out_at_once() {
    for encoding in CODED {
        let first = encode(encoding, &[b"hello"]);
        let both = encode(encoding, &[b"hello", b"world"]);
        assert!(first.len() < both.len());
        let (out, result) = inflate(encoding, [&both[..first.len()]]);
        assert_eq!(result, Ok(()));
        assert!(out.starts_with(b"hello"), "{encoding:?}: {out:?}");
    }
}

#[test]
fn gzip_with_every_header_field_is_decoded_at_every_split() {
    let plain = encode(Encoding::Gzip, &[b"some text"]);
    let mut coded = vec![0x1f, 0x8b, 8, 0b1_1111, 0, 0, 0, 0, 0, 3];
    coded.extend([3, 0, 1, 2, 3]);
    coded.extend(b"a name\0a comment\0");
    coded.extend([7, 7]);
    coded.extend(&plain[10..]);
    // A second member, and junk.
    coded.extend(encode(Encoding::Gzip, &[b" and more"]));
    coded.extend([0x1f, 0, 0]);
    for at in 0..=coded.len() {
        let (a, b) = coded.split_at(at);
        let (out, result) = inflate(Encoding::Gzip, [a, b]);
        assert_eq!(result, Ok(()));
        assert_eq!(out, b"some text and more");
    }
}

#[test]
fn damaged_streams_are_errors() {
    let whole = encode(Encoding::Gzip, &[b"some text"]);
    for at in [0, 1, 2, whole.len() - 8, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let (_, result) = inflate(Encoding::Gzip, [damaged.as_slice()]);
        assert_eq!(result, Err(InflateError::Malformed), "byte {at}");
    }
    // Bare deflate and brotli have nothing to tell them from text by.
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let (out, result) = inflate(encoding, [b"{\"error\":\"plain text\"}".as_slice()]);
        assert_eq!((out.len(), result), (0, Err(InflateError::Malformed)));
    }
}

#[test]
fn deflate_is_zlib_or_bare() {
    for coded in [
        encode(Encoding::Deflate, &[b"some text"]),
        bare_deflate(b"some text"),
    ] {
        let (out, result) = inflate(Encoding::Deflate, coded.chunks(1));
        assert_eq!((out.as_slice(), result), (b"some text".as_slice(), Ok(())));
    }
}

#[test]
fn a_bomb_is_cut_off_in_proportion_to_its_size() {
    for encoding in CODED {
        let coded = bomb(encoding, 64);
        let (out, result) = inflate(encoding, [coded.as_slice()]);
        assert_eq!(result, Err(InflateError::TooLarge), "{encoding:?}");
        let out_max = EXPANSION_FREE_BYTES.max(as_u64(coded.len()) * EXPANSION_MAX);
        assert!(as_u64(out.len()) <= out_max);
        assert!(as_u64(out.len()) <= PUSH_OUTPUT_BYTES_MAX);
    }
}

#[test]
fn a_push_and_a_stream_have_bounds_of_their_own() {
    // A megabyte that shrinks about a hundred times.
    let mut text = Vec::new();
    for line in 0..5_000u32 {
        let number = line.wrapping_mul(2_654_435_761) % 97;
        writeln!(text, "{number:02}{}", "x".repeat(200)).unwrap();
    }
    let member = encode(Encoding::Gzip, &[text.as_slice()]);
    assert!(text.len() / member.len() < 250 && text.len() > 1_000_000);

    let (out, result) = inflate(Encoding::Gzip, [member.repeat(20).as_slice()]);
    assert_eq!(result, Err(InflateError::TooLarge));
    assert!(as_u64(out.len()) <= PUSH_OUTPUT_BYTES_MAX);

    let mut inflate = Inflate::new(Encoding::Gzip);
    let mut out = 0;
    let mut pushes = 0;
    while inflate
        .push(&member, &mut |piece| out += piece.len())
        .is_ok()
    {
        pushes += 1;
        assert!(pushes < 300, "no bound");
    }
    let last = as_u64(text.len());
    assert!(as_u64(out) <= STREAM_OUTPUT_BYTES_MAX);
    assert!(as_u64(out) + last > STREAM_OUTPUT_BYTES_MAX);
}

#[test]
fn a_zstd_frame_that_wants_a_huge_window_is_refused() {
    let coded = |log| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"some text").unwrap();
        encoder.finish().unwrap()
    };
    let (out, result) = inflate(Encoding::Zstd, [coded(23).as_slice()]);
    assert_eq!((out.as_slice(), result), (b"some text".as_slice(), Ok(())));
    let (_, result) = inflate(Encoding::Zstd, [coded(24).as_slice()]);
    assert_eq!(result, Err(InflateError::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_split_decodes_to_the_same(
        parts in vec(vec(any::<u8>(), 1..400), 0..6),
        sizes in vec(1usize..50, 1..20),
    ) {
        let plain = parts.concat();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for encoding in CODED.into_iter().chain([Encoding::Identity]) {
            let coded = encode(encoding, &slices);
            let (out, result) = inflate(encoding, chunks(&coded, &sizes));
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(&out, &plain);
        }
        let coded = bare_deflate(&plain);
        let (out, result) = inflate(Encoding::Deflate, chunks(&coded, &sizes));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(&out, &plain);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in vec(any::<u8>(), 0..600),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        sizes in vec(1usize..50, 1..20),
    ) {
        for encoding in CODED {
            let _ = inflate(encoding, chunks(&bytes, &sizes));
            let mut damaged = encode(encoding, &[&bytes, BROTLI_EVENTS_TEXT.as_bytes()]);
            for (at, value) in &damage {
                let at = at.index(damaged.len());
                damaged[at] = *value;
            }
            let _ = inflate(encoding, chunks(&damaged, &sizes));
        }
        let mut damaged = unhex(BROTLI_EVENTS);
        for (at, value) in &damage {
            let at = at.index(damaged.len());
            damaged[at] = *value;
        }
        let _ = inflate(Encoding::Brotli, chunks(&damaged, &sizes));
    }
}

/// Cuts bytes into chunks of these sizes, over and over.
fn chunks<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        let (chunk, rest) = bytes.split_at((*size).min(bytes.len()));
        chunks.push(chunk);
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    chunks
}

fn coded(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    encode(encoding, &[plain])
}

#[test]
fn a_whole_stream_is_decoded_at_once() {
    let texts = [&b""[..], b"x", BROTLI_EVENTS_TEXT.as_bytes(), &[7; 300_000]];
    for plain in texts {
        let mut forms: Vec<_> = CODED.map(|of| (of, coded(of, plain))).to_vec();
        forms.push((Encoding::Deflate, bare_deflate(plain)));
        forms.push((Encoding::Identity, plain.to_vec()));
        for (encoding, coded) in forms {
            let out = whole(encoding, &coded, plain.len());
            assert_eq!(out.as_deref(), Ok(plain), "{encoding:?}");
            if let Some(less) = plain.len().checked_sub(1) {
                let out = whole(encoding, &coded, less);
                assert_eq!(out, Err(WholeError::TooLarge), "{encoding:?}");
            }
        }
    }
    let real = whole(Encoding::Brotli, &unhex(BROTLI_EVENTS), 1 << 20);
    assert_eq!(real.as_deref(), Ok(BROTLI_EVENTS_TEXT.as_bytes()));
}

/// Of a part of a stream, and of one with anything behind it, nothing is given.
#[test]
fn a_stream_that_is_cut_or_followed_is_refused() {
    let mut streams: Vec<_> = CODED
        .map(|of| (of, coded(of, b"{\"model\":\"m\"}")))
        .to_vec();
    streams.push((Encoding::Deflate, bare_deflate(b"some text")));
    streams.push((Encoding::Brotli, unhex(BROTLI_EVENTS)));
    for (encoding, stream) in streams {
        assert!(whole(encoding, &stream, 1_000).is_ok(), "{encoding:?}");
        for len in 0..stream.len() {
            let out = whole(encoding, &stream[..len], 1_000);
            assert_eq!(out, Err(WholeError::Malformed), "{encoding:?} {len}");
        }
        for junk in [&b"\0"[..], b"x", b"\x1f\x8b", b"{}"] {
            let out = whole(encoding, &[&stream, junk].concat(), 1_000);
            assert_eq!(out, Err(WholeError::Malformed), "{encoding:?} {junk:?}");
        }
    }
}

/// Members and frames may follow each other, as their standards say.
#[test]
fn streams_of_several_parts_are_one() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let both = [coded(encoding, b"some "), coded(encoding, b"text")].concat();
        let out = whole(encoding, &both, 100);
        assert_eq!(out.as_deref(), Ok(&b"some text"[..]), "{encoding:?}");
    }
}

#[test]
fn a_bomb_yields_nothing_and_is_soon_known() {
    for encoding in CODED {
        let bomb = bomb(encoding, 64);
        let bytes_max = 10 << 20;
        let begun = std::time::Instant::now();
        let out = whole(encoding, &bomb, bytes_max);
        assert!(
            matches!(out, Err(WholeError::Expands | WholeError::TooLarge)),
            "{encoding:?}"
        );
        assert!(begun.elapsed().as_secs() < 2, "{encoding:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever bytes are damaged, no more than is allowed comes out; and nothing
    /// but what went in, where a checksum tells.
    #[test]
    fn damaged_streams_are_known(
        plain in vec(any::<u8>(), 0..600),
        damage in vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
        bytes_max in 0usize..2_000,
    ) {
        for encoding in CODED {
            let mut stream = coded(encoding, &plain);
            for (at, bits) in &damage {
                let at = at.index(stream.len());
                stream[at] ^= bits;
            }
            if let Ok(out) = whole(encoding, &stream, bytes_max) {
                prop_assert!(out.len() <= bytes_max);
                // A damaged header may still say the same.
                prop_assert!(encoding != Encoding::Gzip || out == plain);
            }
        }
    }
}

/// Letters that compress badly, differently by `seed`.
fn noise(bytes: usize, seed: u64, letters: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + u8::try_from(state % letters).unwrap()
    };
    (0..bytes).map(letter).collect()
}

/// The ratio is of the whole body: a long blank part of it, as of a picture or a
/// silence, may shrink as far as it can.
#[test]
fn a_part_that_shrinks_a_lot_is_no_bomb() {
    let (blank, rest) = (vec![b'A'; 2 << 20], noise(2 << 20, 3, 26));
    for plain in [[&blank[..], &rest].concat(), [&rest[..], &blank].concat()] {
        for encoding in CODED {
            let coded = coded(encoding, &plain);
            assert!(as_u64(plain.len() / coded.len()) < EXPANSION_MAX / 10);
            let out = whole(encoding, &coded, plain.len());
            assert!(
                out.as_deref() == Ok(&plain),
                "{encoding:?}: {:?}",
                out.err()
            );
        }
    }
}

/// A decoder whose window or piece is full just where the stream ends says so
/// without having read or written anything.
#[test]
fn a_stream_whose_end_comes_alone_is_whole() {
    for bytes in [STEP_BYTES, 32 << 10, 64 << 10, 96 << 10] {
        for bytes in [bytes - 1, bytes, bytes + 1] {
            for letters in [1, 3, 26] {
                for seed in 0..2 {
                    let plain = noise(bytes, seed, letters);
                    let mut forms: Vec<_> = CODED.map(|of| (of, coded(of, &plain))).to_vec();
                    forms.push((Encoding::Deflate, bare_deflate(&plain)));
                    for (encoding, coded) in forms {
                        let out = whole(encoding, &coded, plain.len());
                        let what = format!("{encoding:?} {bytes} of {letters}, {seed}");
                        assert!(out.as_deref() == Ok(&plain[..]), "{what}: {:?}", out.err());
                        let junk = whole(encoding, &[&coded[..], b"junk"].concat(), plain.len());
                        assert_eq!(junk, Err(WholeError::Malformed), "{what}");
                    }
                }
            }
        }
    }
}
