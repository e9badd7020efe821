//! A child process with its output in files, killed when dropped.

use super::image::children;
use super::until;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A process that this test started.
pub struct Process {
    name: String,
    child: Child,
    /// The child only waits for the process that is meant, its own child.
    within: bool,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

impl Process {
    /// Starts `command`, its output going to files in `dir`.
    pub fn start(name: &str, mut command: Command, dir: &Path) -> Self {
        let stdout = dir.join(format!("{name}.out"));
        let stderr = dir.join(format!("{name}.err"));
        let append = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap()
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&stdout))
            .stderr(append(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {name} ({command:?}): {error}"));
        Self {
            name: name.to_owned(),
            child,
            within: false,
            stdout,
            stderr,
        }
    }

    /// The same of a command that starts one process, waits for it, and ends as it
    /// does, as `unshare --fork` makes the first process of a namespace: from then on
    /// that one is meant.
    pub fn start_within(name: &str, command: Command, dir: &Path) -> Self {
        let mut process = Self::start(name, command, dir);
        process.within = true;
        process
    }

    pub fn pid(&self) -> u32 {
        let own = self.child.id();
        match self.within {
            true => children(own).first().copied().unwrap_or(own),
            false => own,
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        if self.within && self.is_running() {
            // A death is not passed on: the user has changed since it was asked for.
            let _ = signal("KILL", self.pid());
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        assert!(signal("TERM", self.pid()));
    }

    /// Whether it ended, and how.
    pub fn ended(&mut self) -> Option<bool> {
        self.child
            .try_wait()
            .unwrap()
            .map(|status| status.success())
    }

    /// Waits until it has ended by itself; whether it ended well.
    pub async fn wait_for_end(&mut self, within: Duration) -> bool {
        let what = format!("{} to end", self.name);
        until(&what, within, || {
            let ended = self.ended();
            async move { ended }
        })
        .await
    }

    /// The end of what it wrote, for a failure's message.
    pub fn tail(&self) -> String {
        let tail = |path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        format!(
            "--- {}\n{}\n{}",
            self.name,
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

fn signal(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]);
    kill.status().unwrap().success()
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
        self.kill();
    }
}
