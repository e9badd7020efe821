//! `weir keys import`: keys from another gateway, or their hashes.
//!
//! Always holds: a key is hashed as soon as it is read, and no message repeats
//! it; nothing is written while any line is wrong; what is there already is passed
//! over, so that the same input can be given again.

use super::attributes::{AttributeArgs, Read, parts, said};
use super::remote;
use super::stored::{Format, PepperArgs, Where, actor, block_on, hint, now};
use crate::accounts::{Actor, NewKey, making};
use crate::config::keys::{OwnLimits, key_attributes, name_fault};
use crate::identity::{KeyDigest, Pepper, format};
use crate::units::UnixMillis;
use anyhow::{anyhow, bail};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{BufRead, Read as _, Write};

/// The longest line: a key with everything that it may have.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The most keys of one import: they are looked at together.
const KEYS_MAX: usize = 2_000_000;

/// The most wrong lines that are told.
const WRONG_MAX: usize = 20;

/// The most different attributes that are remembered.
const ATTRIBUTES_MAX: usize = 10_000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is a key, or a hash (64 hexadecimal digits) as `weir keys hash`
prints it, for which the options say what it is for; or a JSON object with key or
hash, perhaps id, and the fields of identity.keys:
  {\"hash\": \"71ef...\", \"id\": \"ada-laptop\", \"tenant\": \"acme\", \"user\": \"ada\"}"
)]
pub struct ImportArgs {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    pepper: PepperArgs,
    #[command(flatten)]
    attributes: AttributeArgs,
    /// Taken only to be refused.
    #[arg(hide = true, num_args = 0.., value_name = "KEY")]
    words: Vec<String>,
}

pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    if !args.words.is_empty() {
        bail!(
            "a key on the command line stays in the shell's history and in process lists: give \
             keys on standard input, and replace this one"
        );
    }
    if let Some(server) = args.at.server.opened()? {
        return remote::import(&server, &args.attributes);
    }
    block_on(async {
        let opened = args.at.open().await?;
        let own_limits = opened.own_limits();
        let now = now();
        let said_for_all = match args.attributes.tenant {
            Some(_) => Some(args.attributes.read(&own_limits, now)?),
            None => None,
        };
        let mut reader = Reader {
            pepper: opened.pepper(&args.pepper)?,
            own_limits,
            now,
            said_for_all,
            known: HashMap::new(),
        };
        let keys = reader.read(&mut std::io::stdin().lock())?;
        if let Some(key) = keys.first() {
            opened.warn_of_tenant(&key.attributes.tenant);
        }
        let name = actor();
        let by = Actor {
            name: &name,
            at: now,
        };
        let imported = opened.accounts.import(by, keys).await?;
        for id in imported.passed_over.iter().take(WRONG_MAX) {
            hint(&format!(
                "{id}: passed over, as its name or its hash is there already"
            ));
        }
        let (added, passed) = (imported.added, imported.passed_over.len());
        let mut out = std::io::stdout();
        match args.at.format {
            Format::Table => writeln!(out, "{added} added, {passed} passed over")?,
            Format::Json => {
                let ids: Vec<&str> = imported.passed_over.iter().map(|id| &**id).collect();
                writeln!(out, "{}", json!({ "added": added, "passed_over": ids }))?;
            }
        }
        opened.accounts.close().await;
        Ok(())
    })
}

struct Reader {
    pepper: Pepper,
    own_limits: OwnLimits,
    now: UnixMillis,
    /// What lines without attributes are for.
    said_for_all: Option<Read>,
    /// Attributes that were read before, by their text.
    known: HashMap<String, Read>,
}

impl Reader {
    fn read(&mut self, input: &mut dyn BufRead) -> anyhow::Result<Vec<NewKey>> {
        let (mut keys, mut wrong) = (Vec::new(), Vec::new());
        let mut number = 0;
        loop {
            number += 1;
            let mut line = Vec::new();
            let most = u64::try_from(LINE_BYTES_MAX + 1).unwrap_or(u64::MAX);
            if input.take(most).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.len() > LINE_BYTES_MAX {
                bail!("line {number}: has more than {LINE_BYTES_MAX} bytes");
            }
            if keys.len() >= KEYS_MAX {
                bail!("line {number}: at most {KEYS_MAX} keys can be imported at once");
            }
            let read = match std::str::from_utf8(&line).map(str::trim) {
                Ok("") => continue,
                Ok(text) if text.starts_with('{') => self.object(text),
                Ok(text) => self.plain(text),
                Err(_) => Err(anyhow!("is not UTF-8")),
            };
            match read {
                Ok(key) => keys.push(key),
                Err(error) => wrong.push(format!("line {number}: {error}")),
            }
            if wrong.len() >= WRONG_MAX {
                break;
            }
        }
        match wrong.is_empty() {
            true => Ok(keys),
            false => bail!("{}\nnothing was imported", wrong.join("\n")),
        }
    }

    fn plain(&self, text: &str) -> anyhow::Result<NewKey> {
        let said_for_all = self.said_for_all.clone();
        let (attributes, expires_at) =
            said_for_all.ok_or_else(|| anyhow!("--tenant must say whose key it is"))?;
        let digest = match KeyDigest::from_hex(text) {
            Some(digest) => digest,
            None => self.digest(text)?,
        };
        Ok(NewKey {
            id: making::key_id()?.into(),
            digest,
            attributes,
            expires_at,
        })
    }

