//! A report as CSV: names, then every measure, then what follows from them.
//! `net_dollars` is exact.

use super::super::output::{guarded, record};
use super::Told;
use crate::ledger::reports::{money, tell};
use crate::ledger::store::measure::Measure;
use std::io::Write;

/// With a head line; no total, which a spreadsheet would count again.
pub fn write(told: &Told, to: &mut impl Write) -> anyhow::Result<()> {
    let unit = told.query.unit.map(|unit| tell::unit(unit).to_owned());
    let mut head: Vec<String> = unit.into_iter().chain(told.query.names()).collect();
    head.extend(Measure::ALL.map(|measure| measure.as_str().to_owned()));
    head.extend(["total_tokens", "net_nanos", "net_dollars"].map(str::to_owned));
    to.write_all(&record(head)?)?;
    for row in told.rows {
        let mut fields: Vec<String> = told.period(row).into_iter().collect();
        let names = row.names.iter();
        fields.extend(names.map(|name| guarded(name.as_deref().unwrap_or(""))));
        fields.extend(Measure::ALL.map(|measure| row.sums.get(measure).to_string()));
        fields.push(row.sums.total_tokens().to_string());
        fields.push(row.sums.net_nanos().to_string());
        fields.push(money::exact(row.sums.net_nanos()));
        to.write_all(&record(fields)?)?;
    }
    Ok(())
}
