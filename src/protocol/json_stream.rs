//! Streams of JSON values: one a line, or the items of one array.
//!
//! Ollama and Cohere send a value a line, Gemini an array whose items come as
//! they are made. What is between the values (line breaks, commas, the array's
//! own brackets) is not looked at.
//!
//! Always holds: at most [`VALUE_BYTES_MAX`] bytes wait, and of objects longer
//! than [`VALUE_PLAIN_BYTES_MAX`] no long strings; objects don't depend on how
//! the input was split; a short one that lies whole within a chunk is not
//! copied.

use super::condense::{Bounds, Condensed, Condenser};
use memchr::memchr2;

/// The longest object that is kept as it came; of longer ones, only the fronts
/// of long strings are kept.
pub const VALUE_PLAIN_BYTES_MAX: usize = 16 << 10;

/// The most that is kept of a longer object; one with more passes unread.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// How much is kept of a string in a longer object.
pub const VALUE_STRING_BYTES_MAX: usize = 12 << 10;

/// A buffer that grew past this is given back after its object.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// What was found in a stream.
#[derive(Debug)]
pub enum Piece<'a> {
    /// The text of an object; whether it is JSON is not known yet.
    Object(&'a [u8]),
    /// A long one, condensed. `None`: it can't be.
    Long(Option<Condensed>),
}

/// Splits one stream into its objects.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of an object that has not ended yet.
    pending: Vec<u8>,
    /// Where it goes once it is long.
    long: Option<Condenser>,
    /// How many braces and brackets are open within the object.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// An array is open around the objects.
    array_open: bool,
}

impl Splitter {
    /// Whether the stream lies between two objects, and outside of any array:
    /// it may end here.
    pub fn is_between_values(&self) -> bool {
        self.depth == 0 && !self.array_open
    }

    /// How much memory the object that has not ended takes.
    pub fn bytes_held(&self) -> usize {
        self.pending.capacity() + self.long.as_ref().map_or(0, Condenser::bytes_held)
    }

    /// Takes the next bytes, and gives every object that they end to `sink`.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        // Where the object that is open began, if within this chunk.
        let mut start = (self.depth > 0).then_some(0);
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.in_string && !self.escaped {
                let ahead = chunk.get(at..).unwrap_or_default();
                let plain = memchr2(b'"', b'\\', ahead).unwrap_or(ahead.len());
                if plain > 0 {
                    at += plain;
                    continue;
                }
            }
            if self.depth == 0 {
                match byte {
                    b'{' => {
                        self.depth = 1;
                        start = Some(at);
                    }
                    b'[' => self.array_open = true,
                    b']' => self.array_open = false,
                    _ => {}
                }
            } else if self.ends_object(byte) {
                let from = start.take().unwrap_or(0);
                self.object(chunk.get(from..=at).unwrap_or_default(), sink);
            }
            at += 1;
        }
        if let Some(from) = start {
            self.keep(chunk.get(from..).unwrap_or_default());
        }
    }

    /// Takes a byte within an object; whether it is the object's last.
    fn ends_object(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }

    fn object(&mut self, end: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        let waits = !self.pending.is_empty() || self.long.is_some();
        if !waits && end.len() <= VALUE_PLAIN_BYTES_MAX {
            sink(Piece::Object(end));
            return;
        }
        self.keep(end);
        if let Some(long) = self.long.take() {
            sink(Piece::Long(long.finish()));
            return;
        }
        let mut object = std::mem::take(&mut self.pending);
        sink(Piece::Object(&object));
        if object.capacity() <= KEPT_BYTES_MAX {
            object.clear();
            self.pending = object;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(long) = &mut self.long {
            long.push(bytes);
        } else if self.pending.len().saturating_add(bytes.len()) <= VALUE_PLAIN_BYTES_MAX {
            self.pending.extend_from_slice(bytes);
        } else {
            let long = self.long.insert(Condenser::new(Bounds {
                bytes_max: VALUE_BYTES_MAX,
                string_bytes_max: VALUE_STRING_BYTES_MAX,
            }));
            long.push(&std::mem::take(&mut self.pending));
            long.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn objects<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, &mut |piece| {
                all.push(match piece {
                    Piece::Object(object) => String::from_utf8_lossy(object).into_owned(),
                    Piece::Long(Some(long)) => String::from_utf8(long.json).unwrap(),
                    Piece::Long(None) => "unreadable".to_owned(),
                });
            });
            assert!(splitter.bytes_held() <= 2 * VALUE_BYTES_MAX + 2 * VALUE_PLAIN_BYTES_MAX);
        }
        (all, splitter.is_between_values())
    }

    #[test]
    fn objects_are_found_in_lines_and_arrays() {
        for (stream, expected, between) in [
            ("", vec![], true),
            ("{}\n{\"a\":[{}]}\n", vec!["{}", "{\"a\":[{}]}"], true),
            (
                "{\"a\":\"}\\\"{\"}\r\n{}",
                vec!["{\"a\":\"}\\\"{\"}", "{}"],
                true,
            ),
            (
                "[{\"a\":1}\r\n,\r\n{\"b\":2}\n]",
                vec!["{\"a\":1}", "{\"b\":2}"],
                true,
            ),
            ("[{\"a\":1},", vec!["{\"a\":1}"], false),
            ("{\"a\":1", vec![], false),
            ("[]", vec![], true),
        ] {
            let expected = (expected.into_iter().map(str::to_owned).collect(), between);
            assert_eq!(objects([stream.as_bytes()]), expected, "{stream}");
            assert_eq!(objects(stream.as_bytes().chunks(1)), expected, "{stream}");
        }
    }

    #[test]
    fn a_long_object_is_read_but_for_the_ends_of_its_strings() {
        let image = "x".repeat(VALUE_BYTES_MAX);
        let front = "x".repeat(VALUE_STRING_BYTES_MAX);
        let numbers = "1,".repeat(VALUE_BYTES_MAX / 2);
        for (long, expected) in [
            (
                format!("{{\"a\":\"{image}\",\"b\":\"}}\\\"{{\"}}"),
                format!("{{\"a\":\"{front}\u{fdd0}0\",\"b\":\"}}\\\"{{\"}}"),
            ),
            (format!("{{\"a\":[{numbers}1]}}"), "unreadable".to_owned()),
        ] {
            let stream = format!("{{}}\n{long}\n{{}}");
            let expected = ["{}", &expected, "{}"];
            assert!(objects([stream.as_bytes()]).0 == expected);
            assert!(objects(stream.as_bytes().chunks(1000)).0 == expected);
            let edge = 3 + VALUE_PLAIN_BYTES_MAX;
            for at in (0..20)
                .chain(edge - 3..edge + 3)
                .chain(stream.len() - 30..stream.len())
            {
                let (a, b) = stream.as_bytes().split_at(at);
                assert!(objects([a, b]).0 == expected, "at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(stream in "[\\[\\]{}\"\\\\a, \n]{0,60}", size in 1usize..9) {
            let whole = objects([stream.as_bytes()]);
            prop_assert_eq!(objects(stream.as_bytes().chunks(size)), whole);
        }
    }
}
