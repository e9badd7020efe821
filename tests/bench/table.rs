//! The one table: a column for each variant, a row for each figure, and beside
//! each value its ratio to its floor.
//!
//! A value is the median over the rounds; a ratio is the median of the ratios
//! taken round by round, which a drifting machine disturbs least.

use crate::rounds::{CONNECTIONS, Phase, Plan, Sample};
use crate::site::Variant;
use anyhow::Context;

/// A row: what it shows of which phase's samples.
struct Row {
    name: String,
    phase: &'static str,
    figure: fn(&Sample) -> f64,
    show: Show,
}

/// How a row's cells are written.
#[derive(Clone, Copy, PartialEq)]
enum Show {
    /// The value, and its ratio to the floor's.
    Ratio,
    /// The value, and what it has beyond the floor's.
    Beyond,
    /// The value alone.
    Plain,
}

/// The middle one; of an even number, the upper of the two.
pub fn median(values: impl Iterator<Item = f64>) -> anyhow::Result<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("no round was measured")
}

/// The table, ready to print.
pub fn render(samples: &[Sample], plan: &Plan) -> anyhow::Result<String> {
    let rate = samples.iter().find_map(|sample| match sample.phase {
        Phase::Open(rate) => Some(rate),
        _ => None,
    });
    let measured = |row: &Row| samples.iter().any(|s| s.phase.name() == row.phase);
    let rows: Vec<Row> = rows(rate.unwrap_or_default())
        .into_iter()
        .filter(measured)
        .collect();
    let mut variants: Vec<Variant> = Vec::new();
    for sample in samples {
        if !variants.contains(&sample.variant) {
            variants.push(sample.variant);
        }
    }
    let mut lines = vec![headings(&variants)];
    for row in &rows {
        let mut cells = vec![row.name.clone()];
        for variant in &variants {
            cells.push(row.cell(samples, *variant)?);
        }
        lines.push(cells);
    }
    let rounds = plan.rounds;
    Ok(format!(
        "{}\nmedians of {rounds} interleaved rounds; in brackets the median of the rounds' ratios \
         to the floor (x) or of what is beyond it (+)",
        aligned(&lines)
    ))
}

fn headings(variants: &[Variant]) -> Vec<String> {
    let mut headings = vec![String::new()];
    headings.extend(variants.iter().map(|variant| variant.name().to_owned()));
    headings
}

fn rows(rate: f64) -> Vec<Row> {
    let row = |name: &str, phase, figure, show| Row {
        name: name.to_owned(),
        phase,
        figure,
        show,
    };
    let named = |name: String, phase, figure, show| Row {
        name,
        phase,
        figure,
        show,
    };
    vec![
        named(
            format!("calls/s, {CONNECTIONS} connections"),
            "many",
            |s| s.per_second,
            Show::Ratio,
        ),
        row(
            "  CPU us a call: Envoy",
            "many",
            |s| s.envoy_us,
            Show::Beyond,
        ),
        row(
            "  CPU us a call: sidecar",
            "many",
            |s| s.sidecar_us,
            Show::Beyond,
        ),
        row(
            "  CPU us a call: Redis",
            "many",
            |s| s.store_us,
            Show::Plain,
        ),
        row(
            "calls/s, 1 connection",
            "one",
            |s| s.per_second,
            Show::Ratio,
        ),
        row("  latency p50, us", "one", |s| s.p50_us, Show::Ratio),
        named(
            format!("open loop at {rate:.0}/s: p50, us"),
            "open",
            |s| s.p50_us,
            Show::Ratio,
        ),
        row("  p99, us", "open", |s| s.p99_us, Show::Ratio),
        row(
            "  CPU us a call: sidecar",
            "open",
            |s| s.sidecar_us,
            Show::Beyond,
        ),
        named(
            format!("{CONNECTIONS} streams: first byte p50, us"),
            "streams",
            |s| s.first_byte_p50_us,
            Show::Ratio,
        ),
        row(
            "  first byte p99, us",
            "streams",
            |s| s.first_byte_p99_us,
            Show::Ratio,
        ),
        row(
            "  CPU us a chunk: Envoy",
            "streams",
            Sample::envoy_us_per_piece,
            Show::Beyond,
        ),
        row(
            "  CPU us a chunk: sidecar",
            "streams",
            Sample::sidecar_us_per_piece,
            Show::Beyond,
        ),
        row(
            "sidecar's memory at the end, MiB",
            "streams",
            |s| s.resident_kib / 1024.0,
            Show::Plain,
        ),
    ]
}

impl Row {
    fn cell(&self, samples: &[Sample], variant: Variant) -> anyhow::Result<String> {
        let value = median(self.of(samples, variant).map(|(_, value)| value))?;
        let value = shown(value);
        if variant == variant.floor() || self.show == Show::Plain {
            return Ok(value);
        }
        let pairs: Vec<(f64, f64)> = self
            .of(samples, variant)
            .filter_map(|(round, value)| {
                let floor = self
                    .of(samples, variant.floor())
                    .find(|(other, _)| *other == round)?;
                Some((value, floor.1))
            })
            .collect();
        let pairs = pairs.into_iter();
        Ok(match self.show {
            Show::Ratio => format!(
                "{value} ({:.2}x)",
                median(pairs.map(|(own, floor)| own / floor))?
            ),
            _ => format!(
                "{value} ({:+.1})",
                median(pairs.map(|(own, floor)| own - floor))?
            ),
        })
    }

    fn of<'a>(
        &'a self,
        samples: &'a [Sample],
        variant: Variant,
    ) -> impl Iterator<Item = (u32, f64)> + 'a {
        samples
            .iter()
            .filter(move |sample| sample.variant == variant && sample.phase.name() == self.phase)
            .map(|sample| (sample.round, (self.figure)(sample)))
    }
}

fn shown(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Columns as wide as their widest cell, the first one to the left.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if column == 0 {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}
