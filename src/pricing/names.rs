//! Which entry of a catalogue a model's name means.
//!
//! Names say more than the model: who serves it (`azure/...`, an ARN), in which
//! region, which snapshot of it (`-2024-08-06`), that it was fine-tuned
//! (`ft:...`). A snapshot has a price of its own, or that of its family; a
//! fine-tuned model that of fine-tuned ones, never that of its base.
//!
//! Always holds: where a provider is known, no other one's price counts, be it of
//! an operator's own file. A model that many serve at prices of their own (an open
//! one) is found with its provider alone.

use super::Kind;
use super::catalogue::{Catalogue, Entry};
use super::schedule::Schedule;

/// Who makes the models they serve: a bare name is looked for here, in order.
const HOMES: [&str; 10] = [
    "openai",
    "anthropic",
    "gemini",
    "mistral",
    "xai",
    "deepseek",
    "cohere",
    "voyage",
    "perplexity",
    "moonshot",
];

/// Other words for a provider, as names and configurations have them.
const PROVIDERS: &[(&str, &str)] = &[
    ("amazon", "bedrock"),
    ("amazon-bedrock", "bedrock"),
    ("aws", "bedrock"),
    ("azure-openai", "azure"),
    ("bedrock-converse", "bedrock"),
    ("claude", "anthropic"),
    ("cohere-chat", "cohere"),
    ("fireworks-ai", "fireworks"),
    ("google", "gemini"),
    ("google-ai", "gemini"),
    ("google-vertex", "vertex"),
    ("mistralai", "mistral"),
    ("models", "gemini"),
    ("moonshotai", "moonshot"),
    ("text-completion-openai", "openai"),
    ("together-ai", "together"),
    ("togetherai", "together"),
    ("vertex-ai", "vertex"),
    ("voyageai", "voyage"),
    ("x-ai", "xai"),
];

/// Regions of Bedrock's inference profiles.
const REGIONS: [&str; 9] = [
    "global", "us-gov", "us", "eu", "apac", "jp", "au", "ca", "sa",
];

/// Who makes the models that Bedrock serves.
const BEDROCK_MAKERS: [&str; 14] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "openai",
    "qwen",
    "stability",
    "writer",
];

/// A provider's word in catalogues: of any of its names, in any case.
pub fn provider(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let known = PROVIDERS.iter().find(|(other, _)| *other == name);
    known.map_or(name, |(_, provider)| (*provider).to_owned())
}

/// The prices of the model of that name; `served_by` says who serves it, where
/// that is known. A word there that is no provider's says nothing.
pub fn find(catalogue: &Catalogue, served_by: Option<&str>, name: &str) -> Option<Entry> {
    find_among(&[catalogue], served_by, name).map(|(_, entry)| entry)
}

/// The same in several catalogues, of which an earlier one's prices go before a
/// later one's: an operator's own before those in the program. Which of them.
///
/// What a name means is decided by all of them together, before any is asked: a
/// file that says nothing of Azure doesn't make `azure` no provider's word, so
/// that OpenAI's prices in it would count for Azure's models.
pub fn find_among(
    catalogues: &[&Catalogue],
    served_by: Option<&str>,
    name: &str,
) -> Option<(usize, Entry)> {
    let any = |of: &dyn Fn(&Catalogue) -> Option<Entry>| {
        let mut all = catalogues.iter().enumerate();
        all.find_map(|(at, catalogue)| Some((at, of(catalogue)?)))
    };
    let of = |provider: &str, name: &str| any(&|one| of_provider(one, provider, name));
    let is_known = |provider: &str| catalogues.iter().any(|one| is_provider(one, provider));
    let prefixed = prefixed(name).filter(|(provider, _)| is_known(provider));
    let served_by = served_by.map(provider).filter(|served| is_known(served));
    if let Some(provider) = served_by {
        // As in `azure/gpt-4o`, from Azure.
        let rest = prefixed.filter(|(prefix, _)| *prefix == provider);
        return any(&|one| {
            let rest = || of_provider(one, &provider, rest.as_ref()?.1);
            of_provider(one, &provider, name).or_else(rest)
        });
    }
    if let Some((provider, rest)) = prefixed {
        return of(&provider, rest);
    }
    if is_bedrock(name) {
        return of("bedrock", name);
    }
    // Home by home: what an earlier one makes is its own in every catalogue.
    HOMES.into_iter().find_map(|home| of(home, name))
}

/// Names near to one that isn't found, for a hint: those of any provider whose
/// last part is the same, at most three.
pub fn alike(catalogue: &Catalogue, name: &str) -> Vec<String> {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let same = catalogue.names().filter(|(key, _)| {
        let last = key.rsplit('/').next().unwrap_or(key);
        last.eq_ignore_ascii_case(bare)
    });
    same.take(3).map(|(key, _)| key.to_owned()).collect()
}

/// Whether a catalogue has prices of that provider, by its word there.
pub fn is_provider(catalogue: &Catalogue, provider: &str) -> bool {
    let prefix = format!("{provider}/");
    catalogue.names_from(&prefix).next().is_some()
}

/// What may be a provider's name in front, and the rest.
fn prefixed(name: &str) -> Option<(String, &str)> {
    let (prefix, rest) = name.split_once('/')?;
    (!prefix.contains(':')).then(|| (provider(prefix), rest))
}

