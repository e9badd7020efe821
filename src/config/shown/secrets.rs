//! Texts that are in a configuration but never shown: whether two of them are the
//! same is known all the same, by their hashes, which never leave this process.

use super::differences::Difference;
use crate::config::Secret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;

/// What stands for a secret, and for one that isn't the one before.
pub(super) const HIDDEN: &str = "(hidden)";
const HIDDEN_CHANGED: &str = "(hidden, changed)";

/// By where they stand; each path once.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Secrets(Vec<(&'static str, [u8; 32])>);

impl Secrets {
    /// Notes a secret down; gives what is shown of it.
    pub fn hide(&mut self, path: &'static str, secret: Option<&Secret>) -> Value {
        self.hide_bytes(path, secret.map(|secret| secret.expose().as_bytes()))
    }

    /// The same of what isn't a text, or is no secret but long.
    pub fn hide_bytes(&mut self, path: &'static str, bytes: Option<impl AsRef<[u8]>>) -> Value {
        let Some(bytes) = bytes else {
            return Value::Null;
        };
        self.0.push((path, Sha256::digest(bytes.as_ref()).into()));
        json!(HIDDEN)
    }

    /// Those at such paths are of another from now on.
    pub fn replace(&mut self, other: &Self, is_theirs: impl Fn(&str) -> bool) {
        self.0.retain(|(path, _)| !is_theirs(path));
        let theirs = other.0.iter().filter(|(path, _)| is_theirs(path));
        self.0.extend(theirs.copied());
    }

    /// Those that are in both and not the same.
    pub fn changed<'s>(&'s self, after: &'s Self) -> impl Iterator<Item = Difference> + 's {
        let before = self.0.iter();
        let changed = before.filter(|(path, digest)| {
            let mut other = after.0.iter();
            other.any(|(known, other)| known == path && other != digest)
        });
        changed.map(|(path, _)| hidden_changed((*path).to_owned()))
    }
}

/// A secret that isn't the one before.
pub(super) fn hidden_changed(path: String) -> Difference {
    Difference {
        path,
        before: Some(json!(HIDDEN)),
        after: Some(json!(HIDDEN_CHANGED)),
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}
