//! What was metered, for people and for programs.

use super::Metered;
use crate::config::AsDollars;
use crate::pricing::{CostPart, total_nanos};
use serde_json::{Value, json};
use std::fmt::Write;

pub(super) fn json(metered: &Metered) -> Value {
    let answer = &metered.answer;
    let usage = answer.usage.unwrap_or_default();
    let known = |known: Option<(u64, &'static str)>| known.map(|(_, how)| how);
    let part = |tokens: Option<u64>| tokens.map(|_| "provider");
    json!({
        "dialect": metered.dialect,
        "endpoint": metered.endpoint,
        "status": metered.status,
        "model": answer.model,
        "request_model": metered.request_model,
        "finish": answer.finish_reason,
        "stream": metered.streamed,
        "complete": answer.complete,
        "failed": answer.failed || metered.status >= 400,
        "unreadable": answer.unreadable,
        "service_tier": answer.service_tier,
        "usage": answer.usage.map(|_| json!({
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "cache_write_1h_tokens": usage.cache_write_1h_tokens,
            "input_audio_tokens": usage.input_audio_tokens,
            "input_image_tokens": usage.input_image_tokens,
            "cached_input_audio_tokens": usage.cached_input_audio_tokens,
            "cached_input_image_tokens": usage.cached_input_image_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "output_audio_tokens": usage.output_audio_tokens,
            "output_image_tokens": usage.output_image_tokens,
            "searches": usage.searches,
        })),
        "counted": {
            "input_tokens": metered.counted_input_tokens,
            "output_tokens": metered.counted_output_tokens,
        },
        "known": {
            "input_tokens": known(metered.input_tokens()),
            "cached_input_tokens": part(usage.cached_input_tokens),
            "cache_write_tokens": part(usage.cache_write_tokens),
            "output_tokens": known(metered.output_tokens()),
            "reasoning_tokens": part(usage.reasoning_tokens),
        },
        "cost_nanos": metered.cost.as_ref().map(|cost| total_nanos(&cost.parts)),
        "cost_parts": metered.cost.as_ref().map(|cost| &cost.parts),
        "price_version": metered.cost.as_ref().map(|cost| &cost.version),
        "charged_service_tier": metered.cost.as_ref().map(|cost| cost.tier.as_str()),
    })
}

/// As in "$0.00125 for 1000 cached_input".
fn part_text(part: CostPart) -> String {
    let CostPart {
        kind,
        units,
        cost_nanos,
    } = part;
    let cost = AsDollars(cost_nanos);
    format!("${cost} for {units} {}", kind.as_str())
}

/// What few answers have, which stays unsaid where it isn't there.
const RARE: [&str; 6] = [
    "    for an hour",
    "    sound",
    "    images",
    "  sound",
    "  images",
    "searches",
];

pub(super) fn text(metered: &Metered) -> String {
    let answer = &metered.answer;
    let usage = answer.usage.unwrap_or_default();
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    let tokens = |known: Option<(u64, &str)>| match known {
        Some((tokens, how)) => format!("{tokens} ({how})"),
        None => "-".to_owned(),
    };
    let part = |part: Option<u64>| tokens(part.map(|tokens| (tokens, "provider")));
    let cost = metered.cost.as_ref().map_or("-".to_owned(), |cost| {
        let nanos = total_nanos(&cost.parts);
        format!("${}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    });
    let mut lines = vec![
        ("endpoint", metered.endpoint.to_owned()),
        ("model", word(&answer.model)),
        ("finish", word(&answer.finish_reason)),
        ("stream", yes(metered.streamed)),
        ("complete", yes(answer.complete)),
        ("failed", yes(answer.failed || metered.status >= 400)),
        ("unreadable", yes(answer.unreadable)),
        ("input tokens", tokens(metered.input_tokens())),
        ("  cached", part(usage.cached_input_tokens)),
        ("    sound", part(usage.cached_input_audio_tokens)),
        ("    images", part(usage.cached_input_image_tokens)),
        ("  written to a cache", part(usage.cache_write_tokens)),
        ("    for an hour", part(usage.cache_write_1h_tokens)),
        ("  sound", part(usage.input_audio_tokens)),
        ("  images", part(usage.input_image_tokens)),
        ("output tokens", tokens(metered.output_tokens())),
        ("  reasoning", part(usage.reasoning_tokens)),
        ("  sound", part(usage.output_audio_tokens)),
        ("  images", part(usage.output_image_tokens)),
        ("searches", part(usage.searches)),
    ];
    lines.retain(|(name, value)| !RARE.contains(name) || value != "-");
    let tier = answer.service_tier.unwrap_or("-").to_owned();
    lines.push(("service tier", tier));
    lines.push(("cost", cost));
    let parts = metered.cost.iter().flat_map(|cost| &cost.parts);
    lines.extend(parts.map(|part| ("  of it", part_text(*part))));
    if let Some(cost) = &metered.cost {
        let tier = cost.tier;
        lines.push(("price", format!("{} ({tier})", cost.version)));
    }
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a text can't fail.
        let _ = writeln!(text, "{name:22}{value}");
        text
    })
}
