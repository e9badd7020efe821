//! What Envoy itself knows of its caller: the connection and verified tokens.

use super::structs::text_of;
use super::{AUTHZ_NAMESPACE, JWT_NAMESPACE};
use crate::exchange::message::Judged;
use crate::identity::source::Caller;
use crate::identity::table::Account;
use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use serde_json::Map;
use std::sync::Arc;

/// Claims with more values than these, or deeper, are not looked at: a token has
/// some tens.
const VALUES_MAX: usize = 1024;
const DEPTH_MAX: usize = 8;

/// Under which names a judged caller travels from ext_authz to ext_proc.
const KEY_FIELD: &str = "weir_key_id";
const CALLER_FIELD: &str = "weir_caller";

/// The claims of the tokens that Envoy's `jwt_authn` has verified, where the
/// configuration hands its namespace on.
pub(super) fn tokens(metadata: Option<&Metadata>) -> Option<serde_json::Value> {
    let object = metadata?.filter_metadata.get(JWT_NAMESPACE)?;
    json_object(object, 0, &mut VALUES_MAX.clone())
}

/// Whom ext_authz has found, where its namespace is handed on.
pub(super) fn judged(metadata: Option<&Metadata>) -> Option<Judged> {
    let object = metadata?.filter_metadata.get(AUTHZ_NAMESPACE)?;
    if let Some(id) = text_of(object, KEY_FIELD) {
        return Some(Judged::Key(id.to_owned()));
    }
    match object.fields.get(CALLER_FIELD)?.kind.as_ref()? {
        Kind::StructValue(caller) => Some(Judged::Caller(Box::new(caller_of(caller)?))),
        _ => None,
    }
}

/// What [`judged`] reads.
pub(super) fn handed_on(judged: &Judged) -> Struct {
    let (name, value) = match judged {
        Judged::Key(id) => (KEY_FIELD, Kind::StringValue(id.clone())),
        Judged::Caller(caller) => (CALLER_FIELD, Kind::StructValue(struct_of(caller))),
    };
    let value = Value { kind: Some(value) };
    Struct {
        fields: [(name.to_owned(), value)].into(),
    }
}

fn struct_of(caller: &Caller) -> Struct {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let account = &caller.account;
    let mut fields = vec![("id", text(&caller.id)), ("tenant", text(&account.tenant))];
    for (name, value) in [
        ("project", &account.project),
        ("environment", &account.environment),
        ("user", &caller.user),
    ] {
        fields.extend(value.as_deref().map(|value| (name, text(value))));
    }
    let labels = account.labels.iter().flat_map(|labels| labels.iter());
    let labels = labels.map(|(name, value)| (name.to_string(), text(value)));
    let labels = Struct {
        fields: labels.collect(),
    };
    if !labels.fields.is_empty() {
        let kind = Some(Kind::StructValue(labels));
        fields.push(("labels", Value { kind }));
    }
    let fields = fields.into_iter();
    Struct {
        fields: fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn caller_of(object: &Struct) -> Option<Caller> {
    let text = |name: &str| text_of(object, name).map(Arc::from);
    let mut labels = match object
        .fields
        .get("labels")
        .and_then(|value| value.kind.as_ref())
    {
        Some(Kind::StructValue(labels)) => {
            let each = labels.fields.keys();
            let each =
                each.filter_map(|name| Some((name.as_str().into(), text_of(labels, name)?.into())));
            each.collect::<Vec<(Arc<str>, Arc<str>)>>()
        }
        _ => Vec::new(),
    };
    labels.sort();
    Some(Caller {
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

/// `None` where there is too much of it.
fn json_object(object: &Struct, depth: usize, left: &mut usize) -> Option<serde_json::Value> {
    let mut fields = Map::new();
    for (name, value) in &object.fields {
        fields.insert(name.clone(), json(value, depth + 1, left)?);
    }
    Some(fields.into())
}

fn json(value: &Value, depth: usize, left: &mut usize) -> Option<serde_json::Value> {
    *left = left.checked_sub(1)?;
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(flag)) => (*flag).into(),
        Some(Kind::NumberValue(number)) => whole_or_real(*number),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => {
            let values = list.values.iter().map(|value| json(value, depth + 1, left));
            values.collect::<Option<Vec<_>>>()?.into()
        }
        Some(Kind::StructValue(object)) => json_object(object, depth, left)?,
    })
}

/// Protobuf knows doubles alone: a number that is whole was written so.
fn whole_or_real(number: f64) -> serde_json::Value {
    /// Above it doubles skip whole numbers.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole and within 2^53"
        )]
        true => (number as i64).into(),
        false => number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(namespace: &str, object: Struct) -> Metadata {
        Metadata {
            filter_metadata: [(namespace.to_owned(), object)].into(),
            ..Metadata::default()
        }
    }

    fn number(number: f64) -> Value {
        Value {
            kind: Some(Kind::NumberValue(number)),
        }
    }

    #[test]
    fn who_was_found_comes_out_as_it_went_in() {
        let caller = Caller {
            id: "sso".into(),
            user: Some("ada".into()),
            account: Account {
                tenant: "acme".into(),
                project: Some("search".into()),
                environment: None,
                labels: Some([("a".into(), "1".into()), ("b".into(), "2".into())].into()),
                scopes: None,
                limits: None,
            },
        };
        let bare = Caller {
            id: "mesh".into(),
            account: Account {
                tenant: "globex".into(),
                ..Account::default()
            },
            ..Caller::default()
        };
        for judged_before in [
            Judged::Key("key-1".to_owned()),
            Judged::Caller(Box::new(caller)),
            Judged::Caller(Box::new(bare)),
        ] {
            let handed = metadata(AUTHZ_NAMESPACE, handed_on(&judged_before));
            assert_eq!(judged(Some(&handed)), Some(judged_before));
        }
        assert_eq!(judged(Some(&metadata("x", Struct::default()))), None);
        assert_eq!(judged(None), None);
    }

    #[test]
    fn claims_are_read_within_bounds() {
        let object = |fields: Vec<(String, Value)>| Struct {
            fields: fields.into_iter().collect(),
        };
        let of = |object: Struct| tokens(Some(&metadata(JWT_NAMESPACE, object)));
        let claims = of(object(vec![
            ("n".to_owned(), number(3.0)),
            ("x".to_owned(), number(0.5)),
        ]));
        assert_eq!(claims, Some(serde_json::json!({"n": 3, "x": 0.5})));
        let many = (0..VALUES_MAX + 1).map(|n| (n.to_string(), number(1.0)));
        assert_eq!(of(object(many.collect())), None);
        let deep = (0..DEPTH_MAX + 1).fold(number(1.0), |inner, _| Value {
            kind: Some(Kind::StructValue(object(vec![("a".to_owned(), inner)]))),
        });
        assert_eq!(of(object(vec![("a".to_owned(), deep)])), None);
    }
}
