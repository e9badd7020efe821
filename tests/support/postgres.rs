//! A PostgreSQL server of a test's own: on a free port of the loopback, in a
//! temporary folder, stopped with its last user.
//!
//! Its programs are looked for in `WEIR_POSTGRES` (a folder), the path, and where
//! Debian puts them. They refuse to run as root: then they run as the user
//! `postgres`, or `nobody`, who owns the folder.
#![allow(dead_code, reason = "each user needs a part of it")]

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

pub struct Server {
    programs: PathBuf,
    child: Option<Child>,
    folder: tempfile::TempDir,
    port: u16,
    owner: Option<(u32, u32)>,
    options: Vec<String>,
    databases: AtomicU32,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// One server for all tests that run at the same time; without `fsync`, as
    /// nobody cuts its power.
    pub async fn shared() -> Arc<Self> {
        let server = {
            let mut shared = SHARED.lock().unwrap();
            if let Some(server) = shared.upgrade() {
                server
            } else {
                let server = Arc::new(Self::spawn(&["fsync=off", "max_connections=400"]));
                *shared = Arc::downgrade(&server);
                server
            }
        };
        server.answers().await;
        server
    }

    /// One with settings of its own, such as `fsync=off`.
    pub async fn start(options: &[&str]) -> Self {
        let server = Self::spawn(options);
        server.answers().await;
        server
    }

    fn spawn(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = owner(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let mut server = Self {
            programs: programs(),
            child: None,
            folder,
            port,
            owner,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            databases: AtomicU32::new(0),
        };
        let mut initdb = server.command("initdb");
        initdb.args(["--username=weir", "--auth=trust", "--no-sync"]);
        initdb.args(["--encoding=UTF8", "--locale=C", "--pgdata"]);
        let made = initdb.arg(server.data()).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb failed: {said}");
        server.run();
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    /// Runs it (again).
    pub fn run(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]);
        for option in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            command.args(["-c", option]);
        }
        for option in &self.options {
            command.args(["-c", option]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    /// Runs it again after [`Server::kill`], and waits until it answers. What the
    /// old one forked may hold its memory for a moment: a new one ends at once
    /// then.
    pub async fn restart(&mut self) {
        let until = Instant::now() + DEADLINE;
        while PgConnection::connect(&self.url("postgres")).await.is_err() {
            assert!(Instant::now() < until, "PostgreSQL did not come up");
            let child = self.child.as_mut();
            if child.is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                self.run();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// At once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://weir@127.0.0.1:{}/{database}", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL of a new database.
    pub async fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("ledger_{number}");
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let create = format!("CREATE DATABASE {name}");
        let create = sqlx::query(AssertSqlSafe(create));
        create.execute(&mut connection).await.unwrap();
        self.url(&name)
    }

    pub async fn answers(&self) {
        let until = Instant::now() + DEADLINE;
        while PgConnection::connect(&self.url("postgres")).await.is_err() {
            assert!(Instant::now() < until, "PostgreSQL did not come up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown takes its own children along.
        if let Some(child) = &self.child {
            let process = child.id().to_string();
            let _ = Command::new("kill").args(["-QUIT", &process]).status();
        }
        if let Some(mut child) = self.child.take() {
            let until = Instant::now() + Duration::from_secs(5);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whom its programs run as, where that isn't who runs the test; the folder is
/// theirs then.
fn owner(folder: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(folder).unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let of_name = fields.first() == Some(&name);
            of_name.then(|| (fields[2].parse().unwrap(), fields[3].parse().unwrap()))
        })
    };
    let owner: (u32, u32) = find("postgres").or_else(|| find("nobody")).unwrap();
    chown(folder, Some(owner.0), Some(owner.1)).unwrap();
    Some(owner)
}

fn programs() -> PathBuf {
    let mut folders: Vec<PathBuf> = std::env::var_os("WEIR_POSTGRES")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    folders.extend(
        versions
            .into_iter()
            .flatten()
            .flatten()
            .map(|v| v.path().join("bin")),
    );
    let whole =
        |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    folders.into_iter().find(whole).unwrap_or_else(|| {
        panic!("PostgreSQL must be there: run `make postgres`, or set WEIR_POSTGRES")
    })
}
