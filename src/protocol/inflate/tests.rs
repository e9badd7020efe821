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
