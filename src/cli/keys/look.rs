//! `weir keys list` and `show`.

use super::remote;
use super::stored::{Format, Opened, Where, block_on, columns, hour, now, time};
use crate::accounts::audit::Asked;
use crate::accounts::key::State;
use crate::accounts::{Listing, PAGE_KEYS_MAX, StoredKey};
use crate::units::UnixMillis;
use anyhow::bail;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

/// What was done to one key hardly comes to more.
const DEEDS_SHOWN_MAX: usize = 100;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) at: Where,
    /// Only this tenant's.
    #[arg(long, value_name = "NAME")]
    pub(super) tenant: Option<String>,
    /// Only this user's.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// Only those of this owner.
    #[arg(long, value_name = "NAME")]
    pub(super) owner: Option<String>,
    /// Those too that count no more.
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The name of the key.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) at: Where,
}

pub fn list(args: &ListArgs) -> anyhow::Result<()> {
    if let Some(server) = args.at.server.opened()? {
        return remote::list(&server, args);
    }
    block_on(async {
        let Opened { accounts, .. } = args.at.open_to_read().await?;
        let name = |name: &Option<String>| name.as_deref().map(Arc::from);
        let mut listing = Listing {
            after: None,
            tenant: name(&args.tenant),
            user: name(&args.user),
            owner: name(&args.owner),
            revoked: args.all,
            limit: PAGE_KEYS_MAX,
        };
        let now = now();
        let mut first = true;
        loop {
            let keys = accounts.list(&listing).await?;
            let Some(last) = keys.last() else { break };
            listing.after = Some(Arc::clone(&last.id));
            let mut keys = keys;
            keys.retain(|key| args.all || key.state(now) != State::Ended);
            print(args.at.format, &keys, now, first)?;
            first &= keys.is_empty();
        }
        let mut out = std::io::stdout();
        match (args.at.format, first) {
            (Format::Json, true) => writeln!(out, "[]")?,
            (Format::Json, false) => writeln!(out, "\n]")?,
            (Format::Table, true) => writeln!(out, "no keys")?,
            (Format::Table, false) => {}
        }
        accounts.close().await;
        Ok(())
    })
}

/// A page of many.
fn print(format: Format, keys: &[StoredKey], now: UnixMillis, first: bool) -> anyhow::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => {
            for (at, key) in keys.iter().enumerate() {
                let before = if first && at == 0 { "[\n" } else { ",\n" };
                write!(out, "{before}{}", told(key, now))?;
            }
        }
        Format::Table => {
            let text = table(keys, now);
            let text = match first {
                true => text.as_str(),
                false => text.split_once('\n').map_or("", |(_, rows)| rows),
            };
            write!(out, "{text}")?;
        }
    }
    Ok(())
}

fn told(key: &StoredKey, now: UnixMillis) -> Value {
    let mut json = key.to_json();
    json["state"] = key.state(now).as_str().into();
    json
}

fn table(keys: &[StoredKey], now: UnixMillis) -> String {
    let or_none = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
    let row = |key: &StoredKey| {
        let of = &key.attributes;
        [
            key.id.to_string(),
            of.tenant.to_string(),
            or_none(&of.project),
            or_none(&of.user),
            key.state(now).as_str().to_owned(),
            time(key.expires_at),
            hour(key.last_used_hour),
            or_none(&of.owner),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let head = [
        "ID",
        "TENANT",
        "PROJECT",
        "USER",
        "STATE",
        "EXPIRES",
        "LAST USED",
        "OWNER",
    ];
    columns(head, &rows)
}

pub fn show(args: &ShowArgs) -> anyhow::Result<()> {
    if let Some(server) = args.at.server.opened()? {
        return remote::show(&server, args);
    }
    block_on(async {
        let Opened { accounts, .. } = args.at.open_to_read().await?;
        let Some(key) = accounts.key(&args.id).await? else {
            bail!("{}: there is no key of this name", args.id);
        };
        let asked = Asked {
            subject: Some(Arc::clone(&key.id)),
            limit: DEEDS_SHOWN_MAX,
            ..Asked::default()
        };
        let deeds = accounts.audit(&asked).await?;
        let mut json = told(&key, now());
        let deeds = deeds.iter().map(
            |deed| json!({ "at_ms": deed.at.0, "actor": *deed.actor, "action": *deed.action }),
        );
        json["history"] = deeds.collect();
        let mut out = std::io::stdout();
        match args.at.format {
            Format::Json => writeln!(out, "{json}")?,
            Format::Table => write!(out, "{}", lines(&json))?,
        }
        accounts.close().await;
        Ok(())
    })
}

/// A key as lines of names and values.
pub(super) fn lines(key: &Value) -> String {
    let mut rows = Vec::new();
    for (name, value) in key.as_object().into_iter().flatten() {
        let ms = || value.as_u64().map(UnixMillis);
        let (name, text) = match name.strip_suffix("_ms") {
            Some(name) => (name, time(ms())),
            None if name == "last_used_hour" => {
                let at = value.as_u64().and_then(|hour| u32::try_from(hour).ok());
                ("last_used", hour(at))
            }
            None if name == "history" => continue,
            None => (
                name.as_str(),
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            ),
        };
        rows.push([name.replace('_', " "), text]);
    }
    let mut text = columns(["", ""], &rows);
    text = text.trim_start().to_owned();
    for deed in key["history"].as_array().into_iter().flatten() {
        let at = time(deed["at_ms"].as_u64().map(UnixMillis));
        let word = |name: &str| deed[name].as_str().unwrap_or_default().to_owned();
        text.push_str(&format!("{at}  {} by {}\n", word("action"), word("actor")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Attributes;
    use crate::identity::KeyDigest;

    #[test]
    fn keys_are_told_in_columns() {
        let key = StoredKey {
            id: "key_1".into(),
            digest: KeyDigest([9; 32]),
            attributes: Attributes {
                tenant: "acme".into(),
                user: Some("ada".into()),
                ..Attributes::default()
            },
            created_at: UnixMillis(0),
            created_by: "cli/ops".into(),
            expires_at: Some(UnixMillis(1_798_761_600_000)),
            revoked_at: None,
            replaced_by: None,
            last_used_hour: Some(1),
            changed: 1,
        };
        let text = table(std::slice::from_ref(&key), UnixMillis(5));
        let expected = "\
ID     TENANT  PROJECT  USER  STATE   EXPIRES     LAST USED             OWNER
key_1  acme    -        ada   active  2027-01-01  1970-01-01T01:00:00Z  -
";
        assert_eq!(text, expected);
        let mut json = told(&key, UnixMillis(5));
        assert!(!json.to_string().contains("0909"), "no digest is told");
        json["history"] = json!([{ "at_ms": 0, "actor": "cli/ops", "action": "key.create" }]);
        let text = lines(&json);
        assert!(text.starts_with("id "), "{text}");
        assert!(text.contains("expires at  2027-01-01\n"), "{text}");
        assert!(
            text.ends_with("1970-01-01  key.create by cli/ops\n"),
            "{text}"
        );
    }
}
