//! Providers' reports, as their documentation describes them and somewhat beyond:
//! what isn't needed may be missing, numbers may be texts, pages may follow each
//! other or stand in a list.
//!
//! - OpenAI: <https://platform.openai.com/docs/api-reference/usage>; its
//!   `input_tokens` have cached ones in them; costs are dollars. The CSV export has
//!   the same names as columns.
//! - Anthropic: <https://docs.anthropic.com/en/api/usage-cost-api>; uncached
//!   input, cache reads and cache writes are apart; costs are cents, as text.
//!
//! Always holds: a result that can't be understood is an error with its place;
//! nothing is left out silently.

mod read;

use crate::units::UnixMillis;
use anyhow::{Context, bail};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// A month of minutes of a large organization; a larger file is another one.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The model of a report that isn't by model.
pub const ALL_MODELS: &str = "(all models)";

/// Whose report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    Openai,
    Anthropic,
}

impl Provider {
    /// Its usual name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Openai => "openai",
            Provider::Anthropic => "anthropic",
        }
    }
}

/// A day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    pub fn of(at: UnixMillis) -> Option<Self> {
        let zoned = crate::ledger::reports::instant::zoned(at, &TimeZone::UTC)?;
        Some(Self(zoned.date()))
    }

    fn begins(self) -> Option<UnixMillis> {
        let zoned = self.0.to_zoned(TimeZone::UTC).ok()?;
        let ms = zoned.timestamp().as_millisecond();
        u64::try_from(ms).ok().map(UnixMillis)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    Requests,
    InputTokens,
    CachedInputTokens,
    OutputTokens,
    CostNanos,
}

impl Figure {
    pub const ALL: [Figure; 5] = [
        Figure::Requests,
        Figure::InputTokens,
        Figure::CachedInputTokens,
        Figure::OutputTokens,
        Figure::CostNanos,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Figure::Requests => "requests",
            Figure::InputTokens => "input_tokens",
            Figure::CachedInputTokens => "cached_input_tokens",
            Figure::OutputTokens => "output_tokens",
            Figure::CostNanos => "cost_nanos",
        }
    }
}

/// Figures, by [`Figure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures(pub [Option<i128>; Figure::ALL.len()]);

/// A report that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    pub lines: BTreeMap<(Day, String), Figures>,
    /// Whether any result names its model.
    pub by_model: bool,
    /// Whether its last page says that there are more.
    pub has_more: bool,
}

impl Bill {
    /// From the first moment of the first day to that after the last.
    pub fn span(&self) -> Option<(UnixMillis, UnixMillis)> {
        let ((first, _), _) = self.lines.first_key_value()?;
        let ((last, _), _) = self.lines.last_key_value()?;
        let after = Day(last.0.tomorrow().ok()?);
        Some((first.begins()?, after.begins()?))
    }

    /// The figures that it says anything of.
    pub fn figures(&self) -> Vec<Figure> {
        let is_there = |figure: &Figure| {
            let mut all = self.lines.values();
            all.any(|figures| figures.get(*figure).is_some())
        };
        Figure::ALL.into_iter().filter(is_there).collect()
    }
}

/// Reads a report.
pub fn read(path: &Path, provider: Provider) -> anyhow::Result<Bill> {
    let file = std::fs::File::open(path).context("can't be read")?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.context("can't be read")?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("is larger than {} MiB", FILE_BYTES_MAX >> 20);
    }
    of_text(&text, provider)
}

/// Reads a report's text.
pub fn of_text(text: &str, provider: Provider) -> anyhow::Result<Bill> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut bill = Bill::default();
    if text.trim_start().starts_with(['{', '[']) {
        let pages = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        for (at, page) in pages.enumerate() {
            let page = page.with_context(|| format!("page {} is no JSON", at + 1))?;
            read::page(&page, provider, &mut bill)?;
        }
    } else {
        read::csv(text, provider, &mut bill)?;
    }
    Ok(bill)
}
