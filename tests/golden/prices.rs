//! The program's own prices, against figures that were taken out of the two data
//! sets by another program: `prices.tsv`.

use weir::pricing::notation::dollars;
use weir::pricing::{Catalogue, Kind, ServiceTier, date};

const FIGURES: &str = include_str!("prices.tsv");

#[test]
fn models_cost_what_the_data_sets_say() {
    let catalogue = Catalogue::built_in();
    let day = date::read("2026-11-26").unwrap();
    let rows: Vec<Vec<&str>> = FIGURES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| line.split('\t').collect())
        .collect();
    assert!(rows.len() >= 80, "only {} models", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let [
            model,
            _,
            input,
            cached,
            write,
            hour,
            output,
            length,
            long_input,
            long_output,
            batch_input,
            batch_output,
        ] = row.as_slice()
        else {
            panic!("{row:?}");
        };
        let entry = catalogue.get(model).unwrap_or_else(|| panic!("{model}"));
        let price = &entry.schedule.at(day).price;
        let mut is = |what: &str, tier, input_tokens, kind: Kind, figure: &str| {
            let rates = price.rates(tier, input_tokens);
            let said = dollars(kind, rates.of(kind)).to_string();
            if !figure.is_empty() && said != figure {
                wrong.push(format!("{model}: {what}: {said}, not {figure}"));
            }
        };
        let standard = ServiceTier::Standard;
        for (kind, figure) in [
            (Kind::Input, input),
            (Kind::CachedInput, cached),
            (Kind::CacheWrite, write),
            (Kind::CacheWrite1h, hour),
            (Kind::Output, output),
        ] {
            is(kind.as_str(), standard, 1, kind, figure);
        }
        is("batch", ServiceTier::Batch, 1, Kind::Input, batch_input);
        is("batch", ServiceTier::Batch, 1, Kind::Output, batch_output);
        if !length.is_empty() {
            let length: u64 = length.parse().unwrap();
            is("at the length", standard, length, Kind::Input, input);
            is("above it", standard, length + 1, Kind::Input, long_input);
            is("above it", standard, length + 1, Kind::Output, long_output);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
