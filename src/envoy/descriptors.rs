//! The protobuf descriptors that gRPC reflection serves.
//!
//! Generated from the `.proto` files that the crate `envoy-types` carries; a
//! test makes them anew and compares.

/// A `google.protobuf.FileDescriptorSet` of ext_proc, ext_authz, the rate
/// limit service and all that they import.
pub const ENVOY_SERVICES: &[u8] = include_bytes!("../../proto/envoy_services.binpb");

/// The files that [`ENVOY_SERVICES`] is made from, imports aside.
pub const ENVOY_SERVICE_FILES: [&str; 3] = [
    "envoy/service/ext_proc/v3/external_processor.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/ratelimit/v3/rls.proto",
];
