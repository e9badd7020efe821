//! What a provider's own words around a call's texts cost: the marks of its
//! messages, the beginning of its answer, what it says to a model of tools.
//!
//! Sources: OpenAI's cookbook, "How to count tokens with tiktoken"; Anthropic,
//! "Tool use: pricing"; the chat templates that Meta, Qwen and Mistral publish
//! with their models.

use super::ratios::names;

/// The table's version: the day of its last change.
pub const VERSION: &str = "2025-11-25";

/// What each thing in a call costs beyond its texts, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overhead {
    pub message: u64,
    /// A message's name of its author.
    pub name: u64,
    /// The beginning of the answer, once for a call with messages.
    pub priming: u64,
    pub tools: ToolOverhead,
}

/// What tools cost beyond their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolOverhead {
    /// Once for a call that has tools.
    pub system: u64,
    /// The same where the call demands that one is used.
    pub system_forced: u64,
    pub function: u64,
    /// Once for a function that has properties, and for each of them.
    pub properties: u64,
    pub property: u64,
    /// Each allowed value (OpenAI's -3 for a list of them is left out: as an
    /// estimate it may be too much, not too little).
    pub value: u64,
}

/// What Claude reads of itself where it is told to think: by recorded calls of
/// its models 3.7 and 4.5.
pub const THINKING_TOKENS: u64 = 27;

/// What a call has that costs more than its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    pub messages: u64,
    pub names: u64,
    pub functions: u64,
    /// Functions that have properties.
    pub with_properties: u64,
    pub properties: u64,
    pub values: u64,
    /// `tool_choice` leaves the model no choice but to use one.
    pub forced: bool,
}

const NO_TOOLS: ToolOverhead = ToolOverhead {
    system: 0,
    system_forced: 0,
    function: 0,
    properties: 0,
    property: 0,
    value: 0,
};

/// OpenAI's, of `gpt-4o` and later: `func_init` 7, `prop_init` 3, `prop_key` 3,
/// `enum_item` 3, `func_end` 12.
const OPENAI_TOOLS: ToolOverhead = ToolOverhead {
    system: 12,
    system_forced: 12,
    function: 7,
    properties: 3,
    property: 3,
    value: 3,
};

const fn row(message: u64, name: u64, priming: u64, tools: ToolOverhead) -> Overhead {
    Overhead {
        message,
        name,
        priming,
        tools,
    }
}

/// Anthropic's, whose system prompt for tools depends on the model: `auto` or
/// `none`, and `any` or `tool`.
const fn anthropic(system: u64, system_forced: u64) -> Overhead {
    let tools = ToolOverhead {
        system,
        system_forced,
        ..NO_TOOLS
    };
    row(4, 0, 3, tools)
}

/// By dialect and by what a model's name begins with; `""` fits any. The first
/// row that fits decides, so longer names stand first.
const ROWS: &[(&str, &str, Overhead)] = &[
    ("", "claude-3-opus", anthropic(530, 281)),
    ("", "claude-3-sonnet", anthropic(159, 235)),
    ("", "claude-3-haiku", anthropic(264, 340)),
    ("", "claude-3-5-haiku", anthropic(264, 340)),
    ("", "claude-haiku-3-5", anthropic(264, 340)),
    ("", "claude-3-5-sonnet-20240620", anthropic(294, 261)),
    ("", "claude", anthropic(346, 313)),
    ("anthropic", "", anthropic(346, 313)),
    // Of gpt-4 and before, a function begins with 10.
    ("openai", "gpt-4o", row(3, 1, 3, OPENAI_TOOLS)),
    (
        "openai",
        "gpt-4",
        row(
            3,
            1,
            3,
            ToolOverhead {
                function: 10,
                ..OPENAI_TOOLS
            },
        ),
    ),
    (
        "openai",
        "gpt-3.5",
        row(
            3,
            1,
            3,
            ToolOverhead {
                function: 10,
                ..OPENAI_TOOLS
            },
        ),
    ),
    // <|start_header_id|>role<|end_header_id|>\n\n ... <|eot_id|>
    ("", "llama", row(5, 0, 5, NO_TOOLS)),
    // <|im_start|>role\n ... <|im_end|>\n
    ("", "qwen", row(5, 0, 3, NO_TOOLS)),
    // <s>[INST] ... [/INST]
    ("", "mistral", row(2, 0, 2, NO_TOOLS)),
    ("openai", "", row(3, 1, 3, OPENAI_TOOLS)),
    // <|START_OF_TURN_TOKEN|><|USER_TOKEN|> ... <|END_OF_TURN_TOKEN|>
    ("cohere", "", row(3, 0, 3, NO_TOOLS)),
    ("ollama", "", row(5, 0, 5, NO_TOOLS)),
    // Google counts the contents alone.
    ("gemini", "", row(0, 0, 0, NO_TOOLS)),
    ("bedrock", "", row(3, 0, 3, NO_TOOLS)),
];

