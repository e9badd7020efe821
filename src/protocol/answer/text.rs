//! The output text that waits to be counted.
//!
//! Always holds: at most the given number of bytes are kept; what finds no
//! room is counted in bytes. So neither memory nor the count is lost when the
//! caller is slow to take the text.

use crate::protocol::condense::Cuts;

/// The most text of a stream that waits. Callers take it every few KiB. With
/// the room that a growing string takes, it leaves an open stream below 32 KiB.
pub const STREAM_TEXT_BYTES_MAX: usize = 12 << 10;

/// The same of a JSON answer, which is read in one go.
pub const JSON_TEXT_BYTES_MAX: usize = 1 << 20;

/// The most places where another choice goes on that are remembered until the
/// text is taken.
const BREAKS_MAX: usize = 1 << 10;

#[derive(Debug)]
pub struct Text {
    kept: String,
    bytes_max: usize,
    dropped_bytes: u64,
    has_content: bool,
    /// What is missing from the strings of the object that is being read.
    cuts: Cuts,
    /// Where another choice goes on than the one before.
    breaks: Vec<usize>,
    /// Whose the last text was.
    choice: Option<u64>,
}

/// Text that was taken, of which each part is one choice's.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub text: String,
    breaks: Vec<usize>,
}

impl Taken {
    /// The parts in order; the first goes on with what was taken before.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let ends = self.breaks.iter().copied().chain([self.text.len()]);
        ends.scan(0, |from, end| {
            let part = self.text.get(*from..end).unwrap_or_default();
            *from = end;
            Some(part)
        })
    }
}

/// A state to go back to.
pub struct Mark {
    kept: usize,
    dropped_bytes: u64,
    has_content: bool,
    breaks: usize,
    choice: Option<u64>,
}

impl Text {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            kept: String::new(),
            bytes_max,
            dropped_bytes: 0,
            has_content: false,
            cuts: Cuts::default(),
            breaks: Vec::new(),
            choice: None,
        }
    }

    /// What has been cut from the strings of the object that comes next. What
    /// belongs to output text is counted with the dropped bytes.
    pub fn expect_cuts(&mut self, cuts: Cuts) {
        self.cuts = cuts;
    }

    pub fn push(&mut self, text: &str) {
        let (text, cut_bytes) = self.cuts.count(text);
        let room = self.bytes_max.saturating_sub(self.kept.len());
        let mut fits = room.min(text.len());
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        let (kept, dropped) = text.split_at_checked(fits).unwrap_or((text, ""));
        self.kept.push_str(kept);
        self.dropped_bytes = self
            .dropped_bytes
            .saturating_add(u64::try_from(dropped.len()).unwrap_or(u64::MAX))
            .saturating_add(cut_bytes);
        self.has_content |= !text.is_empty();
    }

    /// Takes bytes of a JSON string, which may hold half a surrogate pair
    /// where a provider cut its text between the two.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.push(text),
            Err(_) => self.push(&String::from_utf8_lossy(bytes)),
        }
    }

    pub fn has_content(&self) -> bool {
        self.has_content
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn bytes_held(&self) -> usize {
        self.kept.capacity()
    }

    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// What came in since the mark was said by this choice.
    pub fn said_by(&mut self, mark: &Mark, choice: u64) {
        if self.kept.len() == mark.kept {
            return;
        }
        let before = self.choice.replace(choice);
        if before.is_some_and(|before| before != choice) && self.breaks.len() < BREAKS_MAX {
            self.breaks.push(mark.kept);
        }
    }

    pub fn take(&mut self) -> Taken {
        Taken {
            text: std::mem::take(&mut self.kept),
            breaks: std::mem::take(&mut self.breaks),
        }
    }

    pub fn mark(&self) -> Mark {
        Mark {
            kept: self.kept.len(),
            dropped_bytes: self.dropped_bytes,
            has_content: self.has_content,
            breaks: self.breaks.len(),
            choice: self.choice,
        }
    }

    /// Whether text came in since the mark.
    pub fn grew(&self, mark: &Mark) -> bool {
        self.kept.len() != mark.kept || self.dropped_bytes != mark.dropped_bytes
    }

    /// Forgets what came in since the mark.
    pub fn rewind(&mut self, mark: &Mark) {
        self.kept.truncate(mark.kept);
        self.dropped_bytes = mark.dropped_bytes;
        self.has_content = mark.has_content;
        self.cuts.uncount();
        self.breaks.truncate(mark.breaks);
        self.choice = mark.choice;
    }
}

/// Text that comes in pieces which may be cut within a character.
#[derive(Debug, Default)]
pub struct TextPieces {
    /// The beginning of a character: at most three bytes.
    torn: Vec<u8>,
}

impl TextPieces {
    pub fn push(&mut self, bytes: &[u8], text: &mut Text) {
        let joined;
        let bytes = if self.torn.is_empty() {
            bytes
        } else {
            joined = [&self.torn, bytes].concat();
            &joined
        };
        let (front, torn) = bytes
            .split_at_checked(bytes.len() - torn_bytes(bytes))
            .unwrap_or((bytes, &[]));
        text.push_bytes(front);
        self.torn = torn.to_vec();
    }
}

/// How many bytes at the end begin a character that isn't whole.
fn torn_bytes(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        // Other faults are no matter of cuts; the end is looked at alone.
        Err(_) => {
            let end = bytes.len().saturating_sub(3);
            let starts = (end..bytes.len()).find(|at| {
                let rest = bytes.get(*at..).unwrap_or_default();
                matches!(std::str::from_utf8(rest), Err(e) if e.error_len().is_none() && e.valid_up_to() == 0)
            });
            starts.map_or(0, |at| bytes.len() - at)
        }
        Ok(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_pieces_is_the_same_text() {
        for (bytes, expected) in [
            ("Grüße 🌍!".as_bytes(), "Grüße 🌍!"),
            (b"a\xff\xf0\x9f\x8c\x8d", "a\u{fffd}🌍"),
        ] {
            for size in 1..bytes.len() {
                let (mut text, mut pieces) = (Text::new(100), TextPieces::default());
                for piece in bytes.chunks(size) {
                    pieces.push(piece, &mut text);
                }
                assert_eq!(text.take().text, expected, "{size}");
            }
        }
    }
}
