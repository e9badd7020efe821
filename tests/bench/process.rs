//! Child processes: started, waited for, measured, and stopped when dropped.

use anyhow::{Context, bail};
use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to open its socket.
const START_MAX: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// How much of a process's own words is shown when it fails.
const SHOWN_BYTES_MAX: u64 = 4_096;

/// `/proc` counts processor time in these, on every Linux there is.
const TICK_US: u64 = 10_000;

/// A child that doesn't outlive its owner.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to a file in `folder`.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("can't start {name} ({:?})", command.get_program()))?;
        let name = name.to_owned();
        Ok(Self { name, child, log })
    }

    /// Waits until something listens on a Unix socket.
    pub async fn listens_on(&mut self, socket: &Path) -> anyhow::Result<()> {
        self.wait(|| UnixStream::connect(socket).is_ok()).await
    }

    /// Waits until something listens on a TCP address.
    pub async fn listens_at(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.wait(|| TcpStream::connect(address).is_ok()).await
    }

    async fn wait(&mut self, ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended by itself ({status}):\n{}", self.name, self.said());
            }
            if start.elapsed() > START_MAX {
                bail!(
                    "{} is not ready after {START_MAX:?}:\n{}",
                    self.name,
                    self.said()
                );
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        let mut said = String::new();
        if let Ok(log) = File::open(&self.log) {
            // What can't be read is left out: this is only for people.
            let _ = log.take(SHOWN_BYTES_MAX).read_to_string(&mut said);
        }
        said
    }

    /// Processor time used so far, user and system, in microseconds.
    pub fn cpu_us(&self) -> anyhow::Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .with_context(|| format!("{} is gone", self.name))?;
        // The second field, the program's name, may hold anything; what follows
        // its bracket is field 3. Times are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat")?;
        let mut ticks = 0;
        for field in fields.split(' ').skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(ticks * TICK_US)
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no VmRSS")?.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
