//! What was let go of a JSON text's strings.
//!
//! Each string that was cut ends with a mark that names its cut, so that
//! whoever reads the string learns how long it was. A text could spell such a
//! mark itself; but a cut counts once, whoever names it, and a text that names
//! none is all text: so nothing is ever counted short for it.

use std::fmt::Write;

/// Begins a mark; its number follows. A code point that is no character, which
/// no text has a use for.
const MARK: char = '\u{fdd0}';

/// The cuts of one text.
#[derive(Debug, Default)]
pub struct Cuts(Vec<Cut>);

#[derive(Debug)]
struct Cut {
    bytes: u64,
    counted: bool,
}

impl Cuts {
    /// A string was cut by so many bytes: the mark to end it with.
    pub(super) fn cut(&mut self, bytes: u64) -> String {
        let mut mark = String::from(MARK);
        // Writing to a string can't fail.
        let _ = write!(mark, "{}", self.0.len());
        self.0.push(Cut {
            bytes,
            counted: false,
        });
        mark
    }

    /// A string's text without its mark, and how many bytes of text at most
    /// were cut from it.
    pub fn count<'t>(&mut self, text: &'t str) -> (&'t str, u64) {
        if self.0.is_empty() {
            return (text, 0);
        }
        let Some((front, number)) = text.rsplit_once(MARK) else {
            return (text, 0);
        };
        let cut = number.parse().ok();
        let cut = cut.and_then(|at: usize| self.0.get_mut(at));
        match cut.filter(|cut| !cut.counted) {
            Some(cut) => {
                cut.counted = true;
                (front, cut.bytes)
            }
            None => (text, 0),
        }
    }

    /// The text will be read anew.
    pub fn uncount(&mut self) {
        for cut in &mut self.0 {
            cut.counted = false;
        }
    }

    pub(super) fn bytes_held(&self) -> usize {
        self.0.capacity() * size_of::<Cut>()
    }
}
