//! Virtual models: names behind which a call's model is chosen, by what the call is
//! for, how its budget stands, by weight, and by how well each model does.

use super::facts::{Facts, Named, Needs};
use crate::expressions::condition::Condition;
use std::collections::HashMap;
use std::sync::Arc;

/// The most ways of a virtual model, and the most models of each.
pub const WAYS_MAX: usize = 16;

/// A name that calls may use as if it were a model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualModel {
    pub name: Arc<str>,
    /// The first whose condition holds counts; at least one, the last without a
    /// condition.
    pub ways: Vec<Way>,
    /// Of the counters that the conditions speak of.
    pub names: Arc<[Arc<str>]>,
    pub needs: Needs,
}

/// Which models under which condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub when: Option<Condition>,
    /// Models and their weights, above 0; at least one.
    pub models: Vec<(Arc<str>, u64)>,
}

/// How well models have done of late, by name: in thousandths, calls that failed
/// for the provider's sake. Those that aren't here did well.
pub type Failures = HashMap<Arc<str>, u64>;

/// A model that fails more often is chosen only where no other can be.
const FAILING_PER_MILLE: u64 = 500;

impl VirtualModel {
    /// The model for a call, of those that it may use. `point` decides by weight: any
    /// number, the same for the same call.
    pub fn choose<'m>(
        &'m self,
        facts: &Facts,
        failures: &Failures,
        may_use: impl Fn(&str) -> bool,
        point: u64,
    ) -> Option<&'m Arc<str>> {
        let named = Named {
            facts,
            names: &self.names,
        };
        let holds = |way: &&Way| {
            let when = way.when.as_ref();
            when.is_none_or(|when| when.holds(&named).unwrap_or(false))
        };
        let mut ways = self.ways.iter().filter(holds);
        // A way of which nothing may be used gives way to the next.
        ways.find_map(|way| way.choose(failures, &may_use, point))
    }
}

impl Way {
    fn choose<'m>(
        &'m self,
        failures: &Failures,
        may_use: impl Fn(&str) -> bool,
        point: u64,
    ) -> Option<&'m Arc<str>> {
        let may = || self.models.iter().filter(|(name, _)| may_use(name));
        let does_well = |name: &Arc<str>| {
            let failed = failures.get(name).copied().unwrap_or_default();
            failed < FAILING_PER_MILLE
        };
        let well = may().filter(|(name, _)| does_well(name));
        weighted(well, point).or_else(|| weighted(may(), point))
    }
}

/// One of them, each as often as its weight says.
fn weighted<'m>(
    models: impl Iterator<Item = &'m (Arc<str>, u64)> + Clone,
    point: u64,
) -> Option<&'m Arc<str>> {
    let sum: u64 = models.clone().map(|(_, weight)| *weight).sum();
    let mut left = point.checked_rem(sum)?;
    for (name, weight) in models {
        if left < *weight {
            return Some(name);
        }
        left -= weight;
    }
    None
}
