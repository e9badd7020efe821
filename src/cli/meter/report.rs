//! What was metered, for people and for programs.

use super::Metered;
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
        "usage": answer.usage.map(|_| json!({
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
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
        "cost_nanos": metered.cost_nanos,
    })
}

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
    let cost = metered.cost_nanos.map_or("-".to_owned(), |nanos| {
        format!("${}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    });
    let lines = [
        ("endpoint", metered.endpoint.to_owned()),
        ("model", word(&answer.model)),
        ("finish", word(&answer.finish_reason)),
        ("stream", yes(metered.streamed)),
        ("complete", yes(answer.complete)),
        ("failed", yes(answer.failed || metered.status >= 400)),
        ("unreadable", yes(answer.unreadable)),
        ("input tokens", tokens(metered.input_tokens())),
        ("  cached", part(usage.cached_input_tokens)),
        ("  written to a cache", part(usage.cache_write_tokens)),
        ("output tokens", tokens(metered.output_tokens())),
        ("  reasoning", part(usage.reasoning_tokens)),
        ("cost", cost),
    ];
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a text can't fail.
        let _ = writeln!(text, "{name:22}{value}");
        text
    })
}
