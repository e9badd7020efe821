//! Models, and what they cost: as in the file, with dollars as texts so that they
//! are exact.

use crate::policy::choice::{VirtualModel, Way};
use crate::policy::{Model, OutputField, Snapshot};
use crate::pricing::price::Tariff;
use crate::pricing::{Dated, ModelPrice, Price, Rates, date, notation};
use crate::units::UnixMillis;
use serde_json::{Map, Value, json};

/// Those that are several behind a name too.
pub(super) fn of_all(snapshot: &Snapshot) -> Value {
    let models = snapshot.models.iter();
    let models = models.map(|(name, model)| (&**name, of_model(model)));
    let several = snapshot.virtual_models.iter();
    let several = several.map(|(name, model)| (&**name, of_virtual(model)));
    super::named(models.chain(several))
}

fn of_model(model: &Model) -> Value {
    json!({
        "tier": model.tier.as_deref(),
        "provider": model.provider.as_deref(),
        "service_tier": model.service_tier.map(|tier| tier.as_str()),
        "vocabulary": model.vocabulary.as_str(),
        "token_ratio_thousandths": u16::from(model.token_ratio.ratio),
        "token_ratio_is_learned": model.token_ratio.learned,
        "max_input_tokens": model.max_input_tokens,
        "max_output_tokens": model.max_output_tokens,
        "output_field": match model.output_field {
            OutputField::MaxTokens => "max_tokens",
            OutputField::MaxCompletionTokens => "max_completion_tokens",
            OutputField::Either => "either",
        },
        "image_tokens": model.image_tokens,
        "inject_include_usage": model.inject_include_usage,
        "price": model.price.as_deref().map_or_else(|| json!("unpriced"), of_schedule),
    })
}

/// The ways of a name behind which a model is chosen.
fn of_virtual(model: &VirtualModel) -> Value {
    let of_way = |way: &Way| {
        let models = way.models.iter();
        let models = models.map(|(name, weight)| (name.to_string(), json!(weight)));
        json!({
            "when": way.when.as_ref().map(|when| when.as_str()),
            "use": models.collect::<Map<_, _>>(),
        })
    };
    json!({ "choose": model.ways.iter().map(of_way).collect::<Vec<_>>() })
}

/// One price, or several by the dates from which they hold.
fn of_schedule(price: &ModelPrice) -> Value {
    let dated: Vec<Value> = price.schedule().iter().map(of_dated).collect();
    match <[Value; 1]>::try_from(dated) {
        Ok([only]) => only,
        Err(several) => Value::Array(several),
    }
}

fn of_dated(dated: &Dated) -> Value {
    let always = dated.from == UnixMillis(0);
    if always && dated.price == Price::free() {
        return json!("free");
    }
    let mut shown = Map::new();
    if !always {
        let from = date::Written(dated.from).to_string();
        shown.insert("from".to_owned(), json!(from));
    }
    shown.extend(of_tariff(&dated.price.standard));
    for (tier, tariff) in &dated.price.tiers {
        let tariff = Value::Object(of_tariff(tariff));
        shown.insert(tier.as_str().to_owned(), tariff);
    }
    Value::Object(shown)
}

fn of_tariff(tariff: &Tariff) -> Map<String, Value> {
    let mut shown = of_rates(&tariff.rates);
    let longer = tariff.longer.iter().map(|longer| {
        let mut shown = Map::new();
        shown.insert("input_tokens".to_owned(), json!(longer.input_tokens));
        shown.extend(of_rates(&longer.rates));
        Value::Object(shown)
    });
    let longer: Vec<Value> = longer.collect();
    if !longer.is_empty() {
        shown.insert("above".to_owned(), Value::Array(longer));
    }
    shown
}

fn of_rates(rates: &Rates) -> Map<String, Value> {
    let said = rates.said().map(|(kind, rate)| {
        let dollars = notation::dollars(kind, rate).to_string();
        (kind.as_str().to_owned(), json!(dollars))
    });
    said.collect()
}
