//! `weir ledger spool`: what is in the folder of a spool.

use super::{Told, counted};
use crate::exchange::OpenCall;
use crate::ledger::spool::survey::{Segment, Survey, survey};
use anyhow::Context;
use std::fmt::{self, Write};
use std::path::Path;

/// Open calls that are printed; the others are counted.
const OPEN_SHOWN: usize = 20;

pub fn run(path: &Path) -> anyhow::Result<Told> {
    let asked = "no spool can be read there; PATH is ledger.path of the configuration";
    let found = survey(path).context(asked)?;
    let fine = found.segments.iter().all(|segment| segment.chain.is_some())
        && found.quarantined.is_empty();
    let text = told(&found).context("this can't be printed")?;
    Ok(Told { text, fine })
}

fn told(found: &Survey) -> Result<String, fmt::Error> {
    let mut text = String::new();
    if found.segments.is_empty() {
        writeln!(text, "no segment: nothing was written here")?;
    }
    for segment in &found.segments {
        tell_segment(segment, &mut text)?;
    }
    if let Some(chain) = &found.head {
        let (sequence, id) = (chain.sequence, chain.chain);
        write!(text, "head {id}:{sequence}:")?;
        for byte in chain.hash {
            write!(text, "{byte:02x}")?;
        }
        writeln!(text)?;
    }
    writeln!(text, "open calls: {}", found.open.len())?;
    for (id, context) in found.open.iter().take(OPEN_SHOWN) {
        write!(text, "  {id}")?;
        let call = std::str::from_utf8(context).ok();
        match call.and_then(OpenCall::from_json) {
            Some(call) => writeln!(text, " {} {}", call.tenant, call.model)?,
            None => writeln!(text, " of another version")?,
        }
    }
    for sink in &found.sinks {
        let (name, at) = (&sink.name, sink.position);
        let waiting = sink.rows_waiting;
        writeln!(
            text,
            "sink {name}: at {:016x} {}, {} {} for it",
            at.segment,
            at.offset,
            counted(waiting, "row"),
            if waiting == 1 { "waits" } else { "wait" }
        )?;
    }
    let bytes: u64 = found.quarantined.iter().map(|(_, bytes)| bytes).sum();
    let files = u64::try_from(found.quarantined.len()).unwrap_or(u64::MAX);
    let (bytes, files) = (counted(bytes, "byte"), counted(files, "file"));
    writeln!(text, "quarantined: {bytes} in {files}")?;
    for (name, bytes) in &found.quarantined {
        writeln!(text, "  {name}: {}", counted(*bytes, "byte"))?;
    }
    Ok(text)
}

fn tell_segment(segment: &Segment, text: &mut String) -> fmt::Result {
    write!(
        text,
        "segment {:016x}: {} bytes, ",
        segment.number, segment.bytes
    )?;
    write!(text, "{}", counted(segment.rows, "row"))?;
    if let Some((first, last)) = segment.sequences {
        write!(text, " ({first} to {last})")?;
    }
    match &segment.chain {
        None => write!(text, ", its header is DAMAGED")?,
        Some(chain) => write!(text, " of chain {chain}")?,
    }
    if segment.damaged_bytes > 0 {
        let bytes = segment.damaged_bytes;
        write!(text, ", {bytes} bytes that are no records")?;
    }
    writeln!(text)
}
