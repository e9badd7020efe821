//! `weir keys create`, `rotate` and `revoke`.

use super::attributes::{AttributeArgs, end};
use super::remote;
use super::stored::{Format, PepperArgs, Where, actor, block_on, hint, now, time};
use crate::accounts::{Accounts, Actor, NewKey, StoredKey, Successor, making};
use crate::app::connect;
use crate::config::CountersConfig;
use crate::config::keys::{name_fault, span};
use crate::counters::Counters;
use anyhow::{Context, anyhow, bail};
use std::io::Write;

/// Which key, and what it is for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir keys create --config weir.yaml --tenant acme --user ada
  weir keys create --config weir.yaml --tenant acme --model 'gpt-4o*' --expires 90d \\
    --limits '[{ per: key, unit: cost, amount: 25, period: month }]'")]
pub struct CreateArgs {
    #[command(flatten)]
    pub(super) at: Where,
    #[command(flatten)]
    pepper: PepperArgs,
    #[command(flatten)]
    pub(super) attributes: AttributeArgs,
    /// The name of the key in events and logs; without it, one is made.
    #[arg(long, value_name = "NAME")]
    pub(super) id: Option<String>,
    /// A key that begins with weir_test_ instead of weir_live_.
    #[arg(long)]
    pub(super) test: bool,
}

#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// The name of the key that is replaced.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) at: Where,
    #[command(flatten)]
    pepper: PepperArgs,
    /// How long the old key still counts.
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    pub(super) overlap: String,
    /// When the new key ends; without it, when the old one would have.
    #[arg(long, value_name = "TIME")]
    pub(super) expires: Option<String>,
    /// A key that begins with weir_test_ instead of weir_live_.
    #[arg(long)]
    pub(super) test: bool,
}

#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The names of the keys.
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) at: Where,
}

pub fn create(args: &CreateArgs) -> anyhow::Result<()> {
    if let Some(server) = args.at.server.opened()? {
        return remote::create(&server, args);
    }
    block_on(async {
        let opened = args.at.open().await?;
        let now = now();
        let read = args.attributes.read(&opened.own_limits(), now)?;
        let (attributes, expires_at) = read;
        let id = match &args.id {
            Some(id) => match name_fault(id) {
                None if opened.is_configured(id) => {
                    bail!("--id: a key of the configuration has this name, and would hide it")
                }
                None => id.clone(),
                Some(fault) => bail!("--id: {fault}"),
            },
            None => making::key_id()?,
        };
        opened.warn_of_tenant(&attributes.tenant);
        let key = making::key(args.test)?;
        let new = NewKey {
            id: id.into(),
            digest: opened.pepper(&args.pepper)?.digest(key.as_bytes()),
            attributes,
            expires_at,
        };
        let name = actor();
        let by = Actor {
            name: &name,
            at: now,
        };
        let stored = opened.accounts.create(by, new).await?;
        shown_once(args.at.format, &key, &stored)?;
        hint(&format!(
            "{} of {} is made; the key is shown this once: keep it where secrets are kept",
            stored.id, stored.attributes.tenant
        ));
        opened.accounts.close().await;
        Ok(())
    })
}

pub fn rotate(args: &RotateArgs) -> anyhow::Result<()> {
    if let Some(server) = args.at.server.opened()? {
        return remote::rotate(&server, args);
    }
    let overlap = span(&args.overlap)
        .ok_or_else(|| anyhow!("--overlap: must be a span of time, as in 0s, 1h or 7d"))?;
    let now = now();
    let expires_at = args
        .expires
        .as_deref()
        .map(|text| end(text, now))
        .transpose()?;
    block_on(async {
        let opened = args.at.open().await?;
        let key = making::key(args.test)?;
        let to = Successor {
            id: making::key_id()?.into(),
            digest: opened.pepper(&args.pepper)?.digest(key.as_bytes()),
            expires_at,
        };
        let name = actor();
        let by = Actor {
            name: &name,
            at: now,
        };
        let rotated = opened.accounts.rotate(by, &args.id, to, overlap).await;
        let stored = rotated.with_context(|| args.id.clone())?;
        let old = opened.accounts.key(&args.id).await?;
        shown_once(args.at.format, &key, &stored)?;
        hint(&format!(
            "{} takes the place of {}, which counts until {}; the key is shown this once",
            stored.id,
            args.id,
            time(old.and_then(|old| old.expires_at))
        ));
        opened.accounts.close().await;
        Ok(())
    })
}

