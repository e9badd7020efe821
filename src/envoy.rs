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
