//! Loading the vocabularies before the first call that needs them, and saying what
//! they take.

use crate::policy::Snapshot;
use crate::tokens::Vocabulary;
use anyhow::Context;
use std::collections::BTreeMap;
use std::time::Duration;

/// Loads them on a thread that serves calls: the first thread that uses a
/// tokenizer is the one whose use of it costs least ever after.
#[expect(clippy::disallowed_methods, reason = "awaited at once")]
pub(super) async fn warm(snapshot: &Snapshot) -> anyhow::Result<()> {
    let vocabularies = of(snapshot);
    tokio::spawn(async move { vocabularies.into_values().for_each(load) })
        .await
        .context("can't load the vocabularies")
}

/// Loads those of a new configuration that none before it had.
pub(super) fn load_new(before: &Snapshot, new: &Snapshot) {
    let known = of(before);
    let new = of(new).into_iter();
    new.filter(|(name, _)| !known.contains_key(name))
        .for_each(|(_, vocabulary)| load(vocabulary));
}

/// By name, each once.
fn of(snapshot: &Snapshot) -> BTreeMap<&'static str, Vocabulary> {
    let models = snapshot.models.values();
    models
        .map(|model| (model.vocabulary.as_str(), model.vocabulary))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "measured once for each")]
fn load(vocabulary: Vocabulary) {
    let (bytes, began) = (resident_bytes(), std::time::Instant::now());
    vocabulary.warm();
    let took: Duration = began.elapsed();
    let grown = resident_bytes()
        .zip(bytes)
        .map(|(after, before)| after.saturating_sub(before) >> 20);
    tracing::info!(
        vocabulary = vocabulary.as_str(),
        memory_mib = grown,
        load_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "vocabulary loaded"
    );
}

/// What the process holds in memory; `None` where the system doesn't tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_where_the_system_tells_it() {
        if cfg!(target_os = "linux") {
            assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
