//! The event within a long payload of Bedrock's `invoke-with-response-stream`,
//! which wraps each in base64: `{"bytes":"eyJ0eXBl…","p":"abc"}`.
//!
//! Always holds: it is found at any split, as a member of the payload's own
//! object; what is no base64 is no event.

use crate::protocol::condense::{Bounds, Condensed, Condenser};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;

/// The member that holds the event.
const MEMBER: &[u8] = b"bytes";

/// How much base64 is undone in one step; a multiple of its groups of four.
const STEP_BYTES: usize = 1 << 10;

/// Looks for the event.
#[derive(Debug)]
pub(super) struct Wrapped {
    bounds: Bounds,
    place: Place,
    /// How many braces and brackets are open.
    depth: usize,
    /// Base64 that has not been undone.
    coded: Vec<u8>,
    event: Option<Condenser>,
    malformed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In no string. `named`: the last string was the member's name.
    Outside { named: bool },
    /// In a string that may be the member's name, so far it is: how many bytes.
    Name { bytes: Option<usize>, escaped: bool },
    /// In the member's value.
    Event { escaped: bool },
}

impl Wrapped {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            place: Place::Outside { named: false },
            depth: 0,
            coded: Vec::new(),
            event: None,
            malformed: false,
        }
    }

    pub(super) fn bytes_held(&self) -> usize {
        let event = self.event.as_ref().map_or(0, Condenser::bytes_held);
        self.coded.capacity() + event
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        let mut rest = payload;
        while let Some(first) = rest.first() {
            let run = self.run(rest);
            if run > 0 {
                rest = rest.get(run..).unwrap_or_default();
                continue;
            }
            self.place = match self.place {
                Place::Outside { named } => self.outside(*first, named),
                Place::Name { bytes, escaped } => name(*first, bytes, escaped),
                Place::Event { escaped } => self.within_event(*first, escaped),
            };
            rest = rest.get(1..).unwrap_or_default();
        }
    }

    /// The payload is over. `None`: no event is in it; else the event, if it
    /// can be read.
    pub(super) fn finish(mut self) -> Option<Option<Condensed>> {
        self.undo();
        let event = self.event.filter(|_| !self.malformed)?;
        Some(event.finish())
    }

    /// Takes the bytes of a string in which nothing ends or changes.
    fn run(&mut self, rest: &[u8]) -> usize {
        let plain = || memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        match self.place {
            Place::Event { escaped: false } => {
                let run = plain();
                self.code(rest.get(..run).unwrap_or_default());
                run
            }
            Place::Name {
                bytes: None,
                escaped: false,
            } => plain(),
            _ => 0,
        }
    }

    fn outside(&mut self, byte: u8, named: bool) -> Place {
        match byte {
            b'"' if named && self.event.is_none() => {
                self.event = Some(Condenser::new(self.bounds));
                return Place::Event { escaped: false };
            }
            b'"' => {
                return Place::Name {
                    bytes: (self.depth == 1).then_some(0),
                    escaped: false,
                };
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let stays = named && (byte == b':' || byte.is_ascii_whitespace());
        Place::Outside { named: stays }
    }

    /// At a quote or an escape in the event.
    fn within_event(&mut self, byte: u8, escaped: bool) -> Place {
        match byte {
            b'"' if !escaped => {
                self.undo();
                return Place::Outside { named: false };
            }
            b'\\' if !escaped => return Place::Event { escaped: true },
            // A slash may be escaped; nothing else of base64 is.
            _ => {
                self.malformed |= byte != b'/';
                self.code(&[byte]);
            }
        }
        Place::Event { escaped: false }
    }

    fn code(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = STEP_BYTES.saturating_sub(self.coded.len());
            let (step, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.coded.extend_from_slice(step);
            if self.coded.len() >= STEP_BYTES {
                self.undo();
            }
            bytes = rest;
        }
    }

    fn undo(&mut self) {
        match (STANDARD.decode(&self.coded), &mut self.event) {
            (Ok(bytes), Some(event)) => {
                event.push(&bytes);
            }
            (Err(_), _) => self.malformed = true,
            (Ok(_), None) => {}
        }
        self.coded.clear();
    }
}

/// Takes a byte of a string that may be the member's name.
fn name(byte: u8, bytes: Option<usize>, escaped: bool) -> Place {
    if byte == b'"' && !escaped {
        let named = bytes == Some(MEMBER.len());
        return Place::Outside { named };
    }
    let fits = bytes.filter(|at| MEMBER.get(*at) == Some(&byte));
    Place::Name {
        bytes: fits.map(|at| at + 1),
        escaped: byte == b'\\' && !escaped,
    }
}
