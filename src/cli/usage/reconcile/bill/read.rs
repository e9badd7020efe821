//! Pages, buckets, results and records.

use super::{ALL_MODELS, Bill, Day, Figure, Figures, Provider};
use crate::ledger::reports::money::decimal;
use crate::units::UnixMillis;
use anyhow::{Context, anyhow, bail};
use serde_json::{Map, Value};

/// Decimals of a dollar in nano-dollars, and of a cent.
const DOLLAR: u32 = 9;
const CENT: u32 = 7;

/// A page of either provider, or a list of pages or of buckets.
pub fn page(page: &Value, provider: Provider, bill: &mut Bill) -> anyhow::Result<()> {
    if let Value::Array(all) = page {
        for one in all {
            if one.get("results").is_some() {
                bucket(one, provider, bill)?;
            } else {
                page_object(one, provider, bill)?;
            }
        }
        return Ok(());
    }
    page_object(page, provider, bill)
}

fn page_object(page: &Value, provider: Provider, bill: &mut Bill) -> anyhow::Result<()> {
    let buckets = page.get("data").and_then(Value::as_array);
    let buckets = buckets.ok_or_else(|| match page.get("error") {
        Some(_) => anyhow!("it is an error that the provider answered, and no report"),
        None => anyhow!("it has no `data`: it is no usage or cost report"),
    })?;
    for (at, one) in buckets.iter().enumerate() {
        bucket(one, provider, bill).with_context(|| format!("data[{at}]"))?;
    }
    bill.has_more = page.get("has_more").and_then(Value::as_bool) == Some(true);
    Ok(())
}

fn bucket(bucket: &Value, provider: Provider, bill: &mut Bill) -> anyhow::Result<()> {
    let fields = bucket.as_object().context("is no bucket of time")?;
    let day = day(fields)?;
    let results = fields.get("results").and_then(Value::as_array);
    for (at, result) in results.context("has no `results`")?.iter().enumerate() {
        let place = || format!("results[{at}]");
        let fields = result.as_object().with_context(place)?;
        of_result(day, fields, provider, bill).with_context(place)?;
    }
    Ok(())
}

/// The day that a bucket, or a record, begins on.
fn day(fields: &Map<String, Value>) -> anyhow::Result<Day> {
    const NAMES: [&str; 5] = [
        "start_time",
        "starting_at",
        "start_time_iso",
        "usage_date_utc",
        "date",
    ];
    let mut values = NAMES.iter().filter_map(|name| fields.get(*name));
    let value = values.find(|value| !value.is_null() && value.as_str() != Some(""));
    let value = value.with_context(|| format!("has none of {}", NAMES.join(", ")))?;
    let text = text(value);
    let at = match text.parse::<u64>() {
        Ok(seconds) => Some(UnixMillis(seconds.saturating_mul(1_000))),
        Err(_) => {
            let zone = jiff::tz::TimeZone::UTC;
            crate::ledger::reports::instant::moment(&text, &zone, UnixMillis(0)).ok()
        }
    };
    let day = at.and_then(Day::of);
    day.with_context(|| format!("{:?} is no time", text.chars().take(64).collect::<String>()))
}

/// A number or a text, as text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// A count; `None` where there is none.
fn count(fields: &Map<String, Value>, name: &str) -> anyhow::Result<Option<i128>> {
    amount(fields, name, 0)
}

fn amount(fields: &Map<String, Value>, name: &str, scale: u32) -> anyhow::Result<Option<i128>> {
    let Some(value) = fields.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let text = text(value);
    if text.is_empty() {
        return Ok(None);
    }
    let number = decimal(&text, scale);
    number.map(Some).with_context(|| {
        let text: String = text.chars().take(64).collect();
        format!("`{name}` is no number: {text:?}")
    })
}

fn of_result(
    day: Day,
    fields: &Map<String, Value>,
    provider: Provider,
    bill: &mut Bill,
) -> anyhow::Result<()> {
    let (figures, model) = match provider {
        Provider::Openai => openai(fields)?,
        Provider::Anthropic => anthropic(fields)?,
    };
    bill.by_model |= model.is_some();
    let model = model.unwrap_or(ALL_MODELS).to_owned();
    let line = bill.lines.entry((day, model)).or_default();
    for figure in Figure::ALL {
        if let Some(amount) = figures.get(figure) {
            line.add(figure, amount);
        }
    }
    Ok(())
}

/// A name that is there.
fn name<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f str> {
    let text = fields.get(name)?.as_str()?.trim();
    (!text.is_empty()).then_some(text)
}

