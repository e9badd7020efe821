//! weir as its image has it, without an engine of containers: what the Dockerfile's
//! last stage says is read, and done by the system's own tools. What those can't do
//! there (an image's layers, an engine's network) isn't tried.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use tempfile::TempDir;

/// What an engine puts into every container, empty here unless a test writes it. Of
/// what it mounts there is `/dev` alone, as glibc linked statically gives the crates
/// that make random numbers no call of its own for that: they read `/dev/urandom`.
const OF_THE_ENGINE: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];

/// A folder of the image that is weir's own, by either of its names.
const OWN: [&str; 2] = ["run/weir", "var/lib/weir"];

/// Where weir's own folder is, in there.
pub const INSIDE: &str = "/var/lib/weir";

/// The Dockerfile's instructions, a line each, in stages.
pub struct Dockerfile {
    pub stages: Vec<Vec<(String, String)>>,
}

impl Dockerfile {
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
        let mut stages = vec![Vec::new()];
        for line in joined.lines().filter(|line| !line.trim().is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap();
            let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
            if word == "FROM" {
                stages.push(Vec::new());
            }
            stages.last_mut().unwrap().push((word.to_owned(), rest));
        }
        Self { stages }
    }

    /// What the image's own stage says by one word.
    pub fn last(&self, word: &str) -> Vec<&str> {
        let stage = self.stages.last().unwrap().iter();
        let said = stage.filter(|(said, _)| said == word);
        said.map(|(_, rest)| rest.as_str()).collect()
    }

    /// The same where it is said once.
    pub fn only(&self, word: &str) -> &str {
        let said = self.last(word);
        assert_eq!(said.len(), 1, "{word}: {said:?}");
        said[0]
    }

    /// An instruction's words as a list: its exec form, as there is no shell.
    pub fn list(&self, word: &str) -> Vec<String> {
        let text = self.only(word);
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{word} {text}: {error}"))
    }

    pub fn environment(&self) -> Vec<(&str, &str)> {
        let all = self.last("ENV").into_iter();
        let pairs = all.flat_map(|pairs| pairs.split(' '));
        pairs.map(|pair| pair.split_once('=').unwrap()).collect()
    }

    /// What is copied where: owner, path in the build's `/image`, path in the image.
    pub fn copies(&self) -> Vec<(u32, &str, &str)> {
        self.last("COPY").into_iter().map(copied).collect()
    }
}

fn copied(copy: &str) -> (u32, &str, &str) {
    let rest = copy.strip_prefix("--from=build ").expect(copy);
    let (owner, rest) = match rest.strip_prefix("--chown=") {
        Some(rest) => rest.split_once(' ').unwrap(),
        None => ("0:0", rest),
    };
    let (user, group) = owner.split_once(':').unwrap();
    assert_eq!(user, group, "{copy}");
    let (from, to) = rest.split_once(' ').unwrap();
    let from = from.strip_prefix("/image/").expect(copy);
    (user.parse().unwrap(), from, to)
}

/// The image's root, laid out in a folder as an engine lays it out.
#[derive(Debug)]
pub struct Root {
    dir: TempDir,
}

impl Root {
    /// Of what `make test` made with the same sources as this test.
    pub fn lay() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "only root may do what an engine of containers does (unshare, mount, chroot): \
             run the tests of the image as root, as CI does"
        );
        let made = made();
        let prefix = tempfile::Builder::new().prefix("weir-root-").tempdir();
        let root = Self {
            dir: prefix.unwrap(),
        };
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        for (owner, from, to) in Dockerfile::read().copies() {
            let to = root.at(to);
            fs::create_dir_all(&to).unwrap();
            let copied = Command::new("cp")
                .arg("--archive")
                .arg(made.join(from).join("."))
                .arg(&to)
                .status();
            assert!(copied.unwrap().success(), "{from} to {}", to.display());
            if owner != 0 {
                chown(&to, Some(owner), Some(owner)).unwrap();
            }
        }
        fs::create_dir(root.at("dev")).unwrap();
        for file in OF_THE_ENGINE.into_iter().chain(["etc/weir/weir.yaml"]) {
            fs::write(root.at(file), "").unwrap();
        }
        root
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it, from outside.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// Starts what the image starts: the first process of its namespace, as the
    /// image's user, in this root, which nobody can write. Its own folders are `own`,
    /// and so is what it is configured by: `own/weir.yaml`.
    pub fn first_process(&self, own: &Path) -> Command {
        let dockerfile = Dockerfile::read();
        let command = [dockerfile.list("ENTRYPOINT"), dockerfile.list("CMD")].concat();
        self.run(own, &dockerfile, &command)
    }

    /// Starts the image's program with other arguments.
    pub fn other_process(&self, own: &Path, arguments: &[&str]) -> Command {
        let dockerfile = Dockerfile::read();
        let mut command = dockerfile.list("ENTRYPOINT");
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self.run(own, &dockerfile, &command)
    }

    fn run(&self, own: &Path, dockerfile: &Dockerfile, command: &[String]) -> Command {
        const SET_UP: &str = "
            set -eu
            root=$1 own=$2 user=$3
            shift 3
            mount --bind \"$root\" \"$root\"
            mount -t tmpfs -o mode=755 tmpfs \"$root/dev\"
            for device in full null random urandom zero; do
                : > \"$root/dev/$device\"
                mount --bind /dev/$device \"$root/dev/$device\"
            done
            mount --bind \"$own\" \"$root/run/weir\"
            mount --bind \"$own\" \"$root/var/lib/weir\"
            mount --bind \"$own/weir.yaml\" \"$root/etc/weir/weir.yaml\"
            mount -o remount,bind,ro \"$root/etc/weir/weir.yaml\"
            mount -o remount,bind,ro \"$root\"
            exec chroot --userspec=\"$user\" --groups= \"$root\" \"$@\"
        ";
        let user = dockerfile.only("USER");
        let (user_id, group_id) = user.split_once(':').unwrap();
        let (user_id, group_id) = (user_id.parse().unwrap(), group_id.parse().unwrap());
        chown(own, Some(user_id), Some(group_id)).unwrap();
        for path in OWN {
            assert!(self.at(path).is_dir(), "the image has no /{path}");
        }
        let mut started = Command::new("unshare");
        started
            .args(["--mount", "--pid", "--fork"])
            .args(["sh", "-c", SET_UP, "sh"])
            .args([self.path(), own])
            .arg(user)
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(dockerfile.environment());
        started
    }
}

/// The folders that `.ci/image-root` made of these sources.
pub fn made() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = project.join("target/image/dev");
    let at = modified(&made.join("root/weir"));
    let sources = newest(&project.join("src")).max(modified(&project.join("Cargo.lock")));
    assert!(
        at.is_some() && at >= sources,
        "{} isn't there, or is older than the sources: run `make test`, or \
         `.ci/image-root dev target/image/dev`",
        made.display()
    );
    made
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let times = paths.map(|path| match path.is_dir() {
        true => newest(&path),
        false => modified(&path),
    });
    times.max().flatten()
}

/// The processes whose parent this is, those too that ended and nobody has reaped.
pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// A field of a process's status.
pub fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_default().trim().to_owned()
}
