//! What a re-rating changes, by tenant, and which calls it leaves alone.
//!
//! Always holds: however many names the rows have, some thousands are kept; the
//! sums are of all.

use super::{Left, Rated, net_nanos};
use crate::exchange::UsageEvent;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most tenants with a line of their own: more than are read.
pub const TENANTS_MAX: usize = 10_000;

/// The most models that are named of calls that are left alone.
pub const MODELS_MAX: usize = 1_000;

/// What became of some calls that were let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Difference {
    pub calls: u64,
    /// Those whose cost is another one now.
    pub changed: u64,
    pub left: u64,
    /// What all of them cost before, corrections and all.
    pub before_nanos: i128,
    pub after_nanos: i128,
}

/// What calls that are left alone have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftAlone {
    pub why: Left,
    pub provider: Option<Arc<str>>,
    pub model: Option<Arc<str>>,
    pub model_served: Option<String>,
}

/// All that a re-rating came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    pub total: Difference,
    /// At most [`TENANTS_MAX`].
    pub tenants: BTreeMap<Option<Arc<str>>, Difference>,
    /// Of tenants beyond those.
    pub other_tenants: Difference,
    /// At most [`MODELS_MAX`], and how many calls each.
    pub left: BTreeMap<LeftAlone, u64>,
    /// Calls beyond those.
    pub other_left: u64,
}

impl Difference {
    pub fn nanos(&self) -> i128 {
        self.after_nanos.saturating_sub(self.before_nanos)
    }

    fn add(&mut self, before_nanos: i128, rated: &Rated) {
        let delta = match rated {
            Rated::Priced { delta_nanos, .. } => *delta_nanos,
            Rated::Nothing | Rated::Left(_) => 0,
        };
        let after_nanos = before_nanos.saturating_add(i128::from(delta));
        self.calls += 1;
        self.changed += u64::from(delta != 0);
        self.left += u64::from(matches!(rated, Rated::Left(_)));
        self.before_nanos = self.before_nanos.saturating_add(before_nanos);
        self.after_nanos = self.after_nanos.saturating_add(after_nanos);
    }
}

impl Tally {
    /// Takes in a call whose corrections came to this before.
    pub fn add(&mut self, event: &UsageEvent, corrected_nanos: i64, rated: &Rated) {
        let before = net_nanos(event, corrected_nanos);
        self.total.add(before, rated);
        let full = self.tenants.len() >= TENANTS_MAX;
        let of_tenant = match full && !self.tenants.contains_key(&event.tenant) {
            true => &mut self.other_tenants,
            false => self.tenants.entry(event.tenant.clone()).or_default(),
        };
        of_tenant.add(before, rated);
        if let Rated::Left(why) = rated {
            self.leave(event, *why);
        }
    }

    fn leave(&mut self, event: &UsageEvent, why: Left) {
        let alike = LeftAlone {
            why,
            provider: event.provider.clone(),
            model: event.model.clone(),
            model_served: event.model_served.clone(),
        };
        if self.left.len() >= MODELS_MAX && !self.left.contains_key(&alike) {
            self.other_left += 1;
            return;
        }
        *self.left.entry(alike).or_default() += 1;
    }
}
