//! Models, with their prices.

use super::prices::Prices;
use crate::config::model_names;
use crate::config::outside::Outside;
use crate::config::problem::Findings;
use crate::config::raw::{Raw, RawModel};
use crate::config::reader::Located;
use crate::policy::{Model, ModelRatio};
use std::collections::HashSet;
use std::sync::Arc;

/// Models as they are written.
pub struct Models<'r> {
    /// `None` where they couldn't be read.
    pub models: Option<Vec<Model>>,
    /// Models whose price couldn't be read, which has been reported.
    pub told_prices: HashSet<&'r str>,
    /// Those whose output nothing bounds but a plan's default.
    pub unbounded: Vec<String>,
}

/// All models but those behind which another one is chosen.
pub fn resolve<'r>(raw: &'r Raw, outside: &dyn Outside, findings: &Findings) -> Models<'r> {
    require_some(raw.models.as_ref(), "model", findings);
    let prices = Prices::of(raw, outside, findings);
    let written = || {
        let models = raw.models.iter().flat_map(|models| &models.value);
        models.filter(|raw| raw.choose.is_none())
    };
    let priced = || {
        let priced = written().map(|raw| Model {
            price: prices.of_model(raw, findings),
            ..model(raw)
        });
        priced.collect::<Vec<_>>()
    };
    let told = written().filter(|raw| prices.is_told(raw));
    let unbounded = written()
        .filter(|raw| raw.max_output_is_read && model(raw).max_output_tokens.is_none())
        .map(|raw| raw.name.value.to_string());
    Models {
        models: raw.models.is_some().then(priced),
        told_prices: told.map(|raw| &*raw.name.value).collect(),
        unbounded: unbounded.collect(),
    }
}

pub fn require_some<T>(written: Option<&Located<Vec<T>>>, what: &str, findings: &Findings) {
    if let Some(empty) = written.filter(|written| written.value.is_empty()) {
        findings.problem(&empty.at, format!("must have at least one {what}"));
    }
}

/// All but its price.
fn model(raw: &RawModel) -> Model {
    let name = &raw.name.value;
    Model {
        name: Arc::clone(name),
        tier: raw.tier.as_ref().map(|tier| Arc::clone(&tier.value)),
        provider: raw.provider.as_ref().map(|name| Arc::clone(&name.value)),
        price: None,
        service_tier: raw.service_tier,
        vocabulary: raw
            .vocabulary
            .unwrap_or_else(|| model_names::vocabulary(name)),
        max_input_tokens: raw.max_input_tokens,
        token_ratio: match (raw.token_ratio, raw.vocabulary) {
            (Some(ratio), _) => ModelRatio::fixed(ratio),
            (None, Some(_)) => ModelRatio::EXACT,
            (None, None) => model_names::token_ratio(name),
        },
        max_output_tokens: raw
            .max_output_tokens
            .or_else(|| model_names::max_output_tokens(name)),
        output_field: raw
            .output_field
            .unwrap_or_else(|| model_names::output_field(name)),
        image_tokens: raw.image_tokens,
        inject_include_usage: raw.inject_include_usage.unwrap_or(true),
    }
}
