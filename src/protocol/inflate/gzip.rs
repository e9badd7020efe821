//! The `gzip` content coding (RFC 1952): members with a header, deflated data
//! and a trailer, one after the other.
//!
//! Always holds: a member whose checksum or length is wrong is an error. What
//! follows the last member and isn't one is ignored, as `gzip -d` does.

use super::deflate::inflate;
use super::{InflateError, Rest, Step};
use flate2::{Crc, Decompress};

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// A decoder of gzip.
pub(super) struct Gzip {
    part: Part,
    flags: u8,
    members_done: bool,
    body: Decompress,
    crc: Crc,
}

/// Where in a member the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The ten bytes that every header has; the number of those seen.
    Fixed(u8),
    /// The extra field's length; its first byte where seen.
    ExtraLength(Option<u8>),
    /// Bytes of the extra field still to come.
    Extra(u16),
    Name,
    Comment,
    /// Bytes of the header's checksum still to come.
    HeaderCrc(u8),
    Body,
    /// Checksum and length; those seen and how many they are.
    Trailer([u8; 8], usize),
    /// Only junk from here on.
    Junk,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            part: Part::Fixed(0),
            flags: 0,
            members_done: false,
            body: Decompress::new(false),
            crc: Crc::new(),
        }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
        if self.part == Part::Body {
            return self.body_step(input, out);
        }
        let mut read = 0;
        for byte in input {
            if self.part == Part::Body {
                break;
            }
            self.part = self.frame_byte(*byte)?;
            read += 1;
        }
        Ok(Step { read, wrote: 0 })
    }

    pub(super) fn rest(&self) -> Rest {
        match self.part {
            Part::Fixed(0) if self.members_done => Rest::None,
            Part::Junk => Rest::Junk,
            _ => Rest::Due,
        }
    }

    fn body_step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
        let (step, ended) = inflate(&mut self.body, input, out)?;
        self.crc.update(out.get(..step.wrote).unwrap_or_default());
        if ended {
            self.part = Part::Trailer([0; 8], 0);
        }
        Ok(step)
    }

    /// Takes one byte of a header or trailer.
    fn frame_byte(&mut self, byte: u8) -> Result<Part, InflateError> {
        Ok(match self.part {
            Part::Fixed(seen) => return self.fixed_byte(seen, byte),
            Part::ExtraLength(None) => Part::ExtraLength(Some(byte)),
            Part::ExtraLength(Some(low)) => match u16::from_le_bytes([low, byte]) {
                0 => self.after(EXTRA),
                length => Part::Extra(length),
            },
            Part::Extra(left) if left > 1 => Part::Extra(left - 1),
            Part::Extra(_) => self.after(EXTRA),
            Part::Name if byte == 0 => self.after(NAME),
            Part::Comment if byte == 0 => self.after(COMMENT),
            Part::HeaderCrc(left) if left > 1 => Part::HeaderCrc(left - 1),
            Part::HeaderCrc(_) => self.after(HEADER_CRC),
            Part::Trailer(seen, count) => return self.trailer_byte(seen, count, byte),
            same @ (Part::Name | Part::Comment | Part::Body | Part::Junk) => same,
        })
    }

    fn fixed_byte(&mut self, seen: u8, byte: u8) -> Result<Part, InflateError> {
        if let Some(magic) = MAGIC.get(usize::from(seen))
            && *magic != byte
        {
            return if self.members_done {
                Ok(Part::Junk)
            } else {
                Err(InflateError::Malformed)
            };
        }
        if seen == 3 {
            if byte & RESERVED != 0 {
                return Err(InflateError::Malformed);
            }
            self.flags = byte;
        }
        Ok(match seen {
            9 => self.after(0),
            _ => Part::Fixed(seen + 1),
        })
    }

    /// The header's part that follows the one of flag `done` (0: the fixed
    /// part), by what this member's flags announce.
    fn after(&mut self, done: u8) -> Part {
        let parts = [
            (EXTRA, Part::ExtraLength(None)),
            (NAME, Part::Name),
            (COMMENT, Part::Comment),
            (HEADER_CRC, Part::HeaderCrc(2)),
        ];
        let from = parts
            .iter()
            .position(|(flag, _)| *flag == done)
            .map_or(0, |at| at + 1);
        parts
            .into_iter()
            .skip(from)
            .find(|(flag, _)| self.flags & flag != 0)
            .map_or(Part::Body, |(_, part)| part)
    }

    fn trailer_byte(
        &mut self,
        mut seen: [u8; 8],
        count: usize,
        byte: u8,
    ) -> Result<Part, InflateError> {
        if let Some(slot) = seen.get_mut(count) {
            *slot = byte;
        }
        if count < 7 {
            return Ok(Part::Trailer(seen, count + 1));
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = seen;
        let right = u32::from_le_bytes([c0, c1, c2, c3]) == self.crc.sum()
            && u32::from_le_bytes([l0, l1, l2, l3]) == self.crc.amount();
        if !right {
            return Err(InflateError::Malformed);
        }
        self.members_done = true;
        self.body.reset(false);
        self.crc.reset();
        Ok(Part::Fixed(0))
    }
}
