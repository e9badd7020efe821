//! Names by table, in the program's own prices.

use super::*;

/// Of the program's own prices: who serves it, the name, and what it means.
const NAMES: &[(&str, &str, &str)] = &[
    ("", "gpt-4o", "openai/gpt-4o"),
    ("", "openai/gpt-4o", "openai/gpt-4o"),
    ("openai", "gpt-4o", "openai/gpt-4o"),
    ("openai", "openai/gpt-4o", "openai/gpt-4o"),
    ("", "GPT-4o", "openai/gpt-4o"),
    ("", "gpt-4o-2024-08-06", "openai/gpt-4o"),
    ("", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
    ("", "gpt-4o-2031-01-31", "openai/gpt-4o"),
    ("", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
    ("our-gateway", "gpt-4o", "openai/gpt-4o"),
    ("", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
    ("", "claude-opus-4-1-20310131", "anthropic/claude-opus-4-1"),
    (
        "",
        "claude-sonnet-4-5-20250929",
        "anthropic/claude-sonnet-4-5-20250929",
    ),
    ("claude", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
    ("", "gemini-2.5-pro", "gemini/gemini-2.5-pro"),
    ("", "models/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
    ("google", "gemini-2.5-pro", "gemini/gemini-2.5-pro"),
    ("", "vertex_ai/gemini-2.5-pro", "vertex/gemini-2.5-pro"),
    ("vertex", "gemini-2.5-pro", "vertex/gemini-2.5-pro"),
    (
        "",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    (
        "",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    (
        "",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    (
        "",
        "amazon.nova-micro-v1:0",
        "bedrock/amazon.nova-micro-v1:0",
    ),
    (
        "",
        "sa.amazon.nova-micro-v1:0",
        "bedrock/amazon.nova-micro-v1:0",
    ),
    ("", "azure/gpt-4o-2024-08-06", "azure/gpt-4o-2024-08-06"),
    (
        "azure-openai",
        "gpt-4o-2024-08-06",
        "azure/gpt-4o-2024-08-06",
    ),
    (
        "",
        "ft:gpt-4o-mini-2024-07-18:org::id",
        "openai/ft:gpt-4o-mini-2024-07-18",
    ),
    ("", "ft:gpt-4o-mini:org:name:id", "openai/ft:gpt-4o-mini"),
    ("", "ft:gpt-4.1:org::id", "openai/ft:gpt-4.1-2025-04-14"),
    ("", "ft:gpt-3.5-turbo:org::id", "openai/ft:gpt-3.5-turbo"),
    ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
    ("", "openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
    ("", "mistral-large-latest", "mistral/mistral-large"),
    (
        "",
        "text-embedding-3-small",
        "openai/text-embedding-3-small",
    ),
];

/// Names that mean no price: nothing near to them counts.
const UNKNOWN: &[(&str, &str)] = &[
    ("", "llama-3.1-70b"),
    ("", "my-model"),
    ("", "azure/our-deployment"),
    // Fine-tuned models cost more than their base.
    ("", "ft:gpt-4.5-preview:org::id"),
    ("", "ft:my-model:org::id"),
    // A provider is known, and has no such model.
    ("azure", "claude-sonnet-4-5-nowhere"),
    ("groq", "gpt-4o"),
    ("", "gpt-4o-mini-of-ours"),
    ("", "gpt"),
    ("", ""),
    ("", "/"),
    ("", "ft:"),
    (
        "",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
    ),
];

#[test]
fn names_mean_what_they_say() {
    let catalogue = Catalogue::built_in();
    let by = |served_by: &'static str| Some(served_by).filter(|name| !name.is_empty());
    let mut wrong = Vec::new();
    for (served_by, name, key) in NAMES {
        let found = find(&catalogue, by(served_by), name).map(|entry| entry.key);
        if found.as_deref() != Some(*key) {
            wrong.push((name, found, key));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (served_by, name) in UNKNOWN {
        let found = find(&catalogue, by(served_by), name).map(|entry| entry.key);
        assert_eq!(found, None, "{served_by} {name}");
    }
}

#[test]
fn a_name_that_is_not_found_has_some_alike() {
    let catalogue = Catalogue::built_in();
    let alike = alike(&catalogue, "nowhere/gpt-4o");
    assert!(
        alike.iter().all(|name| name.ends_with("/gpt-4o")),
        "{alike:?}"
    );
    assert_eq!(alike.len(), 3);
}

#[test]
fn snapshots_lose_their_dates_alone() {
    for (name, shorter) in [
        ("gpt-4o-2024-08-06", Some("gpt-4o")),
        ("claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
        ("command-r-08-2024", Some("command-r")),
        ("gpt-4-0613", Some("gpt-4")),
        ("o1-2024-12-17", Some("o1")),
        ("gpt-4o", None),
        ("gpt-5", None),
        ("2024-08-06", None),
        ("claude-3-5-sonnet", None),
        ("-", None),
        ("", None),
    ] {
        assert_eq!(undated(name), shorter, "{name}");
    }
}

#[test]
fn a_snapshot_searches_at_its_familys_price_where_it_has_none() {
    let catalogue = Catalogue::built_in();
    for name in ["claude-haiku-4-5", "claude-haiku-4-5-20251001"] {
        let entry = find(&catalogue, None, name).unwrap();
        for dated in entry.schedule.iter() {
            let search = dated.price.standard.rates.get(Kind::Search);
            // A cent a search, in nano-dollars for a million.
            assert_eq!(search, Some(10_000_000 * 1_000_000), "{name}");
        }
    }
    let own = "weir prices 1\nversion 1\np/m input=1 output=1 search=0.02\n\
               p/m-20250101 input=1 output=1 search=0.03\n";
    let own = Catalogue::read(own).unwrap();
    let entry = find(&own, Some("p"), "m-20250101").unwrap();
    let search = entry.schedule.last().price.standard.rates.get(Kind::Search);
    assert_eq!(search, Some(30_000_000 * 1_000_000));
}
