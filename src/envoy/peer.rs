//! What Envoy itself knows of its caller: the connection and verified tokens.

use super::structs::text_of;
use super::{AUTHZ_NAMESPACE, JWT_NAMESPACE};
use crate::exchange::message::{CALLER_HEADER, Judged, KEY_HEADER};
use crate::identity::source::Caller;
use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use serde_json::Map;

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

/// Whom ext_authz has found, where its namespace is handed on: over gRPC as it
/// says it, over HTTP in the headers of its answer, which the gateway's
/// `dynamic_metadata_from_headers` keeps by their names.
pub(super) fn judged(metadata: Option<&Metadata>) -> Option<Judged> {
    let object = metadata?.filter_metadata.get(AUTHZ_NAMESPACE)?;
    let id = text_of(object, KEY_FIELD).or_else(|| text_of(object, KEY_HEADER));
    if let Some(id) = id {
        return Some(Judged::Key(id.to_owned()));
    }
    let caller = match text_of(object, CALLER_HEADER) {
        Some(text) => serde_json::from_str(text).ok()?,
        None => match object.fields.get(CALLER_FIELD)?.kind.as_ref()? {
            Kind::StructValue(caller) => json_object(caller, 0, &mut VALUES_MAX.clone())?,
            _ => return None,
        },
    };
    let caller = Caller::from_json(&caller)?;
    Some(Judged::Caller(Box::new(caller)))
}

/// What [`judged`] reads.
pub(super) fn handed_on(judged: &Judged) -> Struct {
    let (name, value) = match judged {
        Judged::Key(id) => (KEY_FIELD, Kind::StringValue(id.clone())),
        Judged::Caller(caller) => (CALLER_FIELD, kind(&caller.to_json())),
    };
    let value = Value { kind: Some(value) };
    Struct {
        fields: [(name.to_owned(), value)].into(),
    }
}

/// Of what [`Caller::to_json`] writes: texts, in objects.
fn kind(value: &serde_json::Value) -> Kind {
    match value {
        serde_json::Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let kind = Some(kind(value));
                (name.clone(), Value { kind })
            });
            Kind::StructValue(Struct {
                fields: fields.collect(),
            })
        }
        other => Kind::StringValue(other.as_str().unwrap_or_default().to_owned()),
    }
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
    use crate::identity::table::Account;

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
            assert_eq!(judged(Some(&handed)), Some(judged_before.clone()));
            // The same from headers.
            let (name, text) = match &judged_before {
                Judged::Key(id) => (KEY_HEADER, id.clone()),
                Judged::Caller(caller) => (CALLER_HEADER, caller.to_json().to_string()),
            };
            let kind = Some(Kind::StringValue(text));
            let fields = [(name.to_owned(), Value { kind })].into();
            let handed = metadata(AUTHZ_NAMESPACE, Struct { fields });
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
