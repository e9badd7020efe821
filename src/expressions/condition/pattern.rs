//! Patterns of `matches`, as whole automata: they need no memory of their own
//! while they search, and time in proportion to the text.

use super::wrong::NotAPattern;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input};
use std::error::Error;
use std::fmt;

pub struct Pattern(Box<dense::DFA<Vec<u32>>>);

impl Pattern {
    /// Compiles a pattern in the syntax of RE2, but that `\b` and `\B` are between
    /// the letters of ASCII and must say so: `(?-u:\b)`.
    pub fn compile(pattern: &str, bytes_max: usize) -> Result<Self, NotAPattern> {
        let automaton = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(bytes_max))
            .determinize_size_limit(Some(bytes_max));
        let states = thompson::Config::new()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(bytes_max));
        let mut builder = dense::Builder::new();
        builder.configure(automaton).thompson(states);
        match builder.build(pattern) {
            Ok(automaton) => Ok(Self(Box::new(automaton))),
            Err(error) => Err(not(&error)),
        }
    }

    /// What it takes.
    pub fn bytes(&self) -> usize {
        self.0.memory_usage()
    }

    /// Whether it is anywhere in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        // It stops early only at bytes that it was told to stop at: none.
        matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }
}

fn not(error: &dense::BuildError) -> NotAPattern {
    let states = error.source().and_then(|cause| cause.downcast_ref());
    let states_limit = states.and_then(thompson::BuildError::size_limit);
    if error.is_size_limit_exceeded() || states_limit.is_some() {
        return NotAPattern::Size;
    }
    if error.source().is_none() {
        // All else that an automaton can't do.
        return NotAPattern::Boundary;
    }
    let mut last: &dyn Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    // The parser draws where it is, and says what it is last.
    let said = last.to_string();
    let said = said.lines().last().unwrap_or_default();
    NotAPattern::Syntax(said.trim_start_matches("error: ").to_owned())
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({} bytes)", self.bytes())
    }
}
