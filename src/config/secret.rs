//! Texts that are never printed, and the pepper of the key hashes.

use super::outside::Outside;
use crate::identity::PEPPER_BYTES_MIN;
use crate::identity::Pepper;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file that a secret is read from.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

/// A token that is shorter could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

const TOKEN_BYTES_MAX: usize = 1024;

/// A text that neither `{:?}` nor any problem shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for whoever has to hand it to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret is kept outside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The environment variable of that name.
    Env(String),
    /// All of the file, without one line end at its end.
    File(PathBuf),
}

/// Why a secret couldn't be had. Never repeats what was configured: the secret
/// itself may stand there by mistake.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("must be the name of an environment variable (letters, digits and _)")]
    NoVariableName,
    #[error("names an environment variable that is not set")]
    NotSet,
    #[error("names a file that can't be read: {0}")]
    Unreadable(io::ErrorKind),
    #[error("is empty")]
    Empty,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("must have {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII characters")]
    OddToken,
    #[error("is too short for a pepper: at least {PEPPER_BYTES_MIN} bytes are needed (got {0})")]
    ShortPepper(usize),
}

/// Reads a secret's bytes.
///
/// # Errors
/// Where it isn't there, can't be read, or is empty.
pub fn read_secret(source: &SecretSource, outside: &dyn Outside) -> Result<Vec<u8>, SecretError> {
    let mut bytes = match source {
        SecretSource::Env(name) => {
            let mut chars = name.chars();
            let first_fits = chars
                .next()
                .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !first_fits || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(SecretError::NoVariableName);
            }
            outside.env(name).ok_or(SecretError::NotSet)?
        }
        SecretSource::File(path) => read_file(path, outside)?,
    };
    if matches!(source, SecretSource::File(_)) && bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(SecretError::Empty);
    }
    Ok(bytes)
}

fn read_file(path: &Path, outside: &dyn Outside) -> Result<Vec<u8>, SecretError> {
    outside
        .secret_file(path, SECRET_BYTES_MAX)
        .map_err(|error| SecretError::Unreadable(error.kind()))
}

/// Reads the pepper that key hashes are made with.
///
/// # Errors
/// As [`read_secret`], and where it is too short.
pub fn read_pepper(source: &SecretSource, outside: &dyn Outside) -> Result<Pepper, SecretError> {
    let bytes = read_secret(source, outside)?;
    Pepper::new(&bytes).ok_or(SecretError::ShortPepper(bytes.len()))
}

/// Reads a token that requests bring in a header.
///
/// # Errors
/// As [`read_secret`], and where it is too short to be safe or doesn't fit into
/// a header.
pub fn read_token(source: &SecretSource, outside: &dyn Outside) -> Result<Secret, SecretError> {
    let bytes = read_secret(source, outside)?;
    let fits = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&bytes.len());
    if !fits || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(SecretError::OddToken);
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotUtf8)?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::outside::Given;

    #[test]
    fn a_file_loses_one_line_end_and_a_variable_none() {
        let outside = Given::default()
            .with_file("a", b"0123456789abcdef\r\n")
            .with_file("b", b"0123456789abcdef\n\n")
            .with_env("C", "0123456789abcdef\n");
        let read = |source| read_secret(&source, &outside).unwrap();
        assert_eq!(read(SecretSource::File("a".into())), b"0123456789abcdef");
        assert_eq!(read(SecretSource::File("b".into())), b"0123456789abcdef\n");
        assert_eq!(read(SecretSource::Env("C".into())), b"0123456789abcdef\n");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("pw".into())), "Secret(..)");
    }
}