fn of_provider(catalogue: &Catalogue, provider: &str, name: &str) -> Option<Entry> {
    let name = match provider {
        // The last part of an ARN names a model or a profile.
        "bedrock" if name.starts_with("arn:") => name.rsplit('/').next().unwrap_or(name),
        "gemini" | "vertex" => name.rsplit("models/").next().unwrap_or(name),
        _ => name,
    };
    if let Some(tuned) = name.strip_prefix("ft:") {
        return fine_tuned(catalogue, provider, tuned);
    }
    let get = |name: &str| catalogue.get(&format!("{provider}/{name}"));
    if let Some(entry) = get(name) {
        let family = undated(name).and_then(get);
        return Some(searching_as(entry, family.as_ref()));
    }
    let shorter = shorter(name);
    let names = std::iter::once(name).chain(shorter.iter().map(String::as_str));
    let mut unregional = names.clone().filter_map(|name| {
        let (region, rest) = name.split_once('.')?;
        (provider == "bedrock" && REGIONS.contains(&region)).then_some(rest)
    });
    names
        .clone()
        .find_map(get)
        .or_else(|| unregional.find_map(get))
        .or_else(|| lower_case(name).and_then(|name| of_provider(catalogue, provider, &name)))
}

/// A snapshot whose searches have no price searches at its family's: data sets
/// leave it out there, and nobody's searches are free.
fn searching_as(mut entry: Entry, family: Option<&Entry>) -> Entry {
    let Some(family) = family else {
        return entry;
    };
    let dated = entry.schedule.iter().map(|dated| {
        let mut dated = dated.clone();
        let of_family = &family.schedule.at(dated.from).price.standard.rates;
        let rates = &mut dated.price.standard.rates;
        if let (None, Some(rate)) = (rates.get(Kind::Search), of_family.get(Kind::Search)) {
            rates.set(Kind::Search, rate);
        }
        dated
    });
    // The same dates in the same order are a schedule.
    if let Ok(schedule) = Schedule::new(dated.collect()) {
        entry.schedule = schedule;
    }
    entry
}

fn lower_case(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    (lower != name).then_some(lower)
}

/// The name with less and less behind it: a version (`-v1:0`, `@20250929`,
/// `-latest`), a date.
fn shorter(name: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = name.to_owned();
    let mut take = |rest: &mut String, shorter: Option<String>| {
        if let Some(shorter) = shorter {
            names.push(shorter.clone());
            *rest = shorter;
        }
    };
    let at = rest.replace('@', "-");
    take(&mut rest, (at != name).then_some(at));
    let colon = rest.rsplit_once(':').filter(|(_, n)| is_digits(n));
    let colon = colon.map(|(name, _)| name.to_owned());
    take(&mut rest, colon);
    let version = rest.rsplit_once("-v").filter(|(_, n)| is_digits(n));
    let version = version.map(|(name, _)| name.to_owned());
    take(&mut rest, version);
    let latest = rest.strip_suffix("-latest").map(str::to_owned);
    take(&mut rest, latest);
    let undated = undated(&rest).map(str::to_owned);
    take(&mut rest, undated);
    names
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// The name of a snapshot without its date: `-2024-08-06`, `-20250929`,
/// `-08-2024`, `-2508`, `-0613`.
fn undated(name: &str) -> Option<&str> {
    let parts: Vec<&str> = name.rsplitn(4, '-').collect();
    let date_len = match parts.as_slice() {
        [day, month, year, _] if lengths([year, month, day]) == [4, 2, 2] => 10,
        [year, month, ..]
            if lengths([month, year, "0000"]) == [2, 4, 4] && month.starts_with(['0', '1']) =>
        {
            7
        }
        [date, _, ..] if is_digits(date) && (date.len() == 8 || date.len() == 4) => date.len(),
        _ => return None,
    };
    name.get(..name.len().checked_sub(date_len + 1)?)
}

/// How many digits each has; 0 where it isn't digits alone.
fn lengths(parts: [&str; 3]) -> [usize; 3] {
    parts.map(|part| if is_digits(part) { part.len() } else { 0 })
}

/// `base:organisation:name:id`. Where only snapshots of the base have a price,
/// the newest one's counts.
fn fine_tuned(catalogue: &Catalogue, provider: &str, tuned: &str) -> Option<Entry> {
    let base = tuned.split(':').next().unwrap_or(tuned);
    let key = format!("{provider}/ft:{base}");
    let family = undated(base).map(|family| format!("{provider}/ft:{family}"));
    let snapshots = format!("{key}-");
    let newest = || {
        let names = catalogue.names_from(&snapshots);
        let dated = names.filter(|name| undated(name) == Some(&key));
        let newest = dated.max();
        newest.and_then(|name| catalogue.get(name))
    };
    catalogue
        .get(&key)
        .or_else(|| family.and_then(|family| catalogue.get(&family)))
        .or_else(newest)
}

/// Whether a name has the form of Bedrock's.
fn is_bedrock(name: &str) -> bool {
    if name.starts_with("arn:") {
        return true;
    }
    let parts: Vec<&str> = name.splitn(3, '.').collect();
    match parts.as_slice() {
        [region, maker, _] if REGIONS.contains(region) => BEDROCK_MAKERS.contains(maker),
        [maker, ..] => parts.len() > 1 && BEDROCK_MAKERS.contains(maker),
        [] => false,
    }
}

#[cfg(test)]
mod tests;
