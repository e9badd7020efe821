//! How far long work is, where a terminal watches.

use crate::units::UnixMillis;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often a wait shows that it goes on.
const TICK: Duration = Duration::from_millis(120);

/// On standard error; nothing at all where that is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    since: UnixMillis,
}

impl Progress {
    /// Waiting, nobody knows for how long.
    pub fn waiting(text: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(text);
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            since: UnixMillis(0),
        }
    }

    /// Along a span of time.
    pub fn along((since, until): (UnixMillis, UnixMillis)) -> Self {
        let bar = ProgressBar::new(until.since(since).0);
        // The template is right: a test makes it.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar, since }
    }

    /// So far, with so many of what is counted.
    pub fn at(&self, at: UnixMillis, count: u64, what: &str) {
        self.bar.set_message(format!("{count} {what}"));
        self.bar.set_position(at.since(self.since).0);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const TEMPLATE: &str = "{bar:40} {percent}% {msg}, {eta} left";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        assert!(ProgressBar::hidden().is_hidden());
    }
}
