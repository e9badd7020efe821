//! The rules of the rate limit service as they are written.

use super::limits::{self, RawLimit};
use super::policy::Name;
use crate::config::problem::At;
use crate::config::reader::{Fields, Item, Located};
use crate::limits::Mode;

#[derive(Debug)]
pub struct RawDomain {
    pub name: Name,
    pub mode: Option<Located<Mode>>,
    pub rules: Option<Located<Vec<RawRule>>>,
}

#[derive(Debug)]
pub struct RawRule {
    pub at: At,
    pub entries: Option<Located<Vec<RawEntry>>>,
    pub limits: Option<Located<Vec<RawLimit>>>,
    pub unlimited: Option<Located<bool>>,
    pub on_done: Option<Located<bool>>,
    /// All that is there could be read.
    pub is_read: bool,
}

#[derive(Debug)]
pub struct RawEntry {
    pub key: Option<Name>,
    pub value: Option<Located<String>>,
}

/// The domains; `None` where there are none, or none could be read.
pub fn domains(top: &Fields) -> Option<Located<Vec<RawDomain>>> {
    let fields = top.optional("rate_limit_service")?.fields(&["domains"])?;
    let item = fields.required(
        "domains",
        "as Envoy's filters name them, each with its rules",
    )?;
    let domains = item.named()?.map(domain).collect();
    Some(Located {
        value: domains,
        at: item.at,
    })
}

fn domain((name, item): (Name, Item)) -> RawDomain {
    let fields = item.fields(&["mode", "rules"]);
    let mode = fields.as_ref().and_then(|fields| fields.optional("mode"));
    let rules = fields.and_then(|fields| {
        let item = fields.required("rules", "a list of what is matched and how it is limited")?;
        Some(Located {
            value: item.list()?.iter().filter_map(rule).collect(),
            at: item.at,
        })
    });
    RawDomain {
        name,
        mode: mode.and_then(|item| item.word(limits::MODES)),
        rules,
    }
}

fn rule(item: &Item) -> Option<RawRule> {
    let fields = item.fields(&["match", "limits", "unlimited", "on_done"])?;
    let entries: Option<Located<Vec<RawEntry>>> = fields
        .required(
            "match",
            "the descriptor's keys in their order, as [{ key: path }]",
        )
        .and_then(|item| {
            Some(Located {
                value: item.list()?.iter().filter_map(entry).collect(),
                at: item.at,
            })
        });
    let flag = |name| fields.optional(name).map(|item| item.boolean());
    let (unlimited, on_done) = (flag("unlimited"), flag("on_done"));
    let mut limits = fields
        .optional("limits")
        .map(|item| limits::of_descriptors(&item));
    let is_read = [&unlimited, &on_done]
        .iter()
        .all(|flag| !matches!(flag, Some(None)))
        && !matches!(limits, Some(None));
    if let (Some(Some(limits)), Some(entries)) = (&mut limits, &entries) {
        limits::name_after(limits, &keys(&entries.value));
    }
    Some(RawRule {
        at: item.at.clone(),
        entries,
        limits: limits.flatten(),
        unlimited: unlimited.flatten(),
        on_done: on_done.flatten(),
        is_read,
    })
}

fn entry(item: &Item) -> Option<RawEntry> {
    let fields = item.fields(&["key", "value"])?;
    Some(RawEntry {
        key: fields
            .required("key", "of the descriptor's entry, as Envoy sends it")
            .and_then(|item| item.name()),
        value: fields.optional("value").and_then(|item| item.text()),
    })
}

/// As `path-remote_address`: what a limit without a name is named after.
fn keys(entries: &[RawEntry]) -> String {
    let keys = entries.iter().filter_map(|entry| entry.key.as_ref());
    let keys: Vec<&str> = keys.map(|key| &*key.value).collect();
    keys.join("-")
}
