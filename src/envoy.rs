//! Envoy's services: the only code that knows its protobuf.
//!
//! `ext_proc` sees a call through, `ext_authz` judges its head. Both translate
//! to and from `exchange` and leave every decision there. `rate_limit` knows no
//! calls, only what Envoy's rate limit filter describes, and asks `policy`.

pub mod descriptors;
pub mod ext_authz;
pub mod ext_proc;
mod headers;
mod peer;
pub mod rate_limit;
mod structs;

/// The namespace of weir's own dynamic metadata.
const METADATA_NAMESPACE: &str = "weir";

/// The namespace in which Envoy keeps what ext_authz said.
const AUTHZ_NAMESPACE: &str = "envoy.filters.http.ext_authz";

/// The namespace in which Envoy keeps the claims of verified tokens.
const JWT_NAMESPACE: &str = "envoy.filters.http.jwt_authn";

/// Room for what a message carries besides its body.
const MESSAGE_OVERHEAD_BYTES: usize = 1024 * 1024;

/// Bodies up to here are read even where fewer bytes are allowed, so that a
/// larger one is refused with 413 and its reason. What is larger still is an
/// error of the stream, which Envoy turns into a refusal without a reason.
const READABLE_BYTES_MIN: usize = 64 * 1024 * 1024;

/// The largest message that may hold a body.
fn message_bytes_max(body_bytes_max: usize) -> usize {
    body_bytes_max.max(READABLE_BYTES_MIN) + MESSAGE_OVERHEAD_BYTES
}
