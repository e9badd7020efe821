//! Which of the configuration's routes a call takes: by its host and path, and by the
//! route that the gateway chose for it.
//!
//! The gateway chooses before weir sees a call, so by whatever its client sent. Always
//! holds: no route that is known by the gateway's is taken on a client's word.

use super::head::{single, split_path};
use super::message::{ROUTING_HEADERS, RequestHead};
use crate::policy::Snapshot;
use crate::policy::route::Route;
use crate::protocol::denial::Denial;

/// What is configured for where the call goes.
pub(super) fn route<'s>(head: &RequestHead, snapshot: &'s Snapshot) -> Option<&'s Route> {
    if snapshot.routes.is_empty() {
        return None;
    }
    let (path, _) = split_path(&head.headers);
    let host = single(&head.headers, ":authority").ok().flatten();
    let (host, chosen) = (host.unwrap_or(""), head.envoy_route.as_deref());
    let mut routes = snapshot.routes.iter();
    routes.find(|route| route.fits(host, path, chosen))
}

/// A gateway that chose by a client's copy of weir's own headers chooses anew once they
/// are gone: by which route the call goes in the end nobody can tell yet.
///
/// # Errors
/// Such a header is there, and something is known by the gateway's routes.
pub(super) fn is_chosen_without_a_client(
    head: &RequestHead,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    let is_own = |name: &String| ROUTING_HEADERS.contains(&name.as_str());
    let mut routes = snapshot.routes.iter();
    if routes.any(|route| route.envoy_route.is_some())
        && head.headers.iter().any(|(name, _)| is_own(name))
    {
        let what = "x-weir-cluster and x-weir-model are the gateway's to set";
        return Err(Denial::BadHeader(what));
    }
    Ok(())
}
