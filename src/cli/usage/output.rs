//! Where a report goes: printed, or a file that appears when it is whole.

use anyhow::Context;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

/// Takes a report.
pub(super) enum Output {
    Printed(BufWriter<Stdout>),
    File {
        file: BufWriter<File>,
        part: Part,
        path: PathBuf,
    },
}

/// A file that isn't whole yet; what never becomes whole is removed.
pub(super) struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // One that has its name isn't there any more.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Output {
    /// Printed, where no path is given.
    pub fn to(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Output::Printed(BufWriter::new(std::io::stdout())));
        };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part);
        let file = file.with_context(|| format!("{}: can't be made", part.display()))?;
        Ok(Output::File {
            file: BufWriter::new(file),
            part: Part(part),
            path: path.to_owned(),
        })
    }

    /// Whether people see it as it comes.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Output::Printed(_)) && std::io::stdout().is_terminal()
    }

    /// All of it is written: a file gets its name.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Output::Printed(mut to) => to.flush()?,
            Output::File { file, part, path } => {
                file.into_inner()
                    .map_err(std::io::IntoInnerError::into_error)?
                    .sync_all()?;
                let named = std::fs::rename(&part.0, &path);
                named.with_context(|| format!("{}: can't be made", path.display()))?;
            }
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Output::Printed(to) => to.write(bytes),
            Output::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Output::Printed(to) => to.flush(),
            Output::File { file, .. } => file.flush(),
        }
    }
}

/// Whether an error is that the reader of our output has gone, as `head` does.
pub(in crate::cli) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}

/// Text that a spreadsheet would take for a formula begins with an apostrophe,
/// which spreadsheets don't show.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
pub(super) fn guarded(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// A record of CSV (RFC 4180), with its end.
pub(super) fn record<I: AsRef<[u8]>>(
    fields: impl IntoIterator<Item = I>,
) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer.write_record(fields)?;
    writer
        .into_inner()
        .map_err(|error| anyhow::anyhow!("{}", error.error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_are_text() {
        let fields = ["a", "b,c", "d\"e", "f\ng", ""].map(str::to_owned);
        let record = record(fields).unwrap();
        assert_eq!(record, b"a,\"b,c\",\"d\"\"e\",\"f\ng\",\r\n");
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"] {
            assert_eq!(guarded(text), format!("'{text}"));
        }
        assert_eq!(guarded("a=b"), "a=b");
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.csv");
        let mut output = Output::to(Some(&path)).unwrap();
        output.write_all(b"all").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"all");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(Output::to(Some(&path)).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = Output::to(Some(&folder.path().join("no/such")))
            .err()
            .unwrap();
        assert!(format!("{error:#}").contains("can't be made"));
    }
}
