//! A key as it is kept, and what may be said of it.

use crate::identity::scopes::{NoPattern, Pattern};
use crate::identity::table::{Account, Change, Key};
use crate::identity::{Attributes, KeyDigest, Scopes};
use crate::units::UnixMillis;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A key that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub id: Arc<str>,
    pub digest: KeyDigest,
    pub attributes: Attributes,
    pub expires_at: Option<UnixMillis>,
}

/// A key that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub id: Arc<str>,
    pub digest: KeyDigest,
    pub attributes: Attributes,
    pub created_at: UnixMillis,
    pub created_by: Arc<str>,
    /// It ends, or ended, then.
    pub expires_at: Option<UnixMillis>,
    pub revoked_at: Option<UnixMillis>,
    /// The key that has taken its place.
    pub replaced_by: Option<Arc<str>>,
    /// Hours since 1970.
    pub last_used_hour: Option<u32>,
    /// The number of its last change.
    pub changed: i64,
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    /// It still counts; another has taken its place.
    Replaced,
    Ended,
    Revoked,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Replaced => "replaced",
            State::Ended => "ended",
            State::Revoked => "revoked",
        }
    }
}

impl StoredKey {
    pub fn state(&self, now: UnixMillis) -> State {
        match (self.revoked_at, self.expires_at, &self.replaced_by) {
            (Some(_), ..) => State::Revoked,
            (None, Some(end), _) if end <= now => State::Ended,
            (None, _, Some(_)) => State::Replaced,
            (None, _, None) => State::Active,
        }
    }

    /// What a table of keys is to make of it.
    pub fn change(&self) -> Change {
        if self.revoked_at.is_some() {
            return Change::Remove(Arc::clone(&self.id));
        }
        let Attributes {
            tenant,
            project,
            environment,
            user,
            owner: _,
            labels,
            scopes,
            limits,
        } = &self.attributes;
        Change::Put(Key {
            digest: self.digest,
            id: Arc::clone(&self.id),
            user: user.clone(),
            account: Account {
                tenant: Arc::clone(tenant),
                project: project.clone(),
                environment: environment.clone(),
                labels: (!labels.is_empty()).then(|| labels.as_slice().into()),
                scopes: (!scopes.is_everything()).then(|| Arc::new(scopes.clone())),
                limits: limits.clone(),
            },
            ends_at: self.expires_at,
            replaced: self.replaced_by.is_some(),
        })
    }

    /// All but its digest: for the audit, and for whoever may see keys.
    pub fn to_json(&self) -> Value {
        let Attributes {
            tenant,
            project,
            environment,
            user,
            owner,
            labels,
            scopes,
            limits,
        } = &self.attributes;
        let mut all = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            all.extend(value.map(|value| (name.to_owned(), value)));
        };
        let text = |text: &Option<Arc<str>>| text.as_deref().map(Value::from);
        let at = |at: Option<UnixMillis>| at.map(|at| Value::from(at.0));
        put("id", Some(json!(*self.id)));
        put("tenant", Some(json!(**tenant)));
        put("project", text(project));
        put("environment", text(environment));
        put("user", text(user));
        put("owner", text(owner));
        put("labels", labels_json(labels));
        put("scopes", scopes_json(scopes));
        // What can't be read as JSON is shown as it is.
        let as_is = |text: &Arc<str>| Value::from(&**text);
        let limits = limits.as_ref();
        put(
            "limits",
            limits.map(|text| serde_json::from_str(text).unwrap_or_else(|_| as_is(text))),
        );
        put("created_at_ms", Some(json!(self.created_at.0)));
        put("created_by", Some(json!(*self.created_by)));
        put("expires_at_ms", at(self.expires_at));
        put("revoked_at_ms", at(self.revoked_at));
        put("replaced_by", text(&self.replaced_by));
        put("last_used_hour", self.last_used_hour.map(Value::from));
        Value::Object(all)
    }
}

/// `None`: there is none.
pub(super) fn labels_json(labels: &[(Arc<str>, Arc<str>)]) -> Option<Value> {
    let each = labels.iter();
    let all: Map<String, Value> = each
        .map(|(name, value)| ((**name).to_owned(), json!(**value)))
        .collect();
    (!all.is_empty()).then_some(Value::Object(all))
}

