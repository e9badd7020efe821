//! What a usage object says, and how it changes what was known.
//!
//! Always holds: figures are at most [`TOKENS_MAX`]; a part (cached, written,
//! reasoning) is never larger than its whole; where the dialect's figures only
//! grow, input and output never shrink from one report to the next. Whatever
//! breaks this is left out and called odd, so that no report can become a
//! credit.

use crate::protocol::Usage;

/// The largest figure that is believed: integers are exact in every JSON
/// reader, and in the counters' scripts, up to here.
pub const TOKENS_MAX: u64 = (1 << 53) - 1;

/// One figure as a report gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    #[default]
    Absent,
    Said(u64),
    /// Not a whole number from 0 to [`TOKENS_MAX`].
    Odd,
}

impl Count {
    pub fn of(number: u64) -> Self {
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

/// The figures of usage reports, in the words of all dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// All prompt tokens, cached and written ones included.
    Prompt,
    /// Prompt tokens without those that were read from or written to a cache.
    FreshPrompt,
    /// Prompt tokens beside [`Figure::Prompt`], of what the provider's own tools
    /// brought.
    ToolPrompt,
    /// Of the prompt, read from a cache.
    Cached,
    /// The same number again under another name.
    CachedAgain,
    /// Of the prompt, written to a cache.
    CacheWrite,
    /// The same number again under another name.
    CacheWriteAgain,
    /// Of what was written, kept for an hour.
    CacheWrite1h,
    /// Of the prompt, sound and images; of what was cached of it, the same.
    PromptAudio,
    PromptImage,
    CachedAudio,
    CachedImage,
    /// All output tokens; from some, without the reasoning.
    Completion,
    /// Output tokens without the reasoning, always.
    Spoken,
    /// Reasoning, beside [`Figure::Spoken`].
    Thoughts,
    /// Of the output, reasoning.
    Reasoning,
    /// The same number again under another name.
    ReasoningAgain,
    /// Of the output, sound and images.
    CompletionAudio,
    CompletionImage,
    /// Searches of the web.
    Searches,
    Total,
}

/// A report of usage: each figure as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    figures: [Count; Figure::COUNT],
}

impl Figure {
    const COUNT: usize = Figure::Total as usize + 1;
}

impl Report {
    fn get(&self, figure: Figure) -> Count {
        let count = self.figures.get(figure as usize);
        count.copied().unwrap_or_default()
    }

    fn set(&mut self, figure: Figure, count: Count) {
        if let Some(place) = self.figures.get_mut(figure as usize) {
            *place = count;
        }
    }

    /// Takes a figure in. One that is there twice could be read in two ways.
    pub fn say(&mut self, figure: Figure, count: Count) {
        match (self.get(figure), count) {
            (Count::Absent, count) => self.set(figure, count),
            (_, Count::Absent) => {}
            _ => self.set(figure, Count::Odd),
        }
    }

    /// Adds to a figure that is the sum of several.
    pub fn add(&mut self, figure: Figure, count: Count) {
        let sum = match (self.get(figure), count) {
            (Count::Said(a), Count::Said(b)) => Count::of(a.saturating_add(b)),
            (known, Count::Absent) => known,
            (Count::Absent, count) => count,
            _ => Count::Odd,
        };
        self.set(figure, sum);
    }

    /// Takes in a later report, figure by figure.
    pub fn update(&mut self, later: &Report) {
        for (known, later) in self.figures.iter_mut().zip(later.figures) {
            if later != Count::Absent {
                *known = later;
            }
        }
    }

    /// Whether no figure was given.
    pub fn is_empty(&self) -> bool {
        *self == Report::default()
    }
}

/// Figures, and whether something about them was not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    pub usage: Usage,
    pub odd: bool,
}

