//! A bill and the ledger, figure by figure.

use super::bill::{ALL_MODELS, Bill, Day, Figure, Figures};
use crate::ledger::reports::money::{grouped, rounded};
use crate::ledger::reports::tell::number;
use crate::ledger::store::measure::{Measure, Sums};
use crate::ledger::store::report::UsageRow;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Decimals of a percentage that is given.
pub const PERCENT_SCALE: u32 = 6;

/// One figure of a day and a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub day: Day,
    pub model: String,
    pub figure: Figure,
    pub provider: i128,
    pub weir: i128,
}

/// How large a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Percent {
    /// Hundredths of a percent of the provider's figure, to the nearest.
    Of(i128),
    /// The provider says 0 and weir doesn't.
    OfNothing,
}

impl Line {
    /// What weir has more.
    pub fn difference(&self) -> i128 {
        self.weir.saturating_sub(self.provider)
    }

    pub fn percent(&self) -> Percent {
        let (more, of) = (self.difference(), self.provider.abs());
        match of {
            0 if more == 0 => Percent::Of(0),
            0 => Percent::OfNothing,
            _ => {
                let doubled = more.saturating_mul(2 * 10_000);
                let half = if more < 0 { -of } else { of };
                Percent::Of(doubled.saturating_add(half) / of.saturating_mul(2))
            }
        }
    }

    /// Whether it differs by more than this part of the provider's figure, in
    /// percent with [`PERCENT_SCALE`] decimals.
    pub fn is_over(&self, most: i128) -> bool {
        let scale = 100 * 10_i128.pow(PERCENT_SCALE);
        let more = self.difference().saturating_abs().saturating_mul(scale);
        more > most.saturating_mul(self.provider.saturating_abs())
    }

    pub fn json(&self) -> Value {
        let percent = match self.percent() {
            Percent::Of(hundredths) => json!(format!(
                "{}{}.{:02}",
                if hundredths < 0 { "-" } else { "" },
                hundredths.unsigned_abs() / 100,
                hundredths.unsigned_abs() % 100
            )),
            Percent::OfNothing => Value::Null,
        };
        json!({
            "day": self.day.to_string(),
            "model": self.model,
            "figure": self.figure.as_str(),
            "provider": number(self.provider),
            "weir": number(self.weir),
            "difference": number(self.difference()),
            "percent": percent,
        })
    }
}

impl Figure {
    /// Its name for people, who are shown dollars.
    pub fn title(self) -> &'static str {
        match self {
            Figure::CostNanos => "cost $",
            other => other.as_str(),
        }
    }

    /// For people.
    pub fn shown(self, value: i128) -> String {
        match self {
            Figure::CostNanos => rounded(value),
            _ => {
                let sign = if value < 0 { "-" } else { "" };
                format!("{sign}{}", grouped(value.unsigned_abs()))
            }
        }
    }

    fn of(self, sums: &Sums) -> i128 {
        match self {
            Figure::Requests => sums.get(Measure::Calls),
            Figure::InputTokens => sums.get(Measure::InputTokens),
            Figure::CachedInputTokens => sums.get(Measure::CachedInputTokens),
            Figure::OutputTokens => sums.get(Measure::OutputTokens),
            Figure::CostNanos => sums.net_nanos(),
        }
    }
}

/// Every figure that the bill has, for each day and model of either side.
pub fn differences(bill: &Bill, rows: &[UsageRow]) -> Vec<Line> {
    let mut ours: BTreeMap<(Day, String), Sums> = BTreeMap::new();
    for row in rows {
        let Some(day) = row.period.and_then(|period| Day::of(period.from)) else {
            continue;
        };
        let model = match bill.by_model {
            // The model that served, else the one that was asked for.
            true => row.names.iter().flatten().next(),
            false => None,
        };
        let model = model.map_or(ALL_MODELS, String::as_str).to_owned();
        ours.entry((day, model)).or_default().merge(&row.sums);
    }
    let mut keys: Vec<&(Day, String)> = bill.lines.keys().chain(ours.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut lines = Vec::new();
    for figure in bill.figures() {
        for key in &keys {
            let provider = bill.lines.get(key).and_then(|figures| figures.get(figure));
            let weir = ours.get(key).map_or(0, |sums| figure.of(sums));
            let provider = provider.unwrap_or(0);
            if provider != 0 || weir != 0 {
                lines.push(Line {
                    day: key.0,
                    model: key.1.clone(),
                    figure,
                    provider,
                    weir,
                });
            }
        }
    }
    lines.sort_by(|a, b| (a.day, &a.model, a.figure).cmp(&(b.day, &b.model, b.figure)));
    lines
}

impl Figures {
    /// `None` where the bill doesn't say.
    pub fn get(&self, figure: Figure) -> Option<i128> {
        self.0.get(figure as usize).copied().flatten()
    }

    pub fn add(&mut self, figure: Figure, amount: i128) {
        if let Some(sum) = self.0.get_mut(figure as usize) {
            *sum = Some(sum.unwrap_or(0).saturating_add(amount));
        }
    }
}
