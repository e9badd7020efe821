//! Finds fields of a mapping by their names, and reports those that are missing.

use super::Item;
use crate::config::problem::{At, Findings};

/// The fields of a mapping whose names are fixed.
pub struct Fields<'a> {
    pub at: At,
    pub(super) found: Vec<(&'static str, Item<'a>)>,
    /// Fields that an unknown one was taken for: not reported as missing too.
    pub(super) meant: Vec<&'static str>,
    pub(super) findings: &'a Findings,
}

impl<'a> Fields<'a> {
    /// A field that may be left out; `null` counts as left out.
    pub fn optional(&self, name: &str) -> Option<Item<'a>> {
        self.present(name).filter(|item| !item.is_null())
    }

    /// A field that is there, if only as `name:` with nothing behind it.
    pub fn present(&self, name: &str) -> Option<Item<'a>> {
        self.found
            .iter()
            .find(|(found, _)| *found == name)
            .map(|(_, item)| item.clone())
    }

    /// A field that must be there; `what` says what for.
    pub fn required(&self, name: &'static str, what: &str) -> Option<Item<'a>> {
        let item = self.optional(name);
        if item.is_none() && !self.meant.contains(&name) {
            let place = self
                .present(name)
                .map_or(self.at.place, |item| item.at.place);
            let at = At {
                place,
                path: self.at.path.field(name),
            };
            self.findings.problem(&at, format!("is required: {what}"));
        }
        item
    }

    /// The one of several kinds that is set. None or several is reported.
    pub fn one_kind(&self, kinds: &[&'static str]) -> Option<(&'static str, Item<'a>)> {
        let mut set = self.found.iter().filter(|(name, _)| kinds.contains(name));
        match (set.next(), set.next()) {
            (Some((name, item)), None) => Some((name, item.clone())),
            (Some(_), Some((_, second))) => second.report(format!(
                "only one of {} may be set, and another stands before this one",
                kinds.join(", ")
            )),
            (None, _) => {
                if !self.meant.iter().any(|name| kinds.contains(name)) {
                    self.findings
                        .problem(&self.at, format!("must have one of {}", kinds.join(", ")));
                }
                None
            }
        }
    }
}
