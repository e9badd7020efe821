//! What a usage object says, and how it changes what was known.
//!
//! Always holds: figures are at most [`TOKENS_MAX`]; input and output never
//! shrink from one report to the next; a part (cached, written, reasoning) is
//! never larger than its whole. Whatever breaks this is left out and called
//! odd, so that no report can become a credit.

use crate::protocol::Usage;

/// The largest figure that is believed: integers are exact in every JSON
/// reader, and in the counters' scripts, up to here.
pub const TOKENS_MAX: u64 = (1 << 53) - 1;

/// One figure as a report gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Count {
    #[default]
    Absent,
    Said(u64),
    /// Not a whole number from 0 to [`TOKENS_MAX`].
    Odd,
}

impl Count {
    pub(super) fn of(number: u64) -> Self {
        if number <= TOKENS_MAX {
            Count::Said(number)
        } else {
            Count::Odd
        }
    }

    fn said(self) -> Option<u64> {
        match self {
            Count::Said(number) => Some(number),
            Count::Absent | Count::Odd => None,
        }
    }

    fn or(self, other: Self) -> Self {
        match self {
            Count::Absent => other,
            Count::Said(_) | Count::Odd => self,
        }
    }
}

/// A usage object's figures, under the names of OpenAI and its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// All prompt tokens, cached and written ones included.
    pub(super) prompt: Count,
    pub(super) completion: Count,
    pub(super) total: Count,
    /// `prompt_tokens_details.cached_tokens`.
    pub(super) cached: Count,
    /// DeepSeek's `prompt_cache_hit_tokens`, the same number.
    pub(super) cache_hit: Count,
    /// `prompt_tokens_details.cache_write_tokens`.
    pub(super) cache_write: Count,
    /// `completion_tokens_details.reasoning_tokens`.
    pub(super) reasoning: Count,
    /// `reasoning_tokens` at the top (models of others on Azure).
    pub(super) reasoning_top: Count,
}

/// Figures, and whether something about them was not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) usage: Usage,
    pub(super) odd: bool,
}

impl Report {
    pub(super) fn judge(&self) -> Judged {
        let cached = self.cached.or(self.cache_hit);
        let reasoning = self.reasoning.or(self.reasoning_top);
        let all = [
            self.prompt,
            self.completion,
            self.total,
            cached,
            self.cache_write,
            reasoning,
        ];
        let output = with_reasoning(
            self.prompt.said(),
            self.completion.said(),
            reasoning.said(),
            self.total.said(),
        );
        let mut judged = Judged {
            usage: Usage {
                input_tokens: self.prompt.said(),
                cached_input_tokens: cached.said(),
                cache_write_tokens: self.cache_write.said(),
                output_tokens: output.filter(|tokens| *tokens <= TOKENS_MAX),
                reasoning_tokens: reasoning.said(),
            },
            odd: all.contains(&Count::Odd),
        };
        judged.odd |= judged.usage.output_tokens != output;
        judged.drop_parts_beyond_their_whole();
        judged
    }
}

impl Judged {
    /// A part larger than its whole would make the rest negative.
    fn drop_parts_beyond_their_whole(&mut self) {
        let usage = &mut self.usage;
        let cached = usage.cached_input_tokens.unwrap_or(0);
        let written = usage.cache_write_tokens.unwrap_or(0);
        let parts = cached.saturating_add(written);
        if usage.input_tokens.is_some_and(|input| parts > input) {
            usage.cached_input_tokens = None;
            usage.cache_write_tokens = None;
            self.odd = true;
        }
        let reasoning = usage.reasoning_tokens.unwrap_or(0);
        if usage.output_tokens.is_some_and(|output| reasoning > output) {
            usage.reasoning_tokens = None;
            self.odd = true;
        }
    }

    /// What is known after this report, given what was known before it. The
    /// last report counts, but what it leaves out stays, and what it takes
    /// back is not given.
    pub(super) fn after(mut self, before: Option<Usage>) -> Judged {
        let Some(before) = before else {
            return self;
        };
        for (now, before) in [
            (&mut self.usage.input_tokens, before.input_tokens),
            (&mut self.usage.output_tokens, before.output_tokens),
        ] {
            self.odd |= now.is_some_and(|now| before.is_some_and(|before| now < before));
            // None is less than any number.
            *now = (*now).max(before);
        }
        self.drop_parts_beyond_their_whole();
        self
    }

    /// Whether the report says nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.usage == Usage::default()
    }
}

/// All output tokens. OpenAI counts reasoning among the completion tokens; xAI
/// counts it beside them, which shows in the total, or, where none is given,
/// by a part that is larger than its whole.
fn with_reasoning(
    prompt: Option<u64>,
    completion: Option<u64>,
    reasoning: Option<u64>,
    total: Option<u64>,
) -> Option<u64> {
    let completion = completion?;
    let Some(reasoning) = reasoning else {
        return Some(completion);
    };
    let sum = completion.saturating_add(reasoning);
    let beside = match (prompt, total) {
        (Some(prompt), Some(total)) => prompt.saturating_add(sum) == total,
        _ => reasoning > completion,
    };
    Some(if beside { sum } else { completion })
}
