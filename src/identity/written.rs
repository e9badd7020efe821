//! A caller as JSON: how one service hands it to the next, by a way that no client
//! can write to.

use super::source::Caller;
use super::table::Account;
use serde_json::{Map, Value};
use std::sync::Arc;

impl Caller {
    /// All of it, but what a key alone has.
    pub fn to_json(&self) -> Value {
        let account = &self.account;
        let mut fields = Map::new();
        for (name, value) in [
            ("id", Some(&self.id)),
            ("tenant", Some(&account.tenant)),
            ("project", account.project.as_ref()),
            ("environment", account.environment.as_ref()),
            ("user", self.user.as_ref()),
        ] {
            fields.extend(value.map(|value| (name.to_owned(), Value::from(&**value))));
        }
        if let Some(labels) = &account.labels {
            let labels = labels.iter();
            let labels = labels.map(|(name, value)| (name.to_string(), Value::from(&**value)));
            fields.insert("labels".to_owned(), Value::Object(labels.collect()));
        }
        Value::Object(fields)
    }

    /// Reads what [`Caller::to_json`] wrote; `None` where it says not who.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(Arc::from);
        let labels = value.get("labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let labels = labels.map(|(name, value)| (Arc::from(name), Arc::from(value)));
        let mut labels: Vec<(Arc<str>, Arc<str>)> = labels.collect();
        labels.sort();
        Some(Self {
            id: text("id")?,
            user: text("user"),
            account: Account {
                tenant: text("tenant")?,
                project: text("project"),
                environment: text("environment"),
                labels: (!labels.is_empty()).then(|| labels.into()),
                scopes: None,
                limits: None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_read_as_it_was_written() {
        let bare = Caller {
            id: "mesh".into(),
            account: Account {
                tenant: "globex".into(),
                ..Account::default()
            },
            ..Caller::default()
        };
        let whole = Caller {
            user: Some("ad\u{e4}".into()),
            account: Account {
                project: Some("search".into()),
                environment: Some("test".into()),
                labels: Some([("a".into(), "1".into()), ("b".into(), "2".into())].into()),
                ..bare.account.clone()
            },
            ..bare.clone()
        };
        for caller in [bare, whole] {
            assert_eq!(Caller::from_json(&caller.to_json()), Some(caller));
        }
        for nobody in [
            serde_json::json!({"tenant": "acme"}),
            serde_json::json!({"id": "x", "tenant": 7}),
            serde_json::json!("acme"),
        ] {
            assert_eq!(Caller::from_json(&nobody), None);
        }
    }
}
