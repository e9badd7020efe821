//! A row of the ledger: an event and its link.

use crate::exchange::UsageEvent;
use sha2::{Digest, Sha256};

/// The name of a chain: of the spool that wrote it, a UUID.
pub type ChainId = uuid::Uuid;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What stands before a chain's first link.
pub const NO_HASH: Hash = [0; 32];

/// One event, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub event: UsageEvent,
    pub link: Link,
}

/// Where an event stands in its chain. It holds all before it, so that nothing
/// can be changed or left out unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub chain: ChainId,
    /// From 1, without gaps.
    pub sequence: u64,
    /// Of the hash before and of this event: [`chained`].
    pub hash: Hash,
}

/// The hash of a link: SHA-256 of the hash before it and of the event's message
/// without a link.
pub fn chained(before: &Hash, message: &[u8]) -> Hash {
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(message);
    sha.finalize().into()
}
