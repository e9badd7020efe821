//! A report as Parquet: the columns of [`super::csv`], periods with their
//! milliseconds. Only in programs that are built with it.

use super::Told;
use std::io::Write;

/// Tells what to build; [`super::Format::is_built`] has done so before.
#[cfg(not(feature = "parquet"))]
pub fn write(_: &Told, _: &mut (impl Write + Send)) -> anyhow::Result<()> {
    super::Format::Parquet.is_built()
}

#[cfg(feature = "parquet")]
pub use columns::write;

#[cfg(feature = "parquet")]
mod columns {
    use super::Told;
    use super::Write;
    use crate::ledger::reports::tell;
    use crate::ledger::store::measure::Measure;
    use crate::ledger::store::report::UsageRow;
    use anyhow::Context;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    /// Rows of a group: some tens of megabytes while they are written.
    const GROUP_ROWS: usize = 100_000;

    /// Name and value of a column of numbers.
    type Number = (&'static str, fn(&UsageRow) -> i128);

    const DERIVED: [Number; 2] = [
        ("total_tokens", |row| row.sums.total_tokens()),
        ("net_nanos", |row| row.sums.net_nanos()),
    ];

    /// Every row, in groups.
    pub fn write(told: &Told, to: &mut (impl Write + Send)) -> anyhow::Result<()> {
        let schema = Arc::new(parse_message_type(&schema(told))?);
        let mut writer = SerializedFileWriter::new(to, schema, Arc::default())?;
        for rows in told.rows.chunks(GROUP_ROWS) {
            let mut group = writer.next_row_group()?;
            write_group(told, rows, &mut group)?;
            group.close()?;
        }
        writer.close()?;
        Ok(())
    }

    fn schema(told: &Told) -> String {
        let mut text = "message usage {\n".to_owned();
        if let Some(unit) = told.query.unit {
            let unit = tell::unit(unit);
            text += &format!("required binary {unit} (UTF8);\n");
            text += "required int64 from (TIMESTAMP(MILLIS,true));\n";
            text += "required int64 until (TIMESTAMP(MILLIS,true));\n";
        }
        for name in told.query.names() {
            // What a schema's text takes as a name.
            let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            text += &format!("optional binary {name} (UTF8);\n");
        }
        let derived = DERIVED.map(|(name, _)| name);
        for name in Measure::ALL.map(Measure::as_str).into_iter().chain(derived) {
            text += &format!("required int64 {name};\n");
        }
        text + "}"
    }

    fn write_group<W: Write + Send>(
        told: &Told,
        rows: &[UsageRow],
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> anyhow::Result<()> {
        if told.query.unit.is_some() {
            let period = |row: &UsageRow| told.period(row).unwrap_or_default();
            let names: Vec<Option<String>> = rows.iter().map(|row| Some(period(row))).collect();
            texts(group, names.iter().map(Option::as_deref), false)?;
            numbers(group, rows, |row| {
                row.period.map_or(0, |p| i128::from(p.from.0))
            })?;
            numbers(group, rows, |row| {
                row.period.map_or(0, |p| i128::from(p.until.0))
            })?;
        }
        for at in 0..told.query.names_len() {
            let names = rows.iter().map(|row| row.names.get(at)?.as_deref());
            texts(group, names, true)?;
        }
        for measure in Measure::ALL {
            numbers(group, rows, |row| row.sums.get(measure))?;
        }
        for (_, number) in DERIVED {
            numbers(group, rows, number)?;
        }
        Ok(())
    }

    fn texts<'a, W: Write + Send>(
        group: &mut SerializedRowGroupWriter<'_, W>,
        texts: impl Iterator<Item = Option<&'a str>>,
        optional: bool,
    ) -> anyhow::Result<()> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        for text in texts {
            levels.push(i16::from(text.is_some()));
            values.extend(text.map(ByteArray::from));
        }
        let mut column = group.next_column()?.context("a column too many")?;
        let levels = optional.then_some(&*levels);
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, levels, None)?;
        Ok(column.close()?)
    }

    fn numbers<W: Write + Send>(
        group: &mut SerializedRowGroupWriter<'_, W>,
        rows: &[UsageRow],
        number: impl Fn(&UsageRow) -> i128,
    ) -> anyhow::Result<()> {
        let values: Result<Vec<i64>, _> = rows.iter().map(|row| number(row).try_into()).collect();
        let values = values.context("a sum doesn't fit 64 bits; ask for a shorter time")?;
        let mut column = group.next_column()?.context("a column too many")?;
        column
            .typed::<Int64Type>()
            .write_batch(&values, None, None)?;
        Ok(column.close()?)
    }
}
