//! A report as JSON.

use super::Told;
use crate::ledger::reports::tell;
use serde_json::Value;
use std::io::Write;

/// One document: what was asked, the rows, and the total of all rows.
pub fn write(told: &Told, to: &mut impl Write) -> anyhow::Result<()> {
    let mut document = tell::asked(told.query);
    let rows = told.rows.iter().map(|row| tell::row(row, told.query));
    document.insert("rows".into(), Value::Array(rows.collect()));
    document.insert("rows_in_all".into(), told.all.into());
    document.insert("total".into(), Value::Object(tell::sums(told.total)));
    serde_json::to_writer_pretty(&mut *to, &document).map_err(std::io::Error::from)?;
    Ok(to.write_all(b"\n")?)
}

/// A line for each row.
pub fn write_lines(told: &Told, to: &mut impl Write) -> anyhow::Result<()> {
    for row in told.rows {
        writeln!(to, "{}", tell::row(row, told.query))?;
    }
    Ok(())
}
