//! The file that keeps what was learned of the models' tokens, so that a
//! restart goes on from there.
//!
//! Always holds: the file is written whole and then put in place of the old
//! one; one that is missing, broken or too long is a warning at most; nothing
//! waits for it but the end of the process.

use crate::driver::Driver;
use crate::policy::token_ratios::RatioLearner;
use anyhow::Context;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the file is written, where there is something new.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// The longest file that is read: more than all models together can fill.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What an earlier process learned; nothing where it can't be read.
fn read(path: &Path) -> RatioLearner {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return RatioLearner::default(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "what was learned can't be read; it is learned again");
            return RatioLearner::default();
        }
    };
    RatioLearner::from_json(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, path = %path.display(), "what was learned can't be read; it is learned again");
        RatioLearner::default()
    })
}

/// One byte more than may be is no JSON any more.
fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes the file at intervals and at the end.
pub(super) struct Keeper {
    path: PathBuf,
    driver: Arc<Driver>,
    written: String,
}

impl Keeper {
    /// Has the driver go on from what the file holds.
    pub(super) fn start(path: PathBuf, driver: &Arc<Driver>) -> Self {
        driver.go_on_from(read(&path));
        Self {
            path,
            driver: Arc::clone(driver),
            written: driver.ratios_json(),
        }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(WRITE_EVERY) => self = self.write().await,
            }
        }
        self.write().await;
    }

    /// A disk may be slow: no call waits for it.
    async fn write(self) -> Self {
        let json = self.driver.ratios_json();
        if json == self.written {
            return self;
        }
        let path = self.path.clone();
        let bytes = json.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, bytes.as_bytes())).await;
        let outcome = written.context("stopped").flatten();
        if let Err(error) = outcome {
            tracing::warn!(
                error = format!("{error:#}"),
                "what was learned can't be kept"
            );
            return self;
        }
        Self {
            written: json,
            ..self
        }
    }
}

/// Puts a new file in place of an old one, whole.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut new_path = path.as_os_str().to_owned();
    new_path.push(".new");
    let write = || {
        let mut file = std::fs::File::create(&new_path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new_path, path)
    };
    write().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::token_ratios::RatioLesson;

    #[test]
    fn what_is_written_is_read_and_what_is_broken_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("learned.json");
        assert_eq!(read(&path).to_json(), "{}", "there is none yet");
        let mut learner = RatioLearner::default();
        learner.learn(&RatioLesson {
            model: "m".into(),
            counted: 100,
            actual: 120,
        });
        for text in [String::from("an old one"), learner.to_json()] {
            replace(&path, text.as_bytes()).expect("written");
        }
        assert_eq!(read(&path).to_json(), learner.to_json());
        assert_eq!(std::fs::read_dir(folder.path()).expect("it").count(), 1);
        for broken in [&b"{\"m\":"[..], b"\xff\xfe", b""] {
            replace(&path, broken).expect("written");
            assert_eq!(read(&path).to_json(), "{}");
        }
        assert_eq!(read(folder.path()).to_json(), "{}", "a folder");
    }
}
