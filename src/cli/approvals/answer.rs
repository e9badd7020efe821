//! `weir approvals grant`, `deny` and `revoke`.

use super::look::{allows, whom};
use super::{DenyArgs, GrantArgs, RevokeArgs};
use crate::accounts::granting::{self, Breadth, DENIED_FOR, Terms, Whom, WrongTerms};
use crate::accounts::lasting::Lasting as _;
use crate::accounts::{Actor, making};
use crate::cli::keys::change::Announcing;
use crate::cli::keys::stored::{Format, Where, actor, block_on, hint, now};
use crate::cli::server::path;
use crate::cli::terms::{at, money, word};
use crate::identity::format;
use anyhow::{Context, anyhow, bail};
use hyper::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

pub(super) fn grant(args: &GrantArgs) -> anyhow::Result<()> {
    let made = match args.at.server.opened()? {
        Some(server) => {
            let (target, body) = asked(args)?;
            server.ask(Method::POST, &target, Some(&body))?
        }
        None => granted(args)?,
    };
    if args.at.format == Format::Json {
        writeln!(std::io::stdout(), "{made}")?;
        return Ok(());
    }
    writeln!(std::io::stdout(), "{}", word(&made, "id"))?;
    hint(&format!(
        "{} of {} is granted {} until {}: every weir that reaches the database knows it in 5 s",
        whom(&made),
        word(&made, "tenant"),
        allows(&made),
        at(&made, "until_ms"),
    ));
    Ok(())
}

/// What a running weir is asked.
fn asked(args: &GrantArgs) -> anyhow::Result<(String, Value)> {
    let terms = terms(args)?;
    let mut body = json!({
        "calls": terms.calls,
        "cost_nanos": terms.cost_nanos,
        "unlimited": terms.unlimited,
        "until_ms": terms.until.map(|at| at.0),
        "models": terms.models,
        "note": terms.note,
    });
    if let Some(id) = &args.id {
        body["anyone_of"] = json!(args.anyone_of);
        return Ok((path("/v1/approvals", id, "/grant"), body));
    }
    if terms.until.is_none() {
        return Err(said(WrongTerms::NoEnd));
    }
    for (name, value) in [
        ("tenant", &args.tenant),
        ("project", &args.project),
        ("environment", &args.environment),
        ("user", &args.user),
        ("key", &args.key),
        ("rule", &args.rule),
    ] {
        body[name] = json!(value);
    }
    Ok(("/v1/grants".to_owned(), body))
}

/// In the database.
fn granted(args: &GrantArgs) -> anyhow::Result<Value> {
    let terms = terms(args)?;
    block_on(async {
        let opened = args.at.open().await?;
        let (now, name) = (now(), actor());
        let id = making::grant_id()?.into();
        let new = match &args.id {
            Some(request) => {
                let found = opened.accounts.approval(request).await?;
                let found = found
                    .with_context(|| format!("{request}: there is no such request for approval"))?;
                let breadth = args.anyone_of.as_deref().and_then(Breadth::parse);
                let breadth = breadth.unwrap_or_default();
                granting::for_request(id, &found.request, breadth, terms, now)
            }
            None => {
                let arc = |text: &Option<String>| text.as_deref().map(Arc::from);
                let whom = Whom {
                    tenant: arc(&args.tenant).unwrap_or_default(),
                    project: arc(&args.project),
                    environment: arc(&args.environment),
                    user: arc(&args.user),
                    key_id: arc(&args.key),
                    rule: arc(&args.rule),
                };
                opened.warn_of_tenant(&whom.tenant);
                granting::without_request(id, whom, terms, now)
            }
        };
        let by = Actor {
            name: &name,
            at: now,
        };
        let made = opened.accounts.grant(by, new.map_err(said)?).await?;
        opened.accounts.close().await;
        Ok(made.to_json(now))
    })
}

fn terms(args: &GrantArgs) -> anyhow::Result<Terms> {
    let models = args.models.iter().map(|model| model.as_str().into());
    Ok(Terms {
        calls: args.calls,
        cost_nanos: args.amount.as_deref().map(money).transpose()?,
        unlimited: args.unlimited,
        until: args.lasting.until()?,
        models: (args.any_model || !args.models.is_empty()).then(|| models.collect()),
        note: args.note.as_deref().map(Arc::from),
    })
}

/// What is wrong, by the option that it stands in.
pub fn said(wrong: WrongTerms) -> anyhow::Error {
    match wrong {
        WrongTerms::NoEnd => anyhow!("say until when with --until, or for how long with --for"),
        wrong => anyhow!("--{}: {wrong}", wrong.parameter().replace('_', "-")),
    }
}

