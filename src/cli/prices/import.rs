//! `weir prices import`: a file of prices out of public data sets.

use super::read_file;
use crate::pricing::import::{self, Format, Imported};
use crate::pricing::{Catalogue, date};
use crate::units::UnixMillis;
use anyhow::{Context, anyhow, bail};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct ImportPricesArgs {
    /// The data sets, the one that counts first.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The form of the files, litellm or genai-prices; else it is seen.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
    /// The file that is written.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// What the ledger calls these prices: one word; else today's date.
    #[arg(long = "as", value_name = "VERSION")]
    version: Option<String>,
    /// Where a file comes from, its version and licence; in the order of the
    /// files.
    #[arg(long = "source", value_name = "TEXT")]
    sources: Vec<String>,
}

fn format(word: &str) -> Result<Format, String> {
    let wrong = || {
        let known = Format::ALL.map(Format::as_str);
        format!("must be one of {}", known.join(", "))
    };
    Format::of_word(word).ok_or_else(wrong)
}

pub(super) fn run(args: &ImportPricesArgs, now: UnixMillis) -> anyhow::Result<String> {
    let is_word = |text: &str| text.split_whitespace().eq([text]);
    if args.version.as_deref().is_some_and(|text| !is_word(text)) {
        bail!("--as: must be one word, as in 2026-11-26");
    }
    let mut all = Imported::default();
    let mut sources = args.sources.clone();
    if sources
        .iter()
        .any(|source| source.contains(char::is_control))
    {
        bail!("--source: must be one line");
    }
    let mut told = String::new();
    for (index, file) in args.files.iter().enumerate() {
        let name = || file.display().to_string();
        let (format, imported) = import::read(&read_file(file)?, args.format).with_context(name)?;
        if sources.len() <= index {
            sources.push(format.as_str().to_owned());
        }
        told.push_str(&format!(
            "{}: {} models and {} other names; {} models left out, as tokens have no price\n",
            file.display(),
            imported.models.len(),
            imported.names.len(),
            imported.left_out,
        ));
        all.join(imported);
    }
    let today = date::Written(UnixMillis(now.0 - now.0 % 86_400_000)).to_string();
    let version = args.version.clone().unwrap_or(today);
    let text = all.write(&version, &sources);
    // What is written must be what weir takes.
    if let Err(faults) = Catalogue::read(&text) {
        let first = faults.first().map(ToString::to_string);
        return Err(anyhow!(
            "what was read is no file of prices: {}",
            first.unwrap_or_default()
        ));
    }
    std::fs::write(&args.output, text).with_context(|| args.output.display().to_string())?;
    let (models, file) = (all.models.len(), args.output.display());
    told.push_str(&format!("{file}: {models} models, prices {version}\n"));
    Ok(told)
}
