//! `weir keys`: makes keys and their hashes, and keeps keys in the ledger's
//! database.
//!
//! | module | for |
//! |---|---|
//! | [`stored`] | which database, which pepper, who it is that asks |
//! | [`attributes`] | what a key is for, from the command line |
//! | [`change`] | make, replace, withdraw |
//! | [`look`] | list and show |
//! | [`import`] | many from elsewhere |
//! | [`remote`] | all of that, asked of a running weir |
//!
//! A key is shown once, by the command that makes it; only its hash goes into
//! the configuration. A key is read from standard input, never from the command
//! line, where the shell's history and every process list would keep it.

mod attributes;
pub(super) mod change;
mod import;
mod look;
mod remote;
pub(super) mod stored;

use crate::config::{Outside, Process, SecretSource, read_pepper};
use crate::identity::format;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Make API keys and the hashes that stand for them in the configuration, or keep
/// them in the ledger's database.
#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Print a new key. It is shown once: keep it where secrets are kept.
    Generate(GenerateArgs),
    /// Read a key from standard input and print its hash for `identity.keys`.
    Hash(HashArgs),
    /// Make a key that is kept in the ledger's database; it is printed once.
    Create(Box<change::CreateArgs>),
    /// List the keys of the ledger's database.
    List(look::ListArgs),
    /// Show a key of the ledger's database, and what was done to it.
    Show(look::ShowArgs),
    /// Put a new key in the place of one; both count for a while.
    Rotate(change::RotateArgs),
    /// Withdraw keys: they count nowhere a few seconds later.
    Revoke(change::RevokeArgs),
    /// Bring keys from elsewhere, or their hashes: one a line of standard input.
    Import(Box<import::ImportArgs>),
}

#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// A key that begins with weir_test_ instead of weir_live_.
    #[arg(long)]
    pub test: bool,
}

#[derive(Debug, clap::Args)]
pub struct HashArgs {
    /// The environment variable that holds the pepper.
    #[arg(long, value_name = "NAME", default_value = "WEIR_PEPPER")]
    pub pepper_env: String,
    /// A file that holds the pepper; one line end at its end doesn't count.
    #[arg(long, value_name = "FILE", conflicts_with = "pepper_env")]
    pub pepper_file: Option<PathBuf>,
    /// Taken only to be refused.
    #[arg(hide = true, num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Why a key or a hash couldn't be made. Never repeats a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    #[error(
        "a key on the command line stays in the shell's history and in process lists: give it on \
         standard input, and replace this one"
    )]
    OnCommandLine,
    #[error("the pepper ({source_name}) {error}")]
    Pepper {
        source_name: String,
        error: crate::config::SecretError,
    },
    #[error("{0}")]
    Key(#[from] format::KeyFormatError),
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}

