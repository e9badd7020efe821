//! What a process remembers of the rollups' groups, so that batches needn't ask.

use super::rollup::Deltas;
use super::served;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// What a process knows of the rollups' groups.
#[derive(Debug, Clone, Default)]
pub struct Known {
    groups: Arc<Mutex<Groups>>,
    served: Arc<Mutex<served::Names>>,
}

/// Those that are surely in the database, so that their names needn't be written
/// with every batch.
#[derive(Debug, Default)]
struct Groups {
    keys: HashSet<Uuid>,
    /// Connections that had been opened when the first was written. Behind one that
    /// was opened since there may be another database, such as one of yesterday
    /// that was restored; a connection that rested breaks without a batch to tell.
    connections: u64,
}

impl Known {
    /// Some megabytes. Past that it begins anew.
    const GROUPS_MAX: usize = 100_000;

    /// Whether rollups tell this name of a model that served apart.
    pub fn tells_served(&self, name: Option<&str>) -> bool {
        let mut names = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        names.tell(name)
    }

    /// Those of a batch that may not be there yet.
    pub fn retain_new(&self, deltas: &Deltas, connections: u64) -> Vec<Uuid> {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if known.connections < connections {
            known.keys.clear();
            known.connections = connections;
        }
        let keys = deltas.groups.keys().copied();
        keys.filter(|key| !known.keys.contains(key)).collect()
    }

    /// Only what was committed.
    pub fn add(&self, groups: Vec<Uuid>, connections: u64) {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if known.connections > connections {
            return;
        }
        if known.keys.len() + groups.len() > Self::GROUPS_MAX {
            known.keys.clear();
        }
        known.keys.extend(groups);
    }

    /// After the database was away it may be another one.
    pub fn forget(&self) {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        known.keys.clear();
    }
}