fn openai(fields: &Map<String, Value>) -> anyhow::Result<(Figures, Option<&str>)> {
    let mut figures = Figures::default();
    if let Some(money) = fields.get("amount").and_then(Value::as_object) {
        is_dollars(money.get("currency"))?;
        let value = amount(money, "value", DOLLAR)?.context("`amount` has no `value`")?;
        figures.add(Figure::CostNanos, value);
        // As in `gpt-4o-2024-08-06, cached input`.
        let item = name(fields, "line_item");
        let model = item.map(|item| item.split(", ").next().unwrap_or(item));
        return Ok((figures, model));
    }
    for (field, figure) in [
        ("num_model_requests", Figure::Requests),
        ("input_tokens", Figure::InputTokens),
        ("input_cached_tokens", Figure::CachedInputTokens),
        ("output_tokens", Figure::OutputTokens),
    ] {
        if let Some(amount) = count(fields, field)? {
            figures.add(figure, amount);
        }
    }
    if figures == Figures::default() {
        bail!(
            "it has neither `input_tokens` nor an `amount`: it is no result of OpenAI's usage or costs"
        );
    }
    Ok((figures, name(fields, "model")))
}

fn anthropic(fields: &Map<String, Value>) -> anyhow::Result<(Figures, Option<&str>)> {
    let mut figures = Figures::default();
    if let Some(cents) = amount(fields, "amount", CENT)? {
        is_dollars(fields.get("currency"))?;
        figures.add(Figure::CostNanos, cents);
        let model = name(fields, "model").or_else(|| name(fields, "description"));
        return Ok((figures, model));
    }
    let read = count(fields, "cache_read_input_tokens")?;
    let uncached = count(fields, "uncached_input_tokens")?;
    let nothing = Map::new();
    let writes = fields.get("cache_creation").and_then(Value::as_object);
    let writes = writes.unwrap_or(&nothing);
    let inputs = [
        uncached,
        read,
        count(writes, "ephemeral_5m_input_tokens")?,
        count(writes, "ephemeral_1h_input_tokens")?,
    ];
    for input in inputs.into_iter().flatten() {
        figures.add(Figure::InputTokens, input);
    }
    if let Some(read) = read {
        figures.add(Figure::CachedInputTokens, read);
    }
    if let Some(output) = count(fields, "output_tokens")? {
        figures.add(Figure::OutputTokens, output);
    }
    if uncached.is_none() && figures.get(Figure::OutputTokens).is_none() {
        bail!(
            "it has neither `uncached_input_tokens` nor an `amount`: it is no result of Anthropic's usage or costs"
        );
    }
    Ok((figures, name(fields, "model")))
}

fn is_dollars(currency: Option<&Value>) -> anyhow::Result<()> {
    match currency.and_then(Value::as_str) {
        Some(currency) if !currency.eq_ignore_ascii_case("usd") => {
            bail!("its costs are in {currency:.8}; weir's are in USD")
        }
        _ => Ok(()),
    }
}

/// OpenAI's export: a record for each result, times and figures side by side. A
/// bucket without any has a record too.
pub fn csv(text: &str, provider: Provider, bill: &mut Bill) -> anyhow::Result<()> {
    if provider != Provider::Openai {
        bail!("it is no JSON: of Anthropic's reports the API's JSON can be read");
    }
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let head = reader.headers().context("its first line")?.clone();
    let has = |name: &str| head.iter().any(|column| column == name);
    let is_known = ["start_time", "start_time_iso"].into_iter().any(has);
    if !is_known {
        bail!("it is neither JSON nor OpenAI's CSV: its first line has no start_time");
    }
    if !has("input_tokens") && !has("amount_value") && head.len() > 4 {
        bail!("its first line has neither input_tokens nor amount_value");
    }
    for (at, record) in reader.records().enumerate() {
        let place = || format!("line {}", at + 2);
        let record = record.with_context(place)?;
        let fields = fields(&head, &record);
        let figures = ["input_tokens", "num_model_requests", "amount"];
        if figures.iter().any(|name| fields.contains_key(*name)) {
            let day = day(&fields).with_context(place)?;
            of_result(day, &fields, provider, bill).with_context(place)?;
        }
    }
    Ok(())
}

/// A record in the form of a result: empty cells aren't there.
fn fields(head: &csv::StringRecord, record: &csv::StringRecord) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut amount = Map::new();
    for (name, cell) in head.iter().zip(record) {
        if cell.is_empty() {
            continue;
        }
        let cell = Value::String(cell.to_owned());
        match name.strip_prefix("amount_") {
            Some(part @ ("value" | "currency")) => amount.insert(part.to_owned(), cell),
            _ => fields.insert(name.to_owned(), cell),
        };
    }
    if amount.contains_key("value") {
        fields.insert("amount".to_owned(), Value::Object(amount));
    }
    fields
}
