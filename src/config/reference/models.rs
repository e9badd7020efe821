//! Models, names behind which one is chosen, and prices.

use super::forms::*;
use super::{Block, Field, Form, block, def, opt, req};

pub static MODEL: Form = Form::Any(&[Form::Block(&OWN), Form::Block(&VIRTUAL)]);

#[rustfmt::skip]
static OWN: Block = block("model", "A model.", &[
    opt("tier", &NAME, "none", "A name that limits count by and conditions ask for."),
    opt("provider", &NAME, "none", "Likewise; prices are looked up by it too."),
    opt("price", &PRICE, "by name, from the catalogue", "What it costs."),
    opt("price_as", &NAME, "its name", "The catalogue's name for it, as `openai/gpt-4o`; not beside `price`."),
    opt("service_tier", &Form::Words(&["standard", "batch", "flex", "priority"]), "any", "The tier of service that the provider charges by, whatever a call asks."),
    opt("vocabulary", &Form::Words(&["o200k_base", "cl100k_base", "voyage3_base"]), "by name", "What its texts are counted with."),
    opt("max_input_tokens", &AMOUNT, "none", "The most input of one call, from 1: what is held where a call refers to input that weir isn't shown."),
    opt("token_ratio", &SHARE, "by family, then learned", "Its own tokens for each of the vocabulary's, 0.5 to 3."),
    opt("max_output_tokens", &AMOUNT, "by name", "The most tokens of one answer; 0 for a model that only embeds."),
    opt("output_field", &Form::Words(&["max_tokens", "max_completion_tokens", "either"]), "by name", "Which field caps the output of its chats."),
    opt("image_tokens", &AMOUNT, "by the provider's rule", "What one image is held at, from 1."),
    def("inject_include_usage", &BOOLEAN, "true", "Write `stream_options.include_usage` into streams, so that the provider reports usage."),
]);

#[rustfmt::skip]
static VIRTUAL: Block = block("virtual_model", "A name behind which a model is chosen.", &[
    req("choose", &Form::Some(&WAY), "1 to 16 ways, of which the first whose condition holds counts; the last has none."),
]);

static WAY: Form = Form::Any(&[
    Form::Written(&MODEL_NAME),
    Form::List(&NAME),
    Form::Block(&WAY_BLOCK),
]);
static MODEL_NAME: super::Written = super::Written {
    id: "model_name",
    doc: "the name of a model that isn't itself chosen from others",
    example: "m",
    types: &["string", "number"],
    pattern: "",
};
#[rustfmt::skip]
static WAY_BLOCK: Block = block("way", "Models, under a condition.", &[
    opt("when", &CONDITION, "every call", "For which calls."),
    req("use", &USE, "1 to 16 models: one, a list of them, or their weights, 1 to 1000000, as `{ large: 3, small: 1 }`."),
]);
static USE: Form = Form::Any(&[
    Form::Written(&MODEL_NAME),
    Form::List(&NAME),
    Form::Named(&AMOUNT),
]);

#[rustfmt::skip]
pub static PRICES: Block = block("prices", "Prices besides the catalogue's.", &[
    opt("file", &TEXT, "none", "Prices in the form that `weir prices import` writes, before the catalogue's."),
    def("unknown", &Form::Words(&["refuse", "fallback", "unpriced"]), "refuse", "What becomes of models without a price."),
    opt("fallback", &FALLBACK, "none", "The price of models without one, for `unknown: fallback`."),
]);

static PRICE: Form = Form::Any(&[Form::Words(&["free", "unpriced"]), Form::Some(&DATED)]);
static FALLBACK: Form = Form::Any(&[Form::Words(&["free"]), Form::Some(&DATED)]);
static DATED: Form = Form::Block(&PRICE_BLOCK);

const EACH: &str = "as the kind that it is part of";