/// Carries the command out. Exit code 0, or 1 with the reason on standard
/// error.
pub fn run(args: &KeysArgs) -> ExitCode {
    let stored = match &args.command {
        KeysCommand::Create(args) => change::create(args),
        KeysCommand::List(args) => look::list(args),
        KeysCommand::Show(args) => look::show(args),
        KeysCommand::Rotate(args) => change::rotate(args),
        KeysCommand::Revoke(args) => change::revoke(args),
        KeysCommand::Import(args) => import::run(args),
        KeysCommand::Generate(_) | KeysCommand::Hash(_) => return plain(args),
    };
    match stored {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if stored::nobody_listens(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "weir keys: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Those that need no database.
fn plain(args: &KeysArgs) -> ExitCode {
    let done = match &args.command {
        KeysCommand::Generate(args) => generate(args, &mut io::stdout(), &mut io::stderr()),
        KeysCommand::Hash(args) => {
            if io::stdin().is_terminal() && args.words.is_empty() {
                // Only a hint: where it can't be written, reading still works.
                let _ = writeln!(
                    io::stderr(),
                    "Type or paste the key, then Enter and Ctrl-D."
                );
            }
            hash(args, &Process, &mut io::stdin(), &mut io::stdout())
        }
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where this fails too.
            let _ = writeln!(io::stderr(), "weir keys: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(
    args: &GenerateArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), KeysError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(KeysError::Random)?;
    writeln!(out, "{}", format::key(random, args.test))?;
    let hint = "This key is shown once. Its hash for identity.keys: weir keys hash";
    writeln!(err, "{hint}")?;
    Ok(())
}

fn hash(
    args: &HashArgs,
    outside: &dyn Outside,
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), KeysError> {
    if !args.words.is_empty() {
        return Err(KeysError::OnCommandLine);
    }
    let (source, source_name) = match &args.pepper_file {
        Some(path) => (SecretSource::File(path.clone()), "--pepper-file"),
        None => (SecretSource::Env(args.pepper_env.clone()), "--pepper-env"),
    };
    let pepper = read_pepper(&source, outside).map_err(|error| KeysError::Pepper {
        source_name: source_name.to_owned(),
        error,
    })?;
    let key = read_key(input)?;
    format::check(&key)?;
    writeln!(out, "{}", pepper.digest(key.as_bytes()))?;
    Ok(())
}

/// One line, without its end. Reads no more than a key can have.
fn read_key(input: &mut dyn Read) -> Result<String, KeysError> {
    let mut bytes = Vec::new();
    // Room for a line end, and one byte more to see that it is too long.
    let read_max = u64::try_from(format::KEY_BYTES_MAX + 3).unwrap_or(u64::MAX);
    input.take(read_max).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8(bytes).map_err(|_| format::KeyFormatError::Unprintable)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Pepper;
    use clap::Parser;
    use std::path::Path;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        keys: KeysArgs,
    }

    const PEPPER: &[u8] = b"pepper-of-32-bytes-for-the-tests";

    struct Fixed;

    impl Outside for Fixed {
        fn env(&self, name: &str) -> Option<Vec<u8>> {
            (name == "WEIR_PEPPER").then(|| PEPPER.to_vec())
        }

        fn file(&self, path: &Path, _bytes_max: usize) -> io::Result<Vec<u8>> {
            match path.to_str() {
                Some("pepper") => Ok([PEPPER, b"\n"].concat()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    fn hashed(argv: &[&str], input: &str) -> Result<String, String> {
        let argv = ["weir", "hash"].iter().chain(argv);
        let cli = Cli::try_parse_from(argv).map_err(|error| error.to_string())?;
        let KeysCommand::Hash(args) = cli.keys.command else {
            panic!()
        };
        let mut out = Vec::new();
        hash(&args, &Fixed, &mut input.as_bytes(), &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn generated(test: bool) -> String {
        let mut out = Vec::new();
        generate(&GenerateArgs { test }, &mut out, &mut Vec::new()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_made_key_can_be_hashed_and_no_two_are_alike() {
        let key = generated(false);
        assert!(key.starts_with("weir_live_") && generated(true).starts_with("weir_test_"));
        assert_ne!(key, generated(false));
        let digest = Pepper::new(PEPPER)
            .unwrap()
            .digest(key.trim_end().as_bytes());
        let expected = Ok(format!("{digest}\n"));
        assert_eq!(hashed(&[], &key), expected);
        assert_eq!(hashed(&[], &key.replace('\n', "\r\n")), expected);
        assert_eq!(hashed(&[], key.trim_end()), expected);
        assert_eq!(hashed(&["--pepper-file", "pepper"], &key), expected);
    }

    #[test]
    fn what_goes_wrong_is_said_without_the_key() {
        let key = generated(false);
        let key = key.trim_end();
        let two_lines = format!("{key}\n{key}\n");
        let long = key.repeat(20);
        let cases: [(&[&str], &str, &str); 8] = [
            (
                &[key],
                "",
                "a key on the command line stays in the shell's history",
            ),
            (
                &["-x", key],
                "",
                "a key on the command line stays in the shell's history",
            ),
            (&[], "", "no key on standard input"),
            (&[], &key[..40], "the checksum doesn't fit"),
            (&[], &two_lines, "a key is one line of printable ASCII"),
            (&[], &long, "a key has at most 512 bytes"),
            (
                &["--pepper-env", "NO"],
                key,
                "the pepper (--pepper-env) names an environment",
            ),
            (
                &["--pepper-file", "no"],
                key,
                "the pepper (--pepper-file) names a file",
            ),
        ];
        for (argv, input, expected) in cases {
            let error = hashed(argv, input).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains(&key[12..30]), "{error}");
        }
    }

    #[test]
    fn an_endless_input_is_not_read_to_its_end() {
        let error = hash(
            &HashArgs {
                pepper_env: "WEIR_PEPPER".to_owned(),
                pepper_file: None,
                words: Vec::new(),
            },
            &Fixed,
            &mut io::repeat(b'x'),
            &mut Vec::new(),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "a key has at most 512 bytes"
        );
    }
}
