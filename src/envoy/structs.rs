//! Reading and writing `google.protobuf.Struct`, the form of dynamic metadata.

use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};

/// A struct of the given fields.
pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
    Struct {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

pub(super) fn nested(object: Struct) -> Value {
    Value {
        kind: Some(Kind::StructValue(object)),
    }
}

pub(super) fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

/// A count. Protobuf's numbers are doubles: exact up to 2^53, which no count
/// of tokens reaches.
#[expect(
    clippy::cast_precision_loss,
    reason = "a log field, not an amount that is billed"
)]
pub(super) fn number(count: u64) -> Value {
    double(count as f64)
}

pub(super) fn double(number: f64) -> Value {
    Value {
        kind: Some(Kind::NumberValue(number)),
    }
}

/// The number under a name.
pub(super) fn number_of(object: &Struct, name: &str) -> Option<f64> {
    match object.fields.get(name)?.kind.as_ref()? {
        Kind::NumberValue(number) => Some(*number),
        _ => None,
    }
}

/// The text under a name.
pub(super) fn text_of<'a>(object: &'a Struct, name: &str) -> Option<&'a str> {
    match object.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}
