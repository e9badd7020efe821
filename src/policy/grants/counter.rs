//! What of a grant is used up: a limit like others, on a counter of its own in the
//! tenant's slot.
//!
//! Its window begins with the first call and is as long as the grant holds: so it
//! outlasts the grant, and begins once.

use super::{Allowance, Grant};
use crate::limits::period::{EVERY_MAX, Period};
use crate::limits::reservation::counter_id;
use crate::limits::{AMOUNT_MAX, Algorithm, Limit, Mode, Scope, Unit};
use crate::units::Millis;
use std::sync::Arc;

/// What a grant's limit is named, before the grant's id.
pub const GRANT_PREFIX: &str = "grant:";

/// What an action of a call's row says of the grant that let it through, before the
/// grant's id: `RULE:grant=GRANT`.
const ACTION: &str = "grant=";

impl Grant {
    /// What it allows, as a limit, and its counter's name; `None` where it is without
    /// bounds.
    pub fn limit(&self) -> Option<(Limit, String)> {
        let (unit, amount) = match self.allowance {
            Allowance::Calls(calls) => (Unit::Requests, calls),
            Allowance::CostNanos(nanos) => (Unit::Cost, nanos),
            Allowance::Unlimited => return None,
        };
        let lasts = Millis(self.until.since(self.from).0.clamp(1, EVERY_MAX.0));
        let name: Arc<str> = format!("{GRANT_PREFIX}{}", self.id).into();
        let counter = counter_id(&name, &[&self.tenant]);
        let limit = Limit {
            name,
            scope: Scope::TENANT,
            unit,
            amount: amount.min(AMOUNT_MAX),
            algorithm: Algorithm::FixedWindow {
                period: Arc::new(Period::first_hit(lasts)),
                rollover: None,
            },
            mode: Mode::Enforce,
        };
        Some((limit, counter))
    }
}

/// The action of a call that a rule asked consent for and this grant gave it.
pub fn action(rule: &str, grant: &str) -> Arc<str> {
    format!("{rule}:{ACTION}{grant}").into()
}

/// The grant that an action of a row tells of.
pub fn grant_of_action(action: &str) -> Option<&str> {
    let (_, did) = action.rsplit_once(':')?;
    did.strip_prefix(ACTION)
}
