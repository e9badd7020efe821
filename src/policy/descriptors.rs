//! The rate limit service's rules: which one a descriptor is matched by, what
//! it charges, and what is answered for it.
//!
//! A descriptor is a list of keys with values, made by Envoy from a request. A
//! rule is for descriptors with its keys, in its order; of several that match,
//! the most specific is the one that counts (see `tree`). Descriptors with
//! different values have counters of their own, whatever rule they match.
//!
//! Always holds: one request charges at most [`CHARGES_MAX`] counters, each
//! once; what a rule costs to find doesn't grow with the number of rules.
//!
//! Left to others: reading rules (`config`), taking what is charged
//! (`counters`), Envoy's messages (`envoy`).

mod answer;
mod tree;

pub use answer::{Answer, OfDescriptor, Status};
pub use tree::{Entry, Pattern};

use crate::limits::period::Period;
use crate::limits::reservation::counter_id;
use crate::limits::{Algorithm, CHARGES_MAX, Charge, Limit, Mode, Scope, Toll, Unit};
use crate::units::Millis;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use tree::Tree;

/// What the names of domains' slots begin with: no tenant's name holds a
/// control character, so none is the name of such a slot.
const SLOT_PREFIX: &str = "\u{1}rls/";

/// The most descriptors of a request: a filter makes a handful, and each costs a
/// search.
pub const DESCRIPTORS_MAX: usize = 256;

/// The name of a limit that a descriptor brings along where no rule names one.
const OWN_LIMIT: &str = "descriptor";

/// A longer list of values names its counters by its hash: callers choose
/// values, and a counter's name is kept for as long as it counts.
const VALUES_BYTES_MAX: usize = 256;

/// The rules of a rate limit service.
#[derive(Debug, Default)]
pub struct Domains(HashMap<Arc<str>, Domain>);

/// The rules of one domain, whose counters are taken together.
#[derive(Debug)]
pub struct Domain {
    slot: Arc<str>,
    /// Of the limits that descriptors bring along.
    mode: Mode,
    rules: Tree<Rule>,
}

/// What descriptors that match it are charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// None: what matches is let through uncounted.
    limits: Vec<RuleLimit>,
    on_done: bool,
}

/// A limit, and the same for what was used already.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RuleLimit {
    limit: Arc<Limit>,
    unrefusing: Arc<Limit>,
}

/// What Envoy tells of a request, for one combination of its traits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Keys and values, in order.
    pub entries: Vec<(String, String)>,
    /// In place of the request's own number of hits.
    pub hits: Option<u64>,
    pub instead: Option<Instead>,
}

/// A limit that a descriptor brings along, in place of its rule's first. It
/// holds though no rule matches, and though its rule only watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instead {
    /// 0: nothing passes.
    pub amount: u64,
    pub every: Millis,
}

/// A request asks for more than is looked for or counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    #[error("a request may have at most {DESCRIPTORS_MAX} descriptors")]
    Descriptors,
    #[error("the descriptors match more than {CHARGES_MAX} limits in all")]
    Limits,
}

/// What one request is charged, and for which of its descriptors.
#[derive(Debug)]
pub struct Bill {
    pub toll: Toll,
    /// Of each charge.
    traits: Vec<Traits>,
    /// The charges of each descriptor, by their places in the toll.
    of_each: Vec<Vec<usize>>,
}

/// What a charge doesn't say.
#[derive(Debug, Clone, Copy, Default)]
struct Traits {
    /// It tells what was used already.
    used: bool,
    /// Its limit lets nothing pass.
    nothing: bool,
}

impl Domains {
    /// A domain of this name, in place of an earlier one.
    pub fn insert(&mut self, name: Arc<str>, domain: Domain) {
        self.0.insert(name, domain);
    }

    pub fn get(&self, name: &str) -> Option<&Domain> {
        self.0.get(name)
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Domain)> {
        self.0.iter().map(|(name, domain)| (&**name, domain))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rule {
    /// With `on_done`, hits are what was used already: charged past the limits
    /// and never refused.
    pub fn new(limits: impl IntoIterator<Item = Limit>, on_done: bool) -> Self {
        let limits = limits.into_iter().map(|limit| RuleLimit {
            unrefusing: Arc::new(Limit {
                mode: Mode::Shadow,
                ..limit.clone()
            }),
            limit: Arc::new(limit),
        });
        Self {
            limits: limits.collect(),
            on_done,
        }
    }

    /// Whether hits are what was used already.
    pub fn is_on_done(&self) -> bool {
        self.on_done
    }

    pub fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits.iter().map(|limit| &limit.limit)
    }
}

impl Domain {
    pub fn new(name: &str, mode: Mode) -> Self {
        Self {
            slot: format!("{SLOT_PREFIX}{name}").into(),
            mode,
            rules: Tree::default(),
        }
    }

    /// Adds a rule; false where another has this pattern already.
    pub fn add(&mut self, pattern: &[Entry], rule: Rule) -> bool {
        self.rules.insert(pattern, rule)
    }

    /// Of the limits that descriptors bring along.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// All rules and what they match, in no order.
    pub fn rules(&self) -> Vec<(Vec<Entry>, &Rule)> {
        self.rules.all()
    }

    /// The rule that counts for a descriptor.
    pub fn rule(&self, descriptor: &Descriptor) -> Option<&Rule> {
        self.rules.find(&descriptor.entries)
    }

