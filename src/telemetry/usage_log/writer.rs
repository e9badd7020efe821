//! The thread that writes.

use super::UsageLogError;
use super::journal::Journal;
use super::queue::{Batch, Queue};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Between two attempts at a write that fails.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Tells of faults: each is counted, the first of a row is logged and makes the
/// process unready, the first success after it takes that back.
pub(super) struct Watch {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    failing: bool,
}

impl Watch {
    pub fn new(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Self {
        Self {
            metrics,
            readiness,
            failing: false,
        }
    }

    fn fault(&mut self, error: &dyn std::error::Error) {
        self.metrics.usage_log_error();
        if !self.failing {
            self.failing = true;
            self.readiness.set_usage_log(false);
            tracing::error!(%error, "the usage log can't be written; trying again");
        }
    }

    fn well(&mut self) {
        if self.failing {
            self.failing = false;
            self.readiness.set_usage_log(true);
            tracing::info!("the usage log is written again");
        }
    }
}

struct Writer {
    queue: Arc<Queue>,
    events: File,
    journal: Option<Journal>,
    watch: Watch,
}

/// Starts the thread. It ends when the queue is closed and empty, or closed and
/// the disk refuses.
pub(super) fn start(
    queue: Arc<Queue>,
    events: File,
    journal: Option<Journal>,
    watch: Watch,
) -> Result<(), UsageLogError> {
    let writer = Writer {
        queue,
        events,
        journal,
        watch,
    };
    std::thread::Builder::new()
        .name("weir-usage-log".to_owned())
        .spawn(move || writer.run())
        .map(drop)
        .map_err(UsageLogError::Thread)
}

impl Writer {
    fn run(mut self) {
        let lines_lost = self.write_until_closed();
        let queue = Arc::clone(&self.queue);
        // Whoever hears of the end may open the files, which are locked.
        drop(self);
        queue.end(lines_lost);
    }

    /// Gives the number of lines of its last batch that it could not write.
    fn write_until_closed(&mut self) -> usize {
        let mut spare = Batch::default();
        while let Some(mut batch) = self.queue.take(spare) {
            if let Err(lines_lost) = self.write(&batch) {
                tracing::error!(lines = lines_lost, "usage log lines are lost");
                return lines_lost;
            }
            self.queue.written(&batch);
            batch.clear();
            spare = batch;
        }
        self.finish();
        0
    }

    /// Events first: a call is done in the journal only once its event is in
    /// the file. An error is the number of lines that are not written.
    fn write(&mut self, batch: &Batch) -> Result<(), usize> {
        let Self {
            queue,
            events,
            journal,
            watch,
        } = self;
        write_all(events, &batch.events, queue, watch)
            .map_err(|lines| lines.saturating_add(line_count(&batch.journal)))?;
        let Some(journal) = journal else {
            return Ok(());
        };
        if batch.journal.is_empty() {
            return Ok(());
        }
        write_all(&mut journal.file, &batch.journal, queue, watch)?;
        if let Err(error) = journal.follow(&batch.journal) {
            // The journal is only longer than it need be.
            watch.metrics.usage_log_error();
            tracing::warn!(%error, "the journal of open calls could not be made shorter");
        }
        Ok(())
    }

    /// A sync that fails is reported, never tried again: the system may have
    /// dropped what it could not write.
    fn finish(&mut self) {
        // A pipe or a device can't be synced.
        let unsyncable = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];
        if let Err(error) = self.events.sync_all()
            && !unsyncable.contains(&error.kind())
        {
            self.watch.fault(&error);
        }
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.finish()
        {
            self.watch.fault(&error);
        }
    }
}

/// Writes all of it, trying again from the byte where a write stopped, so that
/// a line is never torn in two or written twice. While the log is closing it
/// gives up after one more attempt: an error is the number of lines left.
fn write_all(
    file: &mut dyn Write,
    bytes: &[u8],
    queue: &Queue,
    watch: &mut Watch,
) -> Result<(), usize> {
    let mut rest = bytes;
    let mut last_attempt = false;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(written) if written > 0 => {
                rest = rest.get(written..).unwrap_or_default();
                watch.well();
                continue;
            }
            Ok(_) => watch.fault(&io::Error::from(io::ErrorKind::WriteZero)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => watch.fault(&error),
        }
        if last_attempt {
            return Err(line_count(rest));
        }
        last_attempt = queue.pause(RETRY_PAUSE);
    }
    Ok(())
}

fn line_count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full now and then, and never takes more than 7 bytes.
    struct Stubborn {
        taken: Vec<u8>,
        answers: Vec<Option<io::ErrorKind>>,
    }

    impl Write for Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.answers.pop() {
                Some(Some(kind)) => Err(kind.into()),
                Some(None) => Ok(0),
                None => {
                    let taken = bytes.len().min(7);
                    self.taken.extend_from_slice(&bytes[..taken]);
                    self.answers.push(Some(io::ErrorKind::Interrupted));
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn watch() -> Watch {
        Watch::new(Arc::new(Metrics::new()), Arc::default())
    }

    #[test]
    fn a_write_goes_on_where_it_stopped() {
        let mut disk = Stubborn {
            taken: Vec::new(),
            answers: vec![None, Some(io::ErrorKind::StorageFull)],
        };
        let mut watch = watch();
        let lines = b"{\"a\":1}\n{\"b\":2}\n";
        assert_eq!(
            write_all(&mut disk, lines, &Queue::default(), &mut watch),
            Ok(())
        );
        assert_eq!(disk.taken, lines);
        assert!(!watch.failing);
        let text = watch.metrics.encode();
        assert!(text.contains("weir_usage_log_errors_total 2"), "{text}");
    }

    #[test]
    fn a_closing_log_gives_up_and_says_how_much() {
        let mut disk = Stubborn {
            taken: Vec::new(),
            answers: vec![Some(io::ErrorKind::StorageFull); 9],
        };
        let queue = Queue::default();
        queue.close();
        let mut watch = watch();
        watch.readiness.set_started();
        assert_eq!(
            write_all(&mut disk, b"{}\n{}\n", &queue, &mut watch),
            Err(2)
        );
        assert_eq!(disk.answers.len(), 7, "one attempt and one more");
        assert!(!watch.readiness.is_ready());
    }
}
