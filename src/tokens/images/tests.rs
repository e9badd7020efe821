//! The providers' documented examples, and pictures' headers.

use super::*;
use base64::Engine;
use proptest::prelude::*;

fn size(width: u32, height: u32) -> Option<Size> {
    Some(Size { width, height })
}

#[test]
fn documented_examples_come_out_as_documented() {
    for (model, picture, detail, expected) in [
        // OpenAI's three, and its rule for other constants.
        ("gpt-4o", size(1024, 1024), Detail::High, 765),
        ("gpt-4o", size(2048, 4096), Detail::High, 1105),
        ("gpt-4o", size(4096, 8192), Detail::Low, 85),
        ("gpt-4o", size(512, 512), Detail::High, 255),
        ("gpt-4o", size(1, 1), Detail::High, 255),
        (
            "gpt-4o-mini",
            size(1024, 1024),
            Detail::High,
            2833 + 4 * 5667,
        ),
        ("o3", size(1024, 1024), Detail::High, 675),
        ("gpt-5", size(1024, 1024), Detail::High, 630),
        ("gpt-5.1", size(1024, 1024), Detail::Low, 70),
        // Patches: 1024, and 1452 after scaling.
        ("gpt-4.1-mini", size(1024, 1024), Detail::High, 1659),
        ("gpt-4.1-mini", size(1800, 2400), Detail::High, 2353),
        ("o4-mini", size(1024, 1024), Detail::High, 1762),
        ("gpt-4.1-nano", size(32, 33), Detail::High, 5),
        // Anthropic's table.
        ("claude-sonnet-4-5", size(200, 200), Detail::High, 54),
        ("claude-sonnet-4-5", size(1000, 1000), Detail::High, 1334),
        (
            "us.anthropic.claude-3-7-sonnet",
            size(1092, 1092),
            Detail::High,
            1590,
        ),
        ("claude-3-haiku", size(1568, 784), Detail::High, 1600),
        ("claude-3-haiku", size(15680, 200), Detail::High, 42),
        // Google's.
        ("gemini-2.5-flash", size(384, 384), Detail::High, 258),
        ("gemini-2.5-flash", size(960, 540), Detail::High, 1548),
        (
            "models/gemini-2.0-flash",
            size(3072, 3072),
            Detail::High,
            4128,
        ),
    ] {
        let rule = Rule::of_model(model).expect(model);
        assert_eq!(
            tokens(rule, picture, detail),
            expected,
            "{model} {picture:?}"
        );
    }
    assert_eq!(Rule::of_model("llama-3.2-90b-vision"), None);
}

#[test]
fn a_picture_of_unknown_size_costs_the_most() {
    for (model, expected) in [
        ("gpt-4o", 1445),
        ("gpt-4.1-mini", 2489),
        ("claude-opus-4", 1600),
        ("gemini-2.5-pro", 4128),
    ] {
        let rule = Rule::of_model(model).expect(model);
        assert_eq!(tokens(rule, None, Detail::High), expected, "{model}");
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let engine = base64::engine::general_purpose::STANDARD;
    engine.encode(bytes).into_bytes()
}

fn jpeg(segments: &[(u8, usize)], width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8];
    for (kind, length) in segments {
        bytes.extend([0xff, *kind]);
        bytes.extend((*length as u16 + 2).to_be_bytes());
        bytes.extend(vec![0x5a; *length]);
    }
    bytes.extend([0xff, 0xff, 0xc2, 0, 17, 8]);
    bytes.extend(height.to_be_bytes());
    bytes.extend(width.to_be_bytes());
    bytes
}

#[test]
fn headers_tell_sizes() {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([0, 0, 3, 32, 0, 0, 2, 88, 8, 6]);
    let mut gif = b"GIF89a".to_vec();
    gif.extend([64, 1, 200, 0, 0]);
    let mut lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a".to_vec();
    lossy.extend([0x80, 0x02, 0xe0, 0x41]);
    let mut lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f".to_vec();
    lossless.extend((99_u32 | 49 << 14).to_le_bytes());
    let mut extended = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0".to_vec();
    extended.extend([0xff, 0x0f, 0, 0xff, 0x07, 0]);
    let photo = jpeg(
        &[
            (0xe0, 14),
            (0xe1, 65_000),
            (0xe2, 65_000),
            (0xdb, 65),
            (0xc4, 30),
        ],
        4032,
        3024,
    );
    for (bytes, expected) in [
        (&png[..], size(800, 600)),
        (&gif, size(320, 200)),
        (&lossy, size(640, 480)),
        (&lossless, size(100, 50)),
        (&extended, size(4096, 2048)),
        (&photo, size(4032, 3024)),
        (b"%PDF-1.7 and more", None),
        (b"", None),
    ] {
        let text = base64(bytes);
        assert_eq!(size_of_base64(&text), expected);
        let url = [b"data:image/any;base64,", &text[..]].concat();
        assert_eq!(size_of_base64(&url), expected);
        assert_eq!(size_of_base64(&text[..text.len() / 3]), None, "cut");
    }
    assert_eq!(
        size_of_base64(&base64(&jpeg(&[(0xe1, 9); 100], 4, 4))),
        None,
        "bounded"
    );
    assert_eq!(size_of_base64(b"data:image/png"), None);
}

proptest! {
    #[test]
    fn no_picture_costs_more_than_the_most(
        width in 1_u32.., height in 1_u32.., name in 0..RULES.len(),
    ) {
        let rule = RULES[name].1;
        let counted = tokens(rule, size(width, height), Detail::High);
        prop_assert!((1..=rule.tokens_max()).contains(&counted), "{}", counted);
    }

    #[test]
    fn any_bytes_are_looked_at_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        size_of_base64(&bytes);
        for head in [&b"\x89PNG"[..], b"GIF8", b"RIFF", b"\xff\xd8\xff\xe0"] {
            size_of_base64(&base64(&[head, &bytes].concat()));
        }
    }
}