    /// What a request is charged: `hits` for each descriptor that doesn't say.
    pub fn bill(&self, descriptors: &[Descriptor], hits: u64) -> Result<Bill, TooMany> {
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(TooMany::Descriptors);
        }
        let mut bill = Bill {
            toll: Toll {
                slot: Arc::clone(&self.slot),
                charges: Vec::new(),
            },
            traits: Vec::new(),
            of_each: Vec::with_capacity(descriptors.len()),
        };
        for descriptor in descriptors {
            let places = self.charges(descriptor, descriptor.hits.unwrap_or(hits));
            let places = places.into_iter();
            let places: Result<Vec<usize>, TooMany> = places
                .map(|(charge, traits)| bill.add(charge, traits))
                .collect();
            bill.of_each.push(places?);
        }
        Ok(bill)
    }

    /// What one descriptor is charged.
    fn charges(&self, descriptor: &Descriptor, hits: u64) -> Vec<(Charge, Traits)> {
        let rule = self.rule(descriptor);
        let limits = rule.map_or(&[][..], |rule| &rule.limits);
        if limits.is_empty() && descriptor.instead.is_none() {
            return Vec::new();
        }
        let values = values(descriptor);
        let used = rule.is_some_and(|rule| rule.on_done) && hits > 0;
        let own = descriptor.instead.map(|instead| {
            let name = limits.first().map(|written| &written.limit.name);
            let mode = if used { Mode::Shadow } else { self.mode };
            own_charge(instead, name, mode, &values, hits)
        });
        let replaced = usize::from(own.is_some());
        let written = limits.iter().skip(replaced).map(|written| {
            let limit = match used {
                true => &written.unrefusing,
                false => &written.limit,
            };
            let counter = counter_id(&limit.name, &[&values]);
            let charge = Charge::new(Arc::clone(limit), counter, hits);
            (charge, Traits::default())
        });
        own.into_iter()
            .chain(written)
            .map(|(charge, traits)| (asking(charge), Traits { used, ..traits }))
            .collect()
    }
}

impl Bill {
    /// What was used already: taken though the rest was refused.
    pub fn used(&self) -> Option<Toll> {
        let charges = self.toll.charges.iter().zip(&self.traits);
        let used = charges.filter(|(_, traits)| traits.used);
        let charges: Vec<Charge> = used.map(|(charge, _)| charge.clone()).collect();
        (!charges.is_empty()).then(|| Toll {
            slot: Arc::clone(&self.toll.slot),
            charges,
        })
    }

    /// The place of a charge, together with those on the same counter.
    fn add(&mut self, charge: Charge, traits: Traits) -> Result<usize, TooMany> {
        let charges = &mut self.toll.charges;
        let known = charges.iter().position(|c| c.counter == charge.counter);
        if let Some(place) = known {
            let before = &mut charges[place];
            before.amount = before.amount.saturating_add(charge.amount);
            before.room = before.amount.max(1);
            let known = &mut self.traits[place];
            known.used |= traits.used;
            known.nothing |= traits.nothing;
            // Of two limits that a request brings for one counter, the lower.
            if traits.used || charge.limit.amount < before.limit.amount {
                before.limit = charge.limit;
            }
            return Ok(place);
        }
        if charges.len() >= CHARGES_MAX {
            return Err(TooMany::Limits);
        }
        charges.push(charge);
        self.traits.push(traits);
        Ok(charges.len() - 1)
    }
}

/// What a limit that came along is charged.
fn own_charge(
    instead: Instead,
    name: Option<&Arc<str>>,
    mode: Mode,
    values: &str,
    hits: u64,
) -> (Charge, Traits) {
    let every = instead.every;
    let limit = Limit {
        name: name.map_or_else(|| OWN_LIMIT.into(), Arc::clone),
        scope: Scope::GLOBAL,
        unit: Unit::Requests,
        // A limit is never 0, so what nothing may pass is asked for twice that.
        amount: instead.amount.max(1),
        algorithm: Algorithm::FixedWindow {
            period: Arc::new(Period::aligned(every)),
            rollover: None,
        },
        mode,
    };
    let nothing = instead.amount == 0;
    let amount = if nothing { hits.max(2) } else { hits };
    // Windows of different lengths are counted apart.
    let counter = counter_id(&limit.name, &[values, &every.0.to_string()]);
    let traits = Traits {
        nothing,
        ..Traits::default()
    };
    (Charge::new(Arc::new(limit), counter, amount), traits)
}

/// Without hits, it asks whether there is room for one.
fn asking(charge: Charge) -> Charge {
    Charge {
        room: charge.amount.max(1),
        ..charge
    }
}

/// A descriptor's keys and values as one text, which no other has.
fn values(descriptor: &Descriptor) -> String {
    let entries = descriptor.entries.iter();
    let parts: Vec<&str> = entries
        .flat_map(|(key, value)| [key.as_str(), value.as_str()])
        .collect();
    let whole = counter_id("", &parts);
    if whole.len() <= VALUES_BYTES_MAX {
        return whole;
    }
    let mut hashed = String::with_capacity(65);
    hashed.push('#');
    for byte in Sha256::digest(&whole) {
        // Writing to a String can't fail.
        let _ = write!(hashed, "{byte:02x}");
    }
    hashed
}

#[cfg(test)]
mod tests;
