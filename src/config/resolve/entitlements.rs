//! What plans allow: held to the models that there are.

use super::extends::Chain;
use super::limits::unknown;
use super::plans::Ground;
use crate::config::problem::shown;
use crate::config::reader::Located;
use crate::identity::scopes::Pattern;
use crate::policy::{Entitlements, Model};
use std::sync::Arc;

/// What a plan allows; `None` after a problem.
pub fn of_plan(chain: &Chain, ground: &Ground) -> Option<Entitlements> {
    let models = chain.last(|plan| plan.allow.models.as_ref());
    let tiers = chain.last(|plan| plan.allow.tiers.as_ref());
    let mut whole = true;
    for pattern in models.into_iter().flatten() {
        whole &= fits_some(pattern, ground);
    }
    let known_tiers = ground.known.tiers();
    for tier in tiers.into_iter().flatten() {
        if ground.known.models.is_some() && !known_tiers.contains(&*tier.value) {
            unknown("model of tier", tier, &known_tiers, ground.findings);
            whole = false;
        }
    }
    whole.then_some(())?;
    let entitlements = Entitlements {
        models: models.map(|all| all.iter().map(|pattern| pattern.value.clone()).collect()),
        tiers: tiers.map(|all| all.iter().map(|name| Arc::clone(&name.value)).collect()),
        endpoints: chain.last(|plan| plan.allow.endpoints.clone()),
        tools: chain.last(|plan| plan.allow.tools.clone()),
    };
    let allows = |model: &Model| entitlements.allow_model(&model.name, model.tier.as_deref());
    let known = ground.known.models.unwrap_or_default();
    let first = models
        .and_then(|all| all.first())
        .map(|pattern| &pattern.at);
    let first = first.or_else(|| Some(&tiers?.first()?.at));
    if let Some(at) = first.filter(|_| !known.is_empty() && !known.iter().any(allows)) {
        let text = match tiers {
            Some(_) => "allows no model: none that it names is of a tier that is allowed",
            None => "allows no model: name those that may be chosen, too",
        };
        ground.findings.problem(at, text);
        return None;
    }
    Some(entitlements)
}

/// Whether a pattern fits the name of a model, which is reported where not.
fn fits_some(pattern: &Located<Pattern>, ground: &Ground) -> bool {
    // Models that couldn't be read have been reported.
    let Some(models) = ground.known.models else {
        return true;
    };
    if models.iter().any(|model| pattern.value.fits(&model.name)) {
        return true;
    }
    let is_called = ground.called.iter().any(|name| pattern.value.fits(name));
    match is_called {
        true => ground.findings.warning(&pattern.at, BEHIND),
        false => unknown_model(pattern, ground),
    }
    is_called
}

/// What a virtual model's name does among those that are allowed.
const BEHIND: &str = "does nothing: it is a name behind which a model is chosen, for whoever may \
                      use that model";

fn unknown_model(pattern: &Located<Pattern>, ground: &Ground) {
    let written = pattern.value.as_str();
    if written.ends_with('*') {
        let text = format!("fits the name of no model (got {})", shown(written));
        ground.findings.problem(&pattern.at, text);
        return;
    }
    let name = Located {
        value: Arc::from(written),
        at: pattern.at.clone(),
    };
    unknown("model", &name, ground.called, ground.findings);
}
