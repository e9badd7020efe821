//! What a key may be used for, narrower than its plan.

use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// The most entries of one list of a key: each call may be held against all.
pub const ENTRIES_MAX: usize = 64;

/// Each list that is empty allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scopes {
    /// Names of models.
    pub models: Vec<Pattern>,
    /// Paths of endpoints, as they stand in the ledger: `/v1/chat/completions`.
    pub endpoints: Vec<Pattern>,
    /// Where calls may come from. A caller whose address isn't known is refused.
    pub addresses: Vec<IpNet>,
    /// Which environments' routes it may call.
    pub environments: Vec<Arc<str>>,
}

/// A name, or the beginning of names with a `*` behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a name, or the beginning of names with one * at its end")]
pub struct NoPattern;

impl Pattern {
    /// # Errors
    /// An empty text, or a `*` that isn't the last character.
    pub fn new(text: &str) -> Result<Self, NoPattern> {
        let front = text.strip_suffix('*').unwrap_or(text);
        match text.is_empty() || front.contains('*') {
            true => Err(NoPattern),
            false => Ok(Self(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn fits(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(front) => name.starts_with(front),
            None => *self.0 == *name,
        }
    }

    /// Whether every name that fits `other` fits this.
    fn holds(&self, other: &Self) -> bool {
        match other.0.strip_suffix('*') {
            Some(front) => self
                .0
                .strip_suffix('*')
                .is_some_and(|wider| front.starts_with(wider)),
            None => self.fits(&other.0),
        }
    }
}

impl Scopes {
    pub fn allow_model(&self, name: &str) -> bool {
        fits(&self.models, name)
    }

    pub fn allow_endpoint(&self, name: &str) -> bool {
        fits(&self.endpoints, name)
    }

    pub fn allow_address(&self, address: Option<IpAddr>) -> bool {
        // An address of the one kind may be written as one of the other.
        let address = address.map(|address| address.to_canonical());
        let mut allowed = self.addresses.iter();
        self.addresses.is_empty()
            || address.is_some_and(|address| allowed.any(|net| net.contains(&address)))
    }

    /// `None`: the route has none, and any key may call it.
    pub fn allow_environment(&self, name: Option<&str>) -> bool {
        let mut allowed = self.environments.iter();
        self.environments.is_empty()
            || name.is_none_or(|name| allowed.any(|known| **known == *name))
    }

    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all that `other` allows is allowed here: who has these scopes may
    /// give those.
    pub fn hold(&self, other: &Self) -> bool {
        let nets = |net: &IpNet| self.addresses.iter().any(|wide| wide.contains(net));
        hold(&self.models, &other.models, |one| {
            self.models.iter().any(|wide| wide.holds(one))
        }) && hold(&self.endpoints, &other.endpoints, |one| {
            self.endpoints.iter().any(|wide| wide.holds(one))
        }) && hold(&self.addresses, &other.addresses, nets)
            && hold(&self.environments, &other.environments, |one| {
                self.environments.contains(one)
            })
    }
}

fn fits(patterns: &[Pattern], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(name))
}

/// An empty list is the widest.
fn hold<T>(mine: &[T], others: &[T], held: impl Fn(&T) -> bool) -> bool {
    mine.is_empty() || (!others.is_empty() && others.iter().all(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(patterns: &[&str]) -> Scopes {
        Scopes {
            models: patterns.iter().map(|p| Pattern::new(p).unwrap()).collect(),
            ..Scopes::default()
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        for (pattern, name, fits) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o*", "gpt-4o-mini", true),
            ("gpt-4o*", "gpt-4", false),
            ("*", "", true),
            ("*", "anything", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().fits(name),
                fits,
                "{pattern} {name}"
            );
        }
        for wrong in ["", "a*b", "**", "*a"] {
            assert_eq!(Pattern::new(wrong), Err(NoPattern), "{wrong}");
        }
    }

    #[test]
    fn an_address_must_be_in_one_of_the_nets_and_known() {
        let scopes = Scopes {
            addresses: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            ..Scopes::default()
        };
        for (address, allowed) in [
            (Some("10.1.2.3"), true),
            (Some("::ffff:10.1.2.3"), true),
            (Some("11.0.0.1"), false),
            (Some("fd12::1"), true),
            (Some("fe80::1"), false),
            (None, false),
        ] {
            let address = address.map(|text: &str| text.parse().unwrap());
            assert_eq!(scopes.allow_address(address), allowed, "{address:?}");
        }
        assert!(Scopes::default().allow_address(None));
    }

    #[test]
    fn nobody_can_give_more_than_they_have() {
        for (mine, others, holds) in [
            (&[][..], &[][..], true),
            (&[], &["gpt-4o"], true),
            (&["gpt-4o"], &[], false),
            (&["gpt-4o"], &["gpt-4o"], true),
            (&["gpt-4o"], &["gpt-4o*"], false),
            (&["gpt-*"], &["gpt-4o*", "gpt-5"], true),
            (&["gpt-*"], &["*"], false),
            (&["gpt-*", "claude*"], &["claude-3", "gemini"], false),
        ] {
            assert_eq!(
                models(mine).hold(&models(others)),
                holds,
                "{mine:?} {others:?}"
            );
        }
        let nets = |text: &str| Scopes {
            addresses: vec![text.parse().unwrap()],
            ..Scopes::default()
        };
        assert!(nets("10.0.0.0/8").hold(&nets("10.1.0.0/16")));
        assert!(!nets("10.1.0.0/16").hold(&nets("10.0.0.0/8")));
        assert!(!nets("10.0.0.0/8").hold(&Scopes::default()));
    }
}
