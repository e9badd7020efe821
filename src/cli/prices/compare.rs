//! What other prices would change.

use crate::config::Config;
use crate::pricing::{Catalogue, Schedule, names};
use crate::units::UnixMillis;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A model that costs something else, or is only in one of the two.
pub(super) struct Change {
    pub key: String,
    before: Option<Schedule>,
    after: Option<Schedule>,
}

/// From one catalogue to another, name by name.
pub(super) fn catalogues(before: &Catalogue, after: &Catalogue) -> Vec<Change> {
    let names = before.names().chain(after.names());
    let keys: BTreeSet<&str> = names.map(|(key, _)| key).collect();
    let change = |key: &str| Change {
        key: key.to_owned(),
        before: before.get(key).map(|entry| entry.schedule),
        after: after.get(key).map(|entry| entry.schedule),
    };
    let changes = keys.into_iter().map(change);
    changes
        .filter(|change| change.before != change.after)
        .collect()
}

/// From a catalogue to what a configuration's models cost.
pub(super) fn configured(before: &Catalogue, config: &Config) -> Vec<Change> {
    let mut models: Vec<_> = config.snapshot.models.values().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let change = |model: &std::sync::Arc<crate::policy::Model>| {
        let known = names::find(before, model.provider.as_deref(), &model.name);
        Change {
            key: model.name.to_string(),
            before: known.map(|entry| entry.schedule),
            after: model.price.as_ref().map(|price| price.schedule().clone()),
        }
    };
    let changes = models.into_iter().map(change);
    changes
        .filter(|change| change.before != change.after)
        .collect()
}

fn notation(schedule: Option<&Schedule>, now: UnixMillis) -> Option<String> {
    Some(schedule?.at(now).price.to_string())
}

pub(super) fn text(changes: &[Change], now: UnixMillis) -> String {
    let mut text = String::new();
    let mut counts = [0_usize; 3];
    for change in changes {
        let key = &change.key;
        let before = notation(change.before.as_ref(), now);
        let after = notation(change.after.as_ref(), now);
        // Writing to a String can't fail.
        let _ = match (before, after) {
            (None, Some(after)) => {
                counts[0] += 1;
                writeln!(text, "+ {key} {after}")
            }
            (Some(before), None) => {
                counts[1] += 1;
                writeln!(text, "- {key} {before}")
            }
            (Some(before), Some(after)) if before == after => {
                counts[2] += 1;
                writeln!(text, "~ {key} at other dates only; today {after}")
            }
            (Some(before), Some(after)) => {
                counts[2] += 1;
                writeln!(text, "~ {key}\n    was {before}\n    is  {after}")
            }
            (None, None) => Ok(()),
        };
    }
    let [new, gone, other] = counts;
    let _ = writeln!(text, "{new} new, {gone} gone, {other} changed");
    text
}

pub(super) fn json_lines(changes: &[Change], now: UnixMillis) -> String {
    let line = |change: &Change| {
        let line = json!({
            "model": change.key,
            "before": notation(change.before.as_ref(), now),
            "after": notation(change.after.as_ref(), now),
        });
        format!("{line}\n")
    };
    changes.iter().map(line).collect()
}
