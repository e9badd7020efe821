//! What a process remembers of the rollups' groups, so that batches needn't ask.

use super::rollup::Deltas;
use super::served;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// What a process knows of the rollups' groups.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Those that are surely in the database, so that their names needn't be
    /// written with every batch.
    groups: Arc<Mutex<HashSet<Uuid>>>,
    served: Arc<Mutex<served::Names>>,
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
    pub fn retain_new(&self, deltas: &Deltas) -> Vec<Uuid> {
        let known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = deltas.groups.keys().copied();
        keys.filter(|key| !known.contains(key)).collect()
    }

    /// Only what was committed.
    pub fn add(&self, groups: Vec<Uuid>) {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + groups.len() > Self::GROUPS_MAX {
            known.clear();
        }
        known.extend(groups);
    }

    /// After the database was away it may be another one, such as one of
    /// yesterday that was restored.
    pub fn forget(&self) {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
    }
}