    fn digest(&self, key: &str) -> anyhow::Result<KeyDigest> {
        format::check(key)?;
        Ok(self.pepper.digest(key.as_bytes()))
    }

    fn object(&mut self, text: &str) -> anyhow::Result<NewKey> {
        // What the parser says may quote the line.
        let read: Result<Map<String, Value>, _> = serde_json::from_str(text);
        let mut fields = read.map_err(|_| anyhow!("is no JSON object"))?;
        let mut take = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(anyhow!("{name}: must be a text")),
        };
        let (id, key, hash) = (take("id")?, take("key")?, take("hash")?);
        let digest = match (key, hash) {
            (Some(key), None) => self.digest(&key)?,
            (None, Some(hash)) => KeyDigest::from_hex(&hash)
                .ok_or_else(|| anyhow!("hash: must be 64 hexadecimal digits"))?,
            _ => bail!("must have key or hash, one of them"),
        };
        let id = match id {
            Some(id) => match name_fault(&id) {
                None => id,
                Some(fault) => bail!("id: {fault}"),
            },
            None => making::key_id()?,
        };
        let (attributes, expires_at) = match (fields.is_empty(), &self.said_for_all) {
            (true, Some(said)) => said.clone(),
            _ => self.attributes(&Value::Object(fields).to_string())?,
        };
        Ok(NewKey {
            id: id.into(),
            digest,
            attributes,
            expires_at,
        })
    }

    fn attributes(&mut self, text: &str) -> anyhow::Result<Read> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let read = key_attributes(text, "key", &self.own_limits);
        let read = parts(read.map_err(|problems| said("", &problems))?);
        if read.1.is_some_and(|end| end <= self.now) {
            bail!("expires: is over already");
        }
        if self.known.len() < ATTRIBUTES_MAX {
            self.known.insert(text.to_owned(), read.clone());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Attributes;

    fn reader(tenant: Option<&str>) -> Reader {
        let attributes = |tenant: &str| Attributes {
            tenant: tenant.into(),
            ..Attributes::default()
        };
        Reader {
            pepper: Pepper::new(b"pepper-of-32-bytes-for-the-tests").unwrap(),
            own_limits: OwnLimits::default(),
            now: UnixMillis(1_000),
            said_for_all: tenant.map(|tenant| (attributes(tenant), None)),
            known: HashMap::new(),
        }
    }

    #[test]
    fn keys_and_hashes_become_digests() {
        let mut reader = reader(Some("acme"));
        let hash = "ab".repeat(32);
        let key = "sk-another-gateways-key-0123";
        let input = format!(
            "{key}\n\n{hash}\r\n{{\"key\":\"{key}4\",\"tenant\":\"globex\",\"id\":\"g\"}}\n\
             {{\"hash\":\"{hash}\"}}"
        );
        let keys = reader.read(&mut input.as_bytes()).unwrap();
        let digest = |key: &str| reader.pepper.digest(key.as_bytes());
        let hashed = KeyDigest([0xab; 32]);
        let digests: Vec<KeyDigest> = keys.iter().map(|key| key.digest).collect();
        assert_eq!(
            digests,
            [digest(key), hashed, digest(&format!("{key}4")), hashed]
        );
        let tenants: Vec<&str> = keys.iter().map(|key| &*key.attributes.tenant).collect();
        assert_eq!(tenants, ["acme", "acme", "globex", "acme"]);
        assert!(keys[0].id.starts_with("key_") && keys[0].id != keys[1].id);
        assert_eq!(&*keys[2].id, "g");
    }

    #[test]
    fn every_wrong_line_is_told_and_none_repeats_a_key() {
        let secret = "sk-this-must-not-be-said";
        let input = format!(
            "short\n{secret} {secret}\n{{\"key\":\"{secret}\",\"tenant\":1}}\n{{{secret}\n\
             {{\"key\":\"{secret}\",\"hash\":\"{secret}\",\"tenant\":\"a\"}}\n\
             {{\"hash\":\"{secret}\",\"tenant\":\"a\"}}\n{{\"key\":\"{secret}\",\"id\":\"\"}}\n\
             {{\"key\":\"{secret}\",\"tenant\":\"a\",\"expires\":\"1970-01-01\"}}\n"
        );
        let error = reader(Some("acme"))
            .read(&mut input.as_bytes())
            .unwrap_err();
        let error = error.to_string();
        assert!(!error.contains(secret), "{error}");
        for part in [
            "line 1: a key needs at least 22 characters",
            "line 2: a key is one line",
            "line 4: is no JSON object",
            "line 5: must have key or hash, one of them",
            "line 6: hash: must be 64",
            "line 7: id: must have 1 to 128 bytes",
            "line 8: expires: is over already",
            "nothing was imported",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let error = reader(None).read(&mut &b"sk-another-gateways-key-0123\n"[..]);
        assert!(error.unwrap_err().to_string().contains("--tenant"));
        let endless = std::io::repeat(b'x');
        let error = reader(None).read(&mut std::io::BufReader::new(endless));
        assert!(error.unwrap_err().to_string().contains("has more than"));
    }
}
