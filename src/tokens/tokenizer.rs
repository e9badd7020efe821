//! The engines that count: one trait, and what stands behind it.
//!
//! Always holds: an engine's tables are loaded once and shared by all threads;
//! its work grows no faster than its text; no text makes it panic.
//!
//! To add a vocabulary: a variant, its name, and an engine.

use super::known_pieces::{KnownPieces, key};
use super::pieces::Pattern;
use super::whole_tokens::WholeTokens;
use std::ops::Range;
use std::sync::LazyLock;

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
            Vocabulary::O200kBase => &*O200K_BASE,
            Vocabulary::Cl100kBase => &*CL100K_BASE,
            Vocabulary::Voyage3Base => &*VOYAGE3_BASE,
        }
    }

    /// Loads the tables, which takes tens of milliseconds, so that no call has
    /// to wait for it.
    pub fn warm(self) {
        self.tokenizer()
            .count("warm", &mut KnownPieces::for_bytes(0));
    }
}

static O200K_BASE: LazyLock<BpeOpenAi> = LazyLock::new(|| {
    BpeOpenAi::new(
        bpe_openai::o200k_base(),
        Pattern::O200K_BASE,
        Form::AsWritten,
    )
});
static CL100K_BASE: LazyLock<BpeOpenAi> = LazyLock::new(|| {
    BpeOpenAi::new(
        bpe_openai::cl100k_base(),
        Pattern::CL100K_BASE,
        Form::AsWritten,
    )
});
static VOYAGE3_BASE: LazyLock<BpeOpenAi> = LazyLock::new(|| {
    BpeOpenAi::new(
        bpe_openai::voyage3_base(),
        Pattern::VOYAGE3_BASE,
        Form::Composed,
    )
});

/// What a vocabulary makes of a text before it is split. ASCII stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    AsWritten,
    /// Letters and their marks become one character (Unicode's NFC).
    Composed,
}

/// `bpe-openai` is linear on every input, while the reference implementation,
/// `tiktoken-rs`, panics on a million spaces and needs most of a second for a
/// megabyte of random letters.
struct BpeOpenAi {
    engine: &'static bpe_openai::Tokenizer,
    pattern: Pattern,
    form: Form,
    whole: WholeTokens,
}

impl BpeOpenAi {
    fn new(engine: &'static bpe_openai::Tokenizer, pattern: Pattern, form: Form) -> Self {
        let ids = 0..u32::try_from(engine.bpe.num_tokens()).unwrap_or(0);
        let whole = WholeTokens::new(ids.map(|id| engine.bpe.token_bytes(id)));
        Self {
            engine,
            pattern,
            form,
            whole,
        }
    }

    /// Tokens of a text in this vocabulary's form.
    fn count_formed(&self, text: &str, known: &mut KnownPieces) -> u64 {
        let bytes = text.as_bytes();
        let (mut start, mut tokens) = (0, 0);
        while start < bytes.len() {
            let end = match self.pattern.piece_end(bytes, start) {
                Some(end) if end > start => end,
                _ => self.engine_piece_end(text, start),
            };
            tokens += self.piece(bytes, start..end, known);
            start = end;
        }
        tokens
    }

    /// Where the engine ends the piece that begins at `start`.
    fn engine_piece_end(&self, text: &str, start: usize) -> usize {
        let rest = text.get(start..).unwrap_or_default();
        let piece = self.engine.split(rest).next().unwrap_or_default();
        // A pattern that found nothing, which none of them does, ends the text.
        match piece.len() {
            0 => text.len(),
            bytes => start + bytes,
        }
    }

    fn piece(&self, text: &[u8], piece: Range<usize>, known: &mut KnownPieces) -> u64 {
        let key = key(text, piece.clone());
        let count = || {
            let piece = text.get(piece).unwrap_or_default();
            self.engine.bpe.count(piece) as u64
        };
        let Some(key) = key else {
            return count();
        };
        known.tokens(key, || match self.whole.have(key) {
            true => 1,
            false => count(),
        })
    }
}

impl Tokenizer for BpeOpenAi {
    fn count(&self, text: &str, known: &mut KnownPieces) -> u64 {
        if self.form == Form::AsWritten || text.is_ascii() {
            return self.count_formed(text, known);
        }
        self.count_formed(self.engine.normalize(text).as_str(), known)
    }
}
