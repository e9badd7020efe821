//! Small samples of both data sets.

use super::*;
use crate::pricing::{Catalogue, ServiceTier};
use proptest::prelude::*;

const LITELLM: &str = r#"{
  "sample_spec": { "litellm_provider": "one of", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0 },
  "gpt-x": {
    "litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
    "cache_read_input_token_cost": 1.25e-06,
    "input_cost_per_token_above_200k_tokens": 5e-06,
    "output_cost_per_token_above_200k_tokens": 1.5e-05,
    "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 5e-06,
    "input_cost_per_token_above_200k_tokens_batches": 2.5e-06,
    "input_cost_per_token_priority": 4.25e-06,
    "cache_creation_input_token_cost": 3.125e-06,
    "cache_creation_input_token_cost_above_1hr": 5e-06,
    "output_cost_per_token_ultrafast": 1,
    "search_context_cost_per_query": { "search_context_size_low": 0.01, "search_context_size_medium": 0.02, "search_context_size_high": 0.03 }
  },
  "vertex_ai/g": { "litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 1e-9, "output_cost_per_token": 7.5e-8, "input_cost_per_audio_token": 7e-07 },
  "dash/q": { "litellm_provider": "dash", "tiered_pricing": [
    { "range": [0, 256000.0], "input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07 },
    { "range": [256000.0, 1000000.0], "input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06 } ] },
  "embed": { "litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08 },
  "picture": { "litellm_provider": "openai", "output_cost_per_image": 0.04 },
  "nothing": { "litellm_provider": "openai", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0 }
}"#;

const GENAI: &str = r#"[
  { "id": "google", "name": "Google", "models": [
    { "id": "g-pro", "match": { "or": [ { "equals": "g-pro" }, { "equals": "g-pro-001" }, { "starts_with": "g-pro-x" } ] },
      "prices": { "input_mtok": { "base": 1.25, "tiers": [ { "start": 200000, "price": 2.5 } ] }, "output_mtok": 10, "web_searches_kcount": 35 },
      "price_variants": [
        { "when": { "processing": "batch" }, "prices": { "input_mtok": 0.625 }, "constraint": { "start_date": "2026-10-14" } },
        { "when": { "service_tier": "default" }, "prices": {} },
        { "when": { "speed": "fast" }, "prices": { "input_mtok": 99 } } ] },
    { "id": "g-old", "match": { "equals": "g-old" },
      "prices": [ { "prices": { "input_mtok": 3, "output_mtok": 6 } },
                  { "constraint": { "start_date": "2026-05-01" }, "prices": { "input_mtok": 2, "output_mtok": 5 } },
                  { "constraint": { "start_time": "01:00:00+00:00", "end_time": "04:00:00+00:00" }, "prices": { "input_mtok": 4, "output_mtok": 4 } } ] },
    { "id": "g-embed", "match": { "equals": "g-embed" }, "prices": { "input_mtok": 0.15 } },
    { "id": "g-sound", "match": { "equals": "g-sound" }, "prices": { "audio_hours": 0.1 } } ] } ]"#;

#[test]
fn litellm_is_read() {
    let (format, imported) = read(LITELLM.as_bytes(), None).unwrap();
    assert_eq!((format, imported.left_out), (Format::LiteLlm, 2));
    let text = imported.write("7", &["a".into()]);
    assert_eq!(
        text,
        "weir prices 1\nversion 7\nsource a\n\n\
         dash/q input=0.05 output=0.4 >256000 input=0.25 output=2\n\
         openai/embed input=0.02 output=0\n\
         openai/gpt-x input=2.5 cached_input=1.25 cache_write=3.125 cache_write_1h=5 output=10 search=0.02 \
         >200000 input=5 output=15 /batch input=1.25 output=5 >200000 input=2.5 /priority input=4.25\n\
         vertex/g input=0.001 input_audio=0.7 output=0.075\n"
    );
    assert!(Catalogue::read(&text).is_ok());
}

#[test]
fn genai_prices_are_read_with_their_dates() {
    let (format, imported) = read(GENAI.as_bytes(), Some(Format::GenaiPrices)).unwrap();
    assert_eq!((format, imported.left_out), (Format::GenaiPrices, 1));
    let text = imported.write("7", &[]);
    assert_eq!(
        text,
        "weir prices 1\nversion 7\n\n\
         gemini/g-embed input=0.15 output=0\n\
         gemini/g-old input=4 output=6\n\
         gemini/g-old @2026-05-01 input=4 output=5\n\
         gemini/g-pro input=1.25 output=10 search=0.035 >200000 input=2.5\n\
         gemini/g-pro @2026-10-14 input=1.25 output=10 search=0.035 >200000 input=2.5 /batch input=0.625 >200000 input=0.625\n\
         gemini/g-pro-001 = gemini/g-pro\n"
    );
    assert!(Catalogue::read(&text).is_ok());
}

#[test]
fn the_first_file_counts_and_is_filled_up() {
    let imported = |model: &str| {
        let text = format!(r#"{{ "m": {{ "litellm_provider": "p", {model} }} }}"#);
        read(text.as_bytes(), None).unwrap().1
    };
    let base = r#""input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6"#;
    let flex = r#", "input_cost_per_token_flex": 5e-7, "cache_read_input_token_cost": 1e-7"#;
    let mut same = imported(base);
    same.join(imported(&format!("{base}{flex}")));
    let price = same.models["p/m"].last().price.to_string();
    assert_eq!(price, "input=1 cached_input=0.1 output=2 /flex input=0.5");
    let mut other = imported(base);
    let dearer = base.replace("1e-6", "3e-6");
    other.join(imported(&format!("{dearer}{flex}")));
    let price = other.models["p/m"].last().price.to_string();
    assert_eq!(price, "input=1 output=2", "they disagree");
    assert!(
        other.models["p/m"]
            .last()
            .price
            .tariff(ServiceTier::Flex)
            .is_none()
    );
}

#[test]
fn what_is_no_data_set_is_refused() {
    for (text, format, wrong) in [
        ("{", None, "is no JSON"),
        ("7", None, "is neither an object of models"),
        (
            "{}",
            Some(Format::GenaiPrices),
            "is not of the form of genai-prices",
        ),
        ("[]", Some(Format::LiteLlm), "is not of the form of litellm"),
    ] {
        let error = read(text.as_bytes(), format).unwrap_err().to_string();
        assert!(error.starts_with(wrong), "{error}");
    }
    let odd = r#"{ "a": 7, "b": { "litellm_provider": 7 }, "c d": { "litellm_provider": "p", "input_cost_per_token": 1, "output_cost_per_token": -1 } }"#;
    let (_, imported) = read(odd.as_bytes(), None).unwrap();
    assert!(imported.models.is_empty());
}

#[test]
fn decimals_are_scaled_without_loss_and_rounded_up() {
    for (text, power, number) in [
        ("2.5e-6", 15, Some(2_500_000_000)),
        ("6.25e-8", 15, Some(62_500_000)),
        ("0.0005666666666666667", 15, Some(566_666_666_667)),
        ("35", 12, Some(35_000_000_000_000)),
        ("1e-16", 15, Some(1)),
        ("1e-300", 15, Some(1)),
        ("0", 15, Some(0)),
        ("0e-300", 15, Some(0)),
        ("1e300", 15, None),
        ("-1", 15, None),
        ("x", 15, None),
        ("1e99999999999", 15, None),
    ] {
        assert_eq!(scaled(text, power), number, "{text}");
    }
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(text in r#"[\[\]{}":,a-z0-9._ -]{0,80}"#, number in any::<f64>()) {
        let _ = read(text.as_bytes(), None);
        let model = serde_json::json!({ "m": { "litellm_provider": "p", "input_cost_per_token": number, "output_cost_per_token": number, "tiered_pricing": [ { "range": [number], "input_cost_per_token": number } ] } });
        let (_, imported) = read(model.to_string().as_bytes(), None).unwrap();
        prop_assert!(Catalogue::read(&imported.write("1", &[])).is_ok());
    }
}
