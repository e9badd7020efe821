//! For tests: the codings done, as servers do them.

use super::Encoding;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;

pub(crate) const CODED: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Brotli,
    Encoding::Zstd,
];

/// Encodes `parts`, flushed behind each, as a streaming server does.
pub(crate) fn encode(encoding: Encoding, parts: &[&[u8]]) -> Vec<u8> {
    fn write_all(encoder: &mut impl Write, parts: &[&[u8]]) {
        for part in parts {
            encoder.write_all(part).unwrap();
            encoder.flush().unwrap();
        }
    }
    match encoding {
        Encoding::Identity => parts.concat(),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            write_all(&mut encoder, parts);
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            write_all(&mut encoder, parts);
            encoder.finish().unwrap()
        }
        Encoding::Brotli => brotli_stored(parts),
        Encoding::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            write_all(&mut encoder, parts);
            encoder.finish().unwrap()
        }
    }
}

pub(crate) fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Brotli of uncompressed meta-blocks (RFC 7932, 9.2).
fn brotli_stored(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    // The window's bits stand once, in front of the first header.
    let mut lead_bits = 1;
    for block in parts.iter().flat_map(|part| part.chunks(1 << 16)) {
        let length = u32::try_from(block.len() - 1).unwrap();
        // Not the last (1 bit), four nibbles of length (2), stored (1).
        let header = (length << 3 | 1 << 19) << lead_bits;
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
        lead_bits = 0;
    }
    // The last, and empty.
    out.push(0b11 << lead_bits);
    out
}

/// The events of [`BROTLI_EVENTS_TEXT`], compressed by the brotli reference
/// algorithm's Rust port at quality 5 and flushed behind each.
pub(crate) const BROTLI_EVENTS: &str = "8339000004fe735ba724f6f2b141fda158827316693237eb8dd0346452b1118b4e397068615280c754aef083e3909e2fb1ce8421cb43d169d7514f444b05a38745ab6359940de017726ee00e62b9e737478dff785ebac19bf67f83a095c8f4cdc84e390403700300400a44a41519e69865f491719dd28bba26e4aa890138030040746e9d129f29b031365a311b14a636871b9cc612539060e041b20c1eb252fe4954d40bdd8f3ab9ea8d81cd4538e33d9199dbc054846189761319680008646174613a205b444f4e455d0a0a03";

pub(crate) const BROTLI_EVENTS_TEXT: &str = concat!(
    r#"data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"Grüße 🌍"},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"model":"m-1","choices":[{"index":0,"delta":{"content":" done"},"finish_reason":"stop"}],"usage":null}"#,
    "\n\n",
    r#"data: {"model":"m-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#,
    "\n\ndata: [DONE]\n\n",
);

/// 64 MiB of zeros by the same, in 102 bytes.
pub(crate) const BROTLI_BOMB: &str = "cbffff3f002400e2b14072effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffcffff034002200e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfb3ffeffff012001108705a07bff37";

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// `megabytes` of zeros (brotli: 64), coded as tightly as can be: a bomb.
pub(crate) fn bomb(encoding: Encoding, megabytes: usize) -> Vec<u8> {
    fn write_all(mut encoder: impl Write, megabytes: usize) {
        for _ in 0..megabytes {
            encoder.write_all(&[0; 1 << 20]).unwrap();
        }
    }
    let best = Compression::best();
    let mut out = Vec::new();
    match encoding {
        Encoding::Identity => out.resize(megabytes << 20, 0),
        Encoding::Gzip => write_all(GzEncoder::new(&mut out, best), megabytes),
        Encoding::Deflate => write_all(ZlibEncoder::new(&mut out, best), megabytes),
        Encoding::Brotli => out = unhex(BROTLI_BOMB),
        Encoding::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(&mut out, 19).unwrap();
            write_all(encoder.auto_finish(), megabytes);
        }
    }
    out
}
