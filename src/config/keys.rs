//! Keys that aren't in the file, in the file's own form: what is kept beside the
//! ledger is read here, so that a field means the same in both places.

use super::problem::{Findings, Problems};
use super::raw::keys::{RawAttributes, attributes};
use super::reader::{Item, Located};
use super::resolve::{Known, limits_of_key};
use super::{raw, yaml};
use crate::identity::Attributes;
use crate::policy::{Model, PlanLimit, Snapshot};
use crate::units::{Millis, UnixMillis};
use std::collections::HashSet;
use std::sync::Arc;

/// What a key has besides its name and its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyAttributes {
    /// Its own limits in there are as [`OwnLimits::resolve`] reads them.
    pub attributes: Attributes,
    pub expires_at: Option<UnixMillis>,
}

/// Reads a key's own limits. What they may speak of is what the configuration
/// knows.
#[derive(Debug, Clone, Default)]
pub struct OwnLimits {
    /// `None`: which models there are isn't known.
    models: Option<Vec<Model>>,
}

/// What is wrong with a name, of a key, say.
pub fn name_fault(name: &str) -> Option<String> {
    super::name::name_fault(name)
}

/// A span of time as the file has them: `90d`, `24h`.
pub fn span(text: &str) -> Option<Millis> {
    super::quantity::span(text).ok()
}

/// A count as the file has them: `2M`, `500k`.
pub fn count(text: &str) -> Option<u64> {
    super::quantity::amount(text).ok()
}

/// Dollars as the file has them, `25 USD`, in billionths of one.
pub fn dollars(text: &str) -> Option<u64> {
    super::quantity::dollars(text.trim().strip_suffix("USD")?).ok()
}

/// A time as a key's `expires` has it.
pub fn instant(text: &str) -> Option<UnixMillis> {
    raw::keys::instant_of(text)
}

/// Reads a key's attributes: a mapping as in `identity.keys`, without `id` and
/// `hash`, as YAML or JSON. `name` is only for messages.
///
/// # Errors
/// Everything that is wrong with them.
pub fn key_attributes(
    text: &str,
    name: &str,
    own_limits: &OwnLimits,
) -> Result<KeyAttributes, Problems> {
    read(text, name, |item, findings| {
        let raw = attributes(item)?;
        if let Some(limits) = &raw.limits {
            own_limits.of_raw(limits, findings);
        }
        of_raw(raw)
    })
}

impl OwnLimits {
    /// Of keys that call under this policy.
    pub fn of(snapshot: &Snapshot) -> Self {
        let models = snapshot.models.values();
        Self {
            models: Some(models.map(|model| Model::clone(model)).collect()),
        }
    }

    /// Reads a list as in a key's `limits`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn resolve(&self, text: &str) -> Result<Arc<[PlanLimit]>, Problems> {
        read(text, "limits", |item, findings| {
            let written = raw::limits::limits(item)?;
            self.of_raw(&written, findings).map(Arc::from)
        })
    }

    fn of_raw(
        &self,
        written: &Located<Vec<raw::limits::RawLimit>>,
        findings: &Findings,
    ) -> Option<Vec<PlanLimit>> {
        let known = Known {
            models: self.models.as_deref(),
            told_prices: &HashSet::new(),
            plans: None,
            headers: None,
            routes: None,
        };
        limits_of_key(written, &known, findings)
    }
}

fn read<T>(
    text: &str,
    name: &str,
    read: impl Fn(&Item, &Findings) -> Option<T>,
) -> Result<T, Problems> {
    let root =
        yaml::parse(text).map_err(|(place, text)| Problems::whole_file(name, place, text))?;
    let findings = Findings::default();
    match read(&Item::root(&root, &findings), &findings) {
        Some(value) if !findings.has_problems() => Ok(value),
        _ => Err(findings.into_problems(name)),
    }
}

fn of_raw(raw: RawAttributes) -> Option<KeyAttributes> {
    let value = |name: Option<Located<Arc<str>>>| name.map(|name| name.value);
    raw.is_read.then_some(())?;
    Some(KeyAttributes {
        attributes: Attributes {
            tenant: raw.tenant?.value,
            project: value(raw.project),
            environment: value(raw.environment),
            user: value(raw.user),
            owner: value(raw.owner),
            labels: raw.labels,
            scopes: raw.scopes.unwrap_or_default(),
            limits: raw.limits_json.map(Arc::from),
        },
        expires_at: raw.ends_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_in_the_file() {
        let text = r#"{ "tenant": "acme", "user": "ada", "owner": "ops", "labels": { "team": "x" },
            "scopes": { "models": "gpt-*" }, "expires": "2027-01-01",
            "limits": [ { "per": "key", "unit": "requests", "amount": 2500, "every": 1m } ] }"#;
        let limits = OwnLimits::default();
        let key = key_attributes(text, "key", &limits).unwrap();
        assert_eq!(
            (&*key.attributes.tenant, key.attributes.owner.as_deref()),
            ("acme", Some("ops"))
        );
        assert_eq!(key.attributes.labels, [("team".into(), "x".into())]);
        assert!(
            key.attributes.scopes.allow_model("gpt-5") && !key.attributes.scopes.allow_model("o3")
        );
        assert_eq!(key.expires_at, Some(UnixMillis(1_798_761_600_000)));
        let kept = key.attributes.limits.unwrap();
        assert!(
            serde_json::from_str::<serde_json::Value>(&kept).is_ok(),
            "{kept}"
        );
        let resolved = limits.resolve(&kept).unwrap();
        assert_eq!(&*resolved[0].limit.name, "own:key-requests");
        assert_eq!(resolved[0].limit.amount, 2_500);
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_at_once() {
        let text = "{ usr: ada, labels: [], limits: [ { per: user, unit: requests, amount: 1 } ] }";
        let error = key_attributes(text, "key", &OwnLimits::default()).unwrap_err();
        let error = error.to_string();
        for part in [
            "did you mean \"user\"?",
            "tenant: is required",
            "labels: must be a mapping",
            "limits[0].per: must be key",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let deep = "[".repeat(10_000);
        assert!(OwnLimits::default().resolve(&deep).is_err());
    }

    #[test]
    fn a_limit_speaks_of_models_that_there_are() {
        let text = "[ { per: key, unit: requests, amount: 1, every: 1m, when: { model: no } } ]";
        assert!(OwnLimits::default().resolve(text).is_ok());
        let none = OwnLimits::of(&Snapshot::default());
        let error = none.resolve(text).unwrap_err().to_string();
        assert!(error.contains("there is no model \"no\""), "{error}");
    }
}