pub(super) fn deny(args: &DenyArgs) -> anyhow::Result<()> {
    let until = args.lasting.until()?;
    let denied = match args.at.server.opened()? {
        Some(server) => {
            let body = json!({ "until_ms": until.map(|at| at.0), "note": args.note });
            let target = path("/v1/approvals", &args.id, "/deny");
            server.ask(Method::POST, &target, Some(&body))?
        }
        None => block_on(async {
            let accounts = args.at.open().await?.accounts;
            let (now, name) = (now(), actor());
            let until = granting::end(until.unwrap_or(now + DENIED_FOR), now).map_err(said)?;
            let note = granting::noted(args.note.as_deref().map(Arc::from)).map_err(said)?;
            let by = Actor {
                name: &name,
                at: now,
            };
            let denied = accounts.deny(by, &args.id, until, note).await;
            let denied = denied.with_context(|| args.id.clone())?;
            accounts.close().await;
            anyhow::Ok(denied.to_json())
        })?,
    };
    let mut out = std::io::stdout();
    match args.at.format {
        Format::Json => writeln!(out, "{denied}")?,
        Format::Table => writeln!(
            out,
            "{} is denied until {}",
            args.id,
            at(&denied, "denied_until_ms")
        )?,
    }
    Ok(())
}

pub(super) fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    take_back(&args.at, &args.ids, Kind::Grant)
}

/// What is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Grant,
    TopUp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Back,
    Before,
    /// The database is away.
    Meanwhile,
}

impl Taken {
    fn of(is_new: bool) -> Self {
        match is_new {
            true => Taken::Back,
            false => Taken::Before,
        }
    }

    fn of_answer(answer: &Value) -> Self {
        match answer["database_away"] == json!(true) {
            true => Taken::Meanwhile,
            false => Self::of(answer["revoked"] == json!(true)),
        }
    }

    fn said(self) -> &'static str {
        match self {
            Taken::Back => "is revoked",
            Taken::Before => "was revoked before",
            Taken::Meanwhile => "is revoked; its database is away and is told when it is back",
        }
    }
}

/// Takes back in the database, and tells sidecars by way of their counter store too;
/// or asks a running weir to.
pub fn take_back(at: &Where, ids: &[String], kind: Kind) -> anyhow::Result<()> {
    let mut failed = 0;
    let mut tell = |id: &str, taken: anyhow::Result<Taken>| match taken {
        Ok(taken) => writeln!(std::io::stdout(), "{id} {}", taken.said()),
        Err(error) => {
            failed += 1;
            hint(&format!("{id}: {error:#}"));
            Ok(())
        }
    };
    match at.server.opened()? {
        None => block_on(take_back_kept(at, ids, kind, &mut tell))?,
        Some(server) => {
            let target = match kind {
                Kind::Grant => "/v1/grants",
                Kind::TopUp => "/v1/budgets/top-ups",
            };
            for id in ids {
                let answer = server.ask(Method::DELETE, &path(target, id, ""), None);
                tell(id, answer.map(|answer| Taken::of_answer(&answer)))?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => bail!("{failed} of {} weren't revoked", ids.len()),
    }
}

/// A database that can't be reached is no reason to leave the counter store out.
async fn take_back_kept(
    at: &Where,
    ids: &[String],
    kind: Kind,
    tell: &mut impl FnMut(&str, anyhow::Result<Taken>) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let database = at.database()?;
    let counters = database.config.as_ref().map(|config| &config.counters);
    let store = Announcing::to(counters).await;
    let accounts = match Where::open_database(&database).await {
        Ok(accounts) => accounts,
        Err(error) => {
            // A key's name there would withdraw the key.
            return Err(match ids.iter().all(|id| format::is_of_the_allowed(id)) {
                true => store.tell_alone(ids, error).await,
                false => error.context("nothing is revoked"),
            });
        }
    };
    let name = actor();
    let by = Actor {
        name: &name,
        at: now(),
    };
    for id in ids {
        let taken = match kind {
            Kind::Grant => accounts.revoke_grant(by, id).await,
            Kind::TopUp => accounts.revoke_top_up(by, id).await,
        };
        if taken.is_ok() {
            store.tell(std::slice::from_ref(id)).await;
        }
        tell(id, taken.map(Taken::of).map_err(anyhow::Error::from))?;
    }
    accounts.close().await;
    Ok(())
}
