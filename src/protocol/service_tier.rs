//! Providers' words for the tier of service of a call.

/// Service tiers that are known by name, of all providers. The first leaves the
/// choice to the provider.
const TIERS: [&str; 10] = [
    "auto",
    "default",
    "flex",
    "priority",
    "scale",
    "batch",
    "standard_only",
    "on_demand",
    "performance",
    "reserved",
];

/// Other words for them: Anthropic's and Gemini's in answers, and Vertex's for
/// what it calls traffic.
const OTHERS: [(&str, &str); 5] = [
    ("standard", "default"),
    ("on_demand_flex", "flex"),
    ("on_demand_priority", "priority"),
    ("provisioned_throughput", "reserved"),
    ("fast", "priority"),
];

/// The tier that a request asks for by this word, in any case.
pub fn asked(word: &str) -> Option<&'static str> {
    TIERS
        .into_iter()
        .find(|known| word.eq_ignore_ascii_case(known))
}

/// The tier that an answer says it was served in; `auto` says nothing of that.
pub fn known(word: &str) -> Option<&'static str> {
    let mut others = OTHERS.into_iter();
    let other = others.find(|(other, _)| word.eq_ignore_ascii_case(other));
    let tier = other.map_or_else(|| asked(word), |(_, tier)| Some(tier));
    tier.filter(|tier| *tier != "auto")
}
