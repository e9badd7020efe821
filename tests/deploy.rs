//! How weir is deployed: the Helm chart and the manifests rendered, checked and run
//! through the real Envoy; what is shipped is what is tested.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

#[path = "deploy/chart.rs"]
mod chart;
#[path = "deploy/envoy_gateway.rs"]
mod envoy_gateway;
#[path = "deploy/istio.rs"]
mod istio;
#[path = "deploy/kustomize.rs"]
mod kustomize;
#[path = "deploy/observability.rs"]
mod observability;
#[path = "deploy/own_gateway.rs"]
mod own_gateway;
#[path = "deploy/reference.rs"]
mod reference;
#[path = "deploy/rendering.rs"]
mod rendering;
#[path = "deploy/rig.rs"]
mod rig;
#[path = "deploy/rollback.rs"]
mod rollback;
mod support;