const NONE: Overhead = row(0, 0, 0, NO_TOOLS);

impl Overhead {
    /// Of a dialect, by its name, and a model of it. Nothing where the dialect
    /// isn't known.
    pub fn of(dialect: &str, model: &str) -> Self {
        let fits = |(of_dialect, name, _): &&(&str, &str, Overhead)| {
            (of_dialect.is_empty() || *of_dialect == dialect)
                && (name.is_empty() || names(model, name))
        };
        ROWS.iter().find(fits).map_or(NONE, |(_, _, row)| *row)
    }

    /// What a call's parts come to.
    pub fn tokens(self, parts: Parts) -> u64 {
        let each = [
            (parts.messages, self.message),
            (parts.names, self.name),
            (u64::from(parts.messages > 0), self.priming),
            (parts.functions, self.tools.function),
            (parts.with_properties, self.tools.properties),
            (parts.properties, self.tools.property),
            (parts.values, self.tools.value),
        ];
        let tools = match (parts.functions, parts.forced) {
            (0, _) => 0,
            (_, false) => self.tools.system,
            (_, true) => self.tools.system_forced,
        };
        each.iter().fold(tools, |sum, (count, tokens)| {
            sum.saturating_add(count.saturating_mul(*tokens))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(messages: u64, names: u64) -> Parts {
        Parts {
            messages,
            names,
            ..Parts::default()
        }
    }

    #[test]
    fn a_chat_costs_what_is_published() {
        let openai = Overhead::of("openai", "gpt-4o");
        assert_eq!(openai.tokens(chat(0, 0)), 0);
        assert_eq!(openai.tokens(chat(1, 0)), 6);
        assert_eq!(openai.tokens(chat(3, 2)), 14);
        assert_eq!(
            Overhead::of("gemini", "gemini-2.5-flash").tokens(chat(3, 0)),
            0
        );
        assert_eq!(
            Overhead::of("openai", "llama3-8b-8192").tokens(chat(1, 0)),
            10
        );
        assert_eq!(Overhead::of("no dialect", "no model"), NONE);
    }

    #[test]
    fn tools_cost_what_is_published() {
        for (dialect, model, forced, expected) in [
            ("anthropic", "claude-sonnet-4-5", false, 346),
            (
                "bedrock",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                true,
                313,
            ),
            ("anthropic", "claude-3-opus-20240229", false, 530),
            ("anthropic", "claude-3-5-haiku-20241022", true, 340),
            ("gemini", "gemini-2.5-pro", false, 0),
            ("openai", "gpt-4-turbo", false, 22),
            ("openai", "gpt-4o-mini", false, 19),
        ] {
            let parts = Parts {
                functions: 1,
                forced,
                ..Parts::default()
            };
            assert_eq!(
                Overhead::of(dialect, model).tokens(parts),
                expected,
                "{model}"
            );
        }
        // The cookbook's example: a weather function of gpt-4o with a string and
        // a string of two allowed values.
        let weather = Parts {
            functions: 1,
            with_properties: 1,
            properties: 2,
            values: 2,
            ..Parts::default()
        };
        assert_eq!(
            Overhead::of("openai", "gpt-4o").tokens(weather),
            12 + 7 + 3 + 6 + 6
        );
    }

    #[test]
    fn sums_do_not_overflow() {
        let overhead = Overhead::of("openai", "gpt-4o");
        assert_eq!(overhead.tokens(chat(u64::MAX, 1)), u64::MAX);
    }
}