pub(super) fn labels_of_json(text: &str) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let all: Map<String, Value> = serde_json::from_str(text).ok()?;
    let each = all.iter();
    each.map(|(name, value)| Some((name.as_str().into(), value.as_str()?.into())))
        .collect()
}

/// In the configuration's form; `None`: it is for everything.
pub(super) fn scopes_json(scopes: &Scopes) -> Option<Value> {
    let mut all = Map::new();
    let mut put = |name: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            all.insert(name.to_owned(), json!(texts));
        }
    };
    let patterns = |list: &[Pattern]| list.iter().map(|one| one.as_str().to_owned()).collect();
    put("models", patterns(&scopes.models));
    put("endpoints", patterns(&scopes.endpoints));
    put(
        "addresses",
        scopes.addresses.iter().map(ToString::to_string).collect(),
    );
    put(
        "environments",
        scopes
            .environments
            .iter()
            .map(ToString::to_string)
            .collect(),
    );
    (!all.is_empty()).then_some(Value::Object(all))
}

/// `None` where anything of it isn't understood: it must not become wider.
pub(super) fn scopes_of_json(text: &str) -> Option<Scopes> {
    let all: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut scopes = Scopes::default();
    for (name, list) in &all {
        let texts: Vec<&str> = list
            .as_array()?
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()?;
        if texts.is_empty() {
            return None;
        }
        let patterns = || {
            let each = texts.iter().map(|text| Pattern::new(text));
            each.collect::<Result<Vec<_>, NoPattern>>().ok()
        };
        match name.as_str() {
            "models" => scopes.models = patterns()?,
            "endpoints" => scopes.endpoints = patterns()?,
            "addresses" => {
                let each = texts.iter().map(|text| text.parse().ok());
                scopes.addresses = each.collect::<Option<_>>()?;
            }
            "environments" => scopes.environments = texts.into_iter().map(Arc::from).collect(),
            _ => return None,
        }
    }
    Some(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_back_as_they_were_and_what_is_odd_does_not() {
        let scopes = Scopes {
            models: vec![Pattern::new("gpt-*").unwrap(), Pattern::new("o3").unwrap()],
            endpoints: vec![Pattern::new("/v1/*").unwrap()],
            addresses: vec!["10.0.0.0/8".parse().unwrap()],
            environments: vec!["prod".into()],
        };
        let text = scopes_json(&scopes).unwrap().to_string();
        assert_eq!(scopes_of_json(&text), Some(scopes));
        assert_eq!(scopes_json(&Scopes::default()), None);
        for odd in [
            "[]",
            "{\"models\":[]}",
            "{\"models\":[\"a*b\"]}",
            "{\"models\":\"gpt\"}",
            "{\"models\":[1]}",
            "{\"addresses\":[\"here\"]}",
            "{\"tenants\":[\"acme\"]}",
            "",
        ] {
            assert_eq!(scopes_of_json(odd), None, "{odd}");
        }
    }

    #[test]
    fn how_a_key_stands() {
        let key = |revoked: Option<u64>, expires: Option<u64>, replaced: Option<&str>| StoredKey {
            id: "k".into(),
            digest: KeyDigest([0; 32]),
            attributes: Attributes::default(),
            created_at: UnixMillis(0),
            created_by: "me".into(),
            expires_at: expires.map(UnixMillis),
            revoked_at: revoked.map(UnixMillis),
            replaced_by: replaced.map(Arc::from),
            last_used_hour: None,
            changed: 1,
        };
        for (key, state) in [
            (key(None, None, None), State::Active),
            (key(None, Some(11), None), State::Active),
            (key(None, Some(10), None), State::Ended),
            (key(None, Some(11), Some("l")), State::Replaced),
            (key(None, Some(10), Some("l")), State::Ended),
            (key(Some(9), None, Some("l")), State::Revoked),
        ] {
            assert_eq!(key.state(UnixMillis(10)), state, "{key:?}");
            let is_gone = matches!(key.change(), Change::Remove(_));
            assert_eq!(is_gone, state == State::Revoked, "{key:?}");
        }
    }
}
