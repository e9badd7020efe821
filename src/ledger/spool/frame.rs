//! Records as bytes, and how whole ones are told from others.

use super::BODY_BYTES_MAX;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Intent = 1,
    Outcome = 2,
    Dropped = 3,
    Synced = 4,
}

/// Length, CRC and kind.
pub(super) const HEAD_BYTES: usize = 9;

/// What a link adds to an event: more than it takes.
pub(super) const LINK_BYTES: usize = 128;

/// The longest body: a context or an event, with its id or link.
pub(super) const LONGEST: usize = BODY_BYTES_MAX + LINK_BYTES;

/// A whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'b> {
    pub kind: Kind,
    pub body: &'b [u8],
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At<'b> {
    Frame(Frame<'b>),
    /// It may be the beginning of a record that is longer than these bytes.
    Short,
    /// No record.
    Bad,
}

/// A stretch of bytes: a record, or what lies before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'b> {
    Frame { at: usize, frame: Frame<'b> },
    Damaged { at: usize, bytes: usize },
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Kind::Intent, Kind::Outcome, Kind::Dropped, Kind::Synced];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl Frame<'_> {
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }
}

/// Writes a record whose body is of these parts, none of them larger in all than
/// [`LONGEST`].
pub(super) fn put(kind: Kind, parts: &[&[u8]], out: &mut Vec<u8>) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut crc = crc32fast::Hasher::new();
    crc.update(&len);
    crc.update(&[kind as u8]);
    for part in parts {
        crc.update(part);
    }
    out.extend_from_slice(&len);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.push(kind as u8);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Looks at the beginning of some bytes.
pub(super) fn look(bytes: &[u8]) -> At<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return At::Short;
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3, kind_byte] = *head;
    let len_bytes = [l0, l1, l2, l3];
    let len = usize::try_from(u32::from_le_bytes(len_bytes)).unwrap_or(usize::MAX);
    let Some(kind) = Kind::of(kind_byte).filter(|_| len <= LONGEST) else {
        return At::Bad;
    };
    let Some(body) = rest.get(..len) else {
        return At::Short;
    };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&len_bytes);
    crc.update(&[kind_byte]);
    crc.update(body);
    if crc.finalize() == u32::from_le_bytes([c0, c1, c2, c3]) {
        At::Frame(Frame { kind, body })
    } else {
        At::Bad
    }
}

/// All that bytes hold, in order, from a place where a record begins.
pub(super) fn pieces(bytes: &[u8], from: usize) -> impl Iterator<Item = Piece<'_>> {
    let mut at = from;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let begun = at;
        if let At::Frame(frame) = look(rest) {
            at += frame.bytes();
            return Some(Piece::Frame { at: begun, frame });
        }
        let next = (1..rest.len()).find(|next| {
            let rest = rest.get(*next..).unwrap_or_default();
            matches!(look(rest), At::Frame(_))
        });
        let bytes = next.unwrap_or(rest.len());
        at += bytes;
        Some(Piece::Damaged { at: begun, bytes })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        put(Kind::Intent, &[b"ab", b"", b"c"], &mut bytes);
        let second = bytes.len();
        put(Kind::Dropped, &[b""], &mut bytes);
        (bytes, second)
    }

    #[test]
    fn what_is_put_is_found_and_any_changed_byte_is_seen() {
        let (bytes, second) = two();
        let found: Vec<_> = pieces(&bytes, 0).collect();
        let first = Frame {
            kind: Kind::Intent,
            body: b"abc",
        };
        let other = Frame {
            kind: Kind::Dropped,
            body: b"",
        };
        let expected = [
            Piece::Frame {
                at: 0,
                frame: first,
            },
            Piece::Frame {
                at: second,
                frame: other,
            },
        ];
        assert_eq!(found, expected);
        for changed in 0..second {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[changed] ^= 1 << bit;
                let found: Vec<_> = pieces(&bytes, 0).collect();
                let damaged = Piece::Damaged {
                    at: 0,
                    bytes: second,
                };
                assert_eq!(found, [damaged, expected[1]], "bit {bit} of {changed}");
            }
        }
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_no_record() {
        let (bytes, second) = two();
        for cut in second + 1..bytes.len() {
            let last = pieces(&bytes[..cut], 0).last();
            let bytes = cut - second;
            assert_eq!(last, Some(Piece::Damaged { at: second, bytes }));
        }
        for cut in 1..second {
            assert_eq!(look(&bytes[..cut]), At::Short);
        }
    }
}
