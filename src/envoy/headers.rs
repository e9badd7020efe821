//! Headers in Envoy's messages and in the exchange's.

use crate::exchange::message::Headers;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};

/// All headers of a message, in order, repeated ones apart.
pub(super) fn header_map(map: HeaderMap) -> Headers {
    map.headers.into_iter().map(header).collect()
}

/// Envoy fills `raw_value`; `value` is for those that don't.
fn header(header: HeaderValue) -> (String, Vec<u8>) {
    let value = if header.raw_value.is_empty() {
        header.value.into_bytes()
    } else {
        header.raw_value
    };
    (header.key, value)
}

/// A header that replaces whatever stands under its name. ext_proc reads
/// `raw_value`.
pub(super) fn set(name: &str, value: String) -> HeaderValueOption {
    replacing(HeaderValue {
        key: name.to_owned(),
        value: String::new(),
        raw_value: value.into_bytes(),
    })
}

/// The same for ext_authz, which reads `value`.
pub(super) fn set_text(name: &str, value: String) -> HeaderValueOption {
    replacing(HeaderValue {
        key: name.to_owned(),
        value,
        raw_value: Vec::new(),
    })
}

fn replacing(header: HeaderValue) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}