/// Withdraws keys in the database, and tells sidecars by way of their counter store
/// too: one that can't be reached is no reason to leave the other out.
pub fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    if let Some(server) = args.at.server.opened()? {
        return remote::revoke(&server, args);
    }
    block_on(async {
        let database = args.at.database()?;
        let counters = database.config.as_ref().map(|config| &config.counters);
        let store = Announcing::to(counters).await;
        let accounts = match Where::open_database(&database).await {
            Ok(accounts) => accounts,
            Err(error) => return Err(store.tell_alone(&args.ids, error).await),
        };
        let mut failed = 0;
        for id in &args.ids {
            failed += usize::from(!revoke_one(args, &accounts, &store, id).await?);
        }
        accounts.close().await;
        match failed {
            0 => Ok(()),
            1 => bail!("1 key was not revoked"),
            more => bail!("{more} keys were not revoked"),
        }
    })
}

async fn revoke_one(
    args: &RevokeArgs,
    accounts: &Accounts,
    store: &Announcing,
    id: &str,
) -> anyhow::Result<bool> {
    let name = actor();
    let by = Actor {
        name: &name,
        at: now(),
    };
    let said = match accounts.revoke(by, id).await {
        Ok(true) => "is revoked: no weir that reaches the database takes it in 5 s",
        Ok(false) => "was revoked before",
        Err(error) => {
            hint(&format!("{id}: {error}"));
            return Ok(false);
        }
    };
    store.tell(&[id.to_owned()]).await;
    let mut out = std::io::stdout();
    match args.at.format {
        Format::Table => writeln!(out, "{id} {said}")?,
        Format::Json => {
            let key = accounts.key(id).await?;
            let json = key.map(|key| key.to_json());
            writeln!(out, "{}", json.unwrap_or_default())?;
        }
    }
    Ok(true)
}

/// The counter store, where sidecars have one in common.
pub(in crate::cli) struct Announcing(Option<Counters>);

impl Announcing {
    pub async fn to(config: Option<&CountersConfig>) -> Self {
        let Some(config @ CountersConfig::Redis(_)) = config else {
            return Self(None);
        };
        let connected = connect(config).await;
        let connected = connected.inspect_err(|error| {
            hint(&format!(
                "warning: {error:#}: sidecars are told by the database alone"
            ));
        });
        Self(connected.ok())
    }

    /// Tells of what the database can't be told of; what is to be said of it.
    pub async fn tell_alone(&self, ids: &[String], away: anyhow::Error) -> anyhow::Error {
        away.context(match self.tell(ids).await {
            true => {
                "what was named is withdrawn at every weir that reaches the counter store; \
                 they tell the database of it when it is back"
            }
            false => "nothing is revoked",
        })
    }

    /// Whether all were told.
    pub async fn tell(&self, ids: &[String]) -> bool {
        let Some(counters) = &self.0 else {
            return false;
        };
        let by = actor();
        for id in ids {
            if let Err(error) = counters.withdraw(id, &by).await {
                hint(&format!(
                    "warning: {id}: the counter store isn't told: {error}"
                ));
                return false;
            }
        }
        true
    }
}

/// The one time that a key is printed.
fn shown_once(format: Format, key: &str, stored: &StoredKey) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match format {
        Format::Table => writeln!(out, "{key}")?,
        Format::Json => {
            let mut json = stored.to_json();
            json["key"] = key.into();
            writeln!(out, "{json}")?;
        }
    }
    Ok(())
}
