//! The engines that count: one trait, and what stands behind it.
//!
//! Always holds: an engine's tables are loaded once and shared by all threads;
//! its work grows no faster than its text; no text makes it panic.
//!
//! To add a vocabulary: a variant, its name, and an engine.

use super::known_pieces::KnownPieces;

/// Shorter texts have few words twice.
const KNOWN_FROM_BYTES: usize = 512;

/// The public vocabularies that tokens are counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    O200kBase,
    Cl100kBase,
    /// Voyage AI's, of its third generation of embeddings.
    Voyage3Base,
}

/// Counts tokens by one vocabulary.
pub trait Tokenizer: Send + Sync {
    /// Tokens of a text that stands alone. `known` is of this engine alone.
    fn count(&self, text: &str, known: &mut KnownPieces) -> u64;
}

impl Vocabulary {
    pub const ALL: [Vocabulary; 3] = [
        Vocabulary::O200kBase,
        Vocabulary::Cl100kBase,
        Vocabulary::Voyage3Base,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Vocabulary::O200kBase => "o200k_base",
            Vocabulary::Cl100kBase => "cl100k_base",
            Vocabulary::Voyage3Base => "voyage3_base",
        }
    }

    /// Its engine. The first use loads the tables.
    pub fn tokenizer(self) -> &'static dyn Tokenizer {
        match self {
            Vocabulary::O200kBase => bpe_openai::o200k_base(),
            Vocabulary::Cl100kBase => bpe_openai::cl100k_base(),
            Vocabulary::Voyage3Base => bpe_openai::voyage3_base(),
        }
    }

    /// Loads the tables, which takes tens of milliseconds, so that no call has
    /// to wait for it.
    pub fn warm(self) {
        self.tokenizer().count("warm", &mut KnownPieces::default());
    }
}

/// `bpe-openai` is linear on every input, while the reference implementation,
/// `tiktoken-rs`, panics on a million spaces and needs most of a second for a
/// megabyte of random letters.
impl Tokenizer for bpe_openai::Tokenizer {
    fn count(&self, text: &str, known: &mut KnownPieces) -> u64 {
        if text.len() < KNOWN_FROM_BYTES {
            return bpe_openai::Tokenizer::count(self, text) as u64;
        }
        let text = self.normalize(text);
        let pieces = self.split(text.as_str());
        let tokens =
            pieces.map(|piece| known.tokens(piece, || self.bpe.count(piece.as_bytes()) as u64));
        tokens.sum()
    }
}
