//! Which prices models have.

use super::*;
use crate::pricing::ServiceTier;
use std::sync::Arc;

const MODELS: &str = "models:\n  gpt-4o: { tier: premium, image_tokens: 1_500 }\n";

fn loaded(text: &str) -> Result<Config, Problems> {
    load(text, "weir.yaml", &outside())
}

/// The good file with another first model, and more at its end.
fn with(model: &str, more: &str) -> String {
    assert!(GOOD.contains(MODELS));
    GOOD.replace(MODELS, &format!("models:\n  {model}\n")) + more
}

fn price_of(config: &Config, model: &str) -> Option<String> {
    let price = config.snapshot.models[model].price.as_ref()?;
    Some(price.schedule().last().price.to_string())
}

fn version_of(config: &Config, model: &str) -> String {
    let price = config.snapshot.models[model].price.clone().unwrap();
    let may = crate::pricing::May {
        input_tokens: 0,
        write_cache: false,
        write_cache_1h: false,
        read_audio: false,
        read_images: false,
        service_tier: None,
    };
    price
        .pin(crate::units::UnixMillis(0), may)
        .version()
        .to_string()
}

#[test]
fn a_models_price_is_its_own_or_a_catalogues() {
    for (model, name, price) in [
        (
            "gpt-4-0613: {}",
            "gpt-4-0613",
            Some("input=30 output=60 /batch input=15 output=30"),
        ),
        ("m: { price: free }", "m", Some("free")),
        ("m: { price: unpriced }", "m", None),
        ("gpt-4o: { price: unpriced }", "gpt-4o", None),
        (
            "m: { price_as: openai/gpt-4-0613 }",
            "m",
            Some("input=30 output=60 /batch input=15 output=30"),
        ),
        (
            "m: { provider: openai, price_as: gpt-4-0613 }",
            "m",
            Some("input=30 output=60 /batch input=15 output=30"),
        ),
        ("m: { price: { request: 0.04 } }", "m", Some("request=0.04")),
        (
            "m: { price: { input: 2, output: 8, cached_input: 1, cache_write: 2.5, cache_write_1h: 4, input_audio: 10, input_image: 3, reasoning: 9, output_audio: 20, output_image: 30, search: 0.01, above: [ { input_tokens: 200k, input: 4 }, { input_tokens: 1M, input: 5 } ], batch: { input: 1, above: { input_tokens: 200k, input: 2 } }, priority: { output: 16 } } }",
            "m",
            Some(
                "input=2 cached_input=1 cache_write=2.5 cache_write_1h=4 input_audio=10 input_image=3 output=8 reasoning=9 output_audio=20 output_image=30 search=0.01 >200000 input=4 >1000000 input=5 /batch input=1 >200000 input=2 /priority output=16",
            ),
        ),
    ] {
        let config = loaded(&with(model, "")).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(price_of(&config, name).as_deref(), price, "{model}");
    }
}

#[test]
fn prices_change_on_their_dates() {
    let model = "m: { price: [ { input: 1, output: 1 }, { from: 2026-03-01, input: 2, output: 2 }, { from: 2026-03-01T12:00:00Z, input: 3, output: 3 } ], service_tier: flex }";
    let config = loaded(&with(model, "")).unwrap_or_else(|problems| panic!("{problems}"));
    let model = Arc::clone(&config.snapshot.models["m"]);
    assert_eq!(model.service_tier, Some(ServiceTier::Flex));
    let froms: Vec<u64> = model
        .price
        .as_ref()
        .unwrap()
        .schedule()
        .iter()
        .map(|dated| dated.from.0)
        .collect();
    assert_eq!(froms, [0, 1_772_323_200_000, 1_772_366_400_000]);
}

#[test]
fn what_becomes_of_unknown_models_is_said() {
    for (more, price) in [
        ("prices: { unknown: unpriced }\n", None),
        (
            "prices: { fallback: { input: 9, output: 9 } }\n",
            Some("input=9 output=9"),
        ),
        (
            "prices: { unknown: fallback, fallback: { input: 9, output: 9 } }\n",
            Some("input=9 output=9"),
        ),
    ] {
        let config = loaded(&with("m: {}", more)).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(price_of(&config, "m").as_deref(), price, "{more}");
    }
    let file = "prices: { file: prices.txt }\n";
    let config =
        loaded(&with("our-model: {}", file)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        price_of(&config, "our-model").as_deref(),
        Some("input=7 output=8")
    );
    assert_eq!(version_of(&config, "our-model"), "ours-1 openai/our-model");
    assert!(
        version_of(&config, "gpt-4o-mini").starts_with("20"),
        "the program's own"
    );
    let config = loaded(&with("m: { price: free }", "")).unwrap();
    let version = version_of(&config, "m");
    assert!(
        version.starts_with("config m ") && version.len() == 17,
        "{version}"
    );
}