impl Report {
    /// What the report comes to. `no_output`: of an endpoint that produces no
    /// tokens, so that what it leaves out is 0.
    pub fn judge(&self, no_output: bool) -> Judged {
        let cached = self.get(Figure::Cached).or(self.get(Figure::CachedAgain));
        let written = self
            .get(Figure::CacheWrite)
            .or(self.get(Figure::CacheWriteAgain));
        let reasoning = self
            .get(Figure::Reasoning)
            .or(self.get(Figure::ReasoningAgain))
            .or(self.get(Figure::Thoughts));
        let parts = [cached.said(), written.said()];
        let prompt = self.prompt(parts, no_output);
        let output = self
            .output(prompt, reasoning.said())
            .or((no_output && !self.is_empty()).then_some(0));
        let believed = |tokens: &u64| *tokens <= TOKENS_MAX;
        let usage = Usage {
            input_tokens: prompt.filter(believed),
            cached_input_tokens: cached.said(),
            cache_write_tokens: written.said(),
            cache_write_1h_tokens: self.get(Figure::CacheWrite1h).said(),
            input_audio_tokens: self.uncached(Figure::PromptAudio, Figure::CachedAudio),
            input_image_tokens: self.uncached(Figure::PromptImage, Figure::CachedImage),
            cached_input_audio_tokens: self.get(Figure::CachedAudio).said(),
            cached_input_image_tokens: self.get(Figure::CachedImage).said(),
            output_tokens: output.filter(believed),
            reasoning_tokens: reasoning.said(),
            output_audio_tokens: self.get(Figure::CompletionAudio).said(),
            output_image_tokens: self.get(Figure::CompletionImage).said(),
            searches: self.get(Figure::Searches).said(),
        };
        let mut judged = Judged {
            usage,
            odd: self.figures.contains(&Count::Odd)
                || usage.input_tokens != prompt
                || usage.output_tokens != output,
        };
        judged.drop_parts_beyond_their_whole();
        judged
    }

    /// A part of the prompt without what was cached of it.
    fn uncached(&self, part: Figure, cached: Figure) -> Option<u64> {
        let cached = self.get(cached).said().unwrap_or(0);
        Some(self.get(part).said()?.saturating_sub(cached))
    }

    fn prompt(&self, parts: [Option<u64>; 2], no_output: bool) -> Option<u64> {
        let said = |figure| self.get(figure).said();
        let sum = |tokens: u64, parts: &[Option<u64>]| {
            parts
                .iter()
                .flatten()
                .fold(tokens, |sum, part| sum.saturating_add(*part))
        };
        if let Some(prompt) = said(Figure::Prompt) {
            return Some(sum(prompt, &[said(Figure::ToolPrompt)]));
        }
        if let Some(fresh) = said(Figure::FreshPrompt) {
            return Some(sum(fresh, &parts));
        }
        // Where nothing is produced, all is input.
        said(Figure::Total).filter(|_| no_output)
    }

    fn output(&self, prompt: Option<u64>, reasoning: Option<u64>) -> Option<u64> {
        let said = |figure| self.get(figure).said();
        match (said(Figure::Spoken), said(Figure::Thoughts)) {
            (Some(spoken), thoughts) => Some(spoken.saturating_add(thoughts.unwrap_or(0))),
            (None, Some(thoughts)) => Some(thoughts),
            (None, None) => with_reasoning(
                prompt,
                said(Figure::Completion),
                reasoning,
                said(Figure::Total),
            ),
        }
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
        let (input, output, written) = (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_write_tokens.or(Some(0)),
        );
        // Without the whole its parts cost as fresh input does.
        let cached = usage.cached_input_tokens.or(Some(0));
        for (part, whole) in [
            (&mut usage.cache_write_1h_tokens, written),
            (&mut usage.input_audio_tokens, input),
            (&mut usage.input_image_tokens, input),
            (&mut usage.cached_input_audio_tokens, cached),
            (&mut usage.cached_input_image_tokens, cached),
            (&mut usage.output_audio_tokens, output),
            (&mut usage.output_image_tokens, output),
        ] {
            if part.is_some_and(|part| whole.is_some_and(|whole| part > whole)) {
                *part = None;
                self.odd = true;
            }
        }
    }

    /// What is known after this report, given what was known before it. The
    /// last report counts, but what it leaves out stays, and what it takes
    /// back is not given.
    pub fn after(mut self, before: Option<Usage>) -> Judged {
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

    /// Whether the report says nothing of tokens.
    pub fn is_empty(&self) -> bool {
        let usage = &self.usage;
        let said = [
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
        ];
        said == [None; 5]
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
