//! What no program may write down or tell: the secrets of a stack, what its callers
//! asked and what they were answered. Looked for when a stack goes, in all that is in
//! its folder (logs, access log, spools, databases, files of sinks, what Redis keeps)
//! and in weir's metrics, so that whichever test lets something out fails.

use super::provider::Received;
use super::stack::{ADMIN_TOKEN, FOREIGN_KEY, KEY, OTHER_KEY, PEPPER, TOKEN_KEY};
use memchr::memmem::Finder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use weir::identity::format;

/// A word of the fake provider's answers, which nothing else here has.
const ANSWERED: &str = "apple";

/// A shorter text may stand somewhere by chance.
const PROMPT_BYTES_MIN: usize = 12;

/// So much of a text is looked for, of so many texts: each costs a pass.
const PROMPT_BYTES_MAX: usize = 48;
const PROMPTS_MAX: usize = 48;

/// What weir's own keys and tokens begin with.
const OWN: [&str; 3] = ["weir_live_", "weir_test_", "weir_admin_"];

/// What is looked for, and what it is.
#[derive(Default)]
pub struct Canaries(Vec<(&'static str, Vec<u8>)>);

impl Canaries {
    /// The secrets that every stack has.
    pub fn of_stacks() -> Self {
        let texts = [
            ("the pepper", PEPPER.as_bytes()),
            ("a caller's key", KEY.as_bytes()),
            ("a caller's key", OTHER_KEY.as_bytes()),
            ("a caller's key", FOREIGN_KEY.as_bytes()),
            ("the admin token", ADMIN_TOKEN.as_bytes()),
            ("what tokens are signed with", TOKEN_KEY),
            ("an answer", ANSWERED.as_bytes()),
        ];
        Self(texts.map(|(what, text)| (what, text.to_vec())).into())
    }

    /// What callers said, as far as it can be told from all else.
    #[must_use]
    pub fn with_prompts<'b>(mut self, bodies: impl Iterator<Item = &'b Value>) -> Self {
        let mut prompts = BTreeSet::new();
        for body in bodies {
            collect(body, &mut prompts);
            if prompts.len() >= PROMPTS_MAX {
                break;
            }
        }
        let prompts = prompts.into_iter().take(PROMPTS_MAX);
        let prompts = prompts.map(|text| ("a prompt", text.into_bytes()));
        self.0.extend(prompts);
        self
    }

    /// What of them is in some bytes, with what stands around it.
    pub fn in_bytes(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let texts = self.0.iter().filter_map(|(what, text)| {
            let at = Finder::new(text).find(bytes)?;
            Some((*what, at))
        });
        let own = OWN.iter().filter_map(|prefix| {
            let finder = Finder::new(prefix);
            let mut starts = finder.find_iter(bytes);
            let at = starts.find(|at| is_own(&bytes[*at..], prefix.len()))?;
            Some(("a key or token of weir's own", at))
        });
        texts
            .chain(own)
            .map(|(what, at)| {
                let around = &bytes[at.saturating_sub(60)..bytes.len().min(at + 80)];
                let around = String::from_utf8_lossy(around);
                format!("{what} is in {place}: {around:?}")
            })
            .collect()
    }

    /// The same of all files in a folder and those below, but for some by name.
    pub fn in_folder(&self, folder: &Path, but: &dyn Fn(&Path) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        let Ok(entries) = fs::read_dir(folder) else {
            return found;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let Ok(kind) = fs::symlink_metadata(&path).map(|meta| meta.file_type()) else {
                continue;
            };
            if kind.is_dir() {
                found.extend(self.in_folder(&path, but));
            } else if kind.is_file() && !but(&path) {
                // A file may be gone by now, as a spool's segments go.
                let bytes = fs::read(&path).unwrap_or_default();
                found.extend(self.in_bytes(&path.display().to_string(), &bytes));
            }
        }
        found
    }

    /// The same of the metrics of a weir that still answers.
    pub fn in_metrics(&self, admin: SocketAddr) -> Vec<String> {
        let metrics = metrics(admin).unwrap_or_default();
        self.in_bytes("weir's metrics", &metrics)
    }
}

/// Whether a whole key stands here: one that is only spoken of has no checksum.
fn is_own(bytes: &[u8], prefix: usize) -> bool {
    // 43 digits and 6 of a checksum.
    let whole = bytes.get(..prefix + 49);
    let text = whole.and_then(|whole| std::str::from_utf8(whole).ok());
    text.is_some_and(|text| format::check(text).is_ok())
}

/// Texts of several words anywhere in a request: the longest part of each that is
/// written the same whatever writes it.
fn collect(value: &Value, prompts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == ' ';
            let parts = text.split(|c| !plain(c)).map(str::trim);
            let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
            if longest.len() >= PROMPT_BYTES_MIN && longest.contains(' ') {
                let end = longest.len().min(PROMPT_BYTES_MAX);
                prompts.insert(longest[..end].to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, prompts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, prompts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Waits for it, as whoever drops a stack can't.
fn metrics(admin: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// What providers were asked.
pub fn bodies(log: &[Received]) -> impl Iterator<Item = &Value> {
    log.iter().map(|call| &call.body)
}