/// An operator's file counts for what it names and for nothing else, whatever
/// else it says or leaves out.
#[test]
fn an_operators_prices_are_of_the_providers_they_name() {
    const BUILT_IN: &str = "20";
    for (file, model, name, version) in [
        // OpenAI's own, by any of its names.
        ("openai", "gpt-4o: {}", "gpt-4o", "ours-2 openai/gpt-4o"),
        (
            "openai",
            "gpt-4o: { provider: openai }",
            "gpt-4o",
            "ours-2 openai/gpt-4o",
        ),
        (
            "openai",
            "gpt-4o-2024-08-06: { provider: OpenAI }",
            "gpt-4o-2024-08-06",
            "ours-2 openai/gpt-4o",
        ),
        (
            "openai",
            "openai/gpt-4o: {}",
            "openai/gpt-4o",
            "ours-2 openai/gpt-4o",
        ),
        // Azure sells the same models at its own prices.
        ("openai", "gpt-4o: { provider: azure }", "gpt-4o", BUILT_IN),
        (
            "openai",
            "gpt-4o: { provider: azure_openai }",
            "gpt-4o",
            BUILT_IN,
        ),
        ("openai", "azure/gpt-4o: {}", "azure/gpt-4o", BUILT_IN),
        ("openai", "m: { price_as: azure/gpt-4o }", "m", BUILT_IN),
        // Unless somebody says that it doesn't: the file, or the model.
        (
            "azure",
            "gpt-4o: { provider: azure }",
            "gpt-4o",
            "ours-3 openai/gpt-4o",
        ),
        (
            "openai",
            "gpt-4o: { provider: azure, price_as: openai/gpt-4o }",
            "gpt-4o",
            "ours-2 openai/gpt-4o",
        ),
        (
            "azure",
            "gpt-5: { provider: azure }",
            "gpt-5",
            "ours-3 azure/gpt-5",
        ),
        ("azure", "gpt-5: {}", "gpt-5", BUILT_IN),
        (
            "azure",
            "gpt-5-mini: { provider: azure }",
            "gpt-5-mini",
            BUILT_IN,
        ),
        // A path of another provider's that ends as a name of the file does.
        (
            "openai",
            "fireworks/accounts/fireworks/models/qwen3-8b: {}",
            "fireworks/accounts/fireworks/models/qwen3-8b",
            BUILT_IN,
        ),
    ] {
        let more = format!("prices: {{ file: {file}.txt }}\n");
        let model = match name.contains('/') {
            true => model.replacen(name, &format!("'{name}'"), 1),
            false => model.to_owned(),
        };
        let config = loaded(&with(&model, &more)).unwrap_or_else(|problems| panic!("{problems}"));
        let found = version_of(&config, name);
        assert!(found.starts_with(version), "{file}: {model}: {found}");
        if version == BUILT_IN {
            let own = ["azure", "fireworks", "openai/gpt-5"];
            assert!(
                own.iter().any(|own| found.contains(own)),
                "{model}: {found}"
            );
        }
    }
    // What Azure's price of a model is, nobody says.
    let model = "of-ours: { provider: azure }";
    let file = "prices: { file: prices.txt }\n";
    let problems = loaded(&with(&model.replace("of-ours", "our-model"), file)).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("models.our-model: no price is known")
    );
}

#[test]
fn what_is_wrong_with_prices() {
    const REFUSED: &str = "12:3: models.m: no price is known of this model, so its calls would cost nothing by accident: set its price";
    for (model, more, wrong) in [
        ("m: {}", "", REFUSED),
        (
            "ft:gpt-4o-of-ours:org::id: {}",
            "",
            "no price is known of this model",
        ),
        ("'nowhere/gpt-4o': {}", "", "; known are "),
        (
            "m: { price_as: gpt-4oo }",
            "",
            "12:18: models.m.price_as: no price is known of \"gpt-4oo\"",
        ),
        (
            "m: { price: free, price_as: gpt-4o }",
            "",
            "price_as: stands beside price: only one",
        ),
        (
            "m: { price: { inptu: 1, output: 2 } }",
            "",
            "price.inptu: unknown field; did you mean \"input\"?",
        ),
        (
            "m: { price: fre }",
            "",
            "models.m.price: must be a mapping (got a text)",
        ),
        (
            "m: { price: { input: 1, output: 2, batch: { outptu: 1 } } }",
            "",
            "price.batch.outptu: unknown field; did you mean \"output\"?",
        ),
        (
            "m: { price: { input: 1, output: 2, search: 10001 } }",
            "",
            "price.search: must be at most 10000 (got 10001)",
        ),
        (
            "m: { price: { input: 1, output: 2, above: [ { input: 2 } ] } }",
            "",
            "price.above[0].input_tokens: is required",
        ),
        (
            "m: { price: { input: 1, output: 2, above: [ { input_tokens: 5, input: 2 }, { input_tokens: 5, input: 2 } ] } }",
            "",
            "price.above[1]: must be more than that of the one before it (5)",
        ),
        (
            "m: { price: [] }",
            "",
            "models.m.price: must have 1 to 100 prices",
        ),
        (
            "m: { price: [ { input: 1, output: 2 }, { input: 1, output: 2 } ] }",
            "",
            "price[1].from: is required: the day from which it holds",
        ),
        (
            "m: { price: [ { from: soon, input: 1, output: 2 } ] }",
            "",
            "price[0].from: must be a date as 2026-01-31",
        ),
        (
            "m: { price: [ { from: 2026-01-02, input: 1, output: 2 }, { from: 2026-01-02, input: 1, output: 2 } ] }",
            "",
            "price[1]: must begin later than the one before it (2026-01-02)",
        ),
        (
            "m: { price: free, service_tier: fast }",
            "",
            "models.m.service_tier: must be one of standard, batch, flex, priority",
        ),
        (
            "m: { price: free }",
            "prices: { unknown: fallback }\n",
            "prices.unknown: needs prices.fallback",
        ),
        (
            "m: {}",
            "prices: { unknown: ignore }\n",
            "prices.unknown: must be one of refuse, fallback, unpriced",
        ),
        (
            "m: { price: free }",
            "prices: { file: missing.txt }\n",
            "prices.file: \"missing.txt\": can't be read",
        ),
        (
            "m: {}",
            "prices: { file: bad.txt }\n",
            "prices.file: \"bad.txt\": line 3: the price says nothing of what output costs",
        ),
    ] {
        let problems = loaded(&with(model, more)).expect_err(model).to_string();
        assert!(problems.contains(wrong), "{model} {more}: {problems}");
    }
}
