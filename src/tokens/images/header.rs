//! Width and height from a picture's first bytes: PNG, JPEG, GIF and WebP.
//!
//! Always holds: nothing is decoded but the few bytes that are looked at,
//! wherever they stand; at most [`SEGMENTS_MAX`] steps are taken.
//!
//! Sources: PNG (W3C), "IHDR"; GIF89a, "logical screen descriptor"; JPEG (ITU
//! T.81), annex B; WebP container specification and RFC 6386, section 9.1.

use super::Size;

/// The most segments of a JPEG before its frame header; cameras write some ten.
const SEGMENTS_MAX: usize = 64;

/// The longest beginning of a data URL: `data:image/jpeg;base64,` and the like.
const DATA_URL_HEAD_BYTES_MAX: usize = 128;

/// The size of a picture in base64, with or without `data:...;base64,` before
/// it. `None` where it can't be told: another format, escapes or line breaks
/// within, no picture.
pub fn size_of_base64(text: &[u8]) -> Option<Size> {
    let base64 = match text.starts_with(b"data:") {
        true => {
            let head = text.get(..text.len().min(DATA_URL_HEAD_BYTES_MAX))?;
            text.get(memchr::memchr(b',', head)? + 1..)?
        }
        false => text,
    };
    let picture = Picture(base64);
    let (width, height) = match picture.bytes::<4>(0)? {
        [0x89, b'P', b'N', b'G'] => picture.png(),
        [b'G', b'I', b'F', b'8'] => picture.gif(),
        [b'R', b'I', b'F', b'F'] => picture.webp(),
        [0xff, 0xd8, 0xff, _] => picture.jpeg(),
        _ => None,
    }?;
    (width > 0 && height > 0).then_some(Size { width, height })
}

/// The bytes of a picture that is still in base64.
struct Picture<'a>(&'a [u8]);

impl Picture<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        // Three bytes are in four characters.
        let group = at.checked_div(3)?.checked_mul(4)?;
        let first = group + at % 3;
        let (high, low) = (
            sextet(*self.0.get(first)?)?,
            sextet(*self.0.get(first + 1)?)?,
        );
        Some(match at % 3 {
            0 => high << 2 | low >> 4,
            1 => high << 4 | low >> 2,
            _ => high << 6 | low,
        })
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at.checked_add(offset)?)?;
        }
        Some(bytes)
    }

    fn png(&self) -> Option<(u32, u32)> {
        let is_header = self.bytes(12)? == *b"IHDR";
        let side = |at| self.bytes(at).map(u32::from_be_bytes);
        is_header.then_some((side(16)?, side(20)?))
    }

    fn gif(&self) -> Option<(u32, u32)> {
        let side = |at| self.bytes(at).map(u16::from_le_bytes);
        Some((side(6)?.into(), side(8)?.into()))
    }

    fn webp(&self) -> Option<(u32, u32)> {
        if self.bytes(8)? != *b"WEBP" {
            return None;
        }
        match &self.bytes(12)? {
            b"VP8X" => {
                let side = |at| {
                    let [a, b, c] = self.bytes(at)?;
                    Some(u32::from_le_bytes([a, b, c, 0]) + 1)
                };
                Some((side(24)?, side(27)?))
            }
            b"VP8L" => {
                let bits = u32::from_le_bytes(self.bytes(21)?);
                let side = |shift: u32| (bits >> shift & 0x3fff) + 1;
                (self.byte(20)? == 0x2f).then_some((side(0), side(14)))
            }
            b"VP8 " => {
                let side = |at| Some(u32::from(u16::from_le_bytes(self.bytes(at)?) & 0x3fff));
                let is_key_frame = self.bytes(23)? == [0x9d, 0x01, 0x2a];
                is_key_frame.then_some((side(26)?, side(28)?))
            }
            _ => None,
        }
    }

    fn jpeg(&self) -> Option<(u32, u32)> {
        let mut at = 2;
        for _ in 0..SEGMENTS_MAX {
            let [mark, kind] = self.bytes(at)?;
            if mark != 0xff {
                return None;
            }
            match kind {
                // Filling.
                0xff => at += 1,
                // Frames, of which three codes are something else.
                0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                    let side = |at| self.bytes(at).map(u16::from_be_bytes);
                    return Some((side(at + 7)?.into(), side(at + 5)?.into()));
                }
                _ => at += 2 + usize::from(u16::from_be_bytes(self.bytes(at + 2)?)),
            }
        }
        None
    }
}

/// Both alphabets are taken: the usual one and that of URLs.
fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