#[rustfmt::skip]
const INPUT: Field = opt("input", &DOLLARS, "required, unless `request` is there", "Of input tokens.");
#[rustfmt::skip]
const OUTPUT: Field = opt("output", &DOLLARS, "required, unless `request` is there", "Of output tokens.");
#[rustfmt::skip]
const INPUT_OF_TIER: Field = opt("input", &DOLLARS, "as the standard tier's", "Of input tokens.");
#[rustfmt::skip]
const OUTPUT_OF_TIER: Field = opt("output", &DOLLARS, "as the standard tier's", "Of output tokens.");
const CACHED_INPUT: Field = opt(
    "cached_input",
    &DOLLARS,
    EACH,
    "Of input read from a cache.",
);
const CACHE_WRITE: Field = opt(
    "cache_write",
    &DOLLARS,
    EACH,
    "Of input written to a cache.",
);
#[rustfmt::skip]
const CACHE_WRITE_1H: Field = opt("cache_write_1h", &DOLLARS, EACH, "Of input written to a cache for an hour.");
const INPUT_AUDIO: Field = opt("input_audio", &DOLLARS, EACH, "Of audio as input.");
const INPUT_IMAGE: Field = opt("input_image", &DOLLARS, EACH, "Of images as input.");
#[rustfmt::skip]
const CACHED_AUDIO: Field = opt("cached_input_audio", &DOLLARS, EACH, "Of audio read from a cache.");
#[rustfmt::skip]
const CACHED_IMAGE: Field = opt("cached_input_image", &DOLLARS, EACH, "Of images read from a cache.");
const REASONING: Field = opt("reasoning", &DOLLARS, EACH, "Of reasoning.");
const OUTPUT_AUDIO: Field = opt("output_audio", &DOLLARS, EACH, "Of audio as output.");
const OUTPUT_IMAGE: Field = opt("output_image", &DOLLARS, EACH, "Of images as output.");
const REQUEST: Field = opt("request", &DOLLARS, "nothing", "Of each call, in dollars.");
const SEARCH: Field = opt("search", &DOLLARS, "nothing", "Of each search, in dollars.");
static SOME_LONGER: Form = Form::Some(&LONGER);
#[rustfmt::skip]
const ABOVE: Field = opt("above", &SOME_LONGER, "no other price", "What the whole call costs where its prompt is longer; the lengths rise.");

#[rustfmt::skip]
static PRICE_BLOCK: Block = block("price", "Dollars per million tokens, but for `request` and `search`.", &[
    INPUT, CACHED_INPUT, CACHE_WRITE, CACHE_WRITE_1H, INPUT_AUDIO, INPUT_IMAGE, CACHED_AUDIO, CACHED_IMAGE,
    OUTPUT, REASONING, OUTPUT_AUDIO, OUTPUT_IMAGE, REQUEST, SEARCH, ABOVE,
    opt("batch", &Form::Block(&TARIFF), "as `input` and the others", "Prices of the batch tier."),
    opt("flex", &Form::Block(&TARIFF), "as `input` and the others", "Prices of the flex tier."),
    opt("priority", &Form::Block(&TARIFF), "as `input` and the others", "Prices of the priority tier."),
    opt("from", &DATE, "always; required of all but the first of a list", "From when it holds."),
]);

#[rustfmt::skip]
static TARIFF: Block = block("tariff", "Prices of a tier of service, in the same units.", &[
    INPUT_OF_TIER, CACHED_INPUT, CACHE_WRITE, CACHE_WRITE_1H, INPUT_AUDIO, INPUT_IMAGE, CACHED_AUDIO, CACHED_IMAGE,
    OUTPUT_OF_TIER, REASONING, OUTPUT_AUDIO, OUTPUT_IMAGE, REQUEST, SEARCH, ABOVE,
]);

static LONGER: Form = Form::Block(&LONGER_BLOCK);
#[rustfmt::skip]
static LONGER_BLOCK: Block = block("longer", "Prices of calls with a longer prompt, in the same units.", &[
    req("input_tokens", &AMOUNT, "Of calls with more input tokens than that."),
    INPUT_OF_TIER, CACHED_INPUT, CACHE_WRITE, CACHE_WRITE_1H, INPUT_AUDIO, INPUT_IMAGE, CACHED_AUDIO, CACHED_IMAGE,
    OUTPUT_OF_TIER, REASONING, OUTPUT_AUDIO, OUTPUT_IMAGE, REQUEST, SEARCH,
]);
