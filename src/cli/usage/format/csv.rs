//! A report as CSV: names, then every measure, then what follows from them.
//! `net_dollars` is exact.

use super::super::output::{guarded, record};
use super::Told;
use crate::ledger::reports::{money, tell};
use crate::ledger::store::measure::Measure;
use std::io::Write;

/// With a head line; no total, which a spreadsheet would count again.
pub fn write(told: &Told, to: &mut impl Write) -> anyhow::Result<()> {
    let mut head: Vec<&str> = told.query.unit.map(tell::unit).into_iter().collect();
    head.extend(told.query.group_by.iter().map(|name| name.as_str()));
    head.extend(Measure::ALL.map(Measure::as_str));
    head.extend(["total_tokens", "net_nanos", "net_dollars"]);
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
