//! What a configuration reads besides its own text: variables, files, and the
//! time.
//!
//! It comes in as an argument, so that loading is a function of its inputs.

use crate::units::UnixMillis;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The world outside the configuration's text.
pub trait Outside {
    /// The value of an environment variable, `None` where it isn't set.
    fn env(&self, name: &str) -> Option<Vec<u8>>;

    /// All of a file.
    ///
    /// # Errors
    /// As the system says; `FileTooLarge` where it has more than `bytes_max`
    /// bytes, `InvalidInput` where it is no regular file (reading a pipe or a
    /// device might never end).
    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// As [`Self::file`], of one that holds a secret.
    ///
    /// # Errors
    /// As [`Self::file`].
    fn secret_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.file(path, bytes_max)
    }

    /// The time that certificates are held against: the system's, where nobody
    /// says another.
    #[expect(clippy::disallowed_methods, reason = "this is where it comes in")]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = since.map_or(0, |since| since.as_millis());
        UnixMillis(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}

/// This process's environment and file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process;

impl Outside for Process {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        // Asked before opening: opening a pipe waits for its writer.
        if !std::fs::metadata(path)?.is_file() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "is not a regular file"));
        }
        let mut bytes = Vec::new();
        let read_max = u64::try_from(bytes_max)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        File::open(path)?.take(read_max).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            let text = format!("is larger than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    }
}

/// Which variables and files a configuration reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutsideRead {
    env: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
}

/// Notes down what is read.
pub(super) struct Noted<'o> {
    outside: &'o dyn Outside,
    read: RefCell<OutsideRead>,
}

impl<'o> Noted<'o> {
    pub fn of(outside: &'o dyn Outside) -> Self {
        Self {
            outside,
            read: RefCell::default(),
        }
    }

    pub fn into_read(self) -> OutsideRead {
        self.read.into_inner()
    }
}

impl Outside for Noted<'_> {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.read.borrow_mut().env.insert(name.to_owned());
        self.outside.env(name)
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.read.borrow_mut().files.insert(path.to_owned());
        self.outside.file(path, bytes_max)
    }

    fn secret_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.read.borrow_mut().files.insert(path.to_owned());
        self.outside.secret_file(path, bytes_max)
    }

    fn now(&self) -> UnixMillis {
        self.outside.now()
    }
}

/// This process's environment and file system, as far as a configuration has read
/// them already: for texts of those who may not see all of it.
#[derive(Debug, Clone, Copy)]
pub struct Only<'r>(&'r OutsideRead);

impl<'r> Only<'r> {
    pub fn of(read: &'r OutsideRead) -> Self {
        Self(read)
    }
}

impl Outside for Only<'_> {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.0
            .env
            .contains(name)
            .then(|| Process.env(name))
            .flatten()
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        match self.0.files.contains(path) {
            true => Process.file(path, bytes_max),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// Variables and files of a test.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub struct Given {
    env: std::collections::HashMap<String, Vec<u8>>,
    files: std::collections::HashMap<std::path::PathBuf, Vec<u8>>,
    now: UnixMillis,
}

#[cfg(test)]
impl Given {
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub fn at(mut self, now: UnixMillis) -> Self {
        self.now = now;
        self
    }

    pub fn with_file(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.into(), bytes.into());
        self
    }
}

#[cfg(test)]
impl Outside for Given {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path, _bytes_max: usize) -> io::Result<Vec<u8>> {
        let found = self.files.get(path).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn now(&self) -> UnixMillis {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_only_if_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(Process.file(&path, 5).unwrap(), b"12345");
        let kind = |path: &Path, max| Process.file(path, max).unwrap_err().kind();
        assert_eq!(kind(&path, 4), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(folder.path(), 4), io::ErrorKind::InvalidInput);
        assert_eq!(kind(&folder.path().join("no"), 4), io::ErrorKind::NotFound);
        assert_eq!(kind(Path::new("/dev/zero"), 4), io::ErrorKind::InvalidInput);
    }
}
