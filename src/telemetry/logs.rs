//! What the process says on its standard error.
//!
//! One line for each event, as JSON for machines or as text for people. weir's
//! own lines come from the configured level on; those of libraries only if they
//! are warnings or worse, whatever the level: at finer levels some print what
//! passes through them, and with it keys and prompts.

use std::io::{self, IsTerminal};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Human,
}

/// Why logging can't be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    #[error("{0:?} is no log level; it must be one of off, error, warn, info, debug, trace")]
    Level(String),
    #[error("logging is set up already")]
    Again,
}

/// The level from which on lines are printed, to be changed while the process runs.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// # Errors
    /// A level that isn't one.
    pub fn set(&self, level: &str) -> Result<(), LogsError> {
        let filter = filter(level)?;
        // Fails only where nothing is printed any more.
        let _ = self.0.reload(filter);
        Ok(())
    }
}

/// Sends the process's events to standard error, from `level` on.
///
/// # Errors
/// A level that isn't one; a second call.
pub fn init(format: LogFormat, level: &str) -> Result<LogLevel, LogsError> {
    let colours = io::stderr().is_terminal();
    let (subscriber, level) = subscriber(format, level, colours, io::stderr)?;
    let set = tracing::subscriber::set_global_default(subscriber);
    set.map(|()| level).map_err(|_| LogsError::Again)
}

fn filter(level: &str) -> Result<Targets, LogsError> {
    let own: LevelFilter = level
        .parse()
        .map_err(|_| LogsError::Level(level.to_owned()))?;
    Ok(Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target("weir", own))
}

fn subscriber<W>(
    format: LogFormat,
    level: &str,
    colours: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogLevel), LogsError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, level) = reload::Layer::new(filter(level)?);
    let lines = fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
        LogFormat::Human => lines.with_ansi(colours).with_filter(filter).boxed(),
    };
    Ok((Registry::default().with(lines), LogLevel(level)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: LogFormat, level: &str, say: impl FnOnce(&LogLevel)) -> Vec<String> {
        let captured = Captured::default();
        let writer = captured.clone();
        let made = subscriber(format, level, false, move || writer.clone());
        let (subscriber, level) = made.unwrap();
        tracing::subscriber::with_default(subscriber, || say(&level));
        let bytes = captured.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn say_everything(_: &LogLevel) {
        tracing::trace!(target: "weir::driver", "fine");
        tracing::info!(target: "weir::driver", calls = 3, "line one\nline two");
        tracing::info!(target: "h2::codec", "authorization: Bearer secret");
        tracing::warn!(target: "h2::codec", "reset");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields() {
        let lines = lines(LogFormat::Json, "info", say_everything);
        assert_eq!(lines.len(), 2);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["message"], "line one\nline two");
        assert_eq!(line["calls"], 3);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "weir::driver");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn libraries_never_say_more_than_warnings() {
        for format in [LogFormat::Json, LogFormat::Human] {
            let all = lines(format, "trace", say_everything).join("\n");
            assert!(all.contains("fine") && all.contains("reset"), "{all}");
            assert!(!all.contains("secret"), "{all}");
        }
    }

    #[test]
    fn a_level_holds_for_libraries_too() {
        assert_eq!(lines(LogFormat::Human, "error", say_everything), [""; 0]);
        assert_eq!(lines(LogFormat::Human, "off", say_everything), [""; 0]);
    }

    #[test]
    fn a_level_changes_while_lines_are_printed() {
        let all = lines(LogFormat::Human, "warn", |level| {
            say_everything(level);
            level.set("trace").unwrap();
            say_everything(level);
            level.set("error").unwrap();
            say_everything(level);
            assert_eq!(level.set("loud"), Err(LogsError::Level("loud".to_owned())));
        });
        let all = all.join("\n");
        assert_eq!(all.matches("reset").count(), 2, "{all}");
        assert_eq!(all.matches("fine").count(), 1, "{all}");
        assert!(!all.contains("secret"), "{all}");
    }

    #[test]
    fn a_level_that_is_none_is_an_error() {
        let outcome = subscriber(LogFormat::Json, "loud", false, io::sink).map(drop);
        assert_eq!(outcome, Err(LogsError::Level("loud".to_owned())));
    }
}
